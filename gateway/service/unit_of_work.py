"""The port to the database: transactions, and the repositories that are used inside one.

``Database.read`` runs a function against a consistent snapshot. ``Database.write`` queues one for the batching writer:
many of them commit together, and where one raises a domain error, its own work alone is undone. Functions must be free
of other effects (they may be run again) and fast: nothing else writes meanwhile. Both raise BackendUnavailable when the
database cannot be reached or its file was deleted or replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from gateway.domain.acts import Act
from gateway.domain.contract.documents import Document
from gateway.domain.entry import Entry, Listed
from gateway.domain.events import Event
from gateway.domain.lock import Lock
from gateway.domain.names import Path
from gateway.domain.node import Node, Version, VersionState
from gateway.domain.tenant import Limits, Role, Tenant, TenantState, User
from gateway.hooks import UsageLedger
from gateway.service.archive import ArchiveRepository
from gateway.service.keptrows import KeptRepository
from gateway.service.partrows import MultipartRepository
from gateway.service.smallrows import SmallBlobRepository
from gateway.service.stored import Alarm, Cursor, HourUsage, Lease, PolicyVersion, Refusal, Released, Usage

T = TypeVar("T")


class TenantRepository(Protocol):
    def add(self, tenant: Tenant) -> None:
        """Inserts tenant and nothing else. AlreadyExists for a name in use (removed tenants keep theirs)."""

    def get(self, name: str) -> Tenant | None: ...
    def by_id(self, tenant_id: int) -> Tenant | None: ...
    def all(self) -> list[Tenant]:
        """All that are not removed, by name."""

    def removed(self) -> list[Tenant]:
        """All that were removed, by name."""

    def set_plan(self, tenant_id: int, plan: str, quota_bytes: int | None, quota_files: int | None) -> None: ...
    def set_state(self, tenant_id: int, state: TenantState) -> None: ...
    def settle(
        self, tenant_id: int, now: int, *, bytes: int = 0, files: int = 0, limits: Limits = ..., events: int = 1
    ) -> Usage:
        """In ONE conditional statement: adds to used_bytes and used_files, takes the next seq (the last of so many
        ``events``), moves last_event_at to max(itself, now).

        Raises QuotaExceeded (with used and allowed) when bytes or files grow above ``limits``: used + reserved is what
        counts. Shrinking always passes (LIM-01).
        """

    def reserve(self, tenant_id: int, boot_id: str, upload_id: int, bytes: int, limits: Limits) -> None:
        """Adds to reserved_bytes under the limits, and to the row of this upload. QuotaExceeded otherwise."""

    def unreserve(self, tenant_id: int, upload_id: int) -> int:
        """Gives back all that the upload reserved; returns how much it was."""

    def unreserve_all(self, tenant_id: int, upload_ids: Sequence[int]) -> int:
        """The same for many; returns how much it was in all."""

    def drop_reservations(self, boot_ids: Sequence[str]) -> int:
        """Gives back what lapsed processes had reserved; returns how many rows."""

    def set_usage(self, tenant_id: int, used_bytes: int, used_files: int, reserved_bytes: int) -> None:
        """For fsck --repair and restore only."""


class UserRepository(Protocol):
    def add(self, user: User) -> None:
        """AlreadyExists when the tenant has that login."""

    def find(self, tenant_id: int, login: str) -> User | None: ...
    def by_login(self, login: str) -> list[User]:
        """The users of that login in all tenants that are not removed (at most 8)."""

    def of_tenant(self, tenant_id: int) -> list[User]: ...
    def set_password(self, user_id: int, password_hash: str) -> None: ...
    def set_disabled(self, user_id: int, disabled: bool) -> None: ...
    def set_role(self, user_id: int, role: Role) -> None: ...


class NodeRepository(Protocol):
    """The tree. Nodes come with their current version. Detached trees hang below no root and are not found."""

    def chain(self, root_id: int, path: Path) -> list[Node]:
        """The nodes from the root along ``path`` as far as they exist, in one statement; found when
        ``len(chain) == len(path) + 1``. By name_key; where a file and a collection share a name, the collection."""

    def get(self, node_id: int) -> Node | None: ...
    def version(self, version_id: int) -> Version | None:
        """Any version, a kept one too."""

    def child(self, parent_id: int, name: str) -> Node | None: ...
    def named(self, parent_id: int, name: str) -> list[Node]:
        """The collection and the file of that name_key: none, one or both."""

    def files_named(self, parent_id: int, names: Sequence[str]) -> list[Node]:
        """The files of these name_keys."""

    def beside(self, parent_id: int) -> list[int]:
        """The files among the children whose name a collection has too."""

    def children(self, parent_id: int, after: bytes | None = None, limit: int = 1000) -> list[Node]:
        """Children in sort_key order, those after the given sort_key only, in one statement."""

    def entries(self, parent_id: int, after: bytes | None, limit: int, *, with_facts: bool) -> list[Entry]:
        """The same children as their listing shows them."""

    def listed(self, parent_id: int, after: bytes, limit: int) -> list[Listed]:
        """The same children as a list of keys shows them."""

    def has_children(self, parent_id: int) -> bool: ...
    def path_of(self, node_id: int) -> Path | None:
        """The path from its root; None when the node hangs below no tenant's root."""

    def insert(self, node: Node) -> None:
        """Inserts node and (for a file) its version. AlreadyExists when (parent, kind, name_key) is taken."""

    def insert_many(self, nodes: Sequence[Node]) -> None:
        """The same for a batch, parents first; in few statements."""

    def set_version(self, node_id: int, version: Version, modified_at: int, previous_id: int | None) -> None:
        """Inserts the version and makes it the node's current one; the old row is removed unless it is
        ``previous_id``."""

    def restore_version(self, node_id: int, version_id: int, modified_at: int) -> None:
        """Makes a kept version current again, removes the one that was, clears previous_id."""

    def set_version_state(self, version_id: int, state: VersionState, reason: str) -> None: ...
    def clear_previous(self, node_id: int) -> str | None:
        """Forgets the kept predecessor; returns its blob id."""

    def place(self, node_id: int, parent_id: int | None, name: str, modified_at: int) -> None:
        """Moves or renames one node (its subtree follows); parent None detaches it."""

    def set_explicit(self, node_id: int, explicit: bool) -> None:
        """Whether a collection is a key of its own (S3) or only implied by what it holds."""

    def has_keys(self, node_id: int) -> bool:
        """Whether anything below the node is a key: a file or an explicit collection."""

    def set_props(self, node_id: int, props: Mapping[str, str], modified_at: int, mtime: int | None) -> None: ...
    def remove(self, node_id: int) -> list[str]:
        """Removes a node without children, with its versions; returns the blob ids of those versions."""

    def subtree(self, node_id: int, limit: int | None = None) -> list[Node]:
        """The node and all below it, parents first, at most ``limit``; one statement."""

    def subtree_size(self, node_id: int, limit: int) -> tuple[int, int, int]:
        """(nodes, files, bytes) of current versions of the node and all below it; counting stops at ``limit``
        nodes (then nodes == limit)."""

    def extent(self, node_id: int) -> tuple[int, int]:
        """(levels, bytes): how deep the collections below a node go, and at most how long the encoded way is from it to
        one of them."""

    def remove_leaves(self, node_id: int, limit: int) -> tuple[int, int, list[str], bool]:
        """Erases up to ``limit`` nodes of a detached tree, deepest first: (files, bytes, blob ids, finished)."""

    def remove_files(self, node_ids: Sequence[int]) -> tuple[int, int, list[str]]:
        """Erases files with all their versions: (files, bytes, blob ids)."""

    def hide(self, tenant_id: int, node_id: int, boot_id: str) -> None:
        """Notes that a process builds a detached tree below this root; if it dies, the tree is to be erased.
        ``place`` with a parent ends the note."""

    def detached(self, now: int, limit: int = 100) -> list[tuple[int, int]]:
        """(tenant_id, node_id) of detached trees that wait to be erased, those excluded that a process builds whose
        lease ends after ``now`` (0: whose lease was not ended for good)."""

    def held(self, limit: int = 1000, after_id: int = 0) -> list[Node]:
        """Files whose current version is held or marked, for rescans, by id."""

    def referenced(self, blob_id: str) -> bool:
        """Whether anything uses the blob: a version (current or kept), a pending part, a composed blob."""

    def unreferenced(self, blob_ids: Sequence[str]) -> list[str]:
        """Those of the blobs that nothing uses; one statement."""

    def digests(self, blob_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Of those blobs that a version names: size and SHA-256 ("" where it is not known)."""

    def totals(self, tenant_id: int) -> tuple[int, int]:
        """(bytes, files) counted afresh, files from current versions, bytes from these and what buckets keep: what used
        must be (invariant I4), trees that are detached but not yet erased included."""

    def blobs(self, after: str = "", limit: int = 1000) -> list[tuple[str, int, str]]:
        """(blob_id, size, sha256) of all referenced blobs, by id, for fsck."""


class LockRepository(Protocol):
    def add(self, lock: Lock) -> None: ...
    def on_nodes(self, node_ids: Sequence[int], now: int) -> list[Lock]:
        """Live locks rooted at any of these nodes."""

    def below(self, node_id: int, now: int) -> list[Lock]:
        """Live locks rooted anywhere below the node (not on it)."""

    def of_children(self, parent_id: int, now: int) -> list[Lock]:
        """Live locks rooted at direct children, for one listing."""

    def by_token(self, tenant_id: int, token: str) -> Lock | None: ...
    def of_tenant(self, tenant_id: int | None, now: int) -> list[Lock]: ...
    def count(self, tenant_id: int, now: int) -> int: ...
    def refresh(self, token: str, timeout: int, expires_at: int) -> None: ...
    def remove(self, token: str) -> None: ...
    def drop_on(self, node_ids: Sequence[int]) -> None: ...
    def drop_below(self, node_id: int) -> None:
        """Drops the locks on the node and on everything below it."""

    def rehang(self, from_node_id: int, to_node_id: int) -> None:
        """Puts the locks of one node on another: a file that is replaced by a MOVE keeps its locks."""

    def purge(self, now: int) -> int: ...


class EventRepository(Protocol):
    def append(self, event: Event) -> None: ...
    def append_all(self, events: Sequence[Event]) -> None: ...
    def after(self, tenant_id: int, seq: int, limit: int) -> list[Event]: ...
    def last_seq(self, tenant_id: int) -> int: ...
    def oldest_at(self, tenant_id: int, after_seq: int) -> int | None:
        """The time of the first event after ``after_seq``: the lag of a subscriber."""

    def cursors(self, subscriber: str | None = None) -> list[Cursor]: ...
    def due(self, subscriber: str, now: int, limit: int) -> list[Cursor]:
        """Cursors (made at 0 where missing) of tenants with unhandled events, not parked, retry_at reached."""

    def advance(self, subscriber: str, tenant_id: int, from_seq: int, to_seq: int, fence: int) -> bool:
        """Compare-and-set under the steward's fencing token; False when another moved it or the fence is old."""

    def failed(self, cursor: Cursor, fence: int) -> bool:
        """Stores attempts, retry_at, error and parked of a cursor; False as ``advance`` does. ``fence`` 0 is an
        operator's hand."""

    def forget_subscriber(self, subscriber: str) -> None: ...
    def trim(self, tenant_id: int, up_to_seq: int) -> int:
        """Deletes events that every subscriber has passed; returns how many."""


class BlobRepository(Protocol):
    def release(self, released: Released) -> None: ...
    def release_all(self, released: Sequence[Released]) -> None: ...
    def released(self, limit: int) -> list[Released]: ...
    def passed(self, subscribers: Sequence[str], before: int, limit: int) -> list[Released]:
        """Those that were released until ``before`` and whose event all these subscribers have passed, oldest first."""

    def forget(self, blob_id: str) -> None: ...


class LeaseRepository(Protocol):
    def grant(self, boot_id: str, role: str, host: str, pid: int, now: int, expires_at: int) -> Lease | None:
        """A lease for this process; for role "steward" only when no other live steward has it (None then)."""

    def renew(self, boot_id: str, expires_at: int) -> bool:
        """Moves the end of a lease; 0 ends it for good. False when it was ended, removed, or succeeded by another
        steward's."""

    def alive(self, boot_id: str, now: int) -> bool: ...
    def lapsed(self, now: int) -> list[Lease]: ...
    def live(self, now: int) -> list[Lease]: ...
    def remove(self, boot_id: str) -> None: ...


class RefusalRepository(Protocol):
    def add(self, refusal: Refusal) -> None: ...
    def get(self, number: int) -> Refusal | None: ...
    def recent(self, tenant_id: int | None, limit: int) -> list[Refusal]: ...


class PolicyRepository(Protocol):
    def add(self, name: str, digest: str, who: str, at: int, text: str) -> PolicyVersion: ...
    def get(self, name: str, version: int) -> PolicyVersion | None: ...
    def history(self, name: str | None = None) -> list[PolicyVersion]: ...
    def assign(self, name: str, version: int, tenant_id: int | None, who: str, at: int) -> None:
        """Puts a version in force, for one tenant or (None) as the default."""

    def unassign(self, name: str, tenant_id: int) -> None: ...
    def assignments(self) -> list[tuple[str, int | None, int]]:
        """(name, tenant_id or None, version) in force."""


class SystemRepository(Protocol):
    def revision(self) -> int:
        """Grows with every change of tenants, users, policies: what caches compare."""

    def changes(self) -> int:
        """Grows with every commit that is not made ``aside``, where ``Database.mark`` needs it."""

    def bump(self) -> None: ...
    def alarm(self, kind: str, subject: str, message: str | None, now: int) -> None:
        """Raises (idempotent by kind and subject) or, with None, clears."""

    def alarms(self, active_only: bool = True) -> list[Alarm]: ...
    def put_fact(self, name: str, level: str, message: str, value: float | None, now: int) -> None: ...
    def facts(self) -> list[tuple[str, str, str, float | None, int]]:
        """(name, level, message, value, at) of all health facts."""

    def get_meta(self, key: str) -> str | None: ...
    def set_meta(self, key: str, value: str) -> None: ...


class UsageRepository(UsageLedger, Protocol):
    """Metering's figures. Storage figures derive from events, traffic from samples keyed (boot_id, n)."""

    def together(self) -> AbstractContextManager[UsageLedger]:
        """A ledger for many events, which stores what they come to at the end of the block."""

    def hours(self, tenant_id: int, start: int, end: int) -> list[HourUsage]:
        """Hours that start in [start, end), filled up to ``end`` (capped by the caller) from the last known figures."""

    def totals(self) -> Mapping[int, Mapping[str, int]]:
        """tenant_id → ever-growing counters: bytes_in, bytes_out, refusals, requests.<class> (for /metrics)."""

    def reported_until(self, now: int) -> int:
        """All live gates have reported their traffic up to this time."""

    def statement(self, tenant_id: int, period_start: int) -> Mapping[str, Any] | None:
        """The frozen statement of a closed period."""

    def close_period(self, tenant_id: int, period_start: int, statement: Mapping[str, Any], now: int) -> None:
        """Freezes a statement, once: a second call changes nothing. What comes later is booked after ``ends_at``."""

    def closed_until(self, tenant_id: int) -> int:
        """Where the last closed period ends; 0 when none was closed."""

    def booked(self, tenant_id: int) -> tuple[int, int]:
        """(seq of the last event that was booked, time of the last event or sample); zeros when there is none."""

    def metered(self) -> list[int]:
        """Ids of all tenants with figures, removed ones included."""

    def recorded_until(self, tenant_id: int) -> int | None:
        """Hours that start before this instant have their records; None for a tenant without figures."""

    def add_records(self, tenant_id: int, records: Sequence[Mapping[str, Any]], until: int) -> None:
        """Stores CloudEvents ({source, id, type, at, data}), those that are known already once, and ``until``."""

    def records(self, tenant_id: int, start: int, end: int) -> list[Mapping[str, Any]]:
        """Records whose time lies in [start, end), in order."""


class ActRepository(Protocol):
    """The one chain of acts (RULES P-6). Nothing in it is ever changed."""

    def append(self, act: Act) -> Act:
        """Stores an act in the next place of the chain and moves ``system.revision``."""

    def count(self) -> int:
        """How many acts were ever recorded: one tiny read, what caches compare."""

    def after(self, seq: int, limit: int = ...) -> list[Act]: ...
    def of_subject(self, subject: str) -> list[Act]: ...
    def of_prefix(self, prefix: str) -> list[Act]:
        """The acts about all subjects of a kind: ``maintenance:``."""

    def of_kind(self, kind: str) -> list[Act]: ...
    def newest_by_tenant(self) -> Mapping[int, int]:
        """tenant_id → the number of its newest act."""

    def latest(self, kind: str, prefix: str) -> Act | None:
        """The newest act of a kind about a subject with that prefix."""

    def of_tenant(self, tenant_id: int) -> list[Act]: ...


class TakedownRepository(Protocol):
    """The files under a takedown, whose bytes do not count as used (D-33)."""

    def add(self, takedown: str, tenant_id: int, node_id: int) -> tuple[int, int]:
        """Marks the file, or all files below the collection, that are not marked yet: (bytes, files) of them."""

    def lift(self, takedown: str) -> tuple[int, int]:
        """Takes the marks away: (bytes, files) of those that still exist, as they are now."""

    def is_marked(self, node_id: int) -> bool: ...


class DocumentRepository(Protocol):
    def add(self, document: Document) -> None: ...
    def of_contract(self, contract: str) -> list[Document]: ...
    def put_customer(self, contract: str, data: Mapping[str, str], now: int) -> str:
        """Stores a new version of a customer's data; returns its digest. Earlier ones stay (CUS-01)."""

    def customer(self, contract: str) -> Mapping[str, str]:
        """The newest version; empty when there is none."""

    def erase_customer_keys(self, contract: str, keys: Collection[str]) -> None:
        """Takes these keys out of all versions; each keeps the digest by which acts name it."""

    def customer_digest(self, contract: str) -> str:
        """That of the newest version, ``""`` when there is none."""

    def customer_at(self, contract: str, digest: str) -> Mapping[str, str]:
        """The version with a digest; empty when there is none."""


class Tx(Protocol):
    """One transaction: the repositories that work in it."""

    tenants: TenantRepository
    users: UserRepository
    nodes: NodeRepository
    locks: LockRepository
    events: EventRepository
    blobs: BlobRepository
    leases: LeaseRepository
    refusals: RefusalRepository
    policies: PolicyRepository
    system: SystemRepository
    usage: UsageRepository
    acts: ActRepository
    documents: DocumentRepository
    takedowns: TakedownRepository
    archive: ArchiveRepository
    multipart: MultipartRepository
    kept: KeptRepository
    small: SmallBlobRepository


class Database(Protocol):
    is_local: bool
    """True when reads take well under a millisecond, so that an event loop may do them itself."""

    def read(self, work: Callable[[Tx], T]) -> T: ...

    def mark(self) -> int | None:
        """A number that is another one after any commit of any process, but for those made ``aside``: what was read
        since it came up still holds. None where that cannot be told in microseconds. Raises BackendUnavailable."""

    def write(self, work: Callable[[Tx], T], tenant_id: int | None = None, *, aside: bool = False) -> Future[T]:
        """Queues a mutation; the future is done after the commit was flushed. Fair between tenants. ``aside``: it
        touches nothing that a space shows (metered traffic, leases, health), and ``mark`` stays."""

    def write_soon(self, work: Callable[[Tx], T], tenant_id: int | None = None) -> Future[T]:
        """As ``write``, for an event loop that awaits the future: queued at the end of the loop's turn, with all else
        that the turn brings. The loop's own thread must not block on it."""

    def check(self) -> None:
        """Raises BackendUnavailable when the database is gone, was replaced or cannot be written."""

    def close(self) -> None: ...
