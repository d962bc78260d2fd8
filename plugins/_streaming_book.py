"""What the streaming plugin knows of each video: which version the service has, under which reference.

Two jobs and the events write here at once. A video's ``due`` says what is next: nothing (0), it was touched (1), it is
to be handed over (2), or it is being looked at (3). A touch always sets 1, and what was decided by an older look is not
written over that: the video is looked at again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TABLES = """
CREATE TABLE IF NOT EXISTS videos (
    node_id INTEGER PRIMARY KEY, tenant_id INTEGER NOT NULL, version_id INTEGER NOT NULL DEFAULT 0,
    reference TEXT NOT NULL DEFAULT '', problem TEXT NOT NULL DEFAULT '', due INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE IF NOT EXISTS withdrawn (reference TEXT PRIMARY KEY, node_id INTEGER NOT NULL);
"""
SETTLED, TO_HAND_OVER = 0, 2
_COLUMNS = "node_id, tenant_id, version_id, reference, problem, due"
_UNCHANGED = "node_id = ? AND due = ? AND reference = ?"


@dataclass(frozen=True, slots=True)
class Entry:
    """``reference`` is empty while the service does not have it; ``version_id`` is the one that it has, or refused."""

    node_id: int
    tenant_id: int
    version_id: int = 0
    reference: str = ""
    problem: str = ""
    due: int = SETTLED


class StreamingBook:
    """A small database of the plugin's own; all of it can be made again by handing the videos over again."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._has_tables = False

    # -- what has changed ---------------------------------------------------------------------------------------------

    def note(self, tenant_id: int, node_ids: Iterable[int]) -> None:
        """These may be videos of which something has changed: look at them soon."""
        with self._open() as db:
            db.executemany(
                "INSERT INTO videos (node_id, tenant_id) VALUES (?, ?) ON CONFLICT (node_id) DO UPDATE SET due = 1",
                [(node_id, tenant_id) for node_id in node_ids],
            )

    def touch(self, node_ids: Iterable[int]) -> None:
        """Looks soon at those that are known; the others are no videos."""
        with self._open() as db:
            db.executemany("UPDATE videos SET due = 1 WHERE node_id = ?", [(one,) for one in node_ids])

    def touch_all(self, tenant_id: int) -> None:
        with self._open() as db:
            db.execute("UPDATE videos SET due = 1 WHERE tenant_id = ?", (tenant_id,))

    # -- what is decided ----------------------------------------------------------------------------------------------

    def to_look_at(self, seen: int, limit: int) -> tuple[list[Entry], list[Entry]]:
        """What was touched, and of all videos those that follow the one last seen: each is looked at once in a
        while."""
        with self._open() as db:
            db.execute("UPDATE videos SET due = 3 WHERE due = 1")
            touched = _entries(db, "due = 3 ORDER BY node_id LIMIT ?", limit)
            return touched, _entries(db, "node_id > ? ORDER BY node_id LIMIT ?", seen, limit)

    def settle(self, before: Entry, after: Entry | None) -> None:
        """What was decided of an entry as it was read, None for a video that is gone. A reference that it has no more
        has still to be removed there: that is noted in the same moment, so that none is forgotten."""
        if before == after:
            return
        unchanged = (before.node_id, before.due, before.reference)
        with self._open() as db:
            if after is None:
                done = db.execute(f"DELETE FROM videos WHERE {_UNCHANGED}", unchanged)
            else:
                done = db.execute(
                    f"UPDATE videos SET version_id = ?, reference = ?, problem = ?, due = ? WHERE {_UNCHANGED}",
                    (after.version_id, after.reference, after.problem, after.due, *unchanged),
                )
            if done.rowcount and (after is None or after.reference != before.reference):
                _withdraw(db, before.node_id, before.reference)

    # -- what is handed over ------------------------------------------------------------------------------------------

    def to_hand_over(self, last: int) -> Entry | None:
        """The next after the last one, and after all of them the first. A video of which something has still to be
        removed waits for that: the service may give the same reference again, and the removal would take the new one
        away."""
        where = "due = 2 AND node_id NOT IN (SELECT node_id FROM withdrawn) ORDER BY node_id <= ?, node_id LIMIT 1"
        found = self._select(where, last)
        return found[0] if found else None

    def handed_over(self, before: Entry, after: Entry) -> None:
        """What the service answered. The video may have been withdrawn while that took its hours: then this goes as
        well. In any case it is looked at again, for it may have changed meanwhile."""
        with self._open() as db:
            db.execute("UPDATE videos SET due = 1 WHERE node_id = ?", (before.node_id,))
            row = db.execute("SELECT reference FROM videos WHERE node_id = ?", (before.node_id,)).fetchone()
            if row is None or row[0] not in (before.reference, after.reference):
                _withdraw(db, before.node_id, after.reference)
                return
            db.execute(
                "UPDATE videos SET version_id = ?, reference = ?, problem = ? WHERE node_id = ?",
                (after.version_id, after.reference, after.problem, before.node_id),
            )
            if row[0] != after.reference:
                _withdraw(db, before.node_id, row[0])

    # -- what is removed ----------------------------------------------------------------------------------------------

    def leaving(self, last: int, limit: int) -> list[tuple[int, str]]:
        """Numbered; those after the last one come first."""
        query = "SELECT rowid, reference FROM withdrawn ORDER BY rowid <= ?, rowid LIMIT ?"
        with self._open() as db:
            return db.execute(query, (last, limit)).fetchall()

    def left(self, reference: str) -> None:
        with self._open() as db:
            db.execute("DELETE FROM withdrawn WHERE reference = ?", (reference,))

    def of_tenant(self, tenant_id: int) -> list[Entry]:
        return self._select("tenant_id = ? ORDER BY node_id", tenant_id)

    def _select(self, where: str, *values: int) -> list[Entry]:
        with self._open() as db:
            return _entries(db, where, *values)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        if not self._has_tables:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._file, timeout=10)
        try:
            if not self._has_tables:
                db.executescript(_TABLES)
                self._has_tables = True
            with db:
                yield db
        finally:
            db.close()


def _entries(db: sqlite3.Connection, where: str, *values: int) -> list[Entry]:
    return [Entry(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM videos WHERE {where}", values)]


def _withdraw(db: sqlite3.Connection, node_id: int, reference: str) -> None:
    if reference:
        db.execute("INSERT OR IGNORE INTO withdrawn VALUES (?, ?)", (reference, node_id))
