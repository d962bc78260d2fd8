"""A wrapper whose backend sees ciphertext only: AES-256-GCM under a data key of each tenant, wrapped by a master key.

Settings: ``of`` (a backend with its settings), ``master_key`` ({file: PATH}, {env: NAME} or {command: WORDS}; default
``master.key`` in the gateway's folder, made when missing: keep a copy elsewhere), ``previous_master_key`` (the one
before it, until all keys were wrapped anew), ``key_check`` (how soon a removed key stops working in every process,
default 60s). What the backend still sees: keys of blobs (ids; in a replica the tenants'
names), sizes, times. The format is described in ``_sealing``, the keys in ``_sealed_keys``.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from gateway.blobstore import BlobInfo, BlobStore, BlobWriter, PassThrough, Rewrapped, check_key, owner_of
from gateway.domain.errors import DamagedBlob
from gateway.domain.fields import Fields
from gateway.domain.units import parse_duration
from gateway.masterkey import KeyRing, load_key_ring
from storage_backends._sealed_keys import RESERVED, DataKeys
from storage_backends._sealing import (
    HEADER_BYTES,
    SEALED_SEGMENT,
    SEGMENT,
    Cipher,
    key_id_of,
    last_segment,
    new_header,
    plain_size,
)
from storage_backends._wrapping import take_inner

_HEADERS_KEPT = 4096


def create(settings: Mapping[str, Any], data_dir: Path) -> BlobStore:
    """The entry point. ValueError names a bad setting, or says why there is no master key."""
    fields = Fields(settings)
    keys = [fields.take(name, lambda value: value, None) for name in ("master_key", "previous_master_key")]
    seconds = fields.take("key_check", parse_duration, 60.0)
    inner = take_inner(fields, data_dir)
    return SealedStore(inner, load_key_ring(keys[0], keys[1], data_dir), seconds)


class SealedStore(PassThrough):
    """Also ``Forgetting``: removing an owner's keys makes its blobs unreadable; ``stat`` and ``list`` still show them
    until they are deleted."""

    def __init__(self, inner: BlobStore, master: KeyRing, key_seconds: float) -> None:
        super().__init__(inner)
        self.keys = DataKeys(inner, master, key_seconds)
        self._headers: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def writer(self, key: str) -> BlobWriter:
        key_id, data_key = self.keys.current(owner_of(_check(key)))
        header = new_header(key_id)
        return _Writer(self.inner.writer(key), header, Cipher(data_key, header, key))

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        if start < 0 or (length is not None and length < 0):
            raise ValueError("start and length may not be negative")
        if length == 0:
            self.stat(key)
            return io.BytesIO()
        reader = _Reader(self, _check(key), start, None if length is None else start + length)
        return cast(BinaryIO, io.BufferedReader(reader, SEGMENT))

    def stat(self, key: str) -> BlobInfo:
        return _plain(self.inner.stat(_check(key)))

    def delete(self, key: str) -> None:
        self.inner.delete(_check(key))
        with self._lock:
            self._headers.pop(key, None)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        return (_plain(info) for info in self.inner.list(prefix) if not info.key.startswith(RESERVED))

    def check(self) -> None:
        self.keys.check()
        self.inner.check()

    def forget_owner(self, owner: str) -> None:
        self.keys.forget(owner)
        super().forget_owner(owner)

    def rewrap_keys(self, say: Callable[[Rewrapped], None]) -> Rewrapped:
        return self.keys.rewrap(say) + super().rewrap_keys(say)

    # -- for readers --------------------------------------------------------------------------------------------------

    def known_header(self, key: str) -> bytes | None:
        """The header of a blob that was read lately; it is another if the blob was stored anew since."""
        with self._lock:
            return self._headers.get(key)

    def cipher(self, key: str, header: bytes) -> Cipher:
        """What opens a blob with that header. DamagedBlob, NotFound (its key was removed)."""
        data_key = self.keys.key(owner_of(key), key_id_of(header))
        with self._lock:
            self._headers[key] = header
            self._headers.move_to_end(key)
            if len(self._headers) > _HEADERS_KEPT:
                self._headers.popitem(last=False)
        return Cipher(data_key, header, key)


class _Writer:
    """Keeps back one segment, which may be the last."""

    def __init__(self, inner: BlobWriter, header: bytes, cipher: Cipher) -> None:
        self._inner = inner
        self._cipher = cipher
        self._head = header
        self._plain = bytearray()
        self._number = 0
        self._size = 0
        self._open = True
        self._done: BlobInfo | None = None

    def write(self, block: bytes) -> None:
        if not self._open:
            raise ValueError("the writer has ended")
        self._plain += block
        self._size += len(block)
        at = 0
        while len(self._plain) - at > SEGMENT:
            self._send(bytes(memoryview(self._plain)[at : at + SEGMENT]), last=False)
            at += SEGMENT
        del self._plain[:at]

    def commit(self) -> BlobInfo:
        if self._done is None:
            if not self._open:
                raise ValueError("the writer was aborted")
            if self._number >= 0:
                self._send(bytes(self._plain), last=True)
                self._number = -1
            self._done = replace(self._inner.commit(), size=self._size)
            self._open = False
        return self._done

    def _send(self, plain: bytes, *, last: bool) -> None:
        sealed = self._cipher.seal(self._number, plain, last=last)
        self._inner.write(self._head + sealed)
        self._head = b""
        self._number += 1

    def abort(self) -> None:
        if self._open:
            self._open = False
            self._inner.abort()


class _Reader(io.RawIOBase):
    """Opens segments as they come. One byte more than they have is asked for: if it comes, they do not end the blob."""

    def __init__(self, store: SealedStore, key: str, start: int, end: int | None) -> None:
        self._store, self._key = store, key
        self._at, self._end = start, end
        self._plain = memoryview(b"")
        self._ahead = b""
        self._ended = False
        self._number = start // SEGMENT
        self._stream: BinaryIO | None = None
        header = store.known_header(key) if self._number else None
        self._fresh = header is None
        self._begin(header)

    def _begin(self, header: bytes | None) -> None:
        """Opens the sealed bytes from the segment of ``_at`` on, and reads the header where it is not known."""
        self._drop()
        first = HEADER_BYTES + self._number * SEALED_SEGMENT
        if header is None and self._number:
            with self._store.inner.open(self._key, 0, HEADER_BYTES) as stream:
                header = stream.read(HEADER_BYTES)
        start = 0 if header is None else first
        length = None
        if self._end is not None:
            last = last_segment(self._end)
            length = HEADER_BYTES + (last + 1) * SEALED_SEGMENT + 1 - start
        self._stream = self._store.inner.open(self._key, start, length)
        if header is None:
            header = self._stream.read(HEADER_BYTES)
        self._cipher = self._store.cipher(self._key, header)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._plain:
            if self._ended or (self._end is not None and self._at >= self._end):
                return 0
            self._next()
        count = min(len(buffer), len(self._plain))
        buffer[:count] = self._plain[:count]
        self._plain = self._plain[count:]
        self._at += count
        return count

    def _next(self) -> None:
        """The plain bytes of the next segment, cut to the range."""
        assert self._stream is not None
        sealed = self._ahead + self._stream.read(SEALED_SEGMENT + 1 - len(self._ahead))
        self._ahead = sealed[SEALED_SEGMENT:]
        if not sealed and not self._number:
            raise DamagedBlob("a blob is cut off")
        if not sealed:
            self._see_end()
            return
        try:
            plain = self._cipher.open(self._number, sealed[:SEALED_SEGMENT], last=not self._ahead)
        except DamagedBlob:
            if self._fresh:
                raise
            self._fresh = True  # it may have been stored anew since its header was read
            self._begin(None)
            return
        self._fresh, self._ended = True, not self._ahead
        begins = self._number * SEGMENT
        until = len(plain) if self._end is None else self._end - begins
        self._plain = memoryview(plain)[self._at - begins : until]
        self._number += 1

    def _see_end(self) -> None:
        """Nothing is stored where the range begins: so the blob ends before, if its end is its end."""
        size = self._store.inner.stat(self._key).size
        number = last_segment(plain_size(size))
        if number >= self._number:
            raise DamagedBlob("a blob is cut off")
        with self._store.inner.open(self._key, HEADER_BYTES + number * SEALED_SEGMENT) as stream:
            self._cipher.open(number, stream.read(SEALED_SEGMENT + 1), last=True)
        self._ended = True

    def _drop(self) -> None:
        stream, self._stream, self._ahead = self._stream, None, b""
        if stream is not None:
            stream.close()

    def close(self) -> None:
        self._drop()
        super().close()


def _check(key: str) -> str:
    if check_key(key).startswith(RESERVED):
        raise ValueError(f"{key!r} is a key of the sealed storage itself")
    return key


def _plain(info: BlobInfo) -> BlobInfo:
    return replace(info, size=plain_size(info.size))
