"""What a driver's exception means: the work's own mistake, or trouble of the database."""

from __future__ import annotations

from enum import Enum

from gateway.domain.errors import BackendUnavailable, KuradoError, StorageFull


class Fault(Enum):
    OWN = "own"
    """The work's own: a domain error, a broken constraint, a bug. Nobody else's work is touched."""

    CONFLICT = "conflict"
    """The transaction was rolled back for the sake of another one: the same work may be tried again."""

    FULL = "full"
    """No room on the disk: nothing was changed, smaller work may still pass."""

    GONE = "gone"
    """The database does not answer, or cannot be written: connect anew and tell the client to come again."""


def meaning(fault: Fault, error: BaseException) -> BaseException:
    """The error that leaves the database for ``error``, once nothing more can be tried."""
    if fault is Fault.OWN or isinstance(error, KuradoError):
        return error
    if fault is Fault.FULL:
        return _caused(StorageFull("the disk that holds the database is full"), error)
    if fault is Fault.CONFLICT:
        return _caused(BackendUnavailable("too many changes at the same place", retry_after=1), error)
    return _caused(BackendUnavailable("the database does not answer"), error)


def driver_error(error: BaseException) -> BaseException:
    """The driver's own exception inside one of SQLAlchemy, or ``error`` itself."""
    return getattr(error, "orig", None) or error


def _caused(error: KuradoError, cause: BaseException) -> KuradoError:
    error.__cause__ = cause
    return error
