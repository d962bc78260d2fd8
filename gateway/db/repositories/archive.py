"""Rows as they are stored, for the replica and for a restore from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table

from gateway.db.metadata import metadata
from gateway.db.repositories.acts import insert_act, set_acts_count
from gateway.db.schema import define_tables
from gateway.db.session import Session
from gateway.domain.acts import Act

_USAGE = ("usage_hours", "usage_traffic", "usage_statements", "usage_totals", "usage_state")
_TABLES = frozenset({"policy_versions", "policy_assignments", "customers", "documents", *_USAGE})
_BY_TIME = {"usage_hours": "hour", "usage_traffic": "hour", "usage_statements": "closed_at"}


def _table(name: str) -> Table:
    define_tables()  # here: it takes a tenth of a start, and most processes never archive anything
    return metadata.tables[name]


class Archive:
    """Implements ``gateway.service.archive.ArchiveRepository``."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def policies(self) -> list[Mapping[str, Any]]:
        return [*self._lines("policy_versions"), *self._lines("policy_assignments")]

    def contracts(self) -> list[str]:
        rows = self._s.rows("SELECT contract FROM customers UNION SELECT contract FROM documents")
        return sorted(row[0] for row in rows)

    def papers(self, contract: str) -> list[Mapping[str, Any]]:
        where = "contract = ?"
        return [*self._lines("customers", where, contract), *self._lines("documents", where, contract)]

    def usage_mark(self, tenant_id: int) -> tuple[int, ...]:
        state = self._s.row("SELECT seq, at, closed_until FROM usage_state WHERE tenant_id = ?", tenant_id) or (0, 0, 0)
        traffic = self._s.scalar("SELECT MAX(last_at) FROM usage_traffic WHERE tenant_id = ?", tenant_id) or 0
        closed = self._s.scalar("SELECT MAX(closed_at) FROM usage_statements WHERE tenant_id = ?", tenant_id) or 0
        return (*state, traffic, closed)

    def usage_since(self, tenant_id: int, since: int) -> list[tuple[int, Mapping[str, Any]]]:
        found: list[tuple[int, Mapping[str, Any]]] = []
        for name, column in _BY_TIME.items():
            lines = self._lines(name, f"tenant_id = ? AND {column} >= ?", tenant_id, since)
            found += [(line[column], line) for line in lines]
        return found

    def usage_state(self, tenant_id: int) -> list[Mapping[str, Any]]:
        """Records follow from the hours: they are made again from the first one on."""
        where = "tenant_id = ?"
        first = self._s.scalar(f"SELECT MIN(hour) FROM usage_hours WHERE {where}", tenant_id)
        state = [{**line, "recorded_until": first or 0} for line in self._lines("usage_state", where, tenant_id)]
        return [*self._lines("usage_totals", where, tenant_id), *state]

    def put_acts(self, acts: Sequence[Act]) -> None:
        for act in acts:
            insert_act(self._s, act)
        set_acts_count(self._s, acts[-1].seq)

    def put(self, lines: Iterable[Mapping[str, Any]]) -> None:
        for line in lines:
            if line["table"] not in _TABLES:
                raise ValueError(f"no rows of {line['table']!r} are restored")
            self._put(_table(line["table"]), line)

    def _put(self, table: Table, line: Mapping[str, Any]) -> None:
        """A column that the line does not know is NULL: it is younger than the replica."""
        columns = [column.name for column in table.columns]
        key = [column.name for column in table.primary_key.columns]
        change = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key)
        self._s.run(
            f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "
            f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {change}",
            *(line.get(name) for name in columns),
        )

    def _lines(self, name: str, where: str = "1 = 1", *values: Any) -> list[Mapping[str, Any]]:
        table = _table(name)
        columns = [column.name for column in table.columns]
        key = [column.name for column in table.primary_key.columns]
        rows = self._s.rows(f"SELECT {', '.join(columns)} FROM {table.name} WHERE {where}", *values)
        lines = [{"table": name, **dict(zip(columns, row, strict=True))} for row in rows]
        # sorted here, not by the database, whose collation may be another
        return sorted(lines, key=lambda line: [line[column] for column in key])
