"""What must hold of every history of outages and maintenance, whatever happened."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.acts import Act
from gateway.domain.calendar import DAY_MS, jst_midnight
from gateway.domain.contract.incidents import IncidentLog
from gateway.domain.contract.records import Contract, Phase
from gateway.domain.contract.reporting import incidents_of
from gateway.domain.contract.sla import (
    Announcement,
    Cause,
    DataLoss,
    Incidents,
    Maintenance,
    Month,
    Outage,
    Posted,
    Report,
    SecurityFailure,
    outage_accounting,
)
from gateway.domain.contract.values import Channel
from gateway.domain.contract.windows import Windows

MINUTE = 60_000
START = date(2027, 4, 21)
FIRST = jst_midnight(START)
MONTH = Month(START, date(2027, 5, 20), 30_000)

minutes = st.integers(0, 60 * 24 * 30)
lengths = st.integers(0, 60 * 24 * 5)
causes = st.one_of(st.just(Cause.PROVIDER), st.sampled_from(list(Cause)))
fees = st.integers(0, 10**7)


@st.composite
def outages(draw: st.DrawFn, number: int) -> Outage:
    begun = FIRST + draw(minutes) * MINUTE
    ended = begun + draw(lengths) * MINUTE
    notices = tuple(
        Posted(what, draw(st.sampled_from(["status_site", "email", "system_information"])), at + draw(lengths) * MINUTE)
        for what, at in (("occurrence", begun), ("recovery", ended))
        if draw(st.booleans())
    )
    return Outage(f"O{number}", begun, ended, draw(causes), draw(st.booleans()), notices)


@st.composite
def maintenances(draw: st.DrawFn, number: int) -> Maintenance:
    begun = FIRST + draw(minutes) * MINUTE
    ended = begun + draw(lengths) * MINUTE
    posts = tuple(
        Announcement("system_information", begun + draw(st.integers(-500, 500)) * MINUTE, start, start + 240 * MINUTE)
        for start in [begun + draw(st.integers(-200, 200)) * MINUTE]
        if draw(st.booleans())
    )
    return Maintenance(f"M{number}", begun, ended, posts)


@st.composite
def histories(draw: st.DrawFn) -> Incidents:
    days = st.integers(0, 29).map(lambda day: START + timedelta(days=day))
    return Incidents(
        tuple(draw(outages(number)) for number in range(draw(st.integers(0, 4)))),
        tuple(draw(maintenances(number)) for number in range(draw(st.integers(0, 3)))),
        tuple(
            DataLoss(f"L{number}", draw(days), True, draw(st.booleans()), draw(causes))
            for number in range(draw(st.integers(0, 3)))
        ),
        tuple(SecurityFailure(f"S{number}", draw(days), draw(causes)) for number in range(draw(st.integers(0, 2)))),
    )


def shifted(history: Incidents, by: int) -> Incidents:
    """The same, some ms later."""
    days = timedelta(days=by // DAY_MS)
    return Incidents(
        tuple(
            replace(
                one,
                recognised_at=one.recognised_at + by,
                recovered_at=None if one.recovered_at is None else one.recovered_at + by,
                notices=tuple(replace(notice, at=notice.at + by) for notice in one.notices),
            )
            for one in history.outages
        ),
        tuple(
            replace(
                one,
                actual_start=one.actual_start + by,
                actual_end=None if one.actual_end is None else one.actual_end + by,
                announcements=tuple(
                    replace(post, at=post.at + by, start=post.start + by, end=post.end + by)
                    for post in one.announcements
                ),
            )
            for one in history.maintenances
        ),
        tuple(replace(one, established_on=one.established_on + days) for one in history.data_losses),
        tuple(replace(one, on=one.on + days) for one in history.security_failures),
    )


def figures(report: Report, by: int = 0) -> object:
    return (
        [(run.span.start - by, run.span.end - by, run.seconds) for run in report.runs],
        [
            (one.kind, one.ref - by if isinstance(one.ref, int) else one.ref, one.amount, one.rule)
            for one in report.breaches
        ],
        report.longest_seconds,
        report.target_met,
        report.credit,
    )


@given(histories(), st.integers(1, 400), fees)
def test_moving_everything_by_whole_days_moves_the_result_and_changes_nothing_else(
    history: Incidents, days: int, fee: int
) -> None:
    month = replace(MONTH, monthly_fee=fee)
    later = Month(month.start + timedelta(days=days), month.end + timedelta(days=days), fee)
    moved = outage_accounting(later, shifted(history, days * DAY_MS))
    assert figures(moved, days * DAY_MS) == figures(outage_accounting(month, history))


@given(histories(), fees)
def test_the_credit_of_a_month_never_exceeds_its_fee(history: Incidents, fee: int) -> None:
    report = outage_accounting(replace(MONTH, monthly_fee=fee), history)
    assert 0 <= report.credit <= report.cap == fee
    assert all(breach.amount <= fee for breach in report.breaches if breach.kind != "availability")


@given(histories(), st.data())
def test_an_outage_within_another_counts_nothing_more(history: Incidents, data: st.DataObject) -> None:
    counted = [one for one in history.outages if one.cause is Cause.PROVIDER and one.full_stop and one.recovered_at]
    if not counted:
        return
    outer = data.draw(st.sampled_from(counted))
    assert outer.recovered_at is not None
    begun, ended = sorted(data.draw(st.integers(outer.recognised_at, outer.recovered_at)) for _ in range(2))
    inner = Outage("within", begun, ended, Cause.PROVIDER)
    report = outage_accounting(MONTH, history)
    more = outage_accounting(MONTH, replace(history, outages=(*history.outages, inner)))
    assert more.runs == report.runs
    assert [one for one in more.breaches if one.kind == "availability"] == [
        one for one in report.breaches if one.kind == "availability"
    ]


@given(histories())
def test_counted_time_never_overlaps_and_each_run_sums_its_own(history: Incidents) -> None:
    report = outage_accounting(MONTH, history)
    parts = [part for run in report.runs for part in run.counted]
    assert all(one.end < other.start or one.end == other.start for one, other in pairwise(parts))
    assert all(sum(part.end - part.start for part in run.counted) // 1000 == run.seconds for run in report.runs)


@given(histories())
def test_what_is_not_the_providers_fault_never_adds_a_second(history: Incidents) -> None:
    own = tuple(one for one in history.outages if one.cause is Cause.PROVIDER)
    report = outage_accounting(MONTH, history)
    assert report.runs == outage_accounting(MONTH, replace(history, outages=own)).runs


# -- from acts --------------------------------------------------------------------------------------------------------

CONTRACT = Contract("acme", Phase.NOTIFIED, Channel.DIRECT, "standard", tenant_id=7, tenant="acme")


def act(name: str, kind: str, **data: object) -> Act:
    return Act(f"incident:{name}", kind, 0, "ann", "operator", "P-6", data=data)


@given(st.lists(st.tuples(minutes, lengths, st.sets(st.sampled_from([7, 8])), causes, st.booleans()), max_size=6))
def test_the_acts_of_outages_give_the_customer_just_those_that_concern_it(
    told: list[tuple[int, int, set[int], Cause, bool]],
) -> None:
    log = IncidentLog()
    for number, (begun, length, tenants, cause, confirmed) in enumerate(told, 1):
        at = FIRST + begun * MINUTE
        first = "incident.recognised" if confirmed else "incident.drafted"
        log = log.after(act(f"INC-{number}", first, recognised_at=at, tenants=sorted(tenants), summary="x"))
        if confirmed:
            log = log.after(act(f"INC-{number}", "incident.recovered", recovered_at=at + length * MINUTE))
            log = log.after(act(f"INC-{number}", "incident.cause_reported", cause=str(cause)))
    found = incidents_of(CONTRACT, log, Windows(), FIRST + 10**12).outages
    assert [(one.recognised_at, one.cause) for one in found] == [
        (FIRST + begun * MINUTE, cause)
        for begun, _, tenants, cause, confirmed in told
        if confirmed and (not tenants or 7 in tenants)
    ]
    assert log.next_id() == f"INC-{len(told) + 1}"
