"""Interruptions and maintenance as their acts tell it (RULES INT-01, OPS-02 to OPS-04): a pure fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date
from gateway.domain.contract.access import Window
from gateway.domain.contract.intervals import Interval
from gateway.domain.contract.maintenance import regular_windows
from gateway.domain.contract.values import SEED, ContractValues

MAINTENANCE, INTERRUPTION = "maintenance:", "interruption:"
INTERRUPTION_GROUNDS = ("MAINTENANCE", "FORCE_MAJEURE", "LINE", "DISORDER", "OPERATIONAL")
"""§10(1)①…⑤."""

REGULAR = "regular-"


@dataclass(frozen=True, slots=True)
class ServiceWindow:
    """Time in which calls are refused. ``end`` None is open; ``tenants`` empty: all of them. ``posts`` are the times
    at which it was posted on the board, with the window as announced then (SLA-MNT-01)."""

    id: str
    start: int
    end: int | None
    tenants: frozenset[int] = frozenset()
    ground: str = ""
    reason: str = ""
    closed: bool = False
    posts: tuple[tuple[int, int, int], ...] = ()

    def concerns(self, tenant_id: int) -> bool:
        return not self.tenants or tenant_id in self.tenants

    @property
    def window(self) -> Window:
        return Window(self.start, self.end)


@dataclass(frozen=True)
class Windows:
    """All windows ever, by id. ``maintenance`` are the ad-hoc ones, ``regular`` those of OPS-02 as they were posted."""

    maintenance: Mapping[str, ServiceWindow] = field(default_factory=dict)
    interruptions: Mapping[str, ServiceWindow] = field(default_factory=dict)
    regular: Mapping[str, ServiceWindow] = field(default_factory=dict)

    def after(self, act: Act) -> Windows:
        """The windows after one more act; other acts change nothing."""
        if act.subject.startswith(MAINTENANCE):
            return self._after_maintenance(act, act.subject.removeprefix(MAINTENANCE))
        if act.subject.startswith(INTERRUPTION):
            return self._after_interruption(act, act.subject.removeprefix(INTERRUPTION))
        return self

    def _after_maintenance(self, act: Act, name: str) -> Windows:
        is_regular = name.startswith(REGULAR)
        known = self.regular if is_regular else self.maintenance
        old = known.get(name)
        if act.kind == "maintenance.closed":
            if old is None or old.end is None:
                return self
            new = replace(old, end=max(old.start, min(old.end, act.data["at"])), closed=True)
        else:
            start, end = act.data["start"], act.data["end"]
            posts = (*(old.posts if old else ()), (act.at, start, end))
            tenants = frozenset(act.data.get("tenants", ()))
            new = ServiceWindow(name, start, end, tenants, reason=act.data.get("reason", ""), posts=posts)
        changed = {**known, name: new}
        return replace(self, regular=changed) if is_regular else replace(self, maintenance=changed)

    def _after_interruption(self, act: Act, name: str) -> Windows:
        if act.kind == "interruption.closed":
            new = replace(self.interruptions[name], end=act.data["at"], closed=True)
        else:
            data = act.data
            tenants = frozenset(data.get("tenants", ()))
            new = ServiceWindow(name, data["from"], data.get("to"), tenants, act.ground, data.get("reason", ""))
        return replace(self, interruptions={**self.interruptions, name: new})

    # -- what holds ---------------------------------------------------------------------------------------------------

    def interruptions_of(self, tenant_id: int) -> tuple[Window, ...]:
        if not self.interruptions:
            return ()
        return tuple(one.window for one in self.interruptions.values() if one.concerns(tenant_id))

    def maintenance_of(self, tenant_id: int) -> tuple[Interval, ...]:
        """Ad-hoc windows that concern a tenant (OPS-03)."""
        if not self.maintenance:
            return ()
        return tuple(
            Interval(one.start, one.end)
            for one in self.maintenance.values()
            if one.end is not None and one.concerns(tenant_id)
        )

    def regular_around(self, now: int) -> tuple[Interval, ...]:
        """The regular windows of today and the days beside it as they were posted, those opened early cut off there
        (OPS-04). One that nobody posted before it began refuses no calls: that time would count as a stop
        (SLA-MNT-03)."""
        today, day = jst_date(now), timedelta(days=1)
        found = (self.regular.get(f"{REGULAR}{one.isoformat()}") for one in (today - day, today, today + day))
        return tuple(
            Interval(one.start, one.end)
            for one in found
            if one is not None and one.end is not None and any(post[0] < one.start for post in one.posts)
        )

    def unposted(self, now: int, days: int, values: ContractValues = SEED) -> list[Interval]:
        """The regular windows of the next days that nobody posted yet."""
        today = jst_date(now)
        windows = regular_windows(today, today + timedelta(days=days), values)
        return [one for one in windows if one.start > now and regular_id(one) not in self.regular]


def regular_id(window: Interval) -> str:
    """``regular-2027-02-01``: the name of a regular window."""
    return f"{REGULAR}{jst_date(window.start).isoformat()}"
