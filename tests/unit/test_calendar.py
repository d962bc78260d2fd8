"""Billing periods against the public vectors and against the rules themselves."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from gateway.domain.calendar import (
    BillingCalendar,
    CalendarError,
    Period,
    PeriodKind,
    StartDayChange,
    jst_date,
    jst_midnight,
    parse_date,
    parse_time,
    parse_when,
)

VECTORS = Path(__file__).parents[1] / "vectors"


def cases(name: str) -> list[Any]:
    found = json.loads((VECTORS / f"{name}.json").read_text())["cases"]
    return [pytest.param(case, id=case["id"]) for case in found]


def calendar_of(data: dict[str, Any]) -> BillingCalendar:
    changes = [
        StartDayChange(parse_date(one["approved_on"]), one["new_day"]) for one in data.get("start_day_changes", [])
    ]
    return BillingCalendar(parse_date(data["start_date"]), data.get("start_day", 21), changes)


def as_json(period: Period) -> dict[str, str]:
    return {"kind": str(period.kind), "start": str(period.start), "end": str(period.end)}


@pytest.mark.parametrize("case", cases("billing_calendar"))
def test_the_public_vectors_of_billing_calendar_pass(case: dict[str, Any]) -> None:
    try:
        calendar = calendar_of(case["input"])
        answer: Any = {
            "anchor": str(calendar.anchor),
            "periods": [as_json(period) for period in calendar.until(parse_date(case["input"]["until"]))],
        }
    except CalendarError as error:
        answer = {"error": error.code}
    assert answer == case["expected"]


@pytest.mark.parametrize("case", cases("billing_period_of"))
def test_the_public_vectors_of_billing_period_of_pass(case: dict[str, Any]) -> None:
    try:
        answer: Any = as_json(calendar_of(case["input"]).period_of(parse_when(case["input"]["at"])))
    except CalendarError as error:
        answer = {"error": error.code}
    assert answer == case["expected"]


days = st.dates(date(2020, 1, 1), date(2040, 12, 31))
start_days = st.integers(1, 31)


@st.composite
def calendars(draw: st.DrawFn) -> BillingCalendar:
    start = draw(days)
    gaps = draw(st.lists(st.integers(-40, 400), max_size=4))
    changes = [StartDayChange(start + timedelta(days=gap), draw(start_days)) for gap in gaps]
    try:
        return BillingCalendar(start, draw(start_days), changes)
    except CalendarError as error:  # two changes that clash in the stub
        assert error.code == "START_DAY_CHANGE_PENDING"
        reject()


@settings(deadline=None)
@given(calendars())
def test_a_walk_day_by_day_meets_no_gap_and_no_overlap(calendar: BillingCalendar) -> None:
    try:
        periods = calendar.until(calendar.start_date + timedelta(days=900))
    except CalendarError as error:
        assert error.code == "START_DAY_CHANGE_PENDING"
        return
    day = calendar.start_date
    for period in periods:
        assert period.start == day
        assert 1 <= period.days <= (30 if period.kind is not PeriodKind.MONTH else 31)
        while day <= period.end:
            assert calendar.period_of(day) == period
            day += timedelta(days=1)
        assert period.ends_at == jst_midnight(day)


@settings(deadline=None)
@given(calendars())
def test_months_start_on_the_start_day_or_on_the_last_day_of_a_month_without_it(calendar: BillingCalendar) -> None:
    allowed = {calendar.start_day, *(change.new_day for change in calendar.changes)}
    try:
        periods = calendar.until(calendar.start_date + timedelta(days=900))
    except CalendarError:
        return
    for period in periods:
        if period.kind is PeriodKind.MONTH:
            is_last = (period.start + timedelta(days=1)).day == 1
            assert period.start.day in allowed or (is_last and max(allowed) > period.start.day)
    assert calendar.anchor == next(p.start for p in calendar.periods() if p.kind is PeriodKind.MONTH)


@given(calendars())
def test_each_period_is_priced_by_the_month_that_it_is_or_follows(calendar: BillingCalendar) -> None:
    try:
        periods = calendar.until(calendar.start_date + timedelta(days=500))
    except CalendarError:
        return
    month = calendar.start_date
    for period in periods:
        month = period.start if period.kind is PeriodKind.MONTH else month
        assert calendar.priced_from(period) == month


@settings(deadline=None)
@given(days, start_days)
def test_without_changes_there_is_at_most_one_stub_and_no_bridge(start: date, day: int) -> None:
    kinds = [period.kind for period in BillingCalendar(start, day).until(start + timedelta(days=500))]
    assert PeriodKind.BRIDGE not in kinds
    assert kinds.count(PeriodKind.STUB) == (kinds[0] is PeriodKind.STUB)


def test_a_change_before_the_start_is_simply_the_start_day() -> None:
    changes = [StartDayChange(date(2026, 1, 2), 5), StartDayChange(date(2026, 1, 2), 11)]
    calendar = BillingCalendar(date(2026, 2, 11), 21, changes)
    assert calendar.period_of(date(2026, 2, 11)) == Period(PeriodKind.MONTH, date(2026, 2, 11), date(2026, 3, 10))


def test_a_change_approved_in_the_stub_lets_the_stub_end_as_it_was() -> None:
    calendar = BillingCalendar(date(2026, 4, 5), 21, [StartDayChange(date(2026, 4, 6), 1)])
    assert [(p.kind, p.start.isoformat()) for p in calendar.until(date(2026, 5, 2))] == [
        (PeriodKind.STUB, "2026-04-05"),
        (PeriodKind.BRIDGE, "2026-04-21"),
        (PeriodKind.MONTH, "2026-05-01"),
    ]
    assert calendar.anchor == date(2026, 5, 1)


def test_a_change_on_the_first_day_of_the_new_calendar_is_not_pending() -> None:
    changes = [StartDayChange(date(2026, 3, 10), 1), StartDayChange(date(2026, 4, 1), 5)]
    starts = [p.start.isoformat() for p in BillingCalendar(date(2026, 1, 21), 21, changes).until(date(2026, 5, 5))]
    assert starts == ["2026-01-21", "2026-02-21", "2026-03-21", "2026-04-01", "2026-05-01", "2026-05-05"]


def test_the_calendar_of_years_ends_without_an_error() -> None:
    last = list(BillingCalendar(date(9999, 11, 3)).periods())[-1]
    assert last.end == date.max


@settings(deadline=None)
@given(st.integers(0, 4_000_000_000_000))
def test_an_instant_belongs_to_the_jst_day_that_holds_it(at: int) -> None:
    day = jst_date(at)
    assert jst_midnight(day) <= at < jst_midnight(day) + 86_400_000


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("2026-02-30", "BAD_DATE"),
        ("2026/02/03", "BAD_DATE"),
        ("2026-05-20T15:00:00", "BAD_TIME"),
        ("2026-05-20T24:00:00Z", "BAD_TIME"),
        ("2026-05-20T15:00:60Z", "BAD_TIME"),
        ("", "BAD_TIME"),
    ],
)
def test_what_is_no_when_is_refused_by_name(text: str, code: str) -> None:
    with pytest.raises(CalendarError) as caught:
        parse_when(text)
    assert caught.value.code == code


def test_offsets_without_a_colon_and_times_without_seconds_are_read() -> None:
    assert parse_when("2026-05-20T23:59+0900") == date(2026, 5, 20)
    assert parse_when("2026-05-20T23:59+09") == date(2026, 5, 20)
    assert parse_when("2026-05-20T15:00:00.9Z") == date(2026, 5, 21)


@pytest.mark.parametrize("text", ["9999-12-31T15:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_a_time_whose_day_no_calendar_has_is_no_time(text: str) -> None:
    with pytest.raises(CalendarError) as caught:
        parse_when(text)
    assert caught.value.code == "BAD_TIME"


@given(st.integers(0, 4_000_000_000_000_000), st.integers(-14 * 60, 14 * 60))
def test_an_instant_is_the_same_however_it_is_written(micros: int, minutes: int) -> None:
    there = datetime.fromtimestamp(0, timezone(timedelta(minutes=minutes))) + timedelta(microseconds=micros)
    exact = micros // 1000
    assert parse_time(there.isoformat()) == exact
    assert parse_time(there.isoformat(timespec="seconds")) == exact // 1000 * 1000
    assert parse_time(there.strftime("%Y-%m-%dT%H:%M%z")) == exact // 60_000 * 60_000


@given(calendars(), st.integers(-40, 900), st.integers(0, 400))
def test_asking_for_more_periods_never_changes_those_before(calendar: BillingCalendar, first: int, more: int) -> None:
    last = calendar.start_date + timedelta(days=first)
    try:
        some = calendar.until(last)
    except CalendarError:
        with pytest.raises(CalendarError):
            calendar.until(last + timedelta(days=more))
        return
    assert all(period.start <= last for period in some)
    try:
        assert calendar.until(last + timedelta(days=more))[: len(some)] == some
    except CalendarError as error:  # the earlier of two clashing approvals lies in a period that starts later
        assert error.code == "START_DAY_CHANGE_PENDING"
        end = some[-1].end if some else calendar.anchor - timedelta(days=1)
        assert any(change.approved_on > end for change in calendar.changes)
