"""Values for tests of the database: the least that makes a tenant, a collection, a file, an event."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

from gateway.domain.events import Event
from gateway.domain.node import Kind, Node, Version, VersionState, webdav_etag
from gateway.domain.tenant import Tenant, TenantState
from gateway.service.stored import Usage
from gateway.service.unit_of_work import Database

NOW = 1_800_000_000_000
_numbers = count(1000)


def number() -> int:
    """A number not given before in this process."""
    return next(_numbers)


def collection(tenant_id: int, parent_id: int | None, name: str, **changes: Any) -> Node:
    """A collection; ``changes`` override its fields."""
    return replace(Node(number(), tenant_id, parent_id, Kind.COLLECTION, name, NOW, NOW), **changes)


def version(size: int = 1, state: VersionState = VersionState.CLEAN, blob_id: str | None = None) -> Version:
    """A version with a blob of its own unless one is named."""
    one = number()
    blob = blob_id or f"blob-{one:x}"
    return Version(one, blob, size, webdav_etag(one), "text/plain", f"{one:064x}", NOW, NOW, state)


def file(tenant_id: int, parent_id: int | None, name: str, size: int = 1, **changes: Any) -> Node:
    """A file with a version of ``size`` bytes; ``changes`` override the fields of the node."""
    made = Node(number(), tenant_id, parent_id, Kind.FILE, name, NOW, NOW, version=version(size))
    return replace(made, **changes)


def new_tenant(db: Database, name: str | None = None) -> Tenant:
    """Stores a tenant with the root of its space."""
    tenant_id = number()
    root = collection(tenant_id, None, "")
    tenant = Tenant(tenant_id, name or f"t{tenant_id}", "standard", TenantState.ACTIVE, None, None, False, root.id, NOW)

    def store(tx: Any) -> None:
        tx.tenants.add(tenant)
        tx.nodes.insert(root)

    db.write(store, tenant_id).result()
    return tenant


def event(tenant: Tenant, usage: Usage, kind: str = "node.created", **data: Any) -> Event:
    """An event at the place that a settlement gave."""
    return Event(tenant.id, tenant.name, usage.seq, usage.at, kind, "ann", usage.used_bytes, usage.used_files, data)
