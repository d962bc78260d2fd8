"""Blobs in the memory of one process: for tests and trials. Other processes of the gateway do not see them.

Settings: ``capacity`` in bytes (default unlimited), above which the store is full.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from gateway.blobstore import BlobInfo, BlobStore, BlobWriter, check_key
from gateway.domain.errors import NotFound, StorageFull


def create(settings: Mapping[str, Any], data_dir: Path) -> BlobStore:  # noqa: ARG001 - the signature of all backends
    """The entry point."""
    if unknown := sorted(set(settings) - {"capacity"}):
        raise ValueError(f"{unknown[0]}: unknown setting of the memory backend; it knows capacity")
    capacity = settings.get("capacity")
    if capacity is not None and (not isinstance(capacity, int) or isinstance(capacity, bool) or capacity < 0):
        raise ValueError(f"capacity: {capacity!r} is no number of bytes")
    return MemoryStore(capacity)


class MemoryStore:
    """A mapping from keys to bytes under one lock."""

    def __init__(self, capacity: int | None = None) -> None:
        self._capacity = capacity
        self._blobs: dict[str, tuple[BlobInfo, bytes]] = {}
        self._lock = threading.Lock()
        self._used = 0

    def writer(self, key: str) -> BlobWriter:
        return _Writer(self, check_key(key))

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        if start < 0 or (length is not None and length < 0):
            raise ValueError("start and length may not be negative")
        _, content = self._get(key)
        return io.BytesIO(content[start:] if length is None else content[start : start + length])

    def stat(self, key: str) -> BlobInfo:
        return self._get(key)[0]

    def delete(self, key: str) -> None:
        check_key(key)
        with self._lock:
            gone = self._blobs.pop(key, None)
            self._used -= len(gone[1]) if gone else 0

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        with self._lock:
            found = [info for key, (info, _) in self._blobs.items() if key.startswith(prefix)]
        yield from found

    def check(self) -> None:
        with self._lock:
            if self._capacity is not None and self._used >= self._capacity:
                raise StorageFull("the storage is full")

    def close(self) -> None:
        """Nothing to give back."""

    def put(self, key: str, content: bytes) -> BlobInfo:
        """Makes the bytes readable at once, if there is room."""
        info = BlobInfo(key, len(content), time.time_ns() // 1_000_000)
        with self._lock:
            old = self._blobs.get(key)
            used = self._used + len(content) - (len(old[1]) if old else 0)
            if self._capacity is not None and used > self._capacity:
                raise StorageFull("the storage is full")
            self._blobs[key] = (info, content)
            self._used = used
        return info

    def _get(self, key: str) -> tuple[BlobInfo, bytes]:
        check_key(key)
        with self._lock:
            try:
                return self._blobs[key]
            except KeyError:
                raise NotFound(f"no blob {key}") from None


class _Writer:
    def __init__(self, store: MemoryStore, key: str) -> None:
        self._store, self._key = store, key
        self._bytes: bytearray | None = bytearray()
        self._done: BlobInfo | None = None

    def write(self, block: bytes) -> None:
        if self._bytes is None:
            raise ValueError("the writer has ended")
        self._bytes += block

    def commit(self) -> BlobInfo:
        if self._done is None:
            if self._bytes is None:
                raise ValueError("the writer was aborted")
            self._done = self._store.put(self._key, bytes(self._bytes))
            self._bytes = None
        return self._done

    def abort(self) -> None:
        self._bytes = None
