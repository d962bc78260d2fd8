"""What a contract is made of: the plan as agreed, changes, notices, demands, cases; each as its act tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from gateway.domain.contract.access import Window
from gateway.domain.contract.fees import PlanLimits, Upgrade
from gateway.domain.contract.notices import Revision
from gateway.domain.contract.values import PlanFees
from gateway.domain.terms import Price


@dataclass(frozen=True, slots=True)
class Agreed:
    """A plan at the conditions under which it was agreed. ``capacity`` in bytes, None is unlimited; ``prices`` of
    usage, None: those of the price list."""

    plan: str
    capacity_fee: int
    option_fee: int
    capacity: int | None
    features: tuple[str, ...] = ()
    prices: tuple[Price, ...] | None = None

    @property
    def fees(self) -> PlanFees:
        return PlanFees(self.capacity_fee, self.option_fee)

    @property
    def limits(self) -> PlanLimits:
        """For comparisons: any unit will do, so bytes stand for GB."""
        return PlanLimits(self.fees, 2**62 if self.capacity is None else self.capacity, frozenset(self.features))


@dataclass(frozen=True, slots=True)
class PlanChange:
    """A change that was granted (CHG-01); it counts from 00:00 JST of ``effective_on``."""

    effective_on: date
    agreed: Agreed
    change_fee: int = 0
    revised: bool = False

    @property
    def billed(self) -> Upgrade:
        """The same as the rules of fees know it."""
        return Upgrade(self.effective_on, self.agreed.fees, self.change_fee, self.revised)


@dataclass(frozen=True, slots=True)
class PriceRevision:
    """New conditions of plans (REV-01), in force from a day; ``plans`` by id."""

    effective_on: date
    plans: Mapping[str, Agreed]


@dataclass(frozen=True, slots=True)
class CancellationNotice:
    """A customer's written notice. ``paid_on``: the day the lump sum was paid, if it was (END-04)."""

    received: date
    wished: date | None
    paid_on: date | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """A demand to pay (``17(1)1``) or to correct (``17(1)2``); ``cured``: paid or corrected."""

    id: str
    ground: str
    due_on: date | None
    sent_at: int | None
    received_at: int | None
    cured: date | None = None


@dataclass(frozen=True, slots=True)
class OverloadCase:
    """LIM-03: evidence, the correction demand, and the suspension that an operator put on it (D-24)."""

    id: str
    evidence: str
    demanded_at: int | None = None
    suspended: Window | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """A version of a policy document that this contract is bound by from its day on (REV). ``revision.version`` is the
    SHA-256 of the document, ``announced`` the id of the revision (empty: agreed to at the acceptance)."""

    kind: str
    revision: Revision
    announced: str = ""


def agreed_from(data: Mapping[str, Any]) -> Agreed:
    """The inverse of :func:`agreed_data`."""
    features = tuple(data["features"])
    prices = tuple(Price(**one) for one in data["prices"]) if "prices" in data else None
    return Agreed(data["plan"], data["capacity_fee"], data["option_fee"], data["capacity"], features, prices)


def agreed_data(agreed: Agreed) -> dict[str, Any]:
    """For the data of an act: the conditions stand there, whatever the price list says later (REV-01)."""
    data = {
        "plan": agreed.plan,
        "capacity_fee": agreed.capacity_fee,
        "option_fee": agreed.option_fee,
        "capacity": agreed.capacity,
        "features": list(agreed.features),
    }
    return data if agreed.prices is None else {**data, "prices": [asdict(one) for one in agreed.prices]}
