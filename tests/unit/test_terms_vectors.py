"""The rules against their test vectors, and against laws that hold for every contract."""

from __future__ import annotations

import itertools
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.calendar import DAY_MS, BillingCalendar, PeriodKind, jst_midnight
from gateway.domain.contract import sla
from gateway.domain.contract.ending import cancellation
from gateway.domain.contract.fees import FeeHistory, Upgrade
from gateway.domain.contract.intervals import Interval, cut, merge
from gateway.domain.contract.invoicing import Account, Credit, invoices
from gateway.domain.contract.term import ContractTerms, State
from gateway.domain.contract.values import Channel, PlanFees
from gateway.domain.terms import TaxRate
from gateway.termseval import FUNCTIONS, evaluate, evaluate_lines

VECTORS = Path(__file__).parent.parent / "vectors"


def _cases(folder: Path) -> list[Any]:
    return [
        pytest.param(document["fn"], case["input"], case["expected"], id=f"{document['fn']}-{case['id']}")
        for file in sorted(folder.glob("*.json"))
        for document in [json.loads(file.read_text())]
        for case in document["cases"]
    ]


CASES = _cases(VECTORS)
EDGES = _cases(VECTORS / "edges")
"""Boundaries that the public vectors do not show, worked out from the text of RULES by hand and by a second reading of
it in code of its own."""

RATES = (TaxRate(date(2019, 10, 1), 1000),)

days = st.dates(date(2020, 1, 1), date(2030, 12, 31))
fees = st.builds(PlanFees, st.integers(0, 200_000), st.integers(0, 50_000))
channels = st.sampled_from(list(Channel))
contracts = st.builds(ContractTerms, st.builds(BillingCalendar, days, st.integers(1, 31)), channels, st.integers(1, 24))


@pytest.mark.parametrize(("fn", "asked", "expected"), CASES)
def test_each_vector_is_answered_as_expected(fn: str, asked: dict[str, Any], expected: dict[str, Any]) -> None:
    assert evaluate(fn, asked) == expected


@pytest.mark.parametrize(("fn", "asked", "expected"), EDGES)
def test_each_boundary_is_answered_as_the_rules_say(fn: str, asked: dict[str, Any], expected: dict[str, Any]) -> None:
    assert evaluate(fn, asked) == expected


@pytest.mark.parametrize("cases", [CASES, EDGES])
def test_every_function_has_vectors(cases: list[Any]) -> None:
    assert {case.values[0] for case in cases} == set(FUNCTIONS)


def test_there_are_123_public_cases() -> None:
    assert len(CASES) == 123


def test_lines_are_answered_in_order_and_a_bad_one_stops_nothing() -> None:
    lines = ['{"fn": "refuse_data", "input": {"item": 2}}', "nonsense", "", '{"fn": "none", "input": {}}']
    answers = [json.loads(line) for line in evaluate_lines(lines)]
    assert answers[0] == {"allowed": True, "notice_required": False}
    assert [answer.get("error") for answer in answers[1:]] == ["REQUEST_INVALID", "FUNCTION_UNKNOWN"]


NONSENSE = [
    "[]", "null", "{}", "[" * 100_000, '{"fn": [], "input": {}}', '{"fn": "plan_fees", "input": null}',
    '{"fn": "plan_fees", "input": {}}', '{"fn": "contract_term", "input": {"start_date": "2026-04-21"}}',
    '{"fn": "channel_scope", "input": {"party": [], "act": {}}}', b"\xff\xfe\x00",
]  # fmt: skip
LATE = {"start_date": "9999-06-21", "channel": "direct", "minimum_months": 12}


@pytest.mark.parametrize("line", NONSENSE)
def test_a_line_of_any_nonsense_is_answered_and_so_is_the_next(line: str | bytes) -> None:
    answers = [json.loads(one) for one in evaluate_lines([line, '{"fn": "refuse_data", "input": {"item": 2}}'])]
    assert "error" in answers[0]
    assert answers[1] == {"allowed": True, "notice_required": False}


@pytest.mark.parametrize(
    ("fn", "asked"),
    [
        ("earliest_event", {"kind": "cancel", "received_at": "9999-12-20"}),
        ("claim_check", {"ended_at": "9999-12-31"}),
        ("contract_term", LATE),
        ("cancellation", {**LATE, "plan": {"capacity_fee": 1}, "received_at": "9999-07-01", "as_of": "9999-07-01"}),
        ("contract_status", {**LATE, "as_of": "9999-12-31"}),
        ("plan_change", {"start_date": "9999-06-21", "received_at": "9999-12-30", "requested_on": "9999-12-31"}
            | {key: {"capacity_gb": 1, "features": [], "capacity_fee": 1} for key in ("current", "new")}),
    ],
)  # fmt: skip
def test_beyond_the_calendar_of_years_there_is_an_answer_too(fn: str, asked: dict[str, Any]) -> None:
    assert evaluate(fn, asked) == {"error": "BAD_DATE"}


def test_a_name_of_any_script_comes_back() -> None:
    outage = {"id": "障害\ud800", "recognised_at": "2026-05-05T00:00:00Z", "cause": "carrier", "notices": []}
    asked = {"period": {"start": "2026-04-21", "end": "2026-05-20"}, "monthly_fee": 0, "outages": [outage]}
    request = {"fn": "outage_accounting", "input": {**asked, "as_of": "2026-05-05T03:00:00Z"}}
    answer = json.loads(next(evaluate_lines([json.dumps(request)])))
    assert [breach["ref"] for breach in answer["breaches"]] == ["障害\ud800:occurrence"]


@pytest.mark.parametrize("amount", [True, False, 1.0, "1", -1])
def test_an_amount_that_is_no_whole_yen_is_refused_wherever_it_stands(amount: object) -> None:
    assert evaluate("plan_fees", {"capacity_fee": 1, "option_fee": amount}) == {"error": "MONEY_INVALID"}


# -- terms ------------------------------------------------------------------------------------------------------------


@given(contracts)
def test_terms_follow_each_other_without_gap_and_end_with_a_billing_month(contract: ContractTerms) -> None:
    ends = {period.end for period in contract.calendar.until(date(2080, 1, 1)) if period.kind is PeriodKind.MONTH}
    start = contract.calendar.start_date
    for _, term in zip(range(4), contract.terms(), strict=False):
        assert term.start == start
        assert term.last_day in ends
        start = term.last_day + timedelta(days=1)


@given(contracts, st.lists(days, max_size=3), st.lists(days, max_size=3), days)
def test_a_paper_not_yet_received_changes_nothing(
    contract: ContractTerms, notices: list[date], applications: list[date], on: date
) -> None:
    seen = contract.status(on, [n for n in notices if n <= on], [a for a in applications if a <= on])
    assert contract.status(on, notices, applications) == seen


@given(contracts, st.lists(days, max_size=3), days)
def test_an_ended_contract_stays_ended(contract: ContractTerms, notices: list[date], on: date) -> None:
    status = contract.status(on, notices)
    if status.state is State.ENDED:
        later = contract.status(on + timedelta(days=400), notices)
        assert later.ended_on == status.ended_on


# -- money ------------------------------------------------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn) -> tuple[ContractTerms, FeeHistory, date]:
    contract = draw(contracts)
    start = contract.calendar.start_date
    later = st.integers(0, 700).map(lambda n: start + timedelta(days=n))
    upgrades = draw(st.lists(st.builds(Upgrade, later, fees, st.integers(0, 5000)), max_size=3))
    return contract, FeeHistory(draw(fees), upgrades), draw(later)


@given(histories())
def test_monthly_fees_and_lump_sum_together_are_the_minimum(case: tuple[ContractTerms, FeeHistory, date]) -> None:
    contract, history, received = case
    result = cancellation(contract, history, received, None, None, received)
    last = result.granted_last_day
    kept = history.until(last)
    months = contract.minimum()
    billed = sum(kept.of_month(month.start).monthly for month in months if month.start <= last)
    assert billed + result.lump_sum == sum(kept.of_month(month.start).monthly for month in months)


@given(histories(), st.lists(st.builds(Credit, days, st.integers(0, 100_000)), max_size=4))
def test_no_yen_of_a_credit_is_lost_and_none_is_given_twice(
    case: tuple[ContractTerms, FeeHistory, date], credits: list[Credit]
) -> None:
    contract, history, until = case
    made, left = invoices(Account(contract, history, RATES, credits=credits), until)
    used = -sum(line.amount for one in made for line in one.lines if line.code == "sla_credit")
    assert used + left == sum(credit.amount for credit in credits)
    assert all(one.taxable >= 0 for one in made)


@given(histories())
def test_every_change_is_billed_exactly_once(case: tuple[ContractTerms, FeeHistory, date]) -> None:
    contract, history, received = case
    last = received + timedelta(days=30)
    account = Account(contract, history, RATES, cancelled=(received, last))
    made, _ = invoices(account, date(2060, 1, 1))
    change_fees = sum(line.amount for one in made for line in one.lines if line.code == "change_fee")
    if last >= contract.calendar.start_date:
        assert change_fees == sum(one.change_fee for one in history.upgrades if one.effective_on <= last)


@given(histories())
def test_invoices_never_change_when_more_of_them_are_asked_for(case: tuple[ContractTerms, FeeHistory, date]) -> None:
    contract, history, until = case
    some, _ = invoices(Account(contract, history, RATES), until)
    more, _ = invoices(Account(contract, history, RATES), until + timedelta(days=90))
    assert more[: len(some)] == some


# -- service level ----------------------------------------------------------------------------------------------------

BASE = jst_midnight(date(2026, 5, 1))
spans = st.tuples(st.integers(0, 20 * 86_400), st.integers(0, 3 * 86_400)).map(
    lambda pair: (BASE + pair[0] * 1000, BASE + (pair[0] + pair[1]) * 1000)
)


def _outages(pairs: list[tuple[int, int]], cause: sla.Cause = sla.Cause.PROVIDER) -> tuple[sla.Outage, ...]:
    return tuple(sla.Outage(f"o{n}", start, end, cause) for n, (start, end) in enumerate(pairs))


def _month(fee: int = 30_000, shift: int = 0) -> sla.Month:
    moved = timedelta(days=shift)
    return sla.Month(date(2026, 4, 21) + moved, date(2026, 6, 20) + moved, fee)


@given(st.lists(spans, max_size=6), st.integers(0, 100_000))
def test_credits_never_exceed_the_months_fee(pairs: list[tuple[int, int]], fee: int) -> None:
    report = sla.outage_accounting(_month(fee), sla.Incidents(_outages(pairs)))
    assert report.credit <= fee
    assert report.credit == min(fee, report.total)


@given(st.lists(spans, max_size=5), st.integers(-400, 400))
def test_moving_everything_by_whole_days_moves_the_result(pairs: list[tuple[int, int]], shift: int) -> None:
    moved = [(start + shift * DAY_MS, end + shift * DAY_MS) for start, end in pairs]
    here = sla.outage_accounting(_month(), sla.Incidents(_outages(pairs)))
    there = sla.outage_accounting(_month(shift=shift), sla.Incidents(_outages(moved)))
    assert [run.seconds for run in here.runs] == [run.seconds for run in there.runs]
    assert [breach.amount for breach in here.breaches] == [breach.amount for breach in there.breaches]


@given(st.lists(spans, max_size=5), st.lists(spans, max_size=5))
def test_exempt_outages_do_not_exist_for_the_sum(pairs: list[tuple[int, int]], exempt: list[tuple[int, int]]) -> None:
    alone = sla.outage_accounting(_month(), sla.Incidents(_outages(pairs)))
    others = _outages(exempt, sla.Cause.FORCE_MAJEURE)
    both = sla.outage_accounting(_month(), sla.Incidents((*_outages(pairs), *others)))
    assert alone.runs == both.runs


small = st.lists(st.builds(lambda a, b: Interval(min(a, b), max(a, b)), st.integers(0, 60), st.integers(0, 60)))


@given(small, small)
def test_intervals_are_sets_of_instants(parts: list[Interval], holes: list[Interval]) -> None:
    def instants(listed: list[Interval]) -> set[int]:
        return {at for one in listed for at in range(one.start, one.end)}

    merged = merge(parts)
    assert instants(merged) == instants(parts)
    assert all(before.end < after.start for before, after in itertools.pairwise(merged))
    assert instants(cut(merged, holes)) == instants(parts) - instants(holes)


@given(days)
def test_the_last_claim_day_is_about_three_months_later_and_never_earlier_for_a_later_end(ended: date) -> None:
    last = sla.last_claim_day(ended)
    assert 89 <= (last - ended).days <= 92
    assert sla.last_claim_day(ended + timedelta(days=1)) >= last
