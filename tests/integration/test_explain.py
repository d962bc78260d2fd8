"""explain: the rule, its clause and the figures behind a refusal, an act, an invoice line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.commands.app import Application
from gateway.domain.acts import Act
from gateway.domain.calendar import jst_midnight
from gateway.domain.contract.explaining import USED_BY
from gateway.domain.contract.policies import KINDS
from gateway.domain.errors import QuotaExceeded, TenantSuspended
from gateway.rules import rulebook
from gateway.testing.space import Space, open_space

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path, plugins=[{"name": "contract_state"}, {"name": "quota"}]) as one:
        yield one


def asked(space: Space, *args: str) -> str:
    app = Application(None)
    app.__dict__["deployment"] = space.deployment
    result = CliRunner().invoke(cli, ["explain", *args], obj=app, catch_exceptions=False)
    app.__dict__.pop("deployment")
    return result.output


def test_the_rule_book_has_every_rule_of_the_table_and_nothing_else() -> None:
    listed = re.findall(r"^\| `([^`]+)`", (ROOT / "docs" / "terms.md").read_text(), re.M)
    assert list(rulebook().rules) == listed
    assert all(rule.text for rule in rulebook().rules.values())
    assert rulebook().get("END-01").clause == "§16(1)"
    assert rulebook().get("D-23").id == "LIM-01"


def test_every_constant_that_is_shown_beside_a_rule_exists() -> None:
    assert set(USED_BY) <= set(rulebook().rules)
    known = {f"{kind}.{path}" for kind, keys in KINDS.items() for path in keys}
    assert {path for paths in USED_BY.values() for path in paths} <= known


def test_a_refusal_is_explained_by_its_rule_and_figures(space: Space) -> None:
    error = QuotaExceeded("5 of 10 bytes are used; this upload needs 6 more", used=5, allowed=10)
    error.clause = "LIM-01"
    space.services.refusals.record(space.caller, ("a.txt",), error)
    (refusal,) = space.services.refusals.recent()
    text = asked(space, str(refusal.id))
    assert "rule      LIM-01 Capacity" in text
    assert "clause    §7(1)" in text
    assert "5 of 10 bytes are used" in text
    told = json.loads(asked(space, f"refusal:{refusal.id}", "--json"))
    assert told["rules"][0]["rule"] == "LIM-01"
    assert told["figures"]["tenant"] == space.caller.tenant.name
    assert "a.txt" not in text, "names of files are masked (PRV-06)"


def test_a_refusal_for_a_window_names_the_window_that_held_then(space: Space) -> None:
    from gateway.domain.acts import ActorRole
    from gateway.service.contracts import Actor

    space.services.windows.interrupt(Actor("ann", ActorRole.OPERATOR), "DISORDER", "disks")
    space.clock.now += 1000
    error = TenantSuspended("access is not possible", policy="contract_state", clause="INT-01")
    space.services.refusals.record(space.caller, ("a",), error)
    space.clock.now += 1000
    space.services.windows.close_interruption(Actor("ann", ActorRole.OPERATOR), "I1")
    told = json.loads(asked(space, str(space.services.refusals.recent()[0].id), "--json"))
    assert told["figures"]["window I1"]["ground"] == "DISORDER"
    assert told["figures"]["window I1"]["start"].endswith("+09:00")


def issued(space: Space) -> None:
    line = {"code": "monthly_fee", "amount": 30_000, "rule": "FEE-02", "figures": {"capacity_fee": 30_000}}
    stub = {"code": "stub_fee", "amount": 16_000, "rule": "FEE-04", "figures": {"days": 16}}
    document: dict[str, Any] = {
        "dated": "2027-04-05",
        "due": "2027-04-05",
        "lines": [line, stub],
        "rates": [{"basis_points": 1000, "net": 46_000, "tax": 4_600}],
        "total": 50_600,
    }
    act = Act(
        "invoice:KRD-000001", "invoice.issued", jst_midnight(date(2027, 4, 5)), "kurado", "system", "FEE-03",
        data={"contract": "acme", "document": document},
    )  # fmt: skip
    space.services.db.write(lambda tx: tx.acts.append(act)).result()


def test_an_invoice_line_is_explained_by_its_rule_its_figures_and_the_constants_behind_it(space: Space) -> None:
    issued(space)
    told = json.loads(asked(space, "KRD-000001/2", "--json"))
    assert told["figures"] == {"amount": 16_000, "days": 16}
    assert told["rules"][0]["rule"] == "FEE-04"
    assert told["rules"][0]["values"]["terms.billing.prorata_days"] == {"value": 30, "clause": "D-18"}
    whole = asked(space, "KRD-000001")
    assert "line 1: monthly_fee, 30000 JPY" in whole
    assert "TAX-01" in whole


def test_an_act_and_a_rule_are_explained_too(space: Space) -> None:
    issued(space)
    number = space.services.db.read(lambda tx: tx.acts.count())
    assert "FEE-03 Due date" in asked(space, f"act:{number}")
    assert "terms.cancel.notice: 30 (§16(1))" in asked(space, "END-01")


@pytest.mark.parametrize("what", ["999", "act:999", "KRD-000009", "nonsense"])
def test_what_does_not_exist_is_not_found(space: Space, what: str) -> None:
    from gateway.domain.errors import NotFound

    app = Application(None)
    app.__dict__["deployment"] = space.deployment
    result = CliRunner().invoke(cli, ["explain", what], obj=app)
    app.__dict__.pop("deployment")
    assert result.exit_code == 1
    assert not isinstance(result.exception, NotFound)
