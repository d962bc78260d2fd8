"""The store as the services see it: blobs, small ones that are rows (:mod:`gateway.service.smallblobs`), and blobs that
are composed of others (uploads by parts).

Which segments a composed blob has stands in the database; the store below knows segments only, by their own keys.
Whoever writes a composed blob anew (a restore, the replica that mends) makes it an ordinary one.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from gateway.blobstore import Adopting, BlobInfo, BlobStore, BlobWriter, LocalPaths, owner_of
from gateway.domain.errors import DamagedBlob
from gateway.domain.ids import is_small
from gateway.domain.multipart import Segment, is_composed
from gateway.service.smallblobs import SmallBlobs
from gateway.service.stored import Released
from gateway.service.unit_of_work import Database, Tx

_BUFFER = 128 * 1024


def composed(inner: BlobStore, db: Database, clock: Callable[[], int]) -> Composed:
    """A store over ``inner`` with its abilities."""
    if isinstance(inner, Adopting) and isinstance(inner, LocalPaths):
        return ComposedLocal(inner, db, clock)
    return Composed(inner, db, clock)


def joined(store: BlobStore, segments: Sequence[Segment], start: int = 0, length: int | None = None) -> BinaryIO:
    """A seekable stream of segments, or of a part of what they make."""
    return cast(BinaryIO, io.BufferedReader(Joined(store, segments, start, length), _BUFFER))


class Composed(SmallBlobs):
    """Implements ``BlobStore`` over ``inner``, the configured storage."""

    def __init__(self, inner: BlobStore, db: Database, clock: Callable[[], int]) -> None:
        super().__init__(inner, db, clock)
        self._db = db
        self._clock = clock

    def writer(self, key: str) -> BlobWriter:
        writer = super().writer(key)
        return _Anew(self, writer, key) if is_composed(key) else writer

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        segments = self._segments(key)
        if not segments:
            return super().open(key, start, length)
        return joined(self.inner, segments, start, length)

    def stat(self, key: str) -> BlobInfo:
        segments = self._segments(key)
        if not segments:
            return super().stat(key)
        found = [self.inner.stat(one.blob_id) for one in segments]
        for info, one in zip(found, segments, strict=True):
            if info.size != one.size:
                raise DamagedBlob(f"the segment {info.key} has {info.size} bytes, {one.size} were committed")
        return BlobInfo(key, sum(one.size for one in segments), max(info.modified_at for info in found))

    def delete(self, key: str) -> None:
        """Bytes first, then the rows: a crash between the two repeats the delete, which is no error."""
        for one in self._segments(key):
            self.inner.delete(one.blob_id)
        super().delete(key)
        if is_composed(key):
            self._db.write(lambda tx: tx.multipart.dissolve(key)).result()

    def delete_all(self, keys: Sequence[str]) -> None:
        for key in filter(is_composed, keys):
            self.delete(key)
        super().delete_all([key for key in keys if not is_composed(key)])

    def written_anew(self, key: str) -> None:
        """The store has the whole blob now: its segments are needed no longer."""

        def work(tx: Tx) -> None:
            now = self._clock()
            for one in tx.multipart.dissolve(key):
                tx.blobs.release(Released(one.blob_id, int(owner_of(key), 16), 0, now))

        self._db.write(work).result()

    def _segments(self, key: str) -> Sequence[Segment]:
        return self._db.read(lambda tx: tx.multipart.segments(key)) if is_composed(key) else []


class ComposedLocal(Composed):
    """Over a store that can adopt files and has them on this machine."""

    def __init__(self, inner: BlobStore, db: Database, clock: Callable[[], int]) -> None:
        super().__init__(inner, db, clock)
        assert isinstance(inner, Adopting) and isinstance(inner, LocalPaths)
        self.staging = inner.staging
        self._local_path = inner.local_path

    def adopt(self, file: Path, key: str) -> BlobInfo:
        assert isinstance(self.inner, Adopting)
        return self.inner.adopt(file, key)

    def local_path(self, key: str) -> Path | None:
        """None for what is no file of its own."""
        return None if is_composed(key) or is_small(key) else self._local_path(key)


class _Anew:
    """Writes a composed blob as an ordinary one."""

    def __init__(self, store: Composed, writer: BlobWriter, key: str) -> None:
        self._store = store
        self._writer = writer
        self._key = key

    def write(self, block: bytes) -> None:
        self._writer.write(block)

    def commit(self) -> BlobInfo:
        info = self._writer.commit()
        self._store.written_anew(self._key)
        return info

    def abort(self) -> None:
        self._writer.abort()


class Joined(io.RawIOBase):
    """Segments one after another, each opened when its turn comes. Seekable."""

    def __init__(self, store: BlobStore, segments: Sequence[Segment], start: int, length: int | None) -> None:
        self._store = store
        self._segments = segments
        self._start = start
        self._at = 0
        whole = sum(one.size for one in segments)
        self._size = whole - start if length is None else min(length, whole - start)
        self._stream: BinaryIO | None = None
        self._left = 0
        self.seek(0)  # that the first is gone is told at once

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at if whence == io.SEEK_CUR else 0, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        self._open()
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        if not self._left:
            self._open()
        assert self._stream is not None
        data = self._stream.read(min(wanted, self._left))
        if not data:
            raise DamagedBlob("a segment is shorter than it was")
        buffer[: len(data)] = data
        self._at += len(data)
        self._left -= len(data)
        return len(data)

    def _open(self) -> None:
        """The segment that holds the place, from there on."""
        self._shut()
        if self._at >= self._size:
            return
        begin = self._start + self._at
        for one in self._segments:
            if begin < one.size:
                self._left = min(one.size - begin, self._size - self._at)
                self._stream = self._store.open(one.blob_id, begin, self._left)
                return
            begin -= one.size

    def _shut(self) -> None:
        self._left = 0
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def close(self) -> None:
        self._shut()
        super().close()
