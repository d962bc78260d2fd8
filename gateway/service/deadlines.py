"""What the service level has waiting for somebody, as alarms: drafts, recoveries to be noted, notices that fall due
(SLA-ON-01), claims to be decided. A notice that was missed is an act as well."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

from gateway.domain.calendar import DAY_MS, format_jst, jst_date
from gateway.domain.contract.claims import ClaimState
from gateway.domain.contract.incidents import Incident, IncidentState, NoticeDue, notices_due
from gateway.domain.contract.records import Contract
from gateway.domain.contract.values import ContractValues
from gateway.service.claims import Claims
from gateway.service.incidents import Incidents
from gateway.service.unit_of_work import Database, Tx

NOTICE, DRAFT, OVER, CLAIM = "sla-notice", "incident-draft", "incident-over", "claim-waiting"
KINDS = (NOTICE, DRAFT, OVER, CLAIM)
STAGES = ((1, 2), (3, 4))
"""At which parts of the time an alarm is raised, and raised anew: of an hour at 30 and at 45 minutes."""

_FORGOTTEN_MS = 7 * DAY_MS
"""A notice that was missed so long ago alarms nobody any more; the record of it stays."""

log = logging.getLogger("kurado.deadlines")


@dataclass(frozen=True, slots=True)
class Deadline:
    """A notice that is due. ``stage``: how many of the warnings are over, one more when it is missed."""

    due: NoticeDue
    stage: int
    is_missed: bool


class Deadlines:
    """``values_of`` gives the constants of the terms for a contract (None: anybody) on a day."""

    def __init__(
        self,
        db: Database,
        clock: Callable[[], int],
        incidents: Incidents,
        claims: Claims,
        values_of: Callable[[Contract | None, date], ContractValues],
    ) -> None:
        self._db = db
        self._clock = clock
        self._incidents = incidents
        self._claims = claims
        self._values_of = values_of

    def notices(self) -> list[Deadline]:
        """All notices of incidents that are due or were missed lately, the most urgent first."""
        now = self._clock()
        values = self._values_of(None, jst_date(now))
        found = [
            _deadline(due, now)
            for one in self._incidents.log().all.values()
            for due in notices_due(one, now, values)
            if now - due.due < _FORGOTTEN_MS
        ]
        return sorted(found, key=lambda one: one.due.due)

    def run(self) -> bool:
        """Raises and clears the alarms, and records the notices that were missed. For the steward."""
        deadlines = self.notices()
        wanted = dict(self._wanted(deadlines))
        standing = {
            (one.kind, one.subject): one.message
            for one in self._db.read(lambda tx: tx.system.alarms())
            if one.kind in KINDS
        }
        changes: dict[tuple[str, str], str | None] = {
            key: text for key, text in wanted.items() if standing.get(key) != text
        }
        changes |= dict.fromkeys(standing.keys() - wanted.keys())
        if changes:
            self._alarm(changes)
        for one in deadlines:
            if one.is_missed:
                self._incidents.missed(one.due.incident, one.due.what, one.due.due)
        return False

    def _alarm(self, changes: dict[tuple[str, str], str | None]) -> None:
        now = self._clock()

        def put(tx: Tx) -> None:
            for (kind, subject), text in changes.items():
                tx.system.alarm(kind, subject, text, now)

        self._db.write(put).result()
        for (kind, subject), text in changes.items():
            if text:
                log.warning("deadline", extra={"kind": kind, "subject": subject, "text": text})

    def _wanted(self, deadlines: list[Deadline]) -> Iterator[tuple[tuple[str, str], str]]:
        for one in deadlines:
            if one.stage:
                yield (NOTICE, f"{one.due.incident}:{one.due.what}"), _notice_text(one)
        for incident in self._incidents.log().all.values():
            if incident.state is IncidentState.DRAFT:
                yield (DRAFT, incident.id), f"to be confirmed or dismissed: {incident.summary}"
            elif incident.state is IncidentState.OPEN and incident.ended_at is not None:
                yield (OVER, incident.id), _over_text(incident, incident.ended_at)
        for claim in self._claims.log().all.values():
            if claim.state is ClaimState.FILED:
                yield (CLAIM, claim.id), f"{claim.contract} claims for {claim.period} since {claim.claimed_on}"


def _deadline(due: NoticeDue, now: int) -> Deadline:
    spent, limit = now - due.since, due.due - due.since
    stage = sum(spent * whole >= limit * part for part, whole in STAGES)
    return Deadline(due, stage + (now > due.due), now > due.due)


def _notice_text(one: Deadline) -> str:
    what, until = one.due.what, format_jst(one.due.due)
    if one.is_missed:
        return f"the {what} notice was not given by {until} (SLA-ON-01)"
    minutes = (one.due.due - one.due.since) // 60_000
    part, whole = STAGES[one.stage - 1]
    return f"the {what} notice is due by {until}: {minutes * part // whole} of {minutes} minutes are over (SLA-ON-01)"


def _over_text(incident: Incident, ended_at: int) -> str:
    return f"seems over since {format_jst(ended_at)}: kurado incident recover {incident.id}"
