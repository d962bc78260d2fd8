"""litmus, the WebDAV compliance suite: no failure, and no warning that docs/clients.md does not explain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.testing.needs import need
from gateway.testing.outside import Space, run, running_space

CLIENTS = Path(__file__).parents[2] / "docs" / "clients.md"


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    need("litmus")
    with running_space(tmp_path_factory.mktemp("gateway")) as space:
        yield space


@pytest.mark.parametrize("suite", ["basic", "copymove", "props", "locks", "http"])
def test_a_litmus_suite_passes_and_every_warning_is_explained(space: Space, tmp_path: Path, suite: str) -> None:
    done = run("litmus", "-k", space.url, space.user, space.password, cwd=tmp_path, env={"TESTS": suite}, check=False)
    summary = re.search(r"of (\d+) tests run: (\d+) passed, (\d+) failed", done.output)
    assert summary, done.output + done.errors
    total, passed, failed = map(int, summary.groups())
    assert (passed, failed) == (total, 0), done.output
    assert "skipped" not in done.output.lower(), done.output
    explained = CLIENTS.read_text()
    for warning in re.findall(r"WARNING: (.+)", done.output):
        assert warning.strip() in explained, f"{suite}: {warning}"
