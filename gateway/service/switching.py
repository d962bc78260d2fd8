"""The storage of a gateway that names several: blobs are written to one, and found wherever they lie.

Which one is written to is a route in the database, followed by every process within ``FOLLOW_SECONDS``; until a process
has followed, what it writes to the old one is still found there, by all.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from gateway.blobstore import Adopting, BlobInfo, BlobStore, BlobWriter, Forgetting, LocalPaths, Unfinished
from gateway.domain.errors import BackendUnavailable, KuradoError, NotFound

FOLLOW_SECONDS = 1.0
MOVING, MOVED = "moving", "moved"
_COPY_BLOCK = 1024 * 1024
_BUFFER = 128 * 1024

T = TypeVar("T")
log = logging.getLogger("kurado.storage")


@dataclass(frozen=True, slots=True)
class Route:
    """``writes``: the storage that new blobs go to. ``leaves``: the one they move away from, or moved away from; "" for
    none. ``phase``: "", moving or moved. ``blobs`` and ``bytes`` were moved so far."""

    writes: str
    leaves: str = ""
    phase: str = ""
    started_at: int = 0
    blobs: int = 0
    bytes: int = 0

    def text(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def parse(text: str) -> Route:
        return Route(**json.loads(text))


class Switching:
    """A ``BlobStore`` over all named storages; it can adopt files, and gives local paths where that is safe."""

    def __init__(self, stores: Mapping[str, BlobStore], main: str, data_dir: Path) -> None:
        self.stores = dict(stores)
        self.main = main
        self.route = Route(main)
        store = self.stores[main]
        self.staging = store.staging if isinstance(store, Adopting) else data_dir / "staging"
        self._read: Callable[[], Route | None] = lambda: None
        self._stop = threading.Event()
        self._follower: threading.Thread | None = None

    def follow(self, read: Callable[[], Route | None], *, every: float = FOLLOW_SECONDS) -> None:
        """Takes the route from ``read`` now and every so many seconds until closed. Raises what ``read`` raises now."""
        self._read = read
        self.look()
        self._follower = threading.Thread(target=self._keep_looking, args=(every,), name="storage-route", daemon=True)
        self._follower.start()

    def look(self) -> Route:
        """The route as it is now."""
        self.route = self._read() or Route(self.main)
        return self.route

    def _keep_looking(self, every: float) -> None:
        while not self._stop.wait(every):
            try:
                self.look()
            except KuradoError as error:
                log.warning("the storage's route cannot be read", extra={"reason": str(error)})

    # -- BlobStore ----------------------------------------------------------------------------------------------------

    @property
    def current(self) -> BlobStore:
        """The storage that is written to."""
        return self.stores[self.route.writes]

    def places(self) -> list[BlobStore]:
        """Where blobs may lie, in the order in which to look: where they go, or, while they move, what is on this
        machine first, for there a miss costs nothing."""
        found = [self.current]
        if self.route.leaves in self.stores and self.route.leaves != self.route.writes:
            found.append(self.stores[self.route.leaves])
        if self.route.phase == MOVING:
            found.sort(key=lambda store: not isinstance(store, LocalPaths))
        return found

    def writer(self, key: str) -> BlobWriter:
        return self.current.writer(key)

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        places = self.places()
        if len(places) == 1:
            return places[0].open(key, start, length)
        stream = first_that(places, lambda store: store.open(key, start, length))
        following = _Following(self.places, key, stream, start, length)
        return cast(BinaryIO, io.BufferedReader(following, _BUFFER))

    def stat(self, key: str) -> BlobInfo:
        return first_that(self.places(), lambda store: store.stat(key))

    def delete(self, key: str) -> None:
        """First where it leaves: who copies it from there looks there again after the copy, and takes the copy back."""
        for store in sorted(self.places(), key=lambda store: store is self.current):
            store.delete(key)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        places = self.places()
        seen: set[str] = set()
        for store in places:
            for info in store.list(prefix):
                if info.key not in seen:
                    if len(places) > 1:
                        seen.add(info.key)
                    yield info

    def check(self) -> None:
        self.current.check()

    def close(self) -> None:
        self._stop.set()
        if self._follower is not None:
            self._follower.join()
        with contextlib.ExitStack() as closing:
            for store in self.stores.values():
                closing.callback(store.close)

    # -- abilities ----------------------------------------------------------------------------------------------------

    def adopt(self, file: Path, key: str) -> BlobInfo:
        """By renaming where the storage of the moment lies on the file's own file system, by copying elsewhere."""
        store = self.current
        if isinstance(store, Adopting) and file.stat().st_dev == store.staging.stat().st_dev:
            return store.adopt(file, key)
        writer = store.writer(key)
        try:
            with file.open("rb") as source:
                while block := source.read(_COPY_BLOCK):
                    writer.write(block)
            info = writer.commit()
        except BaseException:
            writer.abort()
            raise
        file.unlink(missing_ok=True)
        return info

    def local_path(self, key: str) -> Path | None:
        """Only in the storage that is written to: a file that moves away may go before it was opened."""
        store = self.current
        if not isinstance(store, LocalPaths):
            return None
        path = store.local_path(key)
        return path if path is not None and (len(self.places()) == 1 or path.exists()) else None

    def drop_unfinished(self, prefix: str = "", before: int | None = None) -> int:
        return sum(
            store.drop_unfinished(prefix, before) for store in self.stores.values() if isinstance(store, Unfinished)
        )

    def forget_owner(self, owner: str) -> None:
        for store in self.stores.values():
            if isinstance(store, Forgetting):
                store.forget_owner(owner)


def first_that(places: list[BlobStore], ask: Callable[[BlobStore], T]) -> T:
    """The answer of the first storage that has it. NotFound only when all say so: one that cannot be reached may have
    it."""
    trouble: KuradoError | None = None
    for store in places:
        try:
            return ask(store)
        except BackendUnavailable as error:
            trouble = trouble or error
        except NotFound as error:
            missing = error
    raise trouble or missing


class _Following(io.RawIOBase):
    """A stream that goes on in another storage when the blob has moved there, or when this one fails."""

    def __init__(
        self, places: Callable[[], list[BlobStore]], key: str, stream: BinaryIO, start: int, length: int | None
    ) -> None:
        self._places, self._key = places, key
        self._stream = stream
        self._at, self._left = start, length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except (BackendUnavailable, NotFound) as error:
            data = self._elsewhere(len(buffer), error)
        buffer[: len(data)] = data
        self._at += len(data)
        if self._left is not None:
            self._left -= len(data)
        return len(data)

    def _elsewhere(self, size: int, error: KuradoError) -> bytes:
        for store in self._places():
            try:
                stream = store.open(self._key, self._at, self._left)
                data = stream.read(size)
            except (BackendUnavailable, NotFound):
                continue
            self._stream.close()
            self._stream = stream
            return data
        raise error

    def close(self) -> None:
        self._stream.close()
        super().close()
