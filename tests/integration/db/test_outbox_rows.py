"""The log of each tenant, the cursors of its readers, and the leases that fence them."""

from __future__ import annotations

from typing import Any

from gateway.db.engine import SqlDatabase
from gateway.domain.events import Event
from gateway.domain.tenant import Tenant
from gateway.service.stored import Cursor, Released
from gateway.testing.rows import NOW, event, new_tenant


def write(db: SqlDatabase, work: Any) -> Any:
    return db.write(work).result()


def happen(db: SqlDatabase, tenant: Tenant, times: int = 1, at: int = NOW) -> list[Event]:
    def work(tx: Any) -> Event:
        one = event(tenant, tx.tenants.settle(tenant.id, at, bytes=1), name="\u00e9\x00", list=[1, None, {"a": 0.5}])
        tx.events.append(one)
        return one

    return [write(db, work) for _ in range(times)]


def test_events_come_back_in_order_after_a_number(db: SqlDatabase, tenant: Tenant) -> None:
    made = happen(db, tenant, 5)
    assert [one.seq for one in made] == [1, 2, 3, 4, 5]
    assert db.read(lambda tx: tx.events.after(tenant.id, 0, 3)) == made[:3]
    assert db.read(lambda tx: tx.events.after(tenant.id, 3, 30)) == made[3:]
    assert db.read(lambda tx: tx.events.last_seq(tenant.id)) == 5
    assert db.read(lambda tx: tx.events.oldest_at(tenant.id, 4)) == NOW
    assert db.read(lambda tx: tx.events.oldest_at(tenant.id, 5)) is None


def test_a_failed_mutation_leaves_no_gap_in_the_numbers(db: SqlDatabase, tenant: Tenant) -> None:
    def fails(tx: Any) -> None:
        tx.events.append(event(tenant, tx.tenants.settle(tenant.id, NOW)))
        raise RuntimeError

    happen(db, tenant)
    assert isinstance(db.write(fails).exception(), RuntimeError)
    assert [one.seq for one in happen(db, tenant)] == [2]
    assert [one.seq for one in db.read(lambda tx: tx.events.after(tenant.id, 0, 9))] == [1, 2]


def test_due_names_who_has_unread_events_the_quiet_ones_first(db: SqlDatabase, tenant: Tenant) -> None:
    quiet = new_tenant(db)
    new_tenant(db)
    happen(db, quiet, at=NOW + 1)
    happen(db, tenant, 3, at=NOW + 5)
    assert db.read(lambda tx: tx.events.due("replica", NOW, 10)) == [
        Cursor("replica", quiet.id, 0),
        Cursor("replica", tenant.id, 0),
    ]
    assert write(db, lambda tx: tx.events.advance("replica", quiet.id, 0, 1, 0))
    assert write(db, lambda tx: tx.events.advance("replica", tenant.id, 0, 2, 0))
    assert db.read(lambda tx: tx.events.due("replica", NOW, 10)) == [Cursor("replica", tenant.id, 2)]
    assert len(db.read(lambda tx: tx.events.due("metering", NOW, 10))) == 2


def test_a_failure_puts_a_cursor_off_and_parking_stops_it(db: SqlDatabase, tenant: Tenant) -> None:
    happen(db, tenant)
    failed = Cursor("replica", tenant.id, 0, attempts=3, retry_at=NOW + 10, error="no route")
    write(db, lambda tx: tx.events.failed(failed, 0))
    assert db.read(lambda tx: tx.events.due("replica", NOW + 9, 10)) == []
    assert db.read(lambda tx: tx.events.due("replica", NOW + 10, 10)) == [failed]
    write(db, lambda tx: tx.events.failed(Cursor("replica", tenant.id, 0, 4, 0, "no route", parked=True), 0))
    assert db.read(lambda tx: tx.events.due("replica", NOW + 99, 10)) == []
    assert [one.parked for one in db.read(lambda tx: tx.events.cursors("replica"))] == [True]
    write(db, lambda tx: tx.events.advance("replica", tenant.id, 0, 1, 0))
    assert db.read(lambda tx: tx.events.cursors()) == [Cursor("replica", tenant.id, 1)]


def test_a_cursor_moves_only_from_where_it_is_and_under_the_newest_fence(db: SqlDatabase, tenant: Tenant) -> None:
    happen(db, tenant, 3)
    old = write(db, lambda tx: tx.leases.grant("s1", "steward", "h", 1, NOW, NOW + 10))
    new = write(db, lambda tx: tx.leases.grant("s2", "steward", "h", 2, NOW + 10, NOW + 20))
    assert not write(db, lambda tx: tx.events.advance("replica", tenant.id, 0, 1, old.fence))
    assert write(db, lambda tx: tx.events.advance("replica", tenant.id, 0, 1, new.fence))
    assert not write(db, lambda tx: tx.events.advance("replica", tenant.id, 0, 2, new.fence))
    assert not write(db, lambda tx: tx.events.advance("replica", tenant.id, 2, 3, new.fence))
    assert db.read(lambda tx: tx.events.cursors("replica")) == [Cursor("replica", tenant.id, 1)]


def test_only_what_all_have_read_is_trimmed(db: SqlDatabase, tenant: Tenant) -> None:
    happen(db, tenant, 5)
    write(db, lambda tx: tx.events.advance("replica", tenant.id, 0, 2, 0))
    write(db, lambda tx: tx.events.advance("metering", tenant.id, 0, 4, 0))
    assert write(db, lambda tx: tx.events.trim(tenant.id, 4)) == 2
    write(db, lambda tx: tx.events.forget_subscriber("replica"))
    assert write(db, lambda tx: tx.events.trim(tenant.id, 3)) == 1
    assert [one.seq for one in db.read(lambda tx: tx.events.after(tenant.id, 0, 9))] == [4, 5]


def test_there_is_one_steward_and_each_has_a_higher_fence(db: SqlDatabase) -> None:
    first = write(db, lambda tx: tx.leases.grant("s1", "steward", "h", 1, NOW, NOW + 10))
    assert write(db, lambda tx: tx.leases.grant("s2", "steward", "h", 2, NOW + 9, NOW + 19)) is None
    assert write(db, lambda tx: tx.leases.renew("s1", NOW + 15))
    assert write(db, lambda tx: tx.leases.grant("s2", "steward", "h", 2, NOW + 14, NOW + 24)) is None
    second = write(db, lambda tx: tx.leases.grant("s2", "steward", "h", 2, NOW + 15, NOW + 25))
    assert second.fence > first.fence
    assert not write(db, lambda tx: tx.leases.renew("s1", NOW + 99))
    assert [one.boot_id for one in db.read(lambda tx: tx.leases.live(NOW + 16))] == ["s2"]


def test_gates_live_side_by_side_until_their_leases_lapse(db: SqlDatabase) -> None:
    for boot_id in ("g1", "g2"):
        assert write(db, lambda tx, b=boot_id: tx.leases.grant(b, "gate", "h", 1, NOW, NOW + 10))
    write(db, lambda tx: tx.leases.renew("g2", NOW + 20))
    assert db.read(lambda tx: (tx.leases.alive("g1", NOW + 9), tx.leases.alive("g1", NOW + 10))) == (True, False)
    assert [one.boot_id for one in db.read(lambda tx: tx.leases.lapsed(NOW + 10))] == ["g1"]
    write(db, lambda tx: tx.leases.remove("g1"))
    assert not write(db, lambda tx: tx.leases.renew("g1", NOW + 99))
    assert db.read(lambda tx: tx.leases.lapsed(NOW + 10)) == []


def test_a_blob_released_again_waits_for_the_later_event(db: SqlDatabase, tenant: Tenant) -> None:
    write(db, lambda tx: tx.blobs.release(Released("a", tenant.id, 3, NOW)))
    write(db, lambda tx: tx.blobs.release(Released("b", tenant.id, 4, NOW + 1)))
    write(db, lambda tx: tx.blobs.release(Released("a", tenant.id, 9, NOW + 2)))
    assert [(one.blob_id, one.after_seq) for one in db.read(lambda tx: tx.blobs.released(9))] == [("b", 4), ("a", 9)]
    write(db, lambda tx: tx.blobs.forget("b"))
    assert db.read(lambda tx: tx.blobs.released(9)) == [Released("a", tenant.id, 9, NOW + 2)]


def test_released_blobs_are_due_when_all_named_subscribers_have_passed(db: SqlDatabase) -> None:
    one, two = new_tenant(db), new_tenant(db)

    def fill(tx: Any) -> None:
        for tenant, blob in ((one, "one"), (two, "two")):
            tx.blobs.release(Released(blob, tenant.id, 3, NOW))
            tx.events.advance("first", tenant.id, 0, 3, 0)
        tx.events.advance("second", two.id, 0, 2, 0)
        tx.events.advance("second", one.id, 0, 9, 0)

    db.write(fill).result(120)

    def passed(names: list[str], before: int = NOW, limit: int = 10) -> set[str]:
        return {blob.blob_id for blob in db.read(lambda tx: tx.blobs.passed(names, before, limit))}

    assert passed(["first", "second"]) == {"one"}
    assert passed(["first", "first"]) == {"one", "two"}
    assert passed([]) == {"one", "two"}
    assert passed(["first"], before=NOW - 1) == set()
    assert passed(["third"]) == set()
