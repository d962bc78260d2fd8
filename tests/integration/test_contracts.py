"""A contract's life over a real database: each act, what it opens or closes, and the rule that refuses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.acts import ActorRole
from gateway.domain.calendar import jst_midnight, parse_time
from gateway.domain.contract.access import Decision
from gateway.domain.contract.records import Contract
from gateway.domain.errors import (
    ActRefused,
    AlreadyExists,
    Interrupted,
    InvalidName,
    Maintenance,
    NotFound,
    TenantSuspended,
)
from gateway.hooks import Request
from gateway.service.contracts import Actor, ContractServices, Paper
from gateway.service.contracts.intake import Application
from gateway.testing.space import Clock, Space, open_space

ANN, BOB = Actor("ann"), Actor("bob")
CUSTOMER = {"name": "ACME", "address": "Tokyo", "contact": "Hanako", "email": "acme@example.jp"}
MARCH = parse_time("2027-03-10T10:00+09:00")


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path, plugins=["quota", "contract_state"], clock=Clock(MARCH)) as opened:
        yield opened


@pytest.fixture
def contracts(space: Space) -> ContractServices:
    return space.services.contracts


def at(space: Space, text: str) -> None:
    """Moves the clock to a JST time."""
    space.clock.now = parse_time(text + "+09:00")


def paper(space: Space) -> Paper:
    return Paper(space.clock.now, "post", "0" * 64, "a letter")


def application(route: str = "direct", plan: str = "standard") -> Application:
    return Application(CUSTOMER, plan, "invoice", route, date(2027, 4, 5), "2017-06-01", "privacy-3", MARCH - 60_000)


def applied(contracts: ContractServices, route: str = "direct", name: str = "acme") -> Contract:
    return contracts.intake.apply(name, application(route), ANN)


def accepted(contracts: ContractServices, route: str = "direct", name: str = "acme", months: int = 3) -> Contract:
    applied(contracts, route, name)
    contracts.intake.review(name, ANN)
    return contracts.intake.accept(name, ANN, minimum_months=months, reason="all papers are there")


def notified(
    space: Space, route: str = "direct", name: str = "acme", months: int = 3, start: date = date(2027, 4, 5)
) -> Contract:
    contracts = space.services.contracts
    accepted(contracts, route, name, months)
    contracts.intake.register(name, ANN, login="hanako", password="correct horse")
    now = space.clock.now
    return contracts.intake.notify_start(name, ANN, start_date=start, sent_at=now, arrived_at=now)


def decision(space: Space, name: str = "acme") -> Decision:
    return space.services.standings.decide(space.services.accounts.tenant(name))


def refused(rule: str) -> Any:
    """The act is refused, and the refusal names the rule."""
    return pytest.raises(ActRefused, check=lambda error: error.clause == rule)


def test_access_opens_at_midnight_in_japan_of_the_start_date(space: Space) -> None:
    notified(space)
    at(space, "2027-04-04T23:59:59.999")
    assert decision(space) == Decision("NOT_STARTED")
    space.clock.now = jst_midnight(date(2027, 4, 5))
    assert decision(space) == Decision()


def test_every_step_is_an_act_with_who_when_rule_before_and_after(space: Space, contracts: ContractServices) -> None:
    notified(space)
    acts = contracts.book.history("acme")
    assert [(act.kind, act.rule, act.before, act.after) for act in acts] == [
        ("contract.applied", "APP-01", "", "applied"),
        ("contract.review_begun", "APP-03", "applied", "under_review"),
        ("contract.accepted", "APP-03", "under_review", "accepted"),
        ("contract.registered", "APP-04", "accepted", "registered"),
        ("contract.start_notified", "APP-05", "registered", "notified"),
    ]
    assert {(act.actor, act.role, act.at) for act in acts} == {("ann", "operator", MARCH)}


# -- intake -----------------------------------------------------------------------------------------------------------


def test_no_tenant_exists_before_registration_and_registration_makes_all_or_nothing(
    space: Space, contracts: ContractServices
) -> None:
    accepted(contracts)
    with pytest.raises(NotFound):
        space.services.accounts.tenant("acme")
    with pytest.raises(InvalidName):
        contracts.intake.register("acme", ANN, login="no:login", password="correct horse")
    with pytest.raises(NotFound):
        space.services.accounts.tenant("acme")
    contracts.intake.register("acme", ANN, login="hanako", password="correct horse")
    assert [user.login for user in space.services.accounts.users("acme")] == ["hanako"]
    assert decision(space) == Decision("NOT_STARTED")


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"privacy_version": ""}, "APP-02"),
        ({"privacy_agreed_at": None}, "APP-02"),
        ({"privacy_agreed_at": MARCH + 1}, "P-6"),
        ({"customer": {**CUSTOMER, "email": " "}}, "APP-01"),
        ({"terms_version": ""}, "APP-01"),
        ({"payment_method": "cash"}, "FEE-07"),
        ({"route": "pigeon"}, "APP-01"),
    ],
)
def test_an_application_that_lacks_something_is_refused(
    contracts: ContractServices, changes: dict[str, Any], rule: str
) -> None:
    with refused(rule):
        contracts.intake.apply("acme", replace(application(), **changes), ANN)


def test_a_second_application_of_the_same_name_is_another_contract(contracts: ContractServices) -> None:
    applied(contracts)
    with pytest.raises(AlreadyExists):
        applied(contracts)


def test_no_step_of_the_intake_can_be_skipped_or_done_twice(space: Space, contracts: ContractServices) -> None:
    intake = contracts.intake
    steps: list[tuple[str, Callable[[], object]]] = [
        ("APP-03", lambda: intake.review("acme", ANN)),
        ("APP-03", lambda: intake.accept("acme", ANN, minimum_months=3, reason="complete")),
        ("SVC-01", lambda: intake.register("acme", ANN, login="hanako", password="correct horse")),
        ("APP-05", lambda: intake.notify_start("acme", ANN, start_date=date(2027, 4, 5), sent_at=MARCH)),
        ("APP-05", lambda: intake.start_notice_arrived("acme", ANN, MARCH)),
    ]
    applied(contracts)
    for number, (_, step) in enumerate(steps):
        for rule, other in [*steps[:number], *steps[number + 1 :]]:
            with refused(rule):
                other()
        step()


def test_a_rejected_application_stays_rejected(contracts: ContractServices) -> None:
    applied(contracts)
    contracts.intake.review("acme", ANN)
    assert contracts.intake.reject("acme", ANN, "papers are false").phase == "rejected"
    with refused("APP-03"):
        contracts.intake.accept("acme", ANN, minimum_months=3, reason="after all")


def test_a_start_before_the_day_of_its_notice_is_refused(space: Space) -> None:
    with refused("APP-05"):
        notified(space, start=date(2027, 3, 9))
    assert space.services.contracts.intake.notify_start(
        "acme", ANN, start_date=date(2027, 3, 10), sent_at=space.clock.now
    )


def test_a_start_notice_works_on_arrival_and_a_late_one_starts_the_use_late(
    space: Space, contracts: ContractServices
) -> None:
    accepted(contracts)
    contracts.intake.register("acme", ANN, login="hanako", password="correct horse")
    contracts.intake.notify_start("acme", ANN, start_date=date(2027, 3, 12), sent_at=MARCH)
    at(space, "2027-03-20T12:00")
    assert decision(space) == Decision("NOT_STARTED")
    one = contracts.intake.start_notice_arrived("acme", ANN, space.clock.now)
    assert one.start_date == date(2027, 3, 20)
    assert decision(space) == Decision()


# -- changes ----------------------------------------------------------------------------------------------------------


def test_an_upgrade_asked_for_too_early_is_moved_and_its_limits_count_from_midnight(
    space: Space, contracts: ContractServices
) -> None:
    notified(space)
    at(space, "2027-06-11T15:00")
    one = contracts.papers.request_change("acme", ANN, paper(space), plan="pro", requested_on=date(2027, 6, 12))
    assert one.changes[0].effective_on == date(2027, 6, 21)
    at(space, "2027-06-20T23:59:59")
    contracts.upkeep.run()
    assert space.services.accounts.tenant("acme").plan == "standard"
    at(space, "2027-06-21T00:00")
    assert contracts.upkeep.run()
    assert space.services.accounts.tenant("acme").plan == "pro"
    assert not contracts.upkeep.run()


def test_a_lower_plan_and_any_change_after_a_cancellation_are_refused(
    space: Space, contracts: ContractServices
) -> None:
    notified(space, months=1)
    at(space, "2027-06-01T10:00")
    with refused("CHG-05"):
        contracts.papers.request_change("acme", ANN, paper(space), plan="light", requested_on=date(2027, 7, 1))
    contracts.papers.cancel("acme", ANN, paper(space))
    with refused("CHG-08"):
        contracts.papers.request_change("acme", ANN, paper(space), plan="pro", requested_on=date(2027, 7, 1))


def test_a_second_change_of_the_start_day_waits_for_the_first(space: Space, contracts: ContractServices) -> None:
    notified(space)
    at(space, "2027-05-01T10:00")
    contracts.papers.request_start_day("acme", ANN, paper(space), 1)
    with refused("CAL-04"):
        contracts.papers.request_start_day("acme", ANN, paper(space), 10)
    with refused("CAL-03"):
        contracts.papers.request_start_day("acme", ANN, paper(space), 32)
    assert len(contracts.book.get("acme").start_day_changes) == 1


# -- renewal ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("received", "ended"), [("2027-06-20T23:59", date(2027, 7, 20)), ("2027-06-21T00:00", date(2028, 7, 20))]
)
def test_an_offer_in_time_ends_the_term_and_a_late_one_the_next(space: Space, received: str, ended: date) -> None:
    notified(space)  # from 21 April, 3 months: to 20 July; 30 days before is 20 June
    at(space, received)
    space.services.contracts.papers.offer_nonrenewal("acme", ANN, paper(space))
    space.clock.now = jst_midnight(ended) + 86_400_000 - 1
    assert decision(space) == Decision()
    space.clock.now += 1
    assert decision(space) == Decision("ENDED")


def test_a_referral_contract_ends_unless_an_application_came_in_its_term(space: Space) -> None:
    papers = space.services.contracts.papers
    notified(space, route="referral", name="one")
    notified(space, route="referral", name="two")
    at(space, "2027-10-20T12:00")
    with refused("TERM-07"):
        papers.offer_nonrenewal("one", ANN, paper(space))
    papers.renew("one", ANN, paper(space))
    at(space, "2027-10-21T00:00")
    assert decision(space, "one") == Decision()
    assert decision(space, "two") == Decision("ENDED")
    with refused("TERM-07"):  # a later one is a new application
        papers.renew("two", ANN, paper(space))


def test_an_application_that_came_on_the_last_day_renews_also_when_it_is_recorded_later(space: Space) -> None:
    papers = space.services.contracts.papers
    notified(space, route="referral")
    at(space, "2027-10-20T23:59")
    in_time = paper(space)
    at(space, "2027-10-22T09:00")
    assert decision(space) == Decision("ENDED")
    papers.renew("acme", ANN, in_time)
    assert decision(space) == Decision()
    at(space, "2028-04-20T23:59")
    assert decision(space) == Decision()
    at(space, "2028-04-21T00:00")
    assert decision(space) == Decision("ENDED")  # one application renews once


def test_no_application_renews_what_ended_in_another_way(space: Space) -> None:
    notified(space, route="referral")
    at(space, "2027-05-01T10:00")
    in_time = paper(space)
    space.services.contracts.powers.terminate(
        "acme", ANN, ground="17(1)5", arrived_at=space.clock.now, found_on=date(2027, 5, 1)
    )
    with refused("END-07"):
        space.services.contracts.papers.renew("acme", ANN, in_time)


def test_a_direct_contract_needs_no_renewal_application(space: Space) -> None:
    notified(space)
    at(space, "2027-05-01T10:00")
    with refused("TERM-07"):
        space.services.contracts.papers.renew("acme", ANN, paper(space))


# -- cancellation -----------------------------------------------------------------------------------------------------


def test_after_the_minimum_the_customer_leaves_with_30_days_and_then_every_call_is_ended(
    space: Space, contracts: ContractServices
) -> None:
    notified(space)
    at(space, "2027-08-01T10:00")
    one = contracts.papers.cancel("acme", ANN, paper(space), date(2027, 8, 5))
    assert one.last_day(date(2027, 8, 1)) == date(2027, 8, 31)
    with refused("END-01"):
        contracts.papers.cancel("acme", ANN, paper(space))
    at(space, "2027-08-31T23:59:59")
    assert decision(space) == Decision()
    at(space, "2027-09-01T00:00")
    assert decision(space) == Decision("ENDED")
    assert contracts.book.get("acme").state(space.clock.now) == "ended"


def test_before_the_minimum_an_unpaid_cancellation_lapses_and_a_paid_one_ends(
    space: Space, contracts: ContractServices
) -> None:
    notified(space)
    at(space, "2027-05-01T10:00")
    one = contracts.papers.cancel("acme", ANN, paper(space), date(2027, 5, 31))
    leaving = one.cancelled(date(2027, 5, 1))
    assert leaving is not None
    assert (leaving.outcome, leaving.lump_sum_months, leaving.lump_sum) == ("awaiting_payment", 1, 30_000)
    at(space, "2027-06-01T09:00")
    assert decision(space) == Decision()
    contracts.papers.lump_sum_paid("acme", ANN, date(2027, 6, 1))  # a day late
    assert decision(space) == Decision()
    contracts.papers.cancel("acme", ANN, paper(space))
    at(space, "2027-06-02T09:00")
    with refused("END-03"):  # nothing left of the minimum after 1 July
        contracts.papers.lump_sum_paid("acme", ANN, date(2027, 6, 2))
    at(space, "2027-07-02T00:00")
    assert decision(space) == Decision("ENDED")


def test_data_is_erased_when_the_retention_has_passed_and_not_a_day_earlier(
    space: Space, contracts: ContractServices
) -> None:
    notified(space)
    at(space, "2027-08-01T10:00")
    contracts.papers.cancel("acme", ANN, paper(space), date(2027, 8, 31))
    at(space, "2027-11-29T23:59")
    assert not contracts.upkeep.run()
    at(space, "2027-11-30T00:00")
    assert contracts.upkeep.run()
    with pytest.raises(NotFound):
        space.services.accounts.tenant("acme")
    assert contracts.book.history("acme")[-1].kind == "contract.erased"
    assert not contracts.upkeep.run()


# -- the provider's powers --------------------------------------------------------------------------------------------


def test_arrears_end_a_contract_sixteen_days_after_the_demand_and_not_once_they_are_paid(
    space: Space, contracts: ContractServices
) -> None:
    notified(space)
    at(space, "2027-05-21T10:00")
    sent = space.clock.now
    with refused("END-05"):
        contracts.powers.demand("acme", ANN, ground="17(1)1", sent_at=sent, due_on=date(2027, 5, 21))
    contracts.powers.demand("acme", ANN, ground="17(1)1", sent_at=sent, due_on=date(2027, 5, 20))
    at(space, "2027-06-05T23:59")
    with refused("END-05"):
        contracts.powers.terminate("acme", ANN, ground="17(1)1", arrived_at=space.clock.now, demand="D1")
    at(space, "2027-06-06T00:00")
    contracts.powers.cure("acme", ANN, "D1", date(2027, 6, 6))
    with refused("END-05"):
        contracts.powers.terminate("acme", ANN, ground="17(1)1", arrived_at=space.clock.now, demand="D1")
    contracts.powers.demand("acme", ANN, ground="17(1)1", sent_at=sent, due_on=date(2027, 5, 20))
    contracts.powers.terminate("acme", ANN, ground="17(1)1", arrived_at=space.clock.now, demand="D2")
    assert decision(space) == Decision("ENDED")
    with refused("END-07"):
        contracts.papers.cancel("acme", ANN, paper(space))


def test_an_overdue_invoice_never_changes_access_by_itself(space: Space, contracts: ContractServices) -> None:
    notified(space)
    at(space, "2027-05-21T10:00")
    contracts.powers.demand("acme", ANN, ground="17(1)1", sent_at=space.clock.now, due_on=date(2027, 5, 5))
    at(space, "2027-06-30T00:00")
    assert decision(space) == Decision()


@pytest.mark.parametrize("ground", ["24(2)", "17(1)9", "none"])
def test_a_termination_on_no_ground_of_17_1_is_refused(space: Space, contracts: ContractServices, ground: str) -> None:
    notified(space)
    at(space, "2027-05-01T10:00")
    with pytest.raises(ActRefused):
        contracts.powers.terminate("acme", ANN, ground=ground, arrived_at=space.clock.now, found_on=date(2027, 5, 1))
    assert decision(space) == Decision()


def test_a_service_is_discontinued_sixty_days_after_the_later_of_both_notices(
    space: Space, contracts: ContractServices
) -> None:
    notified(space)
    at(space, "2027-05-10T10:00")
    early, now = space.clock.now - 5 * 86_400_000, space.clock.now

    def discontinue(last_day: date) -> Contract:
        return contracts.powers.discontinue(
            "acme", ANN, last_day=last_day, email_arrived_at=early, web_posted_at=now, reason="sold"
        )

    with refused("DSC-02"):
        discontinue(date(2027, 7, 8))
    discontinue(date(2027, 7, 9))
    at(space, "2027-07-09T23:59:59")
    assert decision(space) == Decision()
    at(space, "2027-07-10T00:00")
    assert decision(space) == Decision("ENDED")


def test_a_stop_needs_two_persons_and_comes_before_everything_else(space: Space, contracts: ContractServices) -> None:
    notified(space)
    with refused("ANT-01"):
        contracts.powers.approve_stop("acme", BOB)
    contracts.powers.request_stop("acme", ANN, "§24(1)①")
    with refused("ANT-01"):
        contracts.powers.approve_stop("acme", ANN)
    assert decision(space) == Decision("NOT_STARTED")
    contracts.powers.approve_stop("acme", BOB)
    assert decision(space) == Decision("STOPPED")


def test_a_suspension_rests_on_an_overload_case_whose_demand_has_arrived(
    space: Space, contracts: ContractServices
) -> None:
    notified(space)
    at(space, "2027-05-01T10:00")
    now = space.clock.now
    with refused("LIM-03"):
        contracts.powers.suspend("acme", ANN, case="L1", reason="load")
    contracts.powers.open_overload("acme", ANN, "900 requests a second")
    with refused("LIM-03"):
        contracts.powers.suspend("acme", ANN, case="L1", reason="load")
    contracts.powers.demand("acme", ANN, ground="17(1)2", sent_at=now, received_at=now, case="L1")
    contracts.powers.suspend("acme", ANN, case="L1", reason="load", end=now + 7_200_000)
    assert decision(space) == Decision("SUSPENDED")
    space.clock.forward(3600)
    contracts.powers.resume("acme", ANN)
    assert decision(space) == Decision()
    with refused("LIM-03"):
        contracts.powers.resume("acme", ANN)


def test_billing_periods_are_those_of_the_contract_and_end_with_it(space: Space, contracts: ContractServices) -> None:
    notified(space)
    usage, tenant = space.services.usage, space.services.accounts.tenant("acme")
    calendar = usage.calendar(tenant)
    assert (calendar.start_date, calendar.anchor) == (date(2027, 4, 5), date(2027, 4, 21))
    at(space, "2027-08-01T10:00")
    contracts.papers.cancel("acme", ANN, paper(space))
    at(space, "2027-12-01T10:00")
    due = [period.start for period in usage._due(tenant)]
    starts = [date(2027, 4, 5), *(date(2027, month, 21) for month in range(4, 9))]
    assert due == starts


# -- who may do what --------------------------------------------------------------------------------------------------


def test_partners_file_papers_of_their_own_customers_and_nothing_else(
    space: Space, contracts: ContractServices
) -> None:
    reseller, shop = Actor("rei", ActorRole.RESELLER), Actor("sho", ActorRole.REFERRAL_SHOP)
    contracts.intake.apply("theirs", application("reseller"), reseller)
    with refused("AGT-03"):
        contracts.intake.apply("others", application("direct"), reseller)
    with refused("AGT-03"):
        contracts.intake.review("theirs", reseller)
    with refused("AGT-03"):
        contracts.intake.apply("more", application("reseller"), shop)
    notified(space, route="reseller", name="sold")
    at(space, "2027-08-01T10:00")
    with refused("AGT-03"):
        contracts.papers.cancel("sold", shop, paper(space))
    with refused("AGT-03"):
        contracts.powers.request_stop("sold", reseller, "because")
    contracts.papers.cancel("sold", reseller, paper(space))
    assert contracts.book.history("sold")[-1].role == "reseller"


def test_days_count_from_the_providers_receipt_and_not_from_the_shops(
    space: Space, contracts: ContractServices
) -> None:
    notified(space, route="reseller")
    at(space, "2027-08-10T10:00")
    letter = replace(paper(space), carrier="reseller", passed_on=space.clock.now - 9 * 86_400_000)
    one = contracts.papers.cancel("acme", Actor("rei", ActorRole.RESELLER), letter)
    assert one.last_day(date(2027, 8, 10)) == date(2027, 9, 9)
    (filed,) = contracts.book.documents("acme")
    assert (filed.carrier, filed.received_at, filed.passed_on) == ("reseller", letter.received_at, letter.passed_on)


@pytest.mark.parametrize("letter", [{"carrier": "email"}, {"received_at": MARCH * 2}])
def test_a_bare_e_mail_or_a_paper_from_the_future_is_no_document_in_writing(
    space: Space, contracts: ContractServices, letter: dict[str, Any]
) -> None:
    notified(space)
    at(space, "2027-08-01T10:00")
    with pytest.raises(ActRefused, check=lambda error: error.clause in ("P-7", "P-6")):
        contracts.papers.cancel("acme", ANN, replace(paper(space), **letter))
    assert contracts.book.documents("acme") == []


def test_customer_data_changes_by_a_form_and_earlier_data_stays(space: Space, contracts: ContractServices) -> None:
    applied(contracts)
    contracts.papers.change_customer("acme", ANN, paper(space), {"email": "new@example.jp"})
    stored = space.services.db.read(lambda tx: tx.documents.customer("acme"))
    assert stored == {**CUSTOMER, "email": "new@example.jp"}
    with refused("CUS-01"):
        contracts.papers.change_customer("acme", ANN, paper(space), {"shoe": "42"})
    assert "new@example.jp" not in str(contracts.book.history("acme"))


# -- who is served ----------------------------------------------------------------------------------------------------


def test_without_a_plugin_that_enforces_it_no_contract_is_registered(tmp_path: Path) -> None:
    with open_space(tmp_path, clock=Clock(MARCH)) as space:
        accepted(space.services.contracts)
        with refused("APP-04"):
            space.services.contracts.intake.register("acme", ANN, login="hanako", password="correct horse")


def test_where_contracts_are_required_only_demo_tenants_go_without(tmp_path: Path) -> None:
    settings = {"contracts": "required"}
    with open_space(tmp_path, plugins=["contract_state"], clock=Clock(MARCH), settings=settings) as space:
        assert decision(space, "studio") == Decision("NOT_STARTED")
        demo = space.services.accounts.add_tenant("try", "standard", demo=True)
        assert space.services.standings.decide(demo) == Decision()


def test_regular_maintenance_is_posted_ahead_and_concerns_tenants_under_contract(space: Space) -> None:
    notified(space)
    at(space, "2027-04-02T12:00")
    assert space.services.windows.post_regular()
    assert not space.services.windows.post_regular()
    posted = space.services.windows.regular()
    assert [one.id for one in posted] == [f"regular-2027-{day}" for day in ("04-05", "04-19", "05-03", "05-17")]
    at(space, "2027-05-03T02:00")  # the first Monday of May
    tenant, other = space.services.accounts.tenant("acme"), space.caller.tenant
    decide = space.services.standings.decide
    assert decide(tenant) == decide(other, regular_maintenance=True) == Decision()
    assert decide(tenant, regular_maintenance=True) == Decision("MAINTENANCE", parse_time("2027-05-03T06:00+09:00"))
    space.services.windows.close_maintenance(ANN, "regular-2027-05-03")
    assert decide(tenant, regular_maintenance=True) == Decision()


def test_check_request_answers_as_acc_02_has_it(space: Space) -> None:
    one = notified(space)
    tenant = space.services.accounts.tenant("acme")
    asked = Request(replace(space.caller, tenant=tenant), (), writes=False)

    def ask() -> None:
        space.services.host.check("check_request", request=asked)

    with pytest.raises(TenantSuspended) as not_started:
        ask()
    assert (not_started.value.clause, not_started.value.message) == ("APP-05", "access is not possible")
    at(space, "2027-05-01T10:00")
    ask()
    space.services.windows.announce(ANN, space.clock.now, space.clock.now + 1500, "work")
    with pytest.raises(Maintenance) as closed:
        ask()
    assert closed.value.retry_after == 2
    space.services.windows.interrupt(ANN, "LINE", "cut")
    with pytest.raises(Interrupted) as interrupted:
        ask()
    assert interrupted.value.retry_after is None
    assert one.tenant_id == tenant.id
