"""Notices on record (RULES NTC-05): what is queued, what became of it, and what an operator does about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.domain.acts import Act
from gateway.domain.contract.records import Contract
from gateway.domain.errors import ActRefused, BadRequest, NotFound
from gateway.domain.notice import OPERATORS, PREFIX, Notice, Report, after, fold
from gateway.domain.notice_kinds import KINDS
from gateway.service.contracts.book import SYSTEM, Actor, require
from gateway.service.notices.letters import Letters
from gateway.service.notices.ports import Rendered
from gateway.service.unit_of_work import Database, Tx

ALARM = "notice"
ANNOUNCEMENT = "announcement:"
LANGUAGES = ("ja", "en")
CARRIED_BY = ("document", "reseller", "referral")
"""Ways besides e-mail (NTC-04)."""
_TEMPLATE = "template:"


@dataclass(frozen=True, slots=True)
class Shown:
    """A notice with its text. ``is_as_sent``: False when the text cannot be made as it was sent any more."""

    notice: Notice
    text: Rendered
    is_as_sent: bool


class Notices:
    """``mail`` tells whether a mail server is configured."""

    def __init__(self, db: Database, clock: Callable[[], int], letters: Letters, *, mail: bool) -> None:
        self._db = db
        self._clock = clock
        self.letters = letters
        self.has_mail = mail

    # -- look ---------------------------------------------------------------------------------------------------------

    def all(self, contract: str | None = None) -> list[Notice]:
        """All notices, or those of one contract, the oldest first."""
        known = fold(self._db.read(lambda tx: tx.acts.of_prefix(PREFIX))).values()
        return [one for one in known if contract is None or one.contract == contract]

    def get(self, name: str) -> Notice:
        """NotFound."""
        return self._db.read(lambda tx: _found(tx, name))

    def show(self, name: str) -> Shown:
        """The notice with its text: as it was sent, or as it would be sent now."""
        one = self.get(name)
        source = self._db.read(lambda tx: template_source(tx, one.text)) if one.text else None
        text = self.letters.text(one, source)
        return Shown(one, text, not one.text or source is not None)

    # -- what an operator does ----------------------------------------------------------------------------------------

    def send(self, actor: Actor, contract: Contract, kind: str, params: Mapping[str, Any]) -> Notice:
        """Queues a notice that an operator decided about (orders.py)."""

        def work(tx: Tx) -> Notice:
            # the number of the act that queues it: no other notice has it
            key = str(tx.acts.count() + 1)
            queued = self.queue(tx, key, kind, contract, params, actor=actor)
            assert queued is not None
            return queued

        return self._db.write(work).result()

    def announce(self, actor: Actor, params: Mapping[str, str], *, by_mail: bool) -> str:
        """Tells all customers something: on the board, and by mail. Returns the number of the announcement.

        ``params``: title_ja, title_en, text_ja, text_en. Revisions, ends and transfers have acts of their own."""
        missing = [key for key in KINDS["information"].sample if not params.get(key, "").strip()]
        if missing:
            raise BadRequest(f"an announcement needs {', '.join(missing)}")

        def work(tx: Tx) -> str:
            number = f"A{len({act.subject for act in tx.acts.of_prefix(ANNOUNCEMENT)}) + 1}"
            data = {"params": dict(params), "by_mail": by_mail}
            tx.acts.append(self._act(ANNOUNCEMENT + number, "announcement.made", actor, "NTC-02", 0, data))
            return number

        return self._db.write(work).result()

    def retract(self, actor: Actor, number: str, reason: str) -> None:
        """Takes an announcement from the board. What was mailed stays mailed."""
        require(bool(reason.strip()), "a reason is stored with it", "P-6")

        def work(tx: Tx) -> None:
            known = [act.kind for act in tx.acts.of_subject(ANNOUNCEMENT + number)]
            if not known:
                raise NotFound(f"there is no announcement {number!r}")
            require("announcement.retracted" not in known, f"{number} is retracted already", "P-6")
            data = {"reason": reason}
            tx.acts.append(self._act(ANNOUNCEMENT + number, "announcement.retracted", actor, "P-6", 0, data))

        self._db.write(work).result()

    def resend(self, actor: Actor, name: str) -> Notice:
        """Sends a notice once more, to the address that is registered now."""

        def decide(tx: Tx, one: Notice) -> tuple[str, Mapping[str, Any]]:
            require(one.state != "queued", f"{name} waits to be sent already", "NTC-05")
            return "notice.requeued", {"customer": tx.documents.customer_digest(one.contract)}

        return self._change(actor, name, decide)

    def arrived(self, actor: Actor, name: str, at: int, how: str = "acknowledged") -> Notice:
        """The customer acknowledged it, or its server reported the delivery (NTC-03, D-46)."""

        def decide(_tx: Tx, one: Notice) -> tuple[str, Mapping[str, Any]]:
            require(at <= self._clock(), "the arrival lies in the future", "P-6")
            require(one.arrived_at is None, f"{name} has arrived already", "NTC-03")
            if one.sent_at is None:
                raise ActRefused(f"{name} was not sent", "NTC-03")
            require(at // 1000 >= one.sent_at // 1000, f"{name} was not sent yet at that time", "NTC-03")
            return "notice.arrived", {"at": at, "how": how}

        return self._change(actor, name, decide)

    def bounced(self, actor: Actor, name: str, at: int, reason: str) -> Notice:
        """It came back: an operator has to find out the right address (NTC-02)."""

        def decide(_tx: Tx, one: Notice) -> tuple[str, Mapping[str, Any]]:
            require(at <= self._clock(), "the bounce lies in the future", "P-6")
            require(one.sent_at is not None or one.is_waiting, f"{name} is {one.state}", "NTC-02")
            return "notice.bounced", {"at": at, "reason": reason[:500]}

        return self._change(actor, name, decide)

    def reported(self, actor: Actor, report: Report) -> str:
        """Records what a mail server reports, once; returns what came of it. BadRequest when the mail was not ours.

        Only ``delivered`` is an arrival: ``relayed`` says that it went on to a server that reports nothing (D-46)."""
        one = self.get(report.notice)
        if not one.message_id or report.message_id != one.message_id:
            raise BadRequest(f"the report is about another mail than the last one of {one.id}")
        at = max(min(report.at or self._clock(), self._clock()), one.sent_at or 0)
        if report.action == "failed":
            if one.bounced_at is None and one.arrived_at is None:
                self.bounced(actor, one.id, at, report.words or "failed")
            return "came back"
        if report.action == "delivered":
            if one.arrived_at is None:
                self.arrived(actor, one.id, at, "delivery report")
            return "arrived"
        return f"{report.action}: nothing to record"

    def carried(self, actor: Actor, name: str, via: str, sent_at: int, arrived_at: int | None = None) -> Notice:
        """It went another way: by a letter, a reseller or a referral shop. It works on arrival then (NTC-04)."""
        if via not in CARRIED_BY:
            raise BadRequest(f"a notice goes by {', '.join(CARRIED_BY)}, not by {via!r}")

        def decide(_tx: Tx, one: Notice) -> tuple[str, Mapping[str, Any]]:
            require(max(sent_at, arrived_at or 0) <= self._clock(), "it lies in the future", "P-6")
            require(one.arrived_at is None, f"{name} has arrived already", "NTC-03")
            return "notice.sent", {"at": sent_at, "via": via}

        one = self._change(actor, name, decide)
        return one if arrived_at is None else self.arrived(actor, name, arrived_at, via)

    def withdraw(self, actor: Actor, name: str, reason: str) -> Notice:
        """Does not send what still waits."""
        require(bool(reason.strip()), "a reason is stored with it", "P-6")

        def decide(_tx: Tx, one: Notice) -> tuple[str, Mapping[str, Any]]:
            require(one.is_waiting, f"{name} is {one.state}: it does not wait", "NTC-05")
            return "notice.withdrawn", {"reason": reason}

        return self._change(actor, name, decide)

    def _change(self, actor: Actor, name: str, decide: Callable[[Tx, Notice], tuple[str, Mapping[str, Any]]]) -> Notice:
        def work(tx: Tx) -> Notice:
            one = _found(tx, name)
            kind, data = decide(tx, one)
            self.record(tx, one, kind, data, actor)
            return _found(tx, name)

        return self._db.write(work).result()

    # -- within a transaction -----------------------------------------------------------------------------------------

    def queue(
        self,
        tx: Tx,
        key: str,
        kind: str,
        contract: Contract | None,
        params: Mapping[str, Any],
        cause: int = 0,
        actor: Actor = SYSTEM,
    ) -> Notice | None:
        """Queues a notice to a contract, or (None) to the operators; None when that notice was queued before.

        ``key`` names what it tells of: the same key is told once to each."""
        if self.is_queued(tx, key, contract):
            return None
        whom, subject = _whom(contract), _subject(key, contract)
        customer = tx.documents.customer(whom) if contract else {}
        language = customer.get("language", "")
        data = {
            "kind": kind,
            "contract": whom,
            "language": language if language in LANGUAGES else self.letters.settings.language,
            "customer": tx.documents.customer_digest(whom) if contract else "",
            "params": dict(params),
            "cause": cause,
            "written_agreement": contract is not None and "notices" in contract.agreements,
        }
        tenant_id = contract.tenant_id if contract else 0
        act = tx.acts.append(self._act(subject, "notice.queued", actor, KINDS[kind].rule, tenant_id, data))
        return fold([act])[subject.removeprefix(PREFIX)]

    def is_queued(self, tx: Tx, key: str, contract: Contract | None) -> bool:
        return bool(tx.acts.of_subject(_subject(key, contract)))

    def record(self, tx: Tx, one: Notice, kind: str, data: Mapping[str, Any], actor: Actor = SYSTEM) -> None:
        """One more act about a notice; raises or clears the operator's task that goes with it (NTC-02)."""
        act = self._act(PREFIX + one.id, kind, actor, KINDS[one.kind].rule, one.tenant_id, data)
        now = after(one, act)
        assert now is not None
        tx.acts.append(replace(act, before=one.state, after=now.state))
        if kind == "notice.bounced":
            message = f"{one.kind} to {one.contract} came back: {data['reason']}"
            tx.system.alarm(ALARM, one.id, message, self._clock())
        elif kind in ("notice.requeued", "notice.arrived", "notice.sent", "notice.withdrawn"):
            tx.system.alarm(ALARM, one.id, None, self._clock())

    def _act(self, subject: str, kind: str, actor: Actor, rule: str, tenant_id: int, data: Mapping[str, Any]) -> Act:
        return Act(subject, kind, self._clock(), actor.name, str(actor.role), rule, tenant_id, data=data)


def _whom(contract: Contract | None) -> str:
    return contract.name if contract else OPERATORS


def _subject(key: str, contract: Contract | None) -> str:
    return f"{PREFIX}{key}.{_whom(contract)}"


def keep_template(tx: Tx, text: Rendered, now: int) -> None:
    """Keeps the templates that a text was made from, once: the text can be made again however they change (NTC-05)."""
    subject = _TEMPLATE + text.version
    if not tx.acts.of_subject(subject):
        data = {"source": text.source}
        tx.acts.append(Act(subject, "template.used", now, SYSTEM.name, str(SYSTEM.role), "NTC-05", data=data))


def template_source(tx: Tx, version: str) -> str | None:
    """The templates of a version that was used."""
    found = tx.acts.of_subject(_TEMPLATE + version)
    return found[0].data["source"] if found else None


def _found(tx: Tx, name: str) -> Notice:
    one = fold(tx.acts.of_subject(PREFIX + name)).get(name)
    if one is None:
        raise NotFound(f"there is no notice {name!r}")
    return one
