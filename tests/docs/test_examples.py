"""Every example of the documentation that is marked with ``run`` is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import config
from gateway.testing.examples import Example, examples
from gateway.testing.warm import program

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
YAML = [example for page in PAGES for example in examples(page) if example.runs and example.language == "yaml"]


def running(page: Path, language: str) -> list[Example]:
    return [example for example in examples(page) if example.runs and example.language == language]


def test_only_what_can_be_run_is_marked() -> None:
    for page in PAGES:
        for example in examples(page):
            assert not example.runs or example.language in {"python", "sh", "yaml"}, str(example)


@pytest.mark.parametrize("page", [page for page in PAGES if running(page, "python")], ids=lambda page: page.name)
def test_python_examples_run_from_top_to_bottom_of_their_page(page: Path, tmp_path: Path) -> None:
    """As one test module, so that test classes in it are collected and run."""
    module = tmp_path / "test_page.py"
    module.write_text("\n\n".join(example.text for example in running(page, "python")) + "\n\ndef test_ran(): pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", tmp_path]
    done = subprocess.run([*command, module], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", [page for page in PAGES if running(page, "sh")], ids=lambda page: page.name)
def test_shell_examples_run_from_top_to_bottom_of_their_page(page: Path, tmp_path: Path) -> None:
    script = "\n".join(example.text for example in running(page, "sh"))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("KURADO_")}
    environ["PATH"] = f"{program().parent}:{Path(sys.executable).parent}:{environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("example", YAML, ids=str)
def test_yaml_examples_are_accepted(example: Example, tmp_path: Path) -> None:
    """The first line says which file the example is: ``# gateway.yaml`` or ``# policies/NAME.yaml``."""
    name = example.text.partition("\n")[0].removeprefix("# ")
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(example.text)
    if name == "gateway.yaml":
        config.load(file, {})
        return
    kurado = program()
    subprocess.run([kurado, "init", "here"], cwd=tmp_path, check=True, capture_output=True, timeout=600)
    command = [kurado, "--config", "here/gateway.yaml", "policy", "check", file]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
