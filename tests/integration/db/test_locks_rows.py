"""Locks are found by the nodes in whose scope they lie, and end with their time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.db.engine import SqlDatabase
from gateway.domain.lock import Lock, Scope
from gateway.domain.node import Node
from gateway.domain.tenant import Tenant
from gateway.testing.rows import NOW, collection, file, new_tenant, number


def a_lock(node: Node, expires_at: int = NOW + 1000, **changes: Any) -> Lock:
    token = f"opaquelocktoken:{number()}"
    return replace(
        Lock(token, node.tenant_id, node.id, 1, Scope.EXCLUSIVE, True, "<D:href>\u00e9</D:href>", 600, expires_at,
             ("a", "\u304c")),
        **changes,
    )  # fmt: skip


@pytest.fixture
def nodes(db: SqlDatabase, tenant: Tenant) -> dict[str, Node]:
    a = collection(tenant.id, tenant.root_id, "a")
    b = collection(tenant.id, a.id, "b")
    f = file(tenant.id, b.id, "f")
    g = file(tenant.id, tenant.root_id, "g")
    db.write(lambda tx: tx.nodes.insert_many([a, b, f, g])).result()
    return {"a": a, "b": b, "f": f, "g": g}


def add(db: SqlDatabase, *locks: Lock) -> None:
    db.write(lambda tx: [tx.locks.add(lock) for lock in locks]).result()


def test_a_lock_comes_back_whole(db: SqlDatabase, nodes: dict[str, Node]) -> None:
    lock = a_lock(nodes["f"], scope=Scope.SHARED, infinite=False)
    add(db, lock)
    assert db.read(lambda tx: tx.locks.by_token(lock.tenant_id, lock.token)) == lock
    assert db.read(lambda tx: tx.locks.by_token(lock.tenant_id + 1, lock.token)) is None


def test_locks_are_found_on_below_and_among_children(db: SqlDatabase, tenant: Tenant, nodes: dict[str, Node]) -> None:
    on_a, on_f, on_g = a_lock(nodes["a"]), a_lock(nodes["f"]), a_lock(nodes["g"])
    add(db, on_a, on_f, on_g)

    def read(work: Any) -> set[str]:
        return {lock.token for lock in db.read(work)}

    assert read(lambda tx: tx.locks.on_nodes([nodes["a"].id, nodes["f"].id], NOW)) == {on_a.token, on_f.token}
    assert read(lambda tx: tx.locks.on_nodes([], NOW)) == set()
    assert read(lambda tx: tx.locks.below(tenant.root_id, NOW)) == {on_a.token, on_f.token, on_g.token}
    assert read(lambda tx: tx.locks.below(nodes["a"].id, NOW)) == {on_f.token}
    assert read(lambda tx: tx.locks.below(nodes["f"].id, NOW)) == set()
    assert read(lambda tx: tx.locks.of_children(tenant.root_id, NOW)) == {on_a.token, on_g.token}
    assert read(lambda tx: tx.locks.of_children(nodes["b"].id, NOW)) == {on_f.token}
    assert read(lambda tx: tx.locks.of_tenant(tenant.id, NOW)) == {on_a.token, on_f.token, on_g.token}
    assert db.read(lambda tx: tx.locks.count(tenant.id, NOW)) == 3
    assert db.read(lambda tx: tx.locks.count(tenant.id + 1, NOW)) == 0


def test_a_lock_ends_at_its_time_and_is_purged(db: SqlDatabase, tenant: Tenant, nodes: dict[str, Node]) -> None:
    lock = a_lock(nodes["f"], expires_at=NOW + 10)
    add(db, lock)
    assert db.read(lambda tx: tx.locks.on_nodes([nodes["f"].id], NOW + 9))
    for find in (
        lambda tx: tx.locks.on_nodes([nodes["f"].id], NOW + 10),
        lambda tx: tx.locks.below(nodes["a"].id, NOW + 10),
        lambda tx: tx.locks.of_children(nodes["b"].id, NOW + 10),
        lambda tx: tx.locks.of_tenant(None, NOW + 10),
    ):
        assert db.read(find) == []
    db.write(lambda tx: tx.locks.refresh(lock.token, 700, NOW + 20)).result()
    assert db.read(lambda tx: tx.locks.on_nodes([nodes["f"].id], NOW + 10)) == [
        replace(lock, timeout=700, expires_at=NOW + 20)
    ]
    assert db.write(lambda tx: tx.locks.purge(NOW + 19)).result() == 0
    assert db.write(lambda tx: tx.locks.purge(NOW + 20)).result() == 1


def test_dropping_below_leaves_the_locks_of_others(db: SqlDatabase, tenant: Tenant, nodes: dict[str, Node]) -> None:
    other = new_tenant(db)
    foreign = file(other.id, other.root_id, "x")
    db.write(lambda tx: tx.nodes.insert(foreign)).result()
    kept = [a_lock(nodes["g"]), a_lock(foreign)]
    add(db, a_lock(nodes["a"]), a_lock(nodes["f"]), *kept)
    db.write(lambda tx: tx.locks.drop_below(nodes["a"].id)).result()
    left = db.read(lambda tx: tx.locks.of_tenant(None, NOW))
    assert {lock.token for lock in left} == {lock.token for lock in kept}
    db.write(lambda tx: tx.locks.drop_on([nodes["g"].id])).result()
    db.write(lambda tx: tx.locks.remove(kept[1].token)).result()
    assert db.read(lambda tx: tx.locks.of_tenant(None, NOW)) == []


def test_locks_are_hung_on_the_file_that_takes_the_place(db: SqlDatabase, nodes: dict[str, Node]) -> None:
    lock = a_lock(nodes["g"])
    add(db, lock)
    db.write(lambda tx: tx.locks.rehang(nodes["g"].id, nodes["f"].id)).result()
    assert db.read(lambda tx: tx.locks.on_nodes([nodes["f"].id], NOW)) == [replace(lock, node_id=nodes["f"].id)]
