"""Tenants and their users: every change is one transaction with its event, so that the replica knows all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.domain.acts import Act
from gateway.domain.errors import NotFound
from gateway.domain.events import TENANT_CHANGED, USER_CHANGED
from gateway.domain.ids import Ids
from gateway.domain.node import Kind, Node
from gateway.domain.tenant import Caller, Role, Tenant, TenantState, User, check_login, check_tenant_name
from gateway.service.passwords import hash_password
from gateway.service.settling import Settling
from gateway.service.unit_of_work import Database, Tx

OPERATOR = "operator"
KEEP: Any = object()
"""Stands for "as it is" where None has a meaning of its own."""


class Accounts:
    """Changes are seen by every gate within a second (``Directory``). All methods name a tenant by its name and raise
    NotFound when there is none; ``who`` is the operator named in the event."""

    def __init__(self, db: Database, ids: Ids, clock: Callable[[], int], settling: Settling) -> None:
        self._db = db
        self._ids = ids
        self._clock = clock
        self._settling = settling

    # -- tenants ------------------------------------------------------------------------------------------------------

    def tenants(self) -> list[Tenant]:
        """All that were not removed, by name, with their present usage."""
        return self._db.read(lambda tx: tx.tenants.all())

    def tenant(self, name: str) -> Tenant:
        """One that was not removed."""
        return self._db.read(lambda tx: _tenant(tx, name))

    def add_tenant(
        self,
        name: str,
        plan: str,
        quota_bytes: int | None = None,
        quota_files: int | None = None,
        *,
        demo: bool = False,
        who: str = OPERATOR,
    ) -> Tenant:
        """Makes a tenant and its empty space. AlreadyExists (a removed tenant keeps its name), InvalidName.

        Whether the plan exists is the caller's to ask: the price list is a policy.
        """
        tenant, work = self.tenant_to_add(name, plan, quota_bytes, quota_files, demo=demo, who=who)
        return self._db.write(work, tenant.id).result()

    def tenant_to_add(
        self,
        name: str,
        plan: str,
        quota_bytes: int | None = None,
        quota_files: int | None = None,
        *,
        demo: bool = False,
        who: str = OPERATOR,
    ) -> tuple[Tenant, Callable[[Tx], Tenant]]:
        """The new tenant, and what adds it within a transaction. InvalidName; the function raises AlreadyExists."""
        check_tenant_name(name)
        now = self._clock()
        tenant = Tenant(
            id=self._ids.new(now),
            name=name,
            plan=plan,
            state=TenantState.ACTIVE,
            quota_bytes=quota_bytes,
            quota_files=quota_files,
            demo=demo,
            root_id=self._ids.new(now),
            created_at=now,
        )
        root = Node(tenant.root_id, tenant.id, None, Kind.COLLECTION, "", now, now)

        def work(tx: Tx) -> Tenant:
            tx.tenants.add(tenant)
            tx.nodes.insert(root)
            return self._changed(tx, tenant, who, now)

        return tenant, work

    def set_plan(
        self,
        name: str,
        *,
        plan: str = KEEP,
        quota_bytes: int | None = KEEP,
        quota_files: int | None = KEEP,
        who: str = OPERATOR,
    ) -> Tenant:
        """Changes plan and own limits; None for a limit means the plan's."""
        now = self._clock()

        def work(tx: Tx) -> Tenant:
            old = _tenant(tx, name)
            new = replace(
                old,
                plan=old.plan if plan is KEEP else plan,
                quota_bytes=old.quota_bytes if quota_bytes is KEEP else quota_bytes,
                quota_files=old.quota_files if quota_files is KEEP else quota_files,
            )
            tx.tenants.set_plan(new.id, new.plan, new.quota_bytes, new.quota_files)
            return self._changed(tx, new, who, now)

        return self._db.write(work).result()

    def suspend(self, name: str, who: str = OPERATOR) -> Tenant:
        """Refuses all calls of the tenant (LIM-04); its data stays, is billed and replicated."""
        return self._set_state(name, TenantState.SUSPENDED, who)

    def resume(self, name: str, who: str = OPERATOR) -> Tenant:
        """Ends a suspension."""
        return self._set_state(name, TenantState.ACTIVE, who)

    def remove(self, name: str, who: str = OPERATOR) -> Tenant:
        """Ends a tenant for good: nobody gets in, its tree leaves the space at once and the steward erases it.

        The row stays, and with it the name: a new customer never meets the old one's URLs or bills.
        """
        return self._set_state(name, TenantState.REMOVED, who)

    def _set_state(self, name: str, state: TenantState, who: str) -> Tenant:
        now = self._clock()

        def work(tx: Tx) -> Tenant:
            tenant = _tenant(tx, name)
            if tenant.state is state:
                return tenant
            tx.tenants.set_state(tenant.id, state)
            if state is TenantState.REMOVED:
                tx.locks.drop_below(tenant.root_id)
                tx.nodes.place(tenant.root_id, None, "", now)
            return self._changed(tx, replace(tenant, state=state), who, now)

        return self._db.write(work).result()

    def _changed(self, tx: Tx, tenant: Tenant, who: str, now: int) -> Tenant:
        data = tenant_to_json(tenant)
        event = self._settling.record(tx, operator_caller(tenant, who), TENANT_CHANGED, data, now)
        told = {"plan": tenant.plan, "quota_bytes": tenant.quota_bytes, "quota_files": tenant.quota_files}
        subject, after = f"tenant:{tenant.name}", str(tenant.state)
        tx.acts.append(Act(subject, TENANT_CHANGED, now, who, "operator", "P-6", tenant.id, after=after, data=told))
        tx.system.bump()
        return replace(tenant, seq=event.seq)

    # -- users --------------------------------------------------------------------------------------------------------

    def users(self, tenant: str) -> list[User]:
        """By login."""
        return self._db.read(lambda tx: tx.users.of_tenant(_tenant(tx, tenant).id))

    def add_user(self, tenant: str, login: str, password: str, role: Role = Role.EDITOR, who: str = OPERATOR) -> User:
        """AlreadyExists when the tenant has that login; InvalidName; BadRequest for an impossible password."""
        return self._db.write(self.user_to_add(tenant, login, password, role, who)).result()

    def user_to_add(
        self, tenant: str, login: str, password: str, role: Role = Role.EDITOR, who: str = OPERATOR
    ) -> Callable[[Tx], User]:
        """What adds a user within a transaction; raises as :meth:`add_user` does."""
        check_login(login)
        password_hash = hash_password(password)
        now = self._clock()
        user_id = self._ids.new(now)

        def work(tx: Tx) -> User:
            owner = _tenant(tx, tenant)
            user = User(user_id, owner.id, login, password_hash, role, False, now)
            tx.users.add(user)
            return self._user_changed(tx, owner, user, who, now)

        return work

    def set_password(self, tenant: str, login: str, password: str, who: str = OPERATOR) -> User:
        """The old password ends within a second, in caches too."""
        password_hash = hash_password(password)

        def change(tx: Tx, user: User) -> User:
            tx.users.set_password(user.id, password_hash)
            return replace(user, password_hash=password_hash)

        return self._change_user(tenant, login, change, who)

    def set_disabled(self, tenant: str, login: str, disabled: bool, who: str = OPERATOR) -> User:
        """Locks one account, never the tenant (ACCT-03)."""

        def change(tx: Tx, user: User) -> User:
            tx.users.set_disabled(user.id, disabled)
            return replace(user, disabled=disabled)

        return self._change_user(tenant, login, change, who)

    def set_role(self, tenant: str, login: str, role: Role, who: str = OPERATOR) -> User:
        def change(tx: Tx, user: User) -> User:
            tx.users.set_role(user.id, role)
            return replace(user, role=role)

        return self._change_user(tenant, login, change, who)

    def _change_user(self, tenant: str, login: str, change: Callable[[Tx, User], User], who: str) -> User:
        now = self._clock()

        def work(tx: Tx) -> User:
            owner = _tenant(tx, tenant)
            user = tx.users.find(owner.id, login)
            if user is None:
                raise NotFound(f"tenant {tenant!r} has no user {login!r}")
            return self._user_changed(tx, owner, change(tx, user), who, now)

        return self._db.write(work).result()

    def _user_changed(self, tx: Tx, tenant: Tenant, user: User, who: str, now: int) -> User:
        self._settling.record(tx, operator_caller(tenant, who), USER_CHANGED, user_to_json(user), now)
        told = {"user": user.login, "role": str(user.role), "disabled": user.disabled}
        tx.acts.append(Act(f"tenant:{tenant.name}", USER_CHANGED, now, who, "operator", "P-6", tenant.id, data=told))
        tx.system.bump()
        return user


def tenant_to_json(tenant: Tenant) -> dict[str, Any]:
    """The data of ``tenant.changed``."""
    return {
        "id": tenant.id,
        "name": tenant.name,
        "plan": tenant.plan,
        "state": str(tenant.state),
        "quota_bytes": tenant.quota_bytes,
        "quota_files": tenant.quota_files,
        "demo": tenant.demo,
        "root_id": tenant.root_id,
        "created_at": tenant.created_at,
    }


def user_to_json(user: User) -> dict[str, Any]:
    """The data of ``user.changed``."""
    return {
        "id": user.id,
        "login": user.login,
        "password_hash": user.password_hash,
        "role": str(user.role),
        "disabled": user.disabled,
        "created_at": user.created_at,
    }


def _tenant(tx: Tx, name: str) -> Tenant:
    tenant = tx.tenants.get(name)
    if tenant is None or tenant.state is TenantState.REMOVED:
        raise NotFound(f"there is no tenant {name!r}")
    return tenant


def operator_caller(tenant: Tenant, who: str = OPERATOR) -> Caller:
    """Somebody of the provider, acting on a tenant: the name stands in events, no user has its id."""
    return Caller(tenant, User(0, tenant.id, who, "", Role.OWNER, False, 0), verb="ADMIN")
