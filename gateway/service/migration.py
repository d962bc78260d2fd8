"""Moves all blobs of a running gateway from one storage to another (``kurado storage migrate``).

From the first moment new blobs go to the target and every blob is found in either. Each one is copied, read back from
the target and compared with the digest that was committed, and deleted at the source when readers that had found it
there have had their time. So the source shrinks, and a move that was broken off goes on with what is left there.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, BinaryIO

from gateway.blobstore import Adopting, BlobStore
from gateway.domain.errors import ActRefused, BackendUnavailable, DamagedBlob, NotFound
from gateway.domain.replicalog import OWNER
from gateway.service.damages import Damages
from gateway.service.smallblobs import SmallBlobs
from gateway.service.switching import FOLLOW_SECONDS, MOVED, MOVING, Route, Switching
from gateway.service.unit_of_work import Database

ROUTE = "storage.route"
GRACE_SECONDS = 60.0
_BLOCK = 1024 * 1024
_BATCH = 200


@dataclass
class Progress:
    """Counts of this run: ``blobs`` and ``bytes`` verified at the target, ``released`` deleted at the source,
    ``failed`` ids that could not be moved, each with the reason. ``finished``: nothing is left at the source."""

    to: str
    leaves: str
    blobs: int = 0
    bytes: int = 0
    released: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    finished: bool = False


class Migration:
    def __init__(self, db: Database, store: BlobStore, damages: Damages, clock: Callable[[], int]) -> None:
        self._db = db
        self._store = store
        self._damages = damages
        self._clock = clock

    # -- the route ----------------------------------------------------------------------------------------------------

    def route(self) -> Route | None:
        """Where blobs go, as the database has it; None when they never moved."""
        return read_route(self._db)

    def begin(self, to: str) -> Route:
        """Turns writing to the storage ``to``. NotFound when gateway.yaml names none of that name; ActRefused when it
        cannot be the target: it is the same place, or somebody's replica. What it raises changed nothing."""
        store = self._store
        if not isinstance(store, Switching) or to not in store.stores:
            raise NotFound(f"gateway.yaml names no storage {to!r} below `storages`")
        route = store.look()
        if route.writes != to:
            self._check_target(store.current, store.stores[to])
            route = Route(to, route.writes, MOVING, self._clock())
        elif route.leaves in store.stores and route.leaves != to:
            route = replace(route, phase=MOVING)
        else:
            return route
        self._set(route)
        return store.look()

    def _check_target(self, source: BlobStore, target: BlobStore) -> None:
        target.check()
        if next(iter(target.list(OWNER)), None) is not None:
            raise ActRefused("that place holds a replica: a storage needs a place of its own")
        probe = f"probe.{secrets.token_hex(8)}"
        _put(target, probe, [b"is this the same place?"])
        try:
            source.stat(probe)
        except NotFound:
            return
        finally:
            target.delete(probe)
        raise ActRefused("both storages are the same place")

    def _set(self, route: Route) -> None:
        self._db.write(lambda tx: tx.system.set_meta(ROUTE, route.text())).result()

    # -- moving -------------------------------------------------------------------------------------------------------

    def run(
        self,
        to: str,
        say: Callable[[Progress], None] = lambda _: None,
        *,
        grace: float = GRACE_SECONDS,
        workers: int = 4,
    ) -> Progress:
        """Moves everything. BackendUnavailable and StorageFull when a storage does not work: run it again then."""
        route = self.begin(to)
        done = Progress(to, route.leaves)
        store = self._store
        if not isinstance(store, Switching) or route.leaves not in store.stores or route.leaves == to:
            done.finished = True
            return done
        source, target = store.stores[route.leaves], store.stores[to]
        if not isinstance(target, Adopting):
            # rows stand beside a plain local storage only: elsewhere all bytes lie where the operator wants them
            source = SmallBlobs(source, self._db, self._clock)
        mover = _Mover(self, source, target, done, grace, say)
        time.sleep(FOLLOW_SECONDS * 2)  # until then other processes may begin blobs at the source
        with ThreadPoolExecutor(workers, thread_name_prefix="move") as pool:
            mover.run(pool)
        done.finished = next(iter(source.list()), None) is None
        phase = MOVED if done.finished else MOVING
        self._set(replace(route, phase=phase, blobs=route.blobs + done.blobs, bytes=route.bytes + done.bytes))
        store.look()
        return done

    def digests(self, keys: list[str]) -> dict[str, str]:
        """SHA-256 of those blobs that a version names."""
        found = self._db.read(lambda tx: tx.nodes.digests(keys))
        return {key: sha256 for key, (_, sha256) in found.items()}

    def report(self, key: str, error: DamagedBlob) -> None:
        self._damages.report(key, error.message)


class _Mover:
    """One run from ``source`` to ``target``."""

    def __init__(
        self,
        migration: Migration,
        source: BlobStore,
        target: BlobStore,
        done: Progress,
        grace: float,
        say: Callable[[Progress], None],
    ) -> None:
        self._migration = migration
        self._source, self._target = source, target
        self._done = done
        self._grace = grace
        self._say = say
        self._said_at = 0.0
        self._waiting: deque[tuple[float, str]] = deque()
        self._verified: set[str] = set()

    def run(self, pool: ThreadPoolExecutor) -> None:
        """Passes over the source until one finds nothing new; what failed is tried once in each pass."""
        while self._pass(pool) or self._waiting:
            while self._waiting:
                self._release(wait=True)
                self._tell()

    def _pass(self, pool: ThreadPoolExecutor) -> int:
        """Returns how many blobs were moved."""
        before = self._done.blobs
        fresh = (info.key for info in self._source.list() if info.key not in self._verified)
        for keys in _batches(fresh, _BATCH):
            known = self._migration.digests(keys)
            for key, size in zip(keys, pool.map(lambda key: self._move(key, known.get(key, "")), keys), strict=True):  # noqa: B023
                if size is not None:
                    self._done.blobs += 1
                    self._done.bytes += size
                    self._verified.add(key)
                    self._waiting.append((time.monotonic() + self._grace, key))
            self._release(wait=False)
            self._tell()
        return self._done.blobs - before

    def _move(self, key: str, sha256: str) -> int | None:
        """Makes sure that the target has the blob as it was committed; its size, or None when it failed or is gone."""
        failed = self._done.failed
        if not _has(self._source, key):
            return None  # listed before it was released or deleted
        try:
            size = self._copy(key, sha256)
        except NotFound:
            size = None
            failed[key] = "its key was removed: nobody can read it"
        except DamagedBlob as error:
            self._migration.report(key, error)
            failed[key] = error.message
            return None
        if not _has(self._source, key) and not self._migration.digests([key]):
            self._target.delete(key)  # the sweeper came between: what it deleted must not come back
            failed.pop(key, None)
            return None
        if size is not None:
            failed.pop(key, None)
        return size

    def _copy(self, key: str, sha256: str) -> int:
        """DamagedBlob when neither side has the bytes that were committed. What a run that was broken off has copied
        already is copied once more: to ask for it would cost a request for each of all."""
        try:
            return self._copied(key, sha256)
        except (NotFound, DamagedBlob):
            with contextlib.suppress(NotFound, DamagedBlob):
                size, digest = _digest(self._target, key)
                if digest == sha256:
                    return size
            raise

    def _copied(self, key: str, sha256: str) -> int:
        hasher = hashlib.sha256()
        with self._source.open(key) as stream:
            _put(self._target, key, _checked(stream, hasher, sha256))
        size, digest = _digest(self._target, key)
        if digest != hasher.hexdigest():
            raise BackendUnavailable("the target gave back other bytes than it was given")
        return size

    def _release(self, *, wait: bool) -> None:
        """Deletes at the source what was verified long enough ago."""
        while self._waiting:
            due, key = self._waiting[0]
            left = due - time.monotonic()
            if left > 0:
                if wait:
                    time.sleep(min(left, 1.0))
                return
            self._source.delete(key)
            self._waiting.popleft()
            self._verified.discard(key)
            self._done.released += 1

    def _tell(self) -> None:
        if time.monotonic() - self._said_at >= 1.0:
            self._said_at = time.monotonic()
            self._say(self._done)


def read_route(db: Database) -> Route | None:
    """The route that is stored; None when blobs never moved."""
    text = db.read(lambda tx: tx.system.get_meta(ROUTE))
    return Route.parse(text) if text else None


def _checked(stream: BinaryIO, hasher: Any, sha256: str) -> Iterator[bytes]:
    while block := stream.read(_BLOCK):
        hasher.update(block)
        yield block
    if sha256 and hasher.hexdigest() != sha256:
        raise DamagedBlob("the source holds other bytes than were committed")


def _digest(store: BlobStore, key: str) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with store.open(key) as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def _put(store: BlobStore, key: str, blocks: Iterable[bytes]) -> None:
    writer = store.writer(key)
    try:
        for block in blocks:
            writer.write(block)
        writer.commit()
    except BaseException:
        writer.abort()
        raise


def _has(store: BlobStore, key: str) -> bool:
    try:
        store.stat(key)
    except NotFound:
        return False
    return True


def _batches(keys: Iterator[str], size: int) -> Iterator[list[str]]:
    while batch := list(islice(keys, size)):
        yield batch
