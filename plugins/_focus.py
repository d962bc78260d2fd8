"""Statements as FOCUS 1.2, the FinOps Open Cost and Usage Specification: one row for each line of a statement.

Section numbers of the specification are its column and attribute pages: every column of feature level Mandatory is
there, the Conditional ones that apply to us (unit prices, SKUs, consumed quantities), and our own with the prefix
``x_`` last (attribute Column Handling). Dates are UTC and half-open (attribute Date/Time Format, column Charge Period
End), nulls are empty cells (attribute Null Handling).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Context, Decimal
from typing import Any

from gateway.domain.billing import CURRENCY
from gateway.domain.calendar import format_time

COLUMNS = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceId",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceId",
    "x_Closed",
    "x_CorrectsInvoice",
    "x_Demo",
    "x_LineCode",
    "x_PeriodKind",
    "x_Rule",
    "x_TaxRate",
)
SERVICE = "kurado"
_EXACT = Context(prec=80)
_SKUS = {"": "capacity", "byte_hours": "storage", "bytes_in": "transfer-in", "bytes_out": "transfer-out"}


def statement_rows(statement: Mapping[str, Any], provider: str) -> Iterator[dict[str, str]]:
    """The lines of a statement."""
    for line in statement["lines"]:
        yield row(statement, line, provider)


def row(statement: Mapping[str, Any], line: Mapping[str, Any], provider: str) -> dict[str, str]:
    """One line of a statement. BilledCost is whole yen, cut once (P-5); ContractedCost and ListCost are the exact
    products of quantity and unit price, as the columns Contracted Cost and List Cost demand."""
    quantity = Decimal(line["quantity"])
    return {
        "BilledCost": str(line["amount"]),
        "EffectiveCost": str(line["amount"]),
        "ContractedCost": _number(_EXACT.multiply(quantity, Decimal(line["unit_price"]))),
        "ContractedUnitPrice": str(line["unit_price"]),
        "ListCost": _number(_EXACT.multiply(quantity, Decimal(line["list_price"]))),
        "ListUnitPrice": str(line["list_price"]),
        "PricingQuantity": line["quantity"],
        "PricingUnit": line["unit"],
        **_when(statement),
        **_what(statement, line),
        "BillingAccountId": f"{statement['tenant_id']}",
        "BillingAccountName": statement["tenant"],
        "BillingCurrency": CURRENCY,
        "InvoiceIssuerName": provider,
        "ProviderName": provider,
        "PublisherName": provider,
        "ServiceCategory": "Storage",
        "ServiceName": SERVICE,
        "ServiceSubcategory": "File Storage",
        "x_LineCode": line["code"],
        **flags(statement),
        "x_Rule": line["rule"],
    }


def flags(statement: Mapping[str, Any]) -> dict[str, str]:
    return {
        "x_Closed": "true" if statement["closed"] else "false",
        "x_Demo": "true" if statement["demo"] else "false",
        "x_PeriodKind": statement["period"]["kind"],
    }


def _when(statement: Mapping[str, Any]) -> dict[str, str]:
    start, end = format_time(statement["starts_at"]), format_time(statement["ends_at"])
    return {"BillingPeriodStart": start, "BillingPeriodEnd": end, "ChargePeriodStart": start, "ChargePeriodEnd": end}


def _what(statement: Mapping[str, Any], line: Mapping[str, Any]) -> dict[str, str]:
    """A fee is a recurring purchase, everything with a meter is usage. Nothing here corrects an invoiced period, so
    ChargeClass is null."""
    metered = bool(line["meter"])
    not_billed = "; demo tenant, not billed" if statement["demo"] else ""
    price = f"{line['unit_price']} {CURRENCY} per {line['unit']}"
    sku = _SKUS.get(line["meter"], line["meter"])
    return {
        "ChargeCategory": "Usage" if metered else "Purchase",
        "ChargeClass": "",
        "ChargeDescription": f"{line['name']}, {price}{not_billed}",
        "ChargeFrequency": "Usage-Based" if metered else "Recurring",
        "ConsumedQuantity": line["consumed"] if metered else "",
        "ConsumedUnit": line["unit"] if metered else "",
        "PricingCategory": "Standard",
        "SkuId": sku,
        "SkuMeter": line["meter"] or "capacity",
        "SkuPriceId": f"{sku}/{statement['plan']}/{line['code']}",
    }


def _number(value: Decimal) -> str:
    """Plain digits without an exponent and without needless zeros (attribute Numeric Format)."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
