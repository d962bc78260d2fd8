"""A forked process begins clean and ends with a status."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

from gateway.forking import fork


def test_a_child_ends_with_the_status_of_its_work(tmp_path: Path) -> None:
    with (tmp_path / "output").open("w") as output:

        def raises() -> None:
            raise RuntimeError("a fault of the child")

        good = fork("good", lambda: None, keep=(), output=output.fileno())
        told = fork("told", lambda: sys.exit(7), keep=(), output=output.fileno())
        bad = fork("bad", raises, keep=(), output=output.fileno())
        assert [one.wait(120) for one in (good, told, bad)] == [0, 7, 1]
    assert "a fault of the child" in (tmp_path / "output").read_text()


def test_a_child_has_no_descriptor_of_its_parent_but_those_it_is_given(tmp_path: Path) -> None:
    read, write = os.pipe()
    kept, other = socket.socket(), socket.socket()

    def work() -> None:
        found = sorted(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
        os.write(write, repr((found, kept.fileno())).encode())

    with (tmp_path / "output").open("w") as output, kept, other:
        fork("child", work, keep=(write, kept.fileno()), output=output.fileno()).wait(120)
    os.close(write)
    found, own = eval(os.read(read, 4096))  # noqa: S307 our own child wrote it
    os.close(read)
    assert set(found) >= {0, 1, 2, own, write}
    assert len(set(found) - {0, 1, 2, own, write}) <= 1, "only the listing's own descriptor may come in"


def test_a_signal_for_a_child_does_not_reach_a_handler_of_its_parent(tmp_path: Path) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        with (tmp_path / "output").open("w") as output:
            child = fork("child", lambda: time.sleep(30), keep=(), output=output.fileno())
            child.terminate()
            assert child.wait(120) == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not seen


def test_who_is_buried_is_not_signalled_again(tmp_path: Path) -> None:
    with (tmp_path / "output").open("w") as output:
        child = fork("child", lambda: None, keep=(), output=output.fileno())
    assert child.wait(120) == 0
    child.kill()
    assert child.poll() == 0
