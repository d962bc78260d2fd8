"""The gateway's own checks as incidents: drafts for the operator to confirm, or, where that is configured, recognised
at once (SLA-AV-02: an outage counts from its recognition, which is a human or a configured act).

Virus definitions beyond their age are no draft: what is proper is the policy's to say (SLA-SC-01, D-71). An
interruption is none either: opening it was an act, and the right to interrupt does not make its time uncounted (D-36).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.contract.incidents import IncidentKind
from gateway.domain.contract.windows import INTERRUPTION, ServiceWindow, Windows
from gateway.domain.errors import KuradoError
from gateway.hooks import EXTERNAL, HealthFact
from gateway.service.health import CLOCK_SEEN, ERROR, Health
from gateway.service.incidents import Finding, Incidents, Scope
from gateway.service.unit_of_work import Database

GATES = "gates"
DEFINITIONS = "virus_definitions_age_seconds"
DOWN = "gateway.down"
_STALE_MS = 120_000
"""Facts that nobody renewed for so long say nothing."""

_ROUND_MS = 30_000
"""What a round of health checks may take at most, give or take."""

log = logging.getLogger("kurado.incidents")


@dataclass(frozen=True, slots=True)
class Watched:
    """What it means when a health fact turns to error. ``component`` empty: nothing is served."""

    summary: str
    component: str = ""
    measured: bool = False
    """Whether an error without a figure is the error of something else (no folder to look at)."""


WATCHED: dict[str, Watched] = {
    "database": Watched("the database does not answer or cannot be written"),
    "storage": Watched("the storage cannot be used"),
    GATES: Watched("no gate serves"),
    "virus_scanner_reachable": Watched("no upload can be scanned", "registration"),
    "disk": Watched("no room for uploads", "registration", measured=True),
}
"""Health fact → what its error means for the service."""


def _third_party(fact: str) -> Watched:
    """What fails at a service of others on which a part of this one runs is a fault of that part, the provider's until
    evidence says otherwise (EXT-01, EXT-02, D-58)."""
    name = fact.removeprefix(EXTERNAL)
    return Watched(f"the service of another company does not work, {name}", name)


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """``automatic``: the checks' own findings count as recognised, and as recovered when they end. ``after_ms``: how
    long something must last to be a finding."""

    automatic: bool = False
    after_ms: int = 60_000


class Watch:
    def __init__(
        self,
        db: Database,
        clock: Callable[[], int],
        health: Health,
        incidents: Incidents,
        settings: WatchSettings = WatchSettings(),
        windows: Callable[[], Windows] = Windows,
    ) -> None:
        self._db = db
        self._clock = clock
        self._health = health
        self._incidents = incidents
        self._settings = settings
        self._windows = windows
        self._bad_since: dict[str, int] = {}
        self._gap: tuple[int, int] | None = None

    def look_back(self) -> None:
        """Before the first round: whether nobody was at work for a while."""
        try:
            seen = int(self._db.read(lambda tx: tx.system.get_meta(CLOCK_SEEN)) or 0)
        except KuradoError:
            return  # whoever cannot read cannot tell
        now = self._clock()
        if seen and now - seen > self._settings.after_ms + _ROUND_MS:
            self._gap = (seen, now)

    def run(self) -> bool:
        """One round. What is found again is the same incident for as long as it lasts."""
        self._draft_gap()
        facts = self._facts()
        parts = {name: _third_party(name) for name in facts if name.startswith(EXTERNAL)}
        for name, watched in (WATCHED | parts).items():
            fact = facts.get(name)
            if fact is not None and not (watched.measured and fact[0].value is None):
                self._judge(name, fact[1], fact[0].level == ERROR, self._finding(name, watched, fact[0]))
        self._judge_definitions(facts.get(DEFINITIONS))
        for window in self._windows().interruptions.values():
            self._count_interruption(window)
        return False

    def _facts(self) -> dict[str, tuple[HealthFact, int]]:
        now = self._clock()
        facts = {fact.name: (fact, at) for fact, at in self._health.stored() if abs(now - at) <= _STALE_MS}
        gates = self._db.read(lambda tx: sum(lease.role == "gate" for lease in tx.leases.live(now)))
        facts[GATES] = HealthFact(GATES, "ok" if gates else ERROR, f"{gates} gates serve"), now
        return facts

    def _finding(self, name: str, watched: Watched, fact: HealthFact) -> Finding:
        components = [watched.component] if watched.component else None
        summary = f"{watched.summary}: {fact.message}"
        since = self._bad_since.get(name)
        return Finding(IncidentKind.OUTAGE, summary, Scope(components=components), since, source=name)

    def _judge(self, name: str, at: int, bad: bool, finding: Finding) -> None:
        if not bad:
            self._bad_since.pop(name, None)
            self._well_again(name, at, recovers=self._settings.automatic)
            return
        since = self._bad_since.setdefault(name, at)
        if self._clock() - since < self._settings.after_ms or self._is_known(name):
            return
        made = self._incidents.began(finding, self._clock() if self._settings.automatic else None)
        if made is not None:
            log.warning("incident", extra={"incident": made.id, "state": str(made.state), "what": made.summary})

    def _judge_definitions(self, found: tuple[HealthFact, int] | None) -> None:
        """A fact without an age says only that the scanner is not heard."""
        if found is None or found[0].value is None:
            return
        fact, at = found
        if fact.level != ERROR:
            self._well_again(DEFINITIONS, at, recovers=True)
        elif not self._is_known(DEFINITIONS):
            scope = Scope(components=["virus definitions"], full_stop=False)
            self._incidents.began(Finding(IncidentKind.SECURITY, fact.message, scope, at, source=DEFINITIONS), at)

    def _count_interruption(self, window: ServiceWindow) -> None:
        now, source = self._clock(), INTERRUPTION + window.id
        if window.start > now or (window.end is not None and window.end <= window.start):
            return
        if self._incidents.log().last_of(source) is None:
            summary = f"interruption {window.id}: {window.ground}, {window.reason}"
            scope = Scope(tenants=sorted(window.tenants), full_stop=True)
            finding = Finding(IncidentKind.OUTAGE, summary, scope, window.start, source=source)
            self._incidents.began(finding, window.start)
        if window.end is not None and window.end <= now:
            self._well_again(source, window.end, recovers=True)

    def _is_known(self, source: str) -> bool:
        last = self._incidents.log().last_of(source)
        return last is not None and last.ended_at is None

    def _well_again(self, source: str, at: int, *, recovers: bool) -> None:
        if self._is_known(source):
            self._incidents.over(source, at, recovers=recovers)

    def _draft_gap(self) -> None:
        if self._gap is None:
            return
        seen, back = self._gap
        summary = f"nobody was at work for {(back - seen) // 1000} s: the gateway was down, or its clock was set"
        self._incidents.began(Finding(IncidentKind.OUTAGE, summary, observed_at=seen, source=DOWN), None)
        self._incidents.over(DOWN, back, recovers=False)
        self._gap = None
