"""What happened to one customer, in the form in which the service level is accounted (RULES SLA, CMP-01)."""

from __future__ import annotations

from gateway.domain.calendar import Period, jst_date
from gateway.domain.contract import sla
from gateway.domain.contract.incidents import Incident, IncidentKind, IncidentLog
from gateway.domain.contract.intervals import Interval
from gateway.domain.contract.invoicing import Account, drafts
from gateway.domain.contract.records import Contract, opens_at
from gateway.domain.contract.sla import Announcement, DataLoss, Maintenance, Outage, Posted, SecurityFailure
from gateway.domain.contract.values import ContractValues, RuleError
from gateway.domain.contract.windows import ServiceWindow, Windows

_BASE = ("monthly_fee", "stub_fee", "bridge_fee")


def month_of(contract: Contract, period: Period, values: ContractValues) -> sla.Month:
    """The period with the fee payable for it: what its invoice says, nothing where nothing is charged (CMP-01, D-72).

    RuleError BEFORE_SERVICE_START when the contract has no start yet.
    """
    terms = contract.terms(values)
    if terms is None:
        raise RuleError("BEFORE_SERVICE_START", "the contract has no service start yet")
    account = Account(
        terms, contract.fees, values.tax_rates, stub_charge=values.stub_charge, bridge_charge=values.bridge_charge
    )
    lines = [line for draft in drafts(account, period.start) if draft.period == period for line in draft.lines]
    return sla.Month(period.start, period.end, sum(line.amount for line in lines if line.code in _BASE))


def incidents_of(
    contract: Contract,
    log: IncidentLog,
    windows: Windows,
    as_of: int,
    *,
    keeps_regular: bool = True,
    closed_at: int | None = None,
) -> sla.Incidents:
    """What concerns a customer, up to ``as_of``. ``keeps_regular``: calls were refused in the regular windows, too.

    What began before its service start counts from then on; what began after ``closed_at``, the end of its contract,
    is none of it.
    """
    until = as_of if closed_at is None else min(as_of, closed_at)
    mine = [one for one in log.of_tenant(contract.tenant_id) if one.is_recognised]
    opened = opens_at(contract) or 0
    regular = [one for one in windows.regular.values() if any(post[0] < one.start for post in one.posts)]
    works = [one for one in windows.maintenance.values() if one.concerns(contract.tenant_id)]
    works += regular if keeps_regular else []
    return sla.Incidents(
        outages=tuple(
            _outage(one, contract.tenant_id, opened)
            for one in mine
            if one.kind is IncidentKind.OUTAGE and (one.recovered_at is None or one.recovered_at > opened)
            if closed_at is None or _at(one) < closed_at
        ),
        maintenances=tuple(_maintenance(one, as_of) for one in works if one.start < until and _end(one) > opened),
        data_losses=tuple(
            DataLoss(one.id, jst_date(_at(one)), one.normally_registered, one.recovered_at is not None, one.cause)
            for one in mine
            if one.kind is IncidentKind.DATA_LOSS
        ),
        security_failures=tuple(
            SecurityFailure(one.id, jst_date(_at(one)), one.cause) for one in mine if one.kind is IncidentKind.SECURITY
        ),
        as_of=as_of,
    )


def _at(incident: Incident) -> int:
    assert incident.recognised_at is not None, "a recognised incident has its time"
    return incident.recognised_at


def _outage(incident: Incident, tenant_id: int, opened: int) -> Outage:
    notices = tuple(
        Posted(one.what, one.channel, one.at) for one in incident.notices if not one.tenants or tenant_id in one.tenants
    )
    return Outage(
        incident.id, max(_at(incident), opened), incident.recovered_at, incident.cause, incident.full_stop, notices
    )


def _end(window: ServiceWindow) -> int:
    assert window.end is not None, "maintenance has an end"
    return window.end


def _maintenance(window: ServiceWindow, as_of: int) -> Maintenance:
    """Calls are refused in the whole window (OPS-04), so that is when the work actually was."""
    end = _end(window)
    posts = tuple(Announcement("system_information", at, start, until) for at, start, until in window.posts)
    return Maintenance(window.id, window.start, end if end <= as_of else None, posts)


def counted_time(report: sla.Report) -> tuple[Interval, ...]:
    """All counted stretches of the runs, in order."""
    return tuple(part for run in report.runs for part in run.counted)


def ended_at(
    breach: sla.Breach, report: sla.Report, incidents: sla.Incidents, log: IncidentLog, values: ContractValues
) -> int | None:
    """When a non-performance ended (CMP-07, D-75): the recovery, the missed hour, the loss established, the defect
    cured; None while it lasts."""
    if breach.kind == "availability":
        run = next(run for run in report.runs if run.span.start == breach.ref)
        return None if _is_open(run.span, incidents) else run.span.end
    if breach.kind == "outage_notice":
        name, _, what = str(breach.ref).rpartition(":")
        outage = next(one for one in incidents.outages if one.id == name)
        since = outage.recognised_at if what == "occurrence" else outage.recovered_at
        return None if since is None else since + values.notice_limit_seconds * 1000
    incident = log.all[str(breach.ref)]
    return incident.recovered_at if breach.kind == "security" else incident.recognised_at


def _is_open(span: Interval, incidents: sla.Incidents) -> bool:
    """Whether the stop may still grow: something that is open reaches to its end."""
    begun = [one.recognised_at for one in incidents.outages if one.recovered_at is None]
    begun += [one.actual_start for one in incidents.maintenances if one.actual_end is None]
    return any(start <= span.end for start in begun) and span.end == incidents.as_of
