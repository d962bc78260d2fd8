"""The regular maintenance windows (RULES OPS-02)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from gateway.domain.calendar import jst_midnight
from gateway.domain.contract.intervals import Interval
from gateway.domain.contract.values import SEED, ContractValues

_HOUR_MS = 3_600_000


def regular_windows(first: date, last: date, values: ContractValues = SEED) -> Iterator[Interval]:
    """The windows whose JST day lies in first…last, ascending; holidays too."""
    day = first
    while day <= last:
        week = (day.day - 1) // 7 + 1
        if day.weekday() == values.maintenance_weekday and week in values.maintenance_weeks:
            midnight = jst_midnight(day)
            yield Interval(
                midnight + values.maintenance_start_hour * _HOUR_MS, midnight + values.maintenance_end_hour * _HOUR_MS
            )
        if day == date.max:
            return
        day += timedelta(days=1)
