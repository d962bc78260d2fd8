"""Tenants and users as last seen, so that a request costs no query: a change is taken up within a second everywhere.

Every change of tenants and users moves ``system.revision``. ``refresh`` compares it, one tiny read; gates call it some
three times a second. What was read longer ago than a second is not believed: then the caller of a look-up reads itself,
and gets BackendUnavailable when the database does not answer (a suspended tenant must not live on a broken line).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.domain.tenant import Tenant, User
from gateway.service.unit_of_work import Database, Tx

MAX_AGE = 1000  # ms


@dataclass
class _Snapshot:
    """``users`` fills as users come: (tenant id, login) → user, or None for a login that does not exist."""

    revision: int
    tenants: Mapping[str, Tenant]
    users: dict[tuple[int, str], User | None] = field(default_factory=dict)


_MAX_USERS = 50_000


class Directory:
    def __init__(self, db: Database, clock: Callable[[], int]) -> None:
        self._db = db
        self._clock = clock
        self._lock = threading.Lock()
        self._snapshot = _Snapshot(-1, {})
        self._read_at = -(10**18)

    @property
    def revision(self) -> int:
        """Of the snapshot; -1 before the first refresh."""
        return self._snapshot.revision

    @property
    def is_fresh(self) -> bool:
        """Whether the snapshot may be used without a look at the database."""
        return 0 <= self._clock() - self._read_at < MAX_AGE

    def refresh(self) -> bool:
        """Looks whether anything changed and takes it up; returns whether it did. BackendUnavailable."""
        with self._lock:
            now = self._clock()
            before = self._snapshot
            after = self._db.read(lambda tx: _load(tx, before))
            self._snapshot = after
            self._read_at = now
            return after is not before

    def tenant(self, name: str) -> Tenant | None:
        """A tenant that was not removed, active or suspended. Its usage figures are those of the snapshot: old."""
        return self._current().tenants.get(name)

    def tenants(self) -> list[Tenant]:
        """All that were not removed, by name."""
        return list(self._current().tenants.values())

    def user(self, tenant: Tenant, login: str) -> User | None:
        """A user of the tenant, disabled or not."""
        snapshot = self._current()
        key = (tenant.id, login)
        if key not in snapshot.users:
            found = self._db.read(lambda tx: tx.users.find(tenant.id, login))
            if len(snapshot.users) >= _MAX_USERS:
                snapshot.users.clear()
            snapshot.users[key] = found
            return found
        return snapshot.users[key]

    def knows(self, tenant: Tenant, login: str) -> bool:
        """Whether :meth:`user` answers without a query."""
        return self.is_fresh and (tenant.id, login) in self._snapshot.users

    def candidates(self, login: str) -> list[tuple[Tenant, User]]:
        """The users of that login in all tenants."""
        by_id = {tenant.id: tenant for tenant in self._current().tenants.values()}
        users = self._db.read(lambda tx: tx.users.by_login(login))
        return [(by_id[user.tenant_id], user) for user in users if user.tenant_id in by_id]

    def _current(self) -> _Snapshot:
        if not self.is_fresh:
            self.refresh()
        return self._snapshot


def _load(tx: Tx, before: _Snapshot) -> _Snapshot:
    revision = tx.system.revision()
    if revision == before.revision:
        return before
    return _Snapshot(revision, {tenant.name: tenant for tenant in tx.tenants.all()})
