"""Listing keys: a walk of the tree below a bucket in the byte order of full keys, from any place, a page at a time.

Children come in the order of their sort keys (a collection's with its slash), so that a walk that goes down into each
collection as it comes meets full keys in their order. A page costs what it shows, however far into the bucket it is:
the place where it begins is found by one look per level. Memory is bounded by the depth, not by the size of anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.domain.names import sort_key
from gateway.domain.node import Node
from gateway.service.unit_of_work import Tx

_PAGE = 1001
_BEYOND = b"\xff"
"""After every byte of UTF-8: ends the range of keys that begin with what stands before it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing: a key with its node, or (``node`` None) a common prefix."""

    key: bytes
    node: Node | None


@dataclass(frozen=True, slots=True)
class Page:
    """``last`` is the key or prefix from which the next page goes on; None when this page is the last."""

    entries: list[Entry]
    last: bytes | None


def list_keys(tx: Tx, bucket: Node, prefix: bytes, delimiter: bytes, after: bytes, limit: int) -> Page:
    """The first ``limit`` entries after ``after``. An ``after`` within a common prefix is after all of that prefix."""
    if limit <= 0:
        return Page([], None)
    entries: list[Entry] = []
    for entry in _Walk(tx, bucket, prefix, delimiter).entries(after):
        if len(entries) == limit:
            return Page(entries, entries[-1].key)
        entries.append(entry)
    return Page(entries, None)


@dataclass(slots=True)
class _Frame:
    """A collection under way: children after ``after`` are still to come."""

    node_id: int
    base: bytes
    after: bytes
    read: deque[Node] = field(default_factory=deque)
    ended: bool = False

    def next(self, tx: Tx) -> Node | None:
        if not self.read and not self.ended:
            page = tx.nodes.children(self.node_id, self.after, _PAGE)
            self.ended = len(page) < _PAGE
            self.read.extend(page)
            if page:
                self.after = sort_key(page[-1].name, collection=page[-1].is_collection)
        return self.read.popleft() if self.read else None


class _Walk:
    def __init__(self, tx: Tx, bucket: Node, prefix: bytes, delimiter: bytes) -> None:
        self._tx = tx
        self._bucket = bucket
        self._prefix = prefix
        self._delimiter = delimiter
        self._frames: list[_Frame] = []

    def entries(self, after: bytes) -> Iterator[Entry]:
        self._seek(self._start(after))
        while self._frames:
            frame = self._frames[-1]
            child = frame.next(self._tx)
            if child is None:
                self._frames.pop()
                continue
            key = frame.base + sort_key(child.name, collection=child.is_collection)
            if not key.startswith(self._prefix):
                if child.is_collection and self._prefix.startswith(key):
                    self._frames.append(_Frame(child.id, key, b""))
                elif key > self._prefix:
                    return
                continue
            yield from self._entry(child, key)

    def _entry(self, child: Node, key: bytes) -> Iterator[Entry]:
        end = key.find(self._delimiter, len(self._prefix)) if self._delimiter else -1
        if end >= 0:
            common = key[: end + len(self._delimiter)]
            if not child.is_collection or child.explicit or self._tx.nodes.has_keys(child.id):
                yield Entry(common, None)
                if common != key or not child.is_collection:
                    self._seek(common + _BEYOND)
            return
        if child.is_collection:
            self._frames.append(_Frame(child.id, key, b""))
        if not child.is_collection or child.explicit:
            yield Entry(key, child)

    def _start(self, after: bytes) -> bytes:
        prefix, delimiter = self._prefix, self._delimiter
        if after < prefix:
            # just before the first key that begins with the prefix
            return prefix[:-1] + bytes([max(prefix[-1] - 1, 0)]) + _BEYOND if prefix[-1] else prefix[:-1]
        if delimiter and after.startswith(prefix):
            end = after.find(delimiter, len(prefix))
            if end >= 0:
                return after[: end + len(delimiter)] + _BEYOND
        return after

    def _seek(self, bound: bytes) -> None:
        """Puts the walk to the first key after ``bound``, whether or not anything is there."""
        self._frames = []
        node_id, base = self._bucket.id, b""
        while True:
            self._frames.append(_Frame(node_id, base, bound))
            head, slash, rest = bound.partition(b"/")
            child = self._collection(node_id, head) if slash and head else None
            if child is None:
                return
            node_id, base, bound = child.id, base + head + b"/", rest

    def _collection(self, parent_id: int, name: bytes) -> Node | None:
        try:
            text = name.decode()
        except UnicodeDecodeError:
            return None
        same = self._tx.nodes.named(parent_id, text)
        return next((node for node in same if node.is_collection and node.name == text), None)
