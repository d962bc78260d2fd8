"""Metered figures and closed statements on their way into the replica: what the bills rest on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.domain import replicalog as layout
from gateway.hooks import PluginContext
from plugins._replica import Replica

EVERY_MS = 300_000
"""So old may the traffic be that a restore brings back. Storage follows from events, to the last one."""


class UsageCopier:
    """Used by one thread. Figures are taken of the source and put away; they go to the replica once that has every
    event that is in them: a restore books the later ones on top."""

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._looked_at: dict[int, int] = {}
        self._marks: dict[int, tuple[int, ...]] = {}
        self._waiting: dict[int, Any] = {}
        self._slots: dict[str, int] | None = None

    def keep(self, replica: Replica, progress: Iterable[Any]) -> None:
        """``progress``: how far the log of each tenant is replicated."""
        now = self._context.clock()
        for one in progress:
            if one.tenant_id not in self._waiting and now - self._looked_at.get(one.tenant_id, 0) >= EVERY_MS:
                self._look(replica, one)
                self._looked_at[one.tenant_id] = now
            waiting = self._waiting.get(one.tenant_id)
            if waiting is not None and one.seq >= waiting.mark[0]:
                self._store(replica, one.tenant, waiting)
                self._marks[one.tenant_id] = self._waiting.pop(one.tenant_id).mark

    def resync(self, replica: Replica, tenant_id: int, tenant: str) -> None:
        """Writes all of a tenant's figures, whatever is there; after a checkpoint, which no event has to wait for."""
        taken = self._context.services.snapshots.usage(tenant_id, 0, ())
        if taken is not None:
            self._store(replica, tenant, taken)

    def _look(self, replica: Replica, progress: Any) -> None:
        """From the last slot that is there on: earlier ones do not change any more."""
        if self._slots is None:
            names = (name.split("/") for name in replica.states(layout.USAGE))
            self._slots = {tenant: int(slot) for _, tenant, slot in names}
        since = self._slots.get(progress.tenant, 0)
        mark = self._marks.get(progress.tenant_id, ())
        taken = self._context.services.snapshots.usage(progress.tenant_id, since, mark)
        if taken is not None:
            self._waiting[progress.tenant_id] = taken

    def _store(self, replica: Replica, tenant: str, taken: Any) -> None:
        now = self._context.clock()
        for slot, lines in sorted(taken.slots.items()):
            replica.keep_state(layout.usage_name(tenant, slot), lines, now)
        if self._slots is not None:
            self._slots[tenant] = max(taken.slots)
