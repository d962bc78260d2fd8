"""The program that other tests run many times is the program: arguments, streams, folder, environment, status."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from gateway.testing.server import COMMAND
from gateway.testing.warm import program


def run(command: list[str], folder: Path, *words: str, **options: object) -> tuple[int, str, str]:
    done = subprocess.run([*command, *words], cwd=folder, capture_output=True, text=True, timeout=300, **options)  # type: ignore[call-overload]
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "words",
    [["--help"], ["tenant", "list"], ["tenant", "show", "nobody"], ["nonsense"], ["policy", "show", "terms"]],
    ids=" ".join,
)
def test_it_answers_as_the_installed_program_does(tmp_path: Path, words: list[str]) -> None:
    assert run([str(program())], tmp_path, "init", ".")[0] == 0
    assert run([str(program())], tmp_path, *words) == run([*COMMAND], tmp_path, *words)


def test_it_reads_its_input_and_its_environment(tmp_path: Path) -> None:
    warm = [str(program())]
    run(warm, tmp_path, "init", "home")
    config = {"KURADO_CONFIG": str(tmp_path / "home" / "gateway.yaml"), "PATH": "/usr/bin"}
    assert run(warm, tmp_path, "tenant", "add", "acme", env=config)[0] == 0
    added = run(
        warm, tmp_path, "user", "add", "acme", "ann", "--password-stdin", env=config, input="long enough words\n"
    )
    assert added[0] == 0, added
    assert [
        user["login"] for user in json.loads(run(warm, tmp_path, "user", "list", "acme", "--json", env=config)[1])
    ] == ["ann"]


def test_who_is_killed_takes_its_run_along(tmp_path: Path) -> None:
    run([str(program())], tmp_path, "init", ".")
    with subprocess.Popen(
        [str(program()), "user", "add", "acme", "ann", "--password-stdin"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as waiting:
        waiting.kill()
        out, _ = waiting.communicate(timeout=120)  # ends when nobody holds the pipe any more
        assert waiting.returncode == -signal.SIGKILL
        assert out == b""
