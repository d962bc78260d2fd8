"""A deployment rebuilt from its replica alone: tenants, users, policies, trees with properties, every byte checked.

What comes back is the newest checkpoint of each tenant and the events after it; what the source had not replicated yet
is lost, and the report says how much that can be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from gateway.blobstore import BlobStore
from gateway.domain import replicalog as layout
from gateway.domain.errors import AlreadyExists, NotFound
from gateway.domain.events import Event
from gateway.domain.node import Node, Version
from gateway.domain.replay import Kept, Space
from gateway.domain.replicalog import Blob, CheckpointKey, Damaged, LogKey, WrongBytes, checked
from gateway.domain.tenant import Role, Tenant, TenantState, User
from gateway.service.snapshots import INSTALLATION
from gateway.service.unit_of_work import Database, Tx

RESTORING = "restoring"
BATCH = 1000
_BEGUN = "begun"


@dataclass(frozen=True, slots=True)
class RestoredTenant:
    """``seq`` and ``at``: the last event that came back. ``missing``: how many events the source had beyond it when it
    last told the replica; None when it never did."""

    name: str
    seq: int
    at: int
    nodes: int
    files: int
    bytes: int
    missing: int | None


@dataclass
class Restored:
    """``seen_at``: when the source last told the replica how far it was (ms); what it committed after that is not
    known here. ``lost``: paths whose bytes are neither in the replica nor in the storage. ``warnings``: for people."""

    tenants: list[RestoredTenant] = field(default_factory=list)
    seen_at: int | None = None
    lost: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Restoring:
    """Restores into an empty database; blobs that the storage still has byte for byte are not copied again."""

    def __init__(
        self, db: Database, store: BlobStore, subscribers: Callable[[], Sequence[str]], clock: Callable[[], int]
    ) -> None:
        self._db = db
        self._store = store
        self._subscribers = subscribers
        self._clock = clock

    def run(self, replica: BlobStore, say: Callable[[str], None] = lambda _: None) -> Restored:
        """Restores everything. AlreadyExists when the database is not empty; NotFound when there is no replica."""
        self._begin()
        reader = ReplicaReader(replica)
        if not reader.tenants() and not reader.owner():
            raise NotFound("there is no replica of a kurado gateway at that place")
        report = Restored(warnings=reader.warnings)
        seen_at, seen = reader.seen()
        report.seen_at = seen_at
        for name in reader.tenants():
            space = reader.space(name)
            if space is None or not space.tenant:
                report.warnings.append(f"{name}: nothing that a space could be rebuilt from")
                continue
            say(f"{name}: event {space.seq}")
            restored = self._restore_tenant(reader, space, report)
            last = seen.get(name)
            report.tenants.append(replace(restored, missing=None if last is None else max(0, last - space.seq)))
        self._restore_policies(reader)
        self._finish(reader.owner())
        return report

    @staticmethod
    def reader(replica: BlobStore) -> ReplicaReader:
        """What a replica holds, for comparisons."""
        return ReplicaReader(replica)

    # -- the frame ----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        def begin(tx: Tx) -> None:
            if tx.system.get_meta(RESTORING) == _BEGUN:
                raise AlreadyExists("an earlier restore did not finish: remove this database and begin again")
            if tx.tenants.all():
                raise AlreadyExists("this database has tenants: a restore needs an empty one")
            tx.system.set_meta(RESTORING, _BEGUN)

        self._db.write(begin).result()

    def _finish(self, owner: str | None) -> None:
        def finish(tx: Tx) -> None:
            if owner:
                tx.system.set_meta(INSTALLATION, owner)
            tx.system.set_meta(RESTORING, f"finished at {self._clock()}")
            tx.system.bump()

        self._db.write(finish).result()

    # -- one tenant ---------------------------------------------------------------------------------------------------

    def _restore_tenant(self, reader: ReplicaReader, space: Space, report: Restored) -> RestoredTenant:
        have = {blob.id for blob in _blobs(space) if self._bring(reader.store, blob)}
        nodes, files, size = 0, 0, 0
        for batch in _batches(_complete(space, have, report), BATCH):
            self._db.write(lambda tx: _insert(tx, batch)).result()  # noqa: B023
            nodes += len(batch)
            files += sum(not kept.node.is_collection for kept in batch)
            size += sum(kept.node.size for kept in batch)
        self._db.write(lambda tx: self._insert_tenant(tx, space, size, files)).result()
        for events in reader.events(space.name, 0, space.seq):
            self._db.write(lambda tx: _meter(tx, events)).result()  # noqa: B023
        return RestoredTenant(space.name, space.seq, space.at, nodes, files, size, None)

    def _insert_tenant(self, tx: Tx, space: Space, used_bytes: int, used_files: int) -> None:
        data = {**space.tenant, "state": TenantState(space.tenant["state"])}
        tx.tenants.add(Tenant(**data, used_bytes=used_bytes, used_files=used_files, seq=space.seq))
        for user in space.users.values():
            tx.users.add(User(**{**user, "tenant_id": space.tenant_id, "role": Role(user["role"])}))
        for subscriber in self._subscribers():
            tx.events.advance(subscriber, space.tenant_id, 0, space.seq, 0)

    def _bring(self, replica: BlobStore, blob: Blob) -> bool:
        """Makes a blob of the replica one of the storage. False when neither has its bytes."""
        if _intact(self._store, blob):
            return True
        try:
            with replica.open(blob.key) as stream:
                self._store_blob(blob, checked(stream, blob))
        except (NotFound, WrongBytes):
            return False
        return True

    def _store_blob(self, blob: Blob, blocks: Iterable[bytes]) -> None:
        writer = self._store.writer(blob.id)
        try:
            for block in blocks:
                writer.write(block)
            writer.commit()
        except BaseException:
            writer.abort()
            raise

    # -- policies -----------------------------------------------------------------------------------------------------

    def _restore_policies(self, reader: ReplicaReader) -> None:
        lines = reader.policies()

        def work(tx: Tx) -> None:
            numbers = {}
            for one in (line["document"] for line in lines if "document" in line):
                numbers[one["name"], one["version"]] = _policy_version(tx, one)
            for one in (line["in_force"] for line in lines if "in_force" in line):
                tenant = tx.tenants.get(one["tenant"]) if one["tenant"] else None
                if one["tenant"] and tenant is None:
                    continue
                version = numbers[one["name"], one["version"]]
                tx.policies.assign(one["name"], version, tenant.id if tenant else None, "restore", self._clock())

        self._db.write(work).result()


class ReplicaReader:
    """What a replica says, believed only as far as its seals go. ``warnings`` collects what was wrong."""

    def __init__(self, store: BlobStore) -> None:
        self.store = store
        self.warnings: list[str] = []
        self._logs: dict[str, list[LogKey]] = {}
        self._checkpoints: dict[str, list[CheckpointKey]] = {}
        self._others: list[str] = []
        for info in store.list():
            key = layout.parse_key(info.key)
            if isinstance(key, LogKey):
                self._logs.setdefault(key.tenant, []).append(key)
            elif isinstance(key, CheckpointKey):
                self._checkpoints.setdefault(key.tenant, []).append(key)
            elif not info.key.startswith(layout.BLOBS):
                self._others.append(info.key)

    def tenants(self) -> list[str]:
        return sorted(set(self._logs) | set(self._checkpoints))

    def owner(self) -> str | None:
        """The installation whose replica this is."""
        found = [key for key in self._others if key.startswith(layout.OWNER)]
        return found[0].removeprefix(layout.OWNER) if found else None

    def space(self, tenant: str) -> Space | None:
        """The space as far as checkpoints and log go without a gap; None when there is nothing to begin with."""
        space = self._checkpoint(tenant)
        for events in self.events(tenant, space.seq if space else 0):
            for event in events:
                if space is None and event.seq == 1:
                    space = Space(event.tenant_id, tenant)
                if space is None or event.seq > space.seq + 1:
                    after = space.seq if space else 0
                    self.warnings.append(f"{tenant}: the log has a gap after event {after}; the rest was not restored")
                    return space
                try:
                    space.apply(event)
                except (KeyError, ValueError) as error:
                    self.warnings.append(f"{tenant}: event {event.seq} cannot be applied ({error}); the rest was not")
                    return space
        return space

    def _checkpoint(self, tenant: str) -> Space | None:
        for key in sorted(self._checkpoints.get(tenant, []), reverse=True):
            try:
                with self.store.open(key.key) as stream:  # its seal stands at its end: read it once to believe it
                    for _ in layout.unsealed(stream, layout.CHECKPOINT_FORMAT):
                        pass
                return self._load(key)
            except (Damaged, NotFound) as error:
                self.warnings.append(f"{key.key}: {error}; an earlier checkpoint was used")
        return None

    def _load(self, key: CheckpointKey) -> Space:
        with self.store.open(key.key) as stream:
            lines = layout.unsealed(stream, layout.CHECKPOINT_FORMAT)
            header = next(lines)
            space = Space(header["tenant_id"], key.tenant)
            space.load(header)
            for line in lines:
                space.load(line)
            return space

    def events(self, tenant: str, after: int, until: int | None = None) -> Iterator[list[Event]]:
        """The events after ``after`` in order, each once, in pieces; gaps are left to the caller."""
        seq = after
        for key in sorted(self._logs.get(tenant, [])):
            if key.last <= seq:
                continue
            try:
                with self.store.open(key.key) as stream:
                    events = layout.read_log(stream, key)
            except (Damaged, NotFound) as error:
                self.warnings.append(f"{key.key}: {error}")
                continue
            fresh = [event for event in events if event.seq > seq and (until is None or event.seq <= until)]
            if fresh:
                seq = fresh[-1].seq
                yield fresh

    def seen(self) -> tuple[int | None, Mapping[str, int]]:
        """When the source last said how far it was, and each tenant's last event then."""
        for key in sorted((one for one in self._others if one.startswith(layout.SEEN)), reverse=True):
            header = next(iter(self._lines(key, layout.SEEN_FORMAT)), None)
            if header:
                return header["at"], {name: last for name, (_, last) in header["tenants"].items()}
        return None, {}

    def policies(self) -> list[dict[str, Any]]:
        """The newest undamaged policies."""
        for key in sorted((one for one in self._others if one.startswith(layout.POLICIES)), reverse=True):
            if lines := self._lines(key, layout.POLICIES_FORMAT):
                return lines[1:]
        self.warnings.append("the replica holds no policies: the defaults are in force")
        return []

    def _lines(self, key: str, expected: str) -> list[dict[str, Any]]:
        try:
            with self.store.open(key) as stream:
                return list(layout.unsealed(stream, expected))
        except (Damaged, NotFound) as error:
            self.warnings.append(f"{key}: {error}")
            return []


def _blobs(space: Space) -> Iterable[Blob]:
    """Each blob of the space once."""
    return {v.blob_id: Blob(v.blob_id, v.size, v.sha256) for v in space.versions() if v.blob_id}.values()


def _complete(space: Space, have: set[str], report: Restored) -> Iterator[Kept]:
    """The nodes, parents first, without files whose bytes are gone (invariant I3)."""
    paths: dict[int | None, str] = {}

    def is_there(version: Version | None) -> bool:
        return version is None or not version.blob_id or version.blob_id in have

    for kept in space.reachable():
        parent_id = kept.node.parent_id
        paths[kept.node.id] = path = f"{paths[parent_id]}/{kept.node.name}" if parent_id is not None else space.name
        if is_there(kept.node.version):
            yield kept if is_there(kept.previous) else replace(kept, previous=None)
        elif kept.previous is not None and is_there(kept.previous):
            report.warnings.append(f"{path}: the held version is gone, the one before it is current again")
            yield Kept(replace(kept.node, version=kept.previous))
        else:
            report.lost.append(path)


def _insert(tx: Tx, batch: Sequence[Kept]) -> None:
    """A held file goes in with the version before it, then gets the held one: so both have their rows."""
    tx.nodes.insert_many([_first_form(kept) for kept in batch])
    for kept in batch:
        if kept.previous is not None and kept.node.version is not None:
            tx.nodes.set_version(kept.node.id, kept.node.version, kept.node.modified_at, kept.previous.id)


def _first_form(kept: Kept) -> Node:
    version = kept.node.version if kept.previous is None else kept.previous
    return replace(kept.node, version=version, previous_id=None)


def _meter(tx: Tx, events: Sequence[Event]) -> None:
    for event in events:
        tx.usage.storage_event(event)


def _policy_version(tx: Tx, document: Mapping[str, Any]) -> int:
    """The number of a document in this database; one with the same text is the same."""
    for known in tx.policies.history(document["name"]):
        if known.text == document["text"]:
            return known.version
    added = tx.policies.add(document["name"], document["digest"], document["who"], document["at"], document["text"])
    return added.version


def _intact(store: BlobStore, blob: Blob) -> bool:
    try:
        if store.stat(blob.id).size != blob.size:
            return False
        with store.open(blob.id) as stream:
            for _ in checked(stream, blob):
                pass
    except (NotFound, WrongBytes):
        return False
    return True


def _batches(items: Iterator[Kept], size: int) -> Iterator[list[Kept]]:
    while batch := list(islice(items, size)):
        yield batch
