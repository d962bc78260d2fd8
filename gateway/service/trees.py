"""Whole trees: copied and erased, in one transaction when small, in batches when large (DESIGN section 4).

A large tree is copied into an invisible place and then attached, or detached and then erased, so that no transaction
holds the writer for long and nobody ever sees half of it; usage moves with the batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gateway.domain.errors import Held, KuradoError, Unavailable
from gateway.domain.events import NODE_DELETED, TREE_COPIED, TREE_ERASED, node_to_json
from gateway.domain.history import Versioning, stamped
from gateway.domain.ids import Ids
from gateway.domain.names import sort_key
from gateway.domain.node import Node, Version, VersionState, renumbered, webdav_etag
from gateway.domain.tenant import Caller, Limits, Role, Tenant, User
from gateway.service.settling import Settling
from gateway.service.unit_of_work import Database, Tx

BATCH = 2000
"""Nodes changed by one transaction at most: some 10 ms of the writer's time."""

STALE_MS = 30_000
"""What was read of a source longer ago is not stored: half the time for which the sweeper leaves released blobs."""

_PAGE = 500


class Trees:
    def __init__(self, db: Database, settling: Settling, ids: Ids) -> None:
        self._db = db
        self._settling = settling
        self._ids = ids

    # -- erase --------------------------------------------------------------------------------------------------------

    def erase(self, tx: Tx, node: Node) -> Erased:
        """Takes a tree out of sight within a transaction: wholly erased when small, else detached for the steward."""
        if node.is_collection:
            tx.locks.drop_below(node.id)
            nodes, _, _ = tx.nodes.subtree_size(node.id, BATCH + 1)
            if nodes > BATCH:
                tx.nodes.place(node.id, None, node.name, node.modified_at)
                return Erased(0, 0, [])
        else:
            tx.locks.drop_on([node.id])
        files, size, blobs, _ = tx.nodes.remove_leaves(node.id, BATCH + 1)
        return Erased(files, size, blobs)

    def delete(self, tx: Tx, caller: Caller, node: Node, now: int) -> None:
        """Erases a tree and records the event."""
        erased = self.erase(tx, node)
        event = self._settling.record(
            tx, caller, NODE_DELETED, {"node_id": node.id}, now, bytes=-erased.bytes, files=-erased.files
        )
        self._settling.release(tx, event, erased.blobs)

    def erase_detached(self, limit: int = 10) -> int:
        """Erases one batch of each of up to ``limit`` detached trees; returns how many trees still had nodes."""
        # 0: a process whose lease only lapsed may still renew it and attach what it built
        waiting = self._db.read(lambda tx: tx.nodes.detached(0, limit))
        for tenant_id, node_id in waiting:
            self._db.write(lambda tx, t=tenant_id, n=node_id: self._erase_batch(tx, t, n), tenant_id).result()  # type: ignore[misc]
        return len(waiting)

    def _erase_batch(self, tx: Tx, tenant_id: int, node_id: int) -> None:
        tenant = tx.tenants.by_id(tenant_id)
        if tenant is None:
            return
        now = self._settling.clock()
        files, size, blobs, _ = tx.nodes.remove_leaves(node_id, BATCH)
        event = self._settling.record(
            tx,
            system_caller(tenant),
            TREE_ERASED,
            {"node_id": node_id, "files": files, "bytes": size},
            now,
            bytes=-size,
            files=-files,
        )
        self._settling.release(tx, event, blobs)

    # -- copy ---------------------------------------------------------------------------------------------------------

    def see(self, tx: Tx, node: Node, limit: int) -> Seen:
        """The node as it is now and what is below it, at most ``limit`` nodes in all."""
        return Seen(tx.events.last_seq(node.tenant_id), tx.nodes.subtree(node.id, limit))

    def copies(self, nodes: Sequence[Node], parent_id: int | None, name: str, now: int) -> list[Node]:
        """Fresh nodes for a subtree (parents first) that share its blobs; the first becomes ``name`` in
        ``parent_id``. Raises Held for content without a verdict."""
        numbers = iter(self._ids.block(now, 2 * len(nodes)))
        top = self._copy(nodes[0], numbers, parent_id, name, now)
        copied, placed = [top], {nodes[0].id: top.id}
        for node in nodes[1:]:
            assert node.parent_id is not None
            copy = self._copy(node, numbers, placed[node.parent_id], node.name, now)
            copied.append(copy)
            if node.is_collection:
                placed[node.id] = copy.id
        return copied

    def _copy(self, node: Node, numbers: Iterator[int], parent_id: int | None, name: str, now: int) -> Node:
        version = self.copy_version(node.version, next(numbers), now) if node.version else None
        return Node(
            next(numbers), node.tenant_id, parent_id, node.kind, name, now, now, node.explicit, node.props, version
        )

    def copy_version(self, version: Version, version_id: int, now: int) -> Version:
        """A new version of the same bytes: an ETag of its own, the modification time kept."""
        if version.state is VersionState.HELD:
            raise Held("content that waits for a verdict cannot be copied")
        return stamped(renumbered(version, version_id, webdav_etag(version_id), now), Versioning.OFF)

    def copy_hidden(
        self, caller: Caller, source: Node, name: str, limits: Limits, check: Callable[[Node], None]
    ) -> Node:
        """Copies a large tree in batches to an invisible place; returns its root, to be attached by ``place``. Each
        node is given to ``check`` before it is copied.

        Raises QuotaExceeded, Held or what ``check`` refuses with, after leaving what was copied to the steward.
        """
        now = self._settling.clock()
        root = self.copies([source], None, name, now)[0]
        batches = self._batches(source, root, now, check)
        first, read_at = True, now
        try:
            for batch in batches:
                nodes = [root, *batch] if first else batch
                self._db.write(
                    lambda tx, n=nodes, f=first, at=read_at: self._store_batch(tx, caller, root, n, f, at, limits),  # type: ignore[misc]
                    caller.tenant.id,
                ).result()
                first, read_at = False, self._settling.clock()
        except BaseException:
            self.abandon(caller, root)
            raise
        return root

    def _batches(self, source: Node, root: Node, now: int, check: Callable[[Node], None]) -> Iterator[list[Node]]:
        """The copies of everything below ``source``, breadth first, a page of the source at a time."""
        waiting = deque([(source.id, root.id)])
        batch: list[Node] = []
        while waiting:
            from_id, to_id = waiting.popleft()
            after: bytes | None = None
            while page := self._children(from_id, after):
                after = sort_key(page[-1].name, collection=page[-1].is_collection)
                numbers = iter(self._ids.block(now, 2 * len(page)))
                for child in page:
                    check(child)
                    copy = self._copy(child, numbers, to_id, child.name, now)
                    batch.append(copy)
                    if child.is_collection:
                        waiting.append((child.id, copy.id))
                if len(batch) >= BATCH:
                    yield batch
                    batch = []
        yield batch

    def _children(self, parent_id: int, after: bytes | None) -> list[Node]:
        return self._db.read(lambda tx: tx.nodes.children(parent_id, after, _PAGE))

    def _store_batch(
        self, tx: Tx, caller: Caller, root: Node, nodes: list[Node], first: bool, read_at: int, limits: Limits
    ) -> None:
        now = self._settling.clock()
        self._settling.assert_alive(tx, now)
        if now - read_at > STALE_MS:
            raise Unavailable("the copy took too long; what it was made of may be gone", retry_after=2)
        tx.nodes.insert_many(nodes)
        if first:
            tx.nodes.hide(caller.tenant.id, root.id, self._settling.boot_id)
        self.record_copy(tx, caller, nodes, now, limits, attached=False)

    def abandon(self, caller: Caller, root: Node) -> None:
        """Leaves a hidden copy that will not be attached to the steward. One that was attached after all (by a commit
        whose answer never came), or was never stored, is left alone."""

        def work(tx: Tx) -> None:
            node = tx.nodes.get(root.id)
            if node is not None and node.parent_id is None:
                tx.nodes.place(root.id, None, root.name, root.modified_at)

        try:
            self._db.write(work, caller.tenant.id).result()
        except KuradoError:
            return  # it stays noted as under construction by this process, and is erased when the lease lapses

    def record_copy(
        self,
        tx: Tx,
        caller: Caller,
        nodes: list[Node],
        now: int,
        limits: Limits,
        *,
        attached: bool,
        replaced_id: int | None = None,
        freed: Erased | None = None,
        counted: bool = True,
    ) -> None:
        """Settles a batch of copied nodes, less what was erased to make room, and records the event.

        ``counted`` False: the nodes were settled by an earlier batch already and are only attached now.
        """
        erased = freed or Erased(0, 0, [])
        event = self._settling.record(
            tx,
            caller,
            TREE_COPIED,
            {"nodes": [node_to_json(node) for node in nodes], "attached": attached, "replaced_id": replaced_id},
            now,
            bytes=(sum(node.size for node in nodes) if counted else 0) - erased.bytes,
            files=(sum(not node.is_collection for node in nodes) if counted else 0) - erased.files,
            limits=limits,
        )
        self._settling.release(tx, event, erased.blobs)


@dataclass(frozen=True, slots=True)
class Seen:
    """A tree, parents first, as it was when its tenant's log had ``seq`` events. Every change of a space adds one."""

    seq: int
    nodes: list[Node]

    def still(self, tx: Tx, node: Node, infinite: bool) -> list[Node]:
        """The tree of ``node`` as it is now: what was seen, if nothing of the space has changed since."""
        if self.nodes and self.nodes[0].id == node.id and tx.events.last_seq(node.tenant_id) == self.seq:
            return self.nodes
        return tx.nodes.subtree(node.id) if infinite else [node]


class Erased:
    """What an erased tree gave back."""

    __slots__ = ("blobs", "bytes", "files")

    def __init__(self, files: int, size: int, blobs: list[str]) -> None:
        self.files = files
        self.bytes = size
        self.blobs = blobs


def system_caller(tenant: Tenant) -> Caller:
    """The gateway itself, acting on a tenant's space: named ``system`` in events."""
    return Caller(tenant, User(0, tenant.id, "system", "", Role.OWNER, False, 0), verb="SYSTEM")
