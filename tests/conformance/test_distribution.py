"""The wheel holds what the program needs and nothing else; the lock files name all of it, with hashes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGES = ("gateway", "plugins", "storage_backends", "policies")
ELSEWHERE: dict[str, str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", *ELSEWHERE):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "-w", str(target), str(source)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(target.glob("kurado-*.whl")))


def test_the_wheel_holds_exactly_the_four_packages(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_the_wheel_holds_every_file_of_the_packages(wheel: zipfile.ZipFile) -> None:
    files = {
        str(file.relative_to(ROOT))
        for name in PACKAGES
        for file in (ROOT / name).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert files <= set(wheel.namelist())
    assert {f"{name}/py.typed" for name in PACKAGES} <= files
    for source, place in ELSEWHERE.items():
        assert wheel.read(place) == (ROOT / source).read_bytes()
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def pins(lock: str) -> dict[str, str]:
    """Normalised name → version of a lock file."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", (ROOT / lock).read_text("utf-8"), re.MULTILINE)
    return {normalised(name): version for name, version in found}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", name)[0]).lower()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes_and_no_registry_is_named(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    for block in re.split(r"\n(?=[A-Za-z0-9])", text.partition("\n#    make lock\n")[2]):
        assert "--hash=sha256:" in block, block
    assert not re.search(r"https?:|index-url|find-links", text)


def test_the_lock_files_name_every_dependency_and_agree() -> None:
    run, dev, build = map(pins, LOCKS)
    project = PROJECT["project"]
    assert {normalised(name) for name in project["dependencies"]} <= set(run)
    for extra in ("dev", "postgres"):
        assert {normalised(name) for name in project["optional-dependencies"][extra]} <= set(dev)
    assert {normalised(name) for name in PROJECT["build-system"]["requires"]} <= set(build)
    for name, version in (run | build).items():
        assert dev[name] == version, name
