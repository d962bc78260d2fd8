"""Usage beyond the plan on invoices, and exports of invoiced periods that equal them to the yen."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.domain.calendar import jst_midnight
from gateway.domain.invoice import InvoiceDocument
from gateway.domain.units import GB
from gateway.hooks import TrafficSample
from gateway.testing.contracts import ANN, ISSUER, begin, grant, on
from gateway.testing.space import Clock, Space, open_space

START = date(2027, 4, 21)
JUNE, JULY, AUGUST = date(2027, 5, 21), date(2027, 6, 21), date(2027, 7, 21)
PLUGINS = ["quota", "contract_state", "metering", "billing_export", "invoice_export"]


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path, plugins=PLUGINS, clock=Clock(jst_midnight(START))) as opened:
        opened.services.policies.apply("issuer", ISSUER, "ann")
        begin(opened, "acme", START)
        yield opened


def downloads(space: Space, n: int, gigabytes: float) -> None:
    tenant = space.services.accounts.tenant("acme")
    sample = TrafficSample("gate", n, tenant.id, space.clock.now, 0, int(gigabytes * GB), 0, {"read": 1})
    space.services.db.write(lambda tx: space.services.host.traffic([sample], tx.usage)).result()


def settle(space: Space) -> None:
    """All gates have reported and all events are booked."""
    services = space.services
    for subscriber in services.outbox.subscribers():
        while services.outbox.deliver(subscriber, 0):
            pass
    services.db.write(lambda tx: tx.leases.remove(space.deployment.boot_id)).result()


def close(space: Space, day: date) -> list[InvoiceDocument]:
    found = list(space.services.billing.closing.close(day, ANN))
    return [document for one in found for document in one.invoices]


def export(space: Space, day: date, form: str) -> str:
    words = ["--config", str(space.deployment.config.file), "billing", "export", "--period", str(day), "--format", form]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    return result.stdout


def rows(text: str) -> list[dict[str, str]]:
    return [
        row for row in csv.DictReader(io.StringIO(text)) if row.get("tenant", row.get("BillingAccountName")) == "acme"
    ]


def test_usage_beyond_the_plan_is_on_the_invoice_of_its_period(space: Space) -> None:
    downloads(space, 1, 150.5)
    on(space, JUNE)
    settle(space)
    (document,) = close(space, START)
    fee, egress = document.lines[1], document.lines[2]
    assert (fee.code, egress.code, egress.amount, egress.rule, egress.rate) == (
        "monthly_fee", "egress", 505, "pricelist.egress", 1000,
    )  # fmt: skip
    assert (egress.figures["quantity"], egress.figures["unit_price"], egress.clause) == ("50.5", 10, "§6")
    assert document.total == (30_000 + 30_000 + 505) * 110 // 100


def test_usage_is_charged_once_also_when_its_month_was_invoiced_in_advance(space: Space) -> None:
    list(space.services.billing.closing.issue(None, ANN))
    downloads(space, 1, 110)
    on(space, JULY)
    settle(space)
    (june,) = close(space, JUNE)
    assert [line.code for line in june.lines] == ["monthly_fee", "egress"]
    on(space, AUGUST)
    assert [[line.code for line in one.lines] for one in close(space, JULY)] == [["monthly_fee"]]


def test_usage_is_charged_at_the_price_that_was_agreed(space: Space) -> None:
    cheaper = space.services.policies.version("plans").text.replace("amount: 10,", "amount: 1,")
    assert cheaper != space.services.policies.version("plans").text
    space.services.policies.apply("plans", cheaper, "ann")
    downloads(space, 1, 101)
    on(space, JUNE)
    settle(space)
    assert close(space, START)[0].lines[2].amount == 10


def test_a_period_whose_usage_is_not_final_is_not_closed_yet(space: Space) -> None:
    downloads(space, 1, 150)
    on(space, JUNE, hour=0)
    (one,) = space.services.billing.closing.close(START, ANN)
    assert (one.rule, one.invoices) == ("FEE-02", ())
    settle(space)
    on(space, JUNE, hour=1)
    assert len(close(space, START)) == 1


def test_exports_of_an_invoiced_period_equal_the_invoices(space: Space) -> None:
    downloads(space, 1, 150)
    grant(space, "acme", "C1", 1_234)
    on(space, JUNE)
    settle(space)
    (first,) = close(space, START)
    reason = {"ja": "誤り", "en": "wrong"}
    space.services.billing.invoices.correct(first.number, 3, ANN, right=100, reason=reason)
    on(space, JULY)
    (second,) = close(space, JUNE)
    for day, document in ((START, first), (JUNE, second)):
        total = document.total
        assert sum(int(row["amount"]) for row in rows(export(space, day, "csv"))) == total
        (statement,) = [one for one in json.loads(export(space, day, "json")) if one["tenant"] == "acme"]
        assert [one["total"] for one in statement["invoices"]] == [total]
        focus = rows(export(space, day, "focus"))
        assert sum(int(row["BilledCost"]) for row in focus) == total
        assert (
            sum(int(row["BilledCost"]) for row in csv.DictReader(io.StringIO(export(space, day, "invoices-focus"))))
            == total
        )
        assert by_category(focus)["Tax"] == document.tax
        assert export(space, day, "focus") == export(space, day, "focus")
    assert by_category(rows(export(space, START, "focus")))["Credit"] == -1_234
    corrected = [row for row in rows(export(space, JUNE, "focus")) if row["ChargeClass"] == "Correction"]
    assert [(row["ChargeCategory"], row["BilledCost"], row["x_CorrectsInvoice"]) for row in corrected] == [
        ("Usage", "-400", first.number)
    ]


def by_category(found: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in found:
        sums[row["ChargeCategory"]] = sums.get(row["ChargeCategory"], 0) + int(row["BilledCost"])
    return sums


def test_a_period_that_runs_is_exported_as_its_usage(space: Space) -> None:
    list(space.services.billing.closing.issue(None, ANN))
    downloads(space, 1, 150)
    settle(space)
    assert {row["closed"] for row in rows(export(space, START, "csv"))} == {"false"}
