"""The words of the terms: revisions, discontinuation, transfer, reports; and that what operators look at is an act."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.commands.app import Application
from gateway.domain.calendar import parse_time
from gateway.domain.lock import Scope
from gateway.policyfiles import packaged_documents
from gateway.service.contracts import Paper
from gateway.testing.contracts import ANN, begin, on
from gateway.testing.space import Space, open_space

NOTICE = ["--title-ja", "改定", "--title-en", "Revision", "--text-ja", "内容", "--text-en", "contents"]
FILED = ["--customer", "ACME K.K.", "--address", "Tokyo", "--contact", "Sato", "--email", "a@example.jp"]
FILED += ["--plan", "standard", "--payment", "invoice", "--privacy-version", "1"]


class Shell:
    def __init__(self, space: Space) -> None:
        self.space = space

    def run(self, *words: str) -> Result:
        app = Application(None)
        app.__dict__["deployment"] = self.space.deployment
        app.__dict__["config"] = self.space.deployment.config
        try:
            return CliRunner().invoke(cli, words, obj=app)
        finally:
            app.__dict__.pop("deployment")

    def ok(self, *words: str) -> str:
        result = self.run(*words)
        assert result.exit_code == 0, result.output
        return result.output

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "--json"))

    def kinds(self) -> list[str]:
        return [act.kind for act in self.space.services.audit.acts()]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with open_space(tmp_path, plugins=[{"name": "contract_state"}, {"name": "quota"}]) as space:
        space.clock.now = parse_time("2027-03-15T12:00:00+09:00")
        one = Shell(space)
        one.ok("contract", "apply", "acme", *FILED, "--privacy-agreed-at", "2027-03-10T09:00+09:00")
        one.ok("contract", "review", "acme")
        one.ok("contract", "accept", "acme", "--reason", "complete")
        one.ok("contract", "register", "acme", "--login", "hanako")
        one.ok("contract", "notify-start", "acme", "--start-date", "2027-03-21", "--arrived-at", "now")
        yield one


def test_terms_are_revised_by_command_and_shown_by_day(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    text = packaged_documents()["terms"]
    file.write_text(text.replace("cancel:\n  notice: {value: 30", "cancel:\n  notice: {value: 40"))
    day = ["--effective-on", "2027-06-01", "--name", "2027-06-01"]
    announced = shell.json("terms", "revise", "terms", str(file), *day, *NOTICE)
    assert (announced["revision"], announced["works_on"], announced["contracts"]) == ("R1", "sending", 1)
    assert "from 2027-06-01" in shell.ok("terms", "told", "R1", "acme")
    assert [one["in_force_from"] for one in shell.json("terms", "revisions", "R1")] == ["2027-06-01"]
    assert shell.run("terms", "withdraw", "R1", "--reason", "late").exit_code == 1
    for day_, value in (("2027-05-31", 30), ("2027-06-01", 40)):
        shown = {one["value"]: one["is"] for one in shell.json("terms", "show", "--tenant", "acme", "--on", day_)}
        assert shown["terms.cancel.notice"] == value
    assert [one["document"] for one in shell.json("terms", "documents")] == ["terms", "sla", "operation"]


def test_an_end_and_a_transfer_are_announced_told_and_carried_out(shell: Shell) -> None:
    shell.ok("discontinuation", "announce", "--last-day", "2027-06-30", "--reason", "old", *NOTICE)
    shell.ok("discontinuation", "told", "D1", "acme")
    assert "acme" in shell.ok("discontinuation", "posted", "D1")
    assert [one["told"] for one in shell.json("discontinuation", "list")] == [1]
    parties = ["--from", "KURADO K.K.", "--to", "NEO K.K.", "--effective-on", "2027-04-01"]
    shell.ok("transfer", "announce", *parties, *NOTICE)
    shell.ok("transfer", "told", "X1", "acme")
    shell.space.clock.now = parse_time("2027-04-01T00:00:00+09:00")
    assert "NEO K.K." in shell.ok("transfer", "done", "X1")
    assert json.loads(shell.ok("transfer", "data", "X1"))[0]["customer"]["contact"] == "Sato"
    assert [one["done"] is not None for one in shell.json("transfer", "list")] == [True]


def test_a_report_of_misuse_is_on_record_and_locks_the_login_alone(shell: Shell) -> None:
    told = shell.json("user", "report", "acme", "hanako", "--by", "Sato", "--text", "odd uploads", "--lock")
    assert told["disabled"] is True
    assert shell.json("tenant", "show", "acme")["state"] == "active"
    assert "account.misuse_reported" in shell.kinds()


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["refusals", "list"], "refusals.read"),
        (["explain", "1"], "refusals.read"),
        (["contract", "data", "acme", "--purpose", "SUPPORT"], "customer.read"),
        (["statistics", "--from", "2027-03-01", "--to", "2027-03-31"], "statistics.released"),
        (["policy", "assign", "studio", "tax", "1"], "policy.assigned"),
        (["policy", "assign", "studio", "tax", "default"], "policy.unassigned"),
    ],
)
def test_what_an_operator_looks_at_or_changes_is_an_act(shell: Shell, words: list[str], kind: str) -> None:
    if words[-1] == "default":
        shell.ok("policy", "assign", "studio", "tax", "1")
    before = len(shell.kinds())
    shell.run(*words)
    assert shell.kinds()[before:] == [kind]


def test_a_broken_lock_is_an_act_before_it_is_broken(tmp_path: Path) -> None:
    with open_space(tmp_path) as space:
        space.put("a.txt", b"x")
        lock, _, _ = space.services.locks.take(space.caller, ("a.txt",), Scope.EXCLUSIVE, False, "", 600)
        Shell(space).ok("lock", "break", lock.token, "--yes")
        (act,) = [one for one in space.services.audit.acts() if one.kind == "lock.broken"]
        assert (act.subject, act.tenant_id) == (f"lock:{lock.token}", space.caller.tenant.id)


def test_after_a_termination_all_that_is_owed_may_be_demanded_at_once(tmp_path: Path) -> None:
    start, ended = date(2027, 4, 21), date(2027, 5, 25)
    with open_space(tmp_path, plugins=[{"name": "contract_state"}, {"name": "quota"}]) as space:
        begin(space, "acme", start)
        contracts, shell = space.services.contracts, Shell(space)
        letter = Paper(space.clock.now, "post", "0" * 64, "quotation")
        contracts.papers.agree_in_writing("acme", ANN, letter, "payment", 30)
        on(space, ended)
        claims = shell.json("contract", "owed", "acme")["claims"]
        assert [(one["due"], one["demandable_from"], one["rule"]) for one in claims] == [
            ("2027-05-21", "2027-05-21", "FEE-03"),
            ("2027-06-20", "2027-06-20", "FEE-03"),
        ]
        now = space.clock.now
        contracts.powers.terminate("acme", ANN, ground="17(1)5", arrived_at=now, found_on=ended, reason="insolvent")
        told = shell.json("contract", "owed", "acme")
        assert [(one["demandable_from"], one["rule"]) for one in told["claims"]] == [
            ("2027-05-21", "FEE-03"),
            ("2027-05-25", "END-06"),
        ]
        assert told["total"] == 3 * 33_000  # initial fee and two months, none of the minimum after them
