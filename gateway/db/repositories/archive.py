"""Rows as they are stored, for the replica and for a restore from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table

from gateway.db.act_tables import customers, documents
from gateway.db.repositories.acts import insert_act, set_acts_count
from gateway.db.session import Session
from gateway.db.tables import policy_assignments, policy_versions
from gateway.domain.acts import Act

_TABLES = {table.name: table for table in (policy_versions, policy_assignments, customers, documents)}


class Archive:
    """Implements ``gateway.service.archive.ArchiveRepository``."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def policies(self) -> list[Mapping[str, Any]]:
        return [*self._lines(policy_versions), *self._lines(policy_assignments)]

    def contracts(self) -> list[str]:
        rows = self._s.rows("SELECT contract FROM customers UNION SELECT contract FROM documents")
        return sorted(row[0] for row in rows)

    def papers(self, contract: str) -> list[Mapping[str, Any]]:
        where = "contract = ?"
        return [*self._lines(customers, where, contract), *self._lines(documents, where, contract)]

    def put_acts(self, acts: Sequence[Act]) -> None:
        for act in acts:
            insert_act(self._s, act)
        set_acts_count(self._s, acts[-1].seq)

    def put(self, lines: Iterable[Mapping[str, Any]]) -> None:
        for line in lines:
            table = _TABLES.get(line["table"])
            if table is None:
                raise ValueError(f"no rows of {line['table']!r} are restored")
            self._put(table, line)

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

    def _lines(self, table: Table, where: str = "1 = 1", *values: Any) -> list[Mapping[str, Any]]:
        columns = [column.name for column in table.columns]
        key = [column.name for column in table.primary_key.columns]
        rows = self._s.rows(f"SELECT {', '.join(columns)} FROM {table.name} WHERE {where}", *values)
        lines = [{"table": table.name, **dict(zip(columns, row, strict=True))} for row in rows]
        # sorted here, not by the database, whose collation may be another
        return sorted(lines, key=lambda line: [line[name] for name in key])
