"""Blobs read once from one end to the other, as for the digest of a whole: a block ahead of who works on them, and what
are files of this machine past the page cache, for to fill that costs more than the digest."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from typing import BinaryIO

from gateway.blobstore import BlobStore, LocalPaths
from gateway.domain.errors import BackendUnavailable
from gateway.service import buffers
from gateway.service.directio import set_direct


def read_through(store: BlobStore, blobs: Iterable[tuple[str, int]]) -> Generator[memoryview, None, None]:
    """The bytes of blobs (id, size), one after another. A block is the caller's until it asks for the next one. Raises
    what reading raises, BackendUnavailable when a blob is shorter."""
    turns = (buffers.lend(), buffers.lend())
    source = _each(store, blobs, itertools.cycle(turns))
    with ThreadPoolExecutor(1, thread_name_prefix="read") as reader:
        coming = reader.submit(next, source, None)
        while (block := coming.result()) is not None:
            coming = reader.submit(next, source, None)
            yield block
    for buffer in turns:
        buffers.give_back(buffer)


def _each(store: BlobStore, blobs: Iterable[tuple[str, int]], turns: Iterator[memoryview]) -> Iterator[memoryview]:
    for key, left in blobs:
        file = _own_file(store, key)
        with file or store.open(key) as stream:
            while left > 0:
                buffer = next(turns)
                size = _fill(stream, buffer)
                if not size:
                    raise BackendUnavailable("the storage ended a blob early")
                left -= size
                yield buffer[:size]


def _own_file(store: BlobStore, key: str) -> FileIO | None:
    path = store.local_path(key) if isinstance(store, LocalPaths) else None
    try:
        file = FileIO(path, "rb") if path is not None else None
    except OSError:
        return None  # the store tells what that means
    if file is not None:
        set_direct(file, True)
    return file


def _fill(stream: FileIO | BinaryIO, buffer: memoryview) -> int:
    if not isinstance(stream, FileIO):
        block = stream.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)
    try:
        try:
            return stream.readinto(buffer) or 0
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            set_direct(stream, False)  # it has sectors of another size
            return stream.readinto(buffer) or 0
    except OSError as error:
        raise BackendUnavailable("the storage cannot be read") from error
