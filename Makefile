# make run     a gateway with an embedded database, local storage and a demo tenant, until Ctrl-C
# make test    the whole suite, after installing what it needs
# make check   ruff, mypy, import-linter
# make lock    pins the newest versions that pyproject.toml allows (developers)
# make clean   removes the environment that the targets above create
#
# Variables: PYTHON (3.11 or newer), ARGS (for `kurado demo` or pytest), e.g. make run ARGS="--port 9000".

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test check lock clean debian-test-packages

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
ARGS ?=

# What the tests drive from outside: compliance suite, clients, scanner, database, small disks.
TEST_PACKAGES := litmus cadaver davfs2 curl gvfs gvfs-backends libglib2.0-bin dbus clamav-daemon postgresql e2fsprogs mount procps

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed -n '1,/^$$/p'

run: $(STAMPS)/project-run
	@exec $(BIN)/kurado demo $(ARGS)

test: $(STAMPS)/project-dev debian-test-packages
	$(BIN)/pytest -rs $(ARGS)

check: $(STAMPS)/project-dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

debian-test-packages:
	@.ci/debian-packages "some tests" $(TEST_PACKAGES) || true

# -- the environment: made once, from the lock files, and brought up to date when they change --------------------------

$(BIN)/python:
	@.ci/check-python "$(PYTHON)"
	$(PYTHON) -m venv $(VENV)

$(STAMPS)/run: requirements.lock | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: requirements-dev.lock | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@mkdir -p $(STAMPS) && touch $@

# The project itself: editable, and built with the hatchling of the lock file.
$(STAMPS)/project-run: $(STAMPS)/run pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(STAMPS)/project-dev: $(STAMPS)/dev pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ $(STAMPS)/run $(STAMPS)/project-run

# hatchling and editables are locked too: the build fetches nothing of its own.
lock:
	$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/python -m pip install --quiet uv
	printf 'hatchling>=1.27\neditables>=0.5\n' >$(VENV)-lock/build.in
	$(VENV)-lock/bin/uv pip compile -q -U pyproject.toml $(VENV)-lock/build.in --extra dev --extra postgres \
		--universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make lock" \
		-o requirements-dev.lock
	$(VENV)-lock/bin/uv pip compile -q pyproject.toml $(VENV)-lock/build.in -c requirements-dev.lock \
		--universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make lock" \
		-o requirements.lock
	rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV)
