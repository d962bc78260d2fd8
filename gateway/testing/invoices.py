"""Invoices to try documents and exporters with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from gateway.domain.calendar import Period, PeriodKind
from gateway.domain.contract.invoicing import UNTAXED, Invoice, Line
from gateway.domain.invoice import BY_INVOICE, Customer, InvoiceDocument, InvoiceLine, Issuer, Text, issue
from gateway.domain.terms import TaxRate

RATES = (TaxRate(date(2019, 10, 1), 1000),)
MONTH = Period(PeriodKind.MONTH, date(2027, 4, 21), date(2027, 5, 20))
ISSUER = Issuer(
    name=Text("株式会社蔵戸ストレージ", "Kurado Storage Co., Ltd."),
    registration="T1234567890123",
    postal_code="101-0041",
    address=Text(
        "東京都千代田区神田須田町1-2-3\n蔵前ビル8階", "8F Kuramae Bldg., 1-2-3 Kanda-Sudacho\nChiyoda-ku, Tokyo, Japan"
    ),
    phone="03-0000-0000",
    email="billing@kurado.example",
    bank=Text(
        "みほん銀行（9999） 神田支店（001） 普通 1234567\n口座名義 カ）クラドストレージ",
        "Mihon Bank (9999), Kanda Branch (001), ordinary account 1234567\nAccount holder: KURADO STORAGE CO LTD",
    ),
)
CUSTOMER = Customer(
    "C000042", "株式会社アトリエ髙橋", "604-8001", "京都府京都市中京区上本能寺前町488\n鴨川ビル 2F", "制作部 髙橋 美咲"
)


def made(
    lines: Sequence[Line] = (Line("initial_fee", 30_000, "FEE-01"), Line("monthly_fee", 30_000, "FEE-02")),
    period: Period | None = MONTH,
) -> Invoice:
    """As :func:`gateway.domain.contract.invoicing.invoices` makes them, dated 2027-04-21."""
    taxable = sum(line.amount for line in lines if line.code not in UNTAXED)
    return Invoice(period, date(2027, 4, 21), date(2027, 4, 21), tuple(lines), taxable, taxable // 10)


def invoice_document(
    number: str = "KRD-000012",
    lines: Sequence[Line] | None = None,
    *,
    customer: Customer = CUSTOMER,
    method: str = BY_INVOICE,
    extra: Sequence[InvoiceLine] = (),
    period: Period | None = MONTH,
) -> InvoiceDocument:
    """An issued invoice over ``lines``, by default the initial fee and a month."""
    invoice = made(period=period) if lines is None else made(lines, period)
    return issue(
        invoice,
        RATES,
        number=number,
        issuer=ISSUER,
        customer=customer,
        plan="Standard 100 GB",
        method=method,
        extra=extra,
    )


def usage_line(amount: int = 1_234, rate: int | None = 1000) -> InvoiceLine:
    """Usage beyond the plan."""
    return InvoiceLine(
        "egress",
        Text("データ転送量（下り）", "Data out"),
        Decimal("123.4"),
        Text("GiB", "GiB"),
        amount,
        "pricelist.egress",
        rate,
    )
