"""What a listing shows of a node: fewer fields than a node has, and cheap to make ten thousand times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.domain.node import Node


class Entry(NamedTuple):
    """Times in ms UTC. ``modified_at`` is that of the content of a file. ``props`` None: there are none. ``size`` and
    ``etag`` are None for a collection. ``facts`` are those of :func:`facts_of`, None where nobody asked for them."""

    id: int
    name: str
    created_at: int
    modified_at: int
    props: Mapping[str, str] | None
    size: int | None
    etag: str | None
    facts: Mapping[str, str] | None = None

    @property
    def is_collection(self) -> bool:
        return self.etag is None


class Listed(NamedTuple):
    """The same for a list of keys. ``sort_key`` is the name as bytes, a collection's with a slash; ``at`` in ms UTC is
    when the content was written; ``size`` and ``etag`` are None for a collection."""

    id: int
    sort_key: bytes
    explicit: bool
    size: int | None
    etag: str | None
    at: int

    @property
    def is_collection(self) -> bool:
        return self.etag is None


def facts_of(state: str, sha256: str, content_type: str, described: Mapping[str, str]) -> dict[str, str]:
    """Name → value of what is known of a version besides what HTTP says: its state, its digest, what a client called
    it, and what hooks said of it (which may not take the names of the others)."""
    own = {"state": state, "sha256": sha256}
    if content_type:
        own["content-type"] = content_type
    return {**own, **{name: text for name, text in described.items() if name not in _OWN}}


_OWN = ("state", "sha256", "content-type")


def entry_of(node: Node) -> Entry:
    """A node as its listing would show it, with all facts."""
    version = node.version
    if version is None:
        return Entry(node.id, node.name, node.created_at, node.modified_at, node.props or None, None, None)
    facts = facts_of(str(version.state), version.sha256, version.content_type, version.facts)
    return Entry(
        node.id, node.name, node.created_at, version.mtime, node.props or None, version.size, version.etag, facts
    )
