"""Staged bytes are those that were given, by whatever way they go to the disk."""

from __future__ import annotations

import fcntl
import os
import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.domain.errors import StorageFull
from gateway.service import buffers
from gateway.service.staging import DIRECT_BYTES, Staging
from gateway.testing.needs import need

CONTENT = random.Random(5).randbytes(DIRECT_BYTES + 12_345)


def lent(content: bytes) -> memoryview:
    """The content in a buffer as the gate fills it."""
    buffer = buffers.lend()[: len(content)]
    buffer[:] = content
    return buffer


def blocks_of(content: bytes, size: int = buffers.SIZE) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def is_direct(path: Path) -> bool:
    for open_file in Path("/proc/self/fd").iterdir():
        if open_file.resolve() == path.resolve():
            return bool(fcntl.fcntl(int(open_file.name), fcntl.F_GETFL) & os.O_DIRECT)
    raise AssertionError("the file is not open")


def staged(folder: Path, blocks: Iterator[bytes | memoryview], expected: int = len(CONTENT)) -> bytes:
    staging = Staging(folder, "one", flush=True)
    staging.expect(expected)
    for block in blocks:
        staging.write(block)
    staging.end()
    content = Path(staging.path()).read_bytes()
    assert staging.size == len(content)
    staging.discard()
    assert list(folder.iterdir()) == []
    return content


@pytest.mark.parametrize("size", [buffers.SIZE, 4096, 100_000, 4095, 700_001])
def test_blocks_of_any_size_come_out_whole(tmp_path: Path, size: int) -> None:
    assert staged(tmp_path, (lent(block) for block in blocks_of(CONTENT, size))) == CONTENT


def test_blocks_from_anywhere_in_memory_come_out_whole(tmp_path: Path) -> None:
    assert staged(tmp_path, iter(blocks_of(CONTENT))) == CONTENT
    mixed = (block if n % 2 else lent(block) for n, block in enumerate(blocks_of(CONTENT)))
    assert staged(tmp_path, mixed) == CONTENT


def test_only_large_files_pass_the_page_cache_and_only_to_their_last_sector(tmp_path: Path) -> None:
    need(direct_io=tmp_path)
    for expected, direct in ((DIRECT_BYTES - 1, False), (len(CONTENT), True)):
        staging = Staging(tmp_path, "one", flush=True)
        staging.expect(expected)
        staging.write(lent(CONTENT[: buffers.SIZE]))
        assert is_direct(tmp_path / "one") is direct
        staging.write(lent(CONTENT[:12_345]))
        assert not is_direct(tmp_path / "one")
        staging.discard()


def test_a_file_system_without_direct_writes_takes_them_too() -> None:
    folder = Path("/dev/shm") / f"kurado-staging-{os.getpid()}"
    folder.mkdir()
    try:
        assert staged(folder, (lent(block) for block in blocks_of(CONTENT))) == CONTENT
    finally:
        folder.rmdir()


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [3 * buffers.SIZE, 3 * buffers.SIZE + 5000, 3 * buffers.SIZE + 8192])
def test_a_disk_that_becomes_full_is_told_and_nothing_stays(tmp_path: Path, limit: int) -> None:
    staging = Staging(tmp_path, "one", flush=True)
    staging.expect(len(CONTENT))
    with no_file_above(limit), pytest.raises(StorageFull):
        for block in blocks_of(CONTENT):
            staging.write(lent(block))
    staging.discard()
    assert list(tmp_path.iterdir()) == []
