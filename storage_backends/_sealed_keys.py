"""Data keys of owners, wrapped by the master key, beside the blobs they seal: whoever has the store and the master key
can read it, and nobody who has only one of them.

``.seal/<owner>/<id>`` and its copy ``.seal/<owner>/<id>.copy`` hold a wrapped key, where <owner> is a digest of the
owner's name. A key is written once and never changed; of two processes that make one at once both are kept, each blob
names its own. Deleting an owner's keys makes its blobs unreadable for good.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator

from gateway.blobstore import BlobStore
from gateway.domain.errors import BackendUnavailable, DamagedBlob, NotFound
from gateway.masterkey import MasterKey, WrongKey
from storage_backends._sealing import KEY_ID_BYTES

RESERVED = ".seal/"
_COPY = ".copy"
_WITNESS = RESERVED + "witness"
_LARGEST = 4096


class DataKeys:
    """``seconds``: a key that was read is looked for again after so long, so that one that was removed by another
    process stops working in this one too."""

    def __init__(self, store: BlobStore, master: MasterKey, seconds: float) -> None:
        self._store = store
        self._master = master
        self._seconds = seconds
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._known: dict[tuple[str, bytes], tuple[bytes, float]] = {}
        self._current: dict[str, tuple[bytes, float]] = {}
        self._witnessed = False

    def current(self, owner: str) -> tuple[bytes, bytes]:
        """(id, key) to seal new blobs of an owner with; made when there is none."""
        self.check()
        folder = _folder(owner)
        with self._lock:
            known = self._current.get(folder)
        if known is not None and time.monotonic() < known[1]:
            return known[0], self.key(owner, known[0])
        with self._making:
            for key_id in self._ids(folder):
                try:
                    key = self.key(owner, key_id)
                except DamagedBlob:
                    continue  # what it sealed is lost here; new blobs must not be
                return self._remember_current(folder, key_id, key)
            return self._make(folder)

    def key(self, owner: str, key_id: bytes) -> bytes:
        """The key that a blob names. NotFound when all keys of its owner were removed; DamagedBlob when this one is
        missing or changed."""
        folder = _folder(owner)
        with self._lock:
            known = self._known.get((folder, key_id))
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        self.check()
        key = self._read(folder, key_id)
        self._remember(folder, key_id, key)
        return key

    def forget(self, owner: str) -> None:
        """Removes all keys of an owner."""
        folder = _folder(owner)
        for info in list(self._store.list(f"{RESERVED}{folder}/")):
            self._store.delete(info.key)
        with self._lock:
            self._current.pop(folder, None)
            for known in [one for one in self._known if one[0] == folder]:
                del self._known[known]

    def check(self) -> None:
        """BackendUnavailable when another master key sealed this store: nothing in it is damaged then, and nothing may
        be written into it."""
        if self._witnessed:
            return
        ours = self._master.fingerprint()
        found = [self._content(key) for key in (_WITNESS, _WITNESS + _COPY)]
        if ours not in found:
            if any(one is not None for one in found):
                raise BackendUnavailable("another master key sealed this storage", retry_after=60)
            for key in (_WITNESS, _WITNESS + _COPY):
                self._write(key, ours)
        self._witnessed = True

    # -- one key ------------------------------------------------------------------------------------------------------

    def _make(self, folder: str) -> tuple[bytes, bytes]:
        key_id, key = os.urandom(KEY_ID_BYTES), os.urandom(32)
        wrapped = self._master.wrap(key, _purpose(folder, key_id))
        place = f"{RESERVED}{folder}/{key_id.hex()}"
        self._write(place + _COPY, wrapped)
        self._write(place, wrapped)
        return self._remember_current(folder, key_id, key)

    def _read(self, folder: str, key_id: bytes) -> bytes:
        place = f"{RESERVED}{folder}/{key_id.hex()}"
        for where in (place, place + _COPY):
            key = self._open(where, _purpose(folder, key_id))
            if key:
                return key
        if next(self._ids(folder), None) is None:
            raise NotFound("the key of this blob was removed")
        raise DamagedBlob("the key of a blob is missing or damaged")

    def _remember(self, folder: str, key_id: bytes, key: bytes) -> None:
        with self._lock:
            self._known[folder, key_id] = key, time.monotonic() + self._seconds

    def _remember_current(self, folder: str, key_id: bytes, key: bytes) -> tuple[bytes, bytes]:
        self._remember(folder, key_id, key)
        with self._lock:
            self._current[folder] = key_id, time.monotonic() + self._seconds
        return key_id, key

    def _ids(self, folder: str) -> Iterator[bytes]:
        prefix = f"{RESERVED}{folder}/"
        names = sorted({info.key.removeprefix(prefix).removesuffix(_COPY) for info in self._store.list(prefix)})
        yield from (bytes.fromhex(name) for name in names)

    # -- wrapped objects ----------------------------------------------------------------------------------------------

    def _open(self, key: str, purpose: str) -> bytes | None:
        """None when it is absent or does not open."""
        try:
            return self._master.unwrap(self._content(key) or b"", purpose)
        except WrongKey:
            return None

    def _content(self, key: str) -> bytes | None:
        """None when it is absent, b"" when the backend itself sees that it is damaged."""
        try:
            with self._store.open(key) as stream:
                return stream.read(_LARGEST)
        except NotFound:
            return None
        except DamagedBlob:
            return b""

    def _write(self, key: str, content: bytes) -> None:
        writer = self._store.writer(key)
        try:
            writer.write(content)
            writer.commit()
        except BaseException:
            writer.abort()
            raise


def _folder(owner: str) -> str:
    return hashlib.sha256(owner.encode()).hexdigest()[:32]


def _purpose(folder: str, key_id: bytes) -> str:
    return f"data key {folder} {key_id.hex()}"
