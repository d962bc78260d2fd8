"""Lives of contracts, at random: what was issued over the years is what the rules say of the whole life at its end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.calendar import jst_date
from gateway.domain.contract.ending import Outcome
from gateway.domain.contract.invoicing import Credit, invoices
from gateway.domain.errors import ActRefused
from gateway.domain.invoice import place_of
from gateway.service.billing.preparing import account_of
from gateway.testing.contracts import ANN, ISSUER, begin, grant, on, paper
from gateway.testing.space import Clock, Space, open_space

FIRST = date(2027, 3, 1)
_names = count()


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    folder: Path = tmp_path_factory.mktemp("lives")
    with open_space(folder, plugins=["quota", "contract_state"], clock=Clock()) as opened:
        opened.services.policies.apply("issuer", ISSUER, "ann")
        yield opened


@dataclass(frozen=True)
class Step:
    """What happens ``after`` days from the step before."""

    after: int
    what: str
    number: int


steps = st.builds(
    Step,
    st.integers(0, 45),
    st.sampled_from(("change", "start_day", "claim", "cancel", "pay", "close", "close", "issue")),
    st.integers(1, 31),
)


def act(space: Space, name: str, step: Step, plans: list[str]) -> None:
    """One step of a life; what the rules refuse does not happen."""
    services, today = space.services, jst_date(space.clock.now)
    papers = services.contracts.papers
    if step.what == "change" and plans:
        papers.request_change(name, ANN, paper(space), plan=plans[0], requested_on=today, change_fee=step.number)
        plans.pop(0)
    elif step.what == "start_day":
        papers.request_start_day(name, ANN, paper(space), step.number)
    elif step.what == "claim":
        grant(space, name, f"{name}-{next(_names)}", step.number * 1_111)
    elif step.what == "cancel":
        papers.cancel(name, ANN, paper(space))
    elif step.what == "pay":
        for one in services.billing.invoices.all(name):
            if one.open > 0 and not one.has_lapsed(today):
                services.billing.invoices.pay(one.number, ANN, on=today, method="transfer")
    elif step.what == "close":
        # the day before: a claim that is accepted later on the day of an invoice would have to go on an issued one
        list(services.billing.closing.close(today - timedelta(days=32), ANN, name))


@given(
    st.integers(0, 60),
    st.sampled_from(("light", "standard")),
    st.integers(1, 4),
    st.lists(steps, max_size=12),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_all_invoices_of_a_life_are_what_the_rules_make_of_it(
    space: Space, offset: int, plan: str, months: int, life: list[Step]
) -> None:
    name, start = f"life{next(_names)}", FIRST + timedelta(days=offset)
    begin(space, name, start, plan=plan, months=months)
    day, plans = start, ["standard", "pro"] if plan == "light" else ["pro"]
    for step in life:
        day += timedelta(days=step.after)
        on(space, day)
        try:
            act(space, name, step, plans)
        except ActRefused:
            continue
        ledger = space.services.billing.ledger(name)
        assert all(0 <= one.used <= one.amount for one in ledger.grants)
    day += timedelta(days=70)
    on(space, day)
    list(space.services.billing.closing.issue(None, ANN, name))
    _compare(space, name, day)


def _compare(space: Space, name: str, today: date) -> None:
    """Each invoice that stands equals the one of the rules, and so does the credit that is left."""
    services = space.services
    ledger = services.billing.ledger(name)
    values = services.policies.values_of(ledger.contract)
    account = account_of(ledger, values, today)
    leaving = ledger.contract.cancelled(today, values)
    if leaving and leaving.outcome is Outcome.LAPSED:
        assert account.cancelled is None
    credits_ = [Credit(one.accepted_on, one.amount) for one in ledger.grants]
    wanted, left = invoices(replace(account, credits=credits_), today)
    stands = [one for one in ledger.invoices if not one.has_lapsed(today)]
    found = [
        (one.dated, [(line["code"], line["amount"]) for line in one.document["lines"]], one.document["tax"])
        for one in sorted(stands, key=lambda one: (one.dated, one.document["period"] is None))
    ]
    assert found == [(one.dated, [(line.code, line.amount) for line in one.lines], one.tax) for one in wanted]
    assert (sum(one.total for one in stands), ledger.credit_left) == (sum(one.total for one in wanted), left)
    numbers = [place_of(one.number)[1] for one in services.billing.invoices.all()]
    assert numbers == list(range(1, len(numbers) + 1))
