"""Plans, their changes and what a billing month costs (RULES CHG, FEE)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from gateway.domain.calendar import BillingCalendar, Period, PeriodKind
from gateway.domain.contract.notices import earliest_event
from gateway.domain.contract.values import SEED, ContractValues, PlanFees, RuleError


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """What a plan allows and costs."""

    fees: PlanFees
    capacity_gb: int
    features: frozenset[str]


class ChangeKind(StrEnum):
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    LATERAL = "lateral"


@dataclass(frozen=True, slots=True)
class ChangeDecision:
    """``refusal`` None: allowed, and the fields after it are set."""

    kind: ChangeKind
    refusal: str | None
    effective_on: date | None = None
    billed_from: date | None = None
    initial_fee_difference: int | None = None
    monthly_fee: int | None = None
    change_fee: int | None = None


def change_kind(current: PlanLimits, new: PlanLimits) -> ChangeKind:
    """CHG-02 (D-26): by limits, not by price."""
    if new.capacity_gb < current.capacity_gb or current.features - new.features:
        return ChangeKind.DOWNGRADE
    if new.capacity_gb > current.capacity_gb or new.features - current.features:
        return ChangeKind.UPGRADE
    return ChangeKind.LATERAL


def plan_change(
    calendar: BillingCalendar,
    current: PlanLimits,
    new: PlanLimits,
    received: date,
    requested_on: date,
    change_fee: int = 0,
    *,
    cancellation_pending: bool = False,
    values: ContractValues = SEED,
) -> ChangeDecision:
    """What becomes of a written request to change the plan (CHG-01 to CHG-05, CHG-08)."""
    kind = change_kind(current, new)
    if cancellation_pending:
        return ChangeDecision(kind, "CONTRACT_ENDING")
    if kind is ChangeKind.DOWNGRADE:
        return ChangeDecision(kind, "DOWNGRADE_NOT_ALLOWED")
    effective = max(requested_on, earliest_event("change", received, values.at(received)), calendar.start_date)
    upgrade = kind is ChangeKind.UPGRADE
    difference = max(0, new.fees.initial(values) - current.fees.initial(values)) if upgrade else 0
    billed_from = first_month_after(calendar, effective).start
    return ChangeDecision(kind, None, effective, billed_from, difference, new.fees.monthly, change_fee)


def first_month_after(calendar: BillingCalendar, day: date) -> Period:
    """The first billing month that starts after a day: from it a change is billed (CHG-03)."""
    return next(one for one in calendar.periods() if one.kind is PeriodKind.MONTH and one.start > day)


def part_fee(fee: int, mode: str, days: int, divisor: int) -> int:
    """What a stub or bridge of so many days costs, of a month's fee (FEE-04, D-18). ``mode``: none, prorata, full."""
    return {"none": 0, "prorata": min(fee, fee * days // divisor), "full": fee}[mode]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A change already in force, in place of the plan before it. ``revised``: the provider changed the price (REV-01),
    which costs no change fee and holds for the months that start on its day or later."""

    effective_on: date
    fees: PlanFees
    change_fee: int = 0
    revised: bool = False

    def is_billed(self, start: date) -> bool:
        """Whether it counts in the month that starts on a day (CHG-03, REV-01)."""
        return self.effective_on <= start if self.revised else self.effective_on < start


@dataclass(frozen=True)
class FeeHistory:
    """The plans of a contract over time. RuleError CHANGE_BEFORE_START from :meth:`checked`."""

    first: PlanFees
    upgrades: Sequence[Upgrade] = ()

    def until(self, last_day: date | None) -> FeeHistory:
        """The changes by date (same date: as listed) up to the last day of use."""
        kept = [one for one in self.upgrades if last_day is None or one.effective_on <= last_day]
        return FeeHistory(self.first, sorted(kept, key=lambda one: one.effective_on))

    def checked(self, start_date: date) -> FeeHistory:
        """Refuses a change before the service start."""
        if any(one.effective_on < start_date for one in self.upgrades):
            raise RuleError("CHANGE_BEFORE_START", "a change cannot come before the service start")
        return self

    def of_month(self, start: date) -> PlanFees:
        """The plan billed in the month that starts on a day: changes count from the month after them (CHG-03)."""
        fees = self.first
        for one in self.upgrades:
            if one.is_billed(start):
                fees = one.fees
        return fees

    def before(self, number: int) -> PlanFees:
        """The plan in force before the change with that index."""
        return self.upgrades[number - 1].fees if number else self.first
