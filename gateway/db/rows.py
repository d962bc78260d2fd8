"""Rows to values of the domain and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gateway.db.session import Row, to_json
from gateway.domain.entry import Entry, facts_of
from gateway.domain.names import name_key, sort_key
from gateway.domain.node import Kind, Node, Version, VersionState

VERSION_COLUMNS = (
    "v.id, v.blob_id, v.size, v.etag, v.content_type, v.sha256, v.created_at, v.mtime, v.state, v.reason, v.facts, "
    "v.uploader_id"
)
NODE_COLUMNS = (
    "n.id, n.tenant_id, n.parent_id, n.kind, n.name, n.created_at, n.modified_at, n.explicit, n.props, n.previous_id, "
    + VERSION_COLUMNS
)
"""Columns that :func:`node_from_row` reads, for ``nodes n LEFT JOIN versions v ON v.id = n.version_id``."""

ENTRY_COLUMNS = "n.id, n.name, n.created_at, COALESCE(v.mtime, n.modified_at), n.props, v.size, v.etag, NULL"
FULL_ENTRY_COLUMNS = ENTRY_COLUMNS + ", v.state, v.sha256, v.content_type, v.facts"
"""Columns that :func:`entry_from_row` reads, with and without what is known of contents."""

INSERT_NODE = (
    "INSERT INTO nodes (id, tenant_id, parent_id, kind, name, name_key, sort_key, created_at, modified_at, explicit, "
    "props, version_id, previous_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (parent_id, name_key, kind) DO NOTHING"
)
INSERT_VERSION = (
    "INSERT INTO versions (id, node_id, blob_id, size, etag, content_type, sha256, created_at, mtime, state, reason, "
    "facts, uploader_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

_KINDS = {str(kind): kind for kind in Kind}
_STATES = {str(state): state for state in VersionState}
_NOTHING: Mapping[str, str] = MappingProxyType({})


def mapping_to_text(mapping: Mapping[str, str]) -> str | None:
    """JSON text of a mapping, NULL for an empty one."""
    return to_json(dict(mapping)) if mapping else None


def text_to_mapping(text: str | None) -> Mapping[str, str]:
    """The inverse of :func:`mapping_to_text`."""
    return json.loads(text) if text else _NOTHING


def node_from_row(row: Row) -> Node:
    """A node with its current version from ``NODE_COLUMNS``."""
    version = version_from_row(row[10:]) if row[10] is not None else None
    return Node(
        row[0], row[1], row[2], _KINDS[row[3]], row[4], row[5], row[6], bool(row[7]),
        text_to_mapping(row[8]), version, row[9],
    )  # fmt: skip


def version_from_row(row: Row) -> Version:
    """A version from ``VERSION_COLUMNS``."""
    return Version(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7],
        _STATES[row[8]], row[9], text_to_mapping(row[10]), row[11],
    )  # fmt: skip


def entry_from_row(row: Row) -> Entry:
    """What a listing shows of a node, from ``ENTRY_COLUMNS`` or ``FULL_ENTRY_COLUMNS``."""
    if row[4] is None and len(row) == 8:
        return Entry._make(row)
    facts = facts_of(row[8], row[9], row[10], text_to_mapping(row[11])) if len(row) > 8 and row[8] else None
    props = text_to_mapping(row[4]) if row[4] else None
    return Entry(row[0], row[1], row[2], row[3], props, row[5], row[6], facts)


def node_to_row(node: Node) -> tuple[Any, ...]:
    """Parameters of ``INSERT_NODE``."""
    return (
        node.id,
        node.tenant_id,
        node.parent_id,
        str(node.kind),
        node.name,
        name_key(node.name),
        sort_key(node.name, collection=node.is_collection),
        node.created_at,
        node.modified_at,
        node.explicit,
        mapping_to_text(node.props),
        node.version.id if node.version else None,
        node.previous_id,
    )


def version_to_row(node_id: int, version: Version) -> tuple[Any, ...]:
    """Parameters of ``INSERT_VERSION``."""
    return (
        version.id,
        node_id,
        version.blob_id,
        version.size,
        version.etag,
        version.content_type,
        version.sha256,
        version.created_at,
        version.mtime,
        str(version.state),
        version.reason,
        mapping_to_text(version.facts),
        version.uploader_id,
    )


def storable(text: str) -> str:
    """``text`` without what a database cannot hold (NUL, lone surrogates): for texts that a stranger wrote."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")
