"""The record of what was refused (invariant I6)."""

from __future__ import annotations

from collections.abc import Callable

from gateway.domain.errors import (
    ContentRejected,
    Held,
    InspectorUnavailable,
    InvalidName,
    KuradoError,
    QuotaExceeded,
    TakenDown,
    TenantSuspended,
    TooLarge,
)
from gateway.domain.names import Path
from gateway.domain.tenant import Caller
from gateway.service.stored import Refusal
from gateway.service.unit_of_work import Database

_RECORDED = (
    ContentRejected,
    Held,
    InspectorUnavailable,
    InvalidName,
    QuotaExceeded,
    TakenDown,
    TenantSuspended,
    TooLarge,
)


def is_refusal(error: KuradoError) -> bool:
    """Whether an error is a refusal by rule: those that name a policy, and those above; a 404 or a lock is none."""
    return error.policy is not None or isinstance(error, _RECORDED)


class Refusals:
    def __init__(self, db: Database, clock: Callable[[], int]) -> None:
        self._db = db
        self._clock = clock

    def record(self, caller: Caller, path: Path, error: KuradoError, digest: str = "") -> None:
        """Stores a refusal durably; waits for the flush. Raises BackendUnavailable when it cannot be stored."""
        refusal = Refusal(
            tenant_id=caller.tenant.id,
            at=self._clock(),
            user=caller.user.login,
            verb=caller.verb,
            path="/" + "/".join(path),
            code=error.code,
            policy=error.policy or error.code,
            clause=error.clause or "",
            reason=error.message,
            digest=digest or error.digest,
            request_id=caller.request_id,
        )
        self._db.write(lambda tx: tx.refusals.add(refusal), caller.tenant.id).result()

    def recent(self, tenant_id: int | None = None, limit: int = 100) -> list[Refusal]:
        """The latest refusals, newest first."""
        return self._db.read(lambda tx: tx.refusals.recent(tenant_id, limit))
