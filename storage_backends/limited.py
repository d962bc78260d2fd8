"""A wrapper that spares its backend: so many bytes a second each way, so many calls at once.

Settings: ``of`` (a backend with its settings), ``upload`` and ``download`` (bytes a second, such as 20MB; default
unlimited), ``concurrency`` (calls at once, default unlimited), ``wait`` (how long a call waits for its turn before it
is refused, default 15s). The limits hold for one process: a gateway has one for each gate, a steward and a desk.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from gateway.blobstore import BlobInfo, BlobStore, BlobWriter, PassThrough
from gateway.domain.errors import BackendUnavailable
from gateway.domain.fields import Fields, integer
from gateway.domain.units import parse_duration, parse_size
from storage_backends._wrapping import take_inner

PIECE = 64 * 1024
"""Bytes go in pieces of this size at most, so that they flow instead of coming in bursts."""


def create(settings: Mapping[str, Any], data_dir: Path) -> BlobStore:
    """The entry point. ValueError names a bad setting."""
    fields = Fields(settings)
    upload = fields.take("upload", _rate, None)
    download = fields.take("download", _rate, None)
    slots = Slots(fields.take("concurrency", integer(1, 10_000), None), fields.take("wait", parse_duration, 15.0))
    return LimitedStore(take_inner(fields, data_dir), Flow(upload), Flow(download), slots)


def _rate(value: object) -> int:
    rate = parse_size(value)
    if rate < 1:
        raise ValueError("is no number of bytes a second")
    return rate


class Flow:
    """Lets bytes pass at a rate (bytes a second; None: at once). Who comes later waits for those before."""

    def __init__(
        self,
        rate: int | None,
        timer: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._timer = timer
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at = 0.0

    def take(self, size: int) -> None:
        """Returns when so many bytes may pass."""
        if self._rate is None:
            return
        with self._lock:
            now = self._timer()
            begins = max(now, self._free_at)
            self._free_at = begins + size / self._rate
        if begins > now:
            self._sleep(begins - now)


class Slots:
    """At most ``number`` calls at once (None: any number); who gets no turn within ``wait`` seconds is refused."""

    def __init__(self, number: int | None, wait: float) -> None:
        self._free = None if number is None else threading.BoundedSemaphore(number)
        self._wait = wait

    @contextmanager
    def one(self) -> Iterator[None]:
        if self._free is None:
            yield
            return
        if not self._free.acquire(timeout=self._wait):
            raise BackendUnavailable("the storage has more to do than it is allowed at once")
        try:
            yield
        finally:
            self._free.release()


class LimitedStore(PassThrough):
    """A turn is held for one call, never for the life of a writer or a stream: nobody waits for a slow client."""

    def __init__(self, inner: BlobStore, upload: Flow, download: Flow, slots: Slots) -> None:
        super().__init__(inner)
        self.upload, self.download, self.slots = upload, download, slots

    def writer(self, key: str) -> BlobWriter:
        with self.slots.one():
            return _Writer(self, self.inner.writer(key))

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        with self.slots.one():
            stream = self.inner.open(key, start, length)
        return cast(BinaryIO, io.BufferedReader(_Reader(self, stream), PIECE))

    def stat(self, key: str) -> BlobInfo:
        with self.slots.one():
            return self.inner.stat(key)

    def delete(self, key: str) -> None:
        with self.slots.one():
            self.inner.delete(key)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        found = self.inner.list(prefix)
        while True:
            with self.slots.one():
                info = next(found, None)
            if info is None:
                return
            yield info

    def check(self) -> None:
        with self.slots.one():
            self.inner.check()


class _Writer:
    def __init__(self, store: LimitedStore, inner: BlobWriter) -> None:
        self._store, self._inner = store, inner

    def write(self, block: bytes) -> None:
        for start in range(0, len(block) or 1, PIECE):
            piece = block[start : start + PIECE]
            self._store.upload.take(len(piece))
            with self._store.slots.one():
                self._inner.write(piece)

    def commit(self) -> BlobInfo:
        with self._store.slots.one():
            return self._inner.commit()

    def abort(self) -> None:
        self._inner.abort()


class _Reader(io.RawIOBase):
    def __init__(self, store: LimitedStore, stream: BinaryIO) -> None:
        self._store, self._stream = store, stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._store.slots.one():
            data = self._stream.read(min(len(buffer), PIECE))
        self._store.download.take(len(data))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()
