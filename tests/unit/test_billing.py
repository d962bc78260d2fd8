"""Charges: exact integers, one cut at the end, every line with its rule."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.billing import HOUR_MS, Figures, decimal, lines_of, total, unit_name
from gateway.domain.calendar import Period, PeriodKind
from gateway.domain.contract.values import ContractValues
from gateway.domain.terms import Plan, Price
from gateway.domain.units import GB

MONTH = Period(PeriodKind.MONTH, date(2026, 10, 21), date(2026, 11, 20))
STUB = Period(PeriodKind.STUB, date(2026, 11, 10), date(2026, 11, 20))
EGRESS = Price("egress", "bytes_out", GB, 10, included=100 * GB, name="Data out")


def terms(stub: str = "none") -> ContractValues:
    return ContractValues(stub_charge=stub)


def plan(*prices: Price) -> Plan:
    return Plan("standard", "Standard", 100 * GB, None, (), 30_000, 500, prices)


def test_a_month_costs_the_monthly_fee_of_its_plan_with_options() -> None:
    fee = lines_of(MONTH, Figures(), plan(), terms(), demo=False)[0]
    assert (fee.code, fee.amount, fee.rule) == ("monthly_fee", 30_500, "FEE-02")


@pytest.mark.parametrize(("charge", "amount"), [("none", None), ("prorata", 30_500 * 11 // 30), ("full", 30_500)])
def test_a_stub_costs_what_the_terms_say(charge: str, amount: int | None) -> None:
    lines = [line for line in lines_of(STUB, Figures(), plan(), terms(charge), demo=False) if not line.meter]
    assert [(line.code, line.amount, line.rule) for line in lines] == (
        [] if amount is None else [("stub_fee", amount, "FEE-04")]
    )


def test_usage_within_what_the_plan_includes_costs_nothing_and_above_it_is_cut_once() -> None:
    used = Figures(bytes_out=100 * GB + 3 * GB // 2)
    lines = {line.code: line for line in lines_of(MONTH, used, plan(EGRESS), terms(), demo=False)}
    assert (lines["egress.included"].quantity, lines["egress.included"].amount) == (100 * GB, 0)
    assert (lines["egress"].to_json()["quantity"], lines["egress"].amount) == ("1.5", 15)


def test_a_demo_tenant_is_shown_with_list_prices_and_billed_nothing() -> None:
    lines = lines_of(MONTH, Figures(bytes_out=200 * GB), plan(EGRESS), terms(), demo=True)
    assert sum(line.amount for line in lines) == 0
    assert {line.list_price for line in lines if line.code in ("monthly_fee", "egress")} == {30_500, 10}


figures = st.builds(
    Figures,
    byte_ms=st.integers(0, 10**26),
    bytes_in=st.integers(0, 2**60),
    bytes_out=st.integers(0, 2**60),
    requests=st.fixed_dictionaries({"read": st.integers(0, 10**9), "write": st.integers(0, 10**9)}),
)
prices = st.builds(
    Price,
    code=st.just("x"),
    meter=st.sampled_from(["byte_hours", "bytes_in", "bytes_out", "requests"]),
    per=st.integers(1, 2**45),
    amount=st.integers(0, 10**6),
    included=st.integers(0, 2**50),
)


@settings(deadline=None)
@given(figures, prices)
def test_amounts_are_the_exact_product_cut_once_and_consumed_quantities_add_up(used: Figures, price: Price) -> None:
    lines = [line for line in lines_of(MONTH, used, plan(price), terms(), demo=False) if line.meter == price.meter]
    base = HOUR_MS if price.meter == "byte_hours" else 1
    above = max(0, used.measured(price.meter) - price.included * base)
    assert sum(line.amount for line in lines) == Fraction(above * price.amount, price.per * base).__floor__()
    assert sum(line.consumed for line in lines) == used.measured(price.meter)


@settings(deadline=None)
@given(st.integers(-(10**30), 10**30), st.integers(1, 10**18))
def test_a_shown_quantity_is_cut_and_never_in_exponents(quantity: int, per: int) -> None:
    text = decimal(quantity, per)
    assert "E" not in text.upper()
    assert 0 <= abs(Fraction(quantity, per)) - abs(Fraction(Decimal(text))) < Fraction(1, 10**12)


@settings(deadline=None)
@given(st.lists(st.builds(Figures, byte_ms=st.integers(0, 99), peak_bytes=st.integers(0, 99), end_bytes=st.integers())))
def test_spans_add_up_to_their_sum_with_the_last_end_and_the_highest_peak(parts: list[Figures]) -> None:
    sum_of = total(parts)
    assert sum_of.byte_ms == sum(part.byte_ms for part in parts)
    assert sum_of.peak_bytes == max((part.peak_bytes for part in parts), default=0)
    assert sum_of.end_bytes == (parts[-1].end_bytes if parts else 0)


@pytest.mark.parametrize(
    ("meter", "per", "name"),
    [
        ("byte_hours", GB, "GiB-Hours"),
        ("bytes_out", 10 * GB, "10 GiB"),
        ("bytes_in", 1000, "1000 B"),
        ("requests", 1, "Requests"),
        ("requests", 1000, "1000 Requests"),
    ],
)
def test_units_are_written_as_focus_wants_them(meter: str, per: int, name: str) -> None:
    assert unit_name(meter, per) == name
