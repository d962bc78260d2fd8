"""Data keys of owners, wrapped by the master key, beside the blobs they seal: whoever has the store and the master key
can read it, and nobody who has only one of them.

``.seal/<owner>/<id>`` and its copy ``.seal/<owner>/<id>.copy`` hold a wrapped key, where <owner> is a digest of the
owner's name. A key is written once and never changed; of two processes that make one at once both are kept, each blob
names its own. Deleting an owner's keys makes its blobs unreadable for good.

``.seal/witness`` (and its copy) tells the master key in force, ``.seal/witness.<n>`` the one after its n-th change.
Keys that a later master key wraps lie at ``.seal/<owner>/<id>.<its print>``, so that nothing is ever written over.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from itertools import groupby

from gateway.blobstore import BlobStore, Rewrapped
from gateway.domain.errors import BackendUnavailable, DamagedBlob, NotFound
from gateway.masterkey import KeyRing, MasterKey, WrongKey
from storage_backends._sealing import KEY_ID_BYTES

RESERVED = ".seal/"
_COPY = ".copy"
_WITNESS = RESERVED + "witness"
_LARGEST = 4096


class DataKeys:
    """``seconds``: a key that was read is looked for again after so long, so that one that was removed by another
    process stops working in this one too."""

    def __init__(self, store: BlobStore, ring: KeyRing, seconds: float) -> None:
        self._store = store
        self._ring = ring
        self._seconds = seconds
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._known: dict[tuple[str, bytes], tuple[bytes, float]] = {}
        self._current: dict[str, tuple[bytes, float]] = {}
        self._force: tuple[int, MasterKey] | None = None
        """The master key in force when the witness was looked at last, and how many were in force before it."""

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
        """Removes all keys of an owner, those too that are wrapped anew meanwhile."""
        folder = _folder(owner)
        while found := list(self._store.list(f"{RESERVED}{folder}/")):
            for info in found:
                self._store.delete(info.key)
        with self._lock:
            self._current.pop(folder, None)
            for known in [one for one in self._known if one[0] == folder]:
                del self._known[known]

    # -- master keys --------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """BackendUnavailable when another master key sealed this store: nothing in it is damaged then, and nothing may
        be written into it."""
        if self._force is None:
            self._look()

    def _look(self) -> tuple[int, MasterKey]:
        """The master key that is in force now; a new store gets ours. BackendUnavailable when we have it not."""
        numbers = [number for number, _ in self._witnesses()]
        if not numbers:
            self._testify(0)
        number = max(numbers, default=0)
        place = _witness(number)
        found = [self._content(key) for key in (place, place + _COPY)]
        for master in self._ring.keys:
            if master.fingerprint() in found:
                self._force = number, master
                return self._force
        self._force = None
        raise BackendUnavailable("another master key sealed this storage", retry_after=60)

    def _testify(self, number: int) -> None:
        ours, place = self._ring.current.fingerprint(), _witness(number)
        for key in (place + _COPY, place):
            if self._content(key) != ours:
                self._write(key, ours)

    def _witnesses(self) -> list[tuple[int, str]]:
        """Number and key of each, copies too."""
        keys = [info.key for info in self._store.list(_WITNESS)]
        return [(int(key.removeprefix(_WITNESS).removesuffix(_COPY).lstrip(".") or 0), key) for key in keys]

    def rewrap(self, say: Callable[[Rewrapped], None]) -> Rewrapped:
        """Puts our master key in force and wraps all keys by it. Whoever makes a key looks at the witness before and
        after, so one that a pass does not see is wrapped anew by its maker."""
        number, master = self._look()
        self._testify(number if master is self._ring.current else number + 1)
        number, _ = self._look()
        done = Rewrapped()
        for (folder, key_id), found in groupby(sorted(self._stored()), lambda one: one[:2]):
            done += self._rewrap(folder, key_id, [name for _, _, name in found])
            say(done)
        for older, key in self._witnesses():
            if older < number:
                self._store.delete(key)
        return done

    def _stored(self) -> Iterator[tuple[str, bytes, str]]:
        """Owner's folder, id and place of all that is stored of keys."""
        for info in self._store.list(RESERVED):
            if not info.key.startswith(_WITNESS):
                folder, name = info.key.removeprefix(RESERVED).split("/")
                yield folder, bytes.fromhex(name.partition(".")[0]), info.key

    def _rewrap(self, folder: str, key_id: bytes, found: list[str]) -> Rewrapped:
        purpose, place = _purpose(folder, key_id), self._place(folder, key_id)
        ours = [place + _COPY, place]
        old = [name for name in found if name not in ours]
        if not old and set(found) == set(ours):
            return Rewrapped(kept=1)
        key = next(filter(None, (self._open(name, purpose) for name in found)), None)
        if key is None:
            return Rewrapped(lost=1)
        self._keep(place, key, self._ring.current, purpose)
        if old and all(self._content(name) is None for name in old):
            old = ours  # its owner was forgotten meanwhile: it must not come back
        for name in old:
            self._store.delete(name)
        return Rewrapped(wrapped=1)

    # -- one key ------------------------------------------------------------------------------------------------------

    def _make(self, folder: str) -> tuple[bytes, bytes]:
        key_id, key = os.urandom(KEY_ID_BYTES), os.urandom(32)
        places: list[str] = []
        force = None
        while force != (now := self._look()):  # again when another was put in force meanwhile
            force = now
            places.append(self._place(folder, key_id))
            self._keep(places[-1], key, force[1], _purpose(folder, key_id))
        for place in places[:-1]:
            for name in (place, place + _COPY):
                self._store.delete(name)
        return self._remember_current(folder, key_id, key)

    def _keep(self, place: str, key: bytes, master: MasterKey, purpose: str) -> None:
        """Stores a key and its copy where they are not yet."""
        for name in (place + _COPY, place):
            if self._open(name, purpose) != key:
                self._write(name, master.wrap(key, purpose))
                if self._open(name, purpose) != key:
                    raise BackendUnavailable("the storage gave back another key than it was given")

    def _place(self, folder: str, key_id: bytes) -> str:
        """Where a key lies that the master key in force wraps."""
        assert self._force is not None
        return self._place_under(folder, key_id, *self._force)

    def _place_under(self, folder: str, key_id: bytes, number: int, master: MasterKey) -> str:
        place = f"{RESERVED}{folder}/{key_id.hex()}"
        return f"{place}.{master.fingerprint().hex()[:16]}" if number else place

    def _places(self, folder: str, key_id: bytes) -> Iterator[str]:
        """Where it may lie, the likeliest first."""
        number, force = self._force or self._look()
        if number:
            for master in (force, *(one for one in self._ring.keys if one is not force)):
                yield self._place_under(folder, key_id, number, master)
        yield self._place_under(folder, key_id, 0, force)

    def _read(self, folder: str, key_id: bytes) -> bytes:
        key = self._find(folder, key_id)
        if key is None:
            self._look()  # it may have been wrapped anew since
            key = self._find(folder, key_id)
        if key is not None:
            return key
        if next(self._ids(folder), None) is None:
            raise NotFound("the key of this blob was removed")
        raise DamagedBlob("the key of a blob is missing or damaged")

    def _find(self, folder: str, key_id: bytes) -> bytes | None:
        names = (name for place in self._places(folder, key_id) for name in (place, place + _COPY))
        return next(filter(None, (self._open(name, _purpose(folder, key_id)) for name in names)), None)

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
        names = sorted({info.key.removeprefix(prefix).partition(".")[0] for info in self._store.list(prefix)})
        yield from (bytes.fromhex(name) for name in names)

    # -- wrapped objects ----------------------------------------------------------------------------------------------

    def _open(self, key: str, purpose: str) -> bytes | None:
        """None when it is absent or does not open."""
        try:
            return self._ring.unwrap(self._content(key) or b"", purpose)
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


def _witness(number: int) -> str:
    return f"{_WITNESS}.{number}" if number else _WITNESS


def _folder(owner: str) -> str:
    return hashlib.sha256(owner.encode()).hexdigest()[:32]


def _purpose(folder: str, key_id: bytes) -> str:
    return f"data key {folder} {key_id.hex()}"
