# make run     a gateway with an embedded database, local storage and a demo tenant, until Ctrl-C
# make test    the whole suite, after installing what it needs
# make check   ruff, mypy, import-linter
# make bench   kurado beside the servers it is held to, those that are installed (bench/README.md)
# make lock    pins the newest versions that pyproject.toml allows (developers)
# make clean   removes the environment that the targets above create
#
# Variables: PYTHON (3.11 or newer), ARGS (for `kurado demo`, pytest or bench/run.py), e.g. make run ARGS="--port 9000",
# JOBS (test files at once; default: one a core).

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test check bench lock clean debian-test-packages

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
ARGS ?=
JOBS ?= $(shell nproc)
SERVERS ?=
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# compiled, as an installation from a wheel is: else each start of a user without __pycache__ takes seconds
INSTALL_PROJECT = $(INSTALL) --no-deps --no-build-isolation -e . && \
	$(BIN)/python -m compileall -q gateway plugins storage_backends
COMPILE := $(VENV)-lock/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock"

# What the tests drive from outside: compliance suite, clients, scanner, database, small disks.
TEST_PACKAGES := litmus cadaver davfs2 fuse3 curl gvfs gvfs-backends libglib2.0-bin dbus clamav-daemon postgresql e2fsprogs mount procps openssl poppler-utils fonts-noto-cjk

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed -n '1,/^$$/p'

run: $(STAMPS)/project-run
	@exec $(BIN)/kurado demo $(ARGS)

test: $(STAMPS)/project-dev debian-test-packages
	$(BIN)/pytest -rs -n $(JOBS) --dist loadfile $(ARGS)

check: $(STAMPS)/project-dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMPS)/project-run
	PATH=$(CURDIR)/$(BIN):$$PATH BENCH_KURADO=$(CURDIR)/$(BIN)/kurado BENCH_PYTHON=$(CURDIR)/$(BIN)/python \
		$(PYTHON) bench/run.py \
		$(if $(SERVERS),--servers $(SERVERS),--rows --json bench.json) --reference apache $(ARGS)

debian-test-packages:
	@.ci/debian-packages "some tests" $(TEST_PACKAGES) || true

# -- the environment: made once, from the lock files, and brought up to date when they change --------------------------

$(BIN)/python:
	@.ci/check-python "$(PYTHON)"
	$(PYTHON) -m venv $(VENV)

# The back-ends that build the project and the dependencies without wheels: first, so that no build fetches its own.
$(STAMPS)/build: requirements-build.lock | $(BIN)/python
	$(INSTALL) --require-hashes -r requirements-build.lock
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/run: requirements.lock $(STAMPS)/build
	$(INSTALL) --require-hashes --no-build-isolation --use-pep517 -r requirements.lock
	@touch $@

$(STAMPS)/dev: requirements-dev.lock $(STAMPS)/build
	$(INSTALL) --require-hashes --no-build-isolation --use-pep517 -r requirements-dev.lock
	@touch $@

$(STAMPS)/project-run: $(STAMPS)/run pyproject.toml
	$(INSTALL_PROJECT)
	@touch $@

$(STAMPS)/project-dev: $(STAMPS)/dev pyproject.toml
	$(INSTALL_PROJECT)
	@touch $@ $(STAMPS)/run $(STAMPS)/project-run

lock:
	$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/python -m pip install --quiet uv
	printf 'hatchling>=1.27\neditables>=0.5\nsetuptools>=78\n' >$(VENV)-lock/build.in
	$(COMPILE) -U pyproject.toml $(VENV)-lock/build.in --extra dev --extra postgres -o requirements-dev.lock
	$(COMPILE) pyproject.toml -c requirements-dev.lock -o requirements.lock
	$(COMPILE) $(VENV)-lock/build.in -c requirements-dev.lock -o requirements-build.lock
	rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV)
