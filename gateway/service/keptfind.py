"""Finds a version of a key by the id that clients know."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.errors import DeleteMarker, NotFound, NoVersion
from gateway.domain.history import NULL, KeptVersion, Versioning, id_of, versioning_of
from gateway.domain.names import Path
from gateway.domain.node import Kind, Node
from gateway.domain.tenant import Caller
from gateway.service.placing import find_key
from gateway.service.unit_of_work import Tx


@dataclass(frozen=True, slots=True)
class Key:
    """A key as a place in the tree. ``path`` begins with the bucket; ``is_folder`` for one that ends with a slash;
    ``version_id`` None is the present version."""

    path: Path
    is_folder: bool = False
    version_id: str | None = None

    @property
    def kind(self) -> Kind:
        return Kind.COLLECTION if self.is_folder else Kind.FILE

    @property
    def text(self) -> str:
        """The path below the bucket."""
        return "/".join(self.path[1:])


@dataclass(frozen=True, slots=True)
class Seen:
    """A version of a key as the file that it is or was; ``is_kept``: it is not the present one."""

    node: Node
    versioning: Versioning
    is_kept: bool = False

    @property
    def version_id(self) -> str | None:
        """What clients are told; None where there never was versioning."""
        if self.versioning is Versioning.OFF or self.node.version is None:
            return None
        return id_of(self.node.version)


def look(tx: Tx, caller: Caller, key: Key) -> Seen:
    """Raises NoBucket, NotFound (also for a collection that is only implied), NoVersion, DeleteMarker."""
    at = find_key(tx, caller, key.path, key.kind)
    bucket, node = at.chain[1], at.node if at.node and at.node.explicit else None
    if node is not None and (key.version_id is None or is_called(node, key.version_id)):
        return Seen(node, versioning_of(bucket))
    if key.version_id is None:
        newest = tx.kept.newest(bucket.id, key.text) if not key.is_folder else None
        if newest is not None and newest.version is None:
            raise DeleteMarker(newest.public_id)
        raise NotFound("The specified key does not exist.")
    kept = find_kept(tx, bucket, key, key.version_id)
    if kept is None:
        raise NoVersion("The specified version does not exist.")
    if kept.version is None:
        raise DeleteMarker(kept.public_id, by_id=True)
    return Seen(as_node(kept, node), versioning_of(bucket), is_kept=True)


def as_node(kept: KeptVersion, present: Node | None) -> Node:
    """A kept version as the file that it was; with the number of the file that is there now, if one is."""
    assert kept.version is not None
    return Node(
        present.id if present else kept.id,
        kept.tenant_id,
        present.parent_id if present else kept.bucket_id,
        Kind.FILE,
        kept.key[-1],
        kept.version.created_at,
        kept.version.created_at,
        props=kept.props,
        version=kept.version,
    )


def is_called(node: Node, version_id: str) -> bool:
    return (id_of(node.version) if node.version else NULL) == version_id


def find_kept(tx: Tx, bucket: Node, key: Key, version_id: str) -> KeptVersion | None:
    """The kept version or delete marker of that id."""
    if key.is_folder:
        return None
    if version_id == NULL:
        return tx.kept.null(bucket.id, key.text)
    try:
        number = int(version_id, 16) if len(version_id) == 16 and version_id.isalnum() else -1
    except ValueError:
        number = -1
    return tx.kept.get(bucket.id, key.text, number) if number >= 0 else None
