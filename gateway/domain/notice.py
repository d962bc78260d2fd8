"""A notice as its acts tell it (RULES NTC-01 to NTC-05): queued, sent, arrived, bounced, withdrawn; and its effect.

The text is not in the acts: it is rendered from the kind, the parameters and the version of the customer's data that
they name; the digest of what was sent, and the templates it was made from, are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date
from gateway.domain.contract.notices import Effect, notice_effect
from gateway.domain.notice_kinds import KINDS

PREFIX = "notice:"
OPERATORS = "@operators"
"""In the place of a contract: a message to the provider's own people. ``@`` is in no contract's name."""


@dataclass(frozen=True, slots=True)
class Notice:
    """``contract``: whom it is for. ``customer``: digest of the version of the customer's data with the address it goes
    to. ``cause``: seq of the act that it tells of, 0 for none. Times in ms UTC; ``sent_at`` is the first sending, and
    ``round`` grows with every further one. ``is_waiting``: it is still to be sent."""

    id: str
    kind: str
    contract: str
    tenant_id: int
    rule: str
    language: str
    customer: str
    params: Mapping[str, Any]
    cause: int
    queued_at: int
    via: str = "email"
    round: int = 1
    sent_at: int | None = None
    message_id: str = ""
    text: str = ""
    body: str = ""
    arrived_at: int | None = None
    arrival: str = ""
    bounced_at: int | None = None
    bounce: str = ""
    withdrawn_at: int | None = None
    is_waiting: bool = True
    written_agreement: bool = False
    """Customer and provider agreed in writing on how notices are given (§15)."""

    history: tuple[tuple[str, int], ...] = field(default=())

    @property
    def state(self) -> str:
        """queued, sent, arrived, bounced, refused (bounced before it was sent) or withdrawn."""
        if self.withdrawn_at is not None:
            return "withdrawn"
        if self.is_waiting:
            return "queued"
        if self.arrived_at is not None:
            return "arrived"
        if self.bounced_at is not None:
            return "bounced" if self.sent_at is not None else "refused"
        return "sent"

    @property
    def effect(self) -> Effect:
        """By which rule it works, and since when (NTC-02 to NTC-04); None while it does not. A bounce after the sending
        takes nothing back from a notice that works by sending (D-45); one that works on arrival has not arrived."""
        return notice_effect(
            KINDS[self.kind].effect,
            self.sent_at,
            self.arrived_at,
            via=self.via,
            written_agreement=self.written_agreement,
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What a mail server reports of a mail (RFC 3464). ``action``: failed, delivered, delayed, relayed, expanded;
    ``at`` ms UTC, None when it does not say."""

    notice: str
    message_id: str
    action: str
    words: str
    at: int | None


def fold(acts: Iterable[Act]) -> dict[str, Notice]:
    """All notices by id, as their acts tell them, in order of their queueing."""
    found: dict[str, Notice] = {}
    for act in acts:
        name = act.subject.removeprefix(PREFIX)
        one = after(found.get(name), act)
        if one is not None:
            found[name] = one
    return found


def after(notice: Notice | None, act: Act) -> Notice | None:
    """The notice after one more act about it."""
    if act.kind == "notice.queued":
        data = act.data
        return Notice(
            id=act.subject.removeprefix(PREFIX),
            kind=data["kind"],
            contract=data["contract"],
            tenant_id=act.tenant_id,
            rule=act.rule,
            language=data["language"],
            customer=data["customer"],
            params=data["params"],
            cause=data["cause"],
            queued_at=act.at,
            written_agreement=data.get("written_agreement", False),
            history=((act.kind, act.at),),
        )
    step = _STEPS.get(act.kind)
    if step is None or notice is None:
        return notice
    return replace(step(notice, act), history=(*notice.history, (act.kind, act.at)))


def stale(notice: Notice, now: int) -> str | None:
    """Why a notice that waited is not worth sending, or must not be sent, any more."""
    if notice.kind == "start_notice" and date.fromisoformat(notice.params["start_date"]) < jst_date(now):
        return f"the use cannot start on {notice.params['start_date']}, before the notice is sent (D-05)"
    if notice.kind in _AHEAD and notice.params["end"] <= now:
        return "the maintenance is over"
    return None


_AHEAD = ("maintenance_regular", "maintenance_announced", "maintenance_extended")


def _sent(notice: Notice, act: Act) -> Notice:
    data = act.data
    return replace(
        notice,
        sent_at=notice.sent_at if notice.sent_at is not None else data["at"],
        is_waiting=False,
        message_id=data.get("message_id", ""),
        text=data.get("text", ""),
        body=data.get("body", ""),
        via=data.get("via", "email"),
        bounced_at=None,
        bounce="",
    )


def _requeued(notice: Notice, act: Act) -> Notice:
    """Sent again, perhaps to another address. It goes on to count from the first sending."""
    return replace(
        notice,
        round=notice.round + 1,
        customer=act.data["customer"],
        is_waiting=True,
        bounced_at=None,
        bounce="",
        withdrawn_at=None,
    )


_STEPS: Mapping[str, Callable[[Notice, Act], Notice]] = {
    "notice.sent": _sent,
    "notice.requeued": _requeued,
    "notice.arrived": lambda notice, act: replace(
        notice, arrived_at=act.data["at"], arrival=act.data["how"], bounced_at=None, bounce=""
    ),
    "notice.bounced": lambda notice, act: replace(
        notice, bounced_at=act.data["at"], bounce=act.data["reason"], is_waiting=False
    ),
    "notice.withdrawn": lambda notice, act: replace(notice, withdrawn_at=act.at, is_waiting=False),
}
