"""MD5 as S3 computes ETags: of the bytes of a single PUT, of the parts' digests of a multipart upload."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

GROW_EVERY = 2000
"""S3 allows 10 000 parts: after each so many their size doubles, so that blobs of 248 times 2000 parts fit."""


def part_sizes(first: int) -> Iterator[int]:
    """The sizes of the parts of a blob but for its last, from the size of the first."""
    size = first
    while True:
        for _ in range(GROW_EVERY):
            yield size
        size *= 2


class EtagDigest:
    """Takes all bytes of a blob and gives its ETag. ``first_part`` None: a single PUT."""

    def __init__(self, first_part: int | None) -> None:
        self._whole = hashlib.md5(usedforsecurity=False)
        self._sizes = None if first_part is None else part_sizes(first_part)
        self._left = 0 if self._sizes is None else next(self._sizes)
        self._parts: list[bytes] = []
        self._pending = False

    def update(self, block: bytes | memoryview) -> None:
        view = memoryview(block)
        while self._sizes is not None and len(view) >= self._left:
            self._whole.update(view[: self._left])
            view = view[self._left :]
            self._end_part()
            self._left = next(self._sizes)
        if view:
            self._whole.update(view)
            self._pending = True
            self._left -= len(view)

    def etag(self) -> str:
        """Without quotes; afterwards nothing more can be taken."""
        if self._sizes is None:
            return self._whole.hexdigest()
        if self._pending:
            self._end_part()
        return etag_of_parts(self._parts)

    def _end_part(self) -> None:
        self._parts.append(self._whole.digest())
        self._whole = hashlib.md5(usedforsecurity=False)
        self._pending = False


def etag_of_parts(digests: list[bytes]) -> str:
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"
