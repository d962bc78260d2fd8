"""Discontinuing all or a function, passing the business on, giving out what is known of a customer (DSC, XFR, CUS)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.commands.app import Application as CommandApplication
from gateway.domain.acts import ActorRole
from gateway.domain.calendar import jst_date, jst_midnight, parse_time
from gateway.domain.errors import ActRefused, TenantSuspended
from gateway.hooks import Request
from gateway.service.contracts import Actor, ContractServices, Paper
from gateway.service.contracts.intake import Application
from gateway.testing.space import Space, open_space

ANN = Actor("ann", ActorRole.OPERATOR)
NOTICE = {"title_ja": "終了", "title_en": "The end", "text_ja": "内容", "text_en": "contents"}


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path, plugins=[{"name": "contract_state"}, {"name": "quota"}]) as one:
        one.clock.now = parse_time("2027-03-15T12:00:00+09:00")
        started(one)
        one.clock.now = jst_midnight(date(2027, 4, 1))
        yield one


@pytest.fixture
def contracts(space: Space) -> ContractServices:
    return space.services.contracts


def started(space: Space, name: str = "acme", plan: str = "standard") -> None:
    intake, now = space.services.contracts.intake, space.clock.now
    customer = {"name": "ACME K.K.", "address": "Tokyo", "contact": "Sato", "email": f"{name}@example.jp"}
    papers = {"terms_version": "2017-06-01", "privacy_version": "1", "privacy_agreed_at": now}
    intake.apply(name, Application(customer, plan, "invoice", **papers), ANN)  # type: ignore[arg-type]
    intake.review(name, ANN)
    intake.accept(name, ANN, minimum_months=3, reason="complete")
    intake.register(name, ANN, login="hanako", password="correct horse")
    intake.notify_start(name, ANN, start_date=max(date(2027, 3, 21), jst_date(now)), sent_at=now, arrived_at=now)


def refused(rule: str) -> Any:
    return pytest.raises(ActRefused, check=lambda error: error.clause == rule)


def test_the_service_ends_sixty_days_after_the_later_of_mail_and_post(
    space: Space, contracts: ContractServices
) -> None:
    service, last = contracts.discontinuing, date(2027, 6, 30)
    one = service.announce(ANN, last_day=last, reason="end of life", notice=NOTICE)
    assert service.told(one.id, "acme", ANN, at=space.clock.now) == []
    space.clock.now = jst_midnight(last - timedelta(days=60)) + 1
    (done,) = service.posted(one.id, ANN, at=space.clock.now)
    assert contracts.book.get("acme").discontinued_on == done.discontinued_on == last
    (act,) = [one for one in contracts.book.history("acme") if one.kind == "contract.discontinued"]
    assert act.data["migration_support"] is True
    assert service.posted(one.id, ANN, at=space.clock.now) == []


def test_a_post_that_is_a_day_late_is_refused_with_the_earliest_day(space: Space, contracts: ContractServices) -> None:
    service, last = contracts.discontinuing, date(2027, 6, 30)
    one = service.announce(ANN, last_day=last, reason="end of life", notice=NOTICE)
    service.told(one.id, "acme", ANN, at=space.clock.now)
    space.clock.now = jst_midnight(last - timedelta(days=59))
    with pytest.raises(ActRefused, match="2027-07-01"):
        service.posted(one.id, ANN, at=space.clock.now)
    assert contracts.book.get("acme").discontinued_on is None


def test_prolonged_trouble_needs_a_notice_before_and_no_lead_time(space: Space, contracts: ContractServices) -> None:
    service, last = contracts.discontinuing, date(2027, 4, 10)
    one = service.announce(ANN, last_day=last, reason="flood", notice=NOTICE, trouble=True)
    service.told(one.id, "acme", ANN, at=space.clock.now)
    (done,) = service.posted(one.id, ANN, at=space.clock.now)
    assert done.last_day(date(2027, 4, 2)) == last
    with refused("DSC-01"):
        service.announce(ANN, last_day=date(2027, 4, 1), reason="flood", notice=NOTICE, trouble=True)


def test_a_function_leaves_the_plan_on_its_day_and_the_contract_goes_on(
    space: Space, contracts: ContractServices
) -> None:
    service, last = contracts.discontinuing, date(2027, 6, 30)
    one = service.announce(ANN, last_day=last, reason="not used", notice=NOTICE, function="thumbnails")
    service.told(one.id, "acme", ANN, at=space.clock.now)
    service.posted(one.id, ANN, at=space.clock.now)
    contract = contracts.book.get("acme")
    assert contract.discontinued_on is None
    features = [contract.plan_on(day).features for day in (last, last + timedelta(days=1))]  # type: ignore[union-attr]
    assert features == [("thumbnails",), ()]
    space.clock.now = jst_midnight(last + timedelta(days=1))
    plan = space.services.policies.get("plans", space.services.accounts.tenant("acme")).get("standard")
    assert plan.features == ()


def test_the_business_passes_on_after_everybody_was_told_and_changes_no_contract(
    space: Space, contracts: ContractServices
) -> None:
    started(space, "beta")
    before = contracts.book.get("acme")
    service, day = contracts.transfers, date(2027, 5, 1)
    one = service.announce(ANN, old_party="KURADO K.K.", new_party="NEO K.K.", effective_on=day, notice=NOTICE)
    with refused("XFR-01"):
        service.registration_data(one.id, ANN)
    service.told(one.id, "acme", ANN, at=space.clock.now)
    with refused("XFR-01"):
        service.carry_out(one.id, ANN)
    space.clock.now = jst_midnight(day)
    with pytest.raises(ActRefused, match="beta"):
        service.carry_out(one.id, ANN)
    space.clock.now -= 1
    service.told(one.id, "beta", ANN, at=space.clock.now)
    space.clock.now += 1
    assert service.carry_out(one.id, ANN).done_at == space.clock.now
    assert contracts.book.get("acme") == before
    exported = service.registration_data(one.id, ANN)
    assert [row["customer"]["email"] for row in exported] == ["acme@example.jp", "beta@example.jp"]


def test_application_data_is_read_for_a_purpose_of_the_terms_and_each_read_is_an_act(
    space: Space, contracts: ContractServices
) -> None:
    with refused("CUS-02"):
        contracts.disclosures.read("acme", ANN, "MARKETING")
    assert contracts.disclosures.read("acme", ANN, "SUPPORT")["contact"] == "Sato"
    acts = [act for act in space.services.audit.acts() if act.kind == "customer.read"]
    assert [(act.rule, act.ground, act.actor) for act in acts] == [("CUS-02", "SUPPORT", "ann")]
    assert "Sato" not in str(acts)


@pytest.mark.parametrize(
    ("info", "ground", "item", "rule"),
    [
        ("account_info", "prohibited_act", 7, "ACCT-04"),
        ("customer_info", "marketing", None, "CUS-03"),
        ("access_log", "system_management_company", None, "PRV-05"),
        ("registered_data", "prohibited_act", 1, "PRV-03"),
    ],
)
def test_nothing_is_given_out_on_a_ground_that_the_terms_do_not_have(
    contracts: ContractServices, info: str, ground: str, item: int | None, rule: str
) -> None:
    with refused(rule):
        contracts.disclosures.disclose("acme", ANN, info=info, ground=ground, item=item, to="X", reason="y")


def test_a_lawful_order_opens_logs_too(space: Space, contracts: ContractServices) -> None:
    rule = contracts.disclosures.disclose(
        "acme", ANN, info="traffic_record", ground="legal", item=None, to="Tokyo District Court", reason="order 7"
    )
    assert rule == "PRV-05"
    assert "disclosure.made" in [act.kind for act in space.services.audit.acts(space.services.accounts.tenant("acme"))]


@pytest.mark.parametrize("day", [date(1999, 12, 31), date(2200, 1, 1), date.max])
def test_a_day_that_nobody_can_mean_is_refused(contracts: ContractServices, day: date) -> None:
    with pytest.raises(ActRefused, match=r"2000 to 2199|earliest"):
        contracts.discontinuing.announce(ANN, last_day=day, reason="x", notice=NOTICE)


def test_a_partner_carries_papers_of_its_own_customers_only(space: Space, contracts: ContractServices) -> None:
    now = space.clock.now
    north, south = (Actor("ann", ActorRole.RESELLER, name) for name in ("north", "south"))
    customer = {"name": "Beta", "address": "Tokyo", "contact": "Sato", "email": "beta@example.jp"}
    papers: dict[str, Any] = {"terms_version": "2017-06-01", "privacy_version": "1", "privacy_agreed_at": now}
    filed = Application(customer, "standard", "invoice", "reseller", **papers)
    assert contracts.intake.apply("beta", filed, north).partner == "north"
    contracts.intake.review("beta", ANN)
    contracts.intake.accept("beta", ANN, minimum_months=3, reason="complete")
    contracts.intake.register("beta", ANN, login="beta", password="correct horse")
    contracts.intake.notify_start("beta", ANN, start_date=jst_date(now), sent_at=now, arrived_at=now)
    letter = Paper(now, "reseller", "0" * 64, "letter")
    with refused("AGT-03"):
        contracts.papers.cancel("beta", south, letter)
    assert contracts.papers.cancel("beta", north, letter).cancellations


@pytest.mark.parametrize(("role", "seen"), [("operator", ["acme"]), ("reseller:north", []), ("referral-shop", [])])
def test_a_partner_lists_its_own_customers_only(space: Space, role: str, seen: list[str]) -> None:
    app = CommandApplication(None)
    app.__dict__["deployment"] = space.deployment
    listed = CliRunner().invoke(cli, ["contract", "list", "--role", role, "--json"], obj=app, catch_exceptions=False)
    status = CliRunner().invoke(cli, ["contract", "status", "acme", "--role", role, "--json"], obj=app)
    app.__dict__.pop("deployment")
    assert [one["contract"] for one in json.loads(listed.output)] == seen
    assert (status.exit_code == 0) == bool(seen)
    if seen:
        documents = json.loads(status.output)["documents"]
        assert documents == [{"document": kind, "version": 1} for kind in ("terms", "sla", "maintenance")]


def test_an_application_that_agreed_to_another_version_is_refused(space: Space, contracts: ContractServices) -> None:
    customer = {"name": "Beta", "address": "Tokyo", "contact": "Sato", "email": "beta@example.jp"}
    papers: dict[str, Any] = {"privacy_version": "1", "privacy_agreed_at": space.clock.now}
    with refused("APP-01"):
        old = Application(customer, "standard", "invoice", terms_version="2006-04-21", **papers)
        contracts.intake.apply("beta", old, ANN)
    text = space.services.policies.version("documents").text
    space.services.policies.apply("documents", text + "privacy: {version: 2, title_ja: x, title_en: x}\n", "ann")
    with refused("APP-02"):
        contracts.intake.apply(
            "beta", Application(customer, "standard", "invoice", terms_version="2017-06-01", **papers), ANN
        )


@pytest.mark.parametrize(("verb", "function"), [("LOCK", "locks"), ("GetObject", "s3")])
def test_a_function_is_a_feature_of_the_plan_or_refused(tmp_path: Path, verb: str, function: str) -> None:
    plugins = [{"name": "contract_state", "functions": ["s3", "locks"]}]
    with open_space(tmp_path, plugins=plugins) as space:
        check, caller = space.services.host.check, replace(space.caller, verb=verb)
        with pytest.raises(TenantSuspended, check=lambda error: error.clause == "LIM-02"):
            check("check_request", request=Request(caller, (), writes=False))
        check("check_request", request=Request(replace(caller, verb="GET"), (), writes=False))
        text = space.services.policies.version("plans").text
        richer = text.replace("features: [thumbnails]  ", f"features: [thumbnails, {function}]  ")
        space.services.policies.apply("plans", richer, "ann")
        check("check_request", request=Request(caller, (), writes=False))
