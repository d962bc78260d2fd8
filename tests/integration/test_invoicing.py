"""Invoices over a real database, with a clock that is passed in: each to the yen, each once, numbered without gaps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.domain import invoice_records
from gateway.domain.contract.incidents import IncidentKind
from gateway.domain.contract.liability import Liability
from gateway.domain.contract.sla import Cause
from gateway.domain.errors import ActRefused, BackendUnavailable, NotFound
from gateway.domain.invoice import InvoiceDocument, place_of
from gateway.domain.invoice_records import InvoiceRecord
from gateway.service import billing
from gateway.service.billing import Closed
from gateway.service.contracts import Actor
from gateway.service.incidents import Finding, Scope
from gateway.testing.contracts import ANN, CUSTOMER, ISSUER, begin, grant, on, paper
from gateway.testing.space import Clock, Space, open_space

START = date(2027, 4, 5)
MAY, JUNE, JULY, AUGUST = date(2027, 4, 21), date(2027, 5, 21), date(2027, 6, 21), date(2027, 7, 21)


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path, plugins=["quota", "contract_state"], clock=Clock()) as opened:
        opened.services.policies.apply("issuer", ISSUER, "ann")
        yield opened


def close(space: Space, day: date, tenant: str | None = None, **more: Any) -> list[InvoiceDocument]:
    found: list[Closed] = list(space.services.billing.closing.close(day, ANN, tenant, **more))
    assert [one.refused for one in found if one.rule != "CAL-01" and one.refused] == []
    return [document for one in found for document in one.invoices]


def issue(space: Space, until: date | None = None) -> list[InvoiceDocument]:
    return [document for one in space.services.billing.closing.issue(until, ANN) for document in one.invoices]


def lines(document: InvoiceDocument) -> list[tuple[str, int]]:
    return [(line.code, line.amount) for line in document.lines]


def refused(rule: str) -> Any:
    return pytest.raises(ActRefused, check=lambda error: error.clause == rule)


def record(space: Space, number: str) -> InvoiceRecord:
    return space.services.billing.invoices.get(number)


# -- closing ----------------------------------------------------------------------------------------------------------


def test_a_contract_is_invoiced_period_by_period_and_each_period_once(space: Space) -> None:
    begin(space, "acme", START)
    on(space, MAY)
    (stub,) = close(space, START)
    assert (stub.number, stub.dated, stub.due, stub.total) == ("KRD-000001", START, START, 33_000)
    assert lines(stub) == [("initial_fee", 30_000)]
    on(space, AUGUST)
    may, june, july = close(space, JULY)
    assert [one.number for one in (may, june, july)] == ["KRD-000002", "KRD-000003", "KRD-000004"]
    assert [one.dated for one in (may, june, july)] == [MAY, JUNE, JULY]
    assert [lines(one) for one in (may, june, july)] == [[("monthly_fee", 30_000)]] * 3
    assert close(space, JULY) == close(space, START) == []
    assert len(space.services.billing.invoices.all()) == 4


def test_a_period_that_is_not_over_is_refused_and_issued_on_its_day_by_the_other_word(space: Space) -> None:
    begin(space, "acme", START)
    with refused("CAL-01"):
        close(space, START)
    assert [one.dated for one in issue(space)] == [START]
    on(space, MAY - timedelta(days=10))
    with refused("FEE-03"):
        issue(space, MAY + timedelta(days=1))
    assert [one.dated for one in issue(space, MAY)] == [MAY]
    on(space, JUNE)
    assert close(space, MAY) == []


def test_a_dry_run_shows_what_would_be_issued_and_issues_nothing(space: Space) -> None:
    begin(space, "acme", START)
    on(space, MAY)
    shown = close(space, START, dry_run=True)
    assert space.services.billing.invoices.all() == []
    assert close(space, START) == shown


def test_demo_tenants_and_tenants_without_a_contract_are_never_billed(space: Space) -> None:
    space.services.accounts.add_tenant("tryout", plan="standard", demo=True)
    for name in ("tryout", "studio"):
        with refused("SVC-01"):
            close(space, START, name)
    with pytest.raises(NotFound):
        close(space, START, "nobody")
    assert issue(space) == []


def test_each_contract_goes_by_its_own_calendar(space: Space) -> None:
    begin(space, "acme", START)
    begin(space, "other", date(2027, 4, 10), start_day=1)
    on(space, MAY)
    results = {one.contract: one for one in space.services.billing.closing.close(date(2027, 4, 12), ANN)}
    assert [one.dated for one in results["acme"].invoices] == [START]
    assert (results["other"].rule, results["other"].invoices) == ("CAL-01", ())
    on(space, date(2027, 5, 1))
    assert [one.dated for one in close(space, date(2027, 4, 12), "other")] == [date(2027, 4, 10)]


def test_an_upgrade_is_billed_from_the_month_after_it_at_the_prices_that_were_agreed(space: Space) -> None:
    begin(space, "acme", START)
    on(space, date(2027, 5, 1))
    papers = space.services.contracts.papers
    papers.request_change("acme", ANN, paper(space), plan="pro", requested_on=JUNE, change_fee=1_000)
    dearer = space.services.policies.version("plans").text.replace("capacity_fee: 200000", "capacity_fee: 999999")
    space.services.policies.apply("plans", dearer, "ann")
    on(space, AUGUST)
    found = close(space, JULY)
    assert lines(found[2]) == [("monthly_fee", 30_000)]  # the change is on its first day: from the next month (CHG-03)
    assert lines(found[3]) == [("initial_fee_difference", 170_000), ("change_fee", 1_000), ("monthly_fee", 220_000)]
    assert found[3].total == 430_100


def test_the_first_bridge_and_the_new_calendar_are_invoiced_without_a_gap(space: Space) -> None:
    begin(space, "acme", START)
    on(space, date(2027, 5, 2))
    space.services.contracts.papers.request_start_day("acme", ANN, paper(space), 1)
    on(space, date(2027, 7, 1))
    found = close(space, date(2027, 6, 3))
    assert [(one.period.start, one.period.end) for one in found if one.period] == [
        (START, date(2027, 4, 20)),
        (MAY, date(2027, 5, 20)),
        (date(2027, 6, 1), date(2027, 6, 30)),
    ]  # the bridge from 21 to 31 May costs nothing, and what costs nothing is no invoice (D-18, FEE-09)


def test_an_agreed_date_of_payment_moves_the_due_day_only(space: Space) -> None:
    begin(space, "acme", START)
    space.services.contracts.papers.agree_in_writing("acme", ANN, paper(space), "payment", 30)
    (document,) = issue(space)
    assert (document.dated, document.due) == (START, START + timedelta(days=30))


# -- credits ----------------------------------------------------------------------------------------------------------


def test_a_granted_claim_is_deducted_from_the_next_invoice_and_the_rest_carried(space: Space) -> None:
    begin(space, "acme", START)
    on(space, MAY)
    close(space, START)
    on(space, date(2027, 5, 1))
    grant(space, "acme", "C1", 41_250)
    on(space, AUGUST)
    may, june, july = close(space, JULY)
    assert lines(may) == [("monthly_fee", 30_000)]  # dated before the acceptance
    assert (lines(june)[-1], june.tax, june.total) == (("sla_credit", -30_000), 0, 0)
    assert (lines(july)[-1], july.tax, july.total) == (("sla_credit", -11_250), 1_875, 20_625)
    assert june.lines[-1].figures == {"claims": {"claim:C1": 30_000}}
    ledger = space.services.billing.ledger("acme")
    assert [(one.amount, one.used) for one in ledger.grants] == [(41_250, 41_250)]
    assert [[(use.claim, use.amount) for use in one.credits] for one in ledger.invoices] == [
        [], [], [("claim:C1", 30_000)], [("claim:C1", 11_250)],
    ]  # fmt: skip


def test_what_is_left_after_the_last_invoice_is_paid_out_by_its_rule_and_never_twice(space: Space) -> None:
    begin(space, "acme", START, months=1)
    on(space, date(2027, 4, 22))
    space.services.contracts.papers.cancel("acme", ANN, paper(space))
    on(space, JULY)
    close(space, MAY)
    close(space, JUNE)
    refunds = space.services.billing.refunds
    grant(space, "acme", "C1", 12_000)
    assert refunds.due("acme") == {"FEE-10": 12_000}
    today = space.services.billing.invoices.today()
    with refused("FEE-06"):
        refunds.of_contract("acme", ANN, rule="FEE-01", amount=1, on=today, reason="a friend")
    with refused("FEE-10"):
        refunds.of_contract("acme", ANN, rule="FEE-10", amount=12_001, on=today, reason="left over")
    refunds.of_contract("acme", ANN, rule="FEE-10", amount=12_000, on=today, reason="left over")
    assert refunds.due("acme") == {}
    assert space.services.billing.ledger("acme").credit_left == 0


# -- the end ----------------------------------------------------------------------------------------------------------


def test_a_lump_sum_paid_late_lapses_and_paid_in_time_ends_the_contract(space: Space) -> None:
    begin(space, "acme", START, months=12)
    on(space, date(2027, 6, 1))
    papers, invoices = space.services.contracts.papers, space.services.billing.invoices
    papers.cancel("acme", ANN, paper(space))
    *_, closing = issue(space)
    assert (closing.period, closing.dated, closing.due) == (None, date(2027, 6, 1), date(2027, 7, 1))
    assert lines(closing) == [("early_termination", 9 * 30_000)]
    assert (closing.tax, closing.untaxed) == (0, 270_000)
    on(space, date(2027, 7, 2))
    assert record(space, closing.number).state(date(2027, 7, 2)) == "lapsed"
    with refused("END-04"):
        invoices.pay(closing.number, ANN, on=date(2027, 7, 2), method="transfer")
    assert space.services.contracts.book.get("acme").state(space.clock.now) == "active"

    papers.cancel("acme", ANN, paper(space))
    *_, second = issue(space)
    assert (second.due, lines(second)) == (date(2027, 8, 1), [("early_termination", 8 * 30_000)])
    on(space, date(2027, 7, 30))
    invoices.pay(second.number, ANN, on=date(2027, 7, 30), method="transfer", amount=100_000)
    assert space.services.contracts.book.get("acme").cancellations[-1].paid_on is None
    invoices.pay(second.number, ANN, on=date(2027, 7, 30), method="transfer")
    on(space, date(2027, 9, 30))
    assert space.services.contracts.book.get("acme").state(space.clock.now) == "ended"
    assert [one.dated for one in close(space, AUGUST)] == [AUGUST]  # 1 August is in that month: due in full (FEE-05)
    assert close(space, date(2027, 8, 25)) == []
    fees = [one for one in invoices.all() if one.state(date(2027, 9, 30)) != "lapsed"]
    assert sum(one.document["net"] for one in fees) == 30_000 + 12 * 30_000  # minimum × fee, never more (END-03)


def test_a_lump_sum_that_was_recorded_on_the_contract_pays_its_invoice(space: Space) -> None:
    begin(space, "acme", START)
    on(space, date(2027, 6, 1))
    papers = space.services.contracts.papers
    papers.cancel("acme", ANN, paper(space))
    *_, closing = issue(space)
    on(space, date(2027, 6, 20))
    papers.lump_sum_paid("acme", ANN, date(2027, 6, 15))
    assert record(space, closing.number).state(date(2027, 9, 1)) == "paid"
    assert space.services.billing.invoices.all()[-1].open == 0


def test_part_of_a_lapsed_lump_sum_goes_back_by_its_rule(space: Space) -> None:
    begin(space, "acme", START)
    on(space, date(2027, 6, 1))
    space.services.contracts.papers.cancel("acme", ANN, paper(space))
    *_, closing = issue(space)
    invoices, refunds = space.services.billing.invoices, space.services.billing.refunds
    invoices.pay(closing.number, ANN, on=date(2027, 6, 1), method="transfer", amount=50_000)
    with refused("END-04"):
        refunds.of_invoice(closing.number, ANN, rule="END-04", amount=50_000, on=date(2027, 6, 1), reason="lapsed")
    on(space, date(2027, 7, 5))
    refunds.of_invoice(closing.number, ANN, rule="END-04", amount=50_000, on=date(2027, 7, 5), reason="lapsed")
    with refused("END-04"):
        refunds.of_invoice(closing.number, ANN, rule="END-04", amount=1, on=date(2027, 7, 5), reason="lapsed")


def test_credit_and_corrections_on_a_closing_invoice_that_lapsed_wait_for_the_next(space: Space) -> None:
    begin(space, "acme", START)
    on(space, date(2027, 5, 25))
    (stub, *_) = issue(space)
    papers, billing = space.services.contracts.papers, space.services.billing
    papers.request_change("acme", ANN, paper(space), plan="pro", requested_on=date(2027, 6, 25), change_fee=1_000)
    papers.cancel("acme", ANN, paper(space), date(2027, 7, 10))
    grant(space, "acme", "C1", 300)
    reason = {"ja": "誤り", "en": "wrong"}
    billing.invoices.correct(stub.number, 1, ANN, right=29_000, reason=reason)
    (closing,) = issue(space)
    assert [code for code, _ in lines(closing)] == [
        "initial_fee_difference", "change_fee", "early_termination", "correction", "sla_credit",
    ]  # fmt: skip
    assert billing.ledger("acme").credit_left == 0
    on(space, AUGUST)
    assert record(space, closing.number).state(AUGUST) == "lapsed"
    assert billing.ledger("acme").credit_left == 300
    july, august = issue(space)
    assert lines(july) == [("monthly_fee", 30_000), ("correction", -1_000), ("sla_credit", -300)]
    assert lines(august)[:2] == [("initial_fee_difference", 170_000), ("change_fee", 1_000)]
    assert billing.ledger("acme").credit_left == 0


def test_nothing_is_prepared_ahead_for_a_month_after_the_last_day(space: Space) -> None:
    begin(space, "acme", START, months=1)
    on(space, date(2027, 4, 10))
    space.services.contracts.papers.offer_nonrenewal("acme", ANN, paper(space))  # the term ends on 20 May
    on(space, date(2027, 5, 12))
    assert [one.dated for one in issue(space, JUNE)] == [START, MAY]
    on(space, date(2027, 5, 15))
    space.services.contracts.papers.renew("acme", ANN, paper(space))  # a new agreement (TERM-05): now it goes on
    assert [one.dated for one in issue(space, JUNE)] == [JUNE]


def test_a_change_in_the_last_month_is_on_the_closing_invoice(space: Space) -> None:
    begin(space, "acme", START, months=1)
    on(space, date(2027, 5, 25))
    papers = space.services.contracts.papers
    papers.request_change("acme", ANN, paper(space), plan="pro", requested_on=date(2027, 6, 25), change_fee=500)
    papers.cancel("acme", ANN, paper(space), date(2027, 7, 10))
    on(space, date(2027, 7, 25))
    closing = next(one for one in close(space, JULY) if one.period is None)
    assert lines(closing) == [("initial_fee_difference", 170_000), ("change_fee", 500)]  # CHG-09


def test_after_a_termination_its_month_is_due_in_full_and_none_after_it(space: Space) -> None:
    begin(space, "acme", START)
    on(space, date(2027, 6, 3))
    powers, now = space.services.contracts.powers, space.clock.now
    powers.terminate("acme", ANN, ground="17(1)5", arrived_at=now, found_on=date(2027, 6, 3), reason="insolvent")
    on(space, date(2027, 9, 1))
    assert [one.dated for one in close(space, JULY)] == [START, MAY, JUNE]
    assert issue(space) == []


def test_after_a_stop_no_further_month_is_charged(space: Space) -> None:
    begin(space, "acme", START)
    on(space, date(2027, 6, 3))
    powers = space.services.contracts.powers
    powers.request_stop("acme", ANN, "24(2)")
    powers.approve_stop("acme", Actor("bob"))
    on(space, date(2027, 9, 1))
    assert [one.dated for one in issue(space)] == [START, MAY, JUNE]


def test_a_bridge_names_and_charges_the_plan_of_the_month_before_it(space: Space) -> None:
    terms = space.services.policies.version("terms").text
    charged = terms.replace("bridge_charge: {value: none", "bridge_charge: {value: full")
    assert charged != terms
    space.services.policies.apply("terms", charged, "ann")
    begin(space, "acme", START)
    on(space, date(2027, 5, 1))
    papers = space.services.contracts.papers
    papers.request_change("acme", ANN, paper(space), plan="pro", requested_on=date(2027, 5, 12))
    papers.request_start_day("acme", ANN, paper(space), 1)
    on(space, date(2027, 6, 1))
    *_, bridge, june = issue(space)
    assert bridge.period and june.period
    assert (bridge.period.kind, lines(bridge)) == ("bridge", [("bridge_fee", 30_000)])
    assert lines(june)[-1] == ("monthly_fee", 220_000)
    assert [one.lines[-1].figures["plan"] for one in (bridge, june)] == ["Standard 100 GB", "Pro 1 TB"]
    on(space, date(2027, 5, 25))
    assert space.services.billing.damages.standing("acme").cap == 30_000
    on(space, date(2027, 6, 1))
    assert space.services.billing.damages.standing("acme").cap == 220_000


def test_what_the_rules_cannot_invoice_is_told_with_the_rule_and_does_not_stop_the_others(space: Space) -> None:
    begin(space, "acme", START)
    begin(space, "odd", START, customer={**CUSTOMER, "name": "A\tB"})
    found = {one.contract: one for one in space.services.billing.closing.issue(None, ANN)}
    assert (found["odd"].rule, found["odd"].invoices) == ("APP-01", ())
    assert len(found["acme"].invoices) == 1


def test_paid_months_that_have_not_expired_go_back_when_the_provider_discontinues(space: Space) -> None:
    begin(space, "acme", START)
    notice = space.clock.now
    space.services.contracts.powers.discontinue(
        "acme", ANN, last_day=date(2027, 6, 10), email_arrived_at=notice, web_posted_at=notice, reason="sold"
    )
    on(space, date(2027, 6, 11))
    close(space, MAY)
    issue(space)
    invoices, refunds = space.services.billing.invoices, space.services.billing.refunds
    assert refunds.due("acme") == {}
    for one in invoices.all():
        invoices.pay(one.number, ANN, on=date(2027, 6, 11), method="transfer")
    assert refunds.due("acme") == {"DSC-05": 33_000}  # the month of 10 June is not over, the one before is
    today = date(2027, 6, 11)
    refunds.of_contract("acme", ANN, rule="DSC-05", amount=33_000, on=today, reason="discontinued")
    assert refunds.due("acme") == {}


def test_months_go_back_only_where_the_reasons_are_the_providers_own(space: Space) -> None:
    begin(space, "acme", START)
    service = space.services.contracts.discontinuing
    one = service.announce(
        ANN, last_day=date(2027, 6, 10), reason="a flood", notice={}, trouble=True, convenience=False
    )
    service.told(one.id, "acme", ANN, at=space.clock.now)
    service.posted(one.id, ANN, at=space.clock.now)
    on(space, date(2027, 6, 11))
    issue(space)
    invoices = space.services.billing.invoices
    for each in invoices.all():
        invoices.pay(each.number, ANN, on=date(2027, 6, 11), method="transfer")
    assert space.services.contracts.book.get("acme").state(space.clock.now) == "ended"
    assert space.services.billing.refunds.due("acme") == {}


# -- damages ----------------------------------------------------------------------------------------------------------


def test_all_damages_together_with_the_credits_are_a_months_fee_at_most(space: Space) -> None:
    begin(space, "acme", START)
    on(space, date(2027, 6, 1))
    damages, today = space.services.billing.damages, date(2027, 6, 1)
    assert damages.standing("acme") == Liability(30_000)
    grant(space, "acme", "C1", 12_000)
    assert damages.standing("acme").left == 18_000
    with refused("LIA-03"):
        damages.pay("acme", ANN, amount=18_001, on=today, reason="a broken promise")
    assert damages.pay("acme", ANN, amount=18_000, on=today, reason="a broken promise").left == 0
    with refused("LIA-03"):
        damages.pay("acme", ANN, amount=1, on=today, reason="another")
    grant(space, "acme", "C2", 30_000)  # a credit has its own cap (CMP-06)
    assert damages.standing("acme") == Liability(30_000, 42_000, 18_000)
    assert space.services.billing.ledger("acme").credit_left == 42_000
    assert space.services.audit.verify()[2] is None


def test_the_cap_is_the_fee_of_the_billing_month_so_an_upgrade_raises_it_from_the_next(space: Space) -> None:
    begin(space, "acme", START)
    on(space, date(2027, 5, 1))
    space.services.contracts.papers.request_change(
        "acme", ANN, paper(space), plan="pro", requested_on=date(2027, 5, 12)
    )
    on(space, JUNE - timedelta(days=1))
    assert space.services.billing.damages.standing("acme").cap == 30_000
    on(space, JUNE)
    assert space.services.billing.damages.standing("acme").cap == 220_000


def test_no_damages_are_paid_for_what_is_not_the_providers_fault(space: Space) -> None:
    begin(space, "acme", START)
    incidents, damages = space.services.incidents, space.services.billing.damages
    line = incidents.open(ANN, Finding(IncidentKind.OUTAGE, "no gate serves")).id
    incidents.explain(ANN, line, Cause.CARRIER, 5, "the carrier's report", {"en": "a cut line"})
    own = incidents.open(ANN, Finding(IncidentKind.DATA_LOSS, "two disks")).id
    with refused("LIA-02"):
        damages.pay("acme", ANN, amount=1, on=START, reason="a cut line", incident=line)
    with pytest.raises(NotFound):
        damages.pay("acme", ANN, amount=1, on=START, reason="what?", incident="INC-9")
    space.services.accounts.add_tenant("globex", "light")
    other = incidents.open(ANN, Finding(IncidentKind.DATA_LOSS, "a disk", scope=Scope(tenants=["globex"]))).id
    with refused("LIA-02"):
        damages.pay("acme", ANN, amount=1, on=START, reason="a disk of others", incident=other)
    assert damages.pay("acme", ANN, amount=1, on=START, reason="two disks", incident=own).left == 29_999


# -- payments, corrections --------------------------------------------------------------------------------------------


def test_payments_come_in_parts_and_late_and_never_more_than_is_owed(space: Space) -> None:
    begin(space, "acme", START)
    (one,) = issue(space)
    invoices = space.services.billing.invoices
    on(space, MAY)
    assert invoices.pay(one.number, ANN, on=MAY, method="transfer", amount=1).state(MAY) == "partly_paid"
    assert record(space, one.number).is_overdue(MAY)
    with refused("FEE-06"):
        invoices.pay(one.number, ANN, on=MAY, method="transfer", amount=33_000)
    with refused("P-6"):
        invoices.pay(one.number, ANN, on=MAY + timedelta(days=1), method="transfer")
    with refused("FEE-07"):
        invoices.pay(one.number, ANN, on=MAY, method="cash")
    with refused("FEE-07"):
        invoices.pay(one.number, ANN, on=MAY, method="reseller")
    assert invoices.pay(one.number, ANN, on=MAY, method="transfer").state(MAY) == "paid"
    with refused("FEE-06"):
        invoices.pay(one.number, ANN, on=MAY, method="transfer")


def test_a_claim_of_the_agency_is_settled_or_returned_and_not_collected_twice(space: Space) -> None:
    begin(space, "acme", START)
    on(space, JUNE)
    first, second = close(space, MAY)
    invoices = space.services.billing.invoices
    with refused("PAY-01"):
        invoices.settle(first.number, ANN, on=JUNE)
    for one in (first, second):
        invoices.assign(one.number, ANN)
        for act in (invoices.assign, lambda number, who: invoices.pay(number, who, on=JUNE, method="transfer")):
            with refused("PAY-01"):
                act(one.number, ANN)
    with refused("PAY-01"):
        invoices.demand(first.number, ANN, space.clock.now, space.services.contracts.powers)
    with refused("PAY-01"):
        invoices.give_back(first.number, ANN, on=JUNE)
    assert invoices.settle(first.number, ANN, on=JUNE).state(JUNE) == "settled"
    assert invoices.give_back(second.number, ANN, on=JUNE, reason="disputed").state(JUNE) == "returned"
    for act in (invoices.assign, lambda number, who: invoices.settle(number, who, on=JUNE)):
        with refused("PAY-01"):
            act(second.number, ANN)
    assert invoices.pay(second.number, ANN, on=JUNE, method="transfer").state(JUNE) == "paid"


def test_a_demand_rests_on_an_overdue_invoice_and_payment_removes_the_ground(space: Space) -> None:
    begin(space, "acme", START)
    (one,) = issue(space)
    invoices, powers = space.services.billing.invoices, space.services.contracts.powers
    with refused("END-05"):
        invoices.demand(one.number, ANN, space.clock.now, powers)
    on(space, START + timedelta(days=1))
    assert invoices.demand(one.number, ANN, space.clock.now, powers).demands[-1].due_on == START
    on(space, START + timedelta(days=30))
    invoices.pay(one.number, ANN, on=START + timedelta(days=30), method="transfer")
    assert space.services.contracts.book.get("acme").demands[-1].cured == START + timedelta(days=30)
    with refused("END-05"):
        powers.terminate("acme", ANN, ground="17(1)1", arrived_at=space.clock.now, demand="D1")


def test_a_correction_stands_on_the_next_invoice_and_changes_none_before_it(space: Space) -> None:
    begin(space, "acme", START)
    on(space, JUNE)
    _, wrong = close(space, MAY)
    invoices = space.services.billing.invoices
    invoices.correct(wrong.number, 1, ANN, right=25_000, reason={"ja": "値引き漏れ", "en": "discount was missed"})
    with refused("PAY-01"):
        invoices.correct(wrong.number, 1, ANN, right=20_000, reason={"ja": "又", "en": "again"})
    with refused("PAY-01"):
        invoices.correct(wrong.number, 1, ANN, right=30_000, reason={"ja": "又", "en": "again"})
    with pytest.raises(NotFound):
        invoices.correct(wrong.number, 2, ANN, right=1, reason={"ja": "又", "en": "again"})
    on(space, AUGUST)
    right, after = close(space, JULY)
    assert lines(right) == [("monthly_fee", 30_000), ("correction", -5_000)]
    assert lines(after) == [("monthly_fee", 30_000)]
    assert (right.lines[1].corrects, right.tax, right.total) == (wrong.number, 2_500, 27_500)
    assert invoices.document(wrong.number) == (wrong, True)


def test_a_correction_after_the_end_has_an_invoice_of_its_own(space: Space) -> None:
    begin(space, "acme", START, months=1)
    on(space, date(2027, 4, 22))
    space.services.contracts.papers.cancel("acme", ANN, paper(space))
    on(space, date(2027, 7, 1))
    *_, last = close(space, JUNE)
    invoices, refunds = space.services.billing.invoices, space.services.billing.refunds
    invoices.correct(last.number, 1, ANN, right=10_000, reason={"ja": "誤り", "en": "wrong"})
    (extra,) = issue(space)
    assert (extra.period, extra.dated, extra.total) == (None, date(2027, 7, 1), -22_000)
    today = date(2027, 7, 1)
    assert record(space, extra.number).state(today) == "to_refund"
    with refused("PAY-01"):
        refunds.of_invoice(extra.number, ANN, rule="PAY-01", amount=22_001, on=today, reason="wrong")
    done = refunds.of_invoice(extra.number, ANN, rule="PAY-01", amount=22_000, on=today, reason="wrong")
    assert (done.open, done.state(today)) == (0, "nothing_due")
    assert issue(space) == []


def test_what_was_issued_is_shown_as_it_was_whatever_changes_later(space: Space) -> None:
    begin(space, "acme", START)
    (one,) = issue(space)
    space.services.contracts.papers.change_customer("acme", ANN, paper(space), {"name": "別の会社"})
    space.services.policies.apply("issuer", ISSUER.replace("KRD", "NEW").replace("須田町", "錦町"), "ann")
    assert space.services.billing.invoices.document(one.number) == (one, True)
    on(space, JUNE)
    (later,) = close(space, MAY)
    assert (later.number, later.customer.name) == ("NEW-000001", "別の会社")
    assert "錦町" in later.issuer.address.ja
    exported = [act.data for act in space.services.audit.acts()]
    assert "髙橋" not in str(exported)  # no customer's data stands in the chain (CUS-02)


def test_every_act_about_an_invoice_is_folded() -> None:
    folder = Path(billing.__file__).parent
    recorded = {
        kind for file in folder.glob("*.py") for kind in re.findall(r'"(invoice\.\w+)"', file.read_text("utf-8"))
    }
    assert recorded
    assert recorded <= {*invoice_records._STEPS, invoice_records.ISSUED}


# -- numbers ----------------------------------------------------------------------------------------------------------


def gapless(space: Space) -> list[InvoiceRecord]:
    found = space.services.billing.invoices.all()
    assert [place_of(one.number)[1] for one in found] == list(range(1, len(found) + 1))
    assert len({(one.contract, one.key) for one in found}) == len(found)
    return found


def test_a_close_that_fails_half_way_leaves_no_gap(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two", "three"):
        begin(space, name, START)
    on(space, JULY)
    from gateway.db.repositories.acts import Acts

    append, calls = Acts.append, [0]

    def failing(self: Acts, act: Any) -> Any:
        calls[0] += 1
        if calls[0] == 5:
            raise BackendUnavailable("the disk is gone")
        return append(self, act)

    monkeypatch.setattr(Acts, "append", failing)
    with pytest.raises(BackendUnavailable):
        close(space, JUNE)
    monkeypatch.undo()
    assert len(gapless(space)) == 3  # the first contract is done, the second not at all
    close(space, JUNE)
    assert len(gapless(space)) == 9
    assert space.services.audit.verify()[2] is None


# -- the steward ------------------------------------------------------------------------------------------------------


def test_an_ended_period_that_nobody_closes_is_a_warning_and_then_an_error(space: Space) -> None:
    waiting = space.services.billing.waiting
    begin(space, "acme", START)
    assert waiting.health().level == "ok"
    on(space, MAY)
    assert waiting.health().level == "warning"
    on(space, MAY + timedelta(days=5))
    fact = waiting.health()
    assert (fact.level, f"--period {START}" in fact.message) == ("error", True)
    close(space, START)
    assert waiting.health().level == "ok"


def test_the_steward_issues_by_itself_only_when_the_policy_says_so(space: Space) -> None:
    begin(space, "acme", START)
    waiting = space.services.billing.waiting
    assert not waiting.run()
    space.services.policies.apply("issuer", ISSUER + "closing: steward\n", "ann")
    assert waiting.run()
    assert not waiting.run()
    on(space, MAY)
    assert waiting.run()
    assert [one.dated for one in space.services.billing.invoices.all()] == [START, MAY]
    acts = space.services.billing.invoices.history("KRD-000002")
    assert (acts[0].actor, acts[0].role) == ("kurado", "system")
