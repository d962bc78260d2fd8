"""Tenants and users over a real database: one transaction, one event, and a directory that notices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.errors import (
    AlreadyExists,
    BackendUnavailable,
    BadRequest,
    InvalidName,
    NotFound,
    TenantSuspended,
    Unauthenticated,
)
from gateway.domain.events import Event
from gateway.domain.tenant import Role, TenantState
from gateway.service.accounts import Accounts
from gateway.service.directory import MAX_AGE, Directory
from gateway.testing.space import Space, open_space


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path) as opened:
        yield opened


@pytest.fixture
def accounts(space: Space) -> Accounts:
    return space.services.accounts


def events(space: Space, tenant: str) -> list[Event]:
    found = space.services.db.read(lambda tx: tx.tenants.get(tenant))
    assert found is not None
    return space.services.db.read(lambda tx: tx.events.after(found.id, 0, 1000))


def last(space: Space, tenant: str) -> tuple[str, str, dict[str, Any]]:
    event = events(space, tenant)[-1]
    return event.kind, event.actor, dict(event.data)


def test_a_new_tenant_has_an_empty_space_and_a_first_event(space: Space, accounts: Accounts) -> None:
    made = accounts.add_tenant("agency", "light", quota_bytes=5, who="ops")
    assert (made.seq, made.used_bytes, made.state) == (1, 0, TenantState.ACTIVE)
    root = space.services.db.read(lambda tx: tx.nodes.get(made.root_id))
    assert root is not None
    assert root.is_collection
    kind, actor, data = last(space, "agency")
    assert (kind, actor) == ("tenant.changed", "ops")
    assert data == {
        "id": made.id, "name": "agency", "plan": "light", "state": "active", "quota_bytes": 5, "quota_files": None,
        "demo": False, "root_id": made.root_id, "created_at": space.clock.now,
    }  # fmt: skip
    assert accounts.tenant("agency").id == made.id


@pytest.mark.parametrize("name", ["", "A", "a/b", "-a", "a" * 64, "ä", "..", "a\n"])
def test_a_name_that_does_not_fit_a_url_is_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(InvalidName):
        accounts.add_tenant(name, "light")


def test_a_name_is_given_once_and_a_removed_tenant_keeps_it(space: Space, accounts: Accounts) -> None:
    with pytest.raises(AlreadyExists):
        accounts.add_tenant("studio", "light")
    accounts.remove("studio")
    with pytest.raises(AlreadyExists):
        accounts.add_tenant("studio", "light")
    assert [one.name for one in accounts.tenants()] == []
    for call in (accounts.tenant, accounts.users, accounts.suspend, accounts.remove):
        with pytest.raises(NotFound):
            call("studio")


def test_a_failed_addition_leaves_no_event_and_no_root(space: Space, accounts: Accounts) -> None:
    before = len(events(space, "studio"))
    with pytest.raises(AlreadyExists):
        accounts.add_tenant("studio", "light")
    assert len(events(space, "studio")) == before


def test_suspending_and_resuming_are_events_and_done_once(space: Space, accounts: Accounts) -> None:
    accounts.suspend("studio")
    accounts.suspend("studio")
    accounts.resume("studio")
    assert [event.data["state"] for event in events(space, "studio") if event.kind == "tenant.changed"] == [
        "active",
        "suspended",
        "active",
    ]


def test_plan_and_limits_change_apart(accounts: Accounts) -> None:
    accounts.set_plan("studio", quota_bytes=7, quota_files=3)
    changed = accounts.set_plan("studio", plan="pro")
    assert (changed.plan, changed.quota_bytes, changed.quota_files) == ("pro", 7, 3)
    changed = accounts.set_plan("studio", quota_bytes=None)
    assert (changed.quota_bytes, changed.quota_files) == (None, 3)
    assert accounts.tenant("studio").quota_bytes is None


def test_a_removed_tenants_files_leave_at_once_and_are_erased_later(space: Space, accounts: Accounts) -> None:
    space.mkcol("a")
    for number in range(30):
        space.put(f"a/{number}", b"x")
    accounts.remove("studio")
    assert [root for _, root in space.services.db.read(lambda tx: tx.nodes.detached(space.clock.now))] == [
        space.caller.tenant.root_id
    ]
    while space.services.trees.erase_detached():
        pass
    gone = space.services.db.read(lambda tx: tx.tenants.by_id(space.caller.tenant.id))
    assert gone is not None
    assert (gone.state, gone.used_bytes, gone.used_files) == (TenantState.REMOVED, 0, 0)


# -- users ------------------------------------------------------------------------------------------------------------


def test_a_user_is_an_event_with_its_hash_and_never_its_password(space: Space, accounts: Accounts) -> None:
    made = accounts.add_user("studio", "bob", "hunter2-hunter2")
    assert made.role is Role.EDITOR
    kind, _, data = last(space, "studio")
    assert kind == "user.changed"
    assert data["password_hash"] == made.password_hash
    assert "hunter2" not in repr(events(space, "studio"))


def test_a_login_is_given_once_per_tenant(accounts: Accounts) -> None:
    with pytest.raises(AlreadyExists):
        accounts.add_user("studio", "ann", "x")
    accounts.add_tenant("agency", "light")
    assert accounts.add_user("agency", "ann", "x").login == "ann"


@pytest.mark.parametrize("login", ["", "a:b", "a b", "D\\a", "a\n", "x" * 129])
def test_a_login_that_basic_cannot_carry_is_refused(accounts: Accounts, login: str) -> None:
    with pytest.raises(InvalidName):
        accounts.add_user("studio", login, "x")


def test_an_empty_password_is_refused(accounts: Accounts) -> None:
    with pytest.raises(BadRequest):
        accounts.add_user("studio", "bob", "")


def test_changes_of_users_are_events(space: Space, accounts: Accounts) -> None:
    accounts.set_role("studio", "ann", Role.VIEWER)
    assert last(space, "studio")[2]["role"] == "viewer"
    accounts.set_disabled("studio", "ann", True)
    assert last(space, "studio")[2]["disabled"] is True
    old = last(space, "studio")[2]["password_hash"]
    accounts.set_password("studio", "ann", "new")
    assert last(space, "studio")[2]["password_hash"] != old
    with pytest.raises(NotFound):
        accounts.set_password("studio", "nobody", "x")


# -- the directory and logins over it ---------------------------------------------------------------------------------


def test_a_look_without_a_change_is_none(space: Space) -> None:
    directory = space.services.directory
    directory.refresh()
    assert not directory.refresh()
    space.services.accounts.suspend("studio")
    assert directory.refresh()
    found = directory.tenant("studio")
    assert found is not None
    assert found.state is TenantState.SUSPENDED


def test_writing_files_does_not_make_the_directory_read_again(space: Space) -> None:
    directory = space.services.directory
    directory.refresh()
    space.put("a", b"x")
    assert not directory.refresh()


def test_every_change_takes_effect_within_a_second_without_a_refresh(space: Space) -> None:
    logins, accounts = space.services.logins, space.services.accounts

    def authenticate(password: str = "secret") -> Role:
        return logins.authenticate("studio", "ann", password, "127.0.0.1")[1].role

    def later() -> None:
        space.clock.forward(MAX_AGE / 1000)

    assert authenticate() is Role.OWNER
    assert logins.known(logins.digest("studio", "ann", "secret")) is not None
    accounts.set_role("studio", "ann", Role.VIEWER)
    later()
    assert authenticate() is Role.VIEWER
    accounts.set_disabled("studio", "ann", True)
    later()
    with pytest.raises(Unauthenticated):
        authenticate()
    accounts.set_disabled("studio", "ann", False)
    accounts.suspend("studio")
    later()
    with pytest.raises(TenantSuspended):
        authenticate()
    accounts.resume("studio")
    accounts.set_password("studio", "ann", "fresh")
    later()
    with pytest.raises(Unauthenticated):
        authenticate()
    assert authenticate("fresh") is Role.VIEWER
    accounts.remove("studio")
    later()
    with pytest.raises(Unauthenticated):
        authenticate("fresh")


def test_a_new_user_is_found_after_somebody_asked_for_it_in_vain(space: Space) -> None:
    directory, studio = space.services.directory, space.caller.tenant
    assert directory.user(studio, "bob") is None
    space.services.accounts.add_user("studio", "bob", "x")
    space.clock.forward(1)
    assert directory.user(studio, "bob") is not None


def test_a_listing_of_the_root_finds_the_tenant_by_login_and_password(space: Space) -> None:
    space.tenant("agency")
    space.services.accounts.add_user("agency", "ann", "other")
    space.services.accounts.add_tenant("gone", "light")
    space.services.accounts.add_user("gone", "ann", "third")
    space.services.accounts.remove("gone")
    logins = space.services.logins
    assert logins.authenticate(None, "ann", "other", "-")[0].name == "agency"
    assert logins.authenticate(None, "ann", "secret", "-")[0].name == "studio"
    with pytest.raises(Unauthenticated):
        logins.authenticate(None, "ann", "third", "-")


class Broken:
    """A database that does not answer."""

    is_local = True

    def read(self, work: object) -> object:
        raise BackendUnavailable("away")


def test_what_was_read_long_ago_is_not_believed_when_the_database_is_away(space: Space) -> None:
    directory = Directory(space.services.db, space.clock)
    assert directory.tenant("studio") is not None
    directory._db = Broken()  # type: ignore[assignment]
    assert directory.tenant("studio") is not None
    space.clock.forward(MAX_AGE / 1000)
    with pytest.raises(BackendUnavailable):
        directory.tenant("studio")
