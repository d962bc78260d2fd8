"""What every request asks must be answered from indexes: no statement of the hot paths may look at all rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.db.engine import make_source, open_database
from gateway.db.repositories import events, leases, locks, nodes, subtrees, tenants
from gateway.db.session import Session, SqliteSession
from gateway.testing.rows import NOW

STATEMENTS = {
    "chain": (nodes._CHAIN["sqlite"], (1, '["a","b"]', 2)),
    "get": (nodes._GET, (1,)),
    "child": (nodes._CHILD, (1, "a")),
    "children": (nodes._CHILDREN, (1, b"", 1000)),
    "entries": (nodes._ENTRIES, (1, b"", 1000)),
    "entries with facts": (nodes._FULL_ENTRIES, (1, b"", 1000)),
    "beside": (nodes._BESIDE, (1,)),
    "listed": (nodes._LISTED, (1, b"", 1000)),
    "files named": (nodes._FILES_NAMED.format(SqliteSession.in_list), (1, '["a","b"]')),
    "path_of": (nodes._PATH, (1,)),
    "subtree": (subtrees._BELOW["sqlite"] + subtrees._SUBTREE, (1, 10)),
    "size": (subtrees._BELOW["sqlite"] + subtrees._SIZE, (1, 10)),
    "extent": (subtrees._EXTENTS["sqlite"], (1,)),
    "unreferenced": (subtrees._UNREFERENCED["sqlite"], ('["a"]',)),
    "held": (subtrees._HELD, (0, 10)),
    "totals": (subtrees._TOTALS, (1,)),
    "blobs": (subtrees._BLOBS, ("", 10)),
    "settle": (tenants._SETTLE, (1, 1, 1, 1, 1, 1, 1, 1)),
    "reserve": (tenants._RESERVE, (1, 1, 1)),
    "locks below": (locks._BELOW, (1, 1, 1)),
    "locks of children": (locks._OF_CHILDREN, (1, 1, 1)),
    "advance": (events._ADVANCE, (1, False, "s", 1, 0)),
    "trim": (events._TRIM, (1, 1, 1)),
    "renew": (leases._RENEW, (1, "b")),
}
HARMLESS = {
    "SCAN CONSTANT ROW",
    "SCAN walk",
    "SCAN up",
    "SCAN below",
    "SCAN json_each VIRTUAL TABLE INDEX 1:",
    "SCAN b VIRTUAL TABLE INDEX 1:",
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    url = f"sqlite:///{tmp_path_factory.mktemp('plans') / Path('kurado.db')}"
    open_database(url, clock=lambda: NOW).close()
    return make_source(url).connect()


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_plan_scans_no_table(session: Session, name: str) -> None:
    sql, params = STATEMENTS[name]
    steps = [row[3] for row in session.rows("EXPLAIN QUERY PLAN " + sql, *params)]
    scans = [step for step in steps if step.startswith("SCAN") and step not in HARMLESS]
    if name == "blobs":  # reads its index in order, a page at a time
        scans = [step for step in scans if "USING INDEX ix_versions_blob_id" not in step]
    assert scans == []


@pytest.mark.parametrize("name", ["children", "entries", "entries with facts"])
def test_a_listing_is_sorted_by_its_index(session: Session, name: str) -> None:
    sql, params = STATEMENTS[name]
    plan = " ".join(row[3] for row in session.rows("EXPLAIN QUERY PLAN " + sql, *params))
    assert "ix_nodes_parent_id_sort_key" in plan
    assert "TEMP B-TREE" not in plan


def test_a_step_of_a_path_reads_only_the_index(session: Session) -> None:
    sql, params = STATEMENTS["chain"]
    plan = " ".join(row[3] for row in session.rows("EXPLAIN QUERY PLAN " + sql, *params))
    assert "COVERING INDEX uq_nodes_parent_id_name_key_kind (parent_id=? AND name_key=?)" in plan
    assert "TEMP B-TREE" not in plan
