"""Versions of objects by their ids: read, removed, made present again, listed."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace

from gateway.domain.events import FILE_WRITTEN, node_to_json
from gateway.domain.history import KeptVersion, Versioning, versioning_of
from gateway.domain.ids import Ids
from gateway.domain.node import Kind, Node, Version
from gateway.domain.tenant import Caller
from gateway.domain.upload import NO_CONDITIONS, Conditions
from gateway.hooks import Change
from gateway.pluginhost import PluginHost
from gateway.service.guards import Target, check_locks, check_validators, require_writer
from gateway.service.history import History, Place
from gateway.service.keptfind import as_node, find_kept, is_called
from gateway.service.objects import Key, prune
from gateway.service.placing import BY_KEY, find_bucket, find_key, make_parents
from gateway.service.refused import RefusedData
from gateway.service.results import Deleted, Found
from gateway.service.settling import Settling
from gateway.service.trees import Trees, system_caller
from gateway.service.unit_of_work import Database, Tx
from gateway.service.versionwalk import VersionPage, list_versions

_BATCH = 500


class Versions:
    """All methods raise NoBucket; those that change something Forbidden, Locked, PreconditionFailed, TakenDown."""

    def __init__(self, db: Database, host: PluginHost, settling: Settling, ids: Ids, trees: Trees) -> None:
        self._db = db
        self._host = host
        self._settling = settling
        self._ids = ids
        self._trees = trees
        self._refused = RefusedData()

    # -- change -------------------------------------------------------------------------------------------------------

    def delete(
        self, caller: Caller, key: Key, version_id: str, conditions: Conditions = NO_CONDITIONS
    ) -> Future[Deleted]:
        """Begins to remove a version for good; what is not there is removed already. ``conditions`` are about that
        version."""
        require_writer(caller)
        found = self._db.read(lambda tx: find_key(tx, caller, key.path, key.kind))
        self._host.check("check_change", change=Change(caller, "delete", key.path, found.node))

        def work(tx: Tx) -> Deleted:
            now = self._settling.clock()
            at = find_key(tx, caller, key.path, key.kind)
            place = Place(at.chain[1], key.path[1:])
            history = History(tx, self._settling, self._ids, caller, now)
            if at.node is not None and is_called(at.node, version_id):
                self._refused.check(tx, caller.tenant, key.path)
                check_validators(conditions, at.node)
                check_locks(tx, caller, now, NO_CONDITIONS, [Target(at, membership=True)])
                self._remove_present(tx, caller, at, place, history, now)
                return Deleted(version_id)
            kept = find_kept(tx, at.chain[1], key, version_id)
            if kept is None:
                return Deleted(version_id)
            self._refused.check(tx, caller.tenant, key.path)
            check_validators(conditions, as_node(kept, None) if kept.version else None)
            newest = tx.kept.newest(kept.bucket_id, kept.key_text)
            history.remove(kept)
            if at.node is None and newest is not None and newest.id == kept.id:
                self._bring_back(tx, caller, at, place, history, key, now)
            return Deleted(version_id, is_marker=kept.version is None)

        return self._db.write(work, caller.tenant.id)

    def _remove_present(self, tx: Tx, caller: Caller, at: Found, place: Place, history: History, now: int) -> None:
        assert at.node is not None and place.bucket is not None
        newest = tx.kept.newest(place.bucket.id, place.key_text) if not at.node.is_collection else None
        if newest is None or newest.version is None:
            self._trees.delete(tx, caller, at.node, now)
            prune(tx, self._trees, caller, at, now)
            return
        history.take(newest)
        self._put(tx, caller, at.node, newest.version, newest, now)

    def _bring_back(
        self, tx: Tx, caller: Caller, at: Found, place: Place, history: History, key: Key, now: int
    ) -> None:
        """After what hid it is gone, the newest version is the present one."""
        assert place.bucket is not None
        newest = tx.kept.newest(place.bucket.id, place.key_text)
        if newest is None or newest.version is None:
            return
        at = BY_KEY.find(tx, caller, key.path)
        check_locks(tx, caller, now, NO_CONDITIONS, [Target(at, membership=True)])
        at = make_parents(tx, self._settling, self._ids, caller, at, key.path, now)
        assert at.parent is not None
        history.take(newest)
        node = Node(
            self._ids.new(now), caller.tenant.id, at.parent.id, Kind.FILE, key.path[-1], now, now,
            props=newest.props, version=newest.version,
        )  # fmt: skip
        tx.nodes.insert(node)
        data = {"node": node_to_json(node), "created": True, "replaced": None}
        self._settling.record(tx, caller, FILE_WRITTEN, data, now, bytes=node.size, files=1)

    def _put(self, tx: Tx, caller: Caller, node: Node, version: Version, kept: KeptVersion, now: int) -> None:
        old = node.version
        assert old is not None
        dropped = [old.blob_id]
        if node.previous_id and (previous := tx.nodes.clear_previous(node.id)):
            dropped.append(previous)
        tx.nodes.set_version(node.id, version, now, None)
        tx.nodes.set_props(node.id, kept.props, now, None)
        node = replace(node, version=version, props=kept.props, modified_at=now, previous_id=None)
        replaced = {"version_id": old.id, "blob_id": old.blob_id, "size": old.size}
        data = {"node": node_to_json(node), "created": False, "replaced": replaced}
        event = self._settling.record(tx, caller, FILE_WRITTEN, data, now, bytes=version.size - old.size)
        self._settling.release(tx, event, dropped)

    def forget_orphans(self) -> int:
        """Removes what buckets kept that are gone, a batch at a time; returns how many (the steward)."""
        orphans = self._db.read(lambda tx: tx.kept.orphans(_BATCH))
        by_tenant: dict[int, list[KeptVersion]] = {}
        for kept in orphans:
            by_tenant.setdefault(kept.tenant_id, []).append(kept)
        for tenant_id, some in by_tenant.items():
            self._db.write(lambda tx: self._forget(tx, tenant_id, some), tenant_id).result()  # noqa: B023
        return len(orphans)

    def _forget(self, tx: Tx, tenant_id: int, some: list[KeptVersion]) -> None:
        tenant = tx.tenants.by_id(tenant_id)
        if tenant is None:
            return
        history = History(tx, self._settling, self._ids, system_caller(tenant), self._settling.clock())
        for kept in some:
            if tx.kept.get(kept.bucket_id, kept.key_text, kept.id):
                history.remove(kept)

    # -- the bucket ---------------------------------------------------------------------------------------------------

    def page(
        self, caller: Caller, bucket: str, prefix: str, delimiter: str, key_marker: str, id_marker: str, limit: int
    ) -> VersionPage:
        """A page of all versions of a bucket (:func:`gateway.service.versionwalk.list_versions`)."""
        return self._db.read(
            lambda tx: list_versions(
                tx, find_bucket(tx, caller, bucket), prefix, delimiter, key_marker, id_marker, limit
            )
        )

    def versioning(self, caller: Caller, bucket: str) -> Versioning:
        return self._db.read(lambda tx: versioning_of(find_bucket(tx, caller, bucket)))
