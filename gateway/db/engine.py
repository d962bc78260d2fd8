"""Opens a database: ``open_database(url)`` is the port ``Database`` on SQLite or on PostgreSQL."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from gateway.db import schema
from gateway.db.faults import Fault, meaning
from gateway.db.session import Session
from gateway.db.source import Source
from gateway.db.sqlite import SqliteSource, make_file
from gateway.db.transaction import Transaction
from gateway.db.writer import BatchWriter
from gateway.domain.errors import BackendUnavailable
from gateway.service.unit_of_work import Tx

T = TypeVar("T")

_PROBE_WAIT = 5.0  # seconds for the write that shows whether trouble is over
_READER_WAIT = 10.0  # seconds for a read session when all are in use


class SqlDatabase:
    """Implements ``Database``. Safe to use from any thread."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.is_local = source.is_local
        self._writer = BatchWriter(source)
        # last in, first out: few sessions stay warm, however many threads there are
        self._idle: deque[Transaction] = deque()
        self._room = threading.BoundedSemaphore(source.max_readers)
        self._closed = False
        self._marked: tuple[bytes, int] = (b"", 0)

    def read(self, work: Callable[[Tx], T]) -> T:
        if not self._room.acquire(timeout=_READER_WAIT):
            raise BackendUnavailable("all connections to the database are in use", retry_after=2)
        try:
            return self._read(work)
        finally:
            self._room.release()

    def mark(self) -> int | None:
        self._source.verify()
        moved = self._source.mark()
        if moved is None:
            return None
        known = self._marked
        if known[0] != moved:  # taken before the look: what is committed meanwhile moves it again
            known = self._marked = (moved, self.read(lambda tx: tx.system.changes()))
        return known[1]

    def write(self, work: Callable[[Tx], T], tenant_id: int | None = None, *, aside: bool = False) -> Future[T]:
        return self._writer.submit(work, tenant_id, aside)

    def write_soon(self, work: Callable[[Tx], T], tenant_id: int | None = None) -> Future[T]:
        return self._writer.submit_soon(work, tenant_id)

    def check(self) -> None:
        self._source.verify()
        self.read(lambda tx: tx.system.revision())
        if self._writer.trouble is not None:
            try:
                self.write(lambda tx: tx.system.set_meta("probe", "written after trouble")).result(_PROBE_WAIT)
            except TimeoutError:
                raise BackendUnavailable("the database does not take writes") from None

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._writer.close()
            while self._idle:
                self._idle.pop().session.close()
            self._source.close()

    def _read(self, work: Callable[[Tx], T]) -> T:
        self._source.verify()
        tx = self._begin()
        try:
            result = work(tx)
        except BaseException as error:
            fault = self._source.fault(error)
            self._end(tx, broken=fault is not Fault.OWN)
            translated = meaning(fault, error)
            if translated is error:
                raise
            raise translated from error
        self._end(tx)
        return result

    def _begin(self) -> Transaction:
        """A session inside a fresh snapshot. One that died while it lay idle is replaced."""
        while self._idle:
            try:
                tx = self._idle.pop()
            except IndexError:
                break
            try:
                self._source.begin_read(tx.session)
                return tx
            except Exception:
                tx.session.close()
        tx = Transaction(self._source.connect())
        try:
            self._source.begin_read(tx.session)
        except Exception as error:
            tx.session.close()
            raise meaning(self._source.fault(error), error) from error
        return tx

    def _end(self, tx: Transaction, broken: bool = False) -> None:
        session: Session = tx.session
        if not broken and not self._closed:
            try:
                session.command("ROLLBACK")  # nothing was written; and it works after a failed statement, too
                self._idle.append(tx)
                return
            except Exception:
                broken = True
        session.close()


def open_database(url: str, *, durability: str = "full", clock: Callable[[], int], create: bool = True) -> SqlDatabase:
    """The database at ``url`` (``sqlite:///path`` or ``postgresql://...``); an empty one gets the schema.

    ``durability`` "full" flushes each commit, "relaxed" may lose the last seconds at power loss (never consistency).
    ``clock`` dates the creation of the schema (meta ``created_at``). With ``create`` False a missing or empty database
    is DatabaseMissing. Raises SchemaTooOld, SchemaTooNew, BackendUnavailable.
    """
    source = make_source(url, durability=durability, create=create)
    try:
        _ready(source, clock, create=create)
        return SqlDatabase(source)
    except BaseException:
        source.close()
        raise


def make_source(url: str, *, durability: str = "full", create: bool = True) -> Source:
    """The kind of database that a URL names."""
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        if not path.exists():
            if not create:
                raise schema.DatabaseMissing(f"there is no database {path}")
            make_file(path)
        return SqliteSource(path, durability=durability)
    if url.startswith(("postgresql://", "postgres://", "postgresql+psycopg://")):
        from gateway.db.postgres import PostgresSource

        return PostgresSource(url, durability=durability)
    raise ValueError(f"{url.partition(':')[0]!r} is no database that is known here: sqlite:///PATH or postgresql://...")


def _ready(source: Source, clock: Callable[[], int], *, create: bool) -> None:
    """Checks the schema; makes it on an empty database, once however many processes start together."""
    session: Session | None = None
    try:
        with source.exclusive():
            session = source.connect(writer=True)
            if schema.current_revision(session.core) is None:
                if not create:
                    raise schema.DatabaseMissing("the database is empty")
                source.begin_write(session, {None})
                schema.create_schema(session.core)
                Transaction(session).system.set_meta("created_at", str(clock()))
                session.command("COMMIT")
            schema.check_revision(schema.current_revision(session.core))
    except Exception as error:
        translated = meaning(source.fault(error), error)
        if translated is error:
            raise
        raise translated from error
    finally:
        if session is not None:
            session.close()
