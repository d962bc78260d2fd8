"""The service level of one customer in one billing period, from what was recorded (RULES SLA, CMP-01 to CMP-06).

The accounting is :func:`gateway.domain.contract.sla.outage_accounting`, the same function that the vectors test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from gateway.domain.calendar import BillingCalendar, CalendarError, Period, format_jst, jst_date
from gateway.domain.contract import sla
from gateway.domain.contract.claims import ClaimedItem
from gateway.domain.contract.incidents import Incident, IncidentKind, IncidentLog
from gateway.domain.contract.records import Contract, closes_at
from gateway.domain.contract.reporting import ended_at, incidents_of, month_of
from gateway.domain.contract.values import ContractValues
from gateway.domain.errors import ActRefused, NotFound
from gateway.domain.tenant import Tenant
from gateway.service.attests import Attests
from gateway.service.contracts.book import rule_named
from gateway.service.incidents import Incidents
from gateway.service.standing import Standings


@dataclass(frozen=True, slots=True)
class Case:
    """A non-performance of the period: when it ended (None: it lasts), and until which day it may be claimed."""

    item: ClaimedItem
    amount: int
    rule: str
    ended_at: int | None
    last_claim_day: date | None


@dataclass(frozen=True)
class LevelReport:
    """``backupless``: JST days without an attested backup (SLA-DP-02), which no rule compensates. ``incidents`` are all
    that concern the customer and touch the period, those that do not count included. ``as_of`` in ms."""

    contract: Contract
    period: Period
    values: ContractValues
    as_of: int
    accounting: sla.Report
    monthly_fee: int
    cases: tuple[Case, ...]
    incidents: tuple[Incident, ...]
    backupless: tuple[date, ...]


class ServiceLevels:
    def __init__(
        self,
        clock: Callable[[], int],
        standings: Standings,
        incidents: Incidents,
        attests: Attests,
        keeps_regular: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._standings = standings
        self._incidents = incidents
        self._keeps_regular = keeps_regular
        self._attests = attests

    def contract_of(self, tenant: Tenant) -> Contract:
        """NotFound for a tenant without a contract: the service level binds towards customers (SVC-01)."""
        contract = self._standings.now().of_tenant.get(tenant.id)
        if contract is None:
            raise NotFound(f"{tenant.name} is under no contract: the service level binds towards customers (SVC-01)")
        return contract

    def customer(self, name: str) -> Contract:
        """The contract of a tenant by name, also of one that was erased. NotFound as in :meth:`contract_of`."""
        found = [one for one in self._standings.contracts() if name in (one.tenant, one.name) and one.tenant_id]
        if not found:
            raise NotFound(f"{name} is under no contract: the service level binds towards customers (SVC-01)")
        return next((one for one in found if one.tenant == name), found[0])

    def report(self, contract: Contract, day: date) -> LevelReport:
        """The billing period that holds a day, as it stands now. ActRefused before the service start, and for a period
        that has not begun."""
        now = self._clock()
        with rule_named():
            period = _calendar(contract, self._standings.values_of(contract, day)).period_of(day)
            values = self._standings.values_of(contract, period.start)
            month = month_of(contract, period, values)
        if period.starts_at > now:
            raise ActRefused(f"the period {period.start} has not begun", "SLA-AV-07")
        log = self._incidents.log()
        windows, closed = self._standings.now().windows, closes_at(contract, jst_date(now), values)
        happened = incidents_of(contract, log, windows, now, keeps_regular=self._keeps_regular(), closed_at=closed)
        accounting = sla.outage_accounting(month, happened, values)
        cases = tuple(self._case(breach, accounting, happened, log, values) for breach in accounting.breaches)
        return LevelReport(
            contract=contract,
            period=period,
            values=values,
            as_of=now,
            accounting=accounting,
            monthly_fee=month.monthly_fee,
            cases=cases,
            incidents=tuple(one for one in log.of_tenant(contract.tenant_id) if _touches(one, period)),
            backupless=tuple(self._backupless(contract, period, now)),
        )

    @staticmethod
    def _case(
        breach: sla.Breach,
        accounting: sla.Report,
        happened: sla.Incidents,
        log: IncidentLog,
        values: ContractValues,
    ) -> Case:
        ended = ended_at(breach, accounting, happened, log, values)
        ref = format_jst(breach.ref) if isinstance(breach.ref, int) else breach.ref
        until = next((format_jst(run.span.end) for run in accounting.runs if run.span.start == breach.ref), "")
        last = None if ended is None else sla.last_claim_day(jst_date(ended), values)
        return Case(ClaimedItem(breach.kind, ref, until), breach.amount, breach.rule, ended, last)

    def _backupless(self, contract: Contract, period: Period, now: int) -> list[date]:
        """Whole JST days of the period that are over and were not attested, from the day after the start on."""
        yesterday = jst_date(now) - timedelta(days=1)
        return list(self._attests.log().missing(contract.tenant_id, period.start, min(period.end, yesterday)))


def _calendar(contract: Contract, values: ContractValues) -> BillingCalendar:
    terms = contract.terms(values)
    if terms is None:
        raise CalendarError("BEFORE_SERVICE_START", f"{contract.name} has no service start yet")
    return terms.calendar


def _touches(incident: Incident, period: Period) -> bool:
    """Whether an incident, or the observation of one, reaches into the period."""
    begun = incident.recognised_at if incident.recognised_at is not None else incident.observed_at
    if incident.days is not None and incident.kind is IncidentKind.BACKUP:
        return incident.days[0] <= period.end.isoformat() and incident.days[1] >= period.start.isoformat()
    if begun is None:
        begun = incident.updated_at
    ended = incident.recovered_at if incident.recovered_at is not None else incident.ended_at
    return begun < period.ends_at and (ended is None or ended >= period.starts_at)
