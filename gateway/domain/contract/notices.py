"""Deadlines, the effect of notices, and revisions of the terms (RULES P-3, P-4, NTC, REV)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from gateway.domain.contract.values import SEED, ContractValues, RuleError

BY_SENDING = frozenset(
    [
        "suspension",
        "maintenance",
        "outage",
        "recovery",
        "terms_revision",
        "service_transfer",
        "payment_demand",
        "invoice",
        "information",
    ]
)
"""NTC-02: deemed to have arrived when sent."""

BY_ARRIVAL = frozenset(
    [
        "start_notice",
        "start_day_approval",
        "plan_change_approval",
        "service_condition_change",
        "discontinuation",
        "nonrenewal",
        "termination",
        "correction_demand",
    ]
)
"""NTC-03 (D-46): they create, change or end the usage, or start a clock on receipt."""

CARRIERS = frozenset(("email", "reseller", "referral", "document"))


def notice_days(kind: str, values: ContractValues = SEED) -> int:
    """Days of notice that an act needs. RuleError NOTICE_KIND_UNKNOWN."""
    days = {
        "cancel": values.cancel_notice_days,
        "downgrade": values.downgrade_notice_days,
        "change": values.change_notice_days,
        "nonrenewal": values.nonrenewal_notice_days,
        "discontinue": values.discontinue_notice_days,
    }
    if kind not in days:
        raise RuleError("NOTICE_KIND_UNKNOWN", f"there is no notice of the kind {kind!r}")
    return days[kind]


def notice_deadline(kind: str, event: date, values: ContractValues = SEED) -> date:
    """The last JST day on which the notice may be received (P-3, D-01)."""
    return event - timedelta(days=notice_days(kind, values))


def earliest_event(kind: str, received: date, values: ContractValues = SEED) -> date:
    """The first event date that a notice received on a day is in time for."""
    return received + timedelta(days=notice_days(kind, values))


@dataclass(frozen=True, slots=True)
class Effect:
    """``rule``: sending or arrival; ``at`` in ms UTC, None while the notice is not effective."""

    rule: str
    at: int | None


def notice_effect(
    kind: str,
    sent_at: int | None,
    arrived_at: int | None,
    *,
    via: str = "email",
    written_agreement: bool = False,
    registered_address: bool = True,
) -> Effect:
    """When a notice takes effect (NTC-02 to NTC-04). RuleError NOTICE_KIND_UNKNOWN, NOTICE_CHANNEL_UNKNOWN."""
    if kind not in BY_SENDING | BY_ARRIVAL:
        raise RuleError("NOTICE_KIND_UNKNOWN", f"there is no notice of the kind {kind!r}")
    if via not in CARRIERS:
        raise RuleError("NOTICE_CHANNEL_UNKNOWN", f"there is no carrier {via!r}")
    other_way = via != "email" or written_agreement or not registered_address
    if kind in BY_ARRIVAL or other_way:
        return Effect("arrival", arrived_at)
    return Effect("sending", sent_at)


@dataclass(frozen=True, slots=True)
class Revision:
    """A version of the terms. ``told`` is the JST day on which the notice took effect, None if it never did."""

    version: str
    effective_on: date
    told: date | None
    original: bool = False

    @property
    def in_force_from(self) -> date | None:
        """REV-01, REV-02 (D-54): not before the day after the notice."""
        if self.original:
            return self.effective_on
        return max(self.effective_on, self.told + timedelta(days=1)) if self.told else None


def terms_in_force(revisions: Sequence[Revision], on: date) -> tuple[Revision, date]:
    """The version in force on a day, and since when; on a tie the later listed. RuleError NO_TERMS_IN_FORCE."""
    found: tuple[Revision, date] | None = None
    for revision in revisions:
        since = revision.in_force_from
        if since is not None and since <= on and (found is None or since >= found[1]):
            found = revision, since
    if found is None:
        raise RuleError("NO_TERMS_IN_FORCE", f"no terms were in force on {on}")
    return found
