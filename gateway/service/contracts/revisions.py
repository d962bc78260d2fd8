"""Changes that the provider makes (RULES REV-01 to REV-03): announced, told to each customer, in force by the rules.

A version that is in force for new customers binds nobody who agreed to another one before. For those it is announced;
the notice to each takes effect when sent (terms) or when it arrives (prices, conditions, service level, operating
standard); from the named day on, and never before the day after that, the new version binds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date
from gateway.domain.contract.notices import earliest_event
from gateway.domain.contract.records import PREFIX as CONTRACT
from gateway.domain.contract.records import Contract, Phase, agreed_data
from gateway.domain.contract.revisions import PREFIX, RULES, AnnouncedRevision, fold
from gateway.domain.errors import ActRefused, NotFound
from gateway.domain.terms import Plans
from gateway.service.contracts.book import Actor, ContractBook, Decision, check_day, require
from gateway.service.contracts.intake import agreed
from gateway.service.policies import Policies
from gateway.service.unit_of_work import Tx

_OVER = ("ended", "terminated", "stopped", "rejected")


@dataclass(frozen=True, slots=True)
class Told:
    """What a revision is for one contract. ``told_on`` None: its notice has not taken effect. ``may_leave_by`` is the
    earliest last day of use of a cancellation that is received today (END-01)."""

    contract: str
    told_on: date | None
    in_force_from: date | None
    may_leave_by: date


class Revisions:
    def __init__(self, book: ContractBook, policies: Policies) -> None:
        self._book = book
        self._policies = policies
        self._seen: dict[tuple[str, str], Contract] = {}

    # -- look ---------------------------------------------------------------------------------------------------------

    def all(self) -> list[AnnouncedRevision]:
        """In the order in which they were announced."""
        return list(self._book.db.read(_fold).values())

    def get(self, revision: str) -> AnnouncedRevision:
        return _get(self._book.db.read(_fold), revision)

    def told_to(self, revision: str) -> list[Told]:
        """To whom it was to be told, and since when it binds each, by name."""
        one = self.get(revision)
        contracts = self._book.db.read(
            lambda tx: {act.subject.removeprefix(CONTRACT) for act in tx.acts.of_prefix(CONTRACT)}
        )
        found = []
        for name in sorted(contracts):
            contract = self._book.get(name)
            bound = next((b.revision for b in contract.bound if b.announced == one.id), None)
            if bound is None and name not in one.contracts:
                continue
            leaving = earliest_event("cancel", self._today(), self._book.values(contract))
            told, since = (bound.told, bound.in_force_from) if bound else (None, None)
            found.append(Told(name, told, since, leaving))
        return found

    # -- announce -----------------------------------------------------------------------------------------------------

    def announce(
        self,
        policy: str,
        text: str,
        actor: Actor,
        *,
        effective_on: date,
        label: str,
        notice: Mapping[str, str],
        contracts: Sequence[str] = (),
    ) -> AnnouncedRevision:
        """Stores the new document and records the announcement; the notices follow from it.

        ``notice`` has title_ja, title_en, text_ja, text_en. ``contracts`` names those concerned; without any it is for
        all, and for new customers from its day on. BadPolicy; ActRefused REV-01 for a day that no notice can be in time
        for, and for a price list that lacks a plan in use.
        """
        require(policy in RULES, f"what is revised is {', '.join(RULES)}", "REV-01")
        rule = RULES[policy]
        check_day(effective_on, "the revision", rule)
        require(effective_on > self._today(), "notice comes first: the earliest day is tomorrow", rule)
        require(bool(label.strip()), "a revision has a name, such as its date", rule)
        value = self._policies.check(policy, text)
        concerned = self._concerned(contracts)
        if policy == "plans":
            _check_plans(value, concerned)
        stored = self._policies.store(policy, text, actor.name)

        def work(tx: Tx) -> AnnouncedRevision:
            name = f"R{len(_fold(tx)) + 1}"
            kind = "revision.terms_announced" if policy == "terms" else "revision.conditions_announced"
            data = {
                "policy": policy,
                "version": stored.version,
                "digest": stored.digest,
                "effective_on": effective_on.isoformat(),
                "contracts": [one.name for one in concerned],
                "to_all": not contracts,
                "params": {
                    **notice, "revision": name, "version": label, "effective_on": effective_on.isoformat(),
                },
            }  # fmt: skip
            _record(tx, name, kind, actor, rule, self._book.clock(), "", "announced", data)
            return _fold(tx)[name]

        done = self._book.db.write(work).result()
        self._book.changed()
        return done

    def told(self, revision: str, contract: str, actor: Actor, *, at: int) -> Contract:
        """The notice to a customer took effect: it was sent (terms) or arrived (all others). Once told it stays so."""
        self._book.check_past(at, "the notice")
        one = self.get(revision)
        require(not one.withdrawn, f"{revision} was withdrawn", one.rule)
        require(at >= one.announced_at, "a notice is not given before the revision is announced", one.rule)
        known = self._book.get(contract)
        if any(bound.announced == one.id for bound in known.bound):
            return known
        data = self.told_data(one, jst_date(at))
        return self._book.act(
            contract, actor, lambda _contract, _now: Decision("contract.revision_told", one.rule, data=data)
        )

    def told_data(self, one: AnnouncedRevision, told_on: date) -> dict[str, Any]:
        """The data of ``contract.revision_told``; the prices stand in it, whatever becomes of the price list."""
        data: dict[str, Any] = {
            "revision": one.id,
            "policy": one.policy,
            "document": one.document,
            "effective_on": one.effective_on.isoformat(),
            "told_on": told_on.isoformat(),
        }
        if one.policy == "plans":
            text = self._policies.version("plans", one.version).text
            plans: Plans = self._policies.check("plans", text)
            data["plans"] = {name: agreed_data(agreed(plan)) for name, plan in plans.plans.items()}
        return data

    def withdraw(self, revision: str, actor: Actor, reason: str) -> AnnouncedRevision:
        """Takes back an announcement that nobody was told yet; a told one binds, and another revision follows it."""
        require(bool(reason.strip()), "a reason is needed", "REV-02")
        told = [one.contract for one in self.told_to(revision) if one.told_on]
        require(not told, f"{', '.join(told)} was told already: announce another revision", self.get(revision).rule)

        def work(tx: Tx) -> AnnouncedRevision:
            one = _get(_fold(tx), revision)
            require(not (one.applied or one.withdrawn), f"{revision} is over", one.rule)
            now = self._book.clock()
            _record(
                tx, revision, "revision.withdrawn", actor, one.rule, now, "announced", "withdrawn", {"reason": reason}
            )
            return _fold(tx)[revision]

        done = self._book.db.write(work).result()
        self._book.changed()
        return done

    # -- what falls due -----------------------------------------------------------------------------------------------

    def apply_due(self, actor: Actor) -> bool:
        """Makes what is due the version that new customers agree to; returns whether anything was."""
        due = [one for one in self.all() if one.to_all and not (one.applied or one.withdrawn)]
        due = [one for one in due if one.effective_on <= self._today()]
        for one in due:
            self._policies.assign(one.policy, one.version, actor.name)
            now = self._book.clock()
            self._book.db.write(
                lambda tx, one=one, now=now: _record(  # type: ignore[misc]
                    tx, one.id, "revision.applied", actor, one.rule, now, "announced", "in force", {}
                )
            ).result()
        if due:
            self._book.changed()
        return bool(due)

    def extend_due(self, contracts: Sequence[Contract], actor: Actor) -> bool:
        """Announces what is to come to customers who were accepted after its announcement."""
        done = False
        for one in self.all():
            if not one.to_all or one.applied or one.withdrawn:
                continue
            late = [each for each in contracts if self._is_to_be_told(one, each)]
            if late:
                self._announce_to(one, late, actor)
                done = True
        return done

    def _is_to_be_told(self, one: AnnouncedRevision, contract: Contract) -> bool:
        """Each is looked at once, and again when an act has changed it."""
        key = (one.id, contract.name)
        if self._seen.get(key) is contract or _is_known(one, contract):
            return False
        if self._is_bound(contract):
            return True
        self._seen[key] = contract
        return False

    def _announce_to(self, one: AnnouncedRevision, contracts: Sequence[Contract], actor: Actor) -> None:
        def work(tx: Tx) -> None:
            first = next(act for act in tx.acts.of_subject(PREFIX + one.id) if act.kind.endswith("_announced"))
            data = {**first.data, "contracts": [each.name for each in contracts]}
            now = self._book.clock()
            _record(tx, one.id, first.kind, actor, one.rule, now, "announced", "announced", data)

        self._book.db.write(work).result()
        self._book.changed()

    # -- common -------------------------------------------------------------------------------------------------------

    def _today(self) -> date:
        return jst_date(self._book.clock())

    def _concerned(self, names: Sequence[str]) -> list[Contract]:
        """The named contracts, or all that are accepted and not over."""
        if names:
            return [self._in_force(self._book.get(name)) for name in names]
        subjects = self._book.db.read(lambda tx: {act.subject for act in tx.acts.of_prefix(CONTRACT)})
        found = [self._book.get(subject.removeprefix(CONTRACT)) for subject in sorted(subjects)]
        return [one for one in found if self._is_bound(one)]

    def _is_bound(self, contract: Contract) -> bool:
        if contract.agreed is None or contract.phase is Phase.REJECTED or contract.erased:
            return False
        return contract.state(self._book.clock(), self._book.values(contract)) not in _OVER

    def _in_force(self, contract: Contract) -> Contract:
        require(self._is_bound(contract), f"the contract {contract.name} is not accepted, or is over", "REV-01")
        return contract


def _is_known(one: AnnouncedRevision, contract: Contract) -> bool:
    """Whether a contract was named in the announcement, or agreed to that very document."""
    if contract.name in one.contracts or any(bound.announced == one.id for bound in contract.bound):
        return True
    return any(bound.revision.version == one.document and bound.revision.original for bound in contract.bound)


def _check_plans(plans: Plans, contracts: Sequence[Contract]) -> None:
    for contract in contracts:
        current = contract.plan_on(date.max)
        if current is not None and current.plan not in plans.plans:
            raise ActRefused(f"{contract.name} has the plan {current.plan!r}, which this price list has not", "REV-01")


def _record(
    tx: Tx, name: str, kind: str, actor: Actor, rule: str, now: int, before: str, after: str, data: Mapping[str, object]
) -> None:
    tx.acts.append(
        Act(PREFIX + name, kind, now, actor.name, str(actor.role), rule, before=before, after=after, data=data)
    )


def _fold(tx: Tx) -> dict[str, AnnouncedRevision]:
    return dict(fold(tx.acts.of_prefix(PREFIX)))


def _get(known: Mapping[str, AnnouncedRevision], revision: str) -> AnnouncedRevision:
    one = known.get(revision)
    if one is None:
        raise NotFound(f"there is no revision {revision!r}")
    return one
