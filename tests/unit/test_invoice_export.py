"""Issued invoices for accounting: every format adds up to the yen, and says what each amount is."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.collecting import CannotExport
from gateway.domain.contract.invoicing import Line
from gateway.domain.invoice import InvoiceDocument, Text, correction
from gateway.domain.invoice_json import document_from_json
from gateway.testing.invoices import invoice_document, usage_line
from plugins._focus_invoice import COLUMNS
from plugins.invoice_export import InvoiceExport, create

EXPORTERS = {one.format: one for one in InvoiceExport().register_exporters()}
FIRST = invoice_document()
SECOND = invoice_document(
    "KRD-000013",
    [
        Line("initial_fee_difference", 170_000, "CHG-03"),
        Line("monthly_fee", 220_000, "FEE-02"),
        Line("early_termination", 660_000, "END-03"),
        Line("sla_credit", -7_333, "FEE-10"),
    ],
    extra=[usage_line(), correction(FIRST, FIRST.lines[1], 25_000, Text("誤り", "wrong plan"))],
)
CLOSING = invoice_document("KRD-000014", [Line("early_termination", 5_000, "END-03")], period=None)

documents = st.builds(
    lambda lines, extra: invoice_document(lines=[Line(code, amount, "FEE-02") for code, amount in lines], extra=extra),
    st.lists(st.tuples(st.sampled_from(("monthly_fee", "early_termination")), st.integers(0, 10**9)), max_size=4),
    st.lists(
        st.builds(usage_line, st.integers(-(10**8), 10**8), st.sampled_from((None, 800, 1000))), max_size=4
    ),
)  # fmt: skip


def _rows(format_: str, *documents: InvoiceDocument) -> list[dict[str, str]]:
    text = EXPORTERS[format_].render(documents).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


@given(documents)
def test_the_rows_of_an_invoice_add_up_to_it(document: InvoiceDocument) -> None:
    assert sum(int(row["amount"]) for row in _rows("invoices-csv", document)) == document.total
    for column in ("BilledCost", "EffectiveCost", "ContractedCost", "ListCost"):
        assert sum(int(row[column]) for row in _rows("invoices-focus", document)) == document.total


def test_each_charge_stands_in_its_category() -> None:
    found = {
        row["x_LineCode"]: (row["ChargeCategory"], row["ChargeClass"], row["ChargeFrequency"])
        for row in _rows("invoices-focus", SECOND)
    }
    assert found == {
        "initial_fee_difference": ("Purchase", "", "One-Time"),
        "monthly_fee": ("Purchase", "", "Recurring"),
        "early_termination": ("Purchase", "", "One-Time"),
        "sla_credit": ("Credit", "", "One-Time"),
        "egress": ("Usage", "", "Usage-Based"),
        "correction": ("Purchase", "Correction", "Recurring"),
        "tax": ("Tax", "", "Recurring"),
    }


def test_a_focus_row_names_invoice_account_and_the_half_open_period_in_utc() -> None:
    row = _rows("invoices-focus", FIRST)[1]
    assert tuple(row) == COLUMNS
    expected: Mapping[str, str] = {
        "InvoiceId": "KRD-000012",
        "BillingAccountId": "C000042",
        "BillingPeriodStart": "2027-04-20T15:00:00Z",
        "BillingPeriodEnd": "2027-05-20T15:00:00Z",
        "BilledCost": "30000",
        "ListUnitPrice": "30000",
        "PricingQuantity": "1",
        "PricingUnit": "month",
        "x_TaxRate": "10",
    }
    assert {key: row[key] for key in expected} == expected


def test_unit_prices_times_quantities_are_the_costs() -> None:
    for row in _rows("invoices-focus", FIRST, SECOND, CLOSING):
        if row["ContractedUnitPrice"]:
            assert Decimal(row["ContractedUnitPrice"]) * Decimal(row["PricingQuantity"]) == int(row["ContractedCost"])


def test_the_closing_invoice_is_of_its_own_day() -> None:
    (row,) = _rows("invoices-focus", CLOSING)
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2027-04-20T15:00:00Z", "2027-04-21T15:00:00Z")
    assert _rows("invoices-csv", CLOSING)[0]["period_start"] == ""


def test_json_is_what_is_kept() -> None:
    kept = json.loads(EXPORTERS["invoices-json"].render((FIRST, SECOND)))
    assert [document_from_json(one) for one in kept] == [FIRST, SECOND]


@pytest.mark.parametrize("format_", sorted(EXPORTERS))
def test_statements_of_usage_are_no_invoices(format_: str) -> None:
    with pytest.raises(CannotExport, match="no format for usage"):
        EXPORTERS[format_].render([{"tenant": "acme"}])


def test_it_has_no_settings() -> None:
    context: Any = SimpleNamespace(settings={"provider": "x"})
    with pytest.raises(ValueError, match="provider: unknown setting"):
        create(context)
