"""What stands in the JSON of a request or an answer: how it is read and written.

Errors of reading are BAD_DATE, BAD_TIME, MONEY_INVALID and the codes of unknown words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, TypeVar

from gateway.domain.calendar import JST, BillingCalendar, Period, StartDayChange, parse_date
from gateway.domain.contract import fees, sla
from gateway.domain.contract.intervals import Interval
from gateway.domain.contract.term import ContractTerms, Term
from gateway.domain.contract.values import Channel, PlanFees, RuleError

T = TypeVar("T")
Input = Mapping[str, Any]
Answer = dict[str, Any]


def optional(read: Callable[[object], T], value: object) -> T | None:
    return None if value is None else read(value)


def flag(value: Any, default: bool) -> bool:
    return default if value is None else bool(value)


def word(given: Input, key: str, default: str) -> str:
    """A word that may be left out; an unknown one (the empty one as well) is refused by the rule that it is for."""
    found = given.get(key)
    return default if found is None else found


def money(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise RuleError("MONEY_INVALID", f"{value!r} is no amount of yen: a whole number from 0")
    return value


def fee(given: Input, key: str) -> int:
    """An amount that may be left out."""
    value = given.get(key)
    return 0 if value is None else money(value)


def read_calendar(given: Input) -> BillingCalendar:
    changes = tuple(
        StartDayChange(parse_date(one["approved_on"]), one["new_day"]) for one in given.get("start_day_changes") or ()
    )
    day = given.get("start_day")
    return BillingCalendar(parse_date(given["start_date"]), 21 if day is None else day, changes)


def read_terms(given: Input) -> ContractTerms:
    try:
        channel = Channel(word(given, "channel", "direct"))
    except ValueError:
        raise RuleError("CHANNEL_UNKNOWN", "the channel is direct, reseller or referral") from None
    return ContractTerms(read_calendar(given), channel, given["minimum_months"])


def read_plan(given: Input) -> PlanFees:
    return PlanFees(money(given["capacity_fee"]), fee(given, "option_fee"))


def read_limits(given: Input) -> fees.PlanLimits:
    return fees.PlanLimits(read_plan(given), given["capacity_gb"], frozenset(given["features"]))


def read_history(given: Input) -> fees.FeeHistory:
    upgrades = [
        fees.Upgrade(parse_date(one["effective_on"]), read_plan(one), fee(one, "change_fee"))
        for one in given.get("upgrades") or ()
    ]
    return fees.FeeHistory(read_plan(given["plan"]), upgrades)


def read_cause(value: object) -> sla.Cause:
    try:
        return sla.Cause(value)  # type: ignore[arg-type]
    except ValueError:
        raise RuleError("CAUSE_UNKNOWN", f"there is no cause {value!r}") from None


# -- writing ----------------------------------------------------------------------------------------------------------


def day_text(day: date | None) -> str | None:
    return day.isoformat() if day else None


def time_text(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at // 1000, JST).isoformat()


def period_text(period: Period) -> Answer:
    return {"kind": str(period.kind), "start": day_text(period.start), "end": day_text(period.end)}


def span_text(span: Interval) -> Answer:
    return {"start": time_text(span.start), "end": time_text(span.end)}


def deadlines_text(term: Term) -> Answer:
    return {
        "nonrenewal_deadline": day_text(term.nonrenewal_deadline),
        "renewal_application_by": day_text(term.renewal_application_by),
    }
