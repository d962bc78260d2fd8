"""Keeps what is replaced or deleted in a bucket with versioning, whoever does it and over whatever protocol.

Kept versions count as used; they are records of the tenant in its log, so that the replica carries them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.domain.errors import Forbidden
from gateway.domain.events import RECORD_CHANGED
from gateway.domain.history import (
    KEPT_VERSIONS,
    NULL,
    KeptVersion,
    Versioning,
    id_of,
    public_id,
    to_record,
    versioning_of,
)
from gateway.domain.ids import Ids
from gateway.domain.names import Path
from gateway.domain.node import Node, Version, VersionState
from gateway.domain.tenant import Caller, Limits
from gateway.service.results import Found
from gateway.service.settling import Settling
from gateway.service.unit_of_work import Tx

MAX_TREE = 2000
"""So many nodes of a versioned bucket are deleted or replaced at once at most."""


@dataclass(frozen=True, slots=True)
class Place:
    """A key of a bucket. ``bucket`` None: a place outside of all buckets."""

    bucket: Node | None
    key: Path

    @property
    def versioning(self) -> Versioning:
        return versioning_of(self.bucket) if self.key else Versioning.OFF

    @property
    def key_text(self) -> str:
        return "/".join(self.key)

    def below(self, names: Path) -> Place:
        return Place(self.bucket, (*self.key, *names))


def place_of(at: Found, name: str = "") -> Place:
    """The key that a place in the tree is; ``name`` of a node that is not there yet."""
    above = at.chain[:-1] if at.node is not None else at.chain
    last = at.node.name if at.node is not None else name
    if len(above) < 2:
        return Place(None, ())
    return Place(above[1], (*(node.name for node in above[2:]), last))


class History:
    """Work within one transaction, of one caller."""

    def __init__(self, tx: Tx, settling: Settling, ids: Ids, caller: Caller, now: int) -> None:
        self._tx = tx
        self._settling = settling
        self._ids = ids
        self._caller = caller
        self._now = now
        self._added: list[KeptVersion] = []

    # -- what writes ask ----------------------------------------------------------------------------------------------

    def keep(self, place: Place, node: Node | None) -> None:
        """The version of ``node`` is about to be replaced or deleted at ``place``. One without a verdict is not
        kept."""
        if place.bucket is None or place.versioning is Versioning.OFF:
            return
        version = node.version if node else None
        is_null = version is not None and id_of(version) == NULL
        if place.versioning is Versioning.SUSPENDED or is_null:
            self._drop_null(place)
        if version is None or version.state is VersionState.HELD:
            return
        if place.versioning is Versioning.SUSPENDED and is_null:
            return  # the one null version there is gets overwritten
        assert node is not None
        self._add(place, version.id, is_null, version, node)

    def mark_deleted(self, place: Place) -> KeptVersion | None:
        """Puts a delete marker on a key, where there is versioning."""
        if place.versioning is Versioning.OFF:
            return None
        if place.versioning is Versioning.SUSPENDED:
            self._drop_null(place)
        return self._add(place, self._ids.new(self._now), place.versioning is Versioning.SUSPENDED, None, None)

    def keep_tree(self, place: Place, node: Node, *, is_deleted: bool) -> None:
        """The same for all files of a tree that goes. Raises Forbidden for a large one."""
        if place.versioning is Versioning.OFF:
            return
        nodes = self._tx.nodes.subtree(node.id, MAX_TREE + 1)
        if len(nodes) > MAX_TREE:
            raise Forbidden(
                f"a bucket that keeps versions gives up at most {MAX_TREE} files and folders at once: take some first"
            )
        places: dict[int | None, Place] = {node.id: place}
        for one in nodes:
            where = places.setdefault(one.id, places[one.parent_id].below((one.name,)) if one.id != node.id else place)
            if not one.is_collection:
                self.keep(where, one)
                if is_deleted:
                    self.mark_deleted(where)

    def leave(self, place: Place) -> None:
        """The file at a place goes elsewhere, with its version: where earlier ones are kept, the key is marked."""
        if place.bucket is not None and self._tx.kept.newest(place.bucket.id, place.key_text):
            self.mark_deleted(place)

    def settle(self, limits: Limits | None = None) -> None:
        """Books what was kept. After the write itself: together they must fit in the quota, and one alone may not."""
        for kept in self._added:
            self._record(public_id(kept.id), to_record(kept), kept.size, limits)
        self._added = []

    # -- what versions themselves undergo ---------------------------------------------------------------------------

    def remove(self, kept: KeptVersion) -> None:
        """Removes a kept version or a delete marker for good."""
        self._tx.kept.remove(kept.id)
        self._record(public_id(kept.id), None, -kept.size, None, [kept.version.blob_id] if kept.version else [])

    def take(self, kept: KeptVersion) -> None:
        """The version is about to become a present one again."""
        self._tx.kept.remove(kept.id)
        self._record(public_id(kept.id), None, -kept.size, None)

    def _drop_null(self, place: Place) -> None:
        assert place.bucket is not None
        old = self._tx.kept.null(place.bucket.id, place.key_text)
        if old is not None:
            self.remove(old)

    def _add(self, place: Place, number: int, is_null: bool, version: Version | None, node: Node | None) -> KeptVersion:
        assert place.bucket is not None
        kept = KeptVersion(
            number,
            self._caller.tenant.id,
            place.bucket.id,
            place.key,
            self._now,
            is_null,
            version,
            node.props if node else {},
        )
        self._tx.kept.add(kept)
        self._added.append(kept)
        return kept

    def _record(
        self,
        record_id: str,
        record: dict[str, object] | None,
        size: int,
        limits: Limits | None,
        released: Sequence[str] = (),
    ) -> None:
        data = {"set": KEPT_VERSIONS, "id": record_id, "record": record}
        event = self._settling.record(
            self._tx, self._caller, RECORD_CHANGED, data, self._now, bytes=size, limits=limits
        )
        self._settling.release(self._tx, event, released)
