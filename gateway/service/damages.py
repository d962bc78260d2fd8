"""Stored bytes that were found to be gone or other than those written: on record until they are whole again.

Whoever finds damage reports it, in any process; the replica, where there is one, is asked for the bytes by the steward
(plugin replication). A blob's damage is the alarm ``storage.damaged`` with its id.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from gateway.blobstore import BlobStore
from gateway.domain.errors import DamagedBlob, KuradoError, NotFound
from gateway.service.unit_of_work import Database

DAMAGED = "storage.damaged"
AGAIN_MS = 60_000
_BUFFER = 128 * 1024

log = logging.getLogger("kurado.storage")


class Damages:
    def __init__(self, db: Database, clock: Callable[[], int]) -> None:
        self._db = db
        self._clock = clock
        self._reported: dict[str, int] = {}

    def open(self, store: BlobStore, blob_id: str, start: int = 0, length: int | None = None) -> BinaryIO:
        """``store.open`` of a blob that a version names, with a report of what is wrong with it, now or later in the
        stream. The error goes on to the caller."""
        try:
            stream = store.open(blob_id, start, length)
        except (DamagedBlob, NotFound) as error:
            self.report(blob_id, error.message)
            raise
        if isinstance(stream, io.BytesIO):
            return stream
        watched = _Watched(stream, lambda error: self.report(blob_id, error.message))
        return cast(BinaryIO, io.BufferedReader(watched, _BUFFER))

    def report(self, blob_id: str, message: str) -> None:
        """Raises the alarm. Again within a minute is not worth a write: readers come back in crowds."""
        now = self._clock()
        if now - self._reported.get(blob_id, -AGAIN_MS) < AGAIN_MS:
            return
        log.error("damaged blob", extra={"blob": blob_id, "text": message})
        try:
            self._db.write(lambda tx: tx.system.alarm(DAMAGED, blob_id, message, now)).result()
            self._reported = {one: at for one, at in self._reported.items() if now - at < AGAIN_MS} | {blob_id: now}
        except KuradoError as error:
            log.error("alarm not stored", extra={"blob": blob_id, "why": str(error)})

    def open_reports(self) -> list[tuple[str, int, str] | tuple[str, None, str]]:
        """(blob id, size, SHA-256) of the reported blobs; size None for one that no version names any more."""
        ids = [alarm.subject for alarm in self._db.read(lambda tx: tx.system.alarms()) if alarm.kind == DAMAGED]
        known = self._db.read(lambda tx: tx.nodes.digests(ids)) if ids else {}
        return [(one, *known[one]) if one in known else (one, None, "") for one in ids]

    def mended(self, blob_id: str) -> None:
        """The blob is whole again, or needed no longer."""
        self._db.write(lambda tx: tx.system.alarm(DAMAGED, blob_id, None, self._clock())).result()
        self._reported.pop(blob_id, None)
        log.warning("damaged blob mended", extra={"blob": blob_id})


class _Watched(io.RawIOBase):
    def __init__(self, stream: BinaryIO, report: Callable[[KuradoError], None]) -> None:
        self._stream = stream
        self._report = report

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except (DamagedBlob, NotFound) as error:
            self._report(error)
            raise
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()
