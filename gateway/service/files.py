"""Browsing and changing the tree of a space; content comes in through ``service/uploads.py``."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from typing import BinaryIO, TypeVar

from gateway.blobstore import BlobStore
from gateway.domain.entry import Entry
from gateway.domain.errors import (
    AlreadyExists,
    Forbidden,
    Held,
    NotFound,
    ParentMissing,
    PreconditionFailed,
)
from gateway.domain.events import NODE_CHANGED, NODE_CREATED, NODE_MOVED, node_to_json
from gateway.domain.ids import Ids, is_small
from gateway.domain.lock import Lock
from gateway.domain.names import MAX_DEPTH, MAX_ENCODED_PATH, MAX_SEGMENT_BYTES, Path, check_path, href
from gateway.domain.node import Kind, Node, Version, VersionState
from gateway.domain.tenant import Caller, Limits, Tenant
from gateway.domain.upload import NO_CONDITIONS, Conditions
from gateway.hooks import Change
from gateway.pluginhost import PluginHost
from gateway.service import guards
from gateway.service.damages import Damages
from gateway.service.guards import Target, as_now, check_conditions, check_locks, find, require_writer
from gateway.service.history import History, place_of
from gateway.service.lookups import Lookups
from gateway.service.recent import SMALL, Recent, read_file
from gateway.service.refused import RefusedData
from gateway.service.results import Content, Found, Placed
from gateway.service.settling import Settling
from gateway.service.trees import BATCH, Erased, Trees
from gateway.service.unit_of_work import Database, Tx
from gateway.service.uploads import write_version

T = TypeVar("T")
_EMPTY = Content(0, lambda _start, _length: io.BytesIO(), whole=lambda: b"")


class Files:
    def __init__(
        self,
        db: Database,
        store: BlobStore,
        host: PluginHost,
        settling: Settling,
        ids: Ids,
        trees: Trees,
        damages: Damages,
    ) -> None:
        self._db = db
        self._store = store
        self._host = host
        self._settling = settling
        self._ids = ids
        self._trees = trees
        self._damages = damages
        self._refused = RefusedData()
        self._lookups: Lookups[Found] = Lookups(db.mark)
        self._locks: Lookups[int] = Lookups(db.mark)
        self.recent = Recent()

    # -- look ---------------------------------------------------------------------------------------------------------

    def lookup(self, caller: Caller, path: Path) -> Found:
        """The nodes along a path of the caller's own space."""
        return self._lookups.find(caller.tenant.root_id, path, lambda: self._db.read(lambda tx: find(tx, caller, path)))

    def get(self, caller: Caller, path: Path) -> Node:
        """The node at a path; NotFound when there is none."""
        node = self.lookup(caller, path).node
        if node is None:
            raise NotFound("there is nothing at this path")
        return node

    def children(self, node: Node, after: bytes | None = None, limit: int = 1000) -> list[Node]:
        """Children by sort key, those after the given one only; one statement."""
        return self._db.read(lambda tx: tx.nodes.children(node.id, after, limit))

    def listing(self, node: Node, after: bytes | None, limit: int, *, with_facts: bool = False) -> list[Entry]:
        """The same children as a listing shows them; ``with_facts`` of their contents, too. One statement."""
        return self._db.read(lambda tx: tx.nodes.entries(node.id, after, limit, with_facts=with_facts))

    def beside(self, node: Node) -> frozenset[int]:
        """The files in a collection that are to be shown with ``names.BESIDE`` behind their names."""
        return frozenset(self._db.read(lambda tx: tx.nodes.beside(node.id)))

    def locks_for_listing(self, at: Found, with_children: bool) -> dict[int, list[Lock]]:
        """node id → locks in whose scope that node lies, for the node of ``at`` and perhaps its children.

        The key 0 holds the infinite locks that cover every child. One or two statements, however many children.
        """
        if at.node is None:
            return {}
        node, now = at.node, self._settling.clock()
        tenant_id = node.tenant_id
        # most spaces have none, and then none comes to be without a commit
        if not self._locks.find(tenant_id, (), lambda: self._db.read(lambda tx: tx.locks.count(tenant_id, now))):
            return {}

        def work(tx: Tx) -> tuple[list[Lock], list[Lock]]:
            along = tx.locks.on_nodes([one.id for one in at.chain], now)
            return along, tx.locks.of_children(node.id, now) if with_children else []

        along, below = self._db.read(work)
        inherited = [lock for lock in along if lock.infinite]
        locks = {0: inherited, node.id: guards.covering(along, at.chain)}
        for lock in below:
            locks.setdefault(lock.node_id, list(inherited)).append(lock)
        return locks

    def tree_for_listing(self, at: Found, limit: int) -> tuple[list[Node], dict[int, list[Lock]]]:
        """The node of ``at`` and up to ``limit`` nodes in all below it, parents first, and the locks in whose scope
        each lies. Three statements, however large the tree."""
        assert at.node is not None
        node, now = at.node, self._settling.clock()

        def work(tx: Tx) -> tuple[list[Node], list[Lock], list[Lock]]:
            along = tx.locks.on_nodes([one.id for one in at.chain], now)
            return tx.nodes.subtree(node.id, limit), along, tx.locks.below(node.id, now)

        nodes, along, below = self._db.read(work)
        locks = {node.id: guards.covering(along, at.chain)}
        inherited = {node.id: [lock for lock in along if lock.infinite]}
        rooted: dict[int, list[Lock]] = {}
        for lock in below:
            rooted.setdefault(lock.node_id, []).append(lock)
        for one in nodes[1:]:
            own = rooted.get(one.id, [])
            above = inherited.get(one.parent_id or 0, [])
            locks[one.id] = above + own if own else above
            inherited[one.id] = above + [lock for lock in own if lock.infinite] if own else above
        return nodes, locks

    def usage(self, caller: Caller) -> tuple[Tenant, Limits]:
        """The caller's tenant with its figures as they are now, and the limits that count for it."""
        tenant = self._db.read(lambda tx: as_now(tx, caller)).tenant
        return tenant, self._settling.limits(tenant)

    def not_modified(self, node: Node, conditions: Conditions) -> bool:
        """Whether a GET or HEAD is answered with 304."""
        return guards.not_modified(conditions, node)

    def check_conditions(self, caller: Caller, path: Path, conditions: Conditions) -> None:
        """Raises PreconditionFailed unless the preconditions of a read hold (If-None-Match is for not_modified)."""
        now = self._settling.clock()
        reading = replace(conditions, if_none_match=None)
        self._db.read(lambda tx: check_conditions(tx, caller, now, reading, find(tx, caller, path)))

    def content(self, caller: Caller, node: Node) -> Content:
        """The bytes of a file. Raises Held, or what check_download hooks refuse with."""
        if node.version is None:
            raise NotFound("a collection has no content")
        if node.version.state is VersionState.HELD:
            raise Held("the content waits for a verdict of the scanner", policy="held")
        self._host.check("check_download", caller=caller, node=node)
        return self._readable(node.version) if node.version.blob_id else _EMPTY

    def _readable(self, version: Version) -> Content:
        blob_id, size, store = version.blob_id, version.size, self._store
        # by name: to ask isinstance of a protocol costs more than all the rest of a small GET
        local_path: Callable[[str], FilePath | None] | None = getattr(store, "local_path", None)

        def open_range(start: int, length: int) -> BinaryIO:
            return self._damages.open(store, blob_id, start, length)

        def find_file() -> FilePath | None:
            return local_path(blob_id) if local_path else None

        def whole() -> bytes | None:
            if size > SMALL:
                return None
            return self.recent.get(blob_id) or self._read_small(blob_id, size, find_file)

        return Content(size, self.recent.opened(blob_id, size, open_range), find_file, whole)

    def _read_small(self, blob_id: str, size: int, find_file: Callable[[], FilePath | None]) -> bytes | None:
        """A small content from where it is at hand: a row of a database, or a file, on this machine."""
        if not is_small(blob_id):
            file = find_file()
            data = read_file(file, size) if file is not None else None
        else:
            data = self._db.read(lambda tx: tx.small.get(blob_id)) if self._db.is_local else None
        if data is None or len(data) != size:
            return None
        self.recent.keep(blob_id, data)
        return data

    # -- change -------------------------------------------------------------------------------------------------------

    def make_collection(self, caller: Caller, path: Path, conditions: Conditions = NO_CONDITIONS) -> Node:
        """MKCOL. Raises AlreadyExists, ParentMissing, Locked, PreconditionFailed."""
        require_writer(caller)
        self._host.check("check_change", change=Change(caller, "create", path))

        def work(tx: Tx) -> Node:
            now = self._settling.clock()
            at = find(tx, caller, path)
            if at.node is not None:
                raise AlreadyExists("something has this name already")
            if at.parent is None:
                raise ParentMissing("the parent collection does not exist")
            check_conditions(tx, caller, now, conditions, at)
            check_locks(tx, caller, now, conditions, [Target(at, membership=True)])
            node = Node(self._ids.new(now), caller.tenant.id, at.parent.id, Kind.COLLECTION, path[-1], now, now)
            tx.nodes.insert(node)
            self._settling.record(tx, caller, NODE_CREATED, {"node": node_to_json(node)}, now)
            return node

        return self._write(caller, work)

    def delete(self, caller: Caller, path: Path, conditions: Conditions = NO_CONDITIONS) -> None:
        """DELETE of a node with everything below it, wholly or not at all.

        Raises NotFound, Forbidden (the root), Locked (its ``paths`` name locked members), PreconditionFailed.
        """
        require_writer(caller)
        if not path:
            raise Forbidden("the root of a space cannot be deleted")
        self._host.check("check_change", change=Change(caller, "delete", path, self.get(caller, path)))

        def work(tx: Tx) -> None:
            now = self._settling.clock()
            at = find(tx, caller, path)
            if at.node is None:
                raise NotFound("there is nothing at this path")
            check_conditions(tx, caller, now, conditions, at)
            check_locks(tx, caller, now, conditions, [Target(at, membership=True, tree=True)])
            self._refused.check(tx, caller.tenant, path)
            history = History(tx, self._settling, self._ids, caller, now)
            history.keep_tree(place_of(at), at.node, is_deleted=True)
            self._trees.delete(tx, caller, at.node, now)
            history.settle()

        self._write(caller, work)

    def set_props(
        self,
        caller: Caller,
        path: Path,
        changes: Mapping[str, str | None],
        conditions: Conditions = NO_CONDITIONS,
        *,
        mtime: int | None = None,
    ) -> Node:
        """PROPPATCH: sets or (None) removes dead properties, all or none; ``mtime`` (ms) sets a file's time.

        Raises NotFound, Locked, PreconditionFailed.
        """
        require_writer(caller)
        self._host.check("check_change", change=Change(caller, "properties", path, self.get(caller, path)))

        def work(tx: Tx) -> Node:
            now = self._settling.clock()
            at = find(tx, caller, path)
            if at.node is None:
                raise NotFound("there is nothing at this path")
            check_conditions(tx, caller, now, conditions, at)
            check_locks(tx, caller, now, conditions, [Target(at)])
            props = {name: value for name, value in {**at.node.props, **changes}.items() if value is not None}
            node = replace(at.node, props=props)
            if mtime is not None and node.version:
                node = replace(node, version=replace(node.version, mtime=mtime))
            tx.nodes.set_props(node.id, props, node.modified_at, mtime)
            data = {"node_id": node.id, "props": props, "modified_at": node.modified_at, "mtime": mtime}
            self._settling.record(tx, caller, NODE_CHANGED, data, now)
            return node

        return self._write(caller, work)

    # -- move ---------------------------------------------------------------------------------------------------------

    def move(
        self,
        caller: Caller,
        path: Path,
        destination: Path,
        *,
        overwrite: bool = True,
        conditions: Conditions = NO_CONDITIONS,
    ) -> Placed:
        """MOVE: one row, whatever hangs below it. Moving onto another spelling of its own name renames in place.

        Raises NotFound, ParentMissing, Forbidden (root, itself, into itself), Locked, PreconditionFailed.
        """
        self._check_transfer(caller, "move", path, destination)

        def work(tx: Tx) -> Placed:
            now = self._settling.clock()
            source, target = find(tx, caller, path), find(tx, caller, destination)
            node = self._transferable(source, target, overwrite, keep_name=path != destination)
            check_conditions(tx, caller, now, conditions, source)
            places = [Target(source, membership=True, tree=True)]
            replaced = target.node if target.node and target.node.id != node.id else None
            places.append(Target(target, membership=True, tree=True))
            check_locks(tx, caller, now, conditions, places)
            self._refused.check(tx, caller.tenant, path, destination)
            history = History(tx, self._settling, self._ids, caller, now)
            if replaced:
                history.keep_tree(place_of(target), replaced, is_deleted=replaced.is_collection)
            if not node.is_collection and path != destination:
                history.leave(place_of(source))
            placed = self._move(tx, caller, node, target, replaced, destination[-1], now)
            history.settle()
            return placed

        return self._write(caller, work)

    def _move(
        self, tx: Tx, caller: Caller, node: Node, target: Found, replaced: Node | None, name: str, now: int
    ) -> Placed:
        assert target.parent is not None
        if node.is_collection:
            tx.locks.drop_below(node.id)
        else:
            tx.locks.drop_on([node.id])
        erased = Erased(0, 0, [])
        if replaced:
            # a creative application locks the original, then moves its temporary file over it: the lock stays
            if not replaced.is_collection and not node.is_collection:
                tx.locks.rehang(replaced.id, node.id)
            erased = self._trees.erase(tx, replaced)
        moved = replace(node, parent_id=target.parent.id, name=name)
        tx.nodes.place(node.id, target.parent.id, name, node.modified_at)
        data = {
            "node_id": node.id,
            "parent_id": target.parent.id,
            "name": name,
            "modified_at": node.modified_at,
            "replaced_id": replaced.id if replaced else None,
        }
        event = self._settling.record(tx, caller, NODE_MOVED, data, now, bytes=-erased.bytes, files=-erased.files)
        self._settling.release(tx, event, erased.blobs)
        return Placed(moved, created=replaced is None)

    # -- copy ---------------------------------------------------------------------------------------------------------

    def copy(
        self,
        caller: Caller,
        path: Path,
        destination: Path,
        *,
        overwrite: bool = True,
        infinite: bool = True,
        conditions: Conditions = NO_CONDITIONS,
    ) -> Placed:
        """COPY: rows, never bytes. Depth 0 of a collection copies it without its members.

        Raises NotFound, ParentMissing, Forbidden (itself, into itself), Held, Locked, PreconditionFailed,
        QuotaExceeded.
        """
        self._check_transfer(caller, "copy", path, destination, whole=infinite)
        _, limits = self.usage(caller)
        source = self.get(caller, path)
        seen = self._db.read(lambda tx: self._trees.see(tx, source, BATCH + 1 if infinite else 1))
        check = self._download_check(caller)
        hidden: Node | None = None
        if len(seen.nodes) > BATCH:
            # refused before the long part: the same checks come again in the transaction that attaches it
            self._db.read(lambda tx: self._copy_places(tx, caller, path, destination, overwrite, conditions))
            hidden = self._trees.copy_hidden(caller, source, destination[-1], limits, check)
        else:
            for one in seen.nodes:
                check(one)

        def work(tx: Tx) -> Placed:
            node, target, now = self._copy_places(tx, caller, path, destination, overwrite, conditions)
            self._settling.assert_alive(tx, now)
            if not hidden and not node.is_collection and target.node and not target.node.is_collection:
                return self._copy_over(tx, caller, node, target, now, limits)
            nodes = [] if hidden else seen.still(tx, node, infinite)
            return self._copy_tree(tx, caller, nodes, target, destination[-1], hidden, now, limits)

        try:
            return self._write(caller, work)
        except BaseException:
            if hidden:
                self._trees.abandon(caller, hidden)
            raise

    def _copy_places(
        self, tx: Tx, caller: Caller, path: Path, destination: Path, overwrite: bool, conditions: Conditions
    ) -> tuple[Node, Found, int]:
        now = self._settling.clock()
        source, target = find(tx, caller, path), find(tx, caller, destination)
        node = self._transferable(source, target, overwrite, keep_name=False)
        check_conditions(tx, caller, now, conditions, source)
        check_locks(tx, caller, now, conditions, [Target(target, membership=target.node is None, tree=True)])
        self._refused.check(tx, caller.tenant, path, destination)
        return node, target, now

    def _copy_over(self, tx: Tx, caller: Caller, node: Node, target: Found, now: int, limits: Limits) -> Placed:
        """A file onto a file: new content and properties for the node that is there, which keeps its locks."""
        assert target.node and node.version
        version, name = self._trees.copy_version(node.version, self._ids.new(now), now), target.node.name
        return write_version(tx, self._settling, self._ids, caller, target, name, version, now, limits, node.props)

    def _copy_tree(
        self,
        tx: Tx,
        caller: Caller,
        nodes: list[Node],
        target: Found,
        name: str,
        hidden: Node | None,
        now: int,
        limits: Limits,
    ) -> Placed:
        assert target.parent is not None
        history = History(tx, self._settling, self._ids, caller, now)
        if target.node:
            history.keep_tree(place_of(target), target.node, is_deleted=target.node.is_collection)
        erased = self._trees.erase(tx, target.node) if target.node else None
        if hidden:
            tx.nodes.place(hidden.id, target.parent.id, name, now)
            copies = [replace(hidden, parent_id=target.parent.id, name=name, modified_at=now)]
            new: list[Node] = []
        else:
            new = copies = self._trees.copies(nodes, target.parent.id, name, now)
            tx.nodes.insert_many(copies)
        self._trees.record_copy(
            tx,
            caller,
            new or copies,
            now,
            limits,
            attached=True,
            replaced_id=target.node.id if target.node else None,
            freed=erased,
            counted=bool(new),
        )
        history.settle(limits)
        return Placed(copies[0], created=target.node is None)

    def _download_check(self, caller: Caller) -> Callable[[Node], None]:
        """COPY reads its source: whatever may not be downloaded may not be copied."""

        def check(node: Node) -> None:
            if not node.is_collection:
                self._host.check("check_download", caller=caller, node=node)

        return check

    # -- common -------------------------------------------------------------------------------------------------------

    def _check_transfer(self, caller: Caller, verb: str, path: Path, destination: Path, *, whole: bool = True) -> None:
        require_writer(caller)
        if not path or not destination:
            raise Forbidden("the root of a space can neither be moved nor replaced")
        check_path(destination)
        node = self.get(caller, path)
        if whole and node.is_collection:
            self._check_room(node, path, destination)
        self._host.check("check_change", change=Change(caller, verb, path, node, destination))

    def _check_room(self, tree: Node, path: Path, destination: Path) -> None:
        """Nothing may come to lie deeper than a URL can name it. Raises NameTooLong."""
        length = len(href(destination))
        if len(destination) <= len(path) and length <= len(href(path)):
            return
        levels, size = self._db.read(lambda tx: tx.nodes.extent(tree.id))
        # one more level, and the longest name, for files: they are many, and seldom need be looked at
        if len(destination) + levels < MAX_DEPTH and length + size + 1 + 3 * MAX_SEGMENT_BYTES <= MAX_ENCODED_PATH:
            return
        paths = {tree.id: destination}
        for node in self._db.read(lambda tx: tx.nodes.subtree(tree.id))[1:]:
            paths[node.id] = check_path((*paths[node.parent_id or 0], node.name))

    def _transferable(self, source: Found, target: Found, overwrite: bool, *, keep_name: bool) -> Node:
        """The source node, if it can go to the target. ``keep_name`` allows another spelling of its own name."""
        node = source.node
        if node is None:
            raise NotFound("there is nothing at this path")
        if target.parent is None:
            raise ParentMissing("the parent of the destination does not exist")
        above = {one.id for one in target.chain[: -1 if target.node else None]}
        if node.id in above:
            raise Forbidden("a collection cannot go into itself")
        if target.node is None:
            return node
        if target.node.id == node.id:
            if keep_name:
                return node
            raise Forbidden("source and destination are the same")
        if target.node.id in {one.id for one in source.chain}:
            raise Forbidden("the destination holds the source")
        if not overwrite:
            raise PreconditionFailed("the destination exists and Overwrite is F")
        return node

    def _write(self, caller: Caller, work: Callable[[Tx], T]) -> T:
        return self._db.write(work, caller.tenant.id).result()
