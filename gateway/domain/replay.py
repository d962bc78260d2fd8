"""A space rebuilt from a checkpoint and the events after it, without a database (DESIGN section 9)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.domain import events as kinds
from gateway.domain.events import Event, node_from_json, node_to_json, version_from_json, version_to_json
from gateway.domain.history import KEPT_VERSIONS, KeptVersion, from_record
from gateway.domain.node import Kind, Node, Version, VersionState
from gateway.domain.tenant import TenantState


@dataclass(frozen=True, slots=True)
class Kept:
    """A node, and the version that is kept while the current one is held."""

    node: Node
    previous: Version | None = None


class Space:
    """What a tenant has after event ``seq``. Events at or before ``seq`` change nothing: replaying is idempotent."""

    def __init__(self, tenant_id: int, name: str) -> None:
        self.tenant_id = tenant_id
        self.name = name
        self.seq = 0
        self.at = 0
        self.tenant: dict[str, Any] = {}
        self.users: dict[int, dict[str, Any]] = {}
        self.records: dict[tuple[str, str], dict[str, Any]] = {}
        """(set, id) → record."""
        self._nodes: dict[int, Kept] = {}
        self._children: dict[int, set[int]] = {}

    # -- reading ------------------------------------------------------------------------------------------------------

    def reachable(self) -> Iterator[Kept]:
        """Every node below the root and the root itself, parents first; trees that hang nowhere are left out."""
        root_id = self.tenant.get("root_id")
        waiting = deque([root_id] if root_id in self._nodes else [])
        while waiting:
            node_id = waiting.popleft()
            yield self._nodes[node_id]
            waiting.extend(sorted(self._children.get(node_id, ())))

    def usage(self) -> tuple[int, int]:
        """(bytes, files) of current versions, and the bytes of kept ones: what used is, by invariant I4."""
        versions = [kept.node.version for kept in self.reachable() if kept.node.version]
        kept = sum(one.size for one in self.kept_versions())
        return sum(version.size for version in versions) + kept, len(versions)

    def versions(self) -> Iterator[Version]:
        """All versions of reachable files, kept ones too: the blobs that a restore needs."""
        for kept in self.reachable():
            yield from (version for version in (kept.node.version, kept.previous) if version)
        yield from (one.version for one in self.kept_versions() if one.version)

    def kept_versions(self) -> list[KeptVersion]:
        """What buckets keep beside the present versions."""
        return [
            from_record(self.tenant_id, record_id, record)
            for (kind, record_id), record in self.records.items()
            if kind == KEPT_VERSIONS
        ]

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def load(self, line: Mapping[str, Any]) -> None:
        """Takes one line of a checkpoint: header, tenant, user, record or node."""
        if "node" in line:
            previous = line["node"].get("previous")
            self._put(node_from_json(self.tenant_id, line["node"]), version_from_json(previous) if previous else None)
        elif "user" in line:
            self.users[line["user"]["id"]] = dict(line["user"])
        elif "record" in line:
            self._change_record(line)
        elif "tenant_data" in line:
            self._change_tenant(line["tenant_data"])
        else:
            self.seq, self.at = line["seq"], line["at"]

    # -- events -------------------------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Takes the next event. ValueError for one that does not follow, or of a kind that is not known here."""
        if event.seq <= self.seq:
            return
        if event.seq != self.seq + 1:
            raise ValueError(f"event {event.seq} does not follow event {self.seq}")
        handler = _HANDLERS.get(event.kind)
        if handler is None:
            raise ValueError(f"event {event.seq} is of the unknown kind {event.kind!r}")
        handler(self, event.data)
        self.seq, self.at = event.seq, event.at

    def _change_tenant(self, data: Mapping[str, Any]) -> None:
        self.tenant = dict(data)
        root_id, made_at = data["root_id"], data["created_at"]
        if data["state"] == TenantState.REMOVED:
            self._remove(root_id)
        elif root_id not in self._nodes:
            self._put(Node(root_id, self.tenant_id, None, Kind.COLLECTION, "", made_at, made_at))

    def _change_user(self, data: Mapping[str, Any]) -> None:
        self.users[data["id"]] = dict(data)

    def _remove_user(self, data: Mapping[str, Any]) -> None:
        self.users.pop(data["id"], None)

    def _change_record(self, data: Mapping[str, Any]) -> None:
        key = (data["set"], data["id"])
        if data["record"] is None:
            self.records.pop(key, None)
        else:
            self.records[key] = dict(data["record"])

    def _create(self, data: Mapping[str, Any]) -> None:
        self._put(node_from_json(self.tenant_id, data["node"]))

    def _write(self, data: Mapping[str, Any]) -> None:
        """A held version keeps the readable one before it until the verdict."""
        node = node_from_json(self.tenant_id, data["node"])
        old = self._nodes.get(node.id)
        previous = None
        if node.version and node.version.state is VersionState.HELD and old and old.node.version:
            previous = old.previous if old.node.version.state is VersionState.HELD else old.node.version
        self._put(node, previous)

    def _move(self, data: Mapping[str, Any]) -> None:
        if data.get("replaced_id"):
            self._remove(data["replaced_id"])
        kept = self._nodes[data["node_id"]]
        moved = replace(kept.node, parent_id=data["parent_id"], name=data["name"], modified_at=data["modified_at"])
        self._put(moved, kept.previous)

    def _copy(self, data: Mapping[str, Any]) -> None:
        if data.get("replaced_id"):
            self._remove(data["replaced_id"])
        for node in data["nodes"]:
            self._put(node_from_json(self.tenant_id, node))

    def _delete(self, data: Mapping[str, Any]) -> None:
        self._remove(data["node_id"])

    def _change(self, data: Mapping[str, Any]) -> None:
        kept = self._nodes.get(data["node_id"])
        if kept is None:
            return  # usage of a tree that is out of sight already
        node = replace(kept.node, props=dict(data["props"]), modified_at=data["modified_at"])
        node = replace(node, explicit=data.get("explicit", node.explicit))
        if data.get("mtime") is not None and node.version:
            node = replace(node, version=replace(node.version, mtime=data["mtime"]))
        self._put(node, kept.previous)

    def _release(self, data: Mapping[str, Any]) -> None:
        kept = self._nodes.get(data["node_id"])
        if kept is None or kept.node.version is None or kept.node.version.id != data["version_id"]:
            return
        state = VersionState(data["state"])
        version = replace(kept.node.version, state=state, reason=data.get("reason", ""))
        self._put(replace(kept.node, version=version), kept.previous if state is VersionState.HELD else None)

    def _reject(self, data: Mapping[str, Any]) -> None:
        if data["restored"]:
            self._put(node_from_json(self.tenant_id, data["restored"]))
        else:
            self._remove(data["node_id"])

    def _erase(self, data: Mapping[str, Any]) -> None:
        """A batch of a tree that is out of sight went: nothing of it can be seen again."""
        kept = self._nodes.get(data["node_id"])
        if kept is not None and kept.node.parent_id is None and data["node_id"] != self.tenant.get("root_id"):
            self._remove(data["node_id"])

    # -- the tree -----------------------------------------------------------------------------------------------------

    def _put(self, node: Node, previous: Version | None = None) -> None:
        old = self._nodes.get(node.id)
        if old is not None and old.node.parent_id is not None:
            self._children[old.node.parent_id].discard(node.id)
        if node.parent_id is not None:
            self._children.setdefault(node.parent_id, set()).add(node.id)
        self._nodes[node.id] = Kept(node, previous)

    def _remove(self, node_id: int) -> None:
        kept = self._nodes.get(node_id)
        if kept is not None and kept.node.parent_id is not None:
            self._children[kept.node.parent_id].discard(node_id)
        waiting = [node_id]
        while waiting:
            gone = waiting.pop()
            self._nodes.pop(gone, None)
            waiting.extend(self._children.pop(gone, ()))


_HANDLERS = {
    kinds.TENANT_CHANGED: Space._change_tenant,
    kinds.USER_CHANGED: Space._change_user,
    kinds.USER_REMOVED: Space._remove_user,
    kinds.NODE_CREATED: Space._create,
    kinds.FILE_WRITTEN: Space._write,
    kinds.NODE_MOVED: Space._move,
    kinds.TREE_COPIED: Space._copy,
    kinds.NODE_DELETED: Space._delete,
    kinds.TREE_ERASED: Space._erase,
    kinds.NODE_CHANGED: Space._change,
    kinds.FILE_RELEASED: Space._release,
    kinds.FILE_REJECTED: Space._reject,
    kinds.RECORD_CHANGED: Space._change_record,
}


def checkpoint_node(node: Node, previous: Version | None) -> dict[str, Any]:
    """The line of a node in a checkpoint."""
    return {"node": {**node_to_json(node), "previous": version_to_json(previous) if previous else None}}
