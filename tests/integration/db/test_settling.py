"""Usage is settled by one conditional statement: never above the limit, whoever else settles (invariant I4)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from gateway.db.engine import SqlDatabase, open_database
from gateway.domain.errors import AlreadyExists, NotFound, QuotaExceeded
from gateway.domain.tenant import Limits, Tenant, TenantState
from gateway.testing.rows import NOW, new_tenant, number


def now_of(db: SqlDatabase, tenant: Tenant) -> Tenant:
    found = db.read(lambda tx: tx.tenants.by_id(tenant.id))
    assert found is not None
    return found


def test_settling_adds_up_and_takes_the_next_number(db: SqlDatabase, tenant: Tenant) -> None:
    first = db.write(lambda tx: tx.tenants.settle(tenant.id, NOW + 5, bytes=10, files=1)).result()
    second = db.write(lambda tx: tx.tenants.settle(tenant.id, NOW + 6, bytes=-3)).result()
    assert (first.seq, first.used_bytes, first.used_files) == (1, 10, 1)
    assert (second.seq, second.used_bytes, second.used_files) == (2, 7, 1)
    assert now_of(db, tenant) == replace(tenant, used_bytes=7, used_files=1, seq=2)


def test_event_times_never_run_backwards(db: SqlDatabase, tenant: Tenant) -> None:
    db.write(lambda tx: tx.tenants.settle(tenant.id, NOW + 50)).result()
    assert db.write(lambda tx: tx.tenants.settle(tenant.id, NOW + 20)).result().at == NOW + 50


def test_growth_above_the_limit_is_refused_with_the_figures(db: SqlDatabase, tenant: Tenant) -> None:
    limits = Limits(bytes=100, files=2)
    db.write(lambda tx: tx.tenants.settle(tenant.id, NOW, bytes=100, files=2, limits=limits)).result()
    with pytest.raises(QuotaExceeded) as refused:
        db.write(lambda tx: tx.tenants.settle(tenant.id, NOW, bytes=1, limits=limits)).result()
    assert (refused.value.used, refused.value.allowed, refused.value.unit) == (100, 100, "bytes")
    with pytest.raises(QuotaExceeded) as refused:
        db.write(lambda tx: tx.tenants.settle(tenant.id, NOW, files=1, limits=limits)).result()
    assert (refused.value.used, refused.value.allowed, refused.value.unit) == (2, 2, "files")
    assert now_of(db, tenant).seq == 1


def test_shrinking_passes_even_when_the_space_is_above_its_limit(db: SqlDatabase, tenant: Tenant) -> None:
    db.write(lambda tx: tx.tenants.settle(tenant.id, NOW, bytes=500, files=5)).result()
    limits = Limits(bytes=100, files=1)
    settled = db.write(lambda tx: tx.tenants.settle(tenant.id, NOW, bytes=-1, limits=limits)).result()
    assert settled.used_bytes == 499
    db.write(lambda tx: tx.tenants.settle(tenant.id, NOW, limits=limits)).result()


def test_what_is_reserved_counts_against_the_limit(db: SqlDatabase, tenant: Tenant) -> None:
    limits = Limits(bytes=100)
    upload = number()
    db.write(lambda tx: tx.tenants.reserve(tenant.id, "boot-a", upload, 40, limits)).result()
    db.write(lambda tx: tx.tenants.reserve(tenant.id, "boot-a", upload, 40, limits)).result()
    with pytest.raises(QuotaExceeded):
        db.write(lambda tx: tx.tenants.reserve(tenant.id, "boot-b", number(), 21, limits)).result()
    with pytest.raises(QuotaExceeded):
        db.write(lambda tx: tx.tenants.settle(tenant.id, NOW, bytes=21, limits=limits)).result()

    def commit(tx):
        given_back = tx.tenants.unreserve(tenant.id, upload)
        assert given_back == 80
        return tx.tenants.settle(tenant.id, NOW, bytes=100, files=1, limits=limits)

    assert db.write(commit).result().used_bytes == 100
    assert now_of(db, tenant).reserved_bytes == 0


def test_reservations_of_lapsed_processes_are_given_back(db: SqlDatabase, tenant: Tenant) -> None:
    other = new_tenant(db)
    for owner, boot_id in ((tenant, "dead"), (tenant, "live"), (other, "dead")):
        db.write(lambda tx, o=owner, b=boot_id: tx.tenants.reserve(o.id, b, number(), 10, Limits())).result()
    assert db.write(lambda tx: tx.tenants.drop_reservations(["dead"])).result() == 2
    assert (now_of(db, tenant).reserved_bytes, now_of(db, other).reserved_bytes) == (10, 0)


def test_a_tenant_that_does_not_exist_is_not_found(db: SqlDatabase) -> None:
    with pytest.raises(NotFound):
        db.write(lambda tx: tx.tenants.settle(number(), NOW, bytes=1)).result()


def test_a_name_in_use_is_refused_also_when_its_tenant_was_removed(db: SqlDatabase, tenant: Tenant) -> None:
    db.write(lambda tx: tx.tenants.set_state(tenant.id, TenantState.REMOVED)).result()
    with pytest.raises(AlreadyExists):
        new_tenant(db, tenant.name)
    assert db.read(lambda tx: tx.tenants.all()) == []
    assert db.read(lambda tx: tx.tenants.get(tenant.name)) is not None


def test_thirty_two_threads_in_two_processes_worth_of_writers_never_overshoot(url: str) -> None:
    limits = Limits(bytes=1000, files=1000)
    first, second = (open_database(url, clock=lambda: NOW) for _ in range(2))
    tenant = new_tenant(first)

    def settle(n: int) -> bool:
        db = first if n % 2 else second
        try:
            db.write(lambda tx: tx.tenants.settle(tenant.id, NOW, bytes=7, files=1, limits=limits), tenant.id).result()
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        passed = sum(pool.map(settle, range(320)))
    used = now_of(first, tenant)
    first.close()
    second.close()
    assert passed == 1000 // 7
    assert (used.used_bytes, used.used_files, used.seq) == (passed * 7, passed, passed)
