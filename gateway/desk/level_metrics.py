"""What of ``/metrics`` is about the service level: incidents, notices that fall due, claims, backups."""

from __future__ import annotations

from collections import Counter

from gateway.desk.families import Family
from gateway.domain.calendar import jst_date
from gateway.domain.contract.claims import ClaimState
from gateway.domain.contract.incidents import IncidentState
from gateway.service.services import Services


def families(services: Services) -> list[Family]:
    """From the acts as they are now."""
    incidents = Family("kurado_incidents", "gauge", "Incidents by state.")
    states = Counter(one.state for one in services.incidents.log().all.values())
    for state in IncidentState:
        incidents.add(states[state], state=str(state))
    due = Family("kurado_notice_due_seconds", "gauge", "Until a notice of an incident is due; negative: missed.")
    now = services.clock()
    for one in services.deadlines.notices():
        due.add((one.due.due - now) / 1000, incident=one.due.incident, notice=one.due.what)
    waiting = Family("kurado_claims_waiting", "gauge", "Claims that wait for a decision.")
    waiting.add(sum(one.state is ClaimState.FILED for one in services.claims.log().all.values()))
    attested = Family("kurado_backups_attested", "gauge", "Customers whose backup is attested for today (JST).")
    attested.add(len(services.attests.log().attested(jst_date(now))))
    return [incidents, due, waiting, attested]
