"""Acts in their chain, documents in writing, and customers' data by version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from gateway.db.repositories.system import Systems, count
from gateway.db.rows import storable
from gateway.db.session import Row, Session, to_json
from gateway.domain.acts import GENESIS, Act, chained
from gateway.domain.contract.documents import Document

_COUNTER = "acts"
_COLUMNS = (
    "subject, kind, at, actor, role, rule, tenant_id, ground, before_state, after_state, data, seq, previous, digest"
)
_DOCUMENT = "id, contract, kind, received_at, carrier, passed_on, digest, title, registered_at, registered_by"


class Acts:
    def __init__(self, session: Session) -> None:
        self._s = session
        self._system = Systems(session)

    def append(self, act: Act) -> Act:
        # the counter's row is held until the commit: two writers on a shared database cannot take the same place
        seq = count(self._s, _COUNTER)
        previous = self._s.scalar("SELECT digest FROM acts WHERE seq = ?", seq - 1) or GENESIS
        one = chained(_storable(act), seq, previous)
        insert_act(self._s, one)
        self._system.bump()
        return one

    def count(self) -> int:
        return int(self._s.scalar("SELECT value FROM counters WHERE name = ?", _COUNTER) or 0)

    def after(self, seq: int, limit: int = 10_000) -> list[Act]:
        rows = self._s.rows(f"SELECT {_COLUMNS} FROM acts WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit)
        return [_act(row) for row in rows]

    def of_subject(self, subject: str) -> list[Act]:
        sql = f"SELECT {_COLUMNS} FROM acts WHERE subject = ? ORDER BY seq"
        return [_act(row) for row in self._s.rows(sql, subject)]

    def of_prefix(self, prefix: str) -> list[Act]:
        # the character after ":" ends the range of subjects with that prefix, which the index finds
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        sql = f"SELECT {_COLUMNS} FROM acts WHERE subject >= ? AND subject < ? ORDER BY seq"
        return [act for row in self._s.rows(sql, prefix, end) if (act := _act(row)).subject.startswith(prefix)]

    def of_kind(self, kind: str) -> list[Act]:
        return [_act(row) for row in self._s.rows(f"SELECT {_COLUMNS} FROM acts WHERE kind = ? ORDER BY seq", kind)]

    def newest_by_tenant(self) -> Mapping[int, int]:
        rows = self._s.rows("SELECT tenant_id, MAX(seq) FROM acts GROUP BY tenant_id")
        return {row[0]: row[1] for row in rows}

    def latest(self, kind: str, prefix: str) -> Act | None:
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        sql = f"SELECT {_COLUMNS} FROM acts WHERE kind = ? AND subject >= ? AND subject < ? ORDER BY seq DESC LIMIT 1"
        rows = self._s.rows(sql, kind, prefix, end)
        return _act(rows[0]) if rows else None

    def of_tenant(self, tenant_id: int) -> list[Act]:
        sql = f"SELECT {_COLUMNS} FROM acts WHERE tenant_id = ? ORDER BY seq"
        return [_act(row) for row in self._s.rows(sql, tenant_id)]


class Documents:
    def __init__(self, session: Session) -> None:
        self._s = session

    def add(self, document: Document) -> None:
        self._s.run(
            f"INSERT INTO documents ({_DOCUMENT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            document.id, document.contract, document.kind, document.received_at, document.carrier, document.passed_on,
            document.digest, storable(document.title), document.registered_at, document.registered_by,
        )  # fmt: skip

    def of_contract(self, contract: str) -> list[Document]:
        rows = self._s.rows(f"SELECT {_DOCUMENT} FROM documents WHERE contract = ? ORDER BY id", contract)
        return [Document(*row) for row in rows]

    def put_customer(self, contract: str, data: Mapping[str, str], now: int) -> str:
        text = json.dumps(dict(data), ensure_ascii=False, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        last = self._s.scalar("SELECT MAX(version) FROM customers WHERE contract = ?", contract) or 0
        sql = "INSERT INTO customers (contract, version, at, digest, data) VALUES (?, ?, ?, ?, ?)"
        self._s.run(sql, contract, int(last) + 1, now, digest, text)
        return digest

    def customer(self, contract: str) -> Mapping[str, str]:
        sql = "SELECT data FROM customers WHERE contract = ? ORDER BY version DESC LIMIT 1"
        text = self._s.scalar(sql, contract)
        found: dict[str, str] = json.loads(text) if text else {}
        return found

    def erase_customer_keys(self, contract: str, keys: Collection[str]) -> None:
        for row in self._s.rows("SELECT version, data FROM customers WHERE contract = ?", contract):
            data = {key: value for key, value in json.loads(row[1]).items() if key not in keys}
            text = json.dumps(data, ensure_ascii=False, sort_keys=True)
            self._s.run("UPDATE customers SET data = ? WHERE contract = ? AND version = ?", text, contract, row[0])

    def customer_digest(self, contract: str) -> str:
        sql = "SELECT digest FROM customers WHERE contract = ? ORDER BY version DESC LIMIT 1"
        return str(self._s.scalar(sql, contract) or "")

    def customer_at(self, contract: str, digest: str) -> Mapping[str, str]:
        sql = "SELECT data FROM customers WHERE contract = ? AND digest = ? ORDER BY version DESC LIMIT 1"
        text = self._s.scalar(sql, contract, digest)
        found: dict[str, str] = json.loads(text) if text else {}
        return found


def insert_act(session: Session, act: Act) -> None:
    """An act that has its place in the chain."""
    session.run(
        f"INSERT INTO acts ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        act.subject, act.kind, act.at, act.actor, act.role, act.rule, act.tenant_id, act.ground, act.before,
        act.after, to_json(dict(act.data)), act.seq, act.previous, act.digest,
    )  # fmt: skip


def set_acts_count(session: Session, seq: int) -> None:
    """For a restore: the next act comes after ``seq``."""
    session.run(
        "INSERT INTO counters (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        _COUNTER, seq,
    )  # fmt: skip
    Systems(session).bump()


def _storable(act: Act) -> Act:
    data: dict[str, Any] = json.loads(storable(to_json(dict(act.data))))
    return replace(
        act,
        subject=storable(act.subject),
        actor=storable(act.actor),
        ground=storable(act.ground),
        data=data,
    )


def _act(row: Row) -> Act:
    values: tuple[Any, ...] = (*row[:10], json.loads(row[10]), *row[11:])
    return Act(*values)
