"""A space with a replica beside it, for tests of replication and restore."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.blobstore import BlobStore
from gateway.domain.events import node_to_json
from gateway.domain.history import KeptVersion
from gateway.domain.node import Node
from gateway.service.services import Services
from gateway.testing.space import Clock, Space, open_space

SUBSCRIBER = "replication"


@dataclass
class Replicated:
    """``place``: the folder of the replica's local backend."""

    space: Space
    place: Path

    @property
    def plugin(self) -> Any:
        """The plugin's object."""
        host = self.space.services.host
        return next(one.impl for one in host.plugins if one.name == SUBSCRIBER)

    @property
    def store(self) -> BlobStore:
        """The replica's backend, opened beside the plugin's own."""
        store: BlobStore = self.plugin._context.backend({"backend": "local", "path": str(self.place)})
        return store

    def deliver(self) -> None:
        """Everything that waits in the outbox, to every subscriber."""
        outbox = self.space.services.outbox
        for subscriber in outbox.subscribers():
            while outbox.deliver(subscriber, 0):
                pass

    def job(self, name: str) -> None:
        """Runs ``acts``, ``keep`` or ``tidy`` once."""
        for job in self.space.services.host.jobs():
            if job.name == f"{SUBSCRIBER}.{name}":
                job.run()


@contextmanager
def open_replicated(
    folder: Path, settings: Mapping[str, Any] | None = None, *, plugins: Sequence[str] = (), **options: Any
) -> Iterator[Replicated]:
    """A space (see ``open_space``) whose plugins are metering, ``plugins``, and replication into ``folder/replica``."""
    place = folder / "replica"
    replication = {"name": SUBSCRIBER, "to": {"backend": "local", "path": str(place)}, **(settings or {})}
    with open_space(folder, plugins=["metering", *plugins, replication], **options) as space:
        yield Replicated(space, place)


@contextmanager
def open_restored(
    folder: Path, place: Path, clock: Clock, plugins: Sequence[str] = ()
) -> Iterator[tuple[Services, Any]]:
    """An empty deployment in ``folder`` restored from the replica at ``place``: its services and the report."""
    from gateway.config import load
    from gateway.daemon import open_deployment
    from gateway.storages import open_backend

    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "gateway.yaml"
    file.write_text(
        "version: 1\ndata_dir: data\nstorage: {backend: local}\nplugins:\n  - name: metering\n"
        + "".join(f"  - name: {name}\n" for name in plugins)
        + f"  - {{name: replication, to: {{backend: local, path: {place}}}}}\n"
    )
    with open_deployment(load(file, {}), role="gate", clock=clock) as deployment:
        store = open_backend({"backend": "local", "path": str(place)}, deployment.data_dir)
        report = deployment.services.restoring.run(store)
        deployment.leases.grant()
        yield deployment.services, report


def picture(services: Services) -> dict[str, Any]:
    """Everything that a restore must bring back, with the bytes of every file."""
    return services.db.read(lambda tx: {tenant.name: _space(services, tx, tenant) for tenant in tx.tenants.all()})


def _space(services: Services, tx: Any, tenant: Any) -> dict[str, Any]:
    nodes = tx.nodes.subtree(tenant.root_id)
    paths = {node.id: tx.nodes.path_of(node.id) for node in nodes}
    return {
        "tenant": tenant,
        "users": sorted(tx.users.of_tenant(tenant.id), key=lambda user: user.id),
        "nodes": {"/".join(paths[node.id]): _node(services, tx, node) for node in nodes},
        "kept": [_kept(services, one) for one in sorted(tx.kept.of_tenant(tenant.id), key=lambda one: one.id)],
    }


def _kept(services: Services, one: KeptVersion) -> tuple[KeptVersion, bytes | None]:
    return one, _bytes(services.store, one.version.blob_id) if one.version else None


def _node(services: Services, tx: Any, node: Node) -> tuple[Any, ...]:
    previous = tx.nodes.version(node.previous_id) if node.previous_id else None
    versions = [version for version in (node.version, previous) if version]
    return node_to_json(node), previous, [_bytes(services.store, version.blob_id) for version in versions]


def _bytes(store: BlobStore, blob_id: str) -> bytes:
    if not blob_id:
        return b""
    with store.open(blob_id) as stream:
        return stream.read()
