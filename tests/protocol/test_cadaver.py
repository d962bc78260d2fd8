"""cadaver: a scripted round trip of everything that it can do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.testing.needs import need
from gateway.testing.outside import Space, run, running_space

SCRIPT = """\
mkcol sub
put a.txt sub/a.txt
lock sub/a.txt
put b.txt sub/a.txt
discover sub/a.txt
unlock sub/a.txt
propset sub/a.txt colour blue
propget sub/a.txt colour
copy sub/a.txt sub/copy.txt
move sub/copy.txt sub/moved.txt
get sub/moved.txt back.txt
copy sub/ sub2/
ls sub2
delete sub2/moved.txt
rmcol sub2
move sub/ other/
ls other
ls
quit
"""


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    need("cadaver")
    with running_space(tmp_path_factory.mktemp("gateway")) as space:
        yield space


def test_cadaver_stores_locks_describes_copies_moves_and_removes(space: Space, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text(space.netrc)
    (tmp_path / ".netrc").chmod(0o600)
    (tmp_path / "a.txt").write_bytes(b"first\n")
    (tmp_path / "b.txt").write_bytes(b"second\n" * 10_000)

    done = run("cadaver", space.url, cwd=tmp_path, env={"HOME": str(tmp_path)}, text=SCRIPT)

    assert "failed" not in done.output, done.output
    steps = [line for line in done.output.splitlines() if line.rstrip().endswith("succeeded.")]
    assert len(steps) == 16, done.output
    assert "Value of colour is: blue" in done.output
    assert (tmp_path / "back.txt").read_bytes() == b"second\n" * 10_000
    listing = done.output.rpartition("ls other")[2]
    assert "a.txt" in listing and "moved.txt" in listing
    assert "sub2" not in done.output.rpartition("> ls\n")[2]
