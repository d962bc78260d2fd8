"""The outbox: each tenant's log of committed events, and how far each subscriber has come in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from gateway.db.session import Row, Session, to_json
from gateway.domain.events import Event
from gateway.service.stored import Cursor

_EVENT = "tenant_id, tenant, seq, at, kind, actor, used_bytes, used_files, data"
_APPEND = f"INSERT INTO events ({_EVENT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_CURSOR = "subscriber, tenant_id, seq, attempts, retry_at, error, parked"

# Who waits longest comes first, so that a busy tenant does not keep a quiet one from its turn.
_DUE = """
SELECT t.id, COALESCE(c.seq, 0), COALESCE(c.attempts, 0), COALESCE(c.retry_at, 0), COALESCE(c.error, '')
FROM tenants t LEFT JOIN cursors c ON c.tenant_id = t.id AND c.subscriber = ?
WHERE t.seq > COALESCE(c.seq, 0) AND (c.seq IS NULL OR (NOT c.parked AND c.retry_at <= ?))
ORDER BY t.last_event_at LIMIT ?"""

_ADVANCE = """
UPDATE cursors SET seq = ?, attempts = 0, retry_at = 0, error = '', parked = ?
WHERE subscriber = ? AND tenant_id = ? AND seq = ?"""

_FAILED = f"""
INSERT INTO cursors ({_CURSOR}) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (subscriber, tenant_id) DO UPDATE SET attempts = excluded.attempts, retry_at = excluded.retry_at,
    error = excluded.error, parked = excluded.parked WHERE cursors.seq = excluded.seq"""

_TRIM = """
DELETE FROM events WHERE tenant_id = ? AND seq <= ? AND seq <= COALESCE(
    (SELECT MIN(c.seq) FROM cursors c WHERE c.tenant_id = events.tenant_id), ?)"""


class Events:
    def __init__(self, session: Session) -> None:
        self._s = session

    def append(self, event: Event) -> None:
        self._s.run(_APPEND, *_parameters(event))

    def append_all(self, events: Sequence[Event]) -> None:
        self._s.run_many(_APPEND, [_parameters(event) for event in events])

    def after(self, tenant_id: int, seq: int, limit: int) -> list[Event]:
        sql = f"SELECT {_EVENT} FROM events WHERE tenant_id = ? AND seq > ? ORDER BY seq LIMIT ?"
        return [_event(row) for row in self._s.rows(sql, tenant_id, seq, limit)]

    def last_seq(self, tenant_id: int) -> int:
        return int(self._s.scalar("SELECT seq FROM tenants WHERE id = ?", tenant_id) or 0)

    def oldest_at(self, tenant_id: int, after_seq: int) -> int | None:
        sql = "SELECT at FROM events WHERE tenant_id = ? AND seq > ? ORDER BY seq LIMIT 1"
        found: int | None = self._s.scalar(sql, tenant_id, after_seq)
        return found

    def cursors(self, subscriber: str | None = None) -> list[Cursor]:
        if subscriber is None:
            rows = self._s.rows(f"SELECT {_CURSOR} FROM cursors")
        else:
            rows = self._s.rows(f"SELECT {_CURSOR} FROM cursors WHERE subscriber = ?", subscriber)
        return sorted((_cursor(row) for row in rows), key=lambda cursor: (cursor.subscriber, cursor.tenant_id))

    def due(self, subscriber: str, now: int, limit: int) -> list[Cursor]:
        return [Cursor(subscriber, *row) for row in self._s.rows(_DUE, subscriber, now, limit)]

    def advance(self, subscriber: str, tenant_id: int, from_seq: int, to_seq: int, fence: int) -> bool:
        """``fence`` 0 is an operator's hand, which carries no steward's token and is held by the comparison alone."""
        if self._is_succeeded(fence):
            return False
        if from_seq == 0:
            sql = f"INSERT INTO cursors ({_CURSOR}) VALUES (?, ?, 0, 0, 0, '', ?) ON CONFLICT DO NOTHING"
            self._s.run(sql, subscriber, tenant_id, False)
        return self._s.run(_ADVANCE, to_seq, False, subscriber, tenant_id, from_seq) == 1

    def failed(self, cursor: Cursor, fence: int) -> bool:
        if self._is_succeeded(fence):
            return False
        stored = self._s.run(
            _FAILED,
            cursor.subscriber, cursor.tenant_id, cursor.seq, cursor.attempts, cursor.retry_at, cursor.error,
            cursor.parked,
        )  # fmt: skip
        return stored == 1

    def _is_succeeded(self, fence: int) -> bool:
        newest = "SELECT value FROM counters WHERE name = 'fence.steward'"
        return bool(fence) and fence < int(self._s.scalar(newest) or 0)

    def forget_subscriber(self, subscriber: str) -> None:
        self._s.run("DELETE FROM cursors WHERE subscriber = ?", subscriber)

    def trim(self, tenant_id: int, up_to_seq: int) -> int:
        return self._s.run(_TRIM, tenant_id, up_to_seq, up_to_seq)


def _parameters(event: Event) -> tuple[Any, ...]:
    return (
        event.tenant_id, event.tenant, event.seq, event.at, event.kind, event.actor, event.used_bytes, event.used_files,
        to_json(event.data),
    )  # fmt: skip


def _event(row: Row) -> Event:
    return Event(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], json.loads(row[8]))


def _cursor(row: Row) -> Cursor:
    return Cursor(row[0], row[1], row[2], row[3], row[4], row[5], bool(row[6]))
