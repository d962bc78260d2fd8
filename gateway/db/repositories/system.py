"""What belongs to no tenant: the revision that caches compare, alarms, health facts, settings of the installation."""

from __future__ import annotations

from gateway.db.session import Session
from gateway.service.stored import Alarm

_REVISION = "revision"
CHANGES = "changes"
"""Counts the commits after which what was read of a space may not hold any more."""


class Systems:
    def __init__(self, session: Session) -> None:
        self._s = session

    def revision(self) -> int:
        return int(self._s.scalar("SELECT value FROM counters WHERE name = ?", _REVISION) or 0)

    def changes(self) -> int:
        return int(self._s.scalar("SELECT value FROM counters WHERE name = ?", CHANGES) or 0)

    def bump(self) -> None:
        count(self._s, _REVISION)

    def alarm(self, kind: str, subject: str, message: str | None, now: int) -> None:
        if message is None:
            sql = "UPDATE alarms SET cleared_at = ? WHERE kind = ? AND subject = ? AND cleared_at IS NULL"
            self._s.run(sql, now, kind, subject)
            return
        # an alarm that stands keeps its time; one that was cleared is raised anew
        self._s.run(
            "INSERT INTO alarms (kind, subject, message, raised_at, cleared_at) VALUES (?, ?, ?, ?, NULL) "
            "ON CONFLICT (kind, subject) DO UPDATE SET message = excluded.message, cleared_at = NULL, raised_at = "
            "CASE WHEN alarms.cleared_at IS NULL THEN alarms.raised_at ELSE excluded.raised_at END",
            kind, subject, message, now,
        )  # fmt: skip

    def alarms(self, active_only: bool = True) -> list[Alarm]:
        where = " WHERE cleared_at IS NULL" if active_only else ""
        rows = self._s.rows(f"SELECT kind, subject, message, raised_at, cleared_at FROM alarms{where}")
        return sorted((Alarm(*row) for row in rows), key=lambda alarm: (alarm.raised_at, alarm.kind, alarm.subject))

    def put_fact(self, name: str, level: str, message: str, value: float | None, now: int) -> None:
        self._s.run(
            "INSERT INTO facts (name, level, message, value, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE "
            "SET level = excluded.level, message = excluded.message, value = excluded.value, at = excluded.at",
            name, level, message, value, now,
        )  # fmt: skip

    def facts(self) -> list[tuple[str, str, str, float | None, int]]:
        rows = self._s.rows("SELECT name, level, message, value, at FROM facts")
        return sorted((row[0], row[1], row[2], row[3], row[4]) for row in rows)

    def get_meta(self, key: str) -> str | None:
        found: str | None = self._s.scalar("SELECT value FROM meta WHERE key = ?", key)
        return found

    def set_meta(self, key: str, value: str) -> None:
        sql = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        self._s.run(sql, key, value)


def count(session: Session, name: str) -> int:
    """Adds one to a counter, made where missing; returns its new value."""
    sql = (
        "INSERT INTO counters (name, value) VALUES (?, 1) "
        "ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value"
    )
    return int(session.scalar(sql, name))
