"""The local backend on disks that are full, read-only, gone, or lose their power (RESILIENCE 1, 3, 6)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.blobstore import BlobStore
from gateway.domain.errors import BackendUnavailable, NotFound, StorageFull
from gateway.testing.blobstore_contract import MIB, pattern, put, read
from gateway.testing.loopdisk import LoopDisk, loop_disk
from storage_backends.local import LocalStore, create


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk]:
    with loop_disk(tmp_path) as disk:
        yield disk


def keys(store: BlobStore) -> list[str]:
    return sorted(info.key for info in store.list())


def test_a_full_disk_refuses_new_blobs_and_keeps_the_old(disk: LoopDisk) -> None:
    store = LocalStore(disk.folder / "store")
    put(store, "old", pattern(100_000))
    ballast = disk.fill(leave=MIB)
    with pytest.raises(StorageFull):
        put(store, "new", pattern(4 * MIB))
    disk.fill()
    with pytest.raises(StorageFull):
        put(store, "new", pattern(MIB))
    with pytest.raises(StorageFull):
        store.check()
    assert keys(store) == ["old"]
    assert list(store.staging.iterdir()) == []
    assert read(store, "old") == pattern(100_000)

    ballast.unlink()
    store.check()
    put(store, "new", pattern(4 * MIB))
    assert read(store, "new") == pattern(4 * MIB)


def test_blobs_can_be_deleted_from_a_full_disk(disk: LoopDisk) -> None:
    store = LocalStore(disk.folder / "store")
    put(store, "old", pattern(2 * MIB))
    disk.fill()
    store.delete("old")
    put(store, "new", pattern(MIB))
    assert keys(store) == ["new"]


def test_a_read_only_disk_is_read_and_says_that_it_takes_nothing(disk: LoopDisk) -> None:
    store = LocalStore(disk.folder / "store")
    put(store, "old", b"old")
    disk.remount("ro")
    store = LocalStore(disk.folder / "store")
    assert read(store, "old") == b"old"
    for act in (lambda: put(store, "new", b"new"), lambda: store.delete("old"), store.check):
        with pytest.raises(BackendUnavailable):
            act()
    disk.remount("rw")
    store.check()
    assert keys(store) == ["old"]


def test_a_disk_that_was_unmounted_is_unavailable_and_its_blobs_not_lost(disk: LoopDisk) -> None:
    store = LocalStore(disk.folder / "store")
    put(store, "old", b"old")
    disk.unmount()
    for act in (
        lambda: store.open("old"),
        lambda: store.stat("old"),
        lambda: store.delete("old"),
        lambda: list(store.list()),
        lambda: put(store, "new", b"new"),
        store.check,
    ):
        with pytest.raises(BackendUnavailable):
            act()
    disk.mount()
    assert read(store, "old") == b"old"


WRITER = """
import sys
from pathlib import Path
from storage_backends.local import LocalStore
from gateway.testing.blobstore_contract import pattern
store, number = LocalStore(Path(sys.argv[1])), int(sys.argv[2])
while True:
    key, old = f"blob/{number}", f"blob/{number - 5}"
    writer = store.writer(key)
    for start in range(0, 40_000, 4096):
        writer.write(pattern(40_000, number)[start:start + 4096])
    writer.commit()
    print("stored", number, flush=True)
    if number % 3 == 0:
        store.delete(old)
        print("deleted", number - 5, flush=True)
    number += 1
"""


def run_writer(folder: Path, first: int, lines: int) -> tuple[subprocess.Popen[str], list[tuple[str, int]]]:
    """A process that stores and deletes until it is killed; what it acknowledged in its first ``lines`` lines."""
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(folder), str(first)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    seen = []
    for _ in range(lines):
        verb, number = child.stdout.readline().split()
        seen.append((verb, int(number)))
    return child, seen


def rest_of(child: subprocess.Popen[str]) -> list[tuple[str, int]]:
    child.send_signal(signal.SIGKILL)
    text = child.communicate(timeout=120)[0]
    words = [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [(verb, int(number)) for verb, number in words]


def expect(store: BlobStore, seen: list[tuple[str, int]]) -> None:
    """All that was acknowledged holds; nothing that is there is torn."""
    deleted = {number for verb, number in seen if verb == "deleted"}
    # the last deletion may have been done without having been told
    asked = {number - 5 for verb, number in seen if verb == "stored" and number % 3 == 0}
    for verb, number in seen:
        if verb == "stored" and number not in asked | deleted:
            assert read(store, f"blob/{number}") == pattern(40_000, number)
    for number in deleted:
        with pytest.raises(NotFound):
            store.stat(f"blob/{number}")
    for info in store.list():
        assert read(store, info.key) == pattern(40_000, int(info.key.removeprefix("blob/")))


def test_nothing_acknowledged_is_lost_and_nothing_torn_when_the_process_is_killed(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []
    for first in (0, 10_000, 20_000):
        child, lines = run_writer(tmp_path, first, 60)
        seen += lines + rest_of(child)
        store = create({"path": str(tmp_path)}, tmp_path)
        expect(store, seen)
    assert list((tmp_path / "staging").iterdir()) == []


def test_nothing_acknowledged_is_lost_when_the_power_is_cut(disk: LoopDisk) -> None:
    seen: list[tuple[str, int]] = []
    for round_, first in enumerate((0, 10_000, 20_000, 30_000)):
        child, lines = run_writer(disk.folder / "store", first, 20 + 7 * round_)
        os.kill(child.pid, signal.SIGSTOP)
        seen += lines + rest_of(child)
        disk.cut_power()
        disk.mount()
        store = LocalStore(disk.folder / "store")
        expect(store, seen)
        assert list(store.staging.iterdir()) == []


def test_files_of_living_writers_are_not_swept(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    writer = store.writer("slow")
    writer.write(b"slow ")
    LocalStore(tmp_path)
    writer.write(b"but alive")
    writer.commit()
    assert read(store, "slow") == b"slow but alive"
