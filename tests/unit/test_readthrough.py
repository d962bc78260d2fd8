"""Blobs come as they were stored, in their order; what is missing or short is told."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import pytest

from gateway.blobstore import BlobStore, PassThrough
from gateway.domain.errors import BackendUnavailable, NotFound
from gateway.service import buffers
from gateway.service.readthrough import read_through
from storage_backends.local import LocalStore

SIZES = [buffers.SIZE * 3, 1, buffers.SIZE + 4097, 4096, buffers.SIZE - 1, 5_000_000]
CONTENTS = [random.Random(size).randbytes(size) for size in SIZES]


@pytest.fixture
def local(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path)
    for n, content in enumerate(CONTENTS):
        writer = store.writer(f"blob-{n}")
        writer.write(content)
        writer.commit()
    return store


def blobs(*extra: tuple[str, int]) -> list[tuple[str, int]]:
    return [*((f"blob-{n}", size) for n, size in enumerate(SIZES)), *extra]


@pytest.mark.parametrize("near", [True, False], ids=["files", "streams"])
def test_blobs_come_whole_and_in_order(local: LocalStore, near: bool) -> None:
    store: BlobStore = local if near else PassThrough(local)
    assert b"".join(bytes(block) for block in read_through(store, blobs())) == b"".join(CONTENTS)


@pytest.mark.parametrize("near", [True, False], ids=["files", "streams"])
def test_what_is_short_or_missing_is_told(local: LocalStore, near: bool) -> None:
    store: BlobStore = local if near else PassThrough(local)
    with pytest.raises(BackendUnavailable):
        list(read_through(store, [("blob-0", SIZES[0] + 1)]))
    with pytest.raises(NotFound):
        list(read_through(store, blobs(("none", 1))))


def test_who_stops_in_the_middle_leaves_no_file_open(local: LocalStore) -> None:
    with closing(read_through(local, blobs())) as blocks:
        next(blocks)
    opened = [file.resolve() for file in Path("/proc/self/fd").iterdir()]
    assert not [file for file in opened if file.name.startswith("blob-")]
