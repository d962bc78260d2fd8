"""Terms of a contract, renewal and its end by not renewing (RULES TERM-01 to TERM-08)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from itertools import islice

from gateway.domain.calendar import BillingCalendar, Period, PeriodKind
from gateway.domain.contract.values import SEED, Channel, ContractValues, RuleError

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Term:
    """``nonrenewal_deadline`` is null for referral contracts, ``renewal_application_by`` for all others."""

    no: int
    start: date
    last_day: date
    nonrenewal_deadline: date | None
    renewal_application_by: date | None


class State(StrEnum):
    NOT_STARTED = "not_started"
    ACTIVE = "active"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Status:
    """``term`` is the one that the day falls in, or the last one. ``will_renew`` None: not settled (or not active)."""

    state: State
    term: Term
    will_renew: bool | None
    ended_on: date | None


@dataclass(frozen=True)
class ContractTerms:
    """The terms of one contract. RuleError MINIMUM_MONTHS_INVALID when made with less than one month."""

    calendar: BillingCalendar
    channel: Channel
    minimum_months: int
    values: ContractValues = SEED

    def __post_init__(self) -> None:
        months: object = self.minimum_months
        if isinstance(months, bool) or not isinstance(months, int) or months < 1:
            raise RuleError("MINIMUM_MONTHS_INVALID", "the minimum is at least one billing month")

    @property
    def effective_minimum(self) -> int:
        """TERM-07 (D-15): a referral contract binds for one of its terms at most."""
        if self.channel is Channel.REFERRAL:
            return min(self.minimum_months, self._first.referral_months)
        return self.minimum_months

    @property
    def _first(self) -> ContractValues:
        return self.values.at(self.calendar.start_date)

    def minimum(self) -> list[Period]:
        """The billing months of the minimum, from the anchor (TERM-01, TERM-02)."""
        return _take(self._months(), self.effective_minimum)

    @property
    def minimum_last_day(self) -> date:
        return self.minimum()[-1].end

    def terms(self) -> Iterator[Term]:
        """One term after the other, as if each were renewed; a bridge belongs to the term that it falls in.

        A term lives by the values in force at its start, whatever is revised while it runs (TERM-03: the same
        conditions)."""
        referral = self.channel is Channel.REFERRAL
        length = self._first.referral_months if referral else self.minimum_months
        months, start, no = self._months(), self.calendar.start_date, 1
        while True:
            last = _take(months, length)[-1].end
            values = self.values.at(start)
            deadline = None if referral else last - timedelta(days=values.nonrenewal_notice_days)
            yield Term(no, start, last, deadline, last if referral else None)
            start, no = last + _DAY, no + 1
            values = self.values.at(start)
            length = values.referral_months if referral else values.renewal_months

    def status(self, on: date, notices: Sequence[date] = (), applications: Sequence[date] = ()) -> Status:
        """The state of the contract on a day, from the papers received up to it.

        ``notices`` are offers against renewal (TERM-03 to TERM-05), ``applications`` ask for the renewal of a referral
        contract (TERM-07).
        """
        seen = [day for day in notices if day <= on]
        asked = [day for day in applications if day <= on]
        for term in self.terms():
            if on < term.start:
                return Status(State.NOT_STARTED, term, None, None)
            renewed = self._renewal(term, on, seen, asked)
            if on <= term.last_day:
                return Status(State.ACTIVE, term, renewed, None)
            if not renewed:
                return Status(State.ENDED, term, None, term.last_day)
        raise AssertionError("terms do not end")

    def _renewal(self, term: Term, on: date, notices: Sequence[date], applications: Sequence[date]) -> bool | None:
        if term.nonrenewal_deadline is None:
            return True if any(term.start <= day <= term.last_day for day in applications) else None
        if any(day <= term.nonrenewal_deadline for day in notices):
            return False
        return True if on > term.nonrenewal_deadline else None

    def _months(self) -> Iterator[Period]:
        return (period for period in self.calendar.periods() if period.kind is PeriodKind.MONTH)


def _take(months: Iterator[Period], length: int) -> list[Period]:
    """RuleError BAD_DATE where the calendar of years has not so many."""
    taken = list(islice(months, length))
    if len(taken) < length:
        raise RuleError("BAD_DATE", f"{length} billing months lie beyond the calendar of years")
    return taken
