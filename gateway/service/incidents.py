"""Incidents: drafted, recognised, notified, recovered, explained, each as an act (RULES SLA-AV, SLA-ON, LIA-02).

Times are given or now, never in the future. Nothing is edited: a time that was wrong is put right by a further act.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.domain.acts import Act
from gateway.domain.contract.incidents import (
    CHANNELS,
    INCIDENT,
    LIA_ITEMS,
    NOTICES,
    RULES,
    Incident,
    IncidentKind,
    IncidentLog,
    IncidentState,
    log_of,
)
from gateway.domain.contract.sla import Cause
from gateway.domain.errors import ActRefused, NotFound
from gateway.service.contracts.book import SYSTEM, Actor, require
from gateway.service.folded import Folded
from gateway.service.unit_of_work import Database, Tx

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scope:
    """What an incident reaches; None leaves what is known. ``tenants`` are names or ids, none of them is all of them.
    Unless said, it is a full stop if no components are named (SLA-AV-02: slow or partial faults are none)."""

    tenants: Sequence[str | int] | None = None
    components: Sequence[str] | None = None
    full_stop: bool | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What somebody, or a check, found. ``source`` is the health fact; ``days`` those without a backup."""

    kind: IncidentKind
    summary: str
    scope: Scope = Scope()
    observed_at: int | None = None
    source: str = ""
    normally_registered: bool = True
    days: tuple[str, str] | None = None


class Incidents:
    """``changed`` is called when an act was recorded."""

    def __init__(self, db: Database, clock: Callable[[], int], changed: Callable[[], None] = lambda: None) -> None:
        self._db = db
        self._clock = clock
        self._changed = changed
        self._folded: Folded[IncidentLog] = Folded(db, IncidentLog(), IncidentLog.after, INCIDENT)

    # -- look ---------------------------------------------------------------------------------------------------------

    def log(self) -> IncidentLog:
        """All incidents as they are now."""
        return self._folded.now()

    def get(self, name: str) -> Incident:
        """NotFound."""
        return _known(self.log(), name)

    def history(self, name: str) -> list[Act]:
        """All acts about an incident, the oldest first. NotFound."""
        self.get(name)
        return self._db.read(lambda tx: tx.acts.of_subject(INCIDENT + name))

    def public(self) -> list[dict[str, Any]]:
        """What the status site may show: outages that were recognised, the newest first, without internal words."""
        shown = [one for one in self.log().all.values() if one.kind is IncidentKind.OUTAGE and one.is_recognised]
        return [
            {
                "id": one.id,
                "recognised_at": one.recognised_at,
                "recovered_at": one.recovered_at,
                "full_stop": one.full_stop,
                "components": list(one.components),
                "tenants": sorted(one.tenants),
                "cause_text": dict(one.cause_text) or None,
                "updated_at": one.updated_at,
            }
            for one in reversed(shown)
        ]

    # -- draft, recognise ---------------------------------------------------------------------------------------------

    def draft(self, actor: Actor, finding: Finding) -> Incident:
        """Notes what was observed; it counts for nothing until it is confirmed."""

        def work(tx: Tx) -> Incident:
            return self._begin(tx, actor, finding, "incident.drafted", {})

        return self._write(work)

    def open(self, actor: Actor, finding: Finding, recognised_at: int | None = None) -> Incident:
        """Recognises something at once: from then on, by default from now on, it counts (SLA-AV-02)."""
        at = self._past(recognised_at, "the recognition of an incident")

        def work(tx: Tx) -> Incident:
            return self._begin(tx, actor, finding, "incident.recognised", {"recognised_at": at})

        return self._write(work)

    def confirm(self, actor: Actor, name: str, recognised_at: int | None = None, scope: Scope = Scope()) -> Incident:
        """The provider recognises what was drafted."""
        at = self._past(recognised_at, "the recognition of an incident")

        def work(tx: Tx) -> Incident:
            old = _known(fold(tx), name)
            require(old.state is IncidentState.DRAFT, f"{name} is {old.state}, not a draft", "SLA-AV-02")
            data: dict[str, Any] = {"recognised_at": at, "kind": str(old.kind), "summary": old.summary}
            data |= _scope(tx, scope, old)
            return self._record(tx, actor, old, "incident.recognised", RULES[old.kind], data)

        return self._write(work)

    def dismiss(self, actor: Actor, name: str, reason: str) -> Incident:
        """It was no incident. The record of it stays."""

        def work(tx: Tx) -> Incident:
            old = _known(fold(tx), name)
            require(old.state is not IncidentState.DISMISSED, f"{name} is dismissed already", "P-6")
            require(bool(reason.strip()), "say why it was none", "P-6")
            return self._record(tx, actor, old, "incident.dismissed", RULES[old.kind], {"reason": reason})

        return self._write(work)

    # -- what happens to it -------------------------------------------------------------------------------------------

    def notice_sent(
        self,
        name: str,
        what: str,
        channel: str,
        at: int | None = None,
        *,
        tenants: Sequence[str] = (),
        actor: Actor = SYSTEM,
    ) -> Incident:
        """Notes that a notice was given (SLA-ON-01): on the status site, or accepted for the registered e-mail address.
        ``tenants``: those it was sent to, none is everybody concerned. Noting the same one again changes nothing."""
        given = self._past(at, "a notice")
        require(what in NOTICES, f"a notice is of {', '.join(NOTICES)}", "SLA-ON-01")
        require(channel in CHANNELS, f"the channels are {', '.join(CHANNELS)}", "SLA-ON-01")

        def work(tx: Tx) -> Incident:
            old = self._recognised(tx, name)
            ids = _ids(tx, tenants)
            if any(
                (one.what, one.channel, one.tenants) == (what, channel, frozenset(ids)) and one.at <= given
                for one in old.notices
                if what != "recovery" or old.recovered_at is None or one.at >= old.recovered_at
            ):
                return old
            data = {"what": what, "channel": channel, "at": given, "tenants": ids}
            return self._record(tx, actor, old, "incident.notified", "SLA-ON-01", data)

        return self._write(work)

    def recover(self, actor: Actor, name: str, at: int | None = None) -> Incident:
        """The service, or the data, is back. Said again, the later act counts. A recovery before the recognition is a
        stop of no length (SLA-AV-02)."""
        recovered = self._past(at, "a recovery")

        def work(tx: Tx) -> Incident:
            old = self._recognised(tx, name)
            return self._record(tx, actor, old, "incident.recovered", RULES[old.kind], {"recovered_at": recovered})

        return self._write(work)

    def explain(
        self,
        actor: Actor,
        name: str,
        cause: Cause,
        item: int | None = None,
        evidence: str = "",
        text: Mapping[str, str] | None = None,
    ) -> Incident:
        """Records the cause with its code (LIA-02). One that is not the provider's needs evidence, and the item of
        §13(2) that it rests on; without them it is the provider's (P-1, D-58). ``text``: language → public wording."""
        items = LIA_ITEMS[cause]
        if cause is Cause.PROVIDER:
            require(item is None, "the provider's own fault is no item of §13(2)", "LIA-02")
        else:
            allowed = ", ".join(map(str, items))
            require(item in items, f"{cause} rests on an item of §13(2): {allowed}", "LIA-02")
            require(bool(evidence.strip()), "a cause that is not the provider's needs evidence", "LIA-02")

        def work(tx: Tx) -> Incident:
            old = self._recognised(tx, name)
            data = {"cause": str(cause), "item": item, "evidence": evidence, "cause_text": dict(text or {})}
            ground = f"13(2){item}" if item else ""
            return self._record(tx, actor, old, "incident.cause_reported", "LIA-02", data, ground)

        return self._write(work)

    def correct(
        self,
        actor: Actor,
        name: str,
        reason: str,
        *,
        recognised_at: int | None = None,
        scope: Scope | None = None,
    ) -> Incident:
        """Puts right what an earlier act said."""
        require(bool(reason.strip()), "say what was wrong", "P-6")
        at = None if recognised_at is None else self._past(recognised_at, "the recognition of an incident")
        require(at is not None or scope is not None, "say what is right", "P-6")

        def work(tx: Tx) -> Incident:
            old = self._recognised(tx, name)
            data: dict[str, Any] = {"reason": reason}
            if at is not None:
                data["recognised_at"] = at
            if scope is not None:
                data |= _scope(tx, scope, old)
            return self._record(tx, actor, old, "incident.corrected", "P-6", data)

        return self._write(work)

    # -- for the gateway's own watch ----------------------------------------------------------------------------------

    def began(self, finding: Finding, recognised_at: int | None) -> Incident | None:
        """A check found something: one incident for as long as it lasts, a draft unless ``recognised_at`` is given."""

        def work(tx: Tx) -> Incident | None:
            last = fold(tx).last_of(finding.source)
            if last is not None and last.ended_at is None:
                return None  # it is the same one still, dismissed or not
            if recognised_at is None:
                return self._begin(tx, SYSTEM, finding, "incident.drafted", {})
            return self._begin(tx, SYSTEM, finding, "incident.recognised", {"recognised_at": recognised_at})

        return self._write(work)

    def over(self, source: str, at: int, *, recovers: bool) -> Incident | None:
        """A check finds its matter well again; ``recovers``: that is the recovery, nobody has to say so."""

        def work(tx: Tx) -> Incident | None:
            last = fold(tx).last_of(source)
            if last is None or last.ended_at is not None:
                return None
            done = self._record(tx, SYSTEM, last, "incident.ended", RULES[last.kind], {"ended_at": at})
            if recovers and done.state is IncidentState.OPEN:
                done = self._record(tx, SYSTEM, done, "incident.recovered", RULES[last.kind], {"recovered_at": at})
            return done

        return self._write(work)

    def missed(self, name: str, what: str, due: int) -> None:
        """A notice was not given in time; recorded once."""
        if what in self.get(name).missed:
            return

        def work(tx: Tx) -> None:
            old = _known(fold(tx), name)
            if what not in old.missed:
                self._record(tx, SYSTEM, old, "incident.notice_missed", "SLA-ON-01", {"what": what, "due": due})

        self._write(work)

    # -- common -------------------------------------------------------------------------------------------------------

    def _past(self, at: int | None, what: str) -> int:
        now = self._clock()
        require(at is None or at <= now, f"{what} lies in the future", "P-6")
        return now if at is None else at

    def _write(self, work: Callable[[Tx], T]) -> T:
        done = self._db.write(work).result()
        self._changed()
        return done

    def _recognised(self, tx: Tx, name: str) -> Incident:
        old = _known(fold(tx), name)
        require(old.is_recognised, f"{name} is {old.state}: confirm it first", "SLA-AV-02")
        return old

    def _begin(self, tx: Tx, actor: Actor, finding: Finding, kind: str, data: Mapping[str, Any]) -> Incident:
        require(bool(finding.summary.strip()), "say what happened", "P-6")
        content = {
            "kind": str(finding.kind),
            "summary": finding.summary,
            "observed_at": finding.observed_at,
            "source": finding.source,
            **_scope(tx, finding.scope),
            **data,
        }
        if finding.kind is IncidentKind.DATA_LOSS:
            content["normally_registered"] = finding.normally_registered
        if finding.days:
            content["days"] = list(finding.days)
        new = Incident(fold(tx).next_id(), finding.kind, IncidentState.DRAFT, finding.summary)
        return self._record(tx, actor, new, kind, RULES[finding.kind], content, is_new=True)

    def _record(
        self,
        tx: Tx,
        actor: Actor,
        old: Incident,
        kind: str,
        rule: str,
        data: Mapping[str, Any],
        ground: str = "",
        *,
        is_new: bool = False,
    ) -> Incident:
        tenants = data.get("tenants", sorted(old.tenants))
        act = Act(
            INCIDENT + old.id,
            kind,
            self._clock(),
            actor.name,
            str(actor.role),
            rule,
            tenant_id=tenants[0] if len(tenants) == 1 else 0,
            ground=ground,
            before="" if is_new else str(old.state),
            after=_AFTER.get(kind, str(old.state)),
            data=data,
        )
        log = IncidentLog({} if is_new else {old.id: old}).after(tx.acts.append(act))
        return log.all[old.id]


_AFTER = {
    "incident.drafted": "draft",
    "incident.recognised": "open",
    "incident.dismissed": "dismissed",
    "incident.recovered": "recovered",
}


def fold(tx: Tx) -> IncidentLog:
    """From the database itself, within the transaction: two people cannot take the same number."""
    return log_of(tx.acts.of_prefix(INCIDENT))


def _known(log: IncidentLog, name: str) -> Incident:
    found = log.all.get(name)
    if found is None:
        raise NotFound(f"there is no incident {name!r}")
    return found


def _scope(tx: Tx, scope: Scope, old: Incident | None = None) -> dict[str, Any]:
    tenants = _ids(tx, scope.tenants) if scope.tenants is not None else sorted(old.tenants) if old else []
    components = scope.components if scope.components is not None else old.components if old else ()
    full_stop = scope.full_stop
    if full_stop is None:
        full_stop = not components if old is None or scope.components is not None else old.full_stop
    return {"tenants": tenants, "components": list(components), "full_stop": full_stop}


def _ids(tx: Tx, names: Sequence[str | int]) -> list[int]:
    ids = [name for name in names if isinstance(name, int)]
    for name in (name for name in names if isinstance(name, str)):
        tenant = tx.tenants.get(name)
        if tenant is None:
            raise ActRefused(f"there is no tenant {name!r}", "SLA-AV-02")
        ids.append(tenant.id)
    return sorted(ids)
