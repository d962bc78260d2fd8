"""Calendar, term, notices, fees, ends and invoices, asked in JSON."""

from __future__ import annotations

from gateway.domain.calendar import parse_date, parse_time, parse_when
from gateway.domain.contract import ending, fees, invoicing, maintenance, notices
from gateway.domain.contract.values import RuleError
from gateway.domain.terms import TaxRate
from gateway.termseval.values import (
    Answer,
    Input,
    day_text,
    deadlines_text,
    fee,
    flag,
    money,
    optional,
    period_text,
    read_calendar,
    read_history,
    read_limits,
    read_plan,
    read_terms,
    span_text,
    time_text,
    word,
)


def billing_calendar(given: Input) -> Answer:
    calendar = read_calendar(given)
    periods = calendar.until(parse_date(given["until"]))
    return {"anchor": day_text(calendar.anchor), "periods": [period_text(period) for period in periods]}


def billing_period_of(given: Input) -> Answer:
    return period_text(read_calendar(given).period_of(parse_when(given["at"])))


def contract_term(given: Input) -> Answer:
    terms = read_terms(given)
    wanted = given.get("terms")
    listed = [term for _, term in zip(range(1 if wanted is None else wanted), terms.terms(), strict=False)]
    return {
        "anchor": day_text(terms.calendar.anchor),
        "effective_minimum_months": terms.effective_minimum,
        "minimum_last_day": day_text(terms.minimum_last_day),
        "terms": [
            {"no": term.no, "start": day_text(term.start), "last_day": day_text(term.last_day), **deadlines_text(term)}
            for term in listed
        ],
    }


def contract_status(given: Input) -> Answer:
    received = [parse_date(one["received_on"]) for one in given.get("nonrenewal_notices") or ()]
    asked = [parse_date(one["received_on"]) for one in given.get("renewal_applications") or ()]
    status = read_terms(given).status(parse_when(given["as_of"]), received, asked)
    return {
        "state": str(status.state),
        "term_no": status.term.no,
        "term_start": day_text(status.term.start),
        "term_last_day": day_text(status.term.last_day),
        **deadlines_text(status.term),
        "will_renew": status.will_renew,
        "ended_on": day_text(status.ended_on),
    }


def notice_deadline(given: Input) -> Answer:
    kind = given["kind"]
    latest = notices.notice_deadline(kind, parse_date(given["event_date"]))
    return {"latest_receipt": day_text(latest), "days": notices.notice_days(kind)}


def earliest_event(given: Input) -> Answer:
    kind = given["kind"]
    earliest = notices.earliest_event(kind, parse_when(given["received_at"]))
    return {"earliest_event_date": day_text(earliest), "days": notices.notice_days(kind)}


def notice_effect(given: Input) -> Answer:
    effect = notices.notice_effect(
        given["kind"],
        optional(parse_time, given.get("sent_at")),
        optional(parse_time, given.get("arrived_at")),
        via=word(given, "via", "email"),
        written_agreement=given.get("written_agreement") or False,
        registered_address=flag(given.get("registered_address"), True),
    )
    return {"rule": effect.rule, "effective_at": time_text(effect.at)}


def terms_in_force(given: Input) -> Answer:
    revisions = [_revision(one) for one in given["revisions"]]
    revision, since = notices.terms_in_force(revisions, parse_when(given["as_of"]))
    return {"version": revision.version, "in_force_from": day_text(since)}


def _revision(given: Input) -> notices.Revision:
    if given["kind"] not in ("terms", "conditions"):
        raise RuleError("REVISION_KIND_UNKNOWN", "a revision is of the terms or of the conditions")
    sent, arrived = (optional(parse_when, given.get(key)) for key in ("sent_at", "arrived_at"))
    told = sent if given["kind"] == "terms" else arrived
    return notices.Revision(given["version"], parse_date(given["effective_on"]), told, given.get("original") or False)


def maintenance_calendar(given: Input) -> Answer:
    first, last = parse_date(given["from"]), parse_date(given["to"])
    return {"windows": [span_text(window) for window in maintenance.regular_windows(first, last)]}


def plan_fees(given: Input) -> Answer:
    plan = read_plan(given)
    return {"initial_fee": plan.initial(), "monthly_fee": plan.monthly}


def plan_change(given: Input) -> Answer:
    decision = fees.plan_change(
        read_calendar(given),
        read_limits(given["current"]),
        read_limits(given["new"]),
        parse_when(given["received_at"]),
        parse_date(given["requested_on"]),
        fee(given, "change_fee"),
        cancellation_pending=given.get("cancellation_pending") or False,
    )
    return {
        "kind": str(decision.kind),
        "allowed": decision.refusal is None,
        "refusal": decision.refusal,
        "effective_on": day_text(decision.effective_on),
        "billed_from": day_text(decision.billed_from),
        "initial_fee_difference": decision.initial_fee_difference,
        "monthly_fee": decision.monthly_fee,
        "change_fee": decision.change_fee,
    }


def cancellation(given: Input) -> Answer:
    result = ending.cancellation(
        read_terms(given),
        read_history(given),
        parse_when(given["received_at"]),
        optional(parse_date, given.get("requested_last_day")),
        optional(parse_date, given.get("lump_sum_paid_on")),
        parse_when(given["as_of"]),
    )
    return {
        "earliest_last_day": day_text(result.earliest_last_day),
        "granted_last_day": day_text(result.granted_last_day),
        "moved": result.moved,
        "minimum_last_day": day_text(result.minimum_last_day),
        "lump_sum_months": result.lump_sum_months,
        "lump_sum": result.lump_sum,
        "lump_sum_due": day_text(result.lump_sum_due),
        "outcome": str(result.outcome),
    }


def invoices(given: Input) -> Answer:
    cancelled = given.get("cancellation")
    account = invoicing.Account(
        read_terms(given),
        read_history(given),
        [TaxRate(parse_date(one["from"]), one["bp"]) for one in given["tax_rates"]],
        (parse_date(cancelled["received_on"]), parse_date(cancelled["last_day"])) if cancelled else None,
        [invoicing.Credit(parse_date(one["accepted_on"]), money(one["amount"])) for one in given.get("credits") or ()],
        word(given, "stub_charge", "none"),
        word(given, "bridge_charge", "none"),
    )
    made, left = invoicing.invoices(account, parse_date(given["until"]))
    return {"invoices": [_invoice(one) for one in made], "unapplied_credit": left}


def _invoice(invoice: invoicing.Invoice) -> Answer:
    period = invoice.period
    return {
        "type": "period" if period else "closing",
        "kind": str(period.kind) if period else None,
        "period_start": day_text(period.start) if period else None,
        "period_end": day_text(period.end) if period else None,
        "dated": day_text(invoice.dated),
        "due": day_text(invoice.due),
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
        optional(parse_when, given.get("email_arrived_at")),
        optional(parse_when, given.get("web_posted_at")),
        [
            ending.PaidMonth(parse_date(one["start"]), parse_date(one["end"]), money(one["amount"]))
            for one in given.get("paid") or ()
        ],
    )
    return {
        "notice_complete_on": day_text(result.notice_complete_on),
        "earliest_last_day": day_text(result.earliest_last_day),
        "allowed": result.allowed,
        "migration_support": result.migration_support,
        "refund": result.refund,
        "refund_months": [day_text(start) for start in result.refund_months],
    }
