"""A wrapper that tries again, with growing pauses, what its backend could not do; streams go on where they were cut.

Settings: ``of`` (a backend with its settings), ``attempts`` (default 4), ``pause`` (before the second attempt, default
200ms; doubled each time), ``deadline`` (no new attempt after it, default 15s). The bytes of a blob wait in a temporary
file (in memory up to 1 MiB) until its commit, so that they can be sent again.
"""

from __future__ import annotations

import errno
import io
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from gateway.blobstore import BlobInfo, BlobStore, BlobWriter, PassThrough, check_key
from gateway.domain.errors import BackendUnavailable, DamagedBlob, StorageFull
from gateway.domain.fields import Fields, integer
from gateway.domain.units import parse_duration
from storage_backends._wrapping import take_inner

IN_MEMORY = 1024 * 1024
_BLOCK = 1024 * 1024

T = TypeVar("T")


def create(settings: Mapping[str, Any], data_dir: Path) -> BlobStore:
    """The entry point. ValueError names a bad setting."""
    fields = Fields(settings)
    attempts = fields.take("attempts", integer(1, 100), 4)
    pause = fields.take("pause", parse_duration, 0.2)
    deadline = fields.take("deadline", parse_duration, 15.0)
    return RetryingStore(take_inner(fields, data_dir), data_dir, attempts, pause, deadline)


class RetryingStore(PassThrough):
    """Times in seconds. ``check`` is not tried again: it asks whether a blob could be stored now."""

    def __init__(self, inner: BlobStore, data_dir: Path, attempts: int, pause: float, deadline: float) -> None:
        super().__init__(inner)
        self.spool = data_dir
        self._attempts = attempts
        self._pause = pause
        self._deadline = deadline

    def writer(self, key: str) -> BlobWriter:
        return _Writer(self, check_key(key))

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        first = self.persist(lambda: self.inner.open(key, start, length))
        return cast(BinaryIO, io.BufferedReader(_Reader(self, key, first, start, length), 128 * 1024))

    def stat(self, key: str) -> BlobInfo:
        return self.persist(lambda: self.inner.stat(key))

    def delete(self, key: str) -> None:
        self.persist(lambda: self.inner.delete(key))

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """A listing that was cut begins anew, without what was given already; what it gave counts as success."""
        seen: set[str] = set()
        tries = Tries(self._attempts, self._pause, self._deadline)
        while True:
            try:
                for info in self.inner.list(prefix):
                    if info.key not in seen:
                        seen.add(info.key)
                        tries = Tries(self._attempts, self._pause, self._deadline)
                        yield info
                return
            except BackendUnavailable as error:
                tries.wait(error)

    def persist(self, work: Callable[[], T]) -> T:
        """Does it until it works, the attempts are used up or the deadline has passed."""
        tries = Tries(self._attempts, self._pause, self._deadline)
        while True:
            try:
                return work()
            except BackendUnavailable as error:
                tries.wait(error)


class Tries:
    """One call's attempts."""

    def __init__(self, attempts: int, pause: float, deadline: float) -> None:
        self._left = attempts - 1
        self._pause = pause
        self._end = time.monotonic() + deadline

    def wait(self, error: BackendUnavailable) -> None:
        """Waits before the next attempt; raises ``error`` when there is none. Damaged bytes stay damaged."""
        pause = self._pause * random.uniform(0.7, 1.3)  # so that many that failed together do not come back together
        if isinstance(error, DamagedBlob) or self._left <= 0 or time.monotonic() + pause > self._end:
            raise error
        time.sleep(pause)
        self._left -= 1
        self._pause *= 2


class _Writer:
    def __init__(self, store: RetryingStore, key: str) -> None:
        self._store, self._key = store, key
        with _spooling():
            self._bytes = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(store.spool))  # noqa: SIM115 - closed at the end
        self._open = True
        self._done: BlobInfo | None = None

    def write(self, block: bytes) -> None:
        if not self._open:
            raise ValueError("the writer has ended")
        with _spooling():
            self._bytes.write(block)

    def commit(self) -> BlobInfo:
        if self._done is None:
            if not self._open:
                raise ValueError("the writer was aborted")
            self._done = self._store.persist(self._send)
            self.abort()
        return self._done

    def _send(self) -> BlobInfo:
        writer = self._store.inner.writer(self._key)
        try:
            with _spooling():
                self._bytes.seek(0)
            while block := self._bytes.read(_BLOCK):
                writer.write(block)
            return writer.commit()
        except BaseException:
            writer.abort()
            raise

    def abort(self) -> None:
        self._open = False
        self._bytes.close()

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            self.abort()


class _Reader(io.RawIOBase):
    def __init__(self, store: RetryingStore, key: str, stream: BinaryIO, start: int, length: int | None) -> None:
        self._store, self._key = store, key
        self._stream: BinaryIO | None = stream
        self._at = start
        self._left = length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._store.persist(lambda: self._read(len(buffer)))
        buffer[: len(data)] = data
        self._at += len(data)
        if self._left is not None:
            self._left -= len(data)
        return len(data)

    def _read(self, size: int) -> bytes:
        if self._stream is None:
            self._stream = self._store.inner.open(self._key, self._at, self._left)
        try:
            return self._stream.read(size)
        except BackendUnavailable:
            stream, self._stream = self._stream, None
            stream.close()
            raise

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        super().close()


@contextmanager
def _spooling() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFull("the disk of this gateway is full") from error
        raise BackendUnavailable("the disk of this gateway cannot be written") from error
