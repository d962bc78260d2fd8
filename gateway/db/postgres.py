"""PostgreSQL, for several gateways on one database (psycopg 3).

Writers of one space follow one another under an advisory lock, so what a mutation reads of it (a name that is free, a
lock that is not held) is true until it commits, and plain READ COMMITTED is enough: no serialization failures, and a
hot tenant's row is waited for once per batch. Writers of different spaces run side by side.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from gateway.db.faults import Fault, driver_error
from gateway.db.session import PostgresSession, Session
from gateway.db.watchdog import Watchdog
from gateway.domain.errors import BackendUnavailable, KuradoError

_EVERYTHING = -1
"""Advisory lock: shared by who writes in spaces, held alone by who writes anywhere. Tenants' ids are positive."""

_REFUSE = 1.0  # seconds during which a server that did not answer is not asked again

SILENCE = 18.0
"""Seconds after which a server that says nothing is given up: TCP alone would wait for a stopped one for ever."""

_OPTIONS = "-c statement_timeout=15s -c lock_timeout=10s -c idle_in_transaction_session_timeout=30s"
_FULL = "53100"
_CONFLICTS = {"40001", "40P01"}  # serialization_failure, deadlock_detected
_TROUBLE = ("08", "53", "55", "57", "58", "XX", "25006", "42P01", "28", "3D")
"""Classes and states of SQLSTATE: connection, resources, locks not available, operator intervention, system, internal,
read-only, tables that are gone, logins that are gone."""


class PostgresSource:
    is_local = False
    max_readers = 16

    def __init__(self, url: str, *, durability: str = "full") -> None:
        parsed = make_url(url).set(drivername="postgresql+psycopg")
        relaxed = "" if durability == "full" else " -c synchronous_commit=off"
        self._engine = create_engine(
            parsed,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={
                "connect_timeout": 5,
                "options": _OPTIONS + relaxed,
                "application_name": "kurado",
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 15_000,
            },
        )
        self._refused_at = float("-inf")
        self._watchdog = Watchdog(SILENCE)

    def connect(self, *, writer: bool = False) -> Session:  # noqa: ARG002 both are alike here
        if time.monotonic() - self._refused_at < _REFUSE:
            raise BackendUnavailable("the database does not answer")
        try:
            session = PostgresSession(self._engine.connect())
        except Exception as error:
            if self.fault(error) is Fault.OWN:
                raise
            self._refused_at = time.monotonic()
            raise BackendUnavailable("the database does not answer") from error
        self._watchdog.watch(session)
        return session

    def verify(self) -> None:
        """A server that is gone shows at the next statement."""

    def mark(self) -> None:
        return None  # another server would have to be asked

    def changed(self, session: Session) -> None:
        """Nobody could look for it cheaply."""

    def begin_read(self, session: Session) -> None:
        session.command("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def exclusive(self) -> AbstractContextManager[None]:
        return nullcontext()

    def begin_write(self, session: Session, keys: Iterable[int | None]) -> None:
        session.command("BEGIN ISOLATION LEVEL READ COMMITTED")
        tenants = sorted(key for key in set(keys) if key is not None)
        if len(tenants) < len(set(keys)):
            session.command("SELECT pg_advisory_xact_lock(?)", _EVERYTHING)
            return
        session.command("SELECT pg_advisory_xact_lock_shared(?)", _EVERYTHING)
        # always in the same order, so that two batches cannot wait for each other
        session.command("SELECT pg_advisory_xact_lock(key) FROM unnest(?::bigint[]) AS key", tenants)

    def committed(self, session: Session) -> None:
        """The server looks after itself."""

    def make_room(self) -> bool:
        return False

    def fault(self, error: BaseException) -> Fault:
        import psycopg

        error = driver_error(error)
        if isinstance(error, KuradoError) or not isinstance(error, psycopg.Error):
            return Fault.OWN
        return _meaning_of_state(error)

    def close(self) -> None:
        self._watchdog.stop()
        self._engine.dispose()


def _meaning_of_state(error: Any) -> Fault:
    import psycopg

    state: str = error.sqlstate or ""
    if state == _FULL:
        return Fault.FULL
    if state in _CONFLICTS:
        return Fault.CONFLICT
    if state.startswith(_TROUBLE):
        return Fault.GONE
    # without a state it is libpq speaking, not the server: the connection is gone
    if not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Fault.GONE
    return Fault.OWN
