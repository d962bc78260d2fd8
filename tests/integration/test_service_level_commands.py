"""``kurado incident``, ``sla`` and ``claim``, run as an operator runs them."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.commands.app import Application
from gateway.daemon import wall_clock
from gateway.domain.calendar import format_jst, jst_date
from gateway.testing.clockwork import from_noon

TODAY = jst_date(wall_clock())
CLOCK = from_noon(TODAY)
APPLY = (
    "--customer", "ACME", "--address", "Tokyo", "--contact", "Hanako", "--email", "acme@example.jp",
    "--plan", "standard", "--payment", "invoice", "--terms-version", "2017-06-01",
    "--privacy-version", "3", "--privacy-agreed-at", "now",
)  # fmt: skip


class Shell:
    """``kurado`` in a folder with one customer, ``acme``, whose billing month begins today."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "gateway.yaml").write_text(yaml.safe_dump({"version": 1, "plugins": ["contract_state"]}))
        self.ok("contract", "apply", "acme", *APPLY)
        self.ok("contract", "review", "acme")
        day = str(TODAY.day)
        self.ok("contract", "accept", "acme", "--minimum-months", "1", "--start-day", day, "--reason", "complete")
        self.ok("contract", "register", "acme", "--login", "hanako", "--password-stdin", text="correct horse\n")
        self.ok("contract", "notify-start", "acme", "--start-date", str(TODAY), "--arrived-at", "now")

    def run(self, *words: str, text: str | None = None) -> Result:
        config = self.folder / "gateway.yaml"
        args = ["--config", str(config), *words]
        with closing(Application(config, timepiece=CLOCK)) as kurado:
            return CliRunner().invoke(cli, args, input=text, env={"LOGNAME": "ann"}, prog_name="kurado", obj=kurado)

    def ok(self, *words: str, text: str | None = None) -> str:
        result = self.run(*words, text=text)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "--json"))

    def refused(self, rule: str, *words: str) -> None:
        """One line that names the rule."""
        result = self.run(*words)
        assert result.exit_code == 1, result.output
        assert result.stderr.startswith("kurado: ")
        assert result.stderr.rstrip().endswith(f"{rule})"), result.stderr


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(tmp_path_factory.mktemp("shop"))


def test_an_incident_from_draft_to_cause(shell: Shell) -> None:
    name = shell.json("incident", "draft", "--summary", "slow listings", "--component", "listing")["incident"]
    shell.refused("SLA-AV-02", "incident", "recover", name)
    one = shell.json("incident", "confirm", name, "--full-stop")
    assert (one["state"], one["full_stop"], one["components"], one["scope"]) == ("open", True, ["listing"], "all")
    assert name in shell.ok("incident", "list", "--open")
    assert "open" in shell.ok("incident", "notice", name, "--what", "occurrence", "--channel", "email")
    shell.ok("incident", "recover", name)
    shell.refused("P-6", "incident", "recover", name, "--at", "2099-01-01T00:00+09:00")
    shell.refused("LIA-02", "incident", "cause", name, "--cause", "customer")
    words = ("--cause", "customer", "--item", "1", "--evidence", "their letter", "--text-en", "a local fault")
    assert shell.json("incident", "cause", name, *words)["excluded_by"] == "SLA-AV-03"
    shown = shell.json("incident", "show", name)
    assert (shown["item"], shown["cause_text"]) == ("13(2)1", {"en": "a local fault"})
    assert [act["act"] for act in shown["acts"]][-1] == "incident.cause_reported"
    assert shown["notices"][0]["what"] == "occurrence"
    text = shell.ok("incident", "show", name)
    assert "13(2)1" in text
    assert "incident.recovered" in text
    shell.ok("incident", "dismiss", name, "--reason", "a drill")
    assert name not in shell.ok("incident", "list", "--open")


def test_a_report_names_the_rule_of_each_figure_and_a_claim_is_granted_by_it(shell: Shell) -> None:
    lost = shell.json("incident", "open", "--kind", "data-loss", "--tenant", "acme", "--summary", "a disk")["incident"]
    found = shell.json("sla", "report", "--tenant", "acme", "--period", str(TODAY))
    fee = found["monthly_fee"]["amount"]
    assert fee > 0
    assert found["period"] == {"kind": "month", "start": str(TODAY), "end": found["period"]["end"]}
    (breach,) = found["breaches"]
    assert (breach["ref"], breach["rule"], breach["credit_rule"], breach["amount"]) == (
        lost,
        "SLA-DP-04",
        "CMP-03",
        fee,
    )
    assert found["target"] == {"seconds": 3600, "met": True, "rule": "SLA-AV-01"}
    text = shell.ok("sla", "report", "--tenant", "acme", "--period", str(TODAY))
    assert f"to be claimed   {fee} JPY at most" in text
    claim = ("--tenant", "acme", "--period", str(TODAY), "--statement", "our pictures are gone")
    assert "CLM-1 is filed" in shell.ok("claim", "file", *claim)
    shell.refused("CMP-07", "claim", "file", *claim)
    assert shell.run("claim", "decide", "CLM-1", "--reject").exit_code == 2
    assert f"CLM-1 is granted: {fee} JPY by CMP-03" in shell.ok("claim", "decide", "CLM-1", "--grant")
    shown = shell.json("claim", "show", "CLM-1")
    assert shown["figures"]["items"][0]["ref"] == lost
    assert "monthly fee" in shell.ok("claim", "show", "CLM-1")
    assert shell.json("claim", "list", "--tenant", "acme")[0]["state"] == "granted"
    after = shell.json("sla", "report", "--tenant", "acme", "--period", str(TODAY))
    assert (after["granted"], after["claims"], after["breaches"][0]["granted"]) == (fee, ["CLM-1"], True)


def test_a_claim_is_rejected_by_a_rule(shell: Shell) -> None:
    name = shell.json(
        "claim", "file", "--tenant", "acme", "--period", str(TODAY), "--kind", "availability", "--statement", "slow"
    )["claim"]
    shell.refused("CMP-07", "claim", "decide", name, "--grant")
    done = shell.json("claim", "decide", name, "--reject", "--rule", "SLA-AV-02", "--reason", "slow is no stop")
    assert (done["state"], done["rule"], done["amount"]) == ("rejected", "SLA-AV-02", None)


def test_a_backup_by_other_means_is_attested(shell: Shell) -> None:
    words = ("--tenant", "acme", "--evidence", "tape 7, read back")
    assert "1 tenants" in shell.ok("sla", "attest", "--day", str(TODAY), *words)
    shell.refused("P-6", "sla", "attest", "--day", str(TODAY + timedelta(days=2)), *words)
    (row,) = shell.json("sla", "backups", "--from", str(TODAY), "--to", str(TODAY))
    assert row == {"day": str(TODAY), "tenants": "acme"}


def test_a_correction_needs_its_reason_and_something_to_correct(shell: Shell) -> None:
    name = shell.json("incident", "open", "--summary", "all down")["incident"]
    shell.refused("P-6", "incident", "correct", name, "--reason", "nothing")
    earlier = format_jst(CLOCK() - 60_000)
    shell.ok("incident", "correct", name, "--recognised-at", earlier, "--reason", "the call came earlier")
    one = shell.json("incident", "correct", name, "--partial", "--reason", "listings worked")
    assert (one["recognised"], one["excluded_by"]) == (earlier, "SLA-AV-02")
    shell.ok("incident", "recover", name)


def test_a_tenant_without_a_contract_has_no_service_level(shell: Shell) -> None:
    shell.ok("tenant", "add", "demo", "--plan", "standard")
    result = shell.run("sla", "report", "--tenant", "demo", "--period", str(TODAY))
    assert result.exit_code == 1
    assert "SVC-01" in result.stderr
    shell.refused("APP-05", "sla", "report", "--tenant", "acme", "--period", str(TODAY - timedelta(days=400)))
