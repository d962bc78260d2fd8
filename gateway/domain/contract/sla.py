"""The service level: what stops count, what they cost, and until when they may be claimed (RULES SLA, CMP).

Times are ms UTC, intervals half-open. Nothing is paid without a claim (CMP-07); these are the figures of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from gateway.domain.calendar import jst_date
from gateway.domain.contract.intervals import Interval, cut, merge
from gateway.domain.contract.values import SEED, ContractValues, RuleError


class Cause(StrEnum):
    PROVIDER = "provider"
    FORCE_MAJEURE = "force_majeure"
    CARRIER = "carrier"
    CUSTOMER = "customer"
    NO_FAULT = "no_fault"


@dataclass(frozen=True, slots=True)
class Posted:
    """A notice of an outage: ``what`` is occurrence or recovery."""

    what: str
    channel: str
    at: int


@dataclass(frozen=True, slots=True)
class Outage:
    id: str
    recognised_at: int
    recovered_at: int | None
    cause: Cause
    full_stop: bool = True
    notices: tuple[Posted, ...] = ()


@dataclass(frozen=True, slots=True)
class Announcement:
    channel: str
    at: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Maintenance:
    id: str
    actual_start: int
    actual_end: int | None
    announcements: tuple[Announcement, ...] = ()


@dataclass(frozen=True, slots=True)
class DataLoss:
    id: str
    established_on: date
    registered_normally: bool
    recovered: bool
    cause: Cause


@dataclass(frozen=True, slots=True)
class SecurityFailure:
    id: str
    on: date
    cause: Cause


@dataclass(frozen=True, slots=True)
class Month:
    """The billing month reported on: first and last day, and the fee payable for it (CMP-01)."""

    start: date
    end: date
    monthly_fee: int

    def holds(self, day: date) -> bool:
        return self.start <= day <= self.end


@dataclass(frozen=True, slots=True)
class Incidents:
    """What happened. ``as_of`` (ms) ends what is still open."""

    outages: tuple[Outage, ...] = ()
    maintenances: tuple[Maintenance, ...] = ()
    data_losses: tuple[DataLoss, ...] = ()
    security_failures: tuple[SecurityFailure, ...] = ()
    as_of: int | None = None


@dataclass(frozen=True, slots=True)
class CountedMaintenance:
    id: str
    announced: bool
    counted_seconds: int


@dataclass(frozen=True, slots=True)
class Run:
    """A connected stretch of counted and excluded time; ``seconds`` are the counted ones (SLA-AV-04)."""

    span: Interval
    seconds: int
    counted: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Breach:
    """``ref``: the run's start (ms) for availability, else the id of what failed."""

    kind: str
    ref: int | str
    amount: int
    rule: str


@dataclass(frozen=True, slots=True)
class Report:
    maintenances: tuple[CountedMaintenance, ...]
    runs: tuple[Run, ...]
    longest_seconds: int
    target_met: bool
    breaches: tuple[Breach, ...]
    cap: int

    @property
    def total(self) -> int:
        return sum(breach.amount for breach in self.breaches)

    @property
    def credit(self) -> int:
        """CMP-06."""
        return min(self.total, self.cap)


def outage_accounting(month: Month, incidents: Incidents, values: ContractValues = SEED) -> Report:
    """The service level of one billing month. RuleError OPEN_WITHOUT_AS_OF."""
    _check_open(incidents)
    works = [_Work(one, incidents.as_of, values) for one in incidents.maintenances]
    works.sort(key=lambda work: (work.maintenance.actual_start, work.maintenance.id))
    runs = [run for run in _runs(incidents, works) if month.holds(jst_date(run.span.start))]
    longest = max((run.seconds for run in runs), default=0)
    return Report(
        tuple(CountedMaintenance(work.maintenance.id, work.announced, _seconds(work.counted)) for work in works),
        tuple(runs),
        longest,
        longest <= values.availability_target_seconds,
        tuple(_breaches(month, incidents, runs, values)),
        month.monthly_fee * values.credit_cap_months,
    )


def _check_open(incidents: Incidents) -> None:
    still_open = any(one.recovered_at is None for one in incidents.outages) or any(
        one.actual_end is None for one in incidents.maintenances
    )
    if still_open and incidents.as_of is None:
        raise RuleError("OPEN_WITHOUT_AS_OF", "something is still open: say up to when it counts")


# -- maintenance ------------------------------------------------------------------------------------------------------


class _Work:
    """One maintenance: what of it was announced, and what of it counts as a stop (SLA-MNT-01 to 04)."""

    def __init__(self, maintenance: Maintenance, as_of: int | None, values: ContractValues) -> None:
        self.maintenance = maintenance
        start, end = maintenance.actual_start, _end(maintenance.actual_end, as_of)
        own = [Interval(start, end)] if end > start else []
        posts = [post for post in maintenance.announcements if post.channel == values.board_channel and post.at < start]
        self.announced = bool(posts)
        self.excluded: list[Interval] = []
        if posts:
            last = max(posts, key=lambda post: (post.at, post.start, post.end))
            shared = Interval(max(start, last.start), min(end, last.end))
            self.excluded = [shared] if shared.end > shared.start else []
        self.counted = cut(own, self.excluded)


def _end(end: int | None, as_of: int | None) -> int:
    if end is not None:
        return end
    assert as_of is not None
    return as_of


# -- runs -------------------------------------------------------------------------------------------------------------


def _runs(incidents: Incidents, works: Sequence[_Work]) -> list[Run]:
    """SLA-AV-02 to 04: full stops by the provider and unannounced work count; announced work only connects."""
    stops = [
        Interval(one.recognised_at, _end(one.recovered_at, incidents.as_of))
        for one in incidents.outages
        if one.cause is Cause.PROVIDER and one.full_stop
    ]
    excluded = merge(part for work in works for part in work.excluded)
    stops += [part for work in works for part in work.counted]
    counted = cut(merge(stops), excluded)
    runs = []
    for stretch in merge([*counted, *excluded]):
        inside = tuple(part for part in counted if stretch.start <= part.start < stretch.end)
        if inside:
            runs.append(Run(Interval(inside[0].start, inside[-1].end), _seconds(inside), inside))
    return runs


def _seconds(parts: Sequence[Interval]) -> int:
    return sum(part.end - part.start for part in parts) // 1000


# -- breaches ---------------------------------------------------------------------------------------------------------


def _breaches(month: Month, incidents: Incidents, runs: Sequence[Run], values: ContractValues) -> list[Breach]:
    fee = month.monthly_fee
    found = [
        Breach("availability", run.span.start, sla_credit("availability", fee, run.seconds, values=values), "CMP-02")
        for run in runs
        if run.seconds > values.availability_breach_seconds
    ]
    case = sla_credit("outage_notice", fee, values=values)
    found += [
        Breach("outage_notice", ref, case, "CMP-04")
        for outage in sorted(incidents.outages, key=lambda one: (one.recognised_at, one.id))
        if month.holds(jst_date(outage.recognised_at))
        for ref in _missed_notices(outage, incidents.as_of, values)
    ]
    losses = sorted(incidents.data_losses, key=lambda one: (one.established_on, one.id))
    found += [
        Breach("data_loss", loss.id, sla_credit("data_loss", fee, values=values), "CMP-03")
        for loss in losses
        if month.holds(loss.established_on)
        and loss.registered_normally
        and not loss.recovered
        and loss.cause is Cause.PROVIDER
    ]
    failures = sorted(incidents.security_failures, key=lambda one: (one.on, one.id))
    found += [
        Breach("security", failure.id, sla_credit("security", fee, values=values), "CMP-05")
        for failure in failures
        if month.holds(failure.on) and failure.cause is Cause.PROVIDER
    ]
    return found


def _missed_notices(outage: Outage, as_of: int | None, values: ContractValues) -> list[str]:
    """SLA-ON-01 to 03: the notices of a long full stop that were not given within the hour."""
    limit = values.notice_limit_seconds * 1000
    length = _end(outage.recovered_at, as_of) - outage.recognised_at
    if not needs_notices(outage.full_stop, outage.cause, length, values):
        return []

    def given(what: str, earliest: int | None, latest: int) -> bool:
        return any(
            one.what == what
            and one.channel in values.outage_channels
            and one.at <= latest
            and (earliest is None or one.at >= earliest)
            for one in outage.notices
        )

    missed = []
    if not given("occurrence", None, outage.recognised_at + limit):
        missed.append(f"{outage.id}:occurrence")
    if outage.recovered_at is not None and not given("recovery", outage.recovered_at, outage.recovered_at + limit):
        pending = as_of is not None and as_of <= outage.recovered_at + limit
        if not pending:
            missed.append(f"{outage.id}:recovery")
    return missed


def needs_notices(full_stop: bool, cause: Cause, length: int | None, values: ContractValues = SEED) -> bool:
    """SLA-ON-02 (D-69): a full stop of over 60 minutes that is not the fault of the customer. ``length`` in ms,
    maintenance not cut out; None: it is not known yet, so that the notices are due."""
    if not full_stop or cause is Cause.CUSTOMER:
        return False
    return length is None or length // 1000 > values.notice_min_stop_seconds


# -- credits and claims -----------------------------------------------------------------------------------------------


def sla_credit(
    kind: str, monthly_fee: int, stop_seconds: int = 0, cases: int = 1, values: ContractValues = SEED
) -> int:
    """JPY before the monthly cap (CMP-02 to CMP-05), cut once. RuleError CREDIT_KIND_UNKNOWN."""
    divisor = values.credit_divisor_days
    if kind == "availability":
        counts = stop_seconds > values.availability_breach_seconds
        return monthly_fee * stop_seconds // (divisor * 86_400) if counts else 0
    if kind == "data_loss":
        return monthly_fee * values.credit_data_loss_months
    if kind in ("outage_notice", "security"):
        return monthly_fee // divisor * cases
    raise RuleError("CREDIT_KIND_UNKNOWN", f"there is no credit for {kind!r}")


def last_claim_day(ended: date, values: ContractValues = SEED) -> date:
    """CMP-07 (D-75): from the next day, three months by the Civil Code: the eve of the corresponding day, or the
    last day of the month where there is none."""
    first = ended + timedelta(days=1)
    months = first.year * 12 + first.month - 1 + values.claim_months
    year, month = divmod(months, 12)
    try:
        return date(year, month + 1, first.day) - timedelta(days=1)
    except ValueError:
        return date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1) - timedelta(days=1)
