"""Claims for compensation as their acts tell them (RULES CMP-07, CMP-08): a pure fold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum

from gateway.domain.acts import Act
from gateway.domain.calendar import parse_time

CLAIM = "claim:"
KINDS = ("availability", "outage_notice", "data_loss", "security")
"""What is compensated (CMP-02 to CMP-05)."""


class ClaimState(StrEnum):
    FILED = "filed"
    GRANTED = "granted"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class ClaimedItem:
    """A non-performance: what kind, and which one: an incident or, for availability, the start of a run in JST, which
    lasted ``until``."""

    kind: str
    ref: str
    until: str = ""

    def is_same(self, other: ClaimedItem) -> bool:
        """Whether both are about the same; of a run also when a correction has moved its start or end since."""
        if self.kind != other.kind:
            return False
        if not (self.until and other.until):
            return self.ref == other.ref
        return parse_time(self.ref) < parse_time(other.until) and parse_time(other.ref) < parse_time(self.until)


@dataclass(frozen=True, slots=True)
class Claim:
    """``period`` is the first day of the billing month; ``kinds`` and ``refs`` narrow what is claimed of it, none is
    everything. ``claimed_on`` is the JST day on which the provider received it."""

    id: str
    contract: str
    period: date
    claimed_on: date
    statement: str
    state: ClaimState = ClaimState.FILED
    kinds: tuple[str, ...] = ()
    refs: tuple[str, ...] = ()
    amount: int = 0
    accepted_on: date | None = None
    rule: str = ""
    reason: str = ""
    items: tuple[ClaimedItem, ...] = ()

    def covers(self, item: ClaimedItem) -> bool:
        return (not self.kinds or item.kind in self.kinds) and (not self.refs or item.ref in self.refs)


@dataclass(frozen=True)
class ClaimLog:
    """All claims ever, by id."""

    all: Mapping[str, Claim] = field(default_factory=dict)

    def after(self, act: Act) -> ClaimLog:
        """The claims after one more act; other acts change nothing."""
        if not act.subject.startswith(CLAIM):
            return self
        name, data = act.subject.removeprefix(CLAIM), act.data
        if act.kind == "claim.filed":
            new = Claim(
                id=name,
                contract=data["contract"],
                period=date.fromisoformat(data["period"]),
                claimed_on=date.fromisoformat(data["claimed_on"]),
                statement=data["statement"],
                kinds=tuple(data["kinds"]),
                refs=tuple(data["refs"]),
            )
        elif act.kind == "claim.granted":
            new = replace(
                self.all[name],
                state=ClaimState.GRANTED,
                amount=data["amount"],
                accepted_on=date.fromisoformat(data["accepted_on"]),
                rule=data["rule"],
                reason=data.get("reason", ""),
                items=tuple(ClaimedItem(one["kind"], one["ref"], one["until"]) for one in data["figures"]["items"]),
            )
        elif act.kind == "claim.rejected":
            new = replace(self.all[name], state=ClaimState.REJECTED, rule=act.rule, reason=data["reason"])
        else:
            return self
        return replace(self, all={**self.all, name: new})

    def next_id(self) -> str:
        return f"CLM-{len(self.all) + 1}"

    def of_contract(self, contract: str, period: date | None = None) -> list[Claim]:
        return [
            one for one in self.all.values() if one.contract == contract and (period is None or one.period == period)
        ]

    def granted(self, contract: str, period: date | None = None) -> list[Claim]:
        return [one for one in self.of_contract(contract, period) if one.state is ClaimState.GRANTED]

    def is_paid(self, contract: str, item: ClaimedItem) -> bool:
        """Whether this was compensated already, in whichever period it was counted then."""
        return any(item.is_same(paid) for one in self.granted(contract) for paid in one.items)


def log_of(acts: Iterable[Act]) -> ClaimLog:
    """The claims after these acts, in their order."""
    log = ClaimLog()
    for act in acts:
        log = log.after(act)
    return log
