"""The invoices of a contract (RULES FEE, TAX, CHG-03, CHG-09, END-03; VECTORS function E)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from gateway.domain.calendar import Period, PeriodKind
from gateway.domain.contract.ending import early_termination
from gateway.domain.contract.fees import FeeHistory, part_fee
from gateway.domain.contract.notices import earliest_event
from gateway.domain.contract.term import ContractTerms
from gateway.domain.contract.values import PlanFees, RuleError
from gateway.domain.terms import TaxRate

ALWAYS_SHOWN = frozenset(("initial_fee", "monthly_fee"))
UNTAXED = frozenset(("early_termination",))
"""TAX-02 (D-21): it stands for income lost, no service is given."""

CHARGE_MODES = ("none", "prorata", "full")


@dataclass(frozen=True, slots=True)
class Line:
    """``amount`` in JPY without tax; ``rule`` is the rule that it comes from, ``figures`` what it was made of."""

    code: str
    amount: int
    rule: str
    figures: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Draft:
    """What is charged for a period, or (None) at the closing, before credits and tax."""

    period: Period | None
    dated: date
    due: date
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Invoice:
    """``period`` is None on the closing invoice."""

    period: Period | None
    dated: date
    due: date
    lines: tuple[Line, ...]
    taxable: int
    tax: int

    @property
    def total(self) -> int:
        return sum(line.amount for line in self.lines) + self.tax


@dataclass(slots=True)
class Credit:
    """An accepted claim; ``amount`` is what is left of it (FEE-10)."""

    accepted_on: date
    amount: int


@dataclass(frozen=True)
class Account:
    """All that decides a contract's invoices. ``cancelled`` is (day of receipt, last day of use); ``ended`` the last
    day of use by any other end (END-05, DSC-02, TERM-03)."""

    terms: ContractTerms
    fees: FeeHistory
    tax_rates: Sequence[TaxRate]
    cancelled: tuple[date, date] | None = None
    credits: Sequence[Credit] = ()
    stub_charge: str = "none"
    bridge_charge: str = "none"
    ended: date | None = None
    untaxed: frozenset[str] = UNTAXED


def invoices(account: Account, until: date) -> tuple[list[Invoice], int]:
    """The invoices of all periods that start on or before ``until`` (and of the closing), and the credit left over.

    RuleError NOTICE_TOO_SHORT, CHANGE_BEFORE_START, CHARGE_MODE_UNKNOWN, TAX_RATE_MISSING.
    """
    left = by_age(account.credits)
    made = [completed(account, draft, left) for draft in drafts(account, until)]
    return made, sum(one.amount for one in left)


def drafts(account: Account, until: date) -> list[Draft]:
    """What is charged on each of these invoices, in the order of their dates; one without a line is none (FEE-09)."""
    start = account.terms.calendar.start_date
    last_day = _check(account)
    history = account.fees.checked(start).until(last_day)
    found = list(_period_drafts(account, history, until, last_day))
    closing = _closing_draft(account, history, last_day, until)
    if closing:
        found.append(closing)
    found.sort(key=lambda draft: (draft.dated, draft.period is None))
    return [draft for draft in found if draft.lines]


def completed(account: Account, draft: Draft, credits: Sequence[Credit], more: int = 0) -> Invoice:
    """A draft with credit and tax. What is used of ``credits`` (oldest first, :func:`by_age`) is taken off them;
    ``more`` is the sum of taxed lines that come from elsewhere onto the same invoice (usage, corrections)."""
    lines = draft.lines
    taxable = sum(line.amount for line in lines if line.code not in account.untaxed)
    credit = _apply_credits(credits, draft.dated, taxable + more)
    if credit:
        lines = (*lines, Line("sla_credit", -credit, "FEE-10"))
    taxable -= credit
    tax = cut_tax(taxable, tax_rate(account.tax_rates, draft.dated))
    return Invoice(draft.period, draft.dated, draft.due, lines, taxable, tax)


def by_age(credits: Sequence[Credit]) -> list[Credit]:
    """Copies, in the order in which they are used."""
    return sorted((Credit(one.accepted_on, one.amount) for one in credits), key=lambda one: one.accepted_on)


def cut_tax(net: int, basis_points: int) -> int:
    """Cut once, towards zero (P-5): what was taxed too much is given back as it was taken."""
    tax = abs(net) * basis_points // 10_000
    return tax if net >= 0 else -tax


def _check(account: Account) -> date | None:
    for mode in (account.stub_charge, account.bridge_charge):
        if mode not in CHARGE_MODES:
            raise RuleError("CHARGE_MODE_UNKNOWN", f"there is no charge mode {mode!r}")
    if account.cancelled is None:
        return account.ended
    received, last_day = account.cancelled
    if last_day < earliest_event("cancel", received, account.terms.values.at(received)):
        raise RuleError("NOTICE_TOO_SHORT", "the last day is less than the notice after the receipt")
    return last_day if account.ended is None else min(last_day, account.ended)


def _period_drafts(account: Account, history: FeeHistory, until: date, last_day: date | None) -> Iterator[Draft]:
    calendar = account.terms.calendar
    pending = list(range(len(history.upgrades)))
    before = history.first
    for period in calendar.until(until if last_day is None else min(until, last_day)):
        lines = []
        if period.start == calendar.start_date:
            lines.append(_initial_line(account, history.first))
        if period.kind is PeriodKind.MONTH:
            billed = [n for n in pending if history.upgrades[n].effective_on < period.start]
            pending = pending[len(billed) :]
            lines += _change_lines(account, history, billed)
            before = history.of_month(period.start)
        lines.append(_period_line(account, period, before))
        yield Draft(period, period.start, period.start, _shown(lines))


def _initial_line(account: Account, fees: PlanFees) -> Line:
    months = account.terms.values.initial_fee_months
    figures = {"capacity_fee": fees.capacity_fee, "months": months}
    return Line("initial_fee", fees.initial(account.terms.values), "FEE-01", figures)


def _change_lines(account: Account, history: FeeHistory, numbers: Sequence[int]) -> Iterator[Line]:
    """CHG-03, CHG-04: for each change the difference of the initial fees and the change fee. A price that the provider
    revised is no change of the customer's (REV-01)."""
    for n in numbers:
        new, values = history.upgrades[n], account.terms.values
        if new.revised:
            continue
        old_fee, new_fee = history.before(n).initial(values), new.fees.initial(values)
        figures = {"effective_on": new.effective_on.isoformat(), "initial_fee_before": old_fee, "initial_fee": new_fee}
        yield Line("initial_fee_difference", max(0, new_fee - old_fee), "CHG-03", figures)
        yield Line("change_fee", new.change_fee, "CHG-04", {"effective_on": new.effective_on.isoformat()})


def _period_line(account: Account, period: Period, fees: PlanFees) -> Line:
    """``fees``: of the month itself, for a bridge of the month before it, for a stub of the first plan (D-18)."""
    parts: dict[str, Any] = {"capacity_fee": fees.capacity_fee, "option_fee": fees.option_fee}
    if period.kind is PeriodKind.MONTH:
        return Line("monthly_fee", fees.monthly, "FEE-02", parts)
    stub = period.kind is PeriodKind.STUB
    mode = account.stub_charge if stub else account.bridge_charge
    divisor = account.terms.values.prorata_days
    amount = part_fee(fees.monthly, mode, period.days, divisor)
    parts |= {"charge": mode, "days": period.days, "divisor": divisor}
    return Line("stub_fee" if stub else "bridge_fee", amount, "FEE-04", parts)


def _closing_draft(account: Account, history: FeeHistory, last_day: date | None, until: date) -> Draft | None:
    """What no period can bill: changes with no month after them (CHG-09) and the lump sum (END-03, END-04). Only a
    cancellation is dated on its receipt and bears a lump sum; at any other end there are changes only."""
    leaving = account.cancelled
    if last_day is None:
        return None
    by_notice = leaving is not None and leaving[1] == last_day
    dated = leaving[0] if leaving and by_notice else last_day
    if dated > until:
        return None
    started = [one.start for one in account.terms.calendar.until(last_day) if one.kind is PeriodKind.MONTH]
    unbilled = [n for n, one in enumerate(history.upgrades) if not any(start > one.effective_on for start in started)]
    lines = list(_change_lines(account, history, unbilled))
    if by_notice:
        months, lump_sum = early_termination(account.terms, history, last_day)
        figures = {"last_day": last_day.isoformat(), "months": months}
        lines.append(Line("early_termination", lump_sum, "END-03", figures))
    return Draft(None, dated, last_day, _shown(lines))


def _shown(lines: Sequence[Line]) -> tuple[Line, ...]:
    return tuple(line for line in lines if line.amount or line.code in ALWAYS_SHOWN)


def _apply_credits(credits: Sequence[Credit], dated: date, most: int) -> int:
    """FEE-10: oldest first, never more than the invoice's taxed lines; the rest carries over."""
    used = 0
    for credit in credits:
        if credit.accepted_on <= dated:
            part = max(0, min(credit.amount, most - used))
            credit.amount -= part
            used += part
    return used


def tax_rate(rates: Sequence[TaxRate], on: date) -> int:
    """Basis points in force on a day; of two with one date the later listed (D-20). RuleError TAX_RATE_MISSING."""
    found: TaxRate | None = None
    for rate in rates:
        if rate.since <= on and (found is None or rate.since >= found.since):
            found = rate
    if found is None:
        raise RuleError("TAX_RATE_MISSING", f"no tax rate is in force on {on}")
    return found.basis_points
