"""A contract's life over a real database: each act, what it opens or closes, and the rule that refuses it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.calendar import jst_midnight, parse_time
from gateway.domain.contract.access import Decision
from gateway.domain.contract.records import Contract
from gateway.domain.errors import ActRefused
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
