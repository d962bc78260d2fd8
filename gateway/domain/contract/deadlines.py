"""What an operator has to look at: the next deadline of a term (TERM-08), and what waits for somebody (TERM-05)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from gateway.domain.calendar import jst_date
from gateway.domain.contract.ending import Outcome
from gateway.domain.contract.records import Contract, Phase
from gateway.domain.contract.term import State
from gateway.domain.contract.values import ContractValues


@dataclass(frozen=True, slots=True)
class Deadline:
    """``kind``: nonrenewal (until ``by`` an offer counts), or renewal_application of a referral contract.
    ``last_day`` of the term."""

    kind: str
    by: date
    last_day: date


@dataclass(frozen=True, slots=True)
class Task:
    """Something that waits. ``by`` None: no day is set for it."""

    contract: str
    what: str
    rule: str
    by: date | None = None


def next_deadline(contract: Contract, on: date, values: ContractValues) -> Deadline | None:
    """The deadline of the running term, while its renewal is still open on that day."""
    terms = contract.terms(values)
    if terms is None or on < terms.calendar.start_date or contract.is_ending(on, values):
        return None
    status = terms.status(on, contract.offers, contract.applications)
    if status.state is not State.ACTIVE or status.will_renew is not None:
        return None
    term = status.term
    if term.renewal_application_by is not None:
        return Deadline("renewal_application", term.renewal_application_by, term.last_day)
    assert term.nonrenewal_deadline is not None, "one of both is set"
    return Deadline("nonrenewal", term.nonrenewal_deadline, term.last_day)


def tasks(contract: Contract, now: int, values: ContractValues) -> Iterator[Task]:
    """What waits for a person of the provider."""
    today, name = jst_date(now), contract.name
    if contract.phase in (Phase.APPLIED, Phase.UNDER_REVIEW):
        yield Task(name, "the application waits for a decision", "APP-03")
    elif contract.phase is Phase.ACCEPTED:
        yield Task(name, "tenant, space and first account are to be registered", "APP-04")
    elif contract.phase is Phase.REGISTERED:
        yield Task(name, "the start notice is to be sent", "APP-05")
    elif contract.phase is Phase.NOTIFIED and contract.notice_arrived_at is None:
        yield Task(name, "the start notice has not arrived: nobody gets in", "NTC-03", contract.named_start)
    if contract.state(now, values) not in ("active", "suspended"):
        return
    yield from _of_the_term(contract, today, values)
    if contract.stop_requested_by:
        yield Task(name, f"{contract.stop_requested_by} asked for a stop: another person decides", "ANT-01")
    leaving = contract.cancelled(today, values)
    if leaving is not None and leaving.outcome is Outcome.AWAITING_PAYMENT:
        yield Task(
            name, f"{leaving.lump_sum} JPY are to be paid, or the cancellation lapses", "END-04", leaving.lump_sum_due
        )
    for demand in contract.demands:
        if demand.cured is None:
            yield Task(name, f"demand {demand.id} on {demand.ground} is not met", "END-05")


def _of_the_term(contract: Contract, today: date, values: ContractValues) -> Iterator[Task]:
    deadline = next_deadline(contract, today, values)
    if deadline is not None and (deadline.by - today).days <= max(values.reminder_lead_days, default=0):
        kind = "an offer against renewal" if deadline.kind == "nonrenewal" else "a renewal application"
        yield Task(
            contract.name, f"the term ends on {deadline.last_day}: until when {kind} counts", "TERM-08", deadline.by
        )
    last = contract.last_day(today, values)
    if contract.offers and last is not None and not contract.is_ending(today, values):
        what = "an offer stops the renewal: the contract ends unless a new agreement is recorded"
        yield Task(contract.name, what, "TERM-05", last)
