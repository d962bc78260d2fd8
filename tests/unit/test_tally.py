"""Counting wrong logins together: what one process writes, the others see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.domain.errors import RateLimited
from gateway.service.tally import MAX_ENTRIES, OwnTally, SharedTally, open_tally
from gateway.service.throttle import PAIR, Throttle

ACCOUNT, ADDRESS = ("acme", "ann"), "192.0.2.1"


def test_figures_are_read_by_everybody_who_opens_the_file(tmp_path: Path) -> None:
    one, other = SharedTally(tmp_path / "t"), SharedTally(tmp_path / "t")
    one.put(("a", "b"), 2.5, 7)
    assert other.get(("a", "b")) == (2.5, 7)
    assert other.get(("ab", "")) is None
    other.drop(("a", "b"))
    assert one.get(("a", "b")) is None


def test_another_process_counts_in_the_same_table(tmp_path: Path) -> None:
    throttle = Throttle(SharedTally(tmp_path / "t"))
    script = (
        "import sys; from pathlib import Path; from gateway.service.tally import SharedTally\n"
        "from gateway.service.throttle import Throttle\n"
        "throttle = Throttle(SharedTally(Path(sys.argv[1])))\n"
        "for _ in range(5): throttle.failed(('acme', 'ann'), '192.0.2.1', 0)\n"
    )
    for _ in range(PAIR.limit // 5):
        throttle.check(ACCOUNT, ADDRESS, 0)
        subprocess.run([sys.executable, "-P", "-c", script, str(tmp_path / "t")], check=True)
    with pytest.raises(RateLimited):
        throttle.check(ACCOUNT, ADDRESS, 0)
    throttle.check(ACCOUNT, "192.0.2.2", 0)


def test_a_full_table_forgets_what_was_longest_untouched(tmp_path: Path) -> None:
    tally = SharedTally(tmp_path / "t")
    for n in range(2 * MAX_ENTRIES):
        tally.put((str(n),), 1.0, n)
    assert sum(tally.get((str(n),)) is not None for n in range(100)) < 10
    assert all(tally.get((str(n),)) for n in range(2 * MAX_ENTRIES - 100, 2 * MAX_ENTRIES))
    assert (tmp_path / "t").stat().st_size < 1024 * 1024


def test_something_else_in_its_place_is_made_anew_and_no_name_stands_in_it(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"x" * 5000)
    tally = SharedTally(tmp_path / "t")
    assert tally.get(("hanako",)) is None
    tally.put(("hanako",), 1.0, 1)
    assert b"hanako" not in (tmp_path / "t").read_bytes()


def test_without_a_file_each_process_counts_for_itself(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert isinstance(open_tally(tmp_path / "file" / "t"), OwnTally)
