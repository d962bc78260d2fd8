"""Where a path leads: by name, as WebDAV and people mean it, or by key, as S3 means it (DESIGN section 4).

By name, a parent must be there, names are found in either Unicode form, and a collection hides the file that shares its
name. By key, names are byte for byte, ``a`` is the file although there is a collection ``a``, and missing parents are
implied: they are made with the file, are no keys themselves, and vanish with their last key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.domain.errors import AlreadyExists, NameTwin, NoBucket, NotFound, ParentMissing
from gateway.domain.events import NODE_CREATED, node_to_json
from gateway.domain.ids import Ids
from gateway.domain.names import Path
from gateway.domain.node import Kind, Node
from gateway.domain.tenant import Caller
from gateway.domain.upload import Conditions
from gateway.service import guards
from gateway.service.results import Found
from gateway.service.settling import Settling
from gateway.service.unit_of_work import Tx


class Placing(Protocol):
    """How an upload finds its place, before the body and again in the transaction that commits it."""

    def find(self, tx: Tx, caller: Caller, path: Path) -> Found:
        """The place. Raises when no file can be written there."""

    def check(self, conditions: Conditions, at: Found) -> None:
        """Raises what preconditions mean here beyond RFC 9110."""

    def prepare(self, tx: Tx, settling: Settling, ids: Ids, caller: Caller, at: Found, path: Path, now: int) -> Found:
        """Makes what is missing for a file to be put there, within the transaction."""


class ByName:
    """WebDAV's. Raises AlreadyExists (the name is a collection), ParentMissing."""

    def find(self, tx: Tx, caller: Caller, path: Path) -> Found:
        if not path:
            raise AlreadyExists("the root of a space is a collection")
        at = guards.find(tx, caller, path)
        if at.node is not None and at.node.is_collection:
            raise AlreadyExists("a collection has this name")
        if at.node is None and at.parent is None:
            raise ParentMissing("the parent collection does not exist")
        return at

    def check(self, conditions: Conditions, at: Found) -> None:
        """Nothing beyond."""

    def prepare(self, tx: Tx, settling: Settling, ids: Ids, caller: Caller, at: Found, path: Path, now: int) -> Found:  # noqa: ARG002
        return at


class ByKey:
    """S3's. Raises NoBucket, NameTwin (the name is there in other bytes)."""

    def find(self, tx: Tx, caller: Caller, path: Path) -> Found:
        return find_key(tx, caller, path, exact=True)

    def check(self, conditions: Conditions, at: Found) -> None:
        """If-Match for a key that is not there is NoSuchKey in S3."""
        if conditions.if_match is not None and at.node is None:
            raise NotFound("there is no such key")

    def prepare(self, tx: Tx, settling: Settling, ids: Ids, caller: Caller, at: Found, path: Path, now: int) -> Found:
        return make_parents(tx, settling, ids, caller, at, path, now)


BY_NAME: Placing = ByName()
BY_KEY: Placing = ByKey()


def find_bucket(tx: Tx, caller: Caller, name: str) -> Node:
    """The bucket of that very name. Raises NoBucket."""
    chain = tx.nodes.chain(caller.tenant.root_id, (name,))
    if len(chain) != 2 or not chain[1].is_collection or chain[1].name != name:
        raise NoBucket("there is no such bucket")
    return chain[1]


def find_key(tx: Tx, caller: Caller, path: Path, kind: Kind = Kind.FILE, *, exact: bool = False) -> Found:
    """The node of a key: a file, or for a key that ends with a slash the collection. ``parent`` is None where it is
    missing or the path names a bucket; ``chain`` holds the collections above as far as they exist, and the node.

    Raises NoBucket; with ``exact`` also NameTwin where a name of the path exists in other bytes.
    """
    chain = tx.nodes.chain(caller.tenant.root_id, path)
    if len(chain) < 2 or not chain[1].is_collection or chain[1].name != path[0]:
        raise NoBucket("there is no such bucket")
    above = [chain[0]]
    for node, name in zip(chain[1:], path[:-1], strict=False):
        if not node.is_collection:
            break
        if node.name != name:
            _twin(exact)
            break
        above.append(node)
    if len(above) < len(path):
        return Found(tuple(above), None, None)
    last = _last(tx, above[-1], chain[len(path) :], path[-1], kind, exact)
    return Found((*above, last) if last else tuple(above), last, above[-1])


def _last(tx: Tx, parent: Node, seen: Sequence[Node], name: str, kind: Kind, exact: bool) -> Node | None:
    """The node of that kind and very name in ``parent``; ``seen`` is what a look by name has found."""
    if not seen:
        return None
    if seen[0].kind is kind and seen[0].name == name:
        return seen[0]
    same = tx.nodes.named(parent.id, name)
    if any(node.name != name for node in same):
        _twin(exact)
    return next((node for node in same if node.kind is kind and node.name == name), None)


def _twin(exact: bool) -> None:
    if exact:
        raise NameTwin("the name exists in another Unicode form; a space holds one of the two")


def make_parents(tx: Tx, settling: Settling, ids: Ids, caller: Caller, at: Found, path: Path, now: int) -> Found:
    """Makes the collections of ``path[:-1]`` that are missing, as implied ones. ``at`` is by :func:`find_key`."""
    if at.parent is not None:
        return at
    chain = list(at.chain)
    for name in path[len(chain) - 1 : -1]:
        node = Node(ids.new(now), caller.tenant.id, chain[-1].id, Kind.COLLECTION, name, now, now, explicit=False)
        tx.nodes.insert(node)
        settling.record(tx, caller, NODE_CREATED, {"node": node_to_json(node)}, now)
        chain.append(node)
    return Found(tuple(chain), None, chain[-1])
