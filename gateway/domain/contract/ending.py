"""How a contract ends: cancellation, discontinuation, termination (RULES END, DSC, ANT)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from gateway.domain.contract.fees import FeeHistory
from gateway.domain.contract.notices import earliest_event
from gateway.domain.contract.term import ContractTerms
from gateway.domain.contract.values import SEED, ContractValues, RuleError


class Outcome(StrEnum):
    ENDS = "ends"
    AWAITING_PAYMENT = "awaiting_payment"
    LAPSED = "lapsed"


@dataclass(frozen=True, slots=True)
class Cancellation:
    """``moved``: a wished day was too early and was replaced. ``lump_sum_due`` is None when nothing is due."""

    earliest_last_day: date
    granted_last_day: date
    moved: bool
    minimum_last_day: date
    lump_sum_months: int
    lump_sum: int
    lump_sum_due: date | None
    outcome: Outcome


def cancellation(
    terms: ContractTerms,
    fees: FeeHistory,
    received: date,
    wished: date | None,
    paid_on: date | None,
    on: date,
) -> Cancellation:
    """A customer's written cancellation as it stands on a day (END-01 to END-04)."""
    earliest = earliest_event("cancel", received, terms.values.at(received))
    granted = max(earliest, wished or earliest)
    months, lump_sum = early_termination(terms, fees, granted)
    paid = paid_on is not None and paid_on <= min(granted, on)
    if not months or paid:
        outcome = Outcome.ENDS
    else:
        outcome = Outcome.AWAITING_PAYMENT if on <= granted else Outcome.LAPSED
    return Cancellation(
        earliest,
        granted,
        wished is not None and wished < earliest,
        terms.minimum_last_day,
        months,
        lump_sum,
        granted if months else None,
        outcome,
    )


def early_termination(terms: ContractTerms, fees: FeeHistory, last_day: date) -> tuple[int, int]:
    """END-03 (D-49): (months, JPY) of the minimum's months that begin after the last day, each at its own fee."""
    history = fees.until(last_day)
    left = [month for month in terms.minimum() if month.start > last_day]
    return len(left), sum(history.of_month(month.start).monthly for month in left)


@dataclass(frozen=True, slots=True)
class PaidMonth:
    """``amount`` with its tax, as it was paid."""

    start: date
    end: date
    amount: int


@dataclass(frozen=True, slots=True)
class Discontinuation:
    notice_complete_on: date | None
    earliest_last_day: date | None
    allowed: bool
    migration_support: bool
    refund: int
    refund_months: tuple[date, ...]


def discontinuation(
    last_day: date,
    scope: str,
    provider_convenience: bool,
    email_arrived: date | None,
    web_posted: date | None,
    paid: Sequence[PaidMonth] = (),
    values: ContractValues = SEED,
) -> Discontinuation:
    """DSC-02 to DSC-05: both channels start the clock; whole months that have not expired are returned."""
    if scope not in ("all", "part"):
        raise RuleError("SCOPE_UNKNOWN", f"the scope is all or part, not {scope!r}")
    complete = max(email_arrived, web_posted) if email_arrived and web_posted else None
    earliest = earliest_event("discontinue", complete, values.at(complete)) if complete else None
    refunded = [month for month in paid if month.end > last_day] if scope == "all" and provider_convenience else []
    refund = sum(month.amount for month in refunded)
    return Discontinuation(
        complete,
        earliest,
        earliest is not None and earliest <= last_day,
        scope == "all",
        refund,
        tuple(month.start for month in refunded) if refund else (),
    )


GROUNDS = (*(f"17(1){n}" for n in range(1, 9)), "24(2)")


@dataclass(frozen=True, slots=True)
class Termination:
    demand_required: bool
    clock_from: date | None
    terminable_from: date | None
    terminable: bool
    notice_required: bool
    acceleration: bool


def provider_termination(
    ground: str,
    on: date,
    *,
    due_on: date | None = None,
    demand_sent: date | None = None,
    demand_received: date | None = None,
    cured: date | None = None,
    found: date | None = None,
    values: ContractValues = SEED,
) -> Termination:
    """END-05, END-06, ANT-01: from when the provider may terminate, and whether it may on a day.

    RuleError GROUND_UNKNOWN. "After N days have passed" does not count the first day (P-4, D-02).
    """
    if ground not in GROUNDS:
        raise RuleError("GROUND_UNKNOWN", f"there is no ground {ground!r}")
    demand = ground in GROUNDS[:2]
    clock: date | None = None
    if ground == GROUNDS[0]:
        clock = demand_sent if demand_sent and (due_on is None or demand_sent > due_on) else None
    elif demand:
        clock = demand_received
    since = found
    if demand:
        since = clock + timedelta(days=_grace(ground, values.at(clock)) + 1) if clock else None
    terminable = since is not None and since <= on and not (demand and cured is not None and cured <= on)
    return Termination(demand, clock, since, terminable, ground != "24(2)", terminable and ground != "24(2)")


def _grace(ground: str, values: ContractValues) -> int:
    return values.payment_grace_days if ground == GROUNDS[0] else values.correction_grace_days
