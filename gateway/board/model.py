"""What the board shows at an instant: entries from acts, and the state of the service that follows. Pure.

Only what concerns the public is taken over: what concerns single customers is said to concern some, without a reason;
words that were written for operators (the reason of an interruption, the summary of an incident) stay inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.board.words import KINDS, STATES, STEPS
from gateway.domain.acts import Act
from gateway.domain.contract.windows import INTERRUPTION, MAINTENANCE, REGULAR, ServiceWindow, Windows
from gateway.domain.mailbox import one_line

INCIDENT = "incident:"
NEWS: Mapping[str, str] = {
    "announcement.made": "news",
    "revision.terms_announced": "terms",
    "revision.conditions_announced": "conditions",
    "discontinuation.announced": "discontinuation",
    "transfer.announced": "transfer",
}
"""Acts that are told to all → kind of the entry."""

_WITHDRAWN = ("announcement.retracted", "revision.withdrawn", "transfer.withdrawn", "discontinuation.withdrawn")
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """One line of an entry's course."""

    at: int
    what: Pair


@dataclass(frozen=True, slots=True)
class Entry:
    """``id`` never changes (``maintenance/M1``). ``start`` and ``end`` in ms UTC; ``phase`` planned, now, over or news.
    ``limited``: it concerns some customers only. ``facts``: further lines, label of words.PAGE → text in both."""

    id: str
    kind: str
    phase: str
    published_at: int
    updated_at: int
    start: int | None = None
    end: int | None = None
    limited: bool = False
    title: Pair = ("", "")
    text: Pair = ("", "")
    facts: tuple[tuple[str, Pair], ...] = ()
    course: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Board:
    """``state`` is a key of words.STATES; entries are the newest first."""

    state: str
    entries: tuple[Entry, ...] = ()

    def of_phase(self, *phases: str) -> tuple[Entry, ...]:
        return tuple(one for one in self.entries if one.phase in phases)

    @property
    def standing(self) -> tuple[Entry, ...]:
        """What is under way, the gravest first."""
        order = list(STATES)
        return tuple(sorted(self.of_phase("now"), key=lambda one: -order.index(_grade(one))))

    @property
    def ahead(self) -> tuple[Entry, ...]:
        """What is planned, the next first."""
        return tuple(sorted(self.of_phase("planned"), key=lambda one: one.start or 0))


@dataclass(frozen=True)
class PublicActs:
    """The acts that the board is made from, by subject."""

    of: Mapping[str, tuple[Act, ...]] = field(default_factory=dict)

    def after(self, act: Act) -> PublicActs:
        """With one more act; those that are nobody's business outside are passed over."""
        if act.kind not in STEPS and act.kind not in _WITHDRAWN:
            return self
        return PublicActs({**self.of, act.subject: (*self.of.get(act.subject, ()), act)})


def build(now: int, acts: PublicActs, windows: Windows, incidents: Sequence[Mapping[str, Any]]) -> Board:
    """The board at an instant."""
    entries = [
        *_maintenance(now, acts, windows),
        *_interruptions(now, acts, windows),
        *_incidents(now, acts, incidents),
        *_news(acts),
    ]
    entries.sort(key=lambda one: (one.start if one.start is not None else one.published_at, one.id), reverse=True)
    return Board(_state(entries), tuple(entries))


def _state(entries: Iterable[Entry]) -> str:
    found = {_grade(one) for one in entries if one.phase == "now"}
    return next((state for state in reversed(STATES) if state in found), "ok")


def _grade(one: Entry) -> str:
    """What an entry that is under way makes of the whole state."""
    words = {"incident": "outage", "partial": "partial", "interruption": "interrupted"}
    return "some" if one.limited else words.get(one.kind, "maintenance")


def _phase(now: int, start: int, end: int | None) -> str:
    if now < start:
        return "planned"
    return "now" if end is None or now < end else "over"


def _course(acts: Sequence[Act]) -> tuple[Step, ...]:
    return tuple(Step(act.at, STEPS[act.kind]) for act in acts if act.kind in STEPS)


def _maintenance(now: int, acts: PublicActs, windows: Windows) -> Iterable[Entry]:
    for one in (*windows.regular.values(), *windows.maintenance.values()):
        posted = acts.of.get(MAINTENANCE + one.id, ())
        if posted:
            yield _window(now, one, posted, "regular" if one.id.startswith(REGULAR) else "maintenance")


def _window(now: int, one: ServiceWindow, posted: Sequence[Act], kind: str) -> Entry:
    facts = []
    if kind == "maintenance" and one.reason and not one.tenants:
        facts.append(("work", (one_line(one.reason), one_line(one.reason))))
    return Entry(
        id=f"maintenance/{one.id}",
        kind=kind,
        # one that was closed before it began is over
        phase="over" if one.closed and one.end is not None and one.end <= now else _phase(now, one.start, one.end),
        published_at=posted[0].at,
        updated_at=posted[-1].at,
        start=one.start,
        end=one.end,
        limited=bool(one.tenants),
        title=KINDS[kind],
        facts=tuple(facts),
        course=_course(posted),
    )


def _interruptions(now: int, acts: PublicActs, windows: Windows) -> Iterable[Entry]:
    for one in windows.interruptions.values():
        opened = acts.of.get(INTERRUPTION + one.id, ())
        if not opened:
            continue
        yield Entry(
            id=f"interruption/{one.id}",
            kind="interruption",
            phase=_phase(now, one.start, one.end),
            published_at=opened[0].at,
            updated_at=opened[-1].at,
            start=one.start,
            end=one.end,
            limited=bool(one.tenants),
            title=KINDS["interruption"],
            facts=() if one.tenants else (("reason", GROUNDS.get(one.ground, (one.ground, one.ground))),),
            course=_course(opened),
        )


GROUNDS: Mapping[str, Pair] = {
    "MAINTENANCE": ("設備の保守または工事", "maintenance of or work on our equipment"),
    "FORCE_MAJEURE": ("天災その他の非常事態", "force majeure"),
    "LINE": ("通信回線の障害", "a failure of communication lines"),
    "DISORDER": ("システムの障害", "a disorder of the system"),
    "OPERATIONAL": ("運用上または技術上の理由", "operational or technical reasons"),
}


def _incidents(now: int, acts: PublicActs, incidents: Sequence[Mapping[str, Any]]) -> Iterable[Entry]:
    for one in incidents:
        told = acts.of.get(INCIDENT + one["id"], ())
        if not told:
            continue
        recovered: int | None = one["recovered_at"]
        kind = "incident" if one["full_stop"] else "partial"
        cause = one["cause_text"] or {}
        text = (cause.get("ja") or cause.get("en") or "", cause.get("en") or cause.get("ja") or "")
        facts = [("cause", text)] if text[0] else []
        parts = ", ".join(one_line(part) for part in one.get("components") or ())
        if parts and not one["tenants"]:
            facts.insert(0, ("parts", (parts, parts)))
        yield Entry(
            id=f"incident/{one['id']}",
            kind=kind,
            phase="now" if recovered is None or now < recovered else "over",
            published_at=told[0].at,
            updated_at=told[-1].at,
            start=one["recognised_at"],
            end=recovered,
            limited=bool(one["tenants"]),
            title=KINDS[kind],
            facts=tuple(facts),
            course=_course(told),
        )


def _news(acts: PublicActs) -> Iterable[Entry]:
    for subject, told in acts.of.items():
        first = told[0]
        if first.kind not in NEWS or any(act.kind in _WITHDRAWN for act in told) or not first.data.get("to_all", True):
            continue
        params, kind = first.data.get("params") or {}, NEWS[first.kind]
        title = (one_line(params.get("title_ja") or KINDS[kind][0]), one_line(params.get("title_en") or KINDS[kind][1]))
        facts = []
        for key, label in (("effective_on", "effective"), ("last_day", "last_day")):
            if params.get(key):
                facts.append((label, (params[key], params[key])))
        yield Entry(
            id=subject.replace(":", "/", 1),
            kind=kind,
            phase="news",
            published_at=first.at,
            updated_at=told[-1].at,
            title=title,
            text=(params.get("text_ja") or "", params.get("text_en") or ""),
            facts=tuple(facts),
            course=(),
        )
