"""The record of refused requests (invariant I6)."""

from __future__ import annotations

from gateway.db.rows import storable
from gateway.db.session import Session
from gateway.service.stored import Refusal

_TEXTS = ("verb", "path", "code", "policy", "clause", "reason", "digest", "request_id")
# "user" is a reserved word of PostgreSQL
_COLUMNS = 'tenant_id, at, "user", ' + ", ".join(_TEXTS)


class Refusals:
    def __init__(self, session: Session) -> None:
        self._s = session

    def add(self, refusal: Refusal) -> None:
        # What was refused may be refused for holding what no database can store.
        texts = [storable(getattr(refusal, name)) for name in ("user", *_TEXTS)]
        marks = ", ".join("?" * (2 + len(texts)))
        self._s.run(f"INSERT INTO refusals ({_COLUMNS}) VALUES ({marks})", refusal.tenant_id, refusal.at, *texts)

    def get(self, number: int) -> Refusal | None:
        row = self._s.row(f"SELECT {_COLUMNS}, id FROM refusals WHERE id = ?", number)
        return Refusal(*row) if row else None

    def recent(self, tenant_id: int | None, limit: int) -> list[Refusal]:
        """The newest first."""
        if tenant_id is None:
            rows = self._s.rows(f"SELECT {_COLUMNS}, id FROM refusals ORDER BY id DESC LIMIT ?", limit)
        else:
            sql = f"SELECT {_COLUMNS}, id FROM refusals WHERE tenant_id = ? ORDER BY id DESC LIMIT ?"
            rows = self._s.rows(sql, tenant_id, limit)
        return [Refusal(*row) for row in rows]
