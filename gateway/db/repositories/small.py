"""Small blobs: bytes as rows."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.blobstore import BlobInfo
from gateway.db.session import Session

_PUT = """
INSERT INTO small_blobs (blob_id, at, data) VALUES (?, ?, ?)
ON CONFLICT (blob_id) DO UPDATE SET at = excluded.at, data = excluded.data"""

_KNOWN = "SELECT blob_id FROM small_blobs WHERE blob_id {}"

_STAT = "SELECT blob_id, length(data), at FROM small_blobs WHERE blob_id = ?"

# Ids are ASCII and compared as bytes, whatever the collation of the database. "~" is after all that ids are made of.
_LIST = {
    "sqlite": """
SELECT blob_id, length(data), at FROM small_blobs WHERE blob_id > ? AND blob_id >= ? AND blob_id < ?
ORDER BY blob_id LIMIT ?""",
    "postgresql": """
SELECT blob_id, length(data), at FROM small_blobs
WHERE blob_id COLLATE "C" > ? AND blob_id COLLATE "C" >= ? AND blob_id COLLATE "C" < ?
ORDER BY blob_id COLLATE "C" LIMIT ?""",
}


class SmallBlobs:
    """Implements ``gateway.service.smallrows.SmallBlobRepository``."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def put(self, blob_id: str, data: bytes, now: int) -> None:
        self._s.run(_PUT, blob_id, now, data)

    def get(self, blob_id: str) -> bytes | None:
        found = self._s.scalar("SELECT data FROM small_blobs WHERE blob_id = ?", blob_id)
        return None if found is None else bytes(found)

    def stat(self, blob_id: str) -> BlobInfo | None:
        row = self._s.row(_STAT, blob_id)
        return BlobInfo(*row) if row else None

    def known(self, blob_ids: Sequence[str]) -> set[str]:
        return {row[0] for row in self._s.rows(_KNOWN.format(self._s.in_list), self._s.array(blob_ids))}

    def remove(self, blob_id: str) -> bool:
        return self._s.run("DELETE FROM small_blobs WHERE blob_id = ?", blob_id) > 0

    def remove_all(self, blob_ids: Sequence[str]) -> None:
        self._s.run(f"DELETE FROM small_blobs WHERE blob_id {self._s.in_list}", self._s.array(blob_ids))

    def list(self, prefix: str, after: str, limit: int) -> list[BlobInfo]:
        rows = self._s.rows(self._s.pick(_LIST), after, prefix, f"{prefix}~", limit)
        return [BlobInfo(*row) for row in rows]
