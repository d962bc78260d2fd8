"""SQLite: one file in WAL mode, flushed at each commit."""

from __future__ import annotations

import mmap
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from gateway.db.faults import Fault, driver_error, meaning
from gateway.db.filelock import FileLock
from gateway.db.repositories.system import CHANGES, count
from gateway.db.session import Session, SqliteSession
from gateway.domain.errors import BackendUnavailable, KuradoError
from gateway.domain.units import disk_reserve

# Seconds. With the wait at the file lock before it a writer has its turn, or is refused, before the 20 s in which no
# dependency may be silent (RESILIENCE 12). Only foreign programs and checkpoints are waited for: our writers queue.
_BUSY = 6.0
_HURRY = 0.3  # seconds for each of the two while it is known that somebody does not let go: refusals are fast then
_LOOK = 0.25  # seconds between two looks at the file's identity
_JOURNAL = 16 << 20  # bytes of journal from which on it is emptied
_EMPTY_EVERY = 1.0  # seconds between two looks at the journal and the room on the disk
_LITTLE = 64 << 10  # bytes that a small transaction takes at most
_INDEX_HEAD = 96  # bytes: the head of the journal's index, in the two copies that are kept of it
_EMPTY_WAIT = 50  # ms for readers of the journal to finish: a commit takes no longer for it
_TROUBLE = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}


class SqliteSource:
    is_local = True
    max_readers = 64

    def __init__(self, path: Path, *, durability: str = "full") -> None:
        self.path = path
        self._synchronous = "FULL" if durability == "full" else "NORMAL"
        self._lock = FileLock(path)
        self._identity = _identity(path)
        self._looked = 0.0
        self._journal = path.with_name(path.name + "-wal")
        self._ballast = path.with_name(path.name + "-ballast")
        self._kept = 0.0
        self._marking = threading.Lock()
        self._marker: Session | None = None
        self._index: mmap.mmap | None = None
        self._is_held_up = False
        # a plain driver connection each time: SQLAlchemy's pool would hand one back to another thread
        self._engine: Engine = create_engine(
            "sqlite://", creator=self._open, poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )

    def connect(self, *, writer: bool = False) -> Session:  # noqa: ARG002 both are alike here
        self.verify(now=True)
        try:
            session = SqliteSession(self._engine.connect())
        except Exception as error:
            if self.fault(error) is Fault.OWN:
                raise
            raise BackendUnavailable("the database cannot be opened") from error
        self.verify(now=True)
        return session

    def verify(self, now: bool = False) -> None:
        """The file must be the one that was opened: SQLite itself would go on with a deleted one without a word."""
        moment = time.monotonic()
        if not now and moment - self._looked < _LOOK:
            return
        identity = _identity(self.path)
        if identity is None:
            raise BackendUnavailable("the database file is gone")
        if self._identity is None:
            self._identity = identity
        elif identity != self._identity:
            raise BackendUnavailable("the database file was replaced: the gateway must be restarted")
        self._looked = moment

    def mark(self) -> bytes:
        """The head of the journal's index, which every reader of the database looks at first: a commit is visible when
        it is written there, with a counter, a checksum and where the journal ends (sqlite.org/walformat.html, section
        2). A tenth of what ``PRAGMA data_version`` costs, whose answer is made of the same bytes."""
        index = self._index
        return index[:_INDEX_HEAD] if index is not None else self._map_index()[:_INDEX_HEAD]

    def _map_index(self) -> mmap.mmap:
        """Maps the index of the journal, beside a connection that stays: without one SQLite may begin it anew."""
        with self._marking:
            if self._index is None:
                self._marker = self._marker or self.connect()
                try:
                    self._marker.rows("SELECT 1 FROM sqlite_master LIMIT 1")  # the first look makes it
                    with self.path.with_name(self.path.name + "-shm").open("rb") as file:
                        self._index = mmap.mmap(file.fileno(), _INDEX_HEAD, access=mmap.ACCESS_READ)
                except (OSError, ValueError) as error:
                    raise BackendUnavailable("the index of the database's journal cannot be read") from error
                except Exception as error:
                    raise meaning(self.fault(error), error) from error
            return self._index

    def begin_read(self, session: Session) -> None:
        session.command("BEGIN")

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with ExitStack() as held:
            try:
                held.enter_context(self._lock.held(_HURRY if self._is_held_up else None))
            except BackendUnavailable:
                self._is_held_up = True
                raise
            yield

    def begin_write(self, session: Session, keys: Iterable[int | None]) -> None:  # noqa: ARG002 there is one lock
        if self._is_held_up:
            _wait(session, _HURRY)
        try:
            session.command("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if (error.sqlite_errorcode & 0xFF) != sqlite3.SQLITE_BUSY:
                raise
            self._is_held_up = True
            raise BackendUnavailable("another program keeps the database locked") from error
        if self._is_held_up:
            self._is_held_up = False
            _wait(session, _BUSY)

    def changed(self, session: Session) -> None:
        count(session, CHANGES)

    def committed(self, session: Session) -> None:
        """Empties a journal that grew: while somebody always reads, SQLite itself never begins it anew. And keeps some
        room on the disk for the day when it is full."""
        moment = time.monotonic()
        if moment - self._kept < _EMPTY_EVERY:
            return
        self._kept = moment
        has_room = self._keep_room()
        if has_room and _size(self._journal) < _JOURNAL:
            return
        with suppress(sqlite3.Error):
            _wait(session, _EMPTY_WAIT / 1000)
            session.rows(f"PRAGMA wal_checkpoint({'TRUNCATE' if has_room else 'RESTART'})")
        _wait(session, _BUSY)

    def _keep_room(self) -> bool:
        """A file that can be given up: a deletion, too, needs space in the journal before it frees any. False when it
        was: then the journal must not grow but begin anew, in the room that it has."""
        with suppress(OSError):
            disk = os.statvfs(self.path.parent)
            size = disk_reserve(disk.f_blocks * disk.f_frsize)
            if not size or disk.f_bavail * disk.f_frsize < 4 * size:
                return not size or self._ballast.exists()
            ballast = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            try:
                os.posix_fallocate(ballast, 0, size)
            finally:
                os.close(ballast)
        return True

    def make_room(self) -> bool:
        self._ballast.unlink(missing_ok=True)
        begun_anew = False
        with suppress(sqlite3.Error), closing(self._open()) as connection:
            connection.execute(f"PRAGMA busy_timeout = {_EMPTY_WAIT}")
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
            begun_anew = not busy
        return begun_anew or self._free() >= _LITTLE  # perhaps another process has given it up just now

    def fault(self, error: BaseException) -> Fault:
        error = driver_error(error)
        if isinstance(error, KuradoError):
            return Fault.OWN
        if isinstance(error, OSError):
            return Fault.OWN
        if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, sqlite3.IntegrityError):
            return Fault.OWN
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return Fault.FULL
        if code == sqlite3.SQLITE_IOERR and self._no_room():
            return Fault.FULL  # growing the shared memory file on a full disk is an I/O error to SQLite
        if code in _TROUBLE or "no such table" in str(error) or "closed database" in str(error):
            return Fault.GONE
        return Fault.OWN

    def close(self) -> None:
        self._lock.close()
        if self._index is not None:
            self._index.close()
        if self._marker is not None:
            self._marker.close()
        self._engine.dispose()

    def _open(self) -> sqlite3.Connection:
        # mode=rw: a connection never makes a file where one was deleted
        connection = sqlite3.connect(
            f"file:{_quoted(self.path)}?mode=rw",
            uri=True,
            timeout=_BUSY,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=400,
        )
        for pragma in (
            "journal_mode = WAL",
            f"synchronous = {self._synchronous}",
            "foreign_keys = ON",
            "cache_size = -8192",
            "temp_store = MEMORY",
            "secure_delete = ON",  # contents are rows: what was erased must not stay in free pages
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        return connection

    def _no_room(self) -> bool:
        return 0 <= self._free() < 1 << 20

    def _free(self) -> int:
        """Bytes left on the disk, -1 when it does not say."""
        try:
            disk = os.statvfs(self.path.parent)
        except OSError:
            return -1
        return disk.f_bavail * disk.f_frsize


def _wait(session: Session, seconds: float) -> None:
    session.command(f"PRAGMA busy_timeout = {int(seconds * 1000)}")


def make_file(path: Path) -> None:
    """An empty file for a new database, with its folder entry flushed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
