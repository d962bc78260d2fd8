"""Logins: what is right, what looks the same, what is remembered and what waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest

from gateway.domain.errors import RateLimited, TenantSuspended, Unauthenticated
from gateway.domain.tenant import Role, Tenant, TenantState, User
from gateway.service import logins as module
from gateway.service import passwords
from gateway.service.logins import CACHE_MS, Logins, SuspendedLogin, plain_login
from gateway.service.throttle import ADDRESS, PAIR, USER, Throttle, network_of

HASHES = {word: passwords.hash_password(word) for word in ("right", "other")}


def tenant(tenant_id: int, name: str, state: TenantState = TenantState.ACTIVE) -> Tenant:
    return Tenant(tenant_id, name, "standard", state, None, None, False, tenant_id * 10, 0)


def user(user_id: int, owner: Tenant, login: str, password: str = "right") -> User:
    return User(user_id, owner.id, login, HASHES[password], Role.EDITOR, False, 0)


@dataclass
class FakeDirectory:
    """The part of Directory that logins use, over a list."""

    tenants: dict[str, Tenant] = field(default_factory=dict)
    users: dict[tuple[int, str], User] = field(default_factory=dict)
    is_fresh: bool = True

    def add(self, owner: Tenant, *users: User) -> None:
        self.tenants[owner.name] = owner
        for one in users:
            self.users[owner.id, one.login] = one

    def tenant(self, name: str) -> Tenant | None:
        return self.tenants.get(name)

    def user(self, owner: Tenant, login: str) -> User | None:
        return self.users.get((owner.id, login))

    def knows(self, owner: Tenant, login: str) -> bool:
        return True

    def candidates(self, login: str) -> list[tuple[Tenant, User]]:
        by_id = {one.id: one for one in self.tenants.values()}
        return [(by_id[owner], one) for (owner, name), one in sorted(self.users.items()) if name == login]


class World:
    """Two tenants that both have an ``ann``, a clock, and a count of how often argon2 was paid."""

    def __init__(self) -> None:
        self.now = 0
        self.computed: list[bool] = []
        self.directory = FakeDirectory()
        self.studio, self.agency = tenant(1, "studio"), tenant(2, "agency")
        self.directory.add(self.studio, user(11, self.studio, "ann"), user(12, self.studio, "bob"))
        self.directory.add(self.agency, user(21, self.agency, "ann", "other"))
        self.logins = Logins(self.directory, lambda: self.now)  # type: ignore[arg-type]

    def login(
        self, password: str = "right", login: str = "ann", tenant: str | None = "studio", remote: str = "::1"
    ) -> User:
        return self.logins.authenticate(tenant, login, password, remote)[1]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World()

    def counting(password: str, password_hash: str | None) -> bool:
        right = passwords.verify(password, password_hash)
        made.computed.append(password_hash is not None)
        return right

    monkeypatch.setattr(module, "verify", counting)
    return made  # type: ignore[return-value]


def test_a_right_password_gives_tenant_and_user(world: World) -> None:
    assert world.logins.authenticate("studio", "ann", "right", "::1") == (
        world.studio,
        world.directory.users[1, "ann"],
    )


def test_the_same_login_in_another_tenant_is_another_user(world: World) -> None:
    assert world.login("other", tenant="agency").id == 21
    with pytest.raises(Unauthenticated):
        world.login("other", tenant="studio")


def test_without_a_tenant_the_password_says_which_one(world: World) -> None:
    assert world.login("right", tenant=None).id == 11
    assert world.login("other", tenant=None).id == 21
    with pytest.raises(Unauthenticated):
        world.login("neither", tenant=None)


@pytest.mark.parametrize(
    ("tenant_name", "login", "password"),
    [("studio", "ann", "wrong"), ("studio", "nobody", "right"), ("nowhere", "ann", "right"), (None, "nobody", "right")],
)
def test_wrong_password_unknown_user_and_unknown_tenant_look_and_cost_the_same(
    world: World, tenant_name: str | None, login: str, password: str
) -> None:
    with pytest.raises(Unauthenticated) as caught:
        world.login(password, login, tenant_name)
    assert caught.value.message == "login required"
    assert len(world.computed) == 1  # argon2 was paid once, against a real hash or one that nobody has


def test_a_disabled_user_looks_and_costs_like_a_wrong_password(world: World) -> None:
    world.directory.users[1, "ann"] = replace(world.directory.users[1, "ann"], disabled=True)
    with pytest.raises(Unauthenticated):
        world.login()
    assert len(world.computed) == 1


def test_windows_sends_the_domain_before_the_name(world: World) -> None:
    assert plain_login("STUDIO\\ann") == plain_login("ann") == "ann"
    assert world.login(login="WORKGROUP\\ann").id == 11


# -- remembered -------------------------------------------------------------------------------------------------------


def test_argon2_is_paid_once_and_then_the_login_is_known_for_seconds(world: World) -> None:
    assert world.logins.known(world.logins.digest("studio", "ann", "right")) is None
    world.login()
    for _ in range(3):
        world.login()
    assert world.logins.known(world.logins.digest("studio", "D\\ann", "right")) == (
        world.studio,
        world.directory.users[1, "ann"],
    )
    assert len(world.computed) == 1
    world.now += CACHE_MS
    assert world.logins.known(world.logins.digest("studio", "ann", "right")) is None
    world.login()
    assert len(world.computed) == 2


def test_a_known_login_helps_no_other_password_tenant_or_user(world: World) -> None:
    world.login()
    for key in (
        ("studio", "ann", "wrong"),
        ("agency", "ann", "right"),
        ("studio", "bob", "right"),
        (None, "ann", "right"),
    ):
        assert world.logins.known(world.logins.digest(*key)) is None
    # the parts of the key do not run into each other
    assert world.logins.known(world.logins.digest("studi", "oann", "right")) is None


@pytest.mark.parametrize("change", [{"disabled": True}, {"password_hash": HASHES["other"]}, {"id": 99}])
def test_a_changed_user_is_forgotten_at_once(world: World, change: dict[str, object]) -> None:
    world.login()
    world.directory.users[1, "ann"] = replace(world.directory.users[1, "ann"], **change)  # type: ignore[arg-type]
    assert world.logins.known(world.logins.digest("studio", "ann", "right")) is None
    if change != {"id": 99}:
        with pytest.raises(Unauthenticated):
            world.login()


def test_a_changed_role_counts_without_paying_argon2_again(world: World) -> None:
    world.login()
    world.directory.users[1, "ann"] = replace(world.directory.users[1, "ann"], role=Role.VIEWER)
    assert world.login().role is Role.VIEWER
    assert len(world.computed) == 1


def test_a_removed_tenant_is_forgotten_at_once(world: World) -> None:
    world.login()
    del world.directory.tenants["studio"]
    assert world.logins.known(world.logins.digest("studio", "ann", "right")) is None
    with pytest.raises(Unauthenticated):
        world.login()


def test_a_suspended_tenant_gets_no_further_than_a_right_login(world: World) -> None:
    world.login()
    world.directory.tenants["studio"] = replace(world.studio, state=TenantState.SUSPENDED)
    with pytest.raises(TenantSuspended):
        world.logins.known(world.logins.digest("studio", "ann", "right"))
    with pytest.raises(SuspendedLogin) as caught:
        world.login()
    assert caught.value.parts[1].login == "ann"
    with pytest.raises(Unauthenticated):
        world.login("wrong")


def test_a_directory_that_is_not_fresh_answers_no_event_loop(world: World) -> None:
    world.login()
    world.directory.is_fresh = False
    assert world.logins.known(world.logins.digest("studio", "ann", "right")) is None


def test_many_connections_of_one_client_pay_argon2_once(world: World) -> None:
    together = threading.Barrier(8)

    def connect(_: int) -> int:
        together.wait()
        return world.login().id

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(connect, range(8))) == {11}
    assert len(world.computed) == 1


def test_no_password_stays_in_memory(world: World) -> None:
    world.login()
    assert "right" not in repr(vars(world.logins))


# -- throttled --------------------------------------------------------------------------------------------------------


def test_the_eleventh_wrong_try_has_to_wait_and_costs_no_argon2(world: World) -> None:
    for _ in range(PAIR.limit):
        with pytest.raises(Unauthenticated):
            world.login("wrong")
    with pytest.raises(RateLimited) as caught:
        world.login("wrong")
    assert caught.value.retry_after == PAIR.leak // 1000
    with pytest.raises(RateLimited):  # nor is the right one tried: guessing on would pay otherwise
        world.login("right")
    assert len(world.computed) == PAIR.limit
    world.now += PAIR.leak
    assert world.login("right").id == 11


def test_the_right_user_elsewhere_and_already_logged_in_is_not_locked_out(world: World) -> None:
    world.login(remote="192.0.2.1")
    for remote in ("192.0.2.1", "198.51.100.9"):
        for _ in range(PAIR.limit):
            with pytest.raises(Unauthenticated):
                world.login("wrong", remote=remote)
    assert world.login(remote="192.0.2.1").id == 11  # known: the verified login stands
    assert world.login(remote="203.0.113.5").id == 11


def test_a_mounted_drive_outlives_wrong_tries_at_its_own_address(world: World) -> None:
    world.login()
    world.now += CACHE_MS
    for _ in range(PAIR.limit):
        with pytest.raises(Unauthenticated):
            world.login("wrong")
    with pytest.raises(RateLimited):
        world.login("wrong")
    assert world.login().id == 11


def test_an_unknown_user_is_throttled_like_a_known_one(world: World) -> None:
    for _ in range(PAIR.limit):
        with pytest.raises(Unauthenticated):
            world.login(login="nobody")
    with pytest.raises(RateLimited):
        world.login(login="nobody")


def test_one_address_that_tries_many_users_has_to_wait() -> None:
    throttle = Throttle()
    for number in range(ADDRESS.limit):
        throttle.check(("t", f"u{number}"), "192.0.2.1", 0)
        throttle.failed(("t", f"u{number}"), "192.0.2.1", 0)
    with pytest.raises(RateLimited):
        throttle.check(("t", "new"), "192.0.2.1", 0)
    throttle.check(("t", "new"), "192.0.2.2", 0)


def test_an_address_full_of_wrong_tries_is_still_open_for_the_user_who_is_known_there() -> None:
    throttle = Throttle()
    throttle.succeeded(("t", "ann"), "192.0.2.1", 0)
    for number in range(ADDRESS.limit):
        throttle.failed(("t", f"u{number}"), "192.0.2.1", 0)
    throttle.check(("t", "ann"), "192.0.2.1", 0)
    with pytest.raises(RateLimited):
        throttle.check(("t", "bob"), "192.0.2.1", 0)


def test_a_user_hunted_from_many_addresses_still_gets_in_from_a_new_one() -> None:
    throttle, account = Throttle(), ("t", "ann")
    throttle.succeeded(account, "192.0.2.200", 0)
    for number in range(USER.limit):
        throttle.failed(account, f"10.0.{number // 250}.{number % 250}", 0)
    throttle.check(account, "203.0.113.1", 0)  # one try
    throttle.failed(account, "203.0.113.1", 0)
    with pytest.raises(RateLimited):  # but not ten
        throttle.check(account, "203.0.113.1", 0)
    throttle.failed(account, "192.0.2.200", 0)
    throttle.check(account, "192.0.2.200", 0)  # where the user is known it is as always


def test_a_success_forgives_the_wrong_tries_before_it() -> None:
    throttle, account = Throttle(), ("t", "ann")
    for _ in range(PAIR.limit - 1):
        throttle.failed(account, "192.0.2.1", 0)
    throttle.succeeded(account, "192.0.2.1", 0)
    throttle.failed(account, "192.0.2.1", 0)
    throttle.check(account, "192.0.2.1", 0)


def test_waiting_never_grows_beyond_what_one_more_try_costs() -> None:
    throttle, account = Throttle(), ("t", "ann")
    for _ in range(10_000):
        throttle.failed(account, "192.0.2.1", 0)
    throttle.check(account, "192.0.2.1", 2 * max(PAIR.leak, ADDRESS.leak) + 1)


@pytest.mark.parametrize(
    ("remote", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:9::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("-", "-"),
    ],
)
def test_an_ipv6_customer_is_one_address(remote: str, network: str) -> None:
    assert network_of(remote) == network


# -- passwords --------------------------------------------------------------------------------------------------------


def test_hashes_are_argon2id_with_a_salt_and_verify() -> None:
    one, two = passwords.hash_password("x"), passwords.hash_password("x")
    assert one.startswith("$argon2id$")
    assert one != two
    assert passwords.verify("x", one)
    assert not passwords.verify("y", one)
    assert not passwords.verify("x", None)
    assert not passwords.verify("x", "no hash at all")


@pytest.mark.parametrize("password", ["", "x" * 1025, "a\x00b"])
def test_an_impossible_password_is_refused(password: str) -> None:
    from gateway.domain.errors import BadRequest

    with pytest.raises(BadRequest):
        passwords.hash_password(password)


def test_a_longer_password_is_not_taken_for_its_beginning() -> None:
    longest = "x" * passwords.MAX_LENGTH
    assert not passwords.verify(longest + "y", passwords.hash_password(longest))


def test_nobodys_hash_costs_what_everybodys_does() -> None:
    def parameters(password_hash: str) -> str:
        return password_hash.rpartition("$")[0].rpartition("$")[0]

    assert parameters(passwords._NOBODY) == parameters(passwords.hash_password("x"))
