"""Users, policies, refusals, alarms and facts: rows that come back as they were put, and the revision they move."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.db.engine import SqlDatabase
from gateway.domain.errors import AlreadyExists, NotFound
from gateway.domain.tenant import Role, Tenant, TenantState, User
from gateway.service.stored import Alarm, Refusal
from gateway.testing.rows import NOW, new_tenant, number


def write(db: SqlDatabase, work: Any) -> Any:
    return db.write(work).result()


def a_user(tenant: Tenant, login: str = "ann") -> User:
    return User(number(), tenant.id, login, "$argon2id$...", Role.EDITOR, False, NOW)


def test_a_login_is_one_of_a_tenant_and_may_exist_in_many(db: SqlDatabase, tenant: Tenant) -> None:
    other = new_tenant(db)
    ann, twin = a_user(tenant), a_user(other)
    write(db, lambda tx: tx.users.add(ann))
    write(db, lambda tx: tx.users.add(twin))
    with pytest.raises(AlreadyExists):
        write(db, lambda tx: tx.users.add(a_user(tenant)))
    assert db.read(lambda tx: tx.users.find(tenant.id, "ann")) == ann
    assert db.read(lambda tx: tx.users.by_login("ann")) == [ann, twin]
    write(db, lambda tx: tx.tenants.set_state(other.id, TenantState.REMOVED))
    assert db.read(lambda tx: tx.users.by_login("ann")) == [ann]


def test_users_change(db: SqlDatabase, tenant: Tenant) -> None:
    ann = a_user(tenant)
    write(db, lambda tx: tx.users.add(ann))
    write(db, lambda tx: tx.users.set_disabled(ann.id, True))
    write(db, lambda tx: tx.users.set_role(ann.id, Role.OWNER))
    write(db, lambda tx: tx.users.set_password(ann.id, "new"))
    assert db.read(lambda tx: tx.users.of_tenant(tenant.id)) == [
        replace(ann, disabled=True, role=Role.OWNER, password_hash="new")
    ]
    with pytest.raises(NotFound):
        write(db, lambda tx: tx.users.set_role(number(), Role.OWNER))


def test_what_gates_cache_moves_the_revision(db: SqlDatabase, tenant: Tenant) -> None:
    ann = a_user(tenant)
    for change in (
        lambda tx: tx.users.add(ann),
        lambda tx: tx.users.set_disabled(ann.id, True),
        lambda tx: tx.tenants.set_state(tenant.id, TenantState.SUSPENDED),
        lambda tx: tx.tenants.set_plan(tenant.id, "large", 1, None),
        lambda tx: tx.policies.add("plans", "d", "op", NOW, "x: 1"),
        lambda tx: tx.policies.assign("plans", 1, tenant.id, "op", NOW),
        lambda tx: tx.policies.unassign("plans", tenant.id),
        lambda tx: tx.system.bump(),
    ):
        before = db.read(lambda tx: tx.system.revision())
        write(db, change)
        assert db.read(lambda tx: tx.system.revision()) > before


def test_policies_count_their_versions_and_are_assigned(db: SqlDatabase, tenant: Tenant) -> None:
    first = write(db, lambda tx: tx.policies.add("plans", "d1", "op", NOW, "a: 1"))
    second = write(db, lambda tx: tx.policies.add("plans", "d2", "op", NOW + 1, "a: 2"))
    other = write(db, lambda tx: tx.policies.add("terms", "d3", "op", NOW, "b: 1"))
    assert [one.version for one in (first, second, other)] == [1, 2, 1]
    assert db.read(lambda tx: tx.policies.get("plans", 2)) == second
    assert db.read(lambda tx: tx.policies.history("plans")) == [first, second]
    assert db.read(lambda tx: tx.policies.history()) == [first, second, other]
    write(db, lambda tx: tx.policies.assign("plans", 1, None, "op", NOW))
    write(db, lambda tx: tx.policies.assign("plans", 2, None, "op", NOW))
    write(db, lambda tx: tx.policies.assign("plans", 1, tenant.id, "op", NOW))
    assert db.read(lambda tx: tx.policies.assignments()) == [("plans", None, 2), ("plans", tenant.id, 1)]
    write(db, lambda tx: tx.policies.unassign("plans", tenant.id))
    assert db.read(lambda tx: tx.policies.assignments()) == [("plans", None, 2)]
    with pytest.raises(NotFound):
        write(db, lambda tx: tx.policies.assign("plans", 3, None, "op", NOW))


def test_a_refusal_of_an_unstorable_name_is_still_recorded(db: SqlDatabase, tenant: Tenant) -> None:
    made = Refusal(tenant.id, NOW, "ann", "PUT", "a\x00\udcff\u00e9", "invalid-name", "", "", "why", "", "r1")
    write(db, lambda tx: tx.refusals.add(made))
    write(db, lambda tx: tx.refusals.add(replace(made, path="second")))
    write(db, lambda tx: tx.refusals.add(replace(made, tenant_id=number(), path="foreign")))
    assert [one.path for one in db.read(lambda tx: tx.refusals.recent(tenant.id, 9))] == ["second", "a\ufffd?\u00e9"]
    newest = db.read(lambda tx: tx.refusals.recent(None, 1))[0]
    assert newest.path == "foreign" and newest.id > 0


def test_an_alarm_stands_until_cleared_and_keeps_its_first_time(db: SqlDatabase) -> None:
    write(db, lambda tx: tx.system.alarm("outbox", "replica", "stuck", NOW))
    write(db, lambda tx: tx.system.alarm("outbox", "replica", "still stuck", NOW + 5))
    assert db.read(lambda tx: tx.system.alarms()) == [Alarm("outbox", "replica", "still stuck", NOW)]
    write(db, lambda tx: tx.system.alarm("outbox", "replica", None, NOW + 6))
    write(db, lambda tx: tx.system.alarm("outbox", "replica", None, NOW + 7))
    assert db.read(lambda tx: tx.system.alarms()) == []
    assert db.read(lambda tx: tx.system.alarms(active_only=False)) == [
        Alarm("outbox", "replica", "still stuck", NOW, NOW + 6)
    ]
    write(db, lambda tx: tx.system.alarm("outbox", "replica", "again", NOW + 8))
    assert db.read(lambda tx: tx.system.alarms()) == [Alarm("outbox", "replica", "again", NOW + 8)]


def test_facts_and_settings_keep_their_last_value(db: SqlDatabase) -> None:
    write(db, lambda tx: tx.system.put_fact("disk", "ok", "", 0.1, NOW))
    write(db, lambda tx: tx.system.put_fact("disk", "warning", "fills up", 0.30000000000000004, NOW + 1))
    write(db, lambda tx: tx.system.put_fact("clamd", "error", "gone", None, NOW))
    assert db.read(lambda tx: tx.system.facts()) == [
        ("clamd", "error", "gone", None, NOW),
        ("disk", "warning", "fills up", 0.30000000000000004, NOW + 1),
    ]
    write(db, lambda tx: tx.system.set_meta("key", "1"))
    write(db, lambda tx: tx.system.set_meta("key", "2"))
    assert db.read(lambda tx: (tx.system.get_meta("key"), tx.system.get_meta("none"))) == ("2", None)
