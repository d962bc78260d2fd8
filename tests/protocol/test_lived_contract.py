"""A contract lived from application to erasure on a real daemon, on a clock that the test sets; every yen is checked.

The customer ``acme`` (plan light, 5 000 a month, minimum 12 months) starts on 5 April 2027:

=====================  ========================================================================================
5 April - 20 April     stub, not charged (FEE-04); the initial fee
21 April               anchor: months begin on the 21st (CAL-01)
21 July                upgrade to standard on the first day of a month: billed from 21 August on (CHG-03)
1 September            25 hours of outage, its recovery told late: credits, on claim (CMP-02, CMP-04, CMP-07)
5 October              first cancellation: its lump sum is not paid in time, it lapses (END-04)
10 November            second cancellation, paid: ends with 10 December
10 March 2028          90 days later: erased (D-53)
=====================  ========================================================================================
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.commands.app import Application
from gateway.domain.errors import NotFound
from gateway.testing.clockwork import Timepiece
from gateway.testing.rawhttp import Answer, ask, basic
from gateway.testing.server import RunningGateway
from gateway.testing.waiting import until

LOGIN, PASSWORD = "hanako", "a long enough password"
TAX = 10  # per cent, cut


class Provider:
    """The operator's side: commands in this process, a daemon in its own, all on one clock."""

    def __init__(self, folder: Path) -> None:
        self.clock = Timepiece(folder / "clock")
        self.letter = folder / "letter.pdf"
        self.letter.write_bytes(b"a letter, sealed by its sender")
        document = {
            "version": 1,
            "data_dir": "data",
            "gates": 2,
            "contracts": "required",
            "listen": {"dav": "127.0.0.1:0", "desk": "127.0.0.1:0"},
            "plugins": ["contract_state", "quota", "metering", "billing_export"],
        }
        (folder / "gateway.yaml").write_text(yaml.safe_dump(document))
        launcher = (sys.executable, "-P", "-m", "gateway.testing.clockwork", str(folder / "clock"))
        self.daemon = RunningGateway(folder, tenant="acme", login=LOGIN, password=PASSWORD, command=launcher)
        self.app = Application(folder / "gateway.yaml", timepiece=self.clock)

    def close(self) -> None:
        self.daemon.stop()
        self.app.close()

    def at(self, day: str, hour: float = 9) -> None:
        """Goes to an hour of a day in Japan; no daemon runs then."""
        self.daemon.stop()
        self.clock.set_jst(day, hour)

    # -- commands -----------------------------------------------------------------------------------------------------

    def run(self, *words: str, who: str = "ann", text: str | None = None) -> Result:
        return CliRunner().invoke(cli, words, obj=self.app, input=text, env={"LOGNAME": who}, prog_name="kurado")

    def ok(self, *words: str, who: str = "ann", text: str | None = None) -> str:
        result = self.run(*words, who=who, text=text)
        assert result.exit_code == 0, (words, result.output, result.exception)
        return result.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "--json"))

    def refused(self, rule: str, *words: str) -> None:
        result = self.run(*words)
        assert result.exit_code == 1, (words, result.output)
        assert rule in result.stderr, result.stderr

    def paper(self) -> tuple[str, ...]:
        return ("--document", str(self.letter))

    # -- the service --------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        if self.daemon.process is None:
            self.daemon.start()

    def request(self, verb: str, path: str = "", body: bytes = b"") -> Answer:
        self.serve()
        head = f"{verb} /dav/{path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n".encode()
        return ask(self.daemon.address, head + basic(LOGIN, PASSWORD) + b"\r\n" + body)

    def answers(self, status: int, verb: str, path: str) -> None:
        """Waits until a request is answered so."""
        until(lambda: self.request(verb, path).status == status)

    def stored(self, content: bytes) -> bool:
        """Whether a blob with just this content is stored, as a file or as a row."""
        store = self.app.services.store
        for blob in store.list():
            with contextlib.suppress(NotFound), store.open(blob.key) as stream:
                if stream.read() == content:
                    return True
        return False

    # -- money --------------------------------------------------------------------------------------------------------

    def issued(self, contract: str = "acme") -> list[dict[str, Any]]:
        """What is due by today is issued; the invoices that are new, with their lines."""
        before = {one["invoice"] for one in self.json("invoice", "list")}
        until(self._issue)
        numbers = [one["invoice"] for one in self.json("invoice", "list") if one["invoice"] not in before]
        shown = [self.json("invoice", "show", number) for number in numbers]
        return [one for one in shown if one["contract"] == contract]

    def _issue(self) -> bool:
        """Usage is billed too: the steward has to book first what the daemon counted."""
        result = self.run("billing", "issue")
        assert not result.exit_code or "not final yet" in result.output, result.output
        if result.exit_code:
            self.serve()
        return not result.exit_code

    def due(self, *lines: tuple[str, int], taxed: bool = True) -> str:
        """One invoice is issued, dated today, with just these lines and their tax; returns its number."""
        (one,) = self.issued()
        assert [(line["code"], line["amount"]) for line in one["lines"]] == list(lines)
        net = sum(amount for _, amount in lines)
        assert one["tax"] == (net * TAX // 100 if taxed else 0)
        assert one["total"] == net + one["tax"]
        return str(one["number"])

    def due_and_paid(self, *lines: tuple[str, int]) -> None:
        self.ok("invoice", "pay", self.due(*lines))


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    one = Provider(tmp_path_factory.mktemp("provider"))
    one.clock.set_jst("2027-03-01")
    yield one
    one.close()


def apply(provider: Provider, name: str, day: str, plan: str, *words: str, months: str = "12") -> None:
    provider.at(day, 9)
    provider.ok(
        "contract", "apply", name, "--customer", f"{name} 株式会社", "--address", "東京都千代田区", "--contact", "花子",
        "--email", f"{name}@example.jp", "--plan", plan, "--payment", "invoice", "--privacy-version", "1",
        "--privacy-agreed-at", f"{day}T08:00+09:00", *words,
    )  # fmt: skip
    provider.ok("contract", "review", name)
    provider.ok("contract", "accept", name, "--minimum-months", months, "--reason", "complete")
    provider.ok("contract", "register", name, "--login", LOGIN, "--password-stdin", text=PASSWORD + "\n")


# The chapters stand in the order in which they are lived: each goes on from the one before.


def test_from_application_to_the_first_day(provider: Provider) -> None:
    apply(provider, "acme", "2027-03-10", "light")
    provider.ok("contract", "notify-start", "acme", "--start-date", "2027-04-05", "--arrived-at", "now")
    assert provider.request("OPTIONS", "acme/").status == 403, "the space exists, and nobody gets in"
    provider.at("2027-04-04", 24 - 1 / 3600)
    assert provider.request("OPTIONS", "acme/").status == 403
    provider.clock.set_jst("2027-04-05", 0)
    provider.answers(200, "OPTIONS", "acme/")
    assert provider.request("PUT", "acme/first.txt", b"the first file").status == 201
    provider.at("2027-04-05")
    provider.due_and_paid(("initial_fee", 5_000))


def test_three_months_at_the_agreed_fee(provider: Provider) -> None:
    for day in ("2027-04-21", "2027-05-21", "2027-06-21"):
        provider.at(day)
        assert provider.json("contract", "status", "acme")["state"] == "active"
        provider.due_and_paid(("monthly_fee", 5_000))
        assert provider.issued() == [], "once"


def test_an_upgrade_on_the_first_day_of_a_month_is_billed_from_the_next(provider: Provider) -> None:
    provider.at("2027-07-11")
    provider.ok("contract", "request-change", "acme", "--plan", "standard", "--on", "2027-07-21", *provider.paper())
    provider.at("2027-07-21")
    provider.due_and_paid(("monthly_fee", 5_000))
    provider.serve()
    provider.answers(200, "OPTIONS", "acme/")
    until(lambda: provider.json("tenant", "show", "acme")["quota_bytes"] == 100 * 1024**3)  # the steward has done it
    provider.at("2027-08-21")
    provider.due_and_paid(("initial_fee_difference", 25_000), ("monthly_fee", 30_000))


def test_a_long_outage_is_compensated_on_claim_by_the_next_invoice(provider: Provider) -> None:
    provider.at("2027-09-01", 0)
    name = provider.json("incident", "open", "--summary", "the storage is down")["incident"]
    provider.at("2027-09-01", 0.5)
    provider.ok("incident", "notice", name, "--what", "occurrence", "--channel", "status_site")
    provider.at("2027-09-02", 1)
    provider.ok("incident", "recover", name)
    provider.at("2027-09-02", 2.5)  # an hour and a half after the recovery
    provider.ok("incident", "notice", name, "--what", "recovery", "--channel", "status_site")
    provider.at("2027-09-10")
    availability, late = 30_000 * 25 * 3600 // 2_592_000, 30_000 // 30
    assert (availability, late) == (1_041, 1_000)
    report = provider.json("sla", "report", "--tenant", "acme", "--period", "2027-09-01")
    assert report["credit"]["amount"] == availability + late
    claim = provider.json(
        "claim", "file", "--tenant", "acme", "--period", "2027-09-01", "--statement", "we could not work for a day"
    )["claim"]
    provider.at("2027-09-12")
    provider.ok("claim", "decide", claim, "--grant")
    provider.at("2027-09-21")
    provider.due_and_paid(("monthly_fee", 30_000), ("sla_credit", -availability - late))


def test_a_demand_about_overload_is_met(provider: Provider) -> None:
    provider.at("2027-09-25")
    told = provider.json("contract", "overload", "acme", "--evidence", "ten thousand listings a second")
    case = told["overload_cases"][-1]
    provider.refused("LIM-03", "contract", "suspend", "acme", "--case", case, "--reason", "no demand has arrived")
    told = provider.json("contract", "demand", "acme", "--ground", "17(1)2", "--case", case, "--received-at", "now")
    provider.ok("contract", "suspend", "acme", "--case", case, "--reason", "the machine stands still")
    provider.answers(403, "OPTIONS", "acme/")
    provider.ok("contract", "resume", "acme")
    provider.answers(200, "OPTIONS", "acme/")
    provider.at("2027-10-01")
    provider.ok("contract", "cured", "acme", told["demands"][-1]["demand"], "--on", "2027-10-01")


def test_a_referred_contract_goes_on_by_its_renewal_application_only(provider: Provider) -> None:
    apply(provider, "partner", "2027-09-28", "light", "--route", "referral")
    provider.ok("contract", "notify-start", "partner", "--start-date", "2027-10-01", "--arrived-at", "now")
    provider.at("2027-10-01")
    status = provider.json("contract", "status", "partner")
    assert status["last_day"] == "2028-04-20", "six billing months from the anchor, the stub before it"
    assert [line["amount"] for one in provider.issued("partner") for line in one["lines"]] == [5_000]


def test_a_cancellation_within_the_minimum_lapses_when_its_lump_sum_is_late(provider: Provider) -> None:
    provider.at("2027-10-05")
    told = provider.json("contract", "cancel", "acme", *provider.paper())
    assert told["last_day"] == "2027-11-04", "thirty days after the receipt"
    closing = provider.due(("early_termination", 5 * 30_000), taxed=False)
    provider.at("2027-10-21")
    assert [line["amount"] for one in provider.issued("partner") for line in one["lines"]] == [5_000]
    late = [one for one in provider.json("invoice", "list") if one["contract"] == "acme" and one["open"]]
    monthly = next(one for one in late if one["invoice"] != closing)
    assert monthly["total"] == 33_000
    provider.ok("invoice", "pay", monthly["invoice"])
    provider.at("2027-11-05", 0)
    provider.refused("END-04", "invoice", "pay", closing)
    assert provider.json("contract", "status", "acme")["state"] == "active"
    assert provider.request("GET", "acme/first.txt").body == b"the first file"


def test_a_second_one_paid_in_time_ends_the_contract(provider: Provider) -> None:
    provider.at("2027-11-10")
    told = provider.json("contract", "cancel", "acme", *provider.paper())
    assert told["last_day"] == "2027-12-10"
    closing = provider.due(("early_termination", 4 * 30_000), taxed=False)
    provider.at("2027-11-21")
    provider.issued("partner")
    monthly = next(
        one for one in provider.json("invoice", "list")
        if one["contract"] == "acme" and one["dated"] == "2027-11-21"
    )  # fmt: skip
    assert monthly["total"] == 33_000
    provider.ok("invoice", "pay", monthly["invoice"])
    provider.at("2027-12-09")
    provider.ok("invoice", "pay", closing)
    assert provider.request("GET", "acme/first.txt").status == 200, "the last day is still to come"
    provider.at("2027-12-10", 24 - 1 / 3600)
    assert provider.request("GET", "acme/first.txt").status == 200
    provider.clock.set_jst("2027-12-11", 0)
    provider.answers(403, "GET", "acme/first.txt")
    assert provider.json("contract", "status", "acme")["state"] == "ended"


def test_after_the_end_the_data_is_kept_unreadable_and_then_erased(provider: Provider) -> None:
    provider.at("2028-03-09")
    assert provider.issued() == [], "nothing is invoiced after the end"
    assert provider.request("GET", "acme/first.txt").status == 403
    assert provider.stored(b"the first file"), "kept"
    provider.at("2028-03-10")
    provider.answers(401, "GET", "acme/first.txt")  # there is no such login any more
    until(lambda: not provider.app.services.db.read(lambda tx: tx.nodes.blobs()))
    provider.at("2028-03-10", 12)  # what readers may still have open is kept for a while
    provider.serve()
    until(lambda: not provider.stored(b"the first file"))
    assert "contract.erased" in provider.ok("contract", "history", "acme"), "with a record"


def test_minimum_times_fee_was_billed_and_the_chain_of_all_acts_is_whole(provider: Provider) -> None:
    provider.at("2028-03-11")
    paid = [one for one in provider.json("invoice", "list") if one["contract"] == "acme" and one["state"] == "paid"]
    assert sum(one["total"] for one in paid) == (
        5_500  # the initial fee
        + 4 * 5_500  # 21 April to 20 August
        + 60_500  # from 21 August: the difference of the initial fees, and the new fee
        + 30_754  # (30 000 - 2 041) and its tax, cut
        + 2 * 33_000
        + 120_000
    )
    assert "all as they were recorded" in provider.ok("audit", "verify")


def test_the_referred_contract_renews_once_by_one_application(provider: Provider) -> None:
    provider.at("2028-04-20")
    provider.ok("contract", "renew", "partner", *provider.paper())
    assert provider.json("contract", "status", "partner")["will_renew"] is True
    provider.at("2028-04-21")
    assert provider.json("contract", "status", "partner")["last_day"] == "2028-10-20"
    provider.at("2028-10-21")
    assert provider.json("contract", "status", "partner")["state"] == "ended"
    provider.refused("TERM-07", "contract", "renew", "partner", *provider.paper())
