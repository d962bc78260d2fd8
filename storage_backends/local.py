"""Blobs as plain files on a local file system.

Below ``path`` lie ``blobs/00`` … ``blobs/ff`` (a blob's folder is the first byte of the SHA-256 of its key, its file
name the key with ``+`` for ``/``) and ``staging``, on the same file system. Bytes are written in ``staging``, flushed,
renamed to their place, and the folder is flushed: what a commit returned for survives power loss (RESILIENCE 1).
All folders exist before the first blob, so that a commit never has to flush more than its own.

Settings: ``path`` (default ``<data_dir>/blobs``; a relative one lies below data_dir) and ``fsync`` (default true).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

from gateway.blobstore import BlobInfo, BlobStore, BlobWriter, check_key
from gateway.domain.errors import BackendUnavailable, NotFound, StorageFull

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
PART = ".part"
"""Ends the names of files that a writer of this store holds open and locked; callers who adopt use other names."""


def create(settings: Mapping[str, Any], data_dir: Path) -> BlobStore:
    """The entry point: opens the store, making its folders where they are missing."""
    if unknown := sorted(set(settings) - {"path", "fsync"}):
        raise ValueError(f"{unknown[0]}: unknown setting of the local backend; it knows path and fsync")
    path, fsync = settings.get("path", "blobs"), settings.get("fsync", True)
    if not isinstance(path, str | Path) or not str(path):
        raise ValueError(f"path: {path!r} is no folder")
    if not isinstance(fsync, bool):
        raise ValueError(f"fsync: {fsync!r} is neither true nor false")
    return LocalStore(data_dir / path, fsync=fsync)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turns the system's errors into the domain's; messages tell clients nothing of the paths of this machine."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageFull("the storage is full") from error
        raise BackendUnavailable(f"the storage cannot {doing}: {os.strerror(error.errno or 0)}") from error


def flush_folder(folder: Path) -> None:
    """Makes the entries of a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class LocalStore:
    """The store; also ``Adopting`` and ``LocalPaths`` of :mod:`gateway.blobstore`."""

    def __init__(self, path: Path, *, fsync: bool = True) -> None:
        self._blobs = path / "blobs"
        self.staging = path / "staging"
        self.fsync = fsync
        with translated("be opened"):
            self._make_folders()
            self._sweep()

    def writer(self, key: str) -> BlobWriter:
        return self._writer(key)

    def adopt(self, file: Path, key: str) -> BlobInfo:
        target = self.local_path(key)
        with translated("take a file"):
            os.utime(file)
            self.place(file, target)
            return _info(key, target.stat())

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        if start < 0 or (length is not None and length < 0):
            raise ValueError("start and length may not be negative")
        with self._reading("be read", key):
            file = self.local_path(key).open("rb", buffering=0)
        end = os.fstat(file.fileno()).st_size
        if length is not None:
            end = min(end, start + length)
        return cast(BinaryIO, io.BufferedReader(_Range(file, start, end), 128 * 1024))

    def stat(self, key: str) -> BlobInfo:
        with self._reading("be read", key):
            return _info(key, self.local_path(key).stat())

    def delete(self, key: str) -> None:
        target = self.local_path(key)
        with suppress(NotFound), self._reading("delete", key):
            target.unlink()
            if self.fsync:
                flush_folder(target.parent)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        for number in range(256):
            with translated("be listed"):
                found = list(_folder(self._blobs / f"{number:02x}", prefix))
            yield from found

    def check(self) -> None:
        writer = self._writer(f"check.{secrets.token_hex(8)}")
        try:
            writer.write(bytes(4096))
            writer.flush()
        finally:
            writer.abort()
        with translated("be read"):
            (self._blobs / "00").stat()

    def close(self) -> None:
        """Nothing is held between calls."""

    def local_path(self, key: str) -> Path:
        return _place(self._blobs, key)

    def place(self, file: Path, target: Path) -> None:
        """Renames a flushed file to its place, durably; if that fails nothing new lies there."""
        known = target.exists()
        file.rename(target)
        if self.fsync:
            try:
                flush_folder(target.parent)
            except OSError:
                if not known:
                    with suppress(OSError):
                        target.unlink()
                raise

    def _writer(self, key: str) -> _Writer:
        target = self.local_path(key)
        with translated("begin a file"):
            return _Writer(self, key, target)

    @contextmanager
    def _reading(self, doing: str, key: str) -> Iterator[None]:
        """An absent file is NotFound only if its folder is there: an unmounted disk is no loss of blobs."""
        with translated(doing):
            try:
                yield
            except FileNotFoundError:
                self.local_path(key).parent.stat()
                raise NotFound(f"no blob {key}") from None

    def _make_folders(self) -> None:
        wanted = [self._blobs / f"{number:02x}" for number in range(256)]
        present = {entry.name for entry in os.scandir(self._blobs)} if self._blobs.is_dir() else set()
        for folder in [self.staging, *(one for one in wanted if one.name not in present)]:
            self._make_folder(folder)
        if self.fsync and len(present) < len(wanted):
            flush_folder(self._blobs)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if not folder.parent.is_dir():
            self._make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.fsync and folder.parent != self._blobs:
            flush_folder(folder.parent)

    def _sweep(self) -> None:
        """Removes what writers of dead processes left: living ones hold a lock on their file."""
        for left in self.staging.glob(f"*{PART}"):
            with suppress(OSError), left.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()


class _Writer:
    """Writes to a file in staging whose name starts with the key."""

    def __init__(self, store: LocalStore, key: str, target: Path) -> None:
        self._store, self._key, self._target = store, key, target
        self._file, self._descriptor = _open_staging(store.staging, target.name)
        self._open = True
        self._done: BlobInfo | None = None

    def write(self, block: bytes) -> None:
        if not self._open:
            raise ValueError("the writer has ended")
        rest = memoryview(block)
        with translated("take a block"):
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def flush(self) -> None:
        if self._store.fsync:
            with translated("flush"):
                os.fsync(self._descriptor)

    def commit(self) -> BlobInfo:
        if self._done is not None:
            return self._done
        if not self._open:
            raise ValueError("the writer was aborted")
        with translated("commit"):
            os.utime(self._descriptor)
            self.flush()
            info = _info(self._key, os.fstat(self._descriptor))
            self._store.place(self._file, self._target)
        self._end()
        self._done = info
        return info

    def abort(self) -> None:
        if self._open:
            with suppress(OSError):
                self._file.unlink(missing_ok=True)
            self._end()

    def _end(self) -> None:
        self._open = False
        with suppress(OSError):
            os.close(self._descriptor)

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            self.abort()


class _Range(io.RawIOBase):
    """The bytes from ``start`` to ``end`` of a file that must have them."""

    def __init__(self, file: io.FileIO, start: int, end: int) -> None:
        self._file, self._at, self._end = file, start, end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: max(0, self._end - self._at)]
        if not view:
            return 0
        with translated("be read"):
            count = os.preadv(self._file.fileno(), [view], self._at)
        if count == 0:
            raise BackendUnavailable("the storage ended a blob early")
        self._at += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


@lru_cache(maxsize=1024)
def _place(blobs: Path, key: str) -> Path:
    folder = hashlib.sha256(check_key(key).encode()).hexdigest()[:2]
    return blobs / folder / key.replace("/", "+")


def _open_staging(staging: Path, name: str) -> tuple[Path, int]:
    """A new locked file. One that a sweep unlinked between open and lock is given up for another."""
    while True:
        file = staging / f"{name}.{secrets.token_hex(4)}{PART}"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return file, descriptor
        except OSError:
            os.close(descriptor)
            file.unlink(missing_ok=True)
            raise
        os.close(descriptor)


def _folder(folder: Path, prefix: str) -> Iterator[BlobInfo]:
    with os.scandir(folder) as entries:
        for entry in entries:
            key = entry.name.replace("+", "/")
            if key.startswith(prefix):
                with suppress(FileNotFoundError):
                    yield _info(key, entry.stat(follow_symlinks=False))


def _info(key: str, found: os.stat_result) -> BlobInfo:
    return BlobInfo(key, found.st_size, found.st_mtime_ns // 1_000_000)
