"""The price list (``policies/plans.yaml``) and tax rates; the terms' other constants are in gateway.domain.contract.

Parsing turns a loaded YAML mapping into frozen values; FieldError (a ValueError) names key path and fix. Money is whole
JPY without tax (RULES P-5); a GB is 1024**3 bytes (RULES D-23).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from gateway.domain.errors import NotFound
from gateway.domain.fields import FieldError, Fields, integer, one_of, text, texts
from gateway.domain.units import parse_size

METERS = ("byte_hours", "bytes_in", "bytes_out", "requests")
"""What usage can be priced by: byte_hours is the integral of stored bytes over hours, the others count."""

MAX_YEN = 10**12
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Price:
    """A charge for usage: ``amount`` JPY for every ``per`` units of ``meter`` above ``included``.

    The amount of a line is cut once: floor((quantity - included) * amount / per) (RULES P-5).
    """

    code: str
    meter: str
    per: int
    amount: int
    included: int = 0
    name: str = ""

    def charge(self, quantity: int) -> int:
        """JPY for a quantity in the meter's unit."""
        return max(0, quantity - self.included) * self.amount // self.per


@dataclass(frozen=True, slots=True)
class Plan:
    """``capacity_bytes``, ``files``: limits (None is unlimited); ``capacity_fee``, ``option_fee``: JPY a billing
    month without tax (RULES FEE-02), ``features`` the keys of gated functions (LIM-02)."""

    id: str
    name: str
    capacity_bytes: int | None
    files: int | None
    features: tuple[str, ...]
    capacity_fee: int
    option_fee: int
    prices: tuple[Price, ...] = ()

    @property
    def monthly_fee(self) -> int:
        return self.capacity_fee + self.option_fee


@dataclass(frozen=True, slots=True)
class Plans:
    """The price list. ``default`` is the plan of a tenant that was added without one."""

    currency: str
    default: str
    plans: Mapping[str, Plan]

    def get(self, plan_id: str) -> Plan:
        """NotFound names the plans that there are."""
        plan = self.plans.get(plan_id)
        if plan is None:
            raise NotFound(f"there is no plan {plan_id!r}; the price list has {', '.join(self.plans)}")
        return plan


@dataclass(frozen=True, slots=True)
class TaxRate:
    """In force from a JST date on; 1000 basis points are 10 % (RULES D-20)."""

    since: date
    basis_points: int


# -- plans.yaml -------------------------------------------------------------------------------------------------------


def parse_plans(document: Mapping[str, Any]) -> Plans:
    """The price list; FieldError when a plan is given twice, the default does not exist, a value makes no sense."""
    top = Fields(document)
    currency = top.take("currency", one_of("JPY"))
    listed = top.items("plans", _plan)
    default = top.take("default", text)
    top.done()
    plans: dict[str, Plan] = {}
    for number, plan in enumerate(listed):
        if plan.id in plans:
            raise FieldError(f"plans[{number}].id", f"{plan.id!r} is given twice", "remove one of them")
        plans[plan.id] = plan
    if default not in plans:
        raise FieldError("default", f"there is no plan {default!r}", f"name one of {', '.join(plans)}")
    return Plans(currency, default, plans)


def _plan(item: object, path: str) -> Plan:
    fields = Fields(item, path)
    plan_id = fields.take("id", identifier)
    plan = Plan(
        id=plan_id,
        name=fields.take("name", text, plan_id),
        capacity_bytes=fields.take("capacity", _limit(parse_size)),
        files=fields.take("files", _limit(integer(0, 2**62)), None),
        features=fields.take("features", texts, ()),
        capacity_fee=fields.take("capacity_fee", integer(0, MAX_YEN)),
        option_fee=fields.take("option_fee", integer(0, MAX_YEN), 0),
        prices=fields.items("prices", _price, ()),
    )
    fields.done()
    codes = [price.code for price in plan.prices]
    if len(set(codes)) < len(codes):
        raise FieldError(f"{path}.prices", "a code is given twice", "give every price a code of its own")
    return plan


def _price(item: object, path: str) -> Price:
    fields = Fields(item, path)
    code = fields.take("code", identifier)
    meter = fields.take("meter", one_of(*METERS))
    quantity = integer(0, 2**62) if meter == "requests" else parse_size
    price = Price(
        code=code,
        meter=meter,
        per=fields.take("per", quantity),
        amount=fields.take("amount", integer(0, MAX_YEN)),
        included=fields.take("included", quantity, 0),
        name=fields.take("name", text, code),
    )
    fields.done()
    if price.per < 1:
        raise FieldError(f"{path}.per", "must be at least 1", "write for how many units the amount is")
    return price


def identifier(value: object) -> str:
    """An id that stands in files and commands: ``a-z 0-9 _ -``, at most 63."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError(f"{value!r} is no id: a-z, 0-9, '_' and '-', at most 63, first a letter or digit")
    return value


def _limit(parse: Callable[[object], int]) -> Callable[[object], int | None]:
    """A limit, or the word ``unlimited``."""
    return lambda value: None if value == "unlimited" else parse(value)


# -- tax.yaml ---------------------------------------------------------------------------------------------------------


def tax_rates(value: object) -> tuple[TaxRate, ...]:
    """Rates in order of their dates."""
    if not isinstance(value, list) or not value:
        raise ValueError("write a list of `- {since: 2019-10-01, basis_points: 1000}`")
    rates = []
    for item in value:
        fields = Fields(item)
        rates.append(TaxRate(fields.take("since", as_date), fields.take("basis_points", integer(0, 10_000))))
        fields.done()
    if rates != sorted(rates, key=lambda rate: rate.since) or len({rate.since for rate in rates}) < len(rates):
        raise ValueError("the rates must be in order of their dates, each date once")
    return tuple(rates)


def as_date(value: object) -> date:
    """A date of a YAML document."""
    if type(value) is date:
        return value
    if isinstance(value, str):
        return date.fromisoformat(value)
    raise ValueError(f"{value!r} is no date such as 2019-10-01")
