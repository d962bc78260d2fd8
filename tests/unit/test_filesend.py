"""Small pieces of files: from memory at once, or from the disk in a thread."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from gateway.exchange import FileBody
from gateway.gate.filesend import Truncated, read_at_hand, read_small

CONTENT = bytes(range(256)) * 1024


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(CONTENT)
    opened = os.open(tmp_path / "file", os.O_RDONLY)
    yield opened
    os.close(opened)


def body(*slices: tuple[bytes, int, int], tail: bytes = b"") -> FileBody:
    return FileBody(slices, lambda start, length: pytest.fail("not by name"), tail=tail)


def test_pieces_come_with_what_stands_between_them(descriptor: int) -> None:
    asked = body((b"<", 3, 5), (b"><", 70_000, 2), tail=b">")
    expected = b"head:<" + CONTENT[3:8] + b"><" + CONTENT[70_000:70_002] + b">"
    assert read_small(descriptor, asked, b"head:") == expected
    assert read_at_hand(descriptor, asked, b"head:") in (expected, None)  # None: this file system cannot say


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EOPNOTSUPP])
def test_what_is_not_in_memory_is_not_waited_for(descriptor: int, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    read = os.preadv

    def wait_only(descriptor: int, buffers: Sequence[memoryview], offset: int, flags: int) -> int:
        if flags == os.RWF_NOWAIT:
            raise OSError(number, os.strerror(number))
        return read(descriptor, buffers, offset, flags)

    monkeypatch.setattr(os, "preadv", wait_only)
    assert read_at_hand(descriptor, body((b"", 0, 4096)), b"") is None
    assert read_small(descriptor, body((b"", 0, 4096)), b"") == CONTENT[:4096]


def test_a_file_that_ends_too_early_is_never_taken_for_whole(descriptor: int) -> None:
    asked = body((b"", len(CONTENT) - 10, 20))
    assert read_at_hand(descriptor, asked, b"head:") is None
    with pytest.raises(Truncated):
        read_small(descriptor, asked, b"head:")
