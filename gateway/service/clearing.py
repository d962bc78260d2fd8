"""Many files of a bucket deleted at once: DeleteObjects names up to a thousand.

What a delete asks and does is done here for all of them together, a few statements for each folder. Keys for which it
is not all the same (versions are kept, something is locked or taken down) are left to :meth:`Objects.delete`, one by
one: nothing is decided here that is not decided there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from gateway.domain.errors import KuradoError, Locked, TakenDown
from gateway.domain.events import NODE_DELETED
from gateway.domain.history import Versioning, versioning_of
from gateway.domain.names import Path
from gateway.domain.node import Kind, Node
from gateway.domain.tenant import Caller
from gateway.domain.upload import NO_CONDITIONS
from gateway.hooks import Change
from gateway.pluginhost import PluginHost
from gateway.service.guards import Target, check_locks, require_writer
from gateway.service.placing import find_bucket, find_key
from gateway.service.refused import RefusedData
from gateway.service.results import Found
from gateway.service.settling import Settling
from gateway.service.trees import Trees
from gateway.service.unit_of_work import Database, Tx

CHUNK = 250
"""Files deleted by one transaction at most: some 10 ms of the writer's time."""

Refused = Mapping[Path, KuradoError | None]
"""Paths that were not cleared: the error that stands in the way, None for what is to be asked one by one."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Files of one folder: ``above`` are the nodes from the root down to it, ``files`` by their paths."""

    above: tuple[Node, ...]
    files: Mapping[Path, Node]

    def at(self, node: Node) -> Found:
        return Found((*self.above, node), node, self.above[-1])


class Clearing:
    def __init__(self, db: Database, host: PluginHost, settling: Settling, trees: Trees) -> None:
        self._db = db
        self._host = host
        self._settling = settling
        self._trees = trees
        self._refused = RefusedData()

    def clear(self, caller: Caller, paths: Sequence[Path]) -> Refused:
        """Deletes the files with these keys, durably when it returns; what is not there is deleted already. Returns
        what was left. Raises Forbidden, NoBucket, BackendUnavailable."""
        require_writer(caller)
        left: dict[Path, KuradoError | None] = {}
        asked = self._ask(caller, paths, left)
        begun: list[tuple[Sequence[Path], Future[bool]]] = []
        for start in range(0, len(asked), CHUNK):
            chunk = asked[start : start + CHUNK]
            begun.append((chunk, self._db.write(partial(self._clear, caller, chunk), caller.tenant.id)))
        for some, future in begun:
            try:
                if not future.result():
                    left.update(dict.fromkeys(some))
            except KuradoError as error:
                left.update(dict.fromkeys(some, error))
        return left

    def _ask(self, caller: Caller, paths: Sequence[Path], left: dict[Path, KuradoError | None]) -> list[Path]:
        """Those of the paths that all hooks let go; the others are noted in ``left``."""
        found = self._db.read(lambda tx: list(_groups(tx, caller, paths)))
        nodes = {path: node for group in found for path, node in group.files.items()}
        granted = []
        for path in dict.fromkeys(paths):
            try:
                if path in nodes:
                    self._host.check("check_change", change=Change(caller, "delete", path, nodes[path]))
                granted.append(path)
            except KuradoError as error:
                left[path] = error
        return granted

    def _clear(self, caller: Caller, paths: Sequence[Path], tx: Tx) -> bool:
        """One transaction; False, and nothing done, where these files are not all alike."""
        now = self._settling.clock()
        buckets = [find_bucket(tx, caller, name) for name in {path[0] for path in paths}]
        if any(versioning_of(bucket) is not Versioning.OFF for bucket in buckets):
            return False  # there even what is not there gets a delete marker
        groups = list(_groups(tx, caller, paths))
        targets = [Target(group.at(node), membership=True) for group in groups for node in group.files.values()]
        if not targets:
            return True
        try:
            self._refused.check(tx, caller.tenant, *paths)
            check_locks(tx, caller, now, NO_CONDITIONS, targets)
        except (TakenDown, Locked):
            return False
        nodes = [target.at.node for target in targets if target.at.node]
        tx.locks.drop_on([node.id for node in nodes])
        files, size, blobs = tx.nodes.remove_files([node.id for node in nodes])
        changes = [({"node_id": node.id}, -node.size) for node in nodes]
        last = self._settling.record_each(tx, caller, NODE_DELETED, changes, now, bytes=-size, files=-files)
        self._settling.release(tx, last, blobs)
        self._prune(tx, caller, groups, now)
        return True

    def _prune(self, tx: Tx, caller: Caller, groups: Sequence[_Group], now: int) -> None:
        """Removes the implied folders that hold nothing any more, the deepest first."""
        gone: set[int] = set()
        for group in sorted(groups, key=lambda one: -len(one.above)):
            for folder in reversed(group.above[2:]):
                if folder.id not in gone:
                    if not vanishes(tx, folder, now):
                        break
                    self._trees.delete(tx, caller, folder, now)
                    gone.add(folder.id)


def vanishes(tx: Tx, folder: Node, now: int) -> bool:
    """Whether a folder is only implied, holds nothing and is locked by nobody."""
    return not (folder.explicit or tx.nodes.has_children(folder.id) or tx.locks.on_nodes([folder.id], now))


def _groups(tx: Tx, caller: Caller, paths: Sequence[Path]) -> Iterator[_Group]:
    """The files that exist of these keys, by their folders. Raises NoBucket."""
    by_folder: dict[Path, dict[str, Path]] = {}
    for path in paths:
        by_folder.setdefault(path[:-1], {})[path[-1]] = path
    for folder, names in by_folder.items():
        at = find_key(tx, caller, folder, Kind.COLLECTION)
        if at.node is None:
            continue
        found = tx.nodes.files_named(at.node.id, list(names))
        files = {names[node.name]: node for node in found if node.name in names}
        if files:
            yield _Group(at.chain, files)
