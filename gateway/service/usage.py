"""What tenants used, by JST day and billing period, and the statements that periods are closed with.

Storage figures derive from committed events, so no crash can bend them. A period closes once its end is passed by every
live gate's report and by the booking of its events; from then on its statement is kept as it is, and whatever were to
come later is booked into the next period.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import Any, Protocol

from gateway.domain.billing import Figures, Statement, lines_of, total
from gateway.domain.calendar import BillingCalendar, CalendarError, Period, format_time, jst_date
from gateway.domain.contract.records import Contract, ended_on
from gateway.domain.contract.values import ContractValues
from gateway.domain.errors import NotFound
from gateway.domain.tenant import Tenant, TenantState
from gateway.domain.terms import Plan, Plans
from gateway.service.policies import with_agreed
from gateway.service.stored import HourUsage
from gateway.service.unit_of_work import Database, Tx

HOUR = 3_600_000
MARGIN_MS = 60_000
"""Beyond the reports: a commit takes its time before its batch is flushed, and clocks differ a little."""

RECORD_TYPE = "kurado.usage.hour.v1"
_RECORD_HOURS = 24 * 31


class PolicySource(Protocol):
    """Where the documents in force come from (``service/policies.py``)."""

    def get(self, name: str, tenant: Tenant | None) -> Any: ...
    def values(self, tenant: Tenant | None = None, day: date | None = None) -> ContractValues: ...


class UsageService:
    """``contract_of`` gives the contract of a tenant, None for one without."""

    def __init__(
        self,
        db: Database,
        policies: PolicySource,
        clock: Callable[[], int],
        contract_of: Callable[[Tenant], Contract | None] = lambda _tenant: None,
    ) -> None:
        self._contract_of = contract_of
        self._db = db
        self._policies = policies
        self._clock = clock

    # -- what is asked ------------------------------------------------------------------------------------------------

    def calendar(self, tenant: Tenant) -> BillingCalendar:
        """The tenant's billing periods, by its contract. Without one the service starts on the JST day on which the
        tenant was added; one that has not started yet starts tomorrow at the earliest."""
        contract = self._contract_of(tenant)
        if contract is not None:
            start = contract.start_date or jst_date(self._clock()) + timedelta(days=1)
            return BillingCalendar(start, contract.start_day, contract.start_day_changes)
        terms = self._policies.values(tenant)
        return BillingCalendar(jst_date(tenant.created_at), terms.start_day)

    def period(self, tenant: Tenant, day: date | None = None) -> Period:
        """The period that holds a JST day, by default today's.

        Before the service start: the first period, if it begins in the regular billing month of that day, so that the
        name of a month finds the stubs of those who joined in it (CAL-06). NotFound for any earlier day.
        """
        calendar = self.calendar(tenant)
        wanted = day or jst_date(self._clock())
        if wanted < calendar.start_date and calendar.start_date <= regular_month(wanted, calendar.start_day).end:
            wanted = calendar.start_date
        try:
            return calendar.period_of(wanted)
        except CalendarError as error:
            raise NotFound(f"{tenant.name}: {error}") from None

    def statement(self, tenant_name: str, day: date | None = None) -> Mapping[str, Any]:
        """Usage and charges of the period that holds ``day``, as ``Statement.to_json``: the frozen one if it is closed.

        A running period's figures reach up to the last full hour or the last thing booked, whichever is later, so
        that two looks agree until one of them moves.
        """
        tenant = self._tenant(tenant_name)
        period = self.period(tenant, day)
        last = self._last_day(tenant)
        if last is not None and period.start > last:
            raise NotFound(f"{tenant.name} was removed on {last}")
        plan, terms = self._prices(tenant, period)
        return self._db.read(lambda tx: self._statement(tx, tenant, period, plan, terms))

    def statements(self, day: date, tenant_name: str | None = None) -> list[Mapping[str, Any]]:
        """The statements of one tenant, or of all that have figures and a period for ``day`` (see :meth:`period`), by
        name."""
        if tenant_name is not None:
            return [self.statement(tenant_name, day)]
        found = []
        for tenant in self._metered():
            with contextlib.suppress(NotFound):
                found.append(self.statement(tenant.name, day))
        return found

    def records(self, tenant_name: str, day: date | None = None) -> list[dict[str, Any]]:
        """The period's hourly records as CloudEvents 1.0 (JSON format)."""
        tenant = self._tenant(tenant_name)
        period = self.period(tenant, day)
        found = self._db.read(lambda tx: tx.usage.records(tenant.id, period.starts_at, period.ends_at))
        return [
            {
                "specversion": "1.0",
                "id": one["id"],
                "source": one["source"],
                "type": one["type"],
                "subject": tenant.name,
                "time": format_time(one["at"]),
                "datacontenttype": "application/json",
                "data": one["data"],
            }
            for one in found
        ]

    # -- what the steward does ----------------------------------------------------------------------------------------

    def close_due(self) -> list[tuple[str, Period]]:
        """Closes every period that can be closed; returns them. Running it again changes nothing."""
        closed = []
        for tenant in self._metered():
            closed += [(tenant.name, period) for period in self._due(tenant) if self.close(tenant, period)]
        return closed

    def ended(self, tenant: Tenant) -> list[Period]:
        """Periods that are over and were not closed."""
        return list(self._due(tenant))

    def close(self, tenant: Tenant, period: Period) -> bool:
        """Freezes the statement of a period. False while a live gate or an unbooked event could still add to it."""
        plan, terms = self._prices(tenant, period)

        def work(tx: Tx) -> bool:
            now = self._clock()
            if tx.usage.statement(tenant.id, period.starts_at) is not None:
                return False
            if self._settled_until(tx, tenant.id, now) < period.ends_at:
                return False
            statement = self._statement(tx, tenant, period, plan, terms, closing=True)
            tx.usage.close_period(tenant.id, period.starts_at, statement, now)
            return True

        return self._db.write(work, tenant.id).result()

    def record_due(self) -> int:
        """Writes the CloudEvents of all hours that are over and settled; returns how many hours were looked at."""
        return sum(
            self._db.write(lambda tx, t=tenant: self._record(tx, t), tenant.id).result()  # type: ignore[misc]
            for tenant in self._metered()
            if self._db.read(lambda tx, t=tenant: self._unrecorded(tx, t))  # type: ignore[misc]
        )

    # -- inside a transaction -----------------------------------------------------------------------------------------

    def _statement(
        self, tx: Tx, tenant: Tenant, period: Period, plan: Plan, terms: ContractValues, *, closing: bool = False
    ) -> Mapping[str, Any]:
        frozen = tx.usage.statement(tenant.id, period.starts_at)
        if frozen is not None:
            return frozen
        as_of = period.ends_at if closing else self._as_of(tx, tenant, period)
        days = by_day(tx.usage.hours(tenant.id, period.starts_at, as_of))
        figures = total(figures for _, figures in days)
        return Statement(
            tenant_id=tenant.id,
            tenant=tenant.name,
            plan=plan.id,
            demo=tenant.demo,
            period=period,
            as_of=as_of,
            closed=closing,
            days=days,
            lines=lines_of(period, figures, plan, terms, demo=tenant.demo),
        ).to_json()

    def _as_of(self, tx: Tx, tenant: Tenant, period: Period) -> int:
        now = self._clock()
        _, booked_at = tx.usage.booked(tenant.id)
        # + 1: the instant of the last booking itself belongs to what is shown
        return min(max(now - now % HOUR, booked_at + 1, period.starts_at), period.ends_at)

    def _settled_until(self, tx: Tx, tenant_id: int, now: int) -> int:
        """Nothing that happened before this instant can still come in."""
        seq, _ = tx.usage.booked(tenant_id)
        unbooked = tx.events.oldest_at(tenant_id, seq) if tx.events.last_seq(tenant_id) > seq else None
        return min(tx.usage.reported_until(now), now if unbooked is None else unbooked) - MARGIN_MS

    def _unrecorded(self, tx: Tx, tenant: Tenant) -> tuple[int, int] | None:
        start = tx.usage.recorded_until(tenant.id)
        if start is None:
            return None
        settled = self._settled_until(tx, tenant.id, self._clock())
        end = min(settled - settled % HOUR, start + _RECORD_HOURS * HOUR)
        return (start, end) if end > start else None

    def _record(self, tx: Tx, tenant: Tenant) -> int:
        span = self._unrecorded(tx, tenant)
        if span is None:
            return 0
        hours = tx.usage.hours(tenant.id, *span)
        records = [_record_of(tenant, hour) for hour in hours]
        tx.usage.add_records(tenant.id, [one for one in records if one is not None], span[1])
        return len(hours)

    # -- common -------------------------------------------------------------------------------------------------------

    def _due(self, tenant: Tenant) -> Iterable[Period]:
        now = self._clock()
        closed_until = self._db.read(lambda tx: tx.usage.closed_until(tenant.id))
        last = self._last_day(tenant)
        for period in self.calendar(tenant).until(jst_date(now) if last is None else last):
            if closed_until < period.ends_at <= now - MARGIN_MS:
                yield period

    def _last_day(self, tenant: Tenant) -> date | None:
        """The last day of an ended contract or a removed tenant: its billing month is due in full (FEE-05), and none
        after it."""
        contract = self._contract_of(tenant)
        if contract is not None:
            return ended_on(contract, jst_date(self._clock()), self._policies.values(tenant))
        if tenant.state is not TenantState.REMOVED:
            return None
        return jst_date(self._db.read(lambda tx: tx.usage.booked(tenant.id))[1])

    def _tenant(self, name: str) -> Tenant:
        tenant = self._db.read(lambda tx: tx.tenants.get(name))
        if tenant is None:
            raise NotFound(f"there is no tenant {name!r}")
        return tenant

    def _metered(self) -> Sequence[Tenant]:
        """All tenants with figures, removed ones too: what they used before is still to be billed."""
        found = self._db.read(lambda tx: [tx.tenants.by_id(tenant_id) for tenant_id in tx.usage.metered()])
        return sorted((tenant for tenant in found if tenant is not None), key=lambda tenant: tenant.name)

    def _prices(self, tenant: Tenant, period: Period) -> tuple[Plan, ContractValues]:
        """Under contract: the plan that is billed in the period, as it was agreed (CHG-03, REV-01)."""
        values, contract = self._policies.values(tenant), self._contract_of(tenant)
        plans: Plans = self._policies.get("plans", tenant)
        if contract is None or contract.agreed is None:
            return plans.get(tenant.plan), values
        billed = contract.billed_plan(self.calendar(tenant).priced_from(period))
        return with_agreed(plans, billed).get(billed.plan), values


def regular_month(day: date, start_day: int) -> Period:
    """The billing month of that start day that holds a day, of a customer who was there long before."""
    return BillingCalendar(day - timedelta(days=62), start_day).period_of(day)


def by_day(hours: Sequence[HourUsage]) -> list[tuple[str, Figures]]:
    """Hours folded into JST days."""
    return [
        (str(day), total(figures_of(hour) for hour in some))
        for day, some in groupby(hours, key=lambda hour: jst_date(hour.hour))
    ]


def figures_of(hour: HourUsage) -> Figures:
    return Figures(
        byte_ms=hour.byte_ms,
        peak_bytes=hour.peak_bytes,
        end_bytes=hour.end_bytes,
        end_files=hour.end_files,
        bytes_in=hour.bytes_in,
        bytes_out=hour.bytes_out,
        refusals=hour.refusals,
        requests=hour.requests,
    )


def _record_of(tenant: Tenant, hour: HourUsage) -> dict[str, Any] | None:
    """One hour as a CloudEvent; ``source`` and ``id`` name it for ever. None for an hour in which nothing was used."""
    data = figures_of(hour).to_json()
    if not (
        hour.byte_ms
        or hour.peak_bytes
        or hour.bytes_in
        or hour.bytes_out
        or hour.refusals
        or any(hour.requests.values())
    ):
        return None
    return {
        "source": f"/tenants/{tenant.name}",
        "id": f"{RECORD_TYPE}/{format_time(hour.hour)}",
        "type": RECORD_TYPE,
        "at": hour.hour,
        "data": data,
    }
