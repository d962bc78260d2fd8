"""Objects: the files of a bucket by their keys, as S3 reads, copies and removes them. Bytes come in by ``uploads``.

A key that ends with a slash is an explicit collection; it has properties and no bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TypeVar

from gateway.domain.errors import Held, NotFound
from gateway.domain.events import NODE_CHANGED, NODE_CREATED, node_to_json
from gateway.domain.ids import Ids
from gateway.domain.names import Path, check_path
from gateway.domain.node import Kind, Node, Version, VersionState
from gateway.domain.tenant import Caller
from gateway.domain.upload import NO_CONDITIONS, Conditions, PropertyChange
from gateway.hooks import Change
from gateway.pluginhost import PluginHost
from gateway.service.clearing import Clearing, Refused, vanishes
from gateway.service.guards import Target, as_now, check_conditions, check_locks, require_writer
from gateway.service.history import History, Place
from gateway.service.keptfind import Key, Seen, look
from gateway.service.lookups import Lookups
from gateway.service.placing import BY_KEY, find_key, make_parents
from gateway.service.refused import RefusedData
from gateway.service.results import Deleted, Found, Placed
from gateway.service.settling import Settling
from gateway.service.trees import Trees
from gateway.service.unit_of_work import Database, Tx
from gateway.service.uploads import write_version

__all__ = ["Key", "Objects", "prune"]

T = TypeVar("T")
Remade = Callable[[Version, int, int], Version]
"""(source, new id, now) → the version that a copy becomes."""


class Objects:
    """All methods raise NoBucket; those that change something Forbidden, Locked, NameTwin, PreconditionFailed."""

    def __init__(self, db: Database, host: PluginHost, settling: Settling, ids: Ids, trees: Trees) -> None:
        self._db = db
        self._host = host
        self._settling = settling
        self._ids = ids
        self._trees = trees
        self._refused = RefusedData()
        self._lookups: Lookups[Seen] = Lookups(db.mark)
        self._clearing = Clearing(db, host, settling, trees)

    # -- look ---------------------------------------------------------------------------------------------------------

    def get(self, caller: Caller, key: Key) -> Node:
        """The node of a key; NotFound, also for a collection that is only implied."""
        return self.look(caller, key).node

    def look(self, caller: Caller, key: Key) -> Seen:
        """A version of a key; NotFound, NoVersion, DeleteMarker, and TakenDown for a kept version of refused data."""

        def work(tx: Tx) -> Seen:
            seen = look(tx, caller, key)
            if seen.is_kept:
                self._refused.check(tx, caller.tenant, key.path)
            return seen

        return self._lookups.find(caller.tenant.root_id, key, lambda: self._db.read(work))

    # -- change -------------------------------------------------------------------------------------------------------

    def put_folder(self, caller: Caller, key: Key, change: PropertyChange, conditions: Conditions) -> Node:
        """Makes a collection explicit, and itself where it is missing."""
        require_writer(caller)
        check_path(key.path)
        self._host.check("check_change", change=Change(caller, "create", key.path))

        def work(tx: Tx) -> Node:
            now = self._settling.clock()
            at = find_key(tx, caller, key.path, Kind.COLLECTION, exact=True)
            known = replace(at, node=at.node if at.node and at.node.explicit else None)
            BY_KEY.check(conditions, known)
            check_conditions(tx, caller, now, conditions, known)
            check_locks(tx, caller, now, conditions, [Target(at, membership=at.node is None)])
            if at.node is not None:
                return self._make_explicit(tx, caller, at.node, change, now)
            at = make_parents(tx, self._settling, self._ids, caller, at, key.path, now)
            assert at.parent is not None
            node = Node(
                self._ids.new(now), caller.tenant.id, at.parent.id, Kind.COLLECTION, key.path[-1], now, now,
                props=change.applied({}),
            )  # fmt: skip
            tx.nodes.insert(node)
            self._settling.record(tx, caller, NODE_CREATED, {"node": node_to_json(node)}, now)
            return node

        return self._write(caller, work).result()

    def _make_explicit(self, tx: Tx, caller: Caller, node: Node, change: PropertyChange, now: int) -> Node:
        props = change.applied(node.props)
        changed = replace(node, explicit=True, props=props, modified_at=now)
        tx.nodes.set_explicit(node.id, True)
        tx.nodes.set_props(node.id, props, now, None)
        self._note(tx, caller, changed, now)
        return changed

    def delete(self, caller: Caller, key: Key, conditions: Conditions = NO_CONDITIONS) -> Future[Deleted]:
        """Begins to remove a key; what is not there is removed already. The future is done when that is durable. In a
        bucket with versioning what was there is kept, and a delete marker put.

        Refusals by hooks are raised at once, those of the transaction by the future.
        """
        require_writer(caller)
        found = self._db.read(lambda tx: find_key(tx, caller, key.path, key.kind))
        if found.node is not None:
            self._host.check("check_change", change=Change(caller, "delete", key.path, found.node))

        def work(tx: Tx) -> Deleted:
            now = self._settling.clock()
            at = find_key(tx, caller, key.path, key.kind)
            BY_KEY.check(conditions, at)
            check_conditions(tx, caller, now, conditions, at)
            place = Place(at.chain[1], () if key.is_folder else key.path[1:])
            history = History(tx, self._settling, self._ids, caller, now)
            if at.node is None or not at.node.explicit:
                return _marked(history, place)
            self._refused.check(tx, caller.tenant, key.path)
            check_locks(tx, caller, now, conditions, [Target(at, membership=True)])
            if at.node.is_collection and tx.nodes.has_children(at.node.id):
                self._make_implied(tx, caller, at.node, now)
                return Deleted()
            history.keep(place, at.node)
            self._trees.delete(tx, caller, at.node, now)
            prune(tx, self._trees, caller, at, now)
            return _marked(history, place)

        return self._write(caller, work)

    def clear(self, caller: Caller, paths: Sequence[Path]) -> Refused:
        """Deletes many files at once (:meth:`Clearing.clear`)."""
        return self._clearing.clear(caller, paths)

    def _make_implied(self, tx: Tx, caller: Caller, node: Node, now: int) -> None:
        tx.nodes.set_explicit(node.id, False)
        self._note(tx, caller, replace(node, explicit=False), now)

    def change(self, caller: Caller, key: Key, changed: Callable[[Mapping[str, str]], Mapping[str, str]]) -> Node:
        """Changes the properties of a key. NotFound."""
        require_writer(caller)
        self._host.check("check_change", change=Change(caller, "properties", key.path, self.get(caller, key)))

        def work(tx: Tx) -> Node:
            now = self._settling.clock()
            at = find_key(tx, caller, key.path, key.kind)
            node = _node(at)
            check_locks(tx, caller, now, NO_CONDITIONS, [Target(at)])
            node = replace(node, props=dict(changed(node.props)))
            tx.nodes.set_props(node.id, node.props, node.modified_at, None)
            self._note(tx, caller, node, now)
            return node

        return self._write(caller, work).result()

    def _note(self, tx: Tx, caller: Caller, node: Node, now: int) -> None:
        data = {"node_id": node.id, "props": dict(node.props), "modified_at": node.modified_at, "mtime": None}
        self._settling.record(tx, caller, NODE_CHANGED, {**data, "explicit": node.explicit}, now)

    # -- copy ---------------------------------------------------------------------------------------------------------

    def copy(
        self,
        caller: Caller,
        source: Key,
        target: Key,
        *,
        made: Remade,
        change: PropertyChange | None,
        source_conditions: Callable[[Node], None],
        conditions: Conditions = NO_CONDITIONS,
    ) -> Placed:
        """Copies a file within the space: rows, never bytes. ``change`` None takes the properties of the source along.

        Both sides' conditions are checked in the transaction that copies. Raises NotFound, Held, QuotaExceeded.
        """
        require_writer(caller)
        check_path(target.path)
        node = self.get(caller, source)
        self._host.check("check_change", change=Change(caller, "copy", source.path, node, target.path))
        self._host.check("check_download", caller=caller, node=node)
        limits = self._settling.limits(self._db.read(lambda tx: as_now(tx, caller)).tenant)

        def work(tx: Tx) -> Placed:
            now = self._settling.clock()
            self._settling.assert_alive(tx, now)
            origin = look(tx, caller, source).node
            self._refused.check(tx, caller.tenant, source.path, target.path)
            source_conditions(origin)
            assert origin.version is not None
            if origin.version.state is VersionState.HELD:
                raise Held("content that waits for a verdict cannot be copied", policy="held")
            at = BY_KEY.find(tx, caller, target.path)
            BY_KEY.check(conditions, at)
            check_conditions(tx, caller, now, conditions, at)
            check_locks(tx, caller, now, conditions, [Target(at, membership=at.node is None)])
            at = BY_KEY.prepare(tx, self._settling, self._ids, caller, at, target.path, now)
            version = made(origin.version, self._ids.new(now), now)
            props = change.applied(origin.props) if change else origin.props
            name = target.path[-1]
            return write_version(tx, self._settling, self._ids, caller, at, name, version, now, limits, props)

        return self._write(caller, work).result()

    def _write(self, caller: Caller, work: Callable[[Tx], T]) -> Future[T]:
        return self._db.write(work, caller.tenant.id)


def prune(tx: Tx, trees: Trees, caller: Caller, at: Found, now: int) -> None:
    """Removes the implied collections above a node that is gone, as far as they hold nothing any more and nobody has
    locked them."""
    for parent in reversed(at.chain[2:-1]):
        if not vanishes(tx, parent, now):
            return
        trees.delete(tx, caller, parent, now)


def _marked(history: History, place: Place) -> Deleted:
    marker = history.mark_deleted(place)
    history.settle()
    return Deleted(marker.public_id, is_marker=True) if marker else Deleted()


def _node(at: Found) -> Node:
    if at.node is None or not at.node.explicit:
        raise NotFound("The specified key does not exist.")
    return at.node
