"""Figures by key that all processes of this machine see: a small table in a file that each of them maps.

A key is kept as a hash, keyed by the table's own secret, so that nobody can choose keys that push others out and no
name stands in the file. The table has a fixed size; where it is full, the entry that was longest untouched gives way.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import mmap
import os
import secrets
import struct
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

MAX_ENTRIES = 32_768
_WAYS = 8  # entries that share a place in the table
_ENTRY = struct.Struct("<Qdq")
_HEAD = 32
_MAGIC = b"KTALLY1\n"
_SECRET = slice(len(_MAGIC), len(_MAGIC) + 16)
_SIZE = _HEAD + MAX_ENTRIES * _ENTRY.size

log = logging.getLogger("kurado.logins")


class Tally(Protocol):
    """(level, time) by key. Reading and writing back is done under ``held``."""

    def get(self, key: Sequence[str]) -> tuple[float, int] | None: ...
    def put(self, key: Sequence[str], level: float, at: int) -> None: ...
    def drop(self, key: Sequence[str]) -> None: ...
    @contextmanager
    def held(self) -> Iterator[None]: ...
    def close(self) -> None: ...


class OwnTally:
    """Of this process alone."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[str, ...], tuple[float, int]] = OrderedDict()

    def get(self, key: Sequence[str]) -> tuple[float, int] | None:
        return self._entries.get(tuple(key))

    def put(self, key: Sequence[str], level: float, at: int) -> None:
        self._entries[tuple(key)] = (level, at)
        self._entries.move_to_end(tuple(key))
        if len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)

    def drop(self, key: Sequence[str]) -> None:
        self._entries.pop(tuple(key), None)

    @contextmanager
    def held(self) -> Iterator[None]:
        yield

    def close(self) -> None:
        """There is nothing to give back."""


class SharedTally:
    """Shared through a file, made if it is missing or not such a table. OSError when it cannot be."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with self.held():
            if os.pread(self._file, len(_MAGIC), 0) != _MAGIC or os.fstat(self._file).st_size != _SIZE:
                os.ftruncate(self._file, 0)
                os.ftruncate(self._file, _SIZE)
                os.pwrite(self._file, _MAGIC + secrets.token_bytes(16), 0)
        self._table = mmap.mmap(self._file, _SIZE)
        self._secret = bytes(self._table[_SECRET])

    @contextmanager
    def held(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        self._table.close()
        os.close(self._file)

    def get(self, key: Sequence[str]) -> tuple[float, int] | None:
        wanted = self._hash(key)
        for place in self._places(wanted):
            found, level, at = _ENTRY.unpack_from(self._table, place)
            if found == wanted:
                return level, at
        return None

    def put(self, key: Sequence[str], level: float, at: int) -> None:
        wanted = self._hash(key)
        chosen, oldest = 0, None
        for place in self._places(wanted):
            found, _, touched = _ENTRY.unpack_from(self._table, place)
            if found == wanted:
                chosen = place
                break
            if oldest is None or touched < oldest:
                chosen, oldest = place, touched
        _ENTRY.pack_into(self._table, chosen, wanted, level, at)

    def drop(self, key: Sequence[str]) -> None:
        wanted = self._hash(key)
        for place in self._places(wanted):
            if _ENTRY.unpack_from(self._table, place)[0] == wanted:
                _ENTRY.pack_into(self._table, place, 0, 0.0, 0)

    def _hash(self, key: Sequence[str]) -> int:
        parts = [part.encode("utf-8", "surrogatepass") for part in key]
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        digest = hashlib.blake2b(message, digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest, "little") or 1  # 0 is an empty place

    def _places(self, wanted: int) -> range:
        start = _HEAD + wanted % (MAX_ENTRIES // _WAYS) * _WAYS * _ENTRY.size
        return range(start, start + _WAYS * _ENTRY.size, _ENTRY.size)


def open_tally(path: Path) -> Tally:
    """The table in this file; one of this process alone where it cannot be had."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return SharedTally(path)
    except OSError as error:
        log.warning("wrong logins are counted by each process for itself", extra={"reason": str(error)})
        return OwnTally()
