"""What the streaming plugin knows of each video: which version the service has, under which reference."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TABLES = """
CREATE TABLE IF NOT EXISTS videos (
    node_id INTEGER PRIMARY KEY, tenant_id INTEGER NOT NULL, version_id INTEGER NOT NULL DEFAULT 0,
    reference TEXT NOT NULL DEFAULT '', problem TEXT NOT NULL DEFAULT '', due INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE IF NOT EXISTS leaving (reference TEXT PRIMARY KEY);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """``reference`` is empty while the service does not have it; ``version_id`` is the one that it has, or refused."""

    node_id: int
    tenant_id: int
    version_id: int = 0
    reference: str = ""
    problem: str = ""


class StreamingBook:
    """A small database of the plugin's own; all of it can be made again by handing the videos over again."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def note(self, tenant_id: int, node_ids: list[int]) -> None:
        """These may be videos of which something has changed: look at them soon."""
        rows = [(node_id, tenant_id) for node_id in node_ids]
        with self._open() as db:
            db.executemany(
                "INSERT INTO videos (node_id, tenant_id) VALUES (?, ?) ON CONFLICT (node_id) DO UPDATE SET due = 1",
                rows,
            )

    def touch(self, node_id: int) -> None:
        """Looks soon at a video that is known; any other is none."""
        with self._open() as db:
            db.execute("UPDATE videos SET due = 1 WHERE node_id = ?", (node_id,))

    def touch_all(self, tenant_id: int) -> None:
        with self._open() as db:
            db.execute("UPDATE videos SET due = 1 WHERE tenant_id = ?", (tenant_id,))

    def settle(self, before: Entry, after: Entry | None) -> None:
        """What the service has now, None for a video that is gone. A reference of before that is none any more has
        still to be removed there: it is noted in the same moment, so that none is forgotten."""
        with self._open() as db:
            if before.reference and (after is None or after.reference != before.reference):
                db.execute("INSERT OR IGNORE INTO leaving VALUES (?)", (before.reference,))
            if after is None:
                db.execute("DELETE FROM videos WHERE node_id = ?", (before.node_id,))
            else:
                values = (after.node_id, after.tenant_id, after.version_id, after.reference, after.problem)
                db.execute("INSERT OR REPLACE INTO videos VALUES (?, ?, ?, ?, ?, 0)", values)

    def leaving(self) -> list[str]:
        with self._open() as db:
            return [row[0] for row in db.execute("SELECT reference FROM leaving ORDER BY rowid")]

    def left(self, reference: str) -> None:
        with self._open() as db:
            db.execute("DELETE FROM leaving WHERE reference = ?", (reference,))

    def due(self, limit: int) -> list[Entry]:
        return self._select("due = 1 ORDER BY node_id LIMIT ?", limit)

    def after(self, node_id: int, limit: int) -> list[Entry]:
        """By number, to look at each once in a while."""
        return self._select("node_id > ? ORDER BY node_id LIMIT ?", node_id, limit)

    def of_tenant(self, tenant_id: int) -> list[Entry]:
        return self._select("tenant_id = ? ORDER BY node_id", tenant_id)

    def _select(self, where: str, *values: int) -> list[Entry]:
        query = f"SELECT node_id, tenant_id, version_id, reference, problem FROM videos WHERE {where}"
        with self._open() as db:
            return [Entry(*row) for row in db.execute(query, values)]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._file, timeout=10)
        try:
            db.executescript(_TABLES)
            with db:
                yield db
        finally:
            db.close()
