"""What the writer and the readers need of a kind of database: SQLite and PostgreSQL each have one."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from gateway.db.faults import Fault
from gateway.db.session import Session


class Source(Protocol):
    is_local: bool
    max_readers: int
    """Most read sessions open at once."""

    def connect(self, *, writer: bool = False) -> Session:
        """A new session. Raises BackendUnavailable when there is no database."""

    def verify(self) -> None:
        """Raises BackendUnavailable when the database is known to be gone or replaced. Costs microseconds."""

    def mark(self) -> bytes | None:
        """Another one after any commit of any process; None where that cannot be told in microseconds."""

    def begin_read(self, session: Session) -> None:
        """Begins a transaction that sees one snapshot."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Held around a whole writing transaction."""

    def begin_write(self, session: Session, keys: Iterable[int | None]) -> None:
        """Begins a writing transaction on the spaces of these tenants (None: anything). After it, what the
        transaction reads of them is the latest and stays so until it ends."""

    def changed(self, session: Session) -> None:
        """Called at the end of a transaction after which ``mark`` must be another one."""

    def committed(self, session: Session) -> None:
        """Upkeep after a commit, still under ``exclusive``. What fails here does not concern who committed."""

    def make_room(self) -> bool:
        """After Fault.FULL: gives up space that was kept for this. Whether another try makes sense."""

    def fault(self, error: BaseException) -> Fault:
        """What an exception means."""

    def close(self) -> None: ...
