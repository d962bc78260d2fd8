"""Incidents, the service level of a billing period, and claims over a real database, with a clock that tests move."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.acts import ActorRole, check_chain
from gateway.domain.calendar import parse_time
from gateway.domain.contract.claims import Claim, ClaimState
from gateway.domain.contract.incidents import IncidentKind, IncidentState
from gateway.domain.contract.records import Contract
from gateway.domain.contract.sla import Cause
from gateway.domain.errors import ActRefused, NotFound
from gateway.service.claims import Filing
from gateway.service.contracts import Actor, Paper
from gateway.service.contracts.intake import Application
from gateway.service.incidents import Finding, Scope
from gateway.service.slas import LevelReport
from gateway.testing.space import Clock, Space, open_space

ANN = Actor("ann")
MARCH = parse_time("2027-03-10T10:00+09:00")
CUSTOMER = {"name": "ACME", "address": "Tokyo", "contact": "Hanako", "email": "acme@example.jp"}
STOP = Finding(IncidentKind.OUTAGE, "no gate serves")


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path, plugins=["quota", "contract_state"], clock=Clock(MARCH)) as opened:
        customer(opened, "acme")
        yield opened


def customer(space: Space, name: str, route: str = "direct", start: date = date(2027, 4, 5)) -> None:
    """A contract from 5 April on; the first billing month begins on 21 April."""
    intake, now = space.services.contracts.intake, space.clock.now
    asked = Application(CUSTOMER, "standard", "invoice", route, start, "2017-06-01", "3", MARCH - 60_000)
    intake.apply(name, asked, ANN)
    intake.review(name, ANN)
    intake.accept(name, ANN, minimum_months=3, reason="complete")
    intake.register(name, ANN, login="hanako", password="correct horse")
    intake.notify_start(name, ANN, start_date=start, sent_at=now, arrived_at=now)


def jst(text: str) -> int:
    return parse_time(text + "+09:00")


def at(space: Space, text: str) -> None:
    """Moves the clock to a JST time."""
    space.clock.now = jst(text)


def contract(space: Space, name: str = "acme") -> Contract:
    return space.services.levels.contract_of(space.services.accounts.tenant(name))


def report(space: Space, day: date, name: str = "acme") -> LevelReport:
    return space.services.levels.report(contract(space, name), day)


def outage(space: Space, start: str, end: str, *, notices: bool = True, scope: Scope = Scope()) -> str:
    """A full stop, recorded when it happened; both notices in time."""
    incidents = space.services.incidents
    at(space, start)
    name = incidents.open(ANN, Finding(IncidentKind.OUTAGE, "no gate serves", scope)).id
    if notices:
        incidents.notice_sent(name, "occurrence", "status_site")
    at(space, end)
    incidents.recover(ANN, name)
    if notices:
        incidents.notice_sent(name, "recovery", "status_site")
    return name


def file(space: Space, day: date, **more: Any) -> Claim:
    return space.services.claims.file(ANN, contract(space), Filing(day, "we could not work", **more))


def refused(rule: str) -> Any:
    """The act is refused, and the refusal names the rule."""
    return pytest.raises(ActRefused, check=lambda error: error.clause == rule)


# -- incidents --------------------------------------------------------------------------------------------------------


def test_an_incident_is_its_acts_each_with_its_rule_and_states(space: Space) -> None:
    name = outage(space, "2027-05-01T10:00", "2027-05-02T11:00")
    space.services.incidents.explain(ANN, name, Cause.CARRIER, 5, "the carrier's report", {"en": "a cut line"})
    acts = space.services.incidents.history(name)
    assert [(act.kind, act.rule, act.before, act.after) for act in acts] == [
        ("incident.recognised", "SLA-AV-02", "", "open"),
        ("incident.notified", "SLA-ON-01", "open", "open"),
        ("incident.recovered", "SLA-AV-02", "open", "recovered"),
        ("incident.notified", "SLA-ON-01", "recovered", "recovered"),
        ("incident.cause_reported", "LIA-02", "recovered", "recovered"),
    ]
    one = space.services.incidents.get(name)
    assert (one.cause, one.item, one.excluded_by()) == (Cause.CARRIER, 5, "SLA-AV-03")
    assert acts[-1].ground == "13(2)5"
    assert space.services.audit.verify()[2] is None


def test_no_time_of_an_incident_lies_in_the_future(space: Space) -> None:
    incidents, later = space.services.incidents, space.clock.now + 1
    with refused("P-6"):
        incidents.open(ANN, STOP, later)
    name = incidents.open(ANN, STOP).id
    with refused("P-6"):
        incidents.recover(ANN, name, later)
    with refused("P-6"):
        incidents.notice_sent(name, "occurrence", "email", later)
    with refused("P-6"):
        incidents.correct(ANN, name, "a slip", recognised_at=later)


def test_a_draft_counts_for_nothing_until_it_is_confirmed(space: Space) -> None:
    at(space, "2027-05-01T10:00")
    incidents = space.services.incidents
    name = incidents.draft(ANN, STOP).id
    with refused("SLA-AV-02"):
        incidents.recover(ANN, name)
    at(space, "2027-05-01T12:00")
    assert report(space, date(2027, 5, 1)).accounting.longest_seconds == 0
    incidents.confirm(ANN, name, jst("2027-05-01T11:00"))
    assert report(space, date(2027, 5, 1)).accounting.longest_seconds == 3600
    with refused("SLA-AV-02"):
        incidents.confirm(ANN, name)
    incidents.dismiss(ANN, name, "a test of the alarm")
    assert report(space, date(2027, 5, 1)).accounting.longest_seconds == 0
    assert incidents.get(name).state is IncidentState.DISMISSED


def test_a_cause_that_is_not_the_providers_needs_an_item_and_evidence(space: Space) -> None:
    incidents = space.services.incidents
    name = incidents.open(ANN, STOP).id
    assert incidents.get(name).cause is Cause.PROVIDER
    with refused("LIA-02"):
        incidents.explain(ANN, name, Cause.FORCE_MAJEURE, 5)
    with refused("LIA-02"):
        incidents.explain(ANN, name, Cause.CUSTOMER, 5, "a letter")
    with refused("LIA-02"):
        incidents.explain(ANN, name, Cause.PROVIDER, 1, "a letter")
    incidents.explain(ANN, name, Cause.FORCE_MAJEURE, 5, "the report of the weather service")


def test_the_same_notice_noted_again_changes_nothing(space: Space) -> None:
    incidents = space.services.incidents
    name = incidents.open(ANN, STOP).id
    incidents.notice_sent(name, "occurrence", "status_site")
    incidents.notice_sent(name, "occurrence", "status_site")
    assert len(incidents.get(name).notices) == 1
    with pytest.raises(NotFound):
        incidents.notice_sent("INC-9", "occurrence", "status_site")


def test_a_correction_is_a_further_act_and_changes_the_figures(space: Space) -> None:
    name = outage(space, "2027-05-01T10:00", "2027-05-01T12:00")
    incidents = space.services.incidents
    incidents.correct(ANN, name, "the call came earlier", recognised_at=jst("2027-05-01T09:00"))
    assert report(space, date(2027, 5, 1)).accounting.longest_seconds == 3 * 3600
    incidents.correct(ANN, name, "the listing only", scope=Scope(full_stop=False))
    assert report(space, date(2027, 5, 1)).accounting.longest_seconds == 0
    assert incidents.get(name).excluded_by() == "SLA-AV-02"
    assert len(incidents.history(name)) == 6


def test_the_public_list_shows_outages_without_internal_words(space: Space) -> None:
    space.services.incidents.open(ANN, Finding(IncidentKind.SECURITY, "old definitions"))
    name = outage(space, "2027-05-01T10:00", "2027-05-01T12:00")
    space.services.incidents.draft(ANN, Finding(IncidentKind.OUTAGE, "server 7 in rack 3"))
    (shown,) = space.services.incidents.public()
    assert (shown["id"], shown["recognised_at"], shown["recovered_at"]) == (
        name,
        jst("2027-05-01T10:00"),
        jst("2027-05-01T12:00"),
    )
    assert "rack" not in str(shown)


# -- the report -------------------------------------------------------------------------------------------------------


def test_a_stop_of_25_hours_and_a_late_recovery_notice_are_two_breaches_with_their_credits(space: Space) -> None:
    incidents = space.services.incidents
    name = outage(space, "2027-05-01T10:00", "2027-05-02T11:00", notices=False)
    incidents.notice_sent(name, "occurrence", "email", jst("2027-05-01T11:00"))
    at(space, "2027-05-02T12:01")
    incidents.notice_sent(name, "recovery", "status_site")
    found = report(space, date(2027, 5, 10 - 5))
    fee = found.monthly_fee
    assert fee > 0
    assert not found.accounting.target_met
    assert [(case.item.kind, case.rule, case.amount) for case in found.cases] == [
        ("availability", "CMP-02", fee * 25 * 3600 // 2_592_000),
        ("outage_notice", "CMP-04", fee // 30),
    ]
    assert [case.last_claim_day for case in found.cases] == [date(2027, 8, 2)] * 2
    assert found.period.start == date(2027, 4, 21)


def test_an_incident_of_one_tenant_is_none_of_another_and_its_mail_reaches_only_the_first(space: Space) -> None:
    customer(space, "other", start=date(2027, 4, 21))
    name = outage(space, "2027-05-01T10:00", "2027-05-01T12:00", notices=False, scope=Scope(tenants=["other"]))
    both = outage(space, "2027-05-03T10:00", "2027-05-03T12:00", notices=False)
    space.services.incidents.notice_sent(both, "occurrence", "email", jst("2027-05-03T10:30"), tenants=["other"])
    at(space, "2027-05-04T12:00")
    mine, others = report(space, date(2027, 5, 1)), report(space, date(2027, 5, 1), "other")
    assert [case.item.ref for case in mine.cases] == [f"{both}:occurrence", f"{both}:recovery"]
    assert [case.item.ref for case in others.cases] == [
        f"{name}:occurrence",
        f"{name}:recovery",
        f"{both}:recovery",
    ]


def test_an_uncharged_stub_has_no_credit_and_a_tenant_without_a_contract_no_report(space: Space) -> None:
    outage(space, "2027-04-06T00:00", "2027-04-08T00:00", notices=False)
    at(space, "2027-04-09T00:00")
    found = report(space, date(2027, 4, 6))
    assert (found.period.kind, found.monthly_fee, found.accounting.credit) == ("stub", 0, 0)
    assert found.cases
    with refused("CMP-06"):
        space.services.claims.grant(ANN, file(space, date(2027, 4, 6)).id)
    with pytest.raises(NotFound):
        contract(space, "studio")
    with pytest.raises(NotFound):
        space.services.levels.customer("studio")


def test_what_happened_can_be_claimed_also_when_the_space_is_gone(space: Space) -> None:
    outage(space, "2027-05-01T10:00", "2027-05-02T11:00")
    space.services.accounts.remove("acme")
    levels = space.services.levels
    found = levels.customer("acme")
    claim = space.services.claims.file(ANN, found, Filing(date(2027, 5, 1), "it stopped"))
    assert space.services.claims.grant(ANN, claim.id).amount > 0


def test_an_outage_that_began_before_the_service_counts_from_the_start_on(space: Space) -> None:
    outage(space, "2027-04-04T23:00", "2027-04-05T00:30")
    assert report(space, date(2027, 4, 5)).accounting.longest_seconds == 1800


def test_announced_maintenance_is_cut_out_and_what_overruns_counts(space: Space) -> None:
    windows = space.services.windows
    at(space, "2027-05-01T09:00")
    one = windows.announce(ANN, jst("2027-05-02T00:00"), jst("2027-05-02T02:00"), "disks")
    at(space, "2027-05-02T01:00")
    windows.extend(ANN, one.id, jst("2027-05-02T04:00"))
    at(space, "2027-05-03T00:00")
    found = report(space, date(2027, 5, 2))
    (work,) = found.accounting.maintenances
    assert (work.announced, work.counted_seconds) == (True, 2 * 3600)
    assert found.accounting.longest_seconds == 2 * 3600


def test_regular_windows_as_posted_by_the_steward_do_not_count(space: Space) -> None:
    at(space, "2027-04-22T09:00")
    assert space.services.windows.post_regular()
    outage(space, "2027-05-03T02:00", "2027-05-03T06:30")
    found = report(space, date(2027, 5, 3))
    assert found.accounting.longest_seconds == 1800
    assert [one.id for one in found.accounting.maintenances] == ["regular-2027-05-03"]


def test_days_without_an_attested_backup_are_listed(space: Space) -> None:
    at(space, "2027-04-24T01:00")
    for day in (21, 23):
        space.services.attests.by_hand(ANN, date(2027, 4, day), ["acme"], "tape 7, read back")
    assert report(space, date(2027, 4, 24)).backupless == (date(2027, 4, 22),)
    assert space.services.attests.by_hand(ANN, date(2027, 4, 23), [], "tape 8") == 1  # studio
    with refused("P-6"):
        space.services.attests.by_hand(ANN, date(2027, 4, 25), [], "tape 9")


# -- claims -----------------------------------------------------------------------------------------------------------


def test_a_granted_claim_names_amount_period_rule_and_figures(space: Space) -> None:
    outage(space, "2027-05-01T10:00", "2027-05-02T11:00")
    at(space, "2027-05-10T10:00")
    claim = file(space, date(2027, 5, 1))
    done = space.services.claims.grant(ANN, claim.id, reason="as recorded")
    fee = report(space, date(2027, 5, 1)).monthly_fee
    assert (done.state, done.amount, done.rule) == (ClaimState.GRANTED, fee * 90_000 // 2_592_000, "CMP-02")
    act = space.services.claims.history(claim.id)[-1]
    assert (act.kind, act.rule, act.tenant_id) == ("claim.granted", "CMP-02", contract(space).tenant_id)
    assert {key: act.data[key] for key in ("contract", "period", "accepted_on", "amount")} == {
        "contract": "acme",
        "period": "2027-04-21",
        "accepted_on": "2027-05-10",
        "amount": done.amount,
    }
    (item,) = act.data["figures"]["items"]
    assert item["ref"] == "2027-05-01T10:00:00+09:00"
    assert space.services.claims.granted("acme") == [done]


def test_what_begins_after_the_last_day_is_no_stop_for_that_customer(space: Space) -> None:
    customer(space, "other")
    at(space, "2027-08-01T10:00")
    letter = Paper(space.clock.now, "post", "0" * 64, "a letter")
    space.services.contracts.papers.cancel("acme", ANN, letter)  # the last day is 31 August
    before = outage(space, "2027-08-31T10:00", "2027-08-31T11:00")
    after = outage(space, "2027-09-01T00:00", "2027-09-02T10:00")
    ended, going_on = (report(space, date(2027, 8, 31), name) for name in ("acme", "other"))
    assert [run.seconds for run in ended.accounting.runs] == [3_600]
    assert [run.seconds for run in going_on.accounting.runs] == [3_600, 34 * 3_600]
    assert (ended.cases, {one.id for one in ended.incidents}) == ((), {before, after})


def test_nothing_is_granted_twice_also_when_a_correction_moved_the_stop(space: Space) -> None:
    name = outage(space, "2027-05-01T10:00", "2027-05-02T11:00")
    claims = space.services.claims
    first = file(space, date(2027, 5, 1))
    with refused("CMP-07"):
        file(space, date(2027, 5, 1))  # the same is waiting
    claims.grant(ANN, first.id)
    with refused("CMP-07"):
        file(space, date(2027, 5, 1))
    space.services.incidents.correct(ANN, name, "it began earlier", recognised_at=jst("2027-05-01T09:00"))
    with refused("CMP-07"):
        file(space, date(2027, 5, 1))
    with refused("CMP-07"):
        claims.grant(ANN, first.id)


def test_all_grants_of_a_month_together_stay_under_its_fee(space: Space) -> None:
    outage(space, "2027-04-22T00:00", "2027-05-17T00:00")
    claims, month = space.services.claims, date(2027, 4, 22)
    lost = space.services.incidents.open(ANN, Finding(IncidentKind.DATA_LOSS, "a disk", Scope(tenants=["acme"]))).id
    stop, loss = file(space, month, kinds=["availability"]), file(space, month, kinds=["data_loss"], refs=[lost])
    fee = report(space, month).monthly_fee
    first, second = claims.grant(ANN, stop.id), claims.grant(ANN, loss.id)
    assert first.amount == fee * 25 // 30
    assert first.amount + second.amount == fee
    assert second.rule == "CMP-06"


@pytest.mark.parametrize(("day", "in_time"), [("2027-08-02T23:59", True), ("2027-08-03T00:00", False)])
def test_the_right_is_lost_when_three_months_have_passed(space: Space, day: str, in_time: bool) -> None:
    outage(space, "2027-05-01T10:00", "2027-05-02T11:00")
    at(space, day)
    if in_time:
        assert space.services.claims.grant(ANN, file(space, date(2027, 5, 1)).id).amount > 0
    else:
        with refused("CMP-07"):
            file(space, date(2027, 5, 1))


def test_a_claim_made_while_the_stop_lasts_stands_and_is_decided_after_it(space: Space) -> None:
    at(space, "2027-05-01T10:00")
    incidents, claims = space.services.incidents, space.services.claims
    name = incidents.open(ANN, STOP).id
    incidents.notice_sent(name, "occurrence", "status_site")
    claim = file(space, date(2027, 5, 1))
    with refused("CMP-07"):
        claims.grant(ANN, claim.id)  # nothing was breached yet
    at(space, "2027-05-02T11:00")
    with refused("SLA-AV-07"):
        claims.grant(ANN, claim.id)
    incidents.recover(ANN, name)
    incidents.notice_sent(name, "recovery", "status_site")
    at(space, "2027-12-01T00:00")
    assert claims.grant(ANN, claim.id).rule == "CMP-02"


def test_a_rejection_names_its_rule_and_is_final(space: Space) -> None:
    outage(space, "2027-05-01T10:00", "2027-05-01T12:00")
    claims = space.services.claims
    claim = file(space, date(2027, 5, 1))
    with refused("CMP-07"):
        claims.grant(ANN, claim.id)
    done = claims.reject(ANN, claim.id, "SLA-AV-06", "two hours have no remedy")
    assert (done.state, done.rule) == (ClaimState.REJECTED, "SLA-AV-06")
    with refused("CMP-07"):
        claims.reject(ANN, claim.id, "SLA-AV-06", "again")


def test_a_reseller_carries_claims_of_its_own_customers_only(space: Space) -> None:
    at(space, "2027-05-01T10:00")
    reseller = Actor("rika", ActorRole.RESELLER)
    with refused("AGT-03"):
        space.services.claims.file(reseller, contract(space), Filing(date(2027, 5, 1), "it stopped"))
    at(space, "2027-04-10T10:00")
    customer(space, "shop", "reseller", date(2027, 4, 21))
    at(space, "2027-05-01T10:00")
    filed = space.services.claims.file(reseller, contract(space, "shop"), Filing(date(2027, 5, 1), "it stopped"))
    assert space.services.claims.history(filed.id)[0].role == "reseller"


def test_everything_is_in_one_chain(space: Space) -> None:
    outage(space, "2027-05-01T10:00", "2027-05-02T11:00")
    space.services.claims.grant(ANN, file(space, date(2027, 5, 1)).id)
    acts = list(space.services.audit.acts())
    assert check_chain(acts, len(acts))[1] is None
