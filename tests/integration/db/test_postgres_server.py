"""PostgreSQL as a server: it restarts, hangs, is shared by gateways, and says no."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from gateway.db import postgres as module
from gateway.db.engine import SqlDatabase, open_database
from gateway.domain.errors import BackendUnavailable
from gateway.domain.tenant import Tenant
from gateway.testing.postgres import PostgresServer
from gateway.testing.rows import NOW, new_tenant
from gateway.testing.writers import writer_busy


@pytest.fixture
def url(postgres: PostgresServer) -> Iterator[str]:
    given = postgres.new_database()
    yield given
    postgres.give_back(given)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE", 0.5)
    monkeypatch.setattr(module, "_REFUSE", 0)


def mark(db: SqlDatabase, value: str) -> None:
    db.write(lambda tx: tx.system.set_meta("mark", value)).result(120)


def marked(db: SqlDatabase) -> str | None:
    return db.read(lambda tx: tx.system.get_meta("mark"))


@pytest.mark.usefixtures("impatient")
def test_after_a_restart_the_next_read_and_write_just_work(postgres: PostgresServer, db: SqlDatabase) -> None:
    mark(db, "before")
    assert marked(db) == "before"
    postgres.stop("immediate")
    postgres.start()
    mark(db, "after")
    assert marked(db) == "after"
    db.check()


@pytest.mark.usefixtures("impatient")
def test_while_the_server_is_down_everything_is_refused_and_then_works_again(
    postgres: PostgresServer, db: SqlDatabase
) -> None:
    mark(db, "before")
    marked(db)
    postgres.stop()
    try:
        for ask in (lambda: mark(db, "lost"), lambda: marked(db), db.check):
            with pytest.raises(BackendUnavailable):
                ask()
    finally:
        postgres.start()
    assert marked(db) == "before"
    db.check()
    mark(db, "after")
    assert marked(db) == "after"


@pytest.mark.usefixtures("impatient")
def test_a_server_that_hangs_is_given_up(db: SqlDatabase) -> None:
    mark(db, "before")
    stopped: list[int] = []

    def stop_backend(tx: Any) -> None:
        stopped.append(tx.session.scalar("SELECT pg_backend_pid()"))
        os.kill(stopped[0], signal.SIGSTOP)
        tx.system.get_meta("mark")

    try:
        for ask in (lambda: db.write(stop_backend).result(120), lambda: db.read(stop_backend)):
            with pytest.raises(BackendUnavailable):
                ask()
            os.kill(stopped.pop(), signal.SIGCONT)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    mark(db, "after")
    assert marked(db) == "after"


def test_check_and_change_of_one_space_is_one_step_across_gateways(url: str, db: SqlDatabase) -> None:
    """Two gateways that both see a free place must not both take it (DESIGN section 5)."""
    tenant, other = new_tenant(db), open_database(url, clock=lambda: NOW)
    both = threading.Barrier(2, timeout=1)

    def take(name: str) -> Any:
        def work(tx: Any) -> bool:
            if tx.system.get_meta("place"):
                return False
            with suppress(threading.BrokenBarrierError):
                both.wait()  # under the lock nobody comes: the other one waits before it looks
            tx.system.set_meta("place", name)
            return True

        return work

    futures = [db.write(take("first"), tenant.id), other.write(take("second"), tenant.id)]
    assert sorted(future.result(120) for future in futures) == [False, True]
    other.close()


def test_writers_of_different_spaces_do_not_wait_for_each_other(url: str, db: SqlDatabase) -> None:
    first, second, other = new_tenant(db), new_tenant(db), open_database(url, clock=lambda: NOW)
    meet = threading.Barrier(2, timeout=110)

    def work(tenant: Tenant) -> Any:
        def settle(tx: Any) -> int:
            meet.wait()
            return tx.tenants.settle(tenant.id, NOW).seq  # type: ignore[no-any-return]

        return settle

    futures: list[Future[int]] = [db.write(work(first), first.id), other.write(work(second), second.id)]
    assert [future.result(120) for future in futures] == [1, 1]
    other.close()


def test_batches_over_the_same_spaces_in_any_order_do_not_deadlock(url: str, db: SqlDatabase) -> None:
    tenants, other = [new_tenant(db) for _ in range(4)], open_database(url, clock=lambda: NOW)
    futures = []
    for _ in range(20):
        with writer_busy(db, tenant_id=1), writer_busy(other, tenant_id=2):
            for tenant in tenants:
                futures.append(db.write(lambda tx, t=tenant: tx.tenants.settle(t.id, NOW), tenant.id))
            for tenant in reversed(tenants):
                futures.append(other.write(lambda tx, t=tenant: tx.tenants.settle(t.id, NOW), tenant.id))
    for future in futures:
        future.result(120)
    assert [db.read(lambda tx, t=tenant: tx.tenants.by_id(t.id).seq) for tenant in tenants] == [40] * 4
    other.close()


def test_spaces_are_locked_in_one_order_whoever_asks(db: SqlDatabase) -> None:
    asked: list[Any] = []

    class Recorder:
        def command(self, _: str, *params: Any) -> None:
            asked.extend(params)

    db._source.begin_write(Recorder(), [9 << 40, 3, 1 << 40, 8])  # type: ignore[arg-type]
    assert asked[-1] == [3, 8, 1 << 40, 9 << 40]


def test_a_conflict_is_tried_again(db: SqlDatabase) -> None:
    tries: list[int] = []

    def conflicts_twice(tx: Any) -> str:
        tries.append(1)
        if len(tries) < 3:
            tx.session.command("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")
        tx.system.set_meta("mark", "third")
        return "done"

    with writer_busy(db):
        conflicting = db.write(conflicts_twice)
        beside = db.write(lambda tx: tx.system.set_meta("beside", "1"))
    assert conflicting.result(120) == "done"
    beside.result(120)
    assert (marked(db), len(tries)) == ("third", 3)


def test_reads_never_write_and_never_see_half_of_a_commit(url: str, db: SqlDatabase) -> None:
    with pytest.raises(BackendUnavailable):
        db.read(lambda tx: tx.system.set_meta("mark", "by a read"))
    assert marked(db) is None


def test_a_wrong_password_is_unavailable_and_not_shown(url: str) -> None:
    wrong = url.replace("kurado:", "kurado:wrong", 1)
    with pytest.raises(BackendUnavailable) as refused:
        open_database(wrong, clock=lambda: NOW)
    assert "wrong" not in str(refused.value)


def test_relaxed_durability_is_asked_for_only_on_request(url: str) -> None:
    for durability, setting in (("full", "on"), ("relaxed", "off")):
        database = open_database(url, durability=durability, clock=lambda: NOW)
        assert database.write(lambda tx: tx.session.scalar("SHOW synchronous_commit")).result(120) == setting
        database.close()


def test_states_of_the_server_are_told_apart() -> None:
    def fault(state: str | None) -> str:
        error = psycopg.OperationalError()
        error.sqlstate = state
        return module._meaning_of_state(error).value

    assert fault("53100") == "full"
    assert fault("40P01") == "conflict"
    assert [fault(state) for state in ("08006", "53300", "57P01", "25006", "XX001", None)] == ["gone"] * 6
    assert [fault(state) for state in ("22003", "42703")] == ["own"] * 2
