"""The batching writer: together in one commit, undone one by one, in turns between tenants."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.db.engine import SqlDatabase
from gateway.db.fairqueue import Closed, FairQueue, Item
from gateway.domain.errors import BackendUnavailable, NotEmpty
from gateway.domain.tenant import Tenant
from gateway.testing.rows import file, new_tenant
from gateway.testing.writers import writer_busy


def commits(db: SqlDatabase, monkeypatch: pytest.MonkeyPatch, budget: float = 60) -> list[int]:
    """The sizes of the batches that the writer tries from now on, each given ``budget`` seconds of work."""
    monkeypatch.setattr("gateway.db.writer.BUDGET", budget)
    sizes: list[int] = []
    transact = db._writer._transact

    def counted(items: Any) -> Any:
        sizes.append(len(items))
        return transact(items)

    monkeypatch.setattr(db._writer, "_transact", counted)
    return sizes


def put(tenant: Tenant, name: str) -> Callable[[Any], str]:
    def work(tx: Any) -> str:
        tx.nodes.insert(file(tenant.id, tenant.root_id, name))
        return name

    return work


def names(db: SqlDatabase, tenant: Tenant) -> list[str]:
    return [node.name for node in db.read(lambda tx: tx.nodes.children(tenant.root_id))]


def test_what_waits_is_committed_together(db: SqlDatabase, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = commits(db, monkeypatch)
    with writer_busy(db):
        futures = [db.write(put(tenant, f"f{n}"), tenant.id) for n in range(20)]
    assert [future.result(120) for future in futures] == [f"f{n}" for n in range(20)]
    assert sizes == [1, 20]


def test_what_an_event_loop_brings_in_one_turn_is_committed_together(
    db: SqlDatabase, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = commits(db, monkeypatch)

    async def turn() -> list[str]:
        futures = [asyncio.wrap_future(db.write_soon(put(tenant, f"f{n}"), tenant.id)) for n in range(5)]
        return await asyncio.gather(*futures)

    assert asyncio.run(turn()) == [f"f{n}" for n in range(5)]
    assert sizes == [5]


def test_what_a_loop_that_ended_has_brought_is_committed_at_the_end(db: SqlDatabase, tenant: Tenant) -> None:
    brought: list[Future[str]] = []

    async def turn() -> None:
        brought.append(db.write_soon(put(tenant, "last"), tenant.id))

    loop = asyncio.new_event_loop()
    loop.call_soon(lambda: loop.create_task(turn()).add_done_callback(lambda _: loop.stop()))
    loop.run_forever()
    loop.close()
    db.close()
    assert brought[0].result(120) == "last"


def test_who_comes_while_other_processes_have_their_turn_comes_along(
    db: SqlDatabase, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = commits(db, monkeypatch)
    exclusive, waiting, granted = db._source.exclusive, threading.Event(), threading.Event()

    @contextmanager
    def slow() -> Iterator[None]:
        waiting.set()
        assert granted.wait(30)
        with exclusive():
            yield

    monkeypatch.setattr(db._source, "exclusive", slow)
    first = db.write(put(tenant, "first"), tenant.id)
    assert waiting.wait(30)
    others = [db.write(put(tenant, f"f{n}"), tenant.id) for n in range(5)]
    granted.set()
    assert [future.result(120) for future in (first, *others)] == ["first", *(f"f{n}" for n in range(5))]
    assert sizes == [1], "no further transaction"


@pytest.mark.parametrize("error", [NotEmpty("no"), RuntimeError("bug"), SystemExit(3)])
def test_who_fails_is_undone_alone(
    db: SqlDatabase, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    sizes = commits(db, monkeypatch)

    def fails(tx: Any) -> None:
        put(tenant, "undone")(tx)
        raise error

    with writer_busy(db):
        before, bad, after = (
            db.write(work, tenant.id) for work in (put(tenant, "before"), fails, put(tenant, "after"))
        )
    assert bad.exception(120) is error
    assert (before.result(120), after.result(120)) == ("before", "after")
    assert names(db, tenant) == ["after", "before"]
    assert sizes == [1, 3]


def test_a_broken_constraint_is_its_own_mutations_fault_only(db: SqlDatabase, tenant: Tenant) -> None:
    twin = file(tenant.id, tenant.root_id, "twin")

    def insert_twice(tx: Any) -> None:
        tx.nodes.insert(twin)
        tx.nodes.insert(file(tenant.id, tenant.root_id, "other", id=twin.id))

    with writer_busy(db):
        bad, good = db.write(insert_twice, tenant.id), db.write(put(tenant, "good"), tenant.id)
    assert type(bad.exception(120)).__name__ in ("IntegrityError", "UniqueViolation")
    assert good.result(120) == "good"
    assert names(db, tenant) == ["good"]


def test_a_batch_that_fails_at_commit_is_tried_one_by_one(db: SqlDatabase, tenant: Tenant) -> None:
    """A constraint that is only checked at COMMIT takes the whole batch with it."""

    def promise(tx: Any) -> None:
        if tx.session.dialect == "sqlite":
            tx.session.raw.execute("PRAGMA defer_foreign_keys = ON")
        else:
            tx.session.raw.execute(
                "ALTER TABLE nodes ALTER CONSTRAINT fk_nodes_parent_id DEFERRABLE INITIALLY DEFERRED"
            )
        tx.nodes.insert(file(tenant.id, -5, "no parent", version=None, kind="c"))

    with writer_busy(db):
        futures = [db.write(work, tenant.id) for work in (put(tenant, "a"), promise, put(tenant, "b"))]
    assert type(futures[1].exception(120)).__name__ in ("IntegrityError", "ForeignKeyViolation")
    assert [futures[0].result(120), futures[2].result(120)] == ["a", "b"]
    assert names(db, tenant) == ["a", "b"]


def test_a_mutation_given_up_before_its_turn_is_not_done(db: SqlDatabase, tenant: Tenant) -> None:
    with writer_busy(db):
        given_up, kept = db.write(put(tenant, "given up"), tenant.id), db.write(put(tenant, "kept"), tenant.id)
        assert given_up.cancel()
    assert kept.result(120) == "kept"
    assert names(db, tenant) == ["kept"]


def test_a_long_batch_is_cut_and_the_rest_still_done(
    db: SqlDatabase, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = commits(db, monkeypatch, budget=0)
    with writer_busy(db):
        futures = [db.write(put(tenant, f"f{n}"), tenant.id) for n in range(4)]
    assert [future.result(120) for future in futures] == ["f0", "f1", "f2", "f3"]
    assert sizes == [1, 4, 3, 2, 1]


def test_a_read_sees_one_snapshot_and_a_write_the_latest(db: SqlDatabase, tenant: Tenant) -> None:
    def read(tx: Any) -> tuple[int, int]:
        before = len(tx.nodes.children(tenant.root_id))
        db.write(put(tenant, "meanwhile"), tenant.id).result(120)
        return before, len(tx.nodes.children(tenant.root_id))

    assert db.read(read) == (0, 0)
    assert db.write(lambda tx: len(tx.nodes.children(tenant.root_id))).result(120) == 1


def test_a_read_that_fails_leaves_its_connection_usable(db: SqlDatabase, tenant: Tenant) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            db.read(lambda tx: 1 / len(tx.nodes.children(tenant.root_id)))
        assert names(db, tenant) == []
    assert len(db._idle) == 1


def test_closing_commits_what_is_queued_and_then_refuses(db: SqlDatabase, tenant: Tenant) -> None:
    with writer_busy(db):
        queued = db.write(put(tenant, "queued"), tenant.id)
    db.close()
    assert queued.result(0) == "queued"
    assert isinstance(db.write(put(tenant, "late"), tenant.id).exception(0), BackendUnavailable)


def test_a_quiet_tenant_is_served_before_the_rest_of_a_busy_ones_queue(db: SqlDatabase, tenant: Tenant) -> None:
    quiet = new_tenant(db)
    order: list[str] = []

    def note(name: str) -> Callable[[Any], None]:
        return lambda _: order.append(name)

    with writer_busy(db):
        futures: list[Future[None]] = [db.write(note("busy"), tenant.id) for _ in range(200)]
        futures.append(db.write(note("quiet"), quiet.id))
    for future in futures:
        future.result(120)
    assert order.index("quiet") == 1


def test_the_queue_takes_turns_and_keeps_each_tenants_order() -> None:
    queue = FairQueue()
    items = {name: Item(lambda _: None, ord(name[0])) for name in ("a1", "a2", "a3", "b1", "c1", "c2")}
    for item in items.values():
        queue.put(item)

    def labels(taken: list[Item]) -> list[str]:
        return [name for one in taken for name, item in items.items() if item is one]

    taken = queue.take(4)
    assert labels(taken) == ["a1", "b1", "c1", "a2"]
    queue.put_back(taken[2:])
    assert labels(queue.take(9)) == ["c1", "a2", "c2", "a3"]
    queue.close()
    assert queue.take(1) == []
    with pytest.raises(Closed):
        queue.put(items["a1"])
