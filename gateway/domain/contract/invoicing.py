"""The invoices of a contract (RULES FEE, TAX, CHG-03, CHG-09, END-03; VECTORS function E)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from gateway.domain.calendar import Period, PeriodKind
from gateway.domain.contract.ending import early_termination
from gateway.domain.contract.fees import FeeHistory
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
    """``amount`` in JPY without tax; ``rule`` is the rule that it comes from."""

    code: str
    amount: int
    rule: str


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
    """All that decides a contract's invoices. ``cancelled`` is (day of receipt, last day of use)."""

    terms: ContractTerms
    fees: FeeHistory
    tax_rates: Sequence[TaxRate]
    cancelled: tuple[date, date] | None = None
    credits: Sequence[Credit] = ()
    stub_charge: str = "none"
    bridge_charge: str = "none"


def invoices(account: Account, until: date) -> tuple[list[Invoice], int]:
    """The invoices of all periods that start on or before ``until`` (and of the closing), and the credit left over.

    RuleError NOTICE_TOO_SHORT, CHANGE_BEFORE_START, CHARGE_MODE_UNKNOWN, TAX_RATE_MISSING.
    """
    start = account.terms.calendar.start_date
    last_day = _check(account)
    history = account.fees.checked(start).until(last_day)
    drafts = list(_period_drafts(account, history, until, last_day))
    closing = _closing_draft(account, history, last_day, until)
    if closing:
        drafts.append(closing)
    drafts.sort(key=lambda draft: (draft[1], draft[0] is None))
    left = sorted((Credit(one.accepted_on, one.amount) for one in account.credits), key=lambda one: one.accepted_on)
    made = [_invoice(account, *draft, left) for draft in drafts if draft[3]]
    return made, sum(one.amount for one in left)


_Draft = tuple[Period | None, date, date, list[Line]]


def _check(account: Account) -> date | None:
    for mode in (account.stub_charge, account.bridge_charge):
        if mode not in CHARGE_MODES:
            raise RuleError("CHARGE_MODE_UNKNOWN", f"there is no charge mode {mode!r}")
    if account.cancelled is None:
        return None
    received, last_day = account.cancelled
    if last_day < earliest_event("cancel", received, account.terms.values):
        raise RuleError("NOTICE_TOO_SHORT", "the last day is less than the notice after the receipt")
    return last_day


def _period_drafts(account: Account, history: FeeHistory, until: date, last_day: date | None) -> Iterator[_Draft]:
    calendar = account.terms.calendar
    pending = list(range(len(history.upgrades)))
    before = history.first
    for period in calendar.until(until if last_day is None else min(until, last_day)):
        lines = []
        if period.start == calendar.start_date:
            lines.append(Line("initial_fee", history.first.initial(account.terms.values), "FEE-01"))
        if period.kind is PeriodKind.MONTH:
            billed = [n for n in pending if history.upgrades[n].effective_on < period.start]
            pending = pending[len(billed) :]
            lines += _change_lines(account, history, billed)
            before = history.of_month(period.start)
        lines.append(_period_line(account, period, before))
        yield period, period.start, period.start, _shown(lines)


def _change_lines(account: Account, history: FeeHistory, numbers: Sequence[int]) -> Iterator[Line]:
    """CHG-03, CHG-04: for each change the difference of the initial fees and the change fee."""
    for n in numbers:
        new, values = history.upgrades[n], account.terms.values
        yield Line(
            "initial_fee_difference", max(0, new.fees.initial(values) - history.before(n).initial(values)), "CHG-03"
        )
        yield Line("change_fee", new.change_fee, "CHG-04")


def _period_line(account: Account, period: Period, fees: PlanFees) -> Line:
    """``fees``: of the month itself, for a bridge of the month before it, for a stub of the first plan (D-18)."""
    if period.kind is PeriodKind.MONTH:
        return Line("monthly_fee", fees.monthly, "FEE-02")
    stub = period.kind is PeriodKind.STUB
    mode = account.stub_charge if stub else account.bridge_charge
    part = min(fees.monthly, fees.monthly * period.days // account.terms.values.prorata_days)
    amount = {"none": 0, "prorata": part, "full": fees.monthly}[mode]
    return Line("stub_fee" if stub else "bridge_fee", amount, "FEE-04")


def _closing_draft(account: Account, history: FeeHistory, last_day: date | None, until: date) -> _Draft | None:
    """What no period can bill: changes with no month after them (CHG-09) and the lump sum (END-03, END-04)."""
    if account.cancelled is None or last_day is None or account.cancelled[0] > until:
        return None
    started = [one.start for one in account.terms.calendar.until(last_day) if one.kind is PeriodKind.MONTH]
    unbilled = [n for n, one in enumerate(history.upgrades) if not any(start > one.effective_on for start in started)]
    lines = [
        *_change_lines(account, history, unbilled),
        Line("early_termination", early_termination(account.terms, history, last_day)[1], "END-03"),
    ]
    return None, account.cancelled[0], last_day, _shown(lines)


def _shown(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if line.amount or line.code in ALWAYS_SHOWN]


def _invoice(
    account: Account, period: Period | None, dated: date, due: date, lines: list[Line], credits: list[Credit]
) -> Invoice:
    taxable = sum(line.amount for line in lines if line.code not in UNTAXED)
    credit = _apply_credits(credits, dated, taxable)
    if credit:
        lines = [*lines, Line("sla_credit", -credit, "FEE-10")]
    taxable -= credit
    return Invoice(period, dated, due, tuple(lines), taxable, taxable * tax_rate(account.tax_rates, dated) // 10_000)


def _apply_credits(credits: list[Credit], dated: date, most: int) -> int:
    """FEE-10: oldest first, never more than the invoice's taxable lines; the rest carries over."""
    used = 0
    for credit in credits:
        if credit.accepted_on <= dated:
            part = min(credit.amount, most - used)
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
