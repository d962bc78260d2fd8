"""Blobs that lost their last reference and wait for the sweeper."""

from __future__ import annotations

from gateway.db.session import Session
from gateway.service.unit_of_work import Released


class Blobs:
    def __init__(self, session: Session) -> None:
        self._s = session

    def release(self, released: Released) -> None:
        # A blob may be referenced again by a copy and released once more: the later event is the one to wait for.
        self._s.run(
            "INSERT INTO released_blobs (blob_id, tenant_id, after_seq, at) VALUES (?, ?, ?, ?) ON CONFLICT (blob_id) "
            "DO UPDATE SET tenant_id = excluded.tenant_id, after_seq = excluded.after_seq, at = excluded.at",
            released.blob_id, released.tenant_id, released.after_seq, released.at,
        )  # fmt: skip

    def released(self, limit: int) -> list[Released]:
        sql = "SELECT blob_id, tenant_id, after_seq, at FROM released_blobs ORDER BY at LIMIT ?"
        return [Released(*row) for row in self._s.rows(sql, limit)]

    def forget(self, blob_id: str) -> None:
        self._s.run("DELETE FROM released_blobs WHERE blob_id = ?", blob_id)
