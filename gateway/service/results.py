"""What the services of the tree answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gateway.domain.node import Node
from gateway.exchange import FileBody


@dataclass(frozen=True, slots=True)
class Found:
    """The nodes along a path, from the root as far as they exist. ``node`` is None when the path does not exist,
    ``parent`` None when its parent does not (or the path is the root)."""

    chain: tuple[Node, ...]
    node: Node | None
    parent: Node | None


@dataclass(frozen=True, slots=True)
class Placed:
    """A node as it stands after a write; ``created`` tells 201 from 204."""

    node: Node
    created: bool


def _nothing() -> None:
    """No file; nothing at hand."""


@dataclass(frozen=True, slots=True)
class Content:
    """Readable bytes of a file. ``open(start, length)`` streams; ``find_file`` gives a plain file for sendfile, if any;
    ``whole`` all bytes, where they are few and can be had without waiting."""

    size: int
    open: Callable[[int, int], BinaryIO]
    find_file: Callable[[], Path | None] = _nothing
    whole: Callable[[], bytes | None] = _nothing

    def body(self, slices: Sequence[tuple[bytes, int, int]], tail: bytes = b"") -> bytes | FileBody:
        """The body of an answer that sends these slices (see :class:`gateway.exchange.FileBody`)."""
        whole = self.whole()
        if whole is None:
            return FileBody(slices, self.open, self.find_file(), tail)
        if slices == [(b"", 0, self.size)]:
            return whole
        return b"".join(before + whole[start : start + length] for before, start, length in slices) + tail

    def unread(self, slices: Sequence[tuple[bytes, int, int]], tail: bytes = b"") -> FileBody:
        """The same for HEAD, which wants its length only."""
        return FileBody(slices, self.open, None, tail)


@dataclass(frozen=True, slots=True)
class Deleted:
    """What S3's delete did: the id of the version that was removed, or of the delete marker that was put or removed
    (``is_marker``); "" where there is no versioning."""

    version_id: str = ""
    is_marker: bool = False


def found(chain: list[Node], depth: int) -> Found:
    """Tells what a chain of nodes means for a path of ``depth`` segments."""
    node = chain[depth] if len(chain) == depth + 1 else None
    parent = chain[depth - 1] if depth and len(chain) >= depth else None
    if parent is not None and not parent.is_collection:
        parent = None
    return Found(tuple(chain), node, parent)
