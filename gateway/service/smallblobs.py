"""Small contents as rows: committed with the version that names them, read and swept as blobs like any other.

Only a plain local storage has rows beside it. Where the bytes are sealed or lie elsewhere, they all do; and what moved
there (``kurado storage migrate``) keeps its id, so that a blob which is no row is looked for in the storage.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import BinaryIO

from gateway.blobstore import BlobInfo, BlobStore, BlobWriter, PassThrough, check_key
from gateway.domain.errors import NotFound
from gateway.domain.ids import is_small
from gateway.service.unit_of_work import Database

_PAGE = 500


class Rows:
    """A ``BlobStore`` whose blobs are rows of the database."""

    def __init__(self, db: Database, clock: Callable[[], int]) -> None:
        self._db = db
        self._clock = clock

    def writer(self, key: str) -> BlobWriter:
        return _RowWriter(self, check_key(key))

    def put(self, key: str, data: bytes) -> BlobInfo:
        """Stores a blob by itself. Bytes that come with a version are put by its transaction."""
        now = self._clock()
        self._db.write(lambda tx: tx.small.put(key, data, now)).result()
        return BlobInfo(key, len(data), now)

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        if start < 0 or (length is not None and length < 0):
            raise ValueError("start and length may not be negative")
        data = self.read(key)
        return io.BytesIO(data[start : len(data) if length is None else start + length])

    def read(self, key: str) -> bytes:
        """All of a blob; NotFound."""
        data = self._db.read(lambda tx: tx.small.get(check_key(key)))
        if data is None:
            raise NotFound(f"no blob {key}")
        return data

    def stat(self, key: str) -> BlobInfo:
        found = self._db.read(lambda tx: tx.small.stat(check_key(key)))
        if found is None:
            raise NotFound(f"no blob {key}")
        return found

    def known(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that are rows."""
        return self._db.read(lambda tx: tx.small.known(keys)) if keys else set()

    def delete(self, key: str) -> None:
        check_key(key)
        self._db.write(lambda tx: tx.small.remove(key)).result()

    def delete_all(self, keys: Sequence[str]) -> None:
        if keys:
            self._db.write(lambda tx: tx.small.remove_all(keys)).result()

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        page = self._page(prefix, "")
        while page:
            yield from page
            page = self._page(prefix, page[-1].key)

    def _page(self, prefix: str, after: str) -> Sequence[BlobInfo]:
        return self._db.read(lambda tx: tx.small.list(prefix, after, _PAGE))

    def check(self) -> None:
        self._db.check()

    def close(self) -> None:
        """The database is not ours."""


class SmallBlobs(PassThrough):
    """A store over ``inner``, the configured storage, with the rows beside it."""

    def __init__(self, inner: BlobStore, db: Database, clock: Callable[[], int]) -> None:
        super().__init__(inner)
        self.rows = Rows(db, clock)

    @property
    def takes_small(self) -> bool:
        """Whether new small blobs are to be rows: asked for each, for the storage may change (``Switching``)."""
        # by name: to ask isinstance of a protocol costs as much as a statement
        return hasattr(getattr(self.inner, "current", self.inner), "adopt")

    def writer(self, key: str) -> BlobWriter:
        return self.rows.writer(key) if is_small(key) and self.takes_small else self.inner.writer(key)

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        if is_small(key):
            try:
                return self.rows.open(key, start, length)
            except NotFound:
                pass
        return self.inner.open(key, start, length)

    def stat(self, key: str) -> BlobInfo:
        if is_small(key):
            try:
                return self.rows.stat(key)
            except NotFound:
                pass
        return self.inner.stat(key)

    def delete(self, key: str) -> None:
        """Both: one that moves is in either place for a while. The row first, as whoever copies it looks there again
        after the copy."""
        if is_small(key):
            self.rows.delete(key)
        self.inner.delete(key)

    def delete_all(self, keys: Sequence[str]) -> None:
        """As ``delete``: the rows of all together."""
        self.rows.delete_all([key for key in keys if is_small(key)])
        for key in keys:
            self.inner.delete(key)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        yield from self.rows.list(prefix)
        stored = self.inner.list(prefix)
        while some := list(islice(stored, _PAGE)):
            rows = self.rows.known([info.key for info in some if is_small(info.key)])
            yield from (info for info in some if info.key not in rows)


class _RowWriter:
    def __init__(self, rows: Rows, key: str) -> None:
        self._rows = rows
        self._key = key
        self._blocks: list[bytes] | None = []
        self._done: BlobInfo | None = None

    def write(self, block: bytes) -> None:
        if self._blocks is None:
            raise ValueError("the writer has ended")
        self._blocks.append(bytes(block))

    def commit(self) -> BlobInfo:
        if self._done is not None:
            return self._done
        if self._blocks is None:
            raise ValueError("the writer was aborted")
        self._done = self._rows.put(self._key, b"".join(self._blocks))
        self._blocks = None
        return self._done

    def abort(self) -> None:
        self._blocks = None
