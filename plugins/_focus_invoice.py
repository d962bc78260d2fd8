"""Issued invoices as FOCUS 1.2: a row for each line and one for each rate's tax; the sum of BilledCost is the invoice.

Categories (column Charge Category): fees are Purchase, what the price list meters is Usage, service level credits are
Credit, consumption tax is Tax. A correction keeps the category of the line that it puts right and has the Charge Class
Correction, since that line was invoiced for an earlier period.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal

from gateway.domain.billing import CURRENCY
from gateway.domain.calendar import format_time, jst_midnight
from gateway.domain.invoice import InvoiceDocument, InvoiceLine, RateTotal
from plugins import _focus

COLUMNS = (
    *(name for name in _focus.COLUMNS if not name.startswith("x_")),
    "x_CorrectsInvoice",
    "x_LineCode",
    "x_Rule",
    "x_TaxRate",
)
_ONE_TIME = frozenset(("initial_fee", "initial_fee_difference", "change_fee", "early_termination"))
_RECURRING = frozenset(("monthly_fee", "stub_fee", "bridge_fee"))
_CREDITS = frozenset(("sla_credit",))


def render(documents: Sequence[InvoiceDocument]) -> bytes:
    """The dataset as CSV with a header, UTF-8, CRLF (RFC 4180)."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\r\n", restval="")
    writer.writeheader()
    for document in documents:
        writer.writerows(rows(document))
    return text.getvalue().encode()


def rows(document: InvoiceDocument) -> Iterator[dict[str, str]]:
    """The lines in their order, then the tax of each rate."""
    common = _common(document)
    for line in document.lines:
        yield {**common, **_line(line)}
    for one in document.rates:
        yield {**common, **_tax(one)}


def _common(document: InvoiceDocument) -> dict[str, str]:
    """The closing invoice has no period: its charges are of the day of its date."""
    first, last = document.dated, document.dated
    if document.period:
        first, last = document.period.start, document.period.end
    start, end = format_time(jst_midnight(first)), format_time(jst_midnight(last + timedelta(days=1)))
    name = document.issuer.name.en
    return {
        "BillingAccountId": document.customer.number,
        "BillingAccountName": document.customer.name,
        "BillingCurrency": CURRENCY,
        "BillingPeriodStart": start,
        "BillingPeriodEnd": end,
        "ChargePeriodStart": start,
        "ChargePeriodEnd": end,
        "InvoiceId": document.number,
        "InvoiceIssuerName": name,
        "ProviderName": name,
        "PublisherName": name,
        "ServiceCategory": "Storage",
        "ServiceName": _focus.SERVICE,
        "ServiceSubcategory": "File Storage",
    }


def _line(line: InvoiceLine) -> dict[str, str]:
    """A credit has no price; a purchase of one item costs its amount; usage has no unit price of its own here, since
    its amount was cut once (P-5)."""
    category, frequency = _category(line.corrects_code or line.code)
    quantity = f"{line.quantity.normalize():f}"
    found = {
        **_costs(line.amount),
        "ChargeCategory": category,
        "ChargeClass": "Correction" if line.corrects else "",
        "ChargeDescription": line.description.en,
        "ChargeFrequency": frequency,
        "SkuId": line.corrects_code or line.code,
        "SkuMeter": line.unit.en if category == "Usage" else "",
        "x_CorrectsInvoice": line.corrects,
        "x_LineCode": line.code,
        "x_Rule": line.rule,
        "x_TaxRate": "" if line.rate is None else _rate(line.rate),
    }
    if category in ("Usage", "Purchase") and not line.corrects:
        found |= {"PricingCategory": "Standard", "PricingQuantity": quantity, "PricingUnit": line.unit.en}
    if category == "Usage" and not line.corrects:
        found |= {"ConsumedQuantity": quantity, "ConsumedUnit": line.unit.en}
    if category == "Purchase" and line.quantity == 1 and not line.corrects:
        found |= {"ContractedUnitPrice": str(line.amount), "ListUnitPrice": str(line.amount)}
    return found


def _tax(one: RateTotal) -> dict[str, str]:
    return {
        **_costs(one.tax),
        "ChargeCategory": "Tax",
        "ChargeDescription": f"Consumption tax {_rate(one.rate)}% on {one.net} {CURRENCY}",
        "ChargeFrequency": "Recurring",
        "x_LineCode": "tax",
        "x_Rule": "TAX-01",
        "x_TaxRate": _rate(one.rate),
    }


def _category(code: str) -> tuple[str, str]:
    if code in _CREDITS:
        return "Credit", "One-Time"
    if code in _ONE_TIME:
        return "Purchase", "One-Time"
    return ("Purchase", "Recurring") if code in _RECURRING else ("Usage", "Usage-Based")


def _costs(amount: int) -> dict[str, str]:
    names = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost")
    return dict.fromkeys(names, str(amount))


def _rate(basis_points: int) -> str:
    return f"{(Decimal(basis_points) / 100).normalize():f}"
