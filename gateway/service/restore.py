"""A deployment rebuilt from its replica alone: tenants, users, policies, trees with properties, every byte checked, and
the chain of acts, from which contracts, windows and takedowns are what they were.

What comes back is the newest checkpoint of each tenant and the events after it, and all acts that follow each other;
what the source had not replicated yet is lost, and the report says how much that can be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from gateway.blobstore import BlobStore
from gateway.domain import replicalog as layout
from gateway.domain.acts import GENESIS, Act, ActorRole
from gateway.domain.contract.takedowns import PREFIX as TAKEDOWN
from gateway.domain.contract.takedowns import Takedowns
from gateway.domain.errors import AlreadyExists, DamagedBlob, NotFound
from gateway.domain.events import Event
from gateway.domain.history import KEPT_VERSIONS, public_id
from gateway.domain.node import Node, Version
from gateway.domain.replay import Kept, Space
from gateway.domain.replicalog import Blob, WrongBytes, checked
from gateway.domain.tenant import Role, Tenant, TenantState, User
from gateway.service.recordsets import RECORD_SETS
from gateway.service.replicareader import ReplicaReader
from gateway.service.snapshots import INSTALLATION, note_acts
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


@dataclass(frozen=True, slots=True)
class RestoredActs:
    """``count`` acts came back, with the digest ``head`` at the end of the chain; the papers of ``contracts``
    contracts. ``missing``: how many acts the source had beyond them when it last said; None when it never did."""

    count: int = 0
    head: str = GENESIS
    contracts: int = 0
    missing: int | None = None


@dataclass
class Restored:
    """``seen_at``: when the source last told the replica how far it was (ms); what it committed after that is not
    known here. ``lost``: paths whose bytes are neither in the replica nor in the storage. ``warnings``: for people."""

    tenants: list[RestoredTenant] = field(default_factory=list)
    acts: RestoredActs = RestoredActs()
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

    def run(self, replica: BlobStore, say: Callable[[str], None] = lambda _: None, who: str = "operator") -> Restored:
        """Restores everything, and records that as the next act. AlreadyExists when the database is not empty;
        NotFound when there is no replica."""
        self._begin()
        reader = ReplicaReader(replica)
        if not reader.tenants() and not reader.owner():
            raise NotFound("there is no replica of a kurado gateway at that place")
        report = Restored(warnings=reader.warnings)
        seen = reader.seen()
        report.seen_at = seen.at
        for name in reader.tenants():
            space = reader.space(name)
            if space is None or not space.tenant:
                report.warnings.append(f"{name}: nothing that a space could be rebuilt from")
                continue
            say(f"{name}: event {space.seq}")
            restored = self._restore_tenant(reader, space, report)
            last = seen.logs.get(name)
            report.tenants.append(replace(restored, missing=None if last is None else max(0, last - space.seq)))
        report.warnings += [
            f"{name}: nothing of it was replicated" for name in sorted(set(seen.logs) - set(reader.tenants()))
        ]
        self._restore_policies(reader)
        report.acts = self._restore_acts(reader, seen.acts)
        say(f"audit log: act {report.acts.count}")
        report.warnings += self._db.read(_without_space)
        self._take_down()
        self._finish(reader.owner(), report, who)
        return report

    @staticmethod
    def reader(replica: BlobStore) -> ReplicaReader:
        """What a replica holds, for comparisons."""
        return ReplicaReader(replica)

    def is_unfinished(self) -> bool:
        """Whether a restore into this database was begun and did not end: what it holds is not to be served."""
        return self._db.read(lambda tx: tx.system.get_meta(RESTORING)) == _BEGUN

    # -- the frame ----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        def begin(tx: Tx) -> None:
            if tx.system.get_meta(RESTORING) == _BEGUN:
                raise AlreadyExists("an earlier restore did not finish: remove this database and begin again")
            if tx.tenants.all():
                raise AlreadyExists("this database has tenants: a restore needs an empty one")
            if tx.acts.count():
                raise AlreadyExists("this database has an audit log: a restore needs an empty one")
            tx.system.set_meta(RESTORING, _BEGUN)

        self._db.write(begin).result()

    def _finish(self, owner: str | None, report: Restored, who: str) -> None:
        """The act that ends a restore tells whoever reads the audit log what may be missing before it."""
        now, acts = self._clock(), report.acts
        data = {
            "acts": acts.count,
            "head": acts.head,
            "missing_acts": acts.missing,
            "tenants": {one.name: {"event": one.seq, "missing_events": one.missing} for one in report.tenants},
            "source_seen_at": report.seen_at,
        }

        def finish(tx: Tx) -> None:
            if owner:
                tx.system.set_meta(INSTALLATION, owner)
            tx.system.set_meta(RESTORING, f"finished at {now}")
            for subscriber in self._subscribers():
                note_acts(tx, subscriber, acts.count)
            tx.acts.append(Act("replica", "replica.restored", now, who, str(ActorRole.OPERATOR), "P-6", data=data))
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
        size += self._drop_lost(space, have, report)
        self._db.write(lambda tx: self._insert_tenant(tx, space, size, files)).result()
        self._restore_usage(reader, space)
        return RestoredTenant(space.name, space.seq, space.at, nodes, files, size, None)

    @staticmethod
    def _drop_lost(space: Space, have: set[str], report: Restored) -> int:
        """Kept versions whose bytes are gone do not come back; returns how many bytes the others have."""
        size = 0
        for kept in space.kept_versions():
            if kept.version is not None and kept.version.blob_id and kept.version.blob_id not in have:
                del space.records[KEPT_VERSIONS, public_id(kept.id)]
                report.warnings.append(f"{space.name}: the bytes of an earlier version of {kept.key_text} are gone")
            else:
                size += kept.size
        return size

    def _insert_tenant(self, tx: Tx, space: Space, used_bytes: int, used_files: int) -> None:
        data = {**space.tenant, "state": TenantState(space.tenant["state"])}
        tenant = Tenant(**data, used_bytes=used_bytes, used_files=used_files, seq=space.seq)
        tx.tenants.add(tenant)
        for user in space.users.values():
            tx.users.add(User(**{**user, "tenant_id": space.tenant_id, "role": Role(user["role"])}))
        sets = {one.name: one for one in RECORD_SETS}
        for (record_set, record_id), record in space.records.items():
            sets[record_set].load(tx, tenant, record_id, record)
        for subscriber in self._subscribers():
            tx.events.advance(subscriber, space.tenant_id, 0, space.seq, 0)

    def _restore_usage(self, reader: ReplicaReader, space: Space) -> None:
        """Figures as they were kept, and then the events after them; or, where the replica has none, all events."""
        lines = [line for name in reader.states(f"{layout.USAGE}{space.name}/") for line in reader.state(name)]
        booked = max((line["seq"] for line in lines if line["table"] == "usage_state"), default=0)
        if not 0 < booked <= space.seq:  # damaged, or the log is: all that came back of the log is booked anew
            lines = [line for line in lines if line["table"] not in ("usage_state", "usage_hours")]
        self._db.write(lambda tx: tx.archive.put(lines)).result()
        for events in reader.events(space.name, 0, space.seq):
            self._db.write(lambda tx: _meter(tx, events)).result()  # noqa: B023

    def _bring(self, replica: BlobStore, blob: Blob) -> bool:
        """Makes a blob of the replica one of the storage. False when neither has its bytes."""
        if _intact(self._store, blob):
            return True
        try:
            with replica.open(blob.key) as stream:
                self._store_blob(blob, checked(stream, blob))
        except (NotFound, WrongBytes, DamagedBlob):
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

    # -- policies, acts, papers ---------------------------------------------------------------------------------------

    def _restore_policies(self, reader: ReplicaReader) -> None:
        """Every version with its number, as acts and contracts name it. Kinds that the source did not know keep their
        defaults."""
        lines = reader.state(layout.POLICIES)
        if not lines:
            reader.warnings.append("the replica holds no policies: the defaults are in force")
        self._db.write(lambda tx: tx.archive.put(lines)).result()

    def _restore_acts(self, reader: ReplicaReader, last: int | None) -> RestoredActs:
        count, head = 0, GENESIS
        for acts in reader.acts():
            self._db.write(lambda tx: tx.archive.put_acts(acts)).result()  # noqa: B023
            count, head = acts[-1].seq, acts[-1].digest
        names = reader.states(layout.PAPERS)
        for name in names:
            papers = reader.state(name)
            self._db.write(lambda tx: tx.archive.put(papers)).result()  # noqa: B023
        return RestoredActs(count, head, len(names), None if last is None else max(0, last - count))

    def _take_down(self) -> None:
        """What is refused does not count as used (D-33). Which files these are follows from the acts, the earliest
        takedown first."""

        def work(tx: Tx) -> None:
            takedowns = Takedowns()
            for act in tx.acts.of_prefix(TAKEDOWN):
                takedowns = takedowns.after(act)
            for one in takedowns.all.values():
                tenant = tx.tenants.by_id(one.tenant_id)
                if one.lifted_at is None and tenant is not None and tx.nodes.get(one.node_id) is not None:
                    size, files = tx.takedowns.add(one.id, tenant.id, one.node_id)
                    tx.tenants.set_usage(tenant.id, tenant.used_bytes - size, tenant.used_files - files, 0)

        self._db.write(work).result()


def _without_space(tx: Tx) -> list[str]:
    """Contracts whose act of registration came back, and whose tenant did not: the log of the tenant came later."""
    gone = [act for act in tx.acts.of_kind("contract.registered") if tx.tenants.by_id(act.tenant_id) is None]
    return [f"{act.subject}: its space was not replicated; file it anew, under another name" for act in gone]


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


def _intact(store: BlobStore, blob: Blob) -> bool:
    try:
        if store.stat(blob.id).size != blob.size:
            return False
        with store.open(blob.id) as stream:
            for _ in checked(stream, blob):
                pass
    except (NotFound, WrongBytes, DamagedBlob):
        return False
    return True


def _batches(items: Iterator[Kept], size: int) -> Iterator[list[Kept]]:
    while batch := list(islice(items, size)):
        yield batch
