"""Numbers and names for new things: made in the process, so that no insert waits for the database to number it."""

from __future__ import annotations

import os
import secrets
import threading

_EPOCH_MS = 1_577_836_800_000  # 2020-01-01T00:00Z: 42 bits of milliseconds last until 2159
_RANDOM_BITS = 21
_RANDOM_MASK = (1 << _RANDOM_BITS) - 1
_DICE = 4  # bytes of chance in a number
_DRAWN = 256 * _DICE  # at once: each draw gives up the interpreter to other threads


class Ids:
    """Makes 63-bit numbers that grow with time and do not tell one tenant how busy another is."""

    def __init__(self) -> None:
        self._last = 0
        self._drawn = b""
        self._lock = threading.Lock()

    def new(self, now: int) -> int:
        """A number never given before by this process; ``now`` in ms. Two processes collide once in 2**21 tries of
        the same millisecond, and then the primary key refuses the second."""
        return self.block(now, 1).start

    def block(self, now: int, count: int) -> range:
        """So many numbers at once, one after the other, for things that come into being together. Blocks of two
        processes in the same millisecond collide ``count`` times as often."""
        with self._lock:
            self._drawn = self._drawn[_DICE:] or os.urandom(_DRAWN)
            dice = int.from_bytes(self._drawn[:_DICE])
            wanted = (max(0, now - _EPOCH_MS) << _RANDOM_BITS) | (dice & _RANDOM_MASK)
            first = max(self._last + 1 + (dice >> _RANDOM_BITS & 15), wanted)
            self._last = first + count - 1
        return range(first, first + count)


def new_boot_id() -> str:
    """Names one life of one process: 12 hex digits. Blob ids, reservations and traffic carry it."""
    return secrets.token_hex(6)


def new_blob_id(boot_id: str, number: int, tenant_id: int) -> str:
    """Names a blob: the process that wrote it (its lease guards it until a version names it), a number of its own, and
    the tenant whose bytes these are (see ``gateway.blobstore.owner_of``)."""
    return f"{boot_id}-{number:x}.{tenant_id:x}"


SMALL_BYTES = 16 * 1024
"""Contents up to this size are rows of the database where the storage is a plain local one: a row is flushed together
with the version that names it, and with those of others, while a file costs three flushes of its own. At 16 KiB writing
the bytes twice (journal, then database) costs about as much as one flush saves; a database full of more grows unwieldy.
"""


def small_blob_id(boot_id: str, number: int, tenant_id: int) -> str:
    """Names a blob that is a row of the database: the number in it ends with ``i`` (in line), which no other does."""
    return f"{boot_id}-{number:x}i.{tenant_id:x}"


def is_small(blob_id: str) -> bool:
    """Whether the blob was a row when it was written. A storage migration may have made an ordinary one of it."""
    return blob_id.partition(".")[0].endswith("i")


def new_request_id() -> str:
    """Names one request in answers and logs: 16 hex digits."""
    return os.urandom(8).hex()
