"""``kurado contract`` and its neighbours, run as an operator runs them."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.commands.app import Application
from gateway.daemon import wall_clock
from gateway.domain.calendar import jst_date
from gateway.testing.clockwork import from_noon

TODAY = jst_date(wall_clock())
CLOCK = from_noon(TODAY)
YESTERDAY = f"{TODAY - timedelta(days=1)}T09:00+09:00"
APPLY = (
    "--customer", "ACME", "--address", "Tokyo", "--contact", "Hanako", "--email", "acme@example.jp",
    "--plan", "standard", "--payment", "invoice", "--terms-version", "2017-06-01",
)  # fmt: skip
CONSENT = ("--privacy-version", "3", "--privacy-agreed-at", YESTERDAY)


class Shell:
    """``kurado`` in a folder, by a login of the machine."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder = folder
        document = {"version": 1, "plugins": ["contract_state", "quota", "metering"], **config}
        (folder / "gateway.yaml").write_text(yaml.safe_dump(document))
        self.letter = folder / "letter.pdf"
        self.letter.write_bytes(b"a letter")

    def run(self, *words: str, who: str = "ann", text: str | None = None) -> Result:
        config = self.folder / "gateway.yaml"
        args = ["--config", str(config), *words]
        with closing(Application(config, timepiece=CLOCK)) as kurado:
            return CliRunner().invoke(cli, args, input=text, env={"LOGNAME": who}, prog_name="kurado", obj=kurado)

    def ok(self, *words: str, who: str = "ann", text: str | None = None) -> str:
        result = self.run(*words, who=who, text=text)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "--json"))

    def refused(self, rule: str, *words: str, who: str = "ann") -> None:
        """One line that names the rule."""
        result = self.run(*words, who=who)
        assert result.exit_code == 1, result.output
        assert result.stderr.startswith("kurado: ")
        assert result.stderr.rstrip().endswith(f"{rule})"), result.stderr

    def contract(self, name: str = "acme", months: int = 3) -> None:
        self.ok("contract", "apply", name, *APPLY, *CONSENT)
        self.ok("contract", "review", name)
        self.ok("contract", "accept", name, "--minimum-months", str(months), "--reason", "complete")
        self.ok("contract", "register", name, "--login", "hanako", "--password-stdin", text="correct horse\n")
        self.ok("contract", "notify-start", name, "--start-date", TODAY.isoformat(), "--arrived-at", "now")


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_contract_from_application_to_start_and_what_it_has_come_to(shell: Shell) -> None:
    shell.refused("APP-02", "contract", "apply", "acme", *APPLY)
    assert shell.ok("contract", "apply", "acme", *APPLY, *CONSENT) == "contract acme is applied\n"
    shell.refused("SVC-01", "contract", "register", "acme")
    shell.ok("contract", "review", "acme")
    shell.refused("TERM-01", "contract", "accept", "acme", "--minimum-months", "99999999999", "--reason", "complete")
    shell.ok("contract", "accept", "acme", "--minimum-months", "3", "--reason", "complete")
    told = shell.json("contract", "register", "acme")
    assert told["state"] == "registered"
    assert len(told["password"]) > 10
    for option, far in (
        ("--start-date", "9999-12-31"),
        ("--sent-at", "9999-12-31T23:59:59Z"),
        ("--start-date", "0001-01-01"),
    ):
        result = shell.run("contract", "notify-start", "acme", "--start-date", TODAY.isoformat(), option, far)
        assert result.exit_code == 2
        assert f"Invalid value for '{option}': {far} is not between 1970 and 2999" in result.stderr
    shell.ok("contract", "notify-start", "acme", "--start-date", TODAY.isoformat())
    assert shell.json("contract", "status", "acme")["state"] == "notified"
    assert shell.ok("contract", "notify-start", "acme", "--arrived-at", "now") == "contract acme is active\n"
    status = shell.json("contract", "status", "acme")
    assert (status["start_date"], status["term_no"], status["last_day"]) == (TODAY.isoformat(), 1, None)
    assert date.fromisoformat(status["nonrenewal_deadline"]) < date.fromisoformat(status["term_last_day"])
    history = shell.json("contract", "history", "acme")
    assert [act["act"] for act in history][-1] == "contract.start_notice_arrived"
    assert {act["actor"] for act in history} == {"ann"}
    assert "acme@example.jp" not in json.dumps(history)
    assert [row["contract"] for row in shell.json("contract", "list")] == ["acme"]
    assert "term last day" in shell.ok("contract", "status", "acme")
    assert "APP-05" in shell.ok("contract", "history", "acme")


def test_papers_are_refused_with_the_rule_that_forbids_them(shell: Shell) -> None:
    shell.contract()
    letter = ("--document", str(shell.letter))
    assert "coming" not in shell.ok("contract", "status", "acme")
    shell.ok("contract", "request-change", "acme", "--plan", "pro", *letter)
    assert f"pro {TODAY + timedelta(days=10)}" in shell.ok("contract", "status", "acme")
    shell.refused("CHG-05", "contract", "request-change", "acme", "--plan", "light", *letter)
    shell.refused("TERM-07", "contract", "renew", "acme", *letter)
    shell.refused("AGT-03", "contract", "cancel", "acme", *letter, "--role", "reseller")
    shell.refused("P-6", "contract", "cancel", "acme", *letter, "--received-at", "2099-01-01T00:00+09:00")
    told = shell.ok("contract", "cancel", "acme", *letter, "--last-day", TODAY.isoformat())
    assert f"moved to {TODAY + timedelta(days=30)}" in told
    assert "lump sum of" in told
    shell.refused("CHG-08", "contract", "request-change", "acme", "--plan", "pro", *letter)
    shell.ok("contract", "settle", "acme", "--paid-on", TODAY.isoformat())
    assert shell.json("contract", "status", "acme")["cancellation"] == "ends"
    assert len(shell.json("contract", "documents", "acme")) == 2
    shell.ok("contract", "notice", "acme", *letter)
    shell.ok("contract", "customer", "acme", "--email", "new@example.jp", *letter)


def test_what_the_terms_rule_is_not_done_behind_their_back(shell: Shell) -> None:
    shell.contract()
    shell.refused("LIM-03", "tenant", "suspend", "acme")
    shell.refused("CHG-01", "tenant", "set", "acme", "--plan", "light")
    shell.refused("END-07", "tenant", "remove", "acme", "--yes")
    shell.ok("tenant", "add", "free")
    shell.ok("tenant", "suspend", "free")


def test_the_providers_powers_by_command(shell: Shell) -> None:
    shell.contract()
    shell.refused("LIM-03", "contract", "suspend", "acme", "--case", "L1", "--reason", "load")
    assert "overload case L1" in shell.ok("contract", "overload", "acme", "--evidence", "900/s")
    demand = ("--ground", "17(1)2", "--case", "L1", "--received-at", "now")
    assert "demand D1" in shell.ok("contract", "demand", "acme", *demand)
    assert "suspended" in shell.ok("contract", "suspend", "acme", "--case", "L1", "--reason", "load")
    assert "active" in shell.ok("contract", "resume", "acme")
    early = ("--ground", "17(1)2", "--demand", "D1", "--arrived-at", "now")
    shell.refused("END-05", "contract", "terminate", "acme", *early)
    shell.ok("contract", "cured", "acme", "D1", "--on", TODAY.isoformat())
    shell.ok("contract", "stop", "acme", "--reason", "24(1)")
    shell.refused("ANT-01", "contract", "stop", "acme", "--approve")
    assert "stopped" in shell.ok("contract", "stop", "acme", "--approve", who="bob")
    shell.refused("END-07", "contract", "overload", "acme", "--evidence", "more")


def test_a_grave_ground_ends_a_contract_at_once(shell: Shell) -> None:
    shell.contract()
    ground = ("--ground", "17(1)5", "--found-on", TODAY.isoformat(), "--arrived-at", "now")
    assert "terminated" in shell.ok("contract", "terminate", "acme", *ground)


def test_a_discontinuation_without_its_sixty_days_is_refused(shell: Shell) -> None:
    shell.contract()
    notices = ("--email-arrived-at", "now", "--web-posted-at", "now")
    soon, then = TODAY + timedelta(days=59), TODAY + timedelta(days=61)
    shell.refused("DSC-02", "contract", "discontinue", "acme", "--last-day", soon.isoformat(), *notices)
    told = shell.ok("contract", "discontinue", "acme", "--last-day", then.isoformat(), *notices)
    assert f"last day {then}" in told


def test_plans_are_shown_with_their_fees(shell: Shell) -> None:
    (light, standard, _) = shell.json("plan", "list")
    assert (light["plan"], light["monthly_fee"], light["initial_fee"]) == ("light", 5000, 5000)
    assert shell.json("plan", "show", "standard") == standard
    assert "100 GB" in shell.ok("plan", "show", "standard")
    assert shell.run("plan", "show", "none").exit_code == 1


def test_windows_by_command(shell: Shell) -> None:
    assert shell.ok("interruption", "list") == "the service was never interrupted\n"
    opened = ("--ground", "LINE", "--reason", "a cut line")
    assert "interruption I1" in shell.ok("interruption", "open", *opened)
    shell.ok("interruption", "close", "I1")
    shell.refused("INT-01", "interruption", "close", "I1")
    (row,) = shell.json("interruption", "list")
    assert (row["state"], row["ground"], row["tenants"]) == ("closed", "LINE", "all")
    window = ("--from", "2099-01-05T02:00+09:00", "--to", "2099-01-05T04:00+09:00", "--reason", "disks")
    assert "maintenance M1" in shell.ok("maintenance", "announce", *window)
    shell.refused("OPS-04", "maintenance", "extend", "M1", "--to", "2099-01-05T03:00+09:00")
    shell.ok("maintenance", "extend", "M1", "--to", "2099-01-05T05:00+09:00")
    assert shell.run("maintenance", "close", "regular-2099-01-05").exit_code == 1  # nobody posted it
    rows = {row["window"]: row for row in shell.json("maintenance", "list")}
    assert rows["M1"]["to"] == "2099-01-05T05:00:00+09:00"
    assert "posted" in rows["M1"]


def test_the_audit_log_is_verified_and_exported_and_the_export_is_an_act(shell: Shell) -> None:
    shell.contract()
    verified = shell.json("audit", "verify")
    assert verified["fault"] is None
    lines = [json.loads(line) for line in shell.ok("audit", "export").splitlines()]
    assert len(lines) == verified["acts"] + 1
    assert lines[-1]["act"] == "audit.exported"
    assert {line["act"] for line in lines} >= {"contract.registered", "tenant.changed", "user.changed"}
    assert "argon2" not in json.dumps(lines)
    of_tenant = shell.ok("audit", "export", "--tenant", "acme").splitlines()
    assert 0 < len(of_tenant) < len(lines)
    assert "all as they were recorded" in shell.ok("audit", "verify", "--head", verified["head"])
    assert shell.run("audit", "verify", "--head", "0123").exit_code == 1


def test_where_contracts_are_required_tenants_are_added_as_demo_tenants(tmp_path: Path) -> None:
    shell = Shell(tmp_path, contracts="required")
    assert "SVC-01" in shell.ok("tenant", "add", "try")
    assert shell.json("tenant", "show", "try")["demo"] is True
