"""``kurado billing`` and ``kurado invoice``, run as an operator runs them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.commands.app import Application
from gateway.daemon import wall_clock
from gateway.domain.calendar import jst_date
from gateway.testing.clockwork import from_noon
from gateway.testing.contracts import ISSUER, begin
from gateway.testing.space import Clock, open_space

TODAY = jst_date(wall_clock())
CLOCK = from_noon(TODAY)
START = TODAY - timedelta(days=80)
ZENGIN = {
    "name": "zengin",
    "client_code": "12345",
    "client_name": "カ)クラドストレージ",
    "bank_code": "0184",
    "branch_code": "001",
    "account_number": "7654321",
}


class Operator:
    """``kurado`` over a folder with the contracts ``acme`` (by invoice) and ``beta`` (by debit) since 80 days."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *words: str) -> Result:
        config = self.folder / "gateway.yaml"
        with closing(Application(config, timepiece=CLOCK)) as kurado:
            return CliRunner().invoke(cli, ["--config", str(config), *words], prog_name="kurado", obj=kurado)

    def ok(self, *words: str) -> str:
        result = self.run(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "--json"))

    def refused(self, rule: str, *words: str) -> None:
        result = self.run(*words)
        assert result.exit_code == 1, result.output
        assert result.stderr.rstrip().endswith(f"{rule})"), result.stderr


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    plugins: list[Any] = ["contract_state", "payment_agency", "billing_export", ZENGIN]
    with open_space(tmp_path, plugins=plugins, clock=Clock()) as space:
        space.services.policies.apply("issuer", ISSUER, "ann")
        begin(space, "acme", START, start_day=START.day)
        begin(space, "beta", START, start_day=START.day, method="bank_debit")
    (tmp_path / "letter.pdf").write_bytes(b"a letter")
    yield Operator(tmp_path)


def test_a_period_is_closed_shown_and_paid(operator: Operator) -> None:
    operator.refused("CAL-01", "billing", "close", "--period", str(TODAY))
    operator.refused("SVC-01", "billing", "close", "--period", str(START), "--tenant", "studio")
    assert len(operator.json("billing", "status")) == 2
    told = operator.ok("billing", "close", "--period", str(START), "--dry-run")
    assert "would be issued" in told
    assert operator.ok("invoice", "list") == "no invoice was issued\n"
    told = operator.ok("billing", "close", "--period", str(START))
    assert "acme: KRD-000001: month" in told
    assert "2 invoices issued, 132,000 JPY with tax" in told
    assert "nothing to issue" in operator.ok("billing", "close", "--period", str(START))
    assert operator.json("billing", "close", "--period", str(START))[0]["invoices"] == []
    rows = operator.json("invoice", "list", "--tenant", "acme")
    assert [(row["invoice"], row["total"], row["state"], row["overdue"]) for row in rows] == [
        ("KRD-000001", 66_000, "issued", True)
    ]
    assert "partly paid, 65,999 JPY open" in operator.ok("invoice", "pay", "KRD-000001", "--amount", "1")
    assert operator.json("invoice", "pay", "KRD-000001")["state"] == "paid"
    operator.refused("FEE-06", "invoice", "pay", "KRD-000001")
    assert operator.ok("invoice", "list", "--overdue").count("KRD-") == 1
    shown = operator.json("invoice", "show", "KRD-000001")
    assert [line["rule"] for line in shown["lines"]] == ["FEE-01", "FEE-02"]
    assert (shown["issuer"]["registration"], shown["customer"]["name"], shown["intact"]) == (
        "T1234567890123",
        "株式会社アトリエ髙橋",
        True,
    )
    assert [act["act"] for act in operator.json("invoice", "history", "KRD-000001")] == [
        "invoice.issued",
        "invoice.paid",
        "invoice.paid",
    ]
    assert "66,000  JPY in all" in operator.ok("invoice", "show", "KRD-000001", "--language", "en")


@pytest.mark.parametrize(("language", "word"), [("ja", "適格請求書"), ("en", "Qualified invoice")])
def test_an_invoice_is_written_as_page_and_pdf(operator: Operator, language: str, word: str) -> None:
    operator.ok("billing", "close", "--period", str(START))
    page, pdf = operator.folder / "invoice.html", operator.folder / "invoice.pdf"
    words = ["invoice", "show", "KRD-000001", "--language", language]
    operator.ok(*words, "--html", str(page), "--pdf", str(pdf))
    assert word in page.read_text("utf-8")
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert page.stat().st_mode & 0o777 == 0o600
    if shutil.which("pdftotext"):
        text = subprocess.run(["pdftotext", pdf, "-"], capture_output=True, text=True, check=True).stdout
        assert "KRD-000001" in text
        assert "66,000" in text


def test_a_claim_is_assigned_handed_over_and_settled_by_the_result_file(operator: Operator) -> None:
    operator.ok("billing", "issue")
    operator.refused("PAY-01", "invoice", "settle", "KRD-000001")
    operator.ok("invoice", "assign", "KRD-000001")
    operator.refused("PAY-01", "invoice", "assign", "KRD-000001")
    operator.refused("PAY-01", "invoice", "demand", "KRD-000001")
    out = operator.folder / "claims.csv"
    operator.ok("billing", "collect", "--exporter", "payment_agency", "-o", str(out))
    assert out.read_text("utf-8").splitlines()[1].startswith("KRD-000001,C")
    result = operator.folder / "results.csv"
    result.write_text(f"invoice,result,date,amount,reason\r\nKRD-000001,settled,{TODAY},1,\r\n")
    refused = operator.run("billing", "import-results", "--exporter", "payment_agency", str(result))
    assert refused.exit_code == 1
    assert "rejected whole: line 2: KRD-000001" in refused.stderr
    result.write_text(f"invoice,result,date,amount,reason\r\nKRD-000001,settled,{TODAY},66000,\r\n")
    told = operator.ok("billing", "import-results", "--exporter", "payment_agency", str(result))
    assert told == "KRD-000001: settled\n"
    assert "read before" in operator.ok("billing", "import-results", "--exporter", "payment_agency", str(result))


def test_a_debit_order_goes_out_and_comes_back(operator: Operator) -> None:
    operator.ok("billing", "close", "--period", str(START))
    nothing = operator.run("billing", "collect", "--exporter", "zengin")
    assert nothing.exit_code == 1
    assert "beta: there is no bank account" in nothing.stderr
    account = ["--bank", "0184", "--branch", "002", "--number", "1234567", "--holder", "アトリエ"]
    letter = ["--document", str(operator.folder / "letter.pdf")]
    assert operator.run("contract", "bank-account", "set", "beta", *account, *letter, "--bank", "18").exit_code == 1
    operator.ok("contract", "bank-account", "set", "beta", *account, *letter)
    assert operator.json("contract", "bank-account", "show", "beta")[0]["number"] == "****567"
    out = operator.folder / "order.txt"
    operator.ok("billing", "collect", "--exporter", "zengin", "-o", str(out))
    operator.refused("FEE-07", "invoice", "pay", "KRD-000002")
    (row,) = operator.json("billing", "orders")
    assert (row["order"], row["amount"], row["results"]) == ("zengin-000001", 66_000, 0)
    assert (
        operator.run("billing", "collect", "--exporter", "zengin", "--again", row["order"]).stdout_bytes
        == out.read_bytes()
    )
    header, debit, trailer, end, _ = out.read_bytes().split(b"\r\n")
    result = operator.folder / "result.txt"
    counts = b"%06d%012d%06d%012d" % (1, 66_000, 0, 0)
    result.write_bytes(b"\r\n".join([header, debit, trailer[:19] + counts + trailer[55:], end, b""]))
    done = operator.json("billing", "import-results", "--exporter", "zengin", str(result))
    assert done["results"] == [{"invoice": "KRD-000002", "result": "paid"}]
    operator.ok("contract", "bank-account", "remove", "beta")
    assert operator.ok("contract", "bank-account", "show", "beta") == "there is no bank account\n"


def test_corrections_and_refunds_name_their_rule(operator: Operator) -> None:
    operator.ok("billing", "close", "--period", str(START))
    told = operator.ok("invoice", "correct", "KRD-000001", "2", "--amount", "20000", "--reason", "誤り")
    assert told == "KRD-000001 line 2: -10,000 JPY on the next invoice\n"
    operator.refused("FEE-06", "invoice", "refund", "KRD-000001", "--rule", "CMP-08", "--amount", "1", "--reason", "x")
    operator.refused("PAY-01", "invoice", "refund", "KRD-000001", "--rule", "PAY-01", "--amount", "1", "--reason", "x")
    operator.refused("FEE-06", "billing", "refund", "acme", "--rule", "PAY-01", "--amount", "1", "--reason", "x")
    operator.ok("invoice", "demand", "KRD-000001")
    operator.ok("invoice", "pay", "KRD-000001")
    assert "contract.cured" in operator.ok("contract", "history", "acme")
    assert "correction" in json.dumps(operator.json("billing", "issue"))
    result = operator.run("invoice", "show", "KRD-000099")
    assert (result.exit_code, result.stderr) == (1, "kurado: there is no invoice 'KRD-000099'\n")


def test_the_sample_issuer_is_never_mistaken_for_a_real_one(tmp_path: Path) -> None:
    with open_space(tmp_path, plugins=["contract_state"], clock=Clock()) as space:
        begin(space, "acme", START)
    result = Operator(tmp_path).run("billing", "issue")
    assert result.exit_code == 0
    assert "SAMPLE-000001" in result.stdout
    assert "the issuer is the sample" in result.stderr
