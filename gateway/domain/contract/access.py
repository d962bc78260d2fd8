"""Whether a call is served (RULES ACC-01, ACC-02; VECTORS function H)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from gateway.domain.calendar import jst_date
from gateway.domain.contract.intervals import Interval


class Operation(StrEnum):
    READ = "read"
    LIST = "list"
    WRITE = "write"
    DELETE = "delete"
    STREAM = "stream"


@dataclass(frozen=True, slots=True)
class Window:
    """[start, end) in ms UTC; ``end`` None is open."""

    start: int
    end: int | None

    def holds(self, at: int) -> bool:
        return self.start <= at and (self.end is None or at < self.end)


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands between a tenant and its data."""

    start_date: date | None = None
    last_day: date | None = None
    terminated_at: int | None = None
    stopped: bool = False
    interruptions: tuple[Window, ...] = ()
    maintenance: tuple[Interval, ...] = ()
    suspended: Window | None = None
    features: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Call:
    """One call. The byte figures are for writes (LIM-01)."""

    operation: Operation
    object_refused: bool = False
    feature: str | None = None
    used_bytes: int = 0
    put_bytes: int = 0
    replaced_bytes: int = 0
    capacity_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """``reason`` None: served. ``retry_at`` in ms UTC where an end is known."""

    reason: str | None = None
    retry_at: int | None = None


_SERVED = Decision()


def access_decision(standing: Standing, call: Call, now: int) -> Decision:
    """ACC-01: the first of the reasons that holds."""
    return _of_contract(standing, now) or _of_service(standing, now) or _of_call(standing, call) or _SERVED


def _of_contract(standing: Standing, now: int) -> Decision | None:
    today = jst_date(now)
    if standing.stopped:
        return Decision("STOPPED")  # ANT-01
    if standing.start_date is None or today < standing.start_date:
        return Decision("NOT_STARTED")  # APP-05
    terminated = standing.terminated_at is not None and standing.terminated_at <= now
    if terminated or (standing.last_day is not None and today > standing.last_day):
        return Decision("ENDED")  # END-07
    return None


def _of_service(standing: Standing, now: int) -> Decision | None:
    for interruption in standing.interruptions:
        if interruption.holds(now):
            return Decision("INTERRUPTED", interruption.end)  # INT-01
    ends = [window.end for window in standing.maintenance if window.start <= now < window.end]
    if ends:
        return Decision("MAINTENANCE", max(ends))  # OPS-04
    if standing.suspended and standing.suspended.holds(now):
        return Decision("SUSPENDED")  # LIM-04
    return None


def _of_call(standing: Standing, call: Call) -> Decision | None:
    if call.object_refused and call.operation is not Operation.LIST:
        return Decision("REFUSED")  # TKD-02
    if call.feature is not None and call.feature not in standing.features:
        return Decision("FUNCTION_LIMIT")  # LIM-02
    capacity, growth = call.capacity_bytes, call.put_bytes - call.replaced_bytes
    if call.operation is Operation.WRITE and capacity is not None and exceeds(call.used_bytes, growth, capacity):
        return Decision("CAPACITY")
    return None


def exceeds(used: int, growth: int, capacity: int) -> bool:
    """LIM-01: what does not grow the total always passes; exactly full is allowed."""
    return growth > 0 and used + growth > capacity
