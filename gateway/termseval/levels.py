"""Service level, privacy and access, asked in JSON."""

from __future__ import annotations

from gateway.domain.calendar import parse_date, parse_time, parse_when
from gateway.domain.contract import access, ending, privacy, sla
from gateway.domain.contract.intervals import Interval
from gateway.domain.contract.values import RuleError
from gateway.termseval.values import Answer, Input, day_text, flag, money, optional, read_cause, span_text, time_text


def outage_accounting(given: Input) -> Answer:
    period = given["period"]
    month = sla.Month(parse_date(period["start"]), parse_date(period["end"]), money(given["monthly_fee"]))
    report = sla.outage_accounting(month, _incidents(given))
    counted = [part for run in report.runs for part in run.counted]
    return {
        "maintenances": [
            {"id": one.id, "announced": one.announced, "counted_seconds": one.counted_seconds}
            for one in report.maintenances
        ],
        "counted": [span_text(part) for part in counted],
        "runs": [{**span_text(run.span), "seconds": run.seconds} for run in report.runs],
        "longest_seconds": report.longest_seconds,
        "target_met": report.target_met,
        "breaches": [
            {
                "kind": breach.kind,
                "ref": time_text(breach.ref) if isinstance(breach.ref, int) else breach.ref,
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
                read_cause(one["cause"]),
            )
            for one in given.get("data_losses") or ()
        ),
        tuple(
            sla.SecurityFailure(one["id"], parse_date(one["on"]), read_cause(one["cause"]))
            for one in given.get("security_failures") or ()
        ),
        optional(parse_time, given.get("as_of")),
    )


def _outage(given: Input) -> sla.Outage:
    return sla.Outage(
        given["id"],
        parse_time(given["recognised_at"]),
        optional(parse_time, given.get("recovered_at")),
        read_cause(given["cause"]),
        flag(given.get("full_stop"), True),
        tuple(sla.Posted(one["what"], one["channel"], parse_time(one["at"])) for one in given.get("notices") or ()),
    )


def _maintenance(given: Input) -> sla.Maintenance:
    return sla.Maintenance(
        given["id"],
        parse_time(given["actual_start"]),
        optional(parse_time, given.get("actual_end")),
        tuple(
            sla.Announcement(one["channel"], parse_time(one["at"]), parse_time(one["start"]), parse_time(one["end"]))
            for one in given.get("announcements") or ()
        ),
    )


def sla_credit(given: Input) -> Answer:
    cases = given.get("cases")
    amount = sla.sla_credit(
        given["kind"], money(given["monthly_fee"]), given.get("stop_seconds") or 0, 1 if cases is None else cases
    )
    return {"amount": amount}


def claim_check(given: Input) -> Answer:
    last = sla.last_claim_day(parse_when(given["ended_at"]))
    claimed = optional(parse_when, given.get("claimed_at"))
    return {"last_claim_day": day_text(last), "in_time": claimed <= last if claimed else None}


def provider_termination(given: Input) -> Answer:
    result = ending.provider_termination(
        given["ground"],
        parse_when(given["as_of"]),
        due_on=optional(parse_date, given.get("due_on")),
        demand_sent=optional(parse_when, given.get("demand_sent_at")),
        demand_received=optional(parse_when, given.get("demand_received_at")),
        cured=optional(parse_when, given.get("cured_at")),
        found=optional(parse_when, given.get("found_at")),
    )
    return {
        "demand_required": result.demand_required,
        "clock_from": day_text(result.clock_from),
        "terminable_from": day_text(result.terminable_from),
        "terminable": result.terminable,
        "notice_required": result.notice_required,
        "acceleration": result.acceleration,
    }


def disclosure(given: Input) -> Answer:
    identifiable = flag(given.get("identifiable"), True)
    return {
        "allowed": privacy.may_disclose(given["info"], given["ground"], given.get("item"), identifiable=identifiable)
    }


def refuse_data(given: Input) -> Answer:
    return {"allowed": privacy.may_refuse_data(given["item"]), "notice_required": False}


def channel_scope(given: Input) -> Answer:
    return {"allowed": privacy.may_act(given["party"], given["act"])}


def access_decision(given: Input) -> Answer:
    decision = access.access_decision(_standing(given), _call(given), parse_time(given["now"]))
    return {"allow": decision.reason is None, "reason": decision.reason, "retry_at": time_text(decision.retry_at)}


def _standing(given: Input) -> access.Standing:
    suspended = given.get("suspended")
    return access.Standing(
        start_date=optional(parse_date, given.get("start_date")),
        last_day=optional(parse_date, given.get("last_day")),
        terminated_at=optional(parse_time, given.get("terminated_at")),
        stopped=given.get("stopped") or False,
        interruptions=tuple(_window(one) for one in given.get("interruptions") or ()),
        maintenance=tuple(
            Interval(parse_time(one["start"]), parse_time(one["end"])) for one in given.get("maintenance") or ()
        ),
        suspended=_window(suspended) if suspended else None,
        features=frozenset(given.get("plan_features") or ()),
    )


def _window(given: Input) -> access.Window:
    return access.Window(parse_time(given["from"]), optional(parse_time, given.get("to")))


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
