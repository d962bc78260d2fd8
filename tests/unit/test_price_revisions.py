"""New prices (REV-01): for the months that start on their day or later, and nothing else."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.calendar import BillingCalendar, PeriodKind
from gateway.domain.contract.fees import FeeHistory, Upgrade
from gateway.domain.contract.invoicing import Account, invoices
from gateway.domain.contract.notices import Revision, terms_in_force
from gateway.domain.contract.term import ContractTerms
from gateway.domain.contract.values import Channel, ContractValues, PlanFees
from gateway.domain.terms import TaxRate

RATES = (TaxRate(date(2019, 10, 1), 1000),)
START = date(2027, 4, 5)
days = st.dates(START, date(2029, 4, 1))
fees = st.builds(PlanFees, st.integers(1, 200_000), st.integers(0, 50_000))


def account(first: PlanFees, *changes: Upgrade) -> Account:
    terms = ContractTerms(BillingCalendar(START), Channel.DIRECT, 12)
    return Account(terms, FeeHistory(first, changes), RATES)


@given(fees, fees, days)
def test_a_month_costs_the_new_price_from_its_first_start_on_that_day_on(
    old: PlanFees, new: PlanFees, since: date
) -> None:
    made, _ = invoices(account(old, Upgrade(since, new, revised=True)), date(2029, 6, 1))
    for invoice in made:
        codes = {line.code: line.amount for line in invoice.lines}
        assert not {"change_fee", "initial_fee_difference"} & set(codes)
        if invoice.period and invoice.period.kind is PeriodKind.MONTH:
            assert codes["monthly_fee"] == (new if invoice.period.start >= since else old).monthly


@given(fees, fees, fees, days, days)
def test_an_upgrade_after_new_prices_is_measured_by_the_price_of_then(
    old: PlanFees, revised: PlanFees, larger: PlanFees, first: date, second: date
) -> None:
    since, change = sorted((first, second))
    made, _ = invoices(
        account(old, Upgrade(since, revised, revised=True), Upgrade(change, larger, 500)), date(2029, 6, 1)
    )
    lines = [line for invoice in made for line in invoice.lines]
    assert sum(line.amount for line in lines if line.code == "change_fee") == 500
    difference = sum(line.amount for line in lines if line.code == "initial_fee_difference")
    assert difference == max(0, larger.capacity_fee - revised.capacity_fee)


@given(st.lists(st.tuples(days, days), max_size=4), days)
def test_what_binds_is_never_younger_than_its_notice(told: list[tuple[date, date]], on: date) -> None:
    revisions = [Revision("0", date.min, None, original=True)]
    revisions += [Revision(str(number), effective, notice) for number, (effective, notice) in enumerate(told, 1)]
    revision, since = terms_in_force(revisions, on)
    assert since <= on
    if not revision.original:
        effective, notice = told[int(revision.version) - 1]
        assert since >= effective and since > notice


@given(st.integers(1, 24), st.integers(1, 24), days)
def test_a_term_lives_by_the_renewal_in_force_at_its_start(old: int, new: int, since: date) -> None:
    before, after = ContractValues(renewal_months=old), ContractValues(renewal_months=new)
    values = ContractValues(renewal_months=new, history=((date.min, before), (since, after)))
    terms = ContractTerms(BillingCalendar(date(2027, 4, 21)), Channel.DIRECT, 12, values)
    found = [term for _, term in zip(range(4), terms.terms(), strict=False)]
    for term in found[1:]:
        months = (term.last_day.year - term.start.year) * 12 + term.last_day.month - term.start.month
        assert months == (new if term.start >= since else old)
