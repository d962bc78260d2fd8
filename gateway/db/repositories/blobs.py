"""Blobs that lost their last reference and wait for the sweeper."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.db.session import Session
from gateway.service.stored import Released

# The condition stands before the limit: what one tenant's parked log holds back must not stand in the way of others.
_PASSED = """
SELECT r.blob_id, r.tenant_id, r.after_seq, r.at FROM released_blobs r WHERE r.at <= ? AND (
    SELECT COUNT(*) FROM cursors c
    WHERE c.subscriber {0} AND c.tenant_id = r.tenant_id AND c.seq >= r.after_seq) = ?
ORDER BY r.at LIMIT ?"""

# A blob may be referenced again by a copy and released once more: the later event is the one to wait for.
_RELEASE = """
INSERT INTO released_blobs (blob_id, tenant_id, after_seq, at) VALUES (?, ?, ?, ?)
ON CONFLICT (blob_id) DO UPDATE SET tenant_id = excluded.tenant_id, after_seq = excluded.after_seq, at = excluded.at"""


class Blobs:
    def __init__(self, session: Session) -> None:
        self._s = session

    def release(self, released: Released) -> None:
        self.release_all([released])

    def release_all(self, released: Sequence[Released]) -> None:
        rows = [(one.blob_id, one.tenant_id, one.after_seq, one.at) for one in released]
        if rows:
            self._s.run_many(_RELEASE, rows)

    def released(self, limit: int) -> list[Released]:
        sql = "SELECT blob_id, tenant_id, after_seq, at FROM released_blobs ORDER BY at LIMIT ?"
        return [Released(*row) for row in self._s.rows(sql, limit)]

    def passed(self, subscribers: Sequence[str], before: int, limit: int) -> list[Released]:
        names = sorted(set(subscribers))
        rows = self._s.rows(_PASSED.format(self._s.in_list), before, self._s.array(names), len(names), limit)
        return [Released(*row) for row in rows]

    def forget(self, blob_id: str) -> None:
        self._s.run("DELETE FROM released_blobs WHERE blob_id = ?", blob_id)
