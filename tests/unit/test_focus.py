"""The FOCUS 1.2 export against the requirements of the specification, release v1.2 (June 2025), specification/columns.

Feature level, nullability, type and allowed values below are those of the column pages; the rules between columns are
quoted at their checks. The validator is written from the specification and shares nothing with the exporter.
"""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.billing import Figures, Statement, lines_of
from gateway.domain.calendar import Period, PeriodKind
from gateway.domain.contract.values import ContractValues
from gateway.domain.terms import Plan, Price
from gateway.domain.units import GB
from plugins import _focus, _focus_period

# column → (nullable, type): everything of feature level Mandatory in v1.2
MANDATORY = {
    "BilledCost": (False, "decimal"),
    "BillingAccountId": (False, "string"),
    "BillingAccountName": (True, "string"),
    "BillingCurrency": (False, "currency"),
    "BillingPeriodEnd": (False, "time"),
    "BillingPeriodStart": (False, "time"),
    "ChargeCategory": (False, "string"),
    "ChargeClass": (True, "string"),
    "ChargeDescription": (True, "string"),
    "ChargePeriodEnd": (False, "time"),
    "ChargePeriodStart": (False, "time"),
    "ContractedCost": (False, "decimal"),
    "EffectiveCost": (False, "decimal"),
    "InvoiceIssuerName": (False, "string"),
    "ListCost": (False, "decimal"),
    "PricingQuantity": (True, "decimal"),
    "PricingUnit": (True, "unit"),
    "ProviderName": (False, "string"),
    "PublisherName": (False, "string"),
    "ServiceCategory": (False, "string"),
    "ServiceName": (False, "string"),
}
# Conditional and Recommended columns that apply: unit prices, SKUs and consumption are measured and published
PRESENT = {
    "ChargeFrequency": (False, "string"),
    "ConsumedQuantity": (True, "decimal"),
    "ConsumedUnit": (True, "unit"),
    "ContractedUnitPrice": (True, "decimal"),
    "InvoiceId": (True, "string"),
    "ListUnitPrice": (True, "decimal"),
    "PricingCategory": (True, "string"),
    "ServiceSubcategory": (False, "string"),
    "SkuId": (True, "string"),
    "SkuMeter": (True, "string"),
    "SkuPriceId": (True, "string"),
}
ALLOWED = {
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {"", "Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "PricingCategory": {"Standard", "Dynamic", "Committed", "Other", ""},
    "ServiceCategory": {"Storage"},
    "ServiceSubcategory": {"File Storage"},
}
FORMATS = {
    # attribute Numeric Format: no plus sign, no commas, E notation without a plus
    "decimal": re.compile(r"-?\d+(\.\d+)?(E-?\d+)?"),
    # attribute Date/Time Format: UTC, YYYY-MM-DDTHH:mm:ssZ
    "time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
    # attribute Currency Format: ISO 4217
    "currency": re.compile(r"[A-Z]{3}"),
    # attribute Unit Format: "GB-Hours", "GiB", "1000 Requests"
    "unit": re.compile(r"(\d+ )?([KMGTPE]i?)?B(-Hours)?|(\d+ )?Requests|Months"),
    # attribute Null Handling: no placeholders
    "string": re.compile(r"(?s)(?!(?i:null|none|n/a|not applicable)$).+"),
}


def read(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def validate(rows: list[dict[str, str]], columns: list[str]) -> None:
    """Raises AssertionError naming the first requirement that a dataset misses."""
    known = {**MANDATORY, **PRESENT}
    assert not set(MANDATORY) - set(columns), "a mandatory column is missing"
    own = [column for column in columns if column not in known]
    assert all(re.fullmatch(r"x_[A-Z][A-Za-z0-9]*", column) for column in own), "Column Handling: x_ prefix"
    assert columns[len(columns) - len(own) :] == own, "Column Handling: FOCUS columns first"
    for row in rows:
        for column, (nullable, kind) in known.items():
            _cell(column, row[column], nullable, kind)
        _row(row)


def _cell(column: str, value: str, nullable: bool, kind: str) -> None:
    assert value or nullable, f"{column} must not be null"
    assert not value or FORMATS[kind].fullmatch(value), f"{column}: {value!r} is no {kind}"
    assert column not in ALLOWED or value in ALLOWED[column], f"{column}: {value!r} is not allowed"
    if kind == "time":
        datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _row(row: dict[str, str]) -> None:
    assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]
    usage, purchase = row["ChargeCategory"] == "Usage", row["ChargeCategory"] == "Purchase"
    if usage or purchase:  # columns PricingQuantity, ContractedUnitPrice, ListUnitPrice, SkuId, SkuPriceId
        for column in ("PricingQuantity", "PricingUnit", "ContractedUnitPrice", "ListUnitPrice", "SkuId", "SkuPriceId"):
            assert row[column], f"{column} must not be null when ChargeCategory is Usage or Purchase"
        assert row["PricingCategory"]
    assert not (purchase and row["ChargeFrequency"] == "Usage-Based"), "column Charge Frequency"
    assert bool(row["ConsumedQuantity"]) == usage, "column Consumed Quantity: null unless Usage"
    assert bool(row["ConsumedUnit"]) == bool(row["ConsumedQuantity"]), "column Consumed Unit"
    assert bool(row["PricingUnit"]) == bool(row["PricingQuantity"]), "column Pricing Unit"
    for price, cost in (("ContractedUnitPrice", "ContractedCost"), ("ListUnitPrice", "ListCost")):
        product = Decimal(row[price]) * Decimal(row["PricingQuantity"])
        assert Decimal(row[price]) >= 0
        assert product == Decimal(row[cost]), f"the product of {price} and PricingQuantity must match {cost}"
    billed = Decimal(row["BilledCost"])
    assert billed == billed.to_integral_value(), "yen have no decimals"
    assert 0 <= Decimal(row["ContractedCost"]) - billed < 1, "the bill is the contracted cost, cut once (P-5)"


PLAN = Plan("standard", "Standard 100 GB", 100 * GB, None, (), 30_000, 0, (Price("egress", "bytes_out", GB, 10, GB),))


def statement(used: Figures, *, demo: bool = False, kind: PeriodKind = PeriodKind.MONTH) -> dict[str, Any]:
    period = Period(kind, date(2026, 10, 21), date(2026, 11, 20))
    lines = lines_of(period, used, PLAN, ContractValues(), demo=demo)
    return Statement(7, "demo", "standard", demo, period, period.ends_at, True, [("2026-10-21", used)], lines).to_json()


figures = st.builds(
    Figures,
    byte_ms=st.integers(0, 10**22),
    bytes_in=st.integers(0, 2**50),
    bytes_out=st.integers(0, 2**50),
    requests=st.fixed_dictionaries({"read": st.integers(0, 10**6)}),
)


@settings(deadline=None)
@given(st.lists(figures, max_size=3), st.booleans(), st.sampled_from(list(PeriodKind)))
def test_every_export_is_a_valid_focus_dataset(parts: list[Figures], demo: bool, kind: PeriodKind) -> None:
    statements = [statement(used, demo=demo, kind=kind) for used in parts]
    rows = read(_focus_period.render(statements, "Example KK"))
    validate(rows, list(_focus.COLUMNS))
    assert sum(int(row["BilledCost"]) for row in rows) == sum(one["total"] for one in statements)


def test_starts_are_inclusive_and_ends_exclusive_in_utc() -> None:
    row = read(_focus_period.render([statement(Figures())], "Example KK"))[0]
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2026-10-20T15:00:00Z", "2026-11-20T15:00:00Z")


def test_a_demo_tenant_is_in_the_export_and_billed_nothing() -> None:
    rows = read(_focus_period.render([statement(Figures(bytes_out=3 * GB), demo=True)], "Example KK"))
    assert {row["BilledCost"] for row in rows} == {"0"}
    assert sum(Decimal(row["ListCost"]) for row in rows) == 30_000 + 20


def test_a_name_with_commas_quotes_and_line_breaks_stays_one_cell() -> None:
    odd = {**statement(Figures()), "tenant": 'a, "b"\nc'}
    rows = read(_focus_period.render([odd], "Example KK"))
    validate(rows, list(_focus.COLUMNS))
    assert rows[0]["BillingAccountName"] == odd["tenant"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("BilledCost", "1,000"),
        ("BillingCurrency", "yen"),
        ("ChargePeriodStart", "2026-10-21"),
        ("ChargeCategory", "Fee"),
        ("ContractedCost", "1"),
        ("PricingUnit", ""),
        ("ServiceName", ""),
    ],
)
def test_the_validator_refuses_what_the_specification_refuses(column: str, value: str) -> None:
    rows = read(_focus_period.render([statement(Figures())], "Example KK"))
    with pytest.raises(AssertionError):
        validate([{**rows[0], column: value}], list(_focus.COLUMNS))
