"""Contents of small files, remembered for seconds: most reads ask for what was read just before.

A blob's bytes never change, so what is remembered is right; whether somebody may read it is decided before, on each
request. What was erased must soon be gone from memory, too: nothing stays longer than two turns, however often it is
asked for.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

Read = Callable[[int, int], BinaryIO]

SMALL = 32 * 1024
"""Larger contents are not kept: reading them costs more than finding them."""
ROOM = 6 * 1024 * 1024
"""Bytes that are kept in a turn, so in all twice as much: a thousand small files, in a process of some 60 MiB."""
TURN_SECONDS = 5.0
_OVERHEAD = 256


class Recent:
    """By blob id. Safe to use from any thread. Without ``turn`` being called nothing must be kept: ``room`` is 0 until
    somebody who calls it has set it."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self._young: dict[str, bytes] = {}
        self._old: dict[str, bytes] = {}
        self._size = 0

    def get(self, blob_id: str) -> bytes | None:
        data = self._young.get(blob_id)
        return self._old.get(blob_id) if data is None else data

    def keep(self, blob_id: str, data: bytes) -> None:
        size = len(data) + _OVERHEAD
        if len(data) > SMALL or size > self.room:
            return
        if self._size + size > self.room:
            self.turn()
        self._young[blob_id] = data
        self._size += size

    def turn(self) -> None:
        """Forgets what was kept before the last turn."""
        self._old, self._young, self._size = self._young, {}, 0

    def opened(self, blob_id: str, size: int, read: Read) -> Read:
        """``read`` for a blob of ``size`` bytes: a small one is read whole, and kept."""
        if size > SMALL or not self.room:
            return read

        def open_range(start: int, length: int) -> BinaryIO:
            with read(0, size) as stream:
                data = stream.read()
            if len(data) == size:
                self.keep(blob_id, data)
            return io.BytesIO(data[start : start + length])

        return open_range


def read_file(file: Path, size: int) -> bytes | None:
    """The bytes of a small file on this machine; None when they cannot be had."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(descriptor, size + 1)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    return data if len(data) == size else None
