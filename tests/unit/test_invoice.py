"""Issued invoices as documents: totals by rate, corrections on the next, and how they are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.contract.invoicing import Invoice, Line
from gateway.domain.contract.values import RuleError
from gateway.domain.invoice import (
    BANK_DEBIT,
    InvoiceError,
    InvoiceLine,
    Issuer,
    Text,
    correction,
    issue,
    number_of,
    place_of,
    rate_totals,
)
from gateway.domain.invoice_json import document_from_json, document_to_json
from gateway.domain.terms import TaxRate
from gateway.testing.invoices import CUSTOMER, ISSUER, RATES, invoice_document, made, usage_line

REASON = Text("適用プラン誤り", "wrong plan")

lines = st.lists(
    st.builds(
        InvoiceLine,
        st.sampled_from(("monthly_fee", "egress", "correction")),
        st.builds(Text, st.text(max_size=8), st.text(max_size=8)),
        st.decimals(min_value=0, max_value=10**6, allow_nan=False, places=3),
        st.just(Text("式", "item")),
        st.integers(-(10**9), 10**9),
        st.just("FEE-02"),
        st.sampled_from((None, 0, 800, 1000)),
    ),
    max_size=12,
)


def test_an_invoice_of_the_rules_becomes_a_document_with_the_same_total() -> None:
    rule = made()
    document = issue(rule, RATES, number="KRD-000001", issuer=ISSUER, customer=CUSTOMER)
    assert (document.net, document.tax, document.total) == (60_000, 6_000, rule.total)
    assert [line.rule for line in document.lines] == ["FEE-01", "FEE-02"]


def test_the_lump_sum_bears_no_tax_and_stands_apart() -> None:
    document = invoice_document(lines=[Line("monthly_fee", 999, "FEE-02"), Line("early_termination", 5_000, "END-03")])
    assert document.untaxed == 5_000
    assert [(one.rate, one.net, one.tax) for one in document.rates] == [(1000, 999, 99)]
    assert document.total == 999 + 5_000 + 99


def test_tax_is_cut_once_for_a_rate_not_for_each_line() -> None:
    document = invoice_document(lines=[Line("monthly_fee", 5, "FEE-02")], extra=[usage_line(5), usage_line(5)])
    assert document.tax == 1  # by line it would be 0


def test_each_rate_is_cut_for_itself() -> None:
    extra = [usage_line(109, 800), usage_line(9, 1000)]
    document = invoice_document(lines=[Line("monthly_fee", 100, "FEE-02")], extra=extra)
    assert [(one.rate, one.net, one.tax) for one in document.rates] == [(1000, 109, 10), (800, 109, 8)]


@given(lines)
def test_totals_by_rate_hold_every_taxed_yen_once(some: list[InvoiceLine]) -> None:
    totals = rate_totals(some)
    assert sum(one.net for one in totals) == sum(line.amount for line in some if line.rate is not None)
    for one in totals:
        assert abs(one.tax * 10_000 - one.net * one.rate) < 10_000
        assert abs(one.tax) * 10_000 <= abs(one.net) * one.rate


def test_a_correction_is_the_difference_at_the_old_rate_on_the_next_invoice() -> None:
    first = invoice_document()
    line = correction(first, first.lines[1], 25_000, REASON)
    assert (line.code, line.amount, line.rate, line.rule, line.corrects) == (
        "correction",
        -5_000,
        1000,
        "PAY-01",
        first.number,
    )
    second = invoice_document("KRD-000013", lines=[Line("monthly_fee", 30_000, "FEE-02")], extra=[line])
    assert (second.net, second.tax, second.total) == (25_000, 2_500, 27_500)
    assert first == invoice_document()


@pytest.mark.parametrize("number", ["KRD-000012", "KRD-000011"])
def test_no_invoice_corrects_itself_or_a_later_one(number: str) -> None:
    first = invoice_document()
    line = correction(first, first.lines[0], 0, REASON)
    with pytest.raises(InvoiceError) as caught:
        invoice_document(number, extra=[line])
    assert caught.value.code == "CORRECTS_ITSELF"


def test_only_a_line_that_stands_on_the_invoice_can_be_put_right() -> None:
    first = invoice_document()
    with pytest.raises(InvoiceError, match="no such line"):
        correction(first, usage_line(), 0, REASON)
    with pytest.raises(InvoiceError, match="already stands"):
        correction(first, first.lines[0], first.lines[0].amount, REASON)


def test_an_issued_invoice_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        invoice_document().number = "KRD-000099"  # type: ignore[misc]


@given(st.integers(1, 10**9), st.sampled_from(("KRD", "A", "2027K")))
def test_numbers_are_read_back(n: int, series: str) -> None:
    assert place_of(number_of(series, n)) == (series, n)


@pytest.mark.parametrize("number", ["KRD-12", "krd-000012", "KRD-000000", "KRD-0000012", "KRD-000012 ", "", "-000001"])
def test_other_numbers_are_refused(number: str) -> None:
    with pytest.raises(InvoiceError):
        invoice_document(number)


@pytest.mark.parametrize("registration", ["1234567890123", "T123456789012", "T12345678901234", "t1234567890123", ""])
def test_an_issuer_has_a_registration_number(registration: str) -> None:
    with pytest.raises(InvoiceError, match="13 digits"):
        Issuer(Text("a", "a"), registration, "", Text("", ""))


@pytest.mark.parametrize("change", [{"name": "a\nb"}, {"contact": "\x1b[1m"}, {"address": "a\rb"}, {"number": "\x00"}])
def test_a_customer_has_no_control_characters(change: dict[str, str]) -> None:
    with pytest.raises(InvoiceError, match="control characters"):
        replace(CUSTOMER, **change)


def test_no_tax_rate_and_a_foreign_tax_are_refused() -> None:
    with pytest.raises(RuleError, match="no tax rate"):
        issue(made(), [TaxRate(date(2028, 1, 1), 1000)], number="KRD-000001", issuer=ISSUER, customer=CUSTOMER)
    wrong = Invoice(None, date(2027, 4, 21), date(2027, 4, 21), made().lines, 60_000, 6_001)
    with pytest.raises(InvoiceError, match="tax 6001"):
        issue(wrong, RATES, number="KRD-000001", issuer=ISSUER, customer=CUSTOMER)
    with pytest.raises(InvoiceError, match="FEE-07"):
        issue(made(), RATES, number="KRD-000001", issuer=ISSUER, customer=CUSTOMER, method="cash")


@given(lines, st.booleans())
def test_a_kept_invoice_is_read_back_as_it_was_issued(some: list[InvoiceLine], closing: bool) -> None:
    document = invoice_document(method=BANK_DEBIT, extra=some, **({"period": None} if closing else {}))
    kept = json.loads(json.dumps(document_to_json(document)))
    assert document_from_json(kept) == document
    assert (kept["net"], kept["tax"], kept["total"]) == (document.net, document.tax, document.total)


def test_an_invoice_of_another_format_is_not_guessed_at() -> None:
    with pytest.raises(ValueError, match="format 2"):
        document_from_json({**document_to_json(invoice_document()), "format": 2})


def test_quantities_are_exact() -> None:
    assert usage_line().quantity == Decimal("123.4")
