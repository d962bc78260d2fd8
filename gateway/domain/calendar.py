"""Billing periods (RULES CAL-01 to CAL-06): JST calendar dates, half-open as instants, without a clock.

A customer's calendar is a row of periods from the service start on, with no gap and no overlap, ever: a *stub* up to
the eve of the first start day, *months*, and a *bridge* wherever an approved change of the start day leaves days over.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from functools import lru_cache

JST = timezone(timedelta(hours=9), "JST")
START_DAY = 21
DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1)
_JST_MS = 9 * 3_600_000
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(:\d\d)?([.,]\d+)?([Zz]|[+-]\d\d(?::?\d\d)?)")


class CalendarError(ValueError):
    """A date, start day or change that the rules refuse; ``code`` is the name of the refusal in RULES."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class PeriodKind(StrEnum):
    """Stubs and bridges are no billing months in any count of months (CAL-05)."""

    STUB = "stub"
    MONTH = "month"
    BRIDGE = "bridge"


@dataclass(frozen=True, slots=True)
class Period:
    """``start`` and ``end`` are its first and last day (both belong to it); it is named by ``start`` (CAL-06)."""

    kind: PeriodKind
    start: date
    end: date

    @property
    def starts_at(self) -> int:
        """Its first instant, ms UTC."""
        return jst_midnight(self.start)

    @property
    def ends_at(self) -> int:
        """The first instant after it, ms UTC."""
        return jst_midnight(self.end) + DAY_MS

    @property
    def days(self) -> int:
        return (self.end - self.start).days + 1


@dataclass(frozen=True, slots=True)
class StartDayChange:
    """The provider approved on ``approved_on`` that the customer's months begin on ``new_day`` (CAL-04)."""

    approved_on: date
    new_day: int


@dataclass(frozen=True)
class BillingCalendar:
    """One customer's billing periods.

    Raises CalendarError: START_DAY_INVALID when made; START_DAY_CHANGE_PENDING from whatever lays out the period in
    which the earlier of two clashing changes was approved, and no sooner (the stub is laid out when it is made);
    BEFORE_SERVICE_START from :meth:`period_of`; BAD_DATE where the calendar of years ends.
    """

    start_date: date
    start_day: int = START_DAY
    changes: Sequence[StartDayChange] = field(default=())

    def __post_init__(self) -> None:
        for day in (self.start_day, *(change.new_day for change in self.changes)):
            if isinstance(day, bool) or not isinstance(day, int) or not 1 <= day <= 31:
                raise CalendarError("START_DAY_INVALID", f"a billing month cannot start on day {day!r}: 1 to 31")

        self._lay_out_stub()

    @property
    def anchor(self) -> date:
        """The first day of the first billing month."""
        return self._lay_out_stub()

    def periods(self, last: date = date.max) -> Iterator[Period]:
        """The periods that start on or before ``last``, in order; none is laid out before it is asked for."""
        day, later, start = self._first_day(), self._later(), self.start_date
        while start <= last:
            period = _period_from(start, day)
            change = _approved_in(period, later)
            if change is None:
                yield period
                if period.end == date.max:
                    return
                start = period.end + timedelta(days=1)
                continue
            day = change.new_day
            start = self._check_pending(period, change, later)
            yield period
            bridge = Period(PeriodKind.BRIDGE, period.end + timedelta(days=1), start - timedelta(days=1))
            if bridge.start <= min(bridge.end, last):
                yield bridge

    def until(self, last: date) -> list[Period]:
        """All periods that start on or before ``last``."""
        return list(self.periods(last))

    def period_of(self, day: date) -> Period:
        """The period that holds a day. BEFORE_SERVICE_START for earlier ones."""
        if day < self.start_date:
            raise CalendarError("BEFORE_SERVICE_START", f"the service starts on {self.start_date}")
        return next(period for period in self.periods() if period.end >= day)

    def priced_from(self, period: Period) -> date:
        """The first day of the month whose plan a period is charged by (FEE-04, D-18): its own; for a bridge that of
        the month before it; the service start for a stub, and for a bridge straight after it."""
        if period.kind is PeriodKind.MONTH:
            return period.start
        months = (one.start for one in self.periods(period.start) if one.kind is PeriodKind.MONTH)
        return max(months, default=self.start_date)

    def _first_day(self) -> int:
        """The start day at the service start: of approvals before it the latest counts, on a tie the later listed."""
        day, approved = self.start_day, date.min
        for change in self.changes:
            if approved <= change.approved_on < self.start_date:
                day, approved = change.new_day, change.approved_on
        return day

    def _later(self) -> list[StartDayChange]:
        """The changes approved from the service start on, the earliest first."""
        later = [change for change in self.changes if change.approved_on >= self.start_date]
        return sorted(later, key=lambda change: change.approved_on)

    def _lay_out_stub(self) -> date:
        """The day after the stub, and after the bridge of a change that was approved in it: the anchor."""
        later, first = self._later(), _period_from(self.start_date, self._first_day())
        if first.kind is PeriodKind.MONTH:
            return self.start_date
        change = _approved_in(first, later)
        return self._check_pending(first, change, later) if change else first.end + timedelta(days=1)

    @staticmethod
    def _check_pending(period: Period, change: StartDayChange, changes: list[StartDayChange]) -> date:
        """The first day of the new calendar; no other change may have been approved before it (CAL-04)."""
        first = _start_on_or_after(period.end + timedelta(days=1), change.new_day)
        following = changes[changes.index(change) + 1 :]
        if following and following[0].approved_on < first:
            raise CalendarError(
                "START_DAY_CHANGE_PENDING",
                f"the change approved on {change.approved_on} takes effect on {first}; until then there is no other",
            )
        del changes[: changes.index(change) + 1]
        return first


def _period_from(start: date, day: int) -> Period:
    """The month that begins on ``start`` if that is a start day, else the stub up to the next one."""
    first = _start_on_or_after(start, day)
    if first > start:
        return Period(PeriodKind.STUB, start, first - timedelta(days=1))
    try:
        return Period(PeriodKind.MONTH, start, _start_on_or_after(_next_month(start), day) - timedelta(days=1))
    except ValueError:
        return Period(PeriodKind.MONTH, start, date.max)


def _approved_in(period: Period, changes: Sequence[StartDayChange]) -> StartDayChange | None:
    return next((change for change in changes if period.start <= change.approved_on <= period.end), None)


def _start_on_or_after(day: date, start_day: int) -> date:
    """CAL-03 (D-08): in a month without that day the billing month starts on the month's last day."""
    here = _clamped(day, start_day)
    return here if here >= day else _clamped(_next_month(day), start_day)


def _clamped(month: date, day: int) -> date:
    return month.replace(day=min(day, calendar.monthrange(month.year, month.month)[1]))


def _next_month(day: date) -> date:
    if (day.year, day.month) == (date.max.year, date.max.month):
        raise CalendarError("BAD_DATE", f"there is no month after {day:%Y-%m}")
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


# -- dates and instants (P-2) -----------------------------------------------------------------------------------------


def jst_midnight(day: date) -> int:
    """The first instant of a JST day, ms UTC."""
    return (day - _EPOCH).days * DAY_MS - _JST_MS


def jst_date(at: int) -> date:
    """The JST day of an instant in ms UTC."""
    return _epoch_day((at + _JST_MS) // DAY_MS)


@lru_cache(maxsize=64)
def _epoch_day(number: int) -> date:
    """Each request asks which day it is."""
    return _EPOCH + timedelta(days=number)


def parse_date(text: object) -> date:
    """``YYYY-MM-DD``; CalendarError BAD_DATE otherwise."""
    if isinstance(text, str) and _DATE.fullmatch(text) and text.isascii():
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise CalendarError("BAD_DATE", f"{text!r} is no date: YYYY-MM-DD")


def parse_time(text: object) -> int:
    """ISO 8601 with an offset or Z, seconds optional, as ms UTC (what is finer is cut); CalendarError BAD_TIME
    otherwise."""
    found = _TIME.fullmatch(text) if isinstance(text, str) and text.isascii() else None
    if found:
        day, minutes, seconds, fraction, offset = found.groups()
        zone = "+00:00" if offset in "Zz" else f"{offset[:3]}:{offset[3:].lstrip(':') or '00'}"
        try:
            moment = datetime.fromisoformat(f"{day}T{minutes}{seconds or ':00'}{zone}").astimezone(UTC)
            return int(moment.timestamp()) * 1000 + int(f"{fraction or '.'}000"[1:4])
        except (ValueError, OverflowError):
            pass
    raise CalendarError("BAD_TIME", f"{text!r} is no time with an offset: 2026-05-04T02:00:00+09:00")


def parse_when(text: object) -> date:
    """A date, or the JST date of a time; an unreadable one is BAD_DATE if it has 10 characters, else BAD_TIME."""
    if isinstance(text, str) and len(text) == 10:
        return parse_date(text)
    try:
        return jst_date(parse_time(text))
    except OverflowError:
        raise CalendarError("BAD_TIME", f"{text!r} is on a day that no calendar has") from None


def format_time(at: int) -> str:
    """An instant as RFC 3339 in UTC with whole seconds, as FOCUS wants it: ``2026-05-20T15:00:00Z``."""
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_jst(at: int) -> str:
    """An instant in the zone of all rules, whole seconds: ``2026-05-21T00:00:00+09:00``."""
    return datetime.fromtimestamp(at // 1000, JST).isoformat()
