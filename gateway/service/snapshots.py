"""What replication reads of the source: whole spaces at one event, acts, papers, policies, blobs, progress."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gateway.domain.acts import Act
from gateway.domain.events import Event
from gateway.domain.names import sort_key
from gateway.domain.node import Node
from gateway.domain.replay import checkpoint_node
from gateway.domain.replicalog import CHECKPOINT_FORMAT, CheckpointKey, Sealer, Sink
from gateway.domain.tenant import Tenant, TenantState
from gateway.service.accounts import tenant_to_json, user_to_json
from gateway.service.archive import Line
from gateway.service.recordsets import RECORD_SETS
from gateway.service.unit_of_work import Database, Tx

INSTALLATION = "installation"
_ACTS_SEQ = "acts."
_PAGE = 1000
_FAR_FUTURE = 2**62


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a subscriber has come in a tenant's log; ``oldest_at`` is the time of its first unhandled event,
    ``files`` how many the tenant has now."""

    tenant_id: int
    tenant: str
    seq: int
    last_seq: int
    oldest_at: int | None
    files: int


@dataclass(frozen=True, slots=True)
class ActsProgress:
    """How many acts a subscriber has, how many there are, and when the first that it lacks was recorded."""

    seq: int
    last_seq: int
    oldest_at: int | None


SLOT_MS = 7 * 24 * 3_600_000
"""Figures of usage are kept together for so long: a multiple of hours."""


@dataclass(frozen=True, slots=True)
class UsageSnapshot:
    """Rows by slot, each of ``SLOT_MS``; ``mark`` begins with the number of the last event that they hold."""

    mark: tuple[int, ...]
    slots: Mapping[int, list[Line]]


class Snapshots:
    def __init__(self, db: Database, clock: Callable[[], int]) -> None:
        self._db = db
        self._clock = clock

    def installation(self) -> str:
        """Names this installation for ever; made at first use. A restored one goes on under the old name."""
        known = self._db.read(lambda tx: tx.system.get_meta(INSTALLATION))
        return known or self._db.write(_make_installation).result()

    def progress(self, subscriber: str) -> list[Progress]:
        """All tenants, by name, removed ones that the subscriber knows included."""

        def look(tx: Tx) -> list[Progress]:
            cursors = {cursor.tenant_id: cursor.seq for cursor in tx.events.cursors(subscriber)}
            ids = {tenant.id for tenant in tx.tenants.all()} | set(cursors)
            tenants = [tenant for tenant in map(tx.tenants.by_id, ids) if tenant is not None]
            return [
                Progress(
                    tenant.id,
                    tenant.name,
                    cursors.get(tenant.id, 0),
                    tenant.seq,
                    tx.events.oldest_at(tenant.id, cursors.get(tenant.id, 0)),
                    tenant.used_files,
                )
                for tenant in sorted(tenants, key=lambda tenant: tenant.name)
            ]

        return self._db.read(look)

    def write(self, tenant_id: int, sink: Sink) -> CheckpointKey:
        """Writes a checkpoint of a space, of one snapshot, in pages; returns its key."""
        now = self._clock()

        def work(tx: Tx) -> CheckpointKey:
            tenant = tx.tenants.by_id(tenant_id)
            assert tenant is not None, "tenants are never deleted"
            key = CheckpointKey(tenant.name, tenant.seq, now)
            header = {"format": CHECKPOINT_FORMAT, "tenant": tenant.name, "tenant_id": tenant_id}
            sealer = Sealer(sink, {**header, "seq": tenant.seq, "at": now})
            sealer.add({"tenant_data": tenant_to_json(tenant)})
            for user in tx.users.of_tenant(tenant_id):
                sealer.add({"user": user_to_json(user)})
            for records in RECORD_SETS:
                for record_id, record in sorted(records.dump(tx, tenant).items()):
                    sealer.add({"set": records.name, "id": record_id, "record": record})
            for node in _all_nodes(tx, tenant):
                previous = tx.nodes.version(node.previous_id) if node.previous_id else None
                sealer.add(checkpoint_node(node, previous))
            sealer.close()
            return key

        return self._db.read(work)

    def policies(self) -> list[Line]:
        """All versions of all policy documents, and what is in force."""
        return self._db.read(lambda tx: tx.archive.policies())

    # -- acts and papers ----------------------------------------------------------------------------------------------

    def acts_progress(self, subscriber: str) -> ActsProgress:
        def look(tx: Tx) -> ActsProgress:
            seq = _acts_seq(tx, subscriber)
            waiting = tx.acts.after(seq, 1)
            return ActsProgress(seq, tx.acts.count(), waiting[0].at if waiting else None)

        return self._db.read(look)

    def acts_count(self) -> int:
        """One tiny read."""
        return self._db.read(lambda tx: tx.acts.count())

    def acts(self, after: int, limit: int) -> list[Act]:
        return self._db.read(lambda tx: tx.acts.after(after, limit))

    def acts_replicated(self, subscriber: str, seq: int) -> None:
        """Notes that a subscriber has all acts up to ``seq``."""
        self._db.write(lambda tx: note_acts(tx, subscriber, seq)).result()

    def contracts(self) -> list[str]:
        """All contracts of which there are papers."""
        return self._db.read(lambda tx: tx.archive.contracts())

    def papers(self, contract: str) -> list[Line]:
        """All versions of a customer's data, and the documents in writing; empty once they were erased."""
        return self._db.read(lambda tx: tx.archive.papers(contract))

    def usage(self, tenant_id: int, since: int, known: tuple[int, ...]) -> UsageSnapshot | None:
        """A tenant's figures from the slot ``since`` on; None when nothing has changed since ``known``, the mark of an
        earlier look. The state stands in the last slot."""

        def look(tx: Tx) -> UsageSnapshot | None:
            mark = tx.archive.usage_mark(tenant_id)
            if mark == known or not any(mark):
                return None
            slots: dict[int, list[Line]] = {}
            for at, line in tx.archive.usage_since(tenant_id, since * SLOT_MS):
                slots.setdefault(at // SLOT_MS, []).append(line)
            last = max([since, *slots])
            slots.setdefault(last, []).extend(tx.archive.usage_state(tenant_id))
            return UsageSnapshot(mark, slots)

        return self._db.read(look)

    # -- blobs and events ---------------------------------------------------------------------------------------------

    def blobs(self) -> Iterator[tuple[str, int, str]]:
        """(blob id, size, sha256) of everything that a version names, by id."""
        after = ""
        while page := self._db.read(lambda tx: tx.nodes.blobs(after, _PAGE)):  # noqa: B023
            yield from (blob for blob in page if blob[0])
            after = page[-1][0]

    def events(self, tenant_id: int, after: int) -> Iterator[Event]:
        """The events of a tenant after one of them, as far as they are still kept."""
        while page := self._db.read(lambda tx: tx.events.after(tenant_id, after, _PAGE)):  # noqa: B023
            yield from page
            after = page[-1].seq

    def referenced(self, blob_ids: list[str]) -> set[str]:
        """Those that any version still names."""
        return self._db.read(lambda tx: {blob_id for blob_id in blob_ids if tx.nodes.referenced(blob_id)})


def note_acts(tx: Tx, subscriber: str, seq: int) -> None:
    """Notes that a subscriber has all acts up to ``seq``."""
    tx.system.set_meta(_ACTS_SEQ + subscriber, str(seq))


def _acts_seq(tx: Tx, subscriber: str) -> int:
    return int(tx.system.get_meta(_ACTS_SEQ + subscriber) or 0)


def _make_installation(tx: Tx) -> str:
    known = tx.system.get_meta(INSTALLATION)
    if known is None:
        known = secrets.token_hex(8)
        tx.system.set_meta(INSTALLATION, known)
    return known


def _all_nodes(tx: Tx, tenant: Tenant) -> Iterator[Node]:
    """The space and the trees under construction beside it, parents first: later events may attach these."""
    roots = [] if tenant.state is TenantState.REMOVED else [tenant.root_id]
    roots += [
        node_id
        for tenant_id, node_id in tx.nodes.detached(_FAR_FUTURE, _FAR_FUTURE)
        if tenant_id == tenant.id and node_id != tenant.root_id
    ]
    for root_id in roots:
        root = tx.nodes.get(root_id)
        if root is not None:
            yield root
            yield from _below(tx, root)


def _below(tx: Tx, root: Node) -> Iterator[Node]:
    waiting = deque([root.id] if root.is_collection else [])
    while waiting:
        parent_id, after = waiting.popleft(), None
        while page := tx.nodes.children(parent_id, after, _PAGE):
            yield from page
            waiting.extend(node.id for node in page if node.is_collection)
            after = sort_key(page[-1].name, collection=page[-1].is_collection)
