"""Listing keys: a walk of the tree below a bucket in the byte order of full keys, from any place, a page at a time.

Children come in the order of their sort keys (a collection's with its slash), so that a walk that goes down into each
collection as it comes meets full keys in their order. A page costs what it shows, however far into the bucket it is:
the place where it begins is found by one look per level. Memory is bounded by the depth, not by the size of anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

from gateway.domain.entry import Listed
from gateway.domain.names import sort_key
from gateway.domain.node import Node
from gateway.service.unit_of_work import Tx

_PAGE = 1001
_BEYOND = b"\xff"
"""After every byte of UTF-8: ends the range of keys that begin with what stands before it."""


class Child(Protocol):
    """What a walk must know of a child."""

    @property
    def id(self) -> int: ...
    @property
    def is_collection(self) -> bool: ...
    @property
    def explicit(self) -> bool: ...


C = TypeVar("C", bound=Child)
Read = Callable[[Tx, int, bytes, int], "list[tuple[bytes, C]]"]
"""(transaction, collection, sort key, limit) → children after that sort key, each with its own, in their order."""


def read_nodes(tx: Tx, parent_id: int, after: bytes, limit: int) -> list[tuple[bytes, Node]]:
    nodes = tx.nodes.children(parent_id, after, limit)
    return [(sort_key(node.name, collection=node.is_collection), node) for node in nodes]


def read_listed(tx: Tx, parent_id: int, after: bytes, limit: int) -> list[tuple[bytes, Listed]]:
    """What a list shows, for a third of the work."""
    return [(one.sort_key, one) for one in tx.nodes.listed(parent_id, after, limit)]


class Entry(NamedTuple, Generic[C]):
    """One line of a listing: a key with its node, or (``node`` None) a common prefix."""

    key: bytes
    node: C | None


@dataclass(frozen=True, slots=True)
class Page(Generic[C]):
    """``last`` is the key or prefix from which the next page goes on; None when this page is the last."""

    entries: list[Entry[C]]
    last: bytes | None


def list_keys(tx: Tx, bucket: Node, prefix: bytes, delimiter: bytes, after: bytes, limit: int) -> Page[Node]:
    """The first ``limit`` entries after ``after``. An ``after`` within a common prefix is after all of that prefix."""
    return list_page(tx, read_nodes, bucket, prefix, delimiter, after, limit)


def list_page(
    tx: Tx, read: Read[C], bucket: Node, prefix: bytes, delimiter: bytes, after: bytes, limit: int
) -> Page[C]:
    """The same with nodes as ``read`` gives them."""
    if limit <= 0:
        return Page([], None)
    entries: list[Entry[C]] = []
    for entry in _Walk(tx, read, bucket, prefix, delimiter).entries(after):
        if len(entries) == limit:
            return Page(entries, entries[-1].key)
        entries.append(entry)
    return Page(entries, None)


@dataclass(slots=True)
class _Frame(Generic[C]):
    """A collection under way: children after ``after`` are still to come."""

    node_id: int
    base: bytes
    after: bytes
    waiting: deque[tuple[bytes, C]] = field(default_factory=deque)
    ended: bool = False

    def next(self, tx: Tx, read: Read[C]) -> tuple[bytes, C] | None:
        if not self.waiting and not self.ended:
            page = read(tx, self.node_id, self.after, _PAGE)
            self.ended = len(page) < _PAGE
            self.waiting.extend(page)
            if page:
                self.after = page[-1][0]
        return self.waiting.popleft() if self.waiting else None


class _Walk(Generic[C]):
    def __init__(self, tx: Tx, read: Read[C], bucket: Node, prefix: bytes, delimiter: bytes) -> None:
        self._tx = tx
        self._read = read
        self._bucket = bucket
        self._prefix = prefix
        self._delimiter = delimiter
        self._frames: list[_Frame[C]] = []

    def entries(self, after: bytes) -> Iterator[Entry[C]]:
        self._seek(self._start(after))
        tx, read, prefix, delimiter = self._tx, self._read, self._prefix, self._delimiter
        while self._frames:
            frame = self._frames[-1]
            found = frame.next(tx, read)
            if found is None:
                self._frames.pop()
                continue
            name, child = found
            key = frame.base + name
            if not key.startswith(prefix):
                if child.is_collection and prefix.startswith(key):
                    self._frames.append(_Frame(child.id, key, b""))
                elif key > prefix:
                    return
                continue
            if delimiter and (end := key.find(delimiter, len(prefix))) >= 0:
                yield from self._common(child, key, key[: end + len(delimiter)])
                continue
            if child.is_collection:
                self._frames.append(_Frame(child.id, key, b""))
                if not child.explicit:
                    continue
            yield Entry(key, child)

    def _common(self, child: C, key: bytes, common: bytes) -> Iterator[Entry[C]]:
        if not child.is_collection or child.explicit or self._tx.nodes.has_keys(child.id):
            yield Entry(common, None)
            if common != key or not child.is_collection:
                self._seek(common + _BEYOND)

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
