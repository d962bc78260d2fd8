"""Reading contracts and recording acts about them: the one place where an act is checked for who may do it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from gateway.domain.acts import Act, ActorRole
from gateway.domain.calendar import CalendarError, jst_date
from gateway.domain.contract.documents import CARRIERS, Document
from gateway.domain.contract.privacy import may_act
from gateway.domain.contract.records import PREFIX, Contract, after, fold
from gateway.domain.contract.values import SEED, Channel, ContractValues
from gateway.domain.errors import ActRefused, BadRequest, NotFound
from gateway.domain.ids import Ids
from gateway.service.unit_of_work import Database, Tx

_PARTIES = {ActorRole.RESELLER: ("reseller", Channel.RESELLER), ActorRole.REFERRAL_SHOP: ("referral", Channel.REFERRAL)}
_RULES = {
    "DOWNGRADE_NOT_ALLOWED": "CHG-05",
    "CONTRACT_ENDING": "CHG-08",
    "START_DAY_INVALID": "CAL-03",
    "START_DAY_CHANGE_PENDING": "CAL-04",
    "MINIMUM_MONTHS_INVALID": "TERM-01",
    "GROUND_UNKNOWN": "END-05",
    "BEFORE_SERVICE_START": "APP-05",
    "BAD_DATE": "P-2",
    "BAD_TIME": "P-2",
}
"""Refusals of the pure rules → the rule to name."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and in whose place. ``partner`` names the reseller or referral shop."""

    name: str
    role: ActorRole = ActorRole.OPERATOR
    partner: str = ""


SYSTEM = Actor("kurado", ActorRole.SYSTEM)


@dataclass(frozen=True, slots=True)
class Paper:
    """A document in writing as an operator registers it (P-7, D-03). ``digest``: SHA-256 of the scan."""

    received_at: int
    carrier: str
    digest: str
    title: str
    passed_on: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a rule decided: the act to record, without who and when."""

    kind: str
    rule: str
    ground: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    tenant_id: int | None = None


Decide = Callable[[Contract, int], Decision]


class ContractBook:
    """``values_of`` gives the constants of the terms for a contract on a day; ``changed`` is called when an act was
    recorded."""

    def __init__(
        self,
        db: Database,
        ids: Ids,
        clock: Callable[[], int],
        values_of: Callable[[Contract | None, date], ContractValues] = lambda _contract, _day: SEED,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.changed = changed
        self.db = db
        self.ids = ids
        self.clock = clock
        self._values_of = values_of

    def values(self, contract: Contract | None, now: int | None = None) -> ContractValues:
        """The constants of the terms for a contract today."""
        return self._values_of(contract, jst_date(self.clock() if now is None else now))

    # -- look ---------------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Contract:
        """NotFound when nobody applied under that name."""
        return self.db.read(lambda tx: found(tx, name))

    def history(self, name: str) -> list[Act]:
        """All acts about a contract, the oldest first."""
        self.get(name)
        return self.db.read(lambda tx: tx.acts.of_subject(PREFIX + name))

    def documents(self, name: str) -> list[Document]:
        return self.db.read(lambda tx: tx.documents.of_contract(name))

    # -- record -------------------------------------------------------------------------------------------------------

    def act(
        self,
        name: str,
        actor: Actor,
        decide: Decide,
        *,
        party_act: str | None = None,
        paper: Paper | None = None,
        paper_kind: str = "",
        also: Callable[[Tx, Contract], None] | None = None,
    ) -> Contract:
        """Decides and records in one transaction; returns the contract after it. ActRefused names the rule.

        ``party_act`` is the act of AGT-01 that a reseller or referral shop may carry, None is the provider's alone.
        ``also`` is done in the same transaction, before the act is recorded.
        """
        if paper is not None:
            self._check_paper(paper)

        def work(tx: Tx) -> Contract:
            now = self.clock()
            contract = found(tx, name)
            check_actor(actor, contract.route, party_act, contract.partner)
            with rule_named():
                decision = decide(contract, now)
            data = dict(decision.data)
            if paper is not None:
                data["document"] = self._file(tx, name, actor, paper, paper_kind, now)
            if also:
                also(tx, contract)
            return self._record(tx, contract, actor, decision, data, now)

        done = self.db.write(work).result()
        self.changed()
        return done

    def _record(
        self, tx: Tx, contract: Contract, actor: Actor, decision: Decision, data: Mapping[str, Any], now: int
    ) -> Contract:
        act = Act(
            subject=PREFIX + contract.name,
            kind=decision.kind,
            at=now,
            actor=actor.name,
            role=str(actor.role),
            rule=decision.rule,
            tenant_id=contract.tenant_id if decision.tenant_id is None else decision.tenant_id,
            ground=decision.ground,
            before=contract.state(now, self.values(contract, now)),
            data=data,
        )
        changed = after(contract, act)
        assert changed is not None
        with rule_named():
            state = changed.state(now, self.values(changed, now))
        tx.acts.append(replace(act, after=state))
        return changed

    def _check_paper(self, paper: Paper) -> None:
        if paper.carrier not in CARRIERS:
            raise ActRefused(f"a document in writing comes by {', '.join(CARRIERS)}, not by {paper.carrier!r}", "P-7")
        if not re.fullmatch(r"[0-9a-f]{64}", paper.digest):
            raise BadRequest("the digest of a document is a SHA-256 in hexadecimal")
        self.check_past(paper.received_at, "the receipt of a document")

    def check_past(self, at: int, what: str) -> None:
        """Nothing is recorded as having happened before it did."""
        if at > self.clock():
            raise ActRefused(f"{what} lies in the future", "P-6")

    def _file(self, tx: Tx, name: str, actor: Actor, paper: Paper, kind: str, now: int) -> str:
        number = self.ids.new(now)
        document = Document(
            number, name, kind, paper.received_at, paper.carrier, paper.passed_on, paper.digest, paper.title, now,
            actor.name,
        )  # fmt: skip
        tx.documents.add(document)
        return f"{number:x}"


def found(tx: Tx, name: str) -> Contract:
    """NotFound when there is no such contract."""
    contract = fold(tx.acts.of_subject(PREFIX + name))
    if contract is None:
        raise NotFound(f"there is no contract {name!r}")
    return contract


def check_actor(actor: Actor, route: Channel, party_act: str | None, partner: str = "") -> None:
    """AGT-01 to AGT-03: partners carry papers of their own customers, and decide nothing. ``partner`` is the one
    through whom the customer came, where that is known."""
    if actor.role not in _PARTIES:
        return
    party, _ = _PARTIES[actor.role]
    if not is_own(actor, route, partner):
        raise ActRefused(f"a {actor.role} sees and carries papers of its own customers only", "AGT-03")
    if party_act is None or not may_act(party, party_act):
        raise ActRefused(f"a {actor.role} is no representative of the provider and cannot do this", "AGT-03")


def is_own(actor: Actor, route: Channel, partner: str) -> bool:
    """Whether a customer is one of a reseller's or referral shop's own; everybody is one of the provider's."""
    if actor.role not in _PARTIES:
        return True
    return route is _PARTIES[actor.role][1] and partner in ("", actor.partner)


@contextmanager
def rule_named() -> Iterator[None]:
    """Turns a refusal of the pure rules into one that names its rule."""
    try:
        yield
    except CalendarError as error:
        raise ActRefused(str(error), _RULES.get(error.code, error.code)) from error


def check_day(day: date | None, what: str, rule: str) -> None:
    """A day that a person can mean. The calendar of a contract goes on for terms after it, and must not run out."""
    require(day is None or date(2000, 1, 1) <= day <= date(2199, 12, 31), f"{what} {day}: a day of 2000 to 2199", rule)


def require(allowed: bool, message: str, rule: str) -> None:
    """ActRefused with the rule unless allowed."""
    if not allowed:
        raise ActRefused(message, rule)
