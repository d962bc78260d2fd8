"""Bringing an existing folder into a space, through the same pipeline as every upload.

May be run again at any time: what is there already with the same size and time, or the same bytes, is left alone.
Symbolic links are not followed (they could lead anywhere on this machine), devices and pipes are no files.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from gateway.domain.errors import AlreadyExists, KuradoError, StorageFull, Unavailable
from gateway.domain.names import Path, check_path
from gateway.domain.tenant import Caller
from gateway.domain.upload import NO_CONDITIONS, Declared
from gateway.service.files import Files
from gateway.service.refusals import Refusals, is_refusal
from gateway.service.uploads import Uploads

_BLOCK = 1024 * 1024
WORKERS = 4  # waiting commits share one flush


@dataclass(frozen=True)
class Problem:
    """Something that was not brought in. ``path`` is the place in the folder, for people."""

    path: str
    code: str
    reason: str


@dataclass
class Summary:
    """``problems`` were to come in and did not; ``skipped`` (links, devices) never were."""

    imported: int = 0
    unchanged: int = 0
    collections: int = 0
    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)
    skipped: list[Problem] = field(default_factory=list)
    stopped: str = ""
    """Why the import ended early; running it again goes on."""

    @property
    def complete(self) -> bool:
        return not self.problems and not self.stopped


class _Stop(Exception):
    """Going on makes no sense: the store is full, or something we depend on is away."""


def measure(folder: FilePath) -> tuple[int, int]:
    """(files, bytes) that an import of ``folder`` will look at."""
    count = size = 0
    pending = [folder]
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                pending.append(FilePath(entry.path))
            elif entry.is_file(follow_symlinks=False):
                count += 1
                size += entry.stat(follow_symlinks=False).st_size
    return count, size


def no_progress(files: int, size: int) -> None:
    """Tells nobody."""


class Import:
    """One run. ``progress`` is called with (files, bytes) done since its last call, from several threads."""

    def __init__(
        self,
        files: Files,
        uploads: Uploads,
        refusals: Refusals,
        caller: Caller,
        progress: Callable[[int, int], None] = no_progress,
    ) -> None:
        self._files = files
        self._uploads = uploads
        self._refusals = refusals
        self._caller = caller
        self._progress = progress
        self._lock = threading.Lock()
        self.summary = Summary()

    def run(self, folder: FilePath, into: Path = ()) -> Summary:
        """Imports all below ``folder`` into the collection ``into`` (made if missing)."""
        with ThreadPoolExecutor(WORKERS, "import") as pool:
            running: set[Future[None]] = set()
            try:
                for depth in range(1, len(into) + 1):
                    self._make_collection(into[:depth], into[:depth])
                for place, entry in self._walk(folder, into, ()):
                    if len(running) >= 2 * WORKERS:
                        done, running = wait(running, return_when=FIRST_COMPLETED)
                        for one in done:
                            one.result()
                    running.add(pool.submit(self._guarded, (*into, *place), place, entry))
                for one in running:
                    one.result()
            except _Stop as stop:
                self.summary.stopped = str(stop)
        return self.summary

    # -- the walk -----------------------------------------------------------------------------------------------------

    def _walk(self, folder: FilePath, into: Path, below: Path) -> Iterator[tuple[Path, os.DirEntry[str]]]:
        """Files depth first, in order of their names; collections are made on the way."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._problem(below, "unreadable", error.strerror or str(error))
            return
        for entry in entries:
            place = (*below, entry.name)
            if entry.is_symlink():
                self._skip(place, "a symbolic link")
            elif entry.is_dir(follow_symlinks=False):
                if self._make_collection((*into, *place), place):
                    yield from self._walk(FilePath(entry.path), into, place)
            elif entry.is_file(follow_symlinks=False):
                yield place, entry
            else:
                self._skip(place, "no file")

    def _make_collection(self, path: Path, place: Path) -> bool:
        try:
            check_path(path)
            node = self._files.lookup(self._caller, path).node
            if node is not None:
                if not node.is_collection:
                    raise AlreadyExists("a file has this name")
                return True
            self._files.make_collection(self._caller, path)
        except KuradoError as error:
            self._failed(path, place, error)
            return False
        with self._lock:
            self.summary.collections += 1
        return True

    # -- one file -----------------------------------------------------------------------------------------------------

    def _guarded(self, path: Path, place: Path, entry: os.DirEntry[str]) -> None:
        try:
            self._import(path, entry)
        except KuradoError as error:
            self._failed(path, place, error)
        except OSError as error:
            self._problem(place, "unreadable", error.strerror or str(error))
        self._progress(1, 0)

    def _import(self, path: Path, entry: os.DirEntry[str]) -> None:
        check_path(path)
        # no link in place of the file since the walk looked, and no pipe that would block
        descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb", buffering=0) as source:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(0, "no file any more")
            mtime = status.st_mtime_ns // 1_000_000
            if self._is_there(path, status.st_size, mtime, source):
                with self._lock:
                    self.summary.unchanged += 1
                self._progress(0, status.st_size)
                return
            source.seek(0)
            upload = self._uploads.open(self._caller, path, Declared(status.st_size, mtime=mtime), NO_CONDITIONS)
            try:
                while block := source.read(_BLOCK):
                    upload.feed(block)
                    self._progress(0, len(block))
                upload.finish()
            finally:
                upload.abort()
        with self._lock:
            self.summary.imported += 1
            self.summary.bytes += status.st_size

    def _is_there(self, path: Path, size: int, mtime: int, source: object) -> bool:
        node = self._files.lookup(self._caller, path).node
        version = node.version if node else None
        if version is None or version.size != size:
            return False
        if version.mtime == mtime:
            return True
        return hashlib.file_digest(source, "sha256").hexdigest() == version.sha256  # type: ignore[arg-type]

    # -- what did not work --------------------------------------------------------------------------------------------

    def _failed(self, path: Path, place: Path, error: KuradoError) -> None:
        self._problem(place, error.code, error.message)
        if is_refusal(error):
            self._refusals.record(self._caller, path, error)
        if isinstance(error, StorageFull | Unavailable):
            raise _Stop(error.message) from error

    def _problem(self, place: Path, code: str, reason: str) -> None:
        with self._lock:
            self.summary.problems.append(Problem(_shown(place), code, reason))

    def _skip(self, place: Path, reason: str) -> None:
        with self._lock:
            self.summary.skipped.append(Problem(_shown(place), "skipped", reason))


def _shown(place: Path) -> str:
    """A place for people: bytes of a name that are no UTF-8 as ``\\xff``."""
    return os.fsencode("/".join(place)).decode("utf-8", "backslashreplace")
