"""The JSON form of the rules: ``{"fn", "input"}`` in, the answer out, as the test vectors define it.

No rule is applied here: each entry reads the input, calls the function of ``gateway.domain.contract`` (or the billing
calendar) that the product uses, and writes its answer. Errors of reading are BAD_DATE, BAD_TIME and MONEY_INVALID.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, TypeVar

from gateway.domain.calendar import (
    JST,
    BillingCalendar,
    CalendarError,
    Period,
    StartDayChange,
    parse_date,
    parse_time,
    parse_when,
)
from gateway.domain.contract import access, ending, fees, invoicing, maintenance, notices, privacy, sla
from gateway.domain.contract.intervals import Interval
from gateway.domain.contract.term import ContractTerms, Term
from gateway.domain.contract.values import Channel, PlanFees, RuleError

T = TypeVar("T")
Input = Mapping[str, Any]
Answer = dict[str, Any]


def evaluate(fn: str, given: Input) -> Answer:
    """The answer of one function; ``{"error": CODE}`` where the rules refuse."""
    if fn not in FUNCTIONS:
        return {"error": "FUNCTION_UNKNOWN"}
    try:
        return FUNCTIONS[fn](given)
    except CalendarError as error:
        return {"error": error.code}


def evaluate_lines(lines: Iterable[str]) -> Iterator[str]:
    """One JSON answer for each non-empty line, in order. A line that is no request answers REQUEST_INVALID."""
    for line in lines:
        if not line.strip():
            continue
        try:
            request = json.loads(line)
            fn, given = request["fn"], request["input"]
            answer = evaluate(fn, given)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            answer = {"error": "REQUEST_INVALID", "reason": f"{type(error).__name__}: {error}"}
        yield json.dumps(answer, ensure_ascii=False)


# -- reading ----------------------------------------------------------------------------------------------------------


def _optional(read: Callable[[object], T], value: object) -> T | None:
    return None if value is None else read(value)


def _default(value: Any, default: bool) -> bool:
    return default if value is None else bool(value)


def _money(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise RuleError("MONEY_INVALID", f"{value!r} is no amount of yen: a whole number from 0")
    return value


def _fee(given: Input, key: str) -> int:
    """An amount that may be left out."""
    value = given.get(key)
    return 0 if value is None else _money(value)


def _calendar(given: Input) -> BillingCalendar:
    changes = tuple(
        StartDayChange(parse_date(one["approved_on"]), one["new_day"]) for one in given.get("start_day_changes") or ()
    )
    day = given.get("start_day")
    return BillingCalendar(parse_date(given["start_date"]), 21 if day is None else day, changes)


def _terms(given: Input) -> ContractTerms:
    try:
        channel = Channel(given.get("channel") or "direct")
    except ValueError:
        raise RuleError("CHANNEL_UNKNOWN", "the channel is direct, reseller or referral") from None
    return ContractTerms(_calendar(given), channel, given["minimum_months"])


def _plan(given: Input) -> PlanFees:
    return PlanFees(_money(given["capacity_fee"]), _fee(given, "option_fee"))


def _limits(given: Input) -> fees.PlanLimits:
    return fees.PlanLimits(_plan(given), given["capacity_gb"], frozenset(given["features"]))


def _history(given: Input) -> fees.FeeHistory:
    upgrades = [
        fees.Upgrade(parse_date(one["effective_on"]), _plan(one), _fee(one, "change_fee"))
        for one in given.get("upgrades") or ()
    ]
    return fees.FeeHistory(_plan(given["plan"]), upgrades)


def _cause(value: object) -> sla.Cause:
    try:
        return sla.Cause(value)  # type: ignore[arg-type]
    except ValueError:
        raise RuleError("CAUSE_UNKNOWN", f"there is no cause {value!r}") from None


# -- writing ----------------------------------------------------------------------------------------------------------


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _time(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at // 1000, JST).isoformat()


def _period(period: Period) -> Answer:
    return {"kind": str(period.kind), "start": _day(period.start), "end": _day(period.end)}


def _span(span: Interval) -> Answer:
    return {"start": _time(span.start), "end": _time(span.end)}


def _deadlines(term: Term) -> Answer:
    return {
        "nonrenewal_deadline": _day(term.nonrenewal_deadline),
        "renewal_application_by": _day(term.renewal_application_by),
    }


# -- the functions ----------------------------------------------------------------------------------------------------


def billing_calendar(given: Input) -> Answer:
    calendar = _calendar(given)
    periods = calendar.until(parse_date(given["until"]))
    return {"anchor": _day(calendar.anchor), "periods": [_period(period) for period in periods]}


def billing_period_of(given: Input) -> Answer:
    return _period(_calendar(given).period_of(parse_when(given["at"])))


def contract_term(given: Input) -> Answer:
    terms = _terms(given)
    wanted = given.get("terms")
    listed = [term for _, term in zip(range(1 if wanted is None else wanted), terms.terms(), strict=False)]
    return {
        "anchor": _day(terms.calendar.anchor),
        "effective_minimum_months": terms.effective_minimum,
        "minimum_last_day": _day(terms.minimum_last_day),
        "terms": [
            {"no": term.no, "start": _day(term.start), "last_day": _day(term.last_day), **_deadlines(term)}
            for term in listed
        ],
    }


def contract_status(given: Input) -> Answer:
    received = [parse_date(one["received_on"]) for one in given.get("nonrenewal_notices") or ()]
    asked = [parse_date(one["received_on"]) for one in given.get("renewal_applications") or ()]
    status = _terms(given).status(parse_when(given["as_of"]), received, asked)
    return {
        "state": str(status.state),
        "term_no": status.term.no,
        "term_start": _day(status.term.start),
        "term_last_day": _day(status.term.last_day),
        **_deadlines(status.term),
        "will_renew": status.will_renew,
        "ended_on": _day(status.ended_on),
    }


def notice_deadline(given: Input) -> Answer:
    kind = given["kind"]
    latest = notices.notice_deadline(kind, parse_date(given["event_date"]))
    return {"latest_receipt": _day(latest), "days": notices.notice_days(kind)}


def earliest_event(given: Input) -> Answer:
    kind = given["kind"]
    earliest = notices.earliest_event(kind, parse_when(given["received_at"]))
    return {"earliest_event_date": _day(earliest), "days": notices.notice_days(kind)}


def notice_effect(given: Input) -> Answer:
    effect = notices.notice_effect(
        given["kind"],
        _optional(parse_time, given.get("sent_at")),
        _optional(parse_time, given.get("arrived_at")),
        via=given.get("via") or "email",
        written_agreement=given.get("written_agreement") or False,
        registered_address=_default(given.get("registered_address"), True),
    )
    return {"rule": effect.rule, "effective_at": _time(effect.at)}


def terms_in_force(given: Input) -> Answer:
    revisions = [_revision(one) for one in given["revisions"]]
    revision, since = notices.terms_in_force(revisions, parse_when(given["as_of"]))
    return {"version": revision.version, "in_force_from": _day(since)}


def _revision(given: Input) -> notices.Revision:
    if given["kind"] not in ("terms", "conditions"):
        raise RuleError("REVISION_KIND_UNKNOWN", "a revision is of the terms or of the conditions")
    sent, arrived = (_optional(parse_when, given.get(key)) for key in ("sent_at", "arrived_at"))
    told = sent if given["kind"] == "terms" else arrived
    return notices.Revision(given["version"], parse_date(given["effective_on"]), told, given.get("original") or False)


def maintenance_calendar(given: Input) -> Answer:
    first, last = parse_date(given["from"]), parse_date(given["to"])
    return {"windows": [_span(window) for window in maintenance.regular_windows(first, last)]}


def plan_fees(given: Input) -> Answer:
    plan = _plan(given)
    return {"initial_fee": plan.initial(), "monthly_fee": plan.monthly}


def plan_change(given: Input) -> Answer:
    decision = fees.plan_change(
        _calendar(given),
        _limits(given["current"]),
        _limits(given["new"]),
        parse_when(given["received_at"]),
        parse_date(given["requested_on"]),
        _fee(given, "change_fee"),
        cancellation_pending=given.get("cancellation_pending") or False,
    )
    return {
        "kind": str(decision.kind),
        "allowed": decision.refusal is None,
        "refusal": decision.refusal,
        "effective_on": _day(decision.effective_on),
        "billed_from": _day(decision.billed_from),
        "initial_fee_difference": decision.initial_fee_difference,
        "monthly_fee": decision.monthly_fee,
        "change_fee": decision.change_fee,
    }


def cancellation(given: Input) -> Answer:
    result = ending.cancellation(
        _terms(given),
        _history(given),
        parse_when(given["received_at"]),
        _optional(parse_date, given.get("requested_last_day")),
        _optional(parse_date, given.get("lump_sum_paid_on")),
        parse_when(given["as_of"]),
    )
    return {
        "earliest_last_day": _day(result.earliest_last_day),
        "granted_last_day": _day(result.granted_last_day),
        "moved": result.moved,
        "minimum_last_day": _day(result.minimum_last_day),
        "lump_sum_months": result.lump_sum_months,
        "lump_sum": result.lump_sum,
        "lump_sum_due": _day(result.lump_sum_due),
        "outcome": str(result.outcome),
    }


def invoices(given: Input) -> Answer:
    cancelled = given.get("cancellation")
    account = invoicing.Account(
        _terms(given),
        _history(given),
        [invoicing.TaxRate(parse_date(one["from"]), one["bp"]) for one in given["tax_rates"]],
        (parse_date(cancelled["received_on"]), parse_date(cancelled["last_day"])) if cancelled else None,
        [invoicing.Credit(parse_date(one["accepted_on"]), _money(one["amount"])) for one in given.get("credits") or ()],
        given.get("stub_charge") or "none",
        given.get("bridge_charge") or "none",
    )
    made, left = invoicing.invoices(account, parse_date(given["until"]))
    return {"invoices": [_invoice(one) for one in made], "unapplied_credit": left}


def _invoice(invoice: invoicing.Invoice) -> Answer:
    period = invoice.period
    return {
        "type": "period" if period else "closing",
        "kind": str(period.kind) if period else None,
        "period_start": _day(period.start) if period else None,
        "period_end": _day(period.end) if period else None,
        "dated": _day(invoice.dated),
        "due": _day(invoice.due),
        "lines": [{"code": line.code, "amount": line.amount} for line in invoice.lines],
        "taxable": invoice.taxable,
        "tax": invoice.tax,
        "total": invoice.total,
    }


def discontinuation(given: Input) -> Answer:
    result = ending.discontinuation(
        parse_date(given["last_day"]),
        given["scope"],
        given["provider_convenience"],
        _optional(parse_when, given.get("email_arrived_at")),
        _optional(parse_when, given.get("web_posted_at")),
        [
            ending.PaidMonth(parse_date(one["start"]), parse_date(one["end"]), _money(one["amount"]))
            for one in given.get("paid") or ()
        ],
    )
    return {
        "notice_complete_on": _day(result.notice_complete_on),
        "earliest_last_day": _day(result.earliest_last_day),
        "allowed": result.allowed,
        "migration_support": result.migration_support,
        "refund": result.refund,
        "refund_months": [_day(start) for start in result.refund_months],
    }


def outage_accounting(given: Input) -> Answer:
    period = given["period"]
    month = sla.Month(parse_date(period["start"]), parse_date(period["end"]), _money(given["monthly_fee"]))
    report = sla.outage_accounting(month, _incidents(given))
    counted = [part for run in report.runs for part in run.counted]
    return {
        "maintenances": [
            {"id": one.id, "announced": one.announced, "counted_seconds": one.counted_seconds}
            for one in report.maintenances
        ],
        "counted": [_span(part) for part in counted],
        "runs": [{**_span(run.span), "seconds": run.seconds} for run in report.runs],
        "longest_seconds": report.longest_seconds,
        "target_met": report.target_met,
        "breaches": [
            {
                "kind": breach.kind,
                "ref": _time(breach.ref) if isinstance(breach.ref, int) else breach.ref,
                "amount": breach.amount,
            }
            for breach in report.breaches
        ],
        "total": report.total,
        "cap": report.cap,
        "credit": report.credit,
    }


def _incidents(given: Input) -> sla.Incidents:
    return sla.Incidents(
        tuple(_outage(one) for one in given.get("outages") or ()),
        tuple(_maintenance(one) for one in given.get("maintenances") or ()),
        tuple(
            sla.DataLoss(
                one["id"],
                parse_date(one["established_on"]),
                one["registered_normally"],
                one["recovered"],
                _cause(one["cause"]),
            )
            for one in given.get("data_losses") or ()
        ),
        tuple(
            sla.SecurityFailure(one["id"], parse_date(one["on"]), _cause(one["cause"]))
            for one in given.get("security_failures") or ()
        ),
        _optional(parse_time, given.get("as_of")),
    )


def _outage(given: Input) -> sla.Outage:
    return sla.Outage(
        given["id"],
        parse_time(given["recognised_at"]),
        _optional(parse_time, given.get("recovered_at")),
        _cause(given["cause"]),
        _default(given.get("full_stop"), True),
        tuple(sla.Posted(one["what"], one["channel"], parse_time(one["at"])) for one in given.get("notices") or ()),
    )


def _maintenance(given: Input) -> sla.Maintenance:
    return sla.Maintenance(
        given["id"],
        parse_time(given["actual_start"]),
        _optional(parse_time, given.get("actual_end")),
        tuple(
            sla.Announcement(one["channel"], parse_time(one["at"]), parse_time(one["start"]), parse_time(one["end"]))
            for one in given.get("announcements") or ()
        ),
    )


def sla_credit(given: Input) -> Answer:
    cases = given.get("cases")
    amount = sla.sla_credit(
        given["kind"], _money(given["monthly_fee"]), given.get("stop_seconds") or 0, 1 if cases is None else cases
    )
    return {"amount": amount}


def claim_check(given: Input) -> Answer:
    last = sla.last_claim_day(parse_when(given["ended_at"]))
    claimed = _optional(parse_when, given.get("claimed_at"))
    return {"last_claim_day": _day(last), "in_time": claimed <= last if claimed else None}


def provider_termination(given: Input) -> Answer:
    result = ending.provider_termination(
        given["ground"],
        parse_when(given["as_of"]),
        due_on=_optional(parse_date, given.get("due_on")),
        demand_sent=_optional(parse_when, given.get("demand_sent_at")),
        demand_received=_optional(parse_when, given.get("demand_received_at")),
        cured=_optional(parse_when, given.get("cured_at")),
        found=_optional(parse_when, given.get("found_at")),
    )
    return {
        "demand_required": result.demand_required,
        "clock_from": _day(result.clock_from),
        "terminable_from": _day(result.terminable_from),
        "terminable": result.terminable,
        "notice_required": result.notice_required,
        "acceleration": result.acceleration,
    }


def disclosure(given: Input) -> Answer:
    identifiable = _default(given.get("identifiable"), True)
    return {
        "allowed": privacy.may_disclose(given["info"], given["ground"], given.get("item"), identifiable=identifiable)
    }


def refuse_data(given: Input) -> Answer:
    return {"allowed": privacy.may_refuse_data(given["item"]), "notice_required": False}


def channel_scope(given: Input) -> Answer:
    return {"allowed": privacy.may_act(given["party"], given["act"])}


def access_decision(given: Input) -> Answer:
    decision = access.access_decision(_standing(given), _call(given), parse_time(given["now"]))
    return {"allow": decision.reason is None, "reason": decision.reason, "retry_at": _time(decision.retry_at)}


def _standing(given: Input) -> access.Standing:
    suspended = given.get("suspended")
    return access.Standing(
        start_date=_optional(parse_date, given.get("start_date")),
        last_day=_optional(parse_date, given.get("last_day")),
        terminated_at=_optional(parse_time, given.get("terminated_at")),
        stopped=given.get("stopped") or False,
        interruptions=tuple(_window(one) for one in given.get("interruptions") or ()),
        maintenance=tuple(
            Interval(parse_time(one["start"]), parse_time(one["end"])) for one in given.get("maintenance") or ()
        ),
        suspended=_window(suspended) if suspended else None,
        features=frozenset(given.get("plan_features") or ()),
    )


def _window(given: Input) -> access.Window:
    return access.Window(parse_time(given["from"]), _optional(parse_time, given.get("to")))


def _call(given: Input) -> access.Call:
    try:
        operation = access.Operation(given["operation"])
    except ValueError:
        raise RuleError("OPERATION_UNKNOWN", f"there is no operation {given['operation']!r}") from None
    return access.Call(
        operation,
        given.get("object_refused") or False,
        given.get("feature"),
        given.get("used_bytes") or 0,
        given.get("put_bytes") or 0,
        given.get("replaced_bytes") or 0,
        given.get("capacity_bytes"),
    )


FUNCTIONS: Mapping[str, Callable[[Input], Answer]] = {
    function.__name__: function
    for function in (
        billing_calendar,
        billing_period_of,
        contract_term,
        contract_status,
        notice_deadline,
        earliest_event,
        notice_effect,
        terms_in_force,
        maintenance_calendar,
        plan_fees,
        plan_change,
        cancellation,
        invoices,
        discontinuation,
        outage_accounting,
        sla_credit,
        claim_check,
        provider_termination,
        disclosure,
        refuse_data,
        channel_scope,
        access_decision,
    )
}
