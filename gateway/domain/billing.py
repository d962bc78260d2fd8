"""Usage and charges of one tenant for one billing period: the line model that invoices will stand on.

Money is integer JPY without tax. An amount is cut once, at its last step, with exact integers (RULES P-5). Lines carry
the rule they come from; a demo tenant is shown with list prices and billed nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.calendar import Period, PeriodKind
from gateway.domain.contract.fees import part_fee
from gateway.domain.contract.values import ContractValues
from gateway.domain.terms import Plan, Price
from gateway.domain.units import GB

HOUR_MS = 3_600_000
CURRENCY = "JPY"
FORMAT = "kurado-statement/1"
CLASSES = ("read", "write", "list", "lock", "other")
DIGITS = 12
"""Decimal places of a quantity that is shown; amounts are computed from the exact integers."""

_BASE = {"byte_hours": HOUR_MS, "bytes_in": 1, "bytes_out": 1, "requests": 1}
_NAMES = {"byte_hours": "Storage", "bytes_in": "Data in", "bytes_out": "Data out", "requests": "Requests"}
_CODES = {"byte_hours": "storage", "bytes_in": "transfer_in", "bytes_out": "transfer_out", "requests": "requests"}


@dataclass(frozen=True, slots=True)
class Figures:
    """What was used in a span of time. ``byte_ms``: the integral of used bytes over it in byte-milliseconds;
    ``end_bytes`` and ``end_files`` stand at its end; requests by class."""

    byte_ms: int = 0
    peak_bytes: int = 0
    end_bytes: int = 0
    end_files: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    refusals: int = 0
    requests: Mapping[str, int] = field(default_factory=dict)

    @property
    def byte_hours(self) -> int:
        """Whole byte-hours, cut: for people. Charges use byte_ms."""
        return self.byte_ms // HOUR_MS

    def then(self, later: Figures) -> Figures:
        """The figures of this span and the one right after it together."""
        return Figures(
            byte_ms=self.byte_ms + later.byte_ms,
            peak_bytes=max(self.peak_bytes, later.peak_bytes),
            end_bytes=later.end_bytes,
            end_files=later.end_files,
            bytes_in=self.bytes_in + later.bytes_in,
            bytes_out=self.bytes_out + later.bytes_out,
            refusals=self.refusals + later.refusals,
            requests={name: self.requests.get(name, 0) + later.requests.get(name, 0) for name in CLASSES},
        )

    def measured(self, meter: str) -> int:
        """The quantity of a meter of ``terms.METERS`` in base units: byte-ms, bytes, requests."""
        if meter == "byte_hours":
            return self.byte_ms
        if meter == "requests":
            return sum(self.requests.values())
        return self.bytes_in if meter == "bytes_in" else self.bytes_out

    def to_json(self) -> dict[str, Any]:
        """``byte_ms`` as text: it passes what JSON readers hold exactly."""
        return {
            "byte_ms": str(self.byte_ms),
            "byte_hours": self.byte_hours,
            "peak_bytes": self.peak_bytes,
            "end_bytes": self.end_bytes,
            "end_files": self.end_files,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "refusals": self.refusals,
            "requests": {name: self.requests.get(name, 0) for name in CLASSES},
        }


def total(parts: Iterable[Figures]) -> Figures:
    """Consecutive spans as one."""
    sum_of = Figures()
    for part in parts:
        sum_of = sum_of.then(part)
    return sum_of


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a statement. ``quantity`` and ``consumed`` are integers in base units (byte-ms, bytes, requests, or
    months), of which ``per`` make one ``unit``; ``quantity`` is what is charged, ``consumed`` what was used.

    ``unit_price`` is what this tenant pays for a unit, ``list_price`` what the price list says, both JPY.
    """

    code: str
    name: str
    meter: str
    quantity: int
    consumed: int
    per: int
    unit: str
    unit_price: int
    list_price: int
    amount: int
    rule: str

    def to_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "name": self.name,
            "meter": self.meter,
            "quantity": decimal(self.quantity, self.per),
            "consumed": decimal(self.consumed, self.per),
            "unit": self.unit,
            "unit_price": self.unit_price,
            "list_price": self.list_price,
            "amount": self.amount,
            "rule": self.rule,
        }


def floor_amount(quantity: int, price: int, per: int) -> int:
    """floor(quantity × price / per): the one division of an amount (P-5)."""
    return quantity * price // per


def decimal(quantity: int, per: int) -> str:
    """quantity / per with at most DIGITS decimals, cut, without needless zeros: the same text on every machine."""
    whole, rest = divmod(abs(quantity), per)
    fraction = str(rest * 10**DIGITS // per).rjust(DIGITS, "0").rstrip("0")
    sign = "-" if quantity < 0 and (whole or fraction) else ""
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def lines_of(period: Period, figures: Figures, plan: Plan, terms: ContractValues, *, demo: bool) -> list[Line]:
    """The fee of the period, then each meter's usage: what the plan includes, then what it charges."""
    lines = []
    fee = _fee_line(period, plan, terms, demo)
    if fee:
        lines.append(fee)
    for meter in _BASE:
        lines += _usage_lines(meter, figures.measured(meter), plan, demo)
    return lines


def _fee_line(period: Period, plan: Plan, terms: ContractValues, demo: bool) -> Line | None:
    """FEE-02; a stub or bridge costs what FEE-04 (D-18) says, by default nothing, and then has no line."""
    if period.kind is PeriodKind.MONTH:
        code, fee, rule = "monthly_fee", plan.monthly_fee, "FEE-02"
    else:
        charge = terms.stub_charge if period.kind is PeriodKind.STUB else terms.bridge_charge
        fee = part_fee(plan.monthly_fee, charge, period.days, terms.prorata_days)
        code, rule = f"{period.kind}_fee", "FEE-04"
        if not fee:
            return None
    price = 0 if demo else fee
    return Line(code, f"Capacity and options, plan {plan.name}", "", 1, 0, 1, "Months", price, fee, price, rule)


def _usage_lines(meter: str, measured: int, plan: Plan, demo: bool) -> list[Line]:
    prices = [price for price in plan.prices if price.meter == meter]
    if not prices:
        per = 1 if meter == "requests" else GB
        return [_line(meter, _CODES[meter], _NAMES[meter], measured, measured, per, 0, 0, "FEE-02")]
    lines = []
    for number, price in enumerate(prices):
        lines += _priced(meter, measured, price, demo, consumed=number == 0)
    return lines


def _priced(meter: str, measured: int, price: Price, demo: bool, *, consumed: bool) -> list[Line]:
    """What the price includes as one line of its own, so that quantity × unit price is the cost of every line.

    ``consumed`` False: another price already counts this meter's usage as consumed.
    """
    included = min(measured, price.included * _BASE[meter])
    charged = measured - included
    amount = 0 if demo else price.amount
    rule = f"pricelist.{price.code}"
    lines = []
    if price.included:
        name = f"{price.name}, included in the plan"
        lines.append(_line(meter, f"{price.code}.included", name, included, included * consumed, price.per, 0, 0, rule))
    lines.append(
        _line(meter, price.code, price.name, charged, charged * consumed, price.per, amount, price.amount, rule)
    )
    return lines


def _line(
    meter: str, code: str, name: str, quantity: int, consumed: int, per: int, price: int, list_price: int, rule: str
) -> Line:
    base = per * _BASE[meter]
    amount = floor_amount(quantity, price, base)
    unit = unit_name(meter, per)
    return Line(code, name, meter, quantity, consumed, base, unit, price, list_price, amount, rule)


def unit_name(meter: str, per: int) -> str:
    """A unit in the words of FOCUS 1.2 (attribute Unit Format): ``GiB-Hours``, ``GiB``, ``1000 Requests``."""
    if meter == "requests":
        return "Requests" if per == 1 else f"{per} Requests"
    name, count = "B", per
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if count % 1024:
            break
        name, count = larger, count // 1024
    unit = name if count == 1 else f"{count} {name}"
    return f"{unit}-Hours" if meter == "byte_hours" else unit


@dataclass(frozen=True, slots=True)
class Statement:
    """A tenant's period. Times in ms UTC: the period is [starts_at, ends_at); figures reach up to ``as_of``.

    ``closed``: the figures are final, and this statement is kept as it is.
    """

    tenant_id: int
    tenant: str
    plan: str
    demo: bool
    period: Period
    as_of: int
    closed: bool
    days: Sequence[tuple[str, Figures]]
    lines: Sequence[Line]

    @property
    def figures(self) -> Figures:
        return total(figures for _, figures in self.days)

    @property
    def total(self) -> int:
        return sum(line.amount for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        """What is frozen at closing, and what exporters render."""
        return {
            "format": FORMAT,
            "tenant": self.tenant,
            "tenant_id": self.tenant_id,
            "plan": self.plan,
            "demo": self.demo,
            "currency": CURRENCY,
            "period": {"kind": str(self.period.kind), "start": str(self.period.start), "end": str(self.period.end)},
            "starts_at": self.period.starts_at,
            "ends_at": self.period.ends_at,
            "as_of": self.as_of,
            "closed": self.closed,
            "usage": self.figures.to_json(),
            "days": [{"date": day, **figures.to_json()} for day, figures in self.days],
            "lines": [line.to_json() for line in self.lines],
            "total": self.total,
        }
