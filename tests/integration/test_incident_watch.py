"""What the steward does for the service level: drafts from health facts, deadlines of notices, daily backups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import pytest

from gateway.domain.calendar import DAY_MS, parse_time
from gateway.domain.contract.incidents import Incident, IncidentKind, IncidentState
from gateway.domain.errors import BackendUnavailable
from gateway.service.backups import Backups
from gateway.service.contracts import Actor
from gateway.service.contracts.intake import Application
from gateway.service.incidents import Finding, Scope
from gateway.service.watch import DEFINITIONS, DOWN, GATES, Watch, WatchSettings
from gateway.testing.space import Clock, Space, open_space

ANN = Actor("ann")
MINUTE = 60_000
MARCH = parse_time("2027-03-10T10:00+09:00")
CUSTOMER = {"name": "ACME", "address": "Tokyo", "contact": "Hanako", "email": "acme@example.jp"}


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path, plugins=["contract_state"], clock=Clock(MARCH)) as opened:
        yield opened


def watch(space: Space, *, automatic: bool = False) -> Watch:
    services = space.services
    settings = WatchSettings(automatic, MINUTE)
    return Watch(services.db, space.clock, services.health, services.incidents, settings, services.windows.all)


def minutes(space: Space, count: float) -> None:
    """Time passes; the gate of this process is alive all the time."""
    space.clock.forward(count * 60)
    space.deployment.leases.renew()


def fact(space: Space, name: str, level: str, message: str = "", value: float | None = None) -> None:
    now = space.clock.now
    space.services.db.write(lambda tx: tx.system.put_fact(name, level, message, value, now)).result()


def incidents(space: Space) -> list[Incident]:
    return list(space.services.incidents.log().all.values())


def alarms(space: Space) -> dict[tuple[str, str], str]:
    space.services.deadlines.run()
    return {(one.kind, one.subject): one.message for one in space.services.health.alarms()}


def customer(space: Space, name: str = "acme") -> int:
    intake, now = space.services.contracts.intake, space.clock.now
    asked = Application(CUSTOMER, "standard", "invoice", "direct", date(2027, 4, 5), "2017-06-01", "3", MARCH - 1)
    intake.apply(name, asked, ANN)
    intake.review(name, ANN)
    intake.accept(name, ANN, minimum_months=3, reason="complete")
    intake.register(name, ANN, login="hanako", password="correct horse")
    intake.notify_start(name, ANN, start_date=date(2027, 4, 5), sent_at=now, arrived_at=now)
    return space.services.accounts.tenant(name).id


# -- drafts -----------------------------------------------------------------------------------------------------------


def test_a_fault_that_lasts_is_one_draft_and_counts_for_nothing(space: Space) -> None:
    seen, looking = space.clock.now, watch(space)
    for _ in range(5):
        fact(space, "storage", "error", "no space left")
        looking.run()
        minutes(space, 0.5)
    (one,) = incidents(space)
    assert (one.state, one.source, one.full_stop, one.observed_at) == (IncidentState.DRAFT, "storage", True, seen)
    assert one.excluded_by() == "SLA-AV-02"
    assert ("incident-draft", one.id) in alarms(space)
    (act,) = space.services.incidents.history(one.id)
    assert (act.kind, act.role) == ("incident.drafted", "system")


def test_a_short_fault_and_one_that_nobody_renews_are_no_draft(space: Space) -> None:
    looking = watch(space)
    fact(space, "storage", "error")
    looking.run()
    minutes(space, 0.5)
    fact(space, "storage", "ok")
    looking.run()
    fact(space, "storage", "error")
    looking.run()
    minutes(space, 5)
    looking.run()
    assert not incidents(space)


def test_a_fault_of_another_companys_service_is_the_draft_of_a_part_and_no_stop(space: Space) -> None:
    customer(space)
    at_start = space.clock.now = parse_time("2027-05-01T00:00+09:00")
    looking = watch(space)
    for _ in range(4):
        fact(space, "external.microsoft-online", "error", "it answers 503", 0)
        looking.run()
        minutes(space, 0.5)
    (one,) = incidents(space)
    assert (one.state, one.components, one.full_stop) == (IncidentState.DRAFT, ("microsoft-online",), False)
    space.services.incidents.confirm(ANN, one.id, at_start)
    (one,) = incidents(space)
    assert (str(one.cause), one.excluded_by()) == ("provider", "SLA-AV-02")
    minutes(space, 3 * 24 * 60)
    contract = space.services.levels.customer("acme")
    report = space.services.levels.report(contract, date(2027, 5, 1))
    assert (report.accounting.runs, report.cases) == ((), ())
    assert [each.id for each in report.incidents] == [one.id]


def test_a_dismissed_draft_does_not_come_back_until_the_fault_has_ended_and_begun_anew(space: Space) -> None:
    looking = watch(space)

    def round_with(level: str) -> None:
        for _ in range(4):
            fact(space, "storage", level)
            looking.run()
            minutes(space, 0.5)

    round_with("error")
    space.services.incidents.dismiss(ANN, "INC-1", "a cable for a test")
    round_with("error")
    assert len(incidents(space)) == 1
    round_with("ok")
    round_with("error")
    assert [one.state for one in incidents(space)] == [IncidentState.DISMISSED, IncidentState.DRAFT]
    space.services.incidents.dismiss(ANN, "INC-2", "another cable")
    again = Finding(IncidentKind.OUTAGE, "seen by a second steward", source="storage")
    assert space.services.incidents.began(again, None) is None


def test_an_operator_is_reminded_that_a_confirmed_incident_seems_over(space: Space) -> None:
    looking = watch(space)
    for level in ("error", "error", "error", "ok"):
        fact(space, "virus_scanner_reachable", level, "clamd does not answer")
        looking.run()
        minutes(space, 0.6)
        if len(incidents(space)) == 1 and incidents(space)[0].state is IncidentState.DRAFT:
            space.services.incidents.confirm(ANN, "INC-1")
    (one,) = incidents(space)
    assert (one.state, one.full_stop, one.components) == (IncidentState.OPEN, False, ("registration",))
    assert "kurado incident recover INC-1" in alarms(space)["incident-over", "INC-1"]
    space.services.incidents.recover(ANN, "INC-1")
    assert ("incident-over", "INC-1") not in alarms(space)


def test_where_it_is_configured_the_checks_recognise_and_recover(space: Space) -> None:
    looking = watch(space, automatic=True)
    for level in ("error", "error", "error", "ok"):
        fact(space, "storage", level)
        looking.run()
        minutes(space, 0.6)
    (one,) = incidents(space)
    assert one.state is IncidentState.RECOVERED
    assert one.recognised_at is not None
    assert one.recovered_at is not None
    assert one.recognised_at < one.recovered_at


def test_no_live_gate_is_a_full_stop(space: Space) -> None:
    looking = watch(space)
    for _ in range(3):
        space.clock.forward(60)  # nobody renews the lease
        looking.run()
    (one,) = incidents(space)
    assert (one.source, one.full_stop) == (GATES, True)


def test_a_time_in_which_nobody_was_at_work_is_drafted_after_it(space: Space) -> None:
    space.services.health.store_facts()
    before = space.clock.now
    minutes(space, 30)
    looking = watch(space)
    looking.look_back()
    looking.run()
    (one,) = incidents(space)
    assert (one.source, one.observed_at, one.ended_at) == (DOWN, before, space.clock.now)
    looking.run()
    assert len(incidents(space)) == 1


def test_an_interruption_counts_from_its_start_to_its_end_for_those_whom_it_concerns(space: Space) -> None:
    customer(space)
    looking, windows = watch(space), space.services.windows
    space.clock.now = begun = parse_time("2027-04-22T10:00+09:00")
    windows.interrupt(ANN, "DISORDER", "disks", end=begun + 120 * MINUTE, tenants=["acme"])
    windows.interrupt(ANN, "LINE", "to come", start=begun + 600 * MINUTE)
    for _ in range(3):
        looking.run()
        minutes(space, 61)
    looking.run()
    (one,) = incidents(space)
    assert (one.source, one.state, one.full_stop) == ("interruption:I1", IncidentState.RECOVERED, True)
    levels = space.services.levels
    found = levels.report(levels.contract_of(space.services.accounts.tenant("acme")), date(2027, 4, 22))
    assert found.accounting.longest_seconds == 2 * 3600
    assert [case.item.kind for case in found.cases] == ["outage_notice", "outage_notice"]


def test_definitions_beyond_their_age_are_a_security_failure_until_they_are_renewed(space: Space) -> None:
    looking = watch(space)
    fact(space, DEFINITIONS, "error", "unknown, clamd does not answer")
    looking.run()
    assert not incidents(space)
    for level, age in (("error", 90_000.0), ("error", 90_060.0), ("ok", 60.0)):
        fact(space, DEFINITIONS, level, "definitions are 25.0 h old, at most 24.0 h allowed", age)
        looking.run()
        minutes(space, 1)
    (one,) = incidents(space)
    assert (one.kind, one.state) == (IncidentKind.SECURITY, IncidentState.RECOVERED)
    tenant_id = customer(space)
    del tenant_id
    space.clock.now = parse_time("2027-04-22T10:00+09:00")
    fact(space, DEFINITIONS, "error", "definitions are old", 90_000.0)
    looking.run()
    levels = space.services.levels
    found = levels.report(levels.contract_of(space.services.accounts.tenant("acme")), date(2027, 4, 22))
    assert [(case.item.kind, case.rule, case.amount) for case in found.cases] == [
        ("security", "CMP-05", found.monthly_fee // 30)
    ]


# -- notices ----------------------------------------------------------------------------------------------------------


def test_the_notice_of_an_outage_warns_at_30_and_45_minutes_and_is_missed_after_60(space: Space) -> None:
    name = space.services.incidents.open(ANN, Finding(IncidentKind.OUTAGE, "no gate serves")).id
    key = ("sla-notice", f"{name}:occurrence")
    texts = []
    for _ in range(61):
        texts.append(alarms(space).get(key, ""))
        space.clock.forward(60)
    assert texts[:30] == [""] * 30
    assert set(texts[30:45]) == {
        "the occurrence notice is due by 2027-03-10T11:00:00+09:00: 30 of 60 minutes are over (SLA-ON-01)"
    }
    assert len(set(texts[45:])) == 1
    assert "45 of 60" in texts[45]
    assert not space.services.incidents.get(name).missed
    assert "was not given" in alarms(space)[key]
    assert alarms(space)[key] == alarms(space)[key]
    assert [act.kind for act in space.services.incidents.history(name)] == [
        "incident.recognised",
        "incident.notice_missed",
    ]
    space.services.incidents.notice_sent(name, "occurrence", "status_site")
    assert key not in alarms(space)


def test_the_status_site_gives_both_notices_as_soon_as_it_is_written(space: Space) -> None:
    incidents, services = space.services.incidents, space.services
    name = incidents.open(ANN, Finding(IncidentKind.OUTAGE, "all")).id
    services.board.run()
    assert not services.deadlines.notices()
    space.clock.forward(2 * 3600)
    incidents.recover(ANN, name)
    assert [one.due.what for one in services.deadlines.notices()] == ["recovery"]
    services.board.run()
    assert not services.deadlines.notices()
    assert [(one.what, one.channel) for one in incidents.get(name).notices] == [
        ("occurrence", "status_site"),
        ("recovery", "status_site"),
    ]


def test_a_recovery_notice_is_due_after_a_long_stop_and_none_after_a_short_one(space: Space) -> None:
    incidents, due = space.services.incidents, space.services.deadlines.notices
    short = incidents.open(ANN, Finding(IncidentKind.OUTAGE, "short")).id
    space.clock.forward(3600)
    incidents.recover(ANN, short)
    assert not due()
    long = incidents.open(ANN, Finding(IncidentKind.OUTAGE, "long")).id
    incidents.notice_sent(long, "occurrence", "email")
    incidents.notice_sent(long, "recovery", "email")  # before the recovery: void
    space.clock.forward(3601)
    incidents.recover(ANN, long)
    assert [(one.due.incident, one.due.what) for one in due()] == [(long, "recovery")]
    space.clock.forward(60)
    incidents.notice_sent(long, "recovery", "email")
    assert not due()


def test_no_notice_is_due_of_parts_and_of_customers_own_faults_and_the_board_is_no_channel_for_one(
    space: Space,
) -> None:
    from gateway.domain.contract.sla import Cause

    incidents, due = space.services.incidents, space.services.deadlines.notices
    incidents.open(ANN, Finding(IncidentKind.OUTAGE, "streams only", Scope(components=["streaming"])))
    assert not due()
    name = incidents.open(ANN, Finding(IncidentKind.OUTAGE, "all")).id
    incidents.notice_sent(name, "occurrence", "system_information")
    assert [one.due.incident for one in due()] == [name]
    incidents.explain(ANN, name, Cause.CUSTOMER, 1, "their router")
    assert not due()


def test_a_claim_waits_as_an_alarm_until_it_is_decided(space: Space) -> None:
    from gateway.service.claims import Filing

    customer(space)
    space.clock.now = parse_time("2027-04-22T10:00+09:00")
    contract = space.services.levels.contract_of(space.services.accounts.tenant("acme"))
    claim = space.services.claims.file(ANN, contract, Filing(date(2027, 4, 22), "it was slow"))
    assert ("claim-waiting", claim.id) in alarms(space)
    space.services.claims.reject(ANN, claim.id, "SLA-AV-02", "slow is no stop")
    assert ("claim-waiting", claim.id) not in alarms(space)


# -- backups ----------------------------------------------------------------------------------------------------------


def backups(space: Space, state: Mapping[int, str] | None) -> Backups:
    def answer() -> Mapping[int, str]:
        if state is None:
            raise BackendUnavailable("the replica is away")
        return state

    services = space.services
    sources = {"replica": answer}
    return Backups(services.db, space.clock, services.attests, services.incidents, services.standings, lambda: sources)


def test_a_backup_is_attested_once_a_day_in_japan_with_its_evidence(space: Space) -> None:
    tenant_id = customer(space)
    round_ = backups(space, {tenant_id: "complete to event 17, verified"})
    space.clock.now = parse_time("2027-04-05T00:00+09:00")
    round_.run()
    round_.run()
    log = space.services.attests.log()
    assert log.days == {date(2027, 4, 5): frozenset({tenant_id})}
    acts = [act for act in space.services.audit.acts() if act.kind == "backup.attested"]
    assert [(act.rule, act.role, act.data["evidence"]) for act in acts] == [
        ("SLA-DP-02", "system", "replica: complete to event 17, verified")
    ]
    assert not incidents(space)


def test_days_without_a_backup_are_one_incident_and_only_from_when_they_were_watched(space: Space) -> None:
    tenant_id = customer(space)
    space.clock.now = parse_time("2027-04-10T12:00+09:00")
    backups(space, None).run()  # the first look judges nothing before it
    assert not incidents(space)
    space.clock.now += 3 * DAY_MS
    away = backups(space, None)
    away.run()
    away.run()
    (one,) = incidents(space)
    assert (one.kind, one.days) == (IncidentKind.BACKUP, ("2027-04-10", "2027-04-12"))
    assert (one.state, one.tenants) == (IncidentState.RECOVERED, frozenset({tenant_id}))
    backups(space, {tenant_id: "all"}).run()
    space.clock.now += DAY_MS
    backups(space, {tenant_id: "all"}).run()
    assert len(incidents(space)) == 1


def test_one_customer_whose_backup_fails_is_named_alone(space: Space) -> None:
    first, second = customer(space), customer(space, "other")
    space.clock.now = parse_time("2027-04-10T12:00+09:00")
    backups(space, {first: "all", second: "all"}).run()
    space.clock.now += DAY_MS
    backups(space, {first: "all"}).run()
    space.clock.now += DAY_MS
    backups(space, {first: "all", second: "all"}).run()
    (one,) = incidents(space)
    assert (one.tenants, one.days) == (frozenset({second}), ("2027-04-11", "2027-04-11"))


def test_a_plugin_is_asked_again_every_ten_minutes_until_all_are_attested(space: Space) -> None:
    tenant_id = customer(space)
    answers: list[Mapping[int, str]] = [{}, {}, {tenant_id: "all"}]
    asked: list[int] = []

    def answer() -> Mapping[int, str]:
        asked.append(space.clock.now)
        return answers[len(asked) - 1]

    services = space.services
    round_ = Backups(
        services.db, space.clock, services.attests, services.incidents, services.standings, lambda: {"replica": answer}
    )
    space.clock.now = begun = parse_time("2027-04-05T00:00+09:00")
    for _ in range(30):
        round_.run()
        space.clock.forward(60)
    assert asked == [begun, begun + 10 * MINUTE, begun + 20 * MINUTE]
    assert services.attests.log().attested(date(2027, 4, 5)) == {tenant_id}
