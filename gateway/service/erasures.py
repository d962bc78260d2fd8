"""The end of a removed tenant's bytes: where a store keeps each owner's bytes under a key, that key is destroyed.

Due once the tenant's tree was erased and every subscriber has passed its last event: until then its bytes may still
have to be read. Each place (the storage, each replica) does it by itself and notes that it did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.blobstore import BlobStore, Forgetting
from gateway.domain.tenant import Tenant
from gateway.service.unit_of_work import Database, Tx

STORAGE = "storage"


class Erasures:
    """``subscribers`` names those whose cursors hold an erasure back."""

    def __init__(self, db: Database, store: BlobStore, subscribers: Callable[[], Sequence[str]]) -> None:
        self._db = db
        self._store = store
        self._subscribers = subscribers

    def due(self, place: str) -> list[Tenant]:
        """Removed tenants whose bytes can be forgotten, and were not yet at this place."""
        names = list(self._subscribers())

        def look(tx: Tx) -> list[Tenant]:
            removed = [one for one in tx.tenants.removed() if tx.system.get_meta(_note(place, one)) is None]
            if not removed:
                return []
            passed = {(cursor.subscriber, cursor.tenant_id): cursor.seq for cursor in tx.events.cursors()}
            return [
                tenant
                for tenant in removed
                if tx.nodes.totals(tenant.id) == (0, 0)
                and all(passed.get((name, tenant.id), 0) >= tenant.seq for name in names)
            ]

        return self._db.read(look)

    def done(self, place: str, tenant: Tenant) -> None:
        """Notes that a place has forgotten a tenant."""
        self._db.write(lambda tx: tx.system.set_meta(_note(place, tenant), str(tenant.seq))).result()

    def forget_in_storage(self) -> int:
        """Does it for the storage; returns for how many tenants."""
        due = self.due(STORAGE) if isinstance(self._store, Forgetting) else []
        for tenant in due:
            forget(self._store, tenant)
            self.done(STORAGE, tenant)
        return len(due)

    def repeat(self) -> None:
        """Does it once more for the tenants that the storage has forgotten: when keys are wrapped anew, one may have
        been on its way while it was removed."""
        removed = self._db.read(
            lambda tx: [one for one in tx.tenants.removed() if tx.system.get_meta(_note(STORAGE, one)) is not None]
        )
        for tenant in removed:
            forget(self._store, tenant)


def forget(store: BlobStore, tenant: Tenant) -> None:
    """Makes everything that is a tenant's unreadable, as ``gateway.blobstore.owner_of`` names owners."""
    if isinstance(store, Forgetting):
        for owner in (f"{tenant.id:x}", tenant.name):
            store.forget_owner(owner)


def _note(place: str, tenant: Tenant) -> str:
    return f"forgotten.{place}.{tenant.id}"
