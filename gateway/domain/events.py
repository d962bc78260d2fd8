"""Frozen records of what was committed, kept in the outbox until every subscriber has handled them.

``data`` is JSON. Together with a checkpoint, the events of a tenant rebuild its space: each kind below says what it
carries. Numbers of nodes and versions are those of the database; times are ms UTC.

=====================  ================================================================================================
kind                   data
=====================  ================================================================================================
tenant.changed         the whole tenant: name, plan, state, quota_bytes, quota_files, demo, root_id, created_at
user.changed           the whole user: id, login, password_hash, role, disabled, created_at
user.removed           id
node.created           node (a collection, as :func:`node_to_json`)
file.written           node (with its version), created: bool, replaced: {"version_id", "blob_id", "size"} or null
node.moved             node_id, parent_id, name, modified_at, replaced_id: node removed at the destination, or null
tree.copied            nodes: a batch of nodes in order parents first, attached: bool (the last batch makes it visible),
                       replaced_id
node.deleted           node_id (with everything below it)
tree.erased            node_id, files, bytes: a batch of an already detached tree was erased; only usage changes
node.changed           node_id, props (whole mapping), modified_at, mtime (of the version, or null); explicit where a
                       collection became a key of its own or is none any more (S3)
file.released          node_id, version_id, state: a held version became readable
record.changed         set, id, record: a whole record of a set of service/recordsets.py, null when it is removed
file.rejected          node_id, version_id, blob_id, restored: node with the earlier version, or null (file removed)
=====================  ================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.domain.node import Kind, Node, Version, VersionState

TENANT_CHANGED = "tenant.changed"
USER_CHANGED = "user.changed"
USER_REMOVED = "user.removed"
NODE_CREATED = "node.created"
FILE_WRITTEN = "file.written"
NODE_MOVED = "node.moved"
TREE_COPIED = "tree.copied"
NODE_DELETED = "node.deleted"
TREE_ERASED = "tree.erased"
NODE_CHANGED = "node.changed"
FILE_RELEASED = "file.released"
FILE_REJECTED = "file.rejected"
RECORD_CHANGED = "record.changed"


@dataclass(frozen=True, slots=True)
class Event:
    """``seq`` counts per tenant without gaps; ``at`` is the billing time, never before the tenant's last event.

    ``used_bytes`` and ``used_files`` are the tenant's usage right after the event: storage is metered from them alone.
    """

    tenant_id: int
    tenant: str
    seq: int
    at: int
    kind: str
    actor: str
    used_bytes: int
    used_files: int
    data: Mapping[str, Any]


def version_to_json(version: Version) -> dict[str, Any]:
    """All fields of a version as JSON values."""
    return {
        "id": version.id,
        "blob_id": version.blob_id,
        "size": version.size,
        "etag": version.etag,
        "content_type": version.content_type,
        "sha256": version.sha256,
        "created_at": version.created_at,
        "mtime": version.mtime,
        "state": str(version.state),
        "reason": version.reason,
        "facts": dict(version.facts),
        "uploader_id": version.uploader_id,
    }


def version_from_json(data: Mapping[str, Any]) -> Version:
    """The inverse of :func:`version_to_json`."""
    return Version(**{**data, "state": VersionState(data["state"])})


def node_to_json(node: Node) -> dict[str, Any]:
    """All fields of a node, with its version, as JSON values."""
    return {
        "id": node.id,
        "parent_id": node.parent_id,
        "kind": str(node.kind),
        "name": node.name,
        "created_at": node.created_at,
        "modified_at": node.modified_at,
        "explicit": node.explicit,
        "props": dict(node.props),
        "version": version_to_json(node.version) if node.version else None,
    }


def node_from_json(tenant_id: int, data: Mapping[str, Any]) -> Node:
    """The inverse of :func:`node_to_json`, as a node of ``tenant_id``."""
    version = data.get("version")
    return Node(
        id=data["id"],
        tenant_id=tenant_id,
        parent_id=data["parent_id"],
        kind=Kind(data["kind"]),
        name=data["name"],
        created_at=data["created_at"],
        modified_at=data["modified_at"],
        explicit=data["explicit"],
        props=data["props"],
        version=version_from_json(version) if version else None,
    )
