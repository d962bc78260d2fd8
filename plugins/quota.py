"""quota: how much a tenant may store (LIM-01), refused before the body where that is already clear.

The figures themselves are settled by the core in the transaction that commits a write, so no race can overshoot; this
plugin says what the limits are, and warns the operator when a tenant comes near them. Settings: ``warn_at``, percents.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from gateway.domain.contract.access import exceeds
from gateway.domain.errors import QuotaExceeded
from gateway.domain.events import TENANT_CHANGED, Event
from gateway.domain.fields import Fields
from gateway.domain.tenant import UNLIMITED, Limits, Tenant
from gateway.domain.units import format_size
from gateway.domain.upload import UploadInfo
from gateway.hooks import PluginContext, hookimpl

_OWN_LIMITS = ("plan", "quota_bytes", "quota_files")


def create(context: PluginContext) -> Quota:
    """The entry point. ValueError for bad settings."""
    keys = Fields(context.settings)
    usual: tuple[int, ...] = (80, 95)
    warn_at = keys.take("warn_at", _percents, usual)
    keys.done()
    return Quota(context, warn_at)


def _percents(value: object) -> tuple[int, ...]:
    percents = value if isinstance(value, list) else [value]
    if not all(isinstance(one, int) and not isinstance(one, bool) and 0 < one <= 100 for one in percents):
        raise ValueError(f"{value!r} is no list of percents such as [80, 95]")
    return tuple(sorted(set(percents)))


class Quota:
    answers_at_once = True  # a policy is read anew when there is another, else remembered

    def __init__(self, context: PluginContext, warn_at: tuple[int, ...]) -> None:
        self._context = context
        self._warn_at = warn_at
        self._warned: dict[str, frozenset[int]] = {}

    @hookimpl
    def quota_limit(self, tenant: Tenant) -> Limits:
        """The tenant's own limits where it has some, and those of its plan."""
        plan = self._context.policy("plans", tenant).get(tenant.plan)
        return Limits(
            bytes=_own_or(tenant.quota_bytes, plan.capacity_bytes), files=_own_or(tenant.quota_files, plan.files)
        )

    @hookimpl
    def check_upload(self, upload: UploadInfo) -> None:
        """Refuses a declared size that cannot fit. What does not grow the total always passes; exactly full is allowed.

        The number of files is not looked at here: an upload does not say whether it replaces an empty file.
        """
        tenant, length = upload.caller.tenant, upload.declared.known_length
        allowed = self.quota_limit(tenant).bytes
        if allowed is None:
            return
        # of an unknown length nothing is known but that it is not negative: it is stopped when it grows too large
        growth = (length or 0) - upload.replaces
        used = tenant.used_bytes + tenant.reserved_bytes
        if exceeds(used, growth, allowed):
            raise QuotaExceeded(
                f"{tenant.used_bytes} of {allowed} bytes are used; this upload needs {growth} more",
                used=tenant.used_bytes,
                allowed=allowed,
            )

    @hookimpl
    def on_event(self, event: Event) -> None:
        """Raises and clears the operator's warnings. The same event again changes nothing."""
        tenant = self._tenant_after(event)
        limits = self.quota_limit(tenant) if tenant else Limits()
        shares = [
            100 * used / allowed
            for used, allowed in ((event.used_bytes, limits.bytes), (event.used_files, limits.files))
            if allowed
        ]
        reached = frozenset(percent for percent in self._warn_at if any(share >= percent for share in shares))
        if self._warned.get(event.tenant) == reached:
            return
        for percent in self._warn_at:
            message = _message(event, limits) if percent in reached else None
            self._context.alarm(f"quota-{percent}", event.tenant, message)
        self._warned[event.tenant] = reached

    def _tenant_after(self, event: Event) -> Tenant | None:
        tenant: Tenant | None = self._context.services.directory.tenant(event.tenant)
        if tenant is None or event.kind != TENANT_CHANGED:
            return tenant
        changes: Mapping[str, object] = {key: event.data[key] for key in _OWN_LIMITS if key in event.data}
        return dataclasses.replace(tenant, **changes)  # type: ignore[arg-type]


def _message(event: Event, limits: Limits) -> str:
    parts = []
    if limits.bytes:
        parts.append(f"{format_size(event.used_bytes)} of {format_size(limits.bytes)}")
    if limits.files:
        parts.append(f"{event.used_files} of {limits.files} files")
    return f"tenant {event.tenant} uses " + " and ".join(parts)


def _own_or(own: int | None, of_plan: int | None) -> int | None:
    return of_plan if own is None else None if own == UNLIMITED else own
