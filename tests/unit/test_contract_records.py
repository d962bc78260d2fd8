"""Contracts, windows and takedowns as their acts tell them: pure folds, and what follows from them on a day."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.acts import GENESIS, Act, chained, check_chain
from gateway.domain.calendar import DAY_MS, jst_midnight
from gateway.domain.contract.access import Call, Operation, access_decision
from gateway.domain.contract.intervals import Interval
from gateway.domain.contract.records import (
    _STEPS,
    Agreed,
    Contract,
    Phase,
    after,
    agreed_data,
    agreed_from,
    erasable_from,
    fold,
    opens_at,
)
from gateway.domain.contract.values import Channel
from gateway.domain.contract.windows import Windows

ROOT = Path(__file__).parents[2]
PLAN = Agreed("standard", 30_000, 0, 100 * 1024**3, ("thumbnails",))
START = date(2027, 4, 5)

days = st.dates(date(2027, 4, 5), date(2031, 12, 31))


def act(kind: str, subject: str = "contract:acme", /, **data: Any) -> Act:
    return Act(subject, kind, 0, "ann", "operator", "P-6", tenant_id=7, data=data)


def begun(route: str = "direct", months: int = 3, start: date = START) -> list[Act]:
    arrived = jst_midnight(start) - DAY_MS
    return [
        act("contract.applied", route=route, plan="standard", wished_start=None),
        act("contract.review_begun"),
        act("contract.accepted", agreed=agreed_data(PLAN), minimum_months=months, start_day=21),
        act("contract.registered", tenant="acme"),
        act("contract.start_notified", start_date=start.isoformat(), arrived_at=arrived),
    ]


def contract(*more: Act, route: str = "direct", months: int = 3) -> Contract:
    folded = fold([*begun(route, months), *more])
    assert folded is not None
    return folded


papers = st.one_of(
    st.builds(lambda day: act("contract.nonrenewal_offered", received_on=day.isoformat()), days),
    st.builds(lambda day: act("contract.renewal_applied", received_on=day.isoformat()), days),
    st.builds(
        lambda day, wish: act(
            "contract.cancelled", received_on=day.isoformat(), wished_last_day=wish and wish.isoformat()
        ),
        days,
        st.none() | days,
    ),
    st.builds(
        lambda day: act("contract.plan_changed", agreed=agreed_data(PLAN), effective_on=day.isoformat(), change_fee=0),
        days,
    ),
)
histories = st.lists(papers, max_size=6)


def served(one: Contract, day: date) -> bool:
    now = jst_midnight(day) + DAY_MS // 2
    return access_decision(one.standing(day), Call(Operation.READ), now).reason is None


@given(histories, st.sampled_from(list(Channel)))
def test_folding_act_by_act_is_the_same_as_folding_all(more: Sequence[Act], route: Channel) -> None:
    acts = [*begun(route), *more]
    one: Contract | None = None
    for number, each in enumerate(acts):
        one = after(one, each)
        assert one == fold(acts[: number + 1])


@given(histories, st.sampled_from(list(Channel)), days)
def test_a_tenant_is_served_on_every_day_from_the_start_to_the_last_day_and_on_none_after(
    more: Sequence[Act], route: Channel, day: date
) -> None:
    one = contract(*more, route=str(route))
    last = one.last_day(day)
    assert served(one, day) == (last is None or day <= last)
    assert not served(one, START - timedelta(days=1))
    if last is not None:
        assert last >= START


def test_a_referral_contract_has_a_last_day_until_its_renewal_is_asked_for() -> None:
    day = date(2027, 5, 1)
    assert contract(route="referral").last_day(day) == date(2027, 10, 20)
    asked = act("contract.renewal_applied", received_on=day.isoformat())
    assert contract(asked, route="referral").last_day(day) is None
    assert contract().last_day(day) is None


@given(days, st.integers(0, 400))
def test_retention_is_over_only_when_all_its_days_have_passed(ended: date, retention: int) -> None:
    assert (erasable_from(ended, retention) - ended).days == retention + 1


def test_an_act_of_no_known_kind_changes_nothing() -> None:
    one = contract()
    assert after(one, act("contract.customer_changed", fields=["email"])) is one
    assert fold([act("contract.accepted")]) is None


def test_every_kind_that_a_service_records_is_folded() -> None:
    service = ROOT / "gateway" / "service"
    sources = "".join(file.read_text() for name in ("contracts", "billing") for file in (service / name).glob("*.py"))
    recorded = set(re.findall(r'"(contract\.\w+)"', sources))
    assert recorded - {"contract.applied", "contract.customer_changed"} == set(_STEPS)


@pytest.mark.parametrize("features", [(), ("a", "b")])
def test_the_conditions_of_an_acceptance_come_back_from_its_act(features: tuple[str, ...]) -> None:
    agreed = replace(PLAN, features=features, capacity=None)
    assert agreed_from(agreed_data(agreed)) == agreed


def test_access_opens_at_midnight_or_when_the_notice_arrives_on_that_day() -> None:
    assert opens_at(contract()) == jst_midnight(START)
    noon = jst_midnight(START) + DAY_MS // 2
    late = fold([*begun()[:-1], act("contract.start_notified", start_date=START.isoformat(), arrived_at=noon)])
    assert late is not None
    assert opens_at(late) == noon
    assert opens_at(replace(late, notice_arrived_at=None)) is None


def test_phases_follow_the_papers() -> None:
    phases = [one.phase for number in range(1, 6) if (one := fold(begun()[:number]))]
    assert phases == [Phase.APPLIED, Phase.UNDER_REVIEW, Phase.ACCEPTED, Phase.REGISTERED, Phase.NOTIFIED]


# -- windows ----------------------------------------------------------------------------------------------------------


def test_a_closed_window_ends_when_it_was_closed_and_one_that_had_not_begun_holds_never() -> None:
    windows = Windows()
    for each in (
        act("maintenance.announced", "maintenance:M1", start=100, end=200),
        act("maintenance.announced", "maintenance:M2", start=300, end=400),
        act("maintenance.closed", "maintenance:M1", at=150),
        act("maintenance.closed", "maintenance:M2", at=150),
    ):
        windows = windows.after(each)
    first, second = windows.maintenance_of(7)
    assert (first.start, first.end) == (100, 150)
    assert second.start == second.end == 300


def test_a_window_for_some_tenants_concerns_no_other() -> None:
    opened = act("interruption.opened", "interruption:I1", **{"from": 5, "to": None, "tenants": [7]})
    windows = Windows().after(opened)
    assert len(windows.interruptions_of(7)) == 1
    assert windows.interruptions_of(8) == ()


def test_a_regular_window_refuses_calls_as_posted_and_is_cut_where_it_was_closed_early() -> None:
    two, six = (jst_midnight(date(2027, 5, 3)) + hour * 3_600_000 for hour in (2, 6))
    subject = "maintenance:regular-2027-05-03"
    assert Windows().regular_around(two) == ()
    post = act("maintenance.posted", subject, start=two, end=six)
    late = Windows().after(replace(post, at=two))
    assert late.regular_around(two) == ()
    posted = Windows().after(replace(post, at=two - 1))
    assert posted.regular_around(two) == (Interval(two, six),)
    assert posted.regular_around(jst_midnight(date(2027, 5, 17))) == ()
    closed = posted.after(act("maintenance.closed", subject, at=two + 1000))
    assert closed.regular_around(two) == (Interval(two, two + 1000),)


# -- the chain --------------------------------------------------------------------------------------------------------


def chain(length: int) -> list[Act]:
    acts, previous = [], GENESIS
    for number in range(1, length + 1):
        acts.append(chained(act("noted", number=number), number, previous))
        previous = acts[-1].digest
    return acts


@given(st.integers(1, 8), st.data())
def test_any_change_of_any_act_is_found(length: int, data: st.DataObject) -> None:
    acts = chain(length)
    assert check_chain(acts, length)[1] is None
    place = data.draw(st.integers(0, length - 1))
    changes: dict[str, Any] = data.draw(
        st.sampled_from(
            [{"actor": "eve"}, {"at": 1}, {"rule": "X-1"}, {"data": {"a": 1}}, {"tenant_id": 8}, {"after": "x"}]
        )
    )
    acts[place] = replace(acts[place], **changes)
    _, fault = check_chain(acts, length)
    assert fault is not None
    assert fault.seq == place + 1


@given(st.integers(2, 8), st.data())
def test_acts_taken_out_or_swapped_are_found(length: int, data: st.DataObject) -> None:
    acts = chain(length)
    place = data.draw(st.integers(0, length - 2))
    assert check_chain([*acts[:place], *acts[place + 1 :]], length)[1] is not None
    acts[place], acts[place + 1] = acts[place + 1], acts[place]
    assert check_chain(acts, length)[1] is not None
