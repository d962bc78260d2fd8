"""Every change of a space settles usage, takes the next number of the tenant's log and appends its event: here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gateway.domain.errors import Unavailable
from gateway.domain.events import Event
from gateway.domain.tenant import Caller, Limits, Tenant
from gateway.pluginhost import PluginHost
from gateway.service.stored import Released
from gateway.service.unit_of_work import Tx


class Settling:
    """``boot_id`` names this process: a change is only committed while its lease lives (DESIGN section 4, sweeper)."""

    def __init__(self, host: PluginHost, clock: Callable[[], int], boot_id: str) -> None:
        self._host = host
        self.clock = clock
        self.boot_id = boot_id

    def limits(self, tenant: Tenant) -> Limits:
        """What the plugins allow this tenant to store; asked before the transaction, because a plugin may be slow."""
        return self._host.limits(tenant)

    def assert_alive(self, tx: Tx, now: int) -> None:
        """Refuses to commit after our lease lapsed: the sweeper may have taken our blobs for leftovers."""
        if not tx.leases.alive(self.boot_id, now):
            raise Unavailable("this gate lost its lease", retry_after=2)

    def record(
        self,
        tx: Tx,
        caller: Caller,
        kind: str,
        data: Mapping[str, Any],
        now: int,
        *,
        bytes: int = 0,
        files: int = 0,
        limits: Limits | None = None,
    ) -> Event:
        """Settles and appends one event. ``limits`` None means that this change never counts as growth.

        Raises QuotaExceeded when the total would grow above the limits (LIM-01).
        """
        tenant = caller.tenant
        usage = tx.tenants.settle(tenant.id, now, bytes=bytes, files=files, limits=limits or Limits())
        event = Event(
            tenant_id=tenant.id,
            tenant=tenant.name,
            seq=usage.seq,
            at=usage.at,
            kind=kind,
            actor=caller.user.login,
            used_bytes=usage.used_bytes,
            used_files=usage.used_files,
            data=data,
        )
        tx.events.append(event)
        return event

    def record_each(
        self,
        tx: Tx,
        caller: Caller,
        kind: str,
        changes: Sequence[tuple[Mapping[str, Any], int]],
        now: int,
        *,
        bytes: int,
        files: int,
    ) -> Event:
        """Settles and appends one event for each of ``changes``, (data, growth) of one file, which make up ``bytes``
        and ``files`` and never count as growth; returns the last. For what would be recorded one by one, too."""
        tenant, count = caller.tenant, len(changes)
        usage = tx.tenants.settle(tenant.id, now, bytes=bytes, files=files, events=count)
        used_bytes, used_files = usage.used_bytes, usage.used_files
        events: list[Event] = []
        for data, growth in reversed(changes):
            seq = usage.seq - len(events)
            actor = caller.user.login
            events.append(Event(tenant.id, tenant.name, seq, usage.at, kind, actor, used_bytes, used_files, data))
            used_bytes, used_files = used_bytes - growth, used_files - files // count
        tx.events.append_all(events[::-1])
        return events[0]

    def release(self, tx: Tx, event: Event, blob_ids: Iterable[str]) -> None:
        """Leaves blobs that lost a reference to the sweeper, which looks again before it deletes."""
        lost = tx.nodes.unreferenced(sorted({blob_id for blob_id in blob_ids if blob_id}))
        tx.blobs.release_all([Released(blob_id, event.tenant_id, event.seq, event.at) for blob_id in lost])
