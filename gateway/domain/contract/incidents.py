"""Incidents as their acts tell them (RULES SLA-AV, SLA-DP, SLA-SC, SLA-ON, LIA-02): a pure fold.

An outage counts from its recognition on, and recognising is an act: what the gateway's own checks observe is a draft,
which counts for nothing until somebody confirms it. Whatever was recorded wrongly is put right by a further act.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from gateway.domain.acts import Act
from gateway.domain.contract.sla import Cause, needs_notices
from gateway.domain.contract.values import SEED, ContractValues

INCIDENT = "incident:"
OCCURRENCE, RECOVERY = "occurrence", "recovery"
NOTICES = (OCCURRENCE, RECOVERY, "cause")
CHANNELS = ("status_site", "email", "system_information")

LIA_ITEMS: Mapping[Cause, tuple[int, ...]] = {
    Cause.PROVIDER: (),
    Cause.CUSTOMER: (1, 2),
    Cause.NO_FAULT: (3, 4, 6),
    Cause.CARRIER: (4, 5),
    Cause.FORCE_MAJEURE: (5,),
}
"""Which items of §13(2) a cause can rest on (LIA-02). ``provider`` is none of them."""


class IncidentKind(StrEnum):
    OUTAGE = "outage"
    DATA_LOSS = "data_loss"
    SECURITY = "security"
    BACKUP = "backup"
    """JST days without a complete, verified backup (SLA-DP-02, D-59)."""


RULES = {
    IncidentKind.OUTAGE: "SLA-AV-02",
    IncidentKind.DATA_LOSS: "SLA-DP-04",
    IncidentKind.SECURITY: "SLA-SC-02",
    IncidentKind.BACKUP: "SLA-DP-02",
}
"""The rule under which each kind is an incident at all."""


class IncidentState(StrEnum):
    DRAFT = "draft"
    DISMISSED = "dismissed"
    OPEN = "open"
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True)
class Notified:
    """A notice that was given. ``tenants`` empty: to all that the incident concerns."""

    what: str
    channel: str
    at: int
    tenants: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Incident:
    """``observed_at`` and ``ended_at`` are what the gateway's checks saw, ``recognised_at`` and ``recovered_at`` what
    counts. ``tenants`` empty: all of them. ``source`` is the health fact that it was drafted from."""

    id: str
    kind: IncidentKind
    state: IncidentState
    summary: str
    observed_at: int | None = None
    ended_at: int | None = None
    recognised_at: int | None = None
    recovered_at: int | None = None
    tenants: frozenset[int] = frozenset()
    components: tuple[str, ...] = ()
    full_stop: bool = True
    normally_registered: bool = True
    """Of lost data: whether its registration was complete (SLA-DP-01)."""

    cause: Cause = Cause.PROVIDER
    item: int | None = None
    cause_known: bool = False
    cause_text: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[Notified, ...] = ()
    missed: tuple[str, ...] = ()
    """What of it was not notified in time."""

    source: str = ""
    days: tuple[str, str] | None = None
    """Of a missing backup: the first and the last day without one, ISO."""

    updated_at: int = 0

    def concerns(self, tenant_id: int) -> bool:
        return not self.tenants or tenant_id in self.tenants

    @property
    def is_recognised(self) -> bool:
        return self.state in (IncidentState.OPEN, IncidentState.RECOVERED)

    @property
    def is_standing(self) -> bool:
        """Whether somebody still has to do something about it."""
        return self.state in (IncidentState.DRAFT, IncidentState.OPEN)

    def excluded_by(self) -> str | None:
        """The rule by which it is no non-performance of the provider; None when it counts."""
        if not self.is_recognised:
            return "SLA-AV-02"
        if self.cause is not Cause.PROVIDER:
            return _EXCLUDED[self.kind]
        if self.kind is IncidentKind.OUTAGE and not self.full_stop:
            return "SLA-AV-02"
        lost = self.kind is IncidentKind.DATA_LOSS
        if lost and not self.normally_registered:
            return "SLA-DP-01"
        return "SLA-DP-03" if lost and self.recovered_at is not None else None

    def given(self, what: str) -> int | None:
        """When a notice was first given to all on a channel, whichever."""
        return min((one.at for one in self.notices if one.what == what), default=None)


_EXCLUDED = {
    IncidentKind.OUTAGE: "SLA-AV-03",
    IncidentKind.DATA_LOSS: "SLA-DP-03",
    IncidentKind.SECURITY: "SLA-SC-01",
    IncidentKind.BACKUP: "SLA-DP-03",
}


# -- deadlines of notices ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NoticeDue:
    """A notice of SLA-ON-01 that was not given in time yet: ``since`` recognition or recovery, ``due`` in ms."""

    incident: str
    what: str
    since: int
    due: int


def notices_due(incident: Incident, now: int, values: ContractValues = SEED) -> list[NoticeDue]:
    """The notices that an incident still needs. Since its length is unknown beforehand, every open full stop needs one
    of its occurrence (SLA-ON-02); once it is over without having been long enough, none at all."""
    begun, over = incident.recognised_at, incident.recovered_at
    if incident.kind is not IncidentKind.OUTAGE or not incident.is_recognised or begun is None:
        return []
    if not needs_notices(incident.full_stop, incident.cause, None if over is None else over - begun, values):
        return []
    limit = values.notice_limit_seconds * 1000
    due = []
    if not _was_given(incident, OCCURRENCE, None, values):
        due.append(NoticeDue(incident.id, OCCURRENCE, begun, begun + limit))
    if over is not None and over <= now and not _was_given(incident, RECOVERY, over, values):
        due.append(NoticeDue(incident.id, RECOVERY, over, over + limit))
    return due


def _was_given(incident: Incident, what: str, earliest: int | None, values: ContractValues) -> bool:
    return any(
        one.what == what and one.channel in values.outage_channels and (earliest is None or one.at >= earliest)
        for one in incident.notices
        # a mail to some reaches only these
        if not one.tenants or (incident.tenants and incident.tenants <= one.tenants)
    )


# -- the fold ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class IncidentLog:
    """All incidents ever, by id."""

    all: Mapping[str, Incident] = field(default_factory=dict)

    def after(self, act: Act) -> IncidentLog:
        """The incidents after one more act; other acts change nothing."""
        if not act.subject.startswith(INCIDENT):
            return self
        name = act.subject.removeprefix(INCIDENT)
        step = _STEPS.get(act.kind)
        old = self.all.get(name)
        if act.kind in ("incident.drafted", "incident.recognised") and old is None:
            return replace(self, all={**self.all, name: _made(name, act)})
        if step is None or old is None:
            return self
        new = step(old, act)
        return replace(self, all={**self.all, name: replace(new, updated_at=act.at)})

    def next_id(self) -> str:
        return f"INC-{len(self.all) + 1}"

    def last_of(self, source: str) -> Incident | None:
        """The newest incident that was drafted from a health fact."""
        return next((one for one in reversed(list(self.all.values())) if one.source == source), None)

    def of_tenant(self, tenant_id: int) -> list[Incident]:
        return [one for one in self.all.values() if one.concerns(tenant_id)]


def log_of(acts: Iterable[Act]) -> IncidentLog:
    """The incidents after these acts, in their order."""
    log = IncidentLog()
    for act in acts:
        log = log.after(act)
    return log


def _made(name: str, act: Act) -> Incident:
    data = act.data
    days = data.get("days")
    incident = Incident(
        id=name,
        kind=IncidentKind(data.get("kind", "outage")),
        state=IncidentState.DRAFT,
        summary=data.get("summary", ""),
        observed_at=data.get("observed_at"),
        tenants=frozenset(data.get("tenants", ())),
        components=tuple(data.get("components", ())),
        full_stop=data.get("full_stop", True),
        normally_registered=data.get("normally_registered", True),
        source=data.get("source", ""),
        days=(days[0], days[1]) if days else None,
        updated_at=act.at,
    )
    return _recognised(incident, act) if act.kind == "incident.recognised" else incident


def _recognised(incident: Incident, act: Act) -> Incident:
    return replace(
        _corrected(incident, act),
        state=IncidentState.OPEN,
        recognised_at=act.data["recognised_at"],
        recovered_at=None,
    )


def _corrected(incident: Incident, act: Act) -> Incident:
    """Takes over what the act says anew; what it does not name stays."""
    data = act.data
    return replace(
        incident,
        summary=data.get("summary", incident.summary),
        recognised_at=data.get("recognised_at", incident.recognised_at),
        tenants=frozenset(data.get("tenants", incident.tenants)),
        components=tuple(data.get("components", incident.components)),
        full_stop=data.get("full_stop", incident.full_stop),
    )


def _notified(incident: Incident, act: Act) -> Incident:
    data = act.data
    notice = Notified(data["what"], data["channel"], data["at"], frozenset(data.get("tenants", ())))
    return replace(incident, notices=(*incident.notices, notice))


def _recovered(incident: Incident, act: Act) -> Incident:
    return replace(incident, state=IncidentState.RECOVERED, recovered_at=act.data["recovered_at"])


def _caused(incident: Incident, act: Act) -> Incident:
    data = act.data
    return replace(
        incident,
        cause=Cause(data["cause"]),
        item=data.get("item"),
        cause_known=True,
        cause_text=dict(data.get("cause_text") or {}),
    )


_STEPS: Mapping[str, Callable[[Incident, Act], Incident]] = {
    "incident.recognised": _recognised,
    "incident.dismissed": lambda incident, _: replace(incident, state=IncidentState.DISMISSED),
    "incident.notified": _notified,
    "incident.recovered": _recovered,
    "incident.cause_reported": _caused,
    "incident.corrected": _corrected,
    "incident.notice_missed": lambda incident, act: replace(incident, missed=(*incident.missed, act.data["what"])),
    "incident.ended": lambda incident, act: replace(incident, ended_at=act.data["ended_at"]),
}
