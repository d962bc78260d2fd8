"""Buckets: the collections at the top of a space, as S3 makes, lists and removes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.domain.entry import Listed
from gateway.domain.errors import AlreadyExists, NameTwin, NotEmpty
from gateway.domain.events import NODE_CHANGED, NODE_CREATED, node_to_json
from gateway.domain.ids import Ids
from gateway.domain.names import sort_key
from gateway.domain.node import Kind, Node
from gateway.domain.tenant import Caller
from gateway.domain.upload import NO_CONDITIONS
from gateway.hooks import Change
from gateway.pluginhost import PluginHost
from gateway.service.guards import Target, check_locks, require_writer
from gateway.service.keywalk import Page, list_page, read_listed
from gateway.service.lookups import Lookups
from gateway.service.placing import find_bucket
from gateway.service.results import Found
from gateway.service.settling import Settling
from gateway.service.trees import Trees
from gateway.service.unit_of_work import Database, Tx

_PAGE = 1000


class Buckets:
    """Names are byte for byte; all methods but ``create`` and ``all`` raise NoBucket."""

    def __init__(self, db: Database, host: PluginHost, settling: Settling, ids: Ids, trees: Trees) -> None:
        self._db = db
        self._host = host
        self._settling = settling
        self._ids = ids
        self._trees = trees
        self._lookups: Lookups[Node] = Lookups(db.mark)

    def get(self, caller: Caller, name: str) -> Node:
        return self._lookups.find(
            caller.tenant.root_id, name, lambda: self._db.read(lambda tx: find_bucket(tx, caller, name))
        )

    def page(self, caller: Caller, after: str, limit: int) -> tuple[list[Node], bool]:
        """Up to ``limit`` buckets by name, those after ``after`` only, and whether there are more. Files at the root of
        a space belong to no bucket."""

        def work(tx: Tx) -> list[Node]:
            found: list[Node] = []
            bound = after.encode("utf-8", "surrogateescape") + b"/" if after else b""
            while len(found) <= limit:
                nodes = tx.nodes.children(caller.tenant.root_id, bound, _PAGE)
                found += [node for node in nodes if node.is_collection]
                if len(nodes) < _PAGE:
                    break
                bound = sort_key(nodes[-1].name, collection=nodes[-1].is_collection)
            return found

        nodes = self._db.read(work)
        return nodes[:limit], len(nodes) > limit

    def keys(
        self, caller: Caller, name: str, prefix: bytes, delimiter: bytes, after: bytes, limit: int
    ) -> Page[Listed]:
        """A page of the keys of a bucket (:func:`gateway.service.keywalk.list_page`)."""
        return self._db.read(
            lambda tx: list_page(tx, read_listed, find_bucket(tx, caller, name), prefix, delimiter, after, limit)
        )

    def create(self, caller: Caller, name: str) -> Node:
        """Raises Forbidden, AlreadyExists, NameTwin, Locked (the root is)."""
        require_writer(caller)
        self._host.check("check_change", change=Change(caller, "create", (name,)))

        def work(tx: Tx) -> Node:
            now = self._settling.clock()
            root = tx.nodes.get(caller.tenant.root_id)
            assert root is not None
            for node in tx.nodes.named(root.id, name):
                if node.name != name:
                    raise NameTwin("the name exists in another Unicode form; a space holds one of the two")
                if node.is_collection:
                    raise AlreadyExists("the bucket exists and is yours")
            check_locks(tx, caller, now, NO_CONDITIONS, [Target(Found((root,), None, root), membership=True)])
            node = Node(self._ids.new(now), caller.tenant.id, root.id, Kind.COLLECTION, name, now, now)
            tx.nodes.insert(node)
            self._settling.record(tx, caller, NODE_CREATED, {"node": node_to_json(node)}, now)
            return node

        return self._db.write(work, caller.tenant.id).result()

    def delete(self, caller: Caller, name: str) -> None:
        """Raises Forbidden, NotEmpty while it holds a key, Locked."""
        require_writer(caller)
        self._host.check("check_change", change=Change(caller, "delete", (name,), self.get(caller, name)))

        def work(tx: Tx) -> None:
            now = self._settling.clock()
            bucket = find_bucket(tx, caller, name)
            if tx.nodes.has_keys(bucket.id) or tx.kept.has_any(bucket.id):
                raise NotEmpty("the bucket is not empty")
            at = _placed(tx, caller, bucket)
            check_locks(tx, caller, now, NO_CONDITIONS, [Target(at, membership=True, tree=True)])
            self._trees.delete(tx, caller, bucket, now)

        self._db.write(work, caller.tenant.id).result()

    def change(self, caller: Caller, name: str, changed: Callable[[Mapping[str, str]], Mapping[str, str]]) -> Node:
        """Changes the properties of a bucket: its settings are kept there. Raises Forbidden, Locked."""
        require_writer(caller)
        self._host.check("check_change", change=Change(caller, "properties", (name,), self.get(caller, name)))

        def work(tx: Tx) -> Node:
            now = self._settling.clock()
            bucket = find_bucket(tx, caller, name)
            check_locks(tx, caller, now, NO_CONDITIONS, [Target(_placed(tx, caller, bucket))])
            props = dict(changed(bucket.props))
            tx.nodes.set_props(bucket.id, props, bucket.modified_at, None)
            data = {"node_id": bucket.id, "props": props, "modified_at": bucket.modified_at, "mtime": None}
            self._settling.record(tx, caller, NODE_CHANGED, data, now)
            return bucket

        return self._db.write(work, caller.tenant.id).result()


def _placed(tx: Tx, caller: Caller, bucket: Node) -> Found:
    root = tx.nodes.get(caller.tenant.root_id)
    assert root is not None
    return Found((root, bucket), bucket, root)
