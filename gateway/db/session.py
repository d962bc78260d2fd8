"""One connection of one database, as repositories use it.

The paths that every request takes are SQL text given straight to the driver, which keeps it prepared: SQLAlchemy's
execution would double their cost (bench: a path of five names in 25 µs). Everything else may use ``core``, the
SQLAlchemy connection around the same driver connection and thus in the same transaction.

SQL is written with ``?``; a psycopg session turns it into ``%s`` once per text. A literal ``%`` or ``?`` is not used.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection

Row = tuple[Any, ...]

to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""JSON without blanks, non-ASCII as it is. Made once: ``json.dumps`` makes an encoder for each text."""


class Session:
    """A connection in driver-level autocommit: whoever owns it says BEGIN, SAVEPOINT and COMMIT itself."""

    dialect: str
    in_list: str
    """What follows a column to say that it is one of the values of one ``?`` (given by :meth:`array`)."""

    def __init__(self, core: Connection) -> None:
        self.core = core
        self.raw: Any = core.connection.driver_connection

    def rows(self, sql: str, *params: Any) -> list[Row]:
        """All rows of a query."""
        raise NotImplementedError

    def row(self, sql: str, *params: Any) -> Row | None:
        """The first row of a query, None when it has none."""
        raise NotImplementedError

    def run(self, sql: str, *params: Any) -> int:
        """Runs a statement; returns how many rows it changed."""
        raise NotImplementedError

    def run_many(self, sql: str, params: Sequence[Sequence[Any]]) -> int:
        """Runs one statement for each of many parameter sets; returns how many rows were changed in all."""
        raise NotImplementedError

    def command(self, sql: str, *params: Any) -> None:
        """Runs what has no answer: BEGIN, SAVEPOINT, COMMIT."""
        raise NotImplementedError

    def array(self, values: Iterable[Any]) -> Any:
        """A parameter for ``in_list``."""
        raise NotImplementedError

    def alive(self) -> bool:
        """Whether the transaction that was begun still stands."""
        raise NotImplementedError

    def scalar(self, sql: str, *params: Any) -> Any:
        """The first value of the first row, None when there is no row."""
        row = self.row(sql, *params)
        return row[0] if row else None

    def pick(self, texts: Mapping[str, str]) -> str:
        """The text for this session's dialect."""
        return texts[self.dialect]

    def close(self) -> None:
        """Gives the connection back to the system. Never raises: it may be broken."""
        try:
            self.core.invalidate()
            self.core.close()
        except Exception:  # a broken connection is closed as far as we are concerned
            return


class SqliteSession(Session):
    dialect = "sqlite"
    in_list = "IN (SELECT value FROM json_each(?))"

    def rows(self, sql: str, *params: Any) -> list[Row]:
        found: list[Row] = self.raw.execute(sql, params).fetchall()
        return found

    def row(self, sql: str, *params: Any) -> Row | None:
        # fetchall: a statement that is not read to its end would stay open
        found = self.raw.execute(sql, params).fetchall()
        return found[0] if found else None

    def run(self, sql: str, *params: Any) -> int:
        return int(self.raw.execute(sql, params).rowcount)

    def run_many(self, sql: str, params: Sequence[Sequence[Any]]) -> int:
        return int(self.raw.executemany(sql, params).rowcount)

    def command(self, sql: str, *params: Any) -> None:
        self.raw.execute(sql, params)

    def array(self, values: Iterable[Any]) -> Any:
        return to_json(list(values))

    def alive(self) -> bool:
        return bool(self.raw.in_transaction)


_translated: dict[str, str] = {}


def _percent(sql: str) -> str:
    text = _translated.get(sql)
    if text is None:
        text = _translated[sql] = sql.replace("?", "%s")
    return text


class PostgresSession(Session):
    dialect = "postgresql"
    in_list = "= ANY(?)"

    def __init__(self, core: Connection) -> None:
        super().__init__(core)
        self.waiting_since: float | None = None
        """Monotonic time at which the statement that is under way was sent."""

    def rows(self, sql: str, *params: Any) -> list[Row]:
        found: list[Row] = self._ask(sql, params).fetchall()
        return found

    def row(self, sql: str, *params: Any) -> Row | None:
        found: Row | None = self._ask(sql, params).fetchone()
        return found

    def run(self, sql: str, *params: Any) -> int:
        return int(self._ask(sql, params).rowcount)

    def run_many(self, sql: str, params: Sequence[Sequence[Any]]) -> int:
        self.waiting_since = time.monotonic()
        try:
            with self.raw.cursor() as cursor:
                cursor.executemany(_percent(sql), params)
                return int(cursor.rowcount)
        finally:
            self.waiting_since = None

    def command(self, sql: str, *params: Any) -> None:
        self._ask(sql, params)

    def array(self, values: Iterable[Any]) -> Any:
        return list(values)

    def alive(self) -> bool:
        return not self.raw.closed

    def cut(self) -> None:
        """Ends the line from another thread: who waits for an answer gets an error."""
        with suppress(OSError, ValueError):
            descriptor = os.dup(self.raw.fileno())
            with socket.socket(fileno=descriptor) as line:
                line.shutdown(socket.SHUT_RDWR)

    def _ask(self, sql: str, params: Sequence[Any]) -> Any:
        self.waiting_since = time.monotonic()
        try:
            return self.raw.execute(_percent(sql), params or None)
        finally:
            self.waiting_since = None
