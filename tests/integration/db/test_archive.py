"""Rows that the replica carries: read on either database, put into an empty one, they are the same rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.db.engine import SqlDatabase, open_database
from gateway.domain.acts import Act
from gateway.domain.contract.documents import Document
from gateway.domain.events import Event
from gateway.domain.tenant import Tenant
from gateway.hooks import TrafficSample
from gateway.testing.rows import NOW

HOUR = 3_600_000


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[SqlDatabase]:
    """Where rows go to: SQLite, whatever they come from."""
    database = open_database(f"sqlite:///{tmp_path}/empty.db", clock=lambda: NOW)
    yield database
    database.close()


def write(db: SqlDatabase, work: Any) -> Any:
    return db.write(work).result()


def fill(tx: Any, tenant: Tenant) -> None:
    for text in ("plans: 1", "plans: 2"):
        tx.policies.add("plans", "d" * 64, "boss", NOW, text)
    tx.policies.assign("plans", 2, None, "boss", NOW)
    tx.policies.assign("plans", 1, tenant.id, "ann", NOW + 1)
    for name, data in (("Zulu", {"name": "蔵戸"}), ("acme", {"name": "A"}), ("acme", {"name": "B"})):
        tx.documents.put_customer(name, data, NOW)
    tx.documents.add(Document(2**62, "acme", "cancellation", NOW, "post", None, "0" * 64, "手紙", NOW, "ann"))
    for number in range(3):
        act = Act("contract:acme", "noted", NOW, "ann", "operator", "P-6", data={"z": number, "a": "蔵"})
        tx.acts.append(act)
    for seq, used in ((1, 2**40), (2, 7)):
        tx.usage.storage_event(Event(tenant.id, tenant.name, seq, NOW + seq * HOUR, "file.written", "", used, seq, {}))
    tx.usage.traffic([TrafficSample("gate", 1, tenant.id, NOW, 5, 6, 1, {"read": 2})])
    tx.usage.close_period(tenant.id, NOW, {"ends_at": NOW + HOUR, "lines": ["線"]}, NOW + 2 * HOUR)


def read(tx: Any, tenant: Tenant) -> dict[str, Any]:
    return {
        "policies": tx.archive.policies(),
        "papers": {name: tx.archive.papers(name) for name in tx.archive.contracts()},
        "acts": tx.acts.after(0),
        "usage": [line for _, line in tx.archive.usage_since(tenant.id, 0)] + tx.archive.usage_state(tenant.id),
        "mark": tx.archive.usage_mark(tenant.id),
    }


def test_rows_are_the_same_in_another_database(db: SqlDatabase, empty: SqlDatabase, tenant: Tenant) -> None:
    write(db, lambda tx: fill(tx, tenant))
    there: dict[str, Any] = db.read(lambda tx: read(tx, tenant))
    assert list(there["papers"]) == ["Zulu", "acme"]

    def put(tx: Any) -> None:
        lines = [*there["policies"], *there["usage"], *(line for one in there["papers"].values() for line in one)]
        tx.archive.put(json.loads(json.dumps(lines)))
        tx.archive.put_acts(there["acts"])

    write(empty, put)
    assert empty.read(lambda tx: read(tx, tenant)) == there
    write(empty, lambda tx: tx.archive.put(there["policies"]))  # rows that are there already are replaced
    assert empty.read(lambda tx: read(tx, tenant)) == there
    assert write(empty, lambda tx: tx.acts.append(there["acts"][0])).seq == 4


def test_the_mark_of_usage_moves_with_every_figure(db: SqlDatabase, tenant: Tenant) -> None:
    def mark() -> tuple[int, ...]:
        return db.read(lambda tx: tx.archive.usage_mark(tenant.id))

    seen = [mark()]
    event = Event(tenant.id, tenant.name, 1, NOW, "file.written", "", 5, 1, {})
    sample = TrafficSample("gate", 1, tenant.id, NOW + 1, 5, 6, 1, {"read": 2})
    for work in (
        lambda tx: tx.usage.storage_event(event),
        lambda tx: tx.usage.traffic([sample]),
        lambda tx: tx.usage.close_period(tenant.id, NOW, {"ends_at": NOW + HOUR}, NOW + HOUR),
    ):
        write(db, work)
        seen.append(mark())
    assert seen[0] == (0, 0, 0, 0, 0)
    assert len(set(seen)) == 4
    write(db, lambda tx: tx.usage.add_records(tenant.id, [], NOW + HOUR))
    assert mark() == seen[-1]


def test_rows_of_other_tables_are_refused(db: SqlDatabase) -> None:
    with pytest.raises(ValueError, match="tenants"):
        write(db, lambda tx: tx.archive.put([{"table": "tenants", "id": 1}]))
