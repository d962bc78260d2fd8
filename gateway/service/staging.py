"""The bytes of an upload while they wait for their inspection: in memory while they are few, then in a file."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from gateway.blobstore import Adopting, BlobStore
from gateway.domain.errors import BackendUnavailable, IncompleteBody, StorageFull
from gateway.domain.ids import SMALL_BYTES
from gateway.service.digesting import Block
from gateway.service.directio import set_direct

DIRECT_BYTES = 8 * 1024 * 1024
"""From so many bytes on a file goes to the disk past the page cache: to copy it there costs as much as to receive it,
to flush it afterwards keeps the client waiting, and small commits behind it. What is smaller is soon read again."""
_ALIGNED = 4096
_COPY_BLOCK = 1024 * 1024


class Staging:
    """``write`` any number of times, then ``end``; ``discard`` is always safe. Bytes that memory is not for go to the
    file ``name`` in ``folder``; ``flush`` False: it need not survive a power loss.

    All methods raise StorageFull and BackendUnavailable for what a local disk can do to us.
    """

    def __init__(self, folder: Path, name: str, *, flush: bool) -> None:
        self.size = 0
        self._folder = folder
        self._name = name
        self._flush = flush
        self._file: FileIO | None = None
        self._memory = b""
        self._has_path = False
        self._is_direct = False

    @property
    def _path(self) -> Path:
        return self._folder / self._name

    @property
    def content(self) -> bytes | None:
        """All bytes, where they are in memory."""
        return self._memory if self._file is None else None

    def expect(self, size: int) -> None:
        """So many bytes are to come: that they cannot be written is told now."""
        if size > SMALL_BYTES:
            file = self._begin_file()
            self._is_direct = size >= DIRECT_BYTES and set_direct(file, True)

    def write(self, block: Block) -> None:
        self.size += len(block)
        if self._file is None and self.size <= SMALL_BYTES:
            self._memory += block
            return
        file = self._file or self._begin_file()
        with _translated():
            if self._is_direct:
                block = self._write_direct(file, memoryview(block))
            _write(file, block)

    def end(self) -> None:
        """All bytes are there: makes those in a file durable."""
        if self._file is not None:
            with _translated():
                if self._flush:
                    os.fsync(self._file.fileno())
                self._file.close()

    def path(self) -> str:
        """A file of the bytes, for who needs one; to be called after ``end``."""
        if not self._has_path:
            self._has_path = True  # also of a part, when the disk is full
            with _translated():
                self._path.write_bytes(self._memory)
        return str(self._path)

    def publish(self, store: BlobStore, key: str) -> None:
        """Makes the bytes a blob of the store, durably; IncompleteBody when it has fewer then."""
        if self._file is not None and isinstance(store, Adopting):
            store.adopt(self._path, key)
            return
        writer = store.writer(key)
        try:
            for block in self._blocks():
                writer.write(block)
            info = writer.commit()
        except BaseException:
            writer.abort()
            raise
        if info.size != self.size:
            raise IncompleteBody("the storage took fewer bytes than it was given")

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._has_path:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    def _begin_file(self) -> FileIO:
        with _translated():
            self._file = FileIO(self._path, "xb")
            self._has_path = True
            _write(self._file, self._memory)
        self._memory = b""
        return self._file

    def _write_direct(self, file: FileIO, block: memoryview) -> memoryview:
        """Writes what can be written directly, and returns the rest, which ends that: a last piece that fills no
        sector, or bytes from a place in memory that the disk cannot take them from."""
        rest = block
        try:
            while len(rest) >= _ALIGNED:
                rest = rest[file.write(rest[: len(rest) // _ALIGNED * _ALIGNED]) :]
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        if rest:
            self._is_direct = False
            set_direct(file, False)
        return rest

    def _blocks(self) -> Iterator[bytes]:
        if self._file is None:
            yield self._memory
            return
        with self._path.open("rb") as source:
            while block := source.read(_COPY_BLOCK):
                yield block


def _write(file: FileIO, block: Block) -> None:
    view = memoryview(block)
    while view:
        view = view[file.write(view) :]


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turns what a local disk can do to us into the domain's words."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFull("the storage of this gateway is full") from None
        raise BackendUnavailable("the staging folder cannot be written") from error
