"""How much the provider owes at most for damages of all kinds together (RULES LIA-03)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from gateway.domain.contract.records import Contract, ended_on
from gateway.domain.contract.values import SEED, ContractValues


@dataclass(frozen=True, slots=True)
class Liability:
    """JPY of one contract. ``credits`` of the service level were granted, ``damages`` paid besides."""

    cap: int
    credits: int = 0
    damages: int = 0

    @property
    def left(self) -> int:
        """What may still be paid as damages: credits count into the cap (D-44). It never takes from a credit, whose
        own cap is CMP-06."""
        return max(0, self.cap - self.credits - self.damages)


def liability(
    contract: Contract, on: date, credits: int = 0, damages: int = 0, values: ContractValues = SEED
) -> Liability:
    """As it stands on a day, after the last day as on that day. The contract is accepted."""
    return Liability(_monthly_fee(contract, on, values) * values.liability_cap_months, credits, damages)


def _monthly_fee(contract: Contract, on: date, values: ContractValues) -> int:
    """One month's fee payable by the customer: that of the billing month; in a stub or bridge as of a month in its
    place, since the promise of §13(3) is a month's fee whether or not those days are charged (P-1)."""
    assert contract.agreed is not None
    terms = contract.terms(values)
    day = min(on, ended_on(contract, on, values) or on)
    if terms is None or day < terms.calendar.start_date:
        return contract.agreed.fees.monthly
    calendar = terms.calendar
    return contract.billed_plan(calendar.priced_from(calendar.period_of(day))).fees.monthly
