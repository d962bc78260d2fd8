"""Discontinuing all or part of the service (RULES DSC-01 to DSC-05): announced to all, in force for each customer once
both of its notices took effect in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date
from gateway.domain.contract.discontinuing import PREFIX, Discontinuing, fold
from gateway.domain.contract.ending import discontinuation
from gateway.domain.contract.records import PREFIX as CONTRACT
from gateway.domain.contract.records import Contract
from gateway.domain.contract.values import ContractValues
from gateway.domain.errors import NotFound
from gateway.service.contracts.book import Actor, ContractBook, Decision, check_day, require
from gateway.service.unit_of_work import Tx


class DiscontinuingService:
    def __init__(self, book: ContractBook) -> None:
        self._book = book

    def all(self) -> list[Discontinuing]:
        """In the order in which they were announced."""
        return list(self._book.db.read(_fold).values())

    def announce(
        self,
        actor: Actor,
        *,
        last_day: date,
        reason: str,
        notice: Mapping[str, str],
        function: str = "",
        trouble: bool = False,
        convenience: bool = True,
    ) -> Discontinuing:
        """Announces that all of the service, or one ``function`` of the plans, ends with a day.

        ``trouble``: the ground of §10(3); it sets no lead time, but a notice comes before (DSC-01, D-37).
        ``convenience``: for the provider's own reasons, so that paid months are returned (DSC-05).
        """
        now = self._book.clock()
        rule = "DSC-01" if trouble else "DSC-02"
        check_day(last_day, "the last day", rule)
        require(bool(reason.strip()), "a reason is needed", rule)
        require(last_day > jst_date(now), "notice comes first: the earliest last day is tomorrow", rule)

        def work(tx: Tx) -> Discontinuing:
            name = f"D{len(_fold(tx)) + 1}"
            subjects = sorted({act.subject.removeprefix(CONTRACT) for act in tx.acts.of_prefix(CONTRACT)})
            data = {
                "function": function,
                "last_day": last_day.isoformat(),
                "trouble": trouble,
                "convenience": convenience,
                "reason": reason,
                "contracts": [one for one in subjects if self._is_concerned(one)],
                "params": {**notice, "discontinuation": name, "last_day": last_day.isoformat()},
            }
            self._record(tx, name, "announced", actor, rule, data)
            return _fold(tx)[name]

        return self._book.db.write(work).result()

    def posted(self, name: str, actor: Actor, *, at: int) -> list[Contract]:
        """It stands on the web site. Returns the contracts for which it has come into force by that."""
        self._book.check_past(at, "the post")
        one = self._get(name)
        require(at >= one.announced_at, "nothing is posted before it is announced", "DSC-02")
        if one.posted_at is None:
            self._book.db.write(lambda tx: self._record(tx, name, "posted", actor, "DSC-02", {"at": at})).result()
        return self._settle(self._get(name), actor, list(one.told))

    def told(self, name: str, contract: str, actor: Actor, *, at: int) -> list[Contract]:
        """The e-mail reached a customer."""
        self._book.check_past(at, "the notice")
        one = self._get(name)
        require(at >= one.announced_at, "no notice arrives before it is announced", "DSC-02")
        known = self._book.get(contract)
        if contract not in one.told:
            data = {"contract": contract, "at": at}
            self._book.db.write(
                lambda tx: self._record(tx, name, "told", actor, "DSC-02", data, known.tenant_id)
            ).result()
        return self._settle(self._get(name), actor, [contract])

    # -- common -------------------------------------------------------------------------------------------------------

    def _settle(self, one: Discontinuing, actor: Actor, contracts: Sequence[str]) -> list[Contract]:
        """Records it on each contract for which both notices took effect in time; the others stay as they are."""
        if one.posted_at is None:
            return []
        done = []
        for name in contracts:
            if self._is_done(self._book.get(name), one):
                continue
            done.append(self._book.act(name, actor, lambda known, now, one=one: self._decide(known, now, one)))  # type: ignore[misc]
        return done

    def _decide(self, contract: Contract, now: int, one: Discontinuing) -> Decision:
        values = self._book.values(contract, now)
        state = contract.state(now, values)
        require(state not in ("ended", "terminated", "stopped"), f"the contract is {state}", "END-07")
        assert one.posted_at is not None
        told, posted = jst_date(one.told[contract.name]), jst_date(one.posted_at)
        complete = self._check_time(one, told, posted, values)
        data = {
            "discontinuation": one.id,
            "last_day": one.last_day.isoformat(),
            "notice_complete_on": complete.isoformat(),
            "migration_support": not one.function,
            "convenience": one.convenience,
            "reason": one.reason,
        }
        rule, ground = ("DSC-01", "10(3)") if one.trouble else ("DSC-02", "10(4)")
        if one.function:
            return Decision("contract.function_discontinued", "DSC-04", ground, {**data, "function": one.function})
        return Decision("contract.discontinued", rule, ground, data)

    def _check_time(self, one: Discontinuing, told: date, posted: date, values: ContractValues) -> date:
        """The day on which the notices were complete. ActRefused names the earliest last day."""
        found = discontinuation(one.last_day, one.scope, one.convenience, told, posted, (), values)
        assert found.notice_complete_on and found.earliest_last_day
        if one.trouble:
            in_time = found.notice_complete_on <= one.last_day
            require(in_time, f"the notice took effect after {one.last_day}", "DSC-01")
        else:
            require(found.allowed, f"the earliest last day is {found.earliest_last_day}", "DSC-02")
        return found.notice_complete_on

    def _is_done(self, contract: Contract, one: Discontinuing) -> bool:
        if one.function:
            return (one.last_day, one.function) in contract.withdrawn_features
        return contract.discontinued_on is not None and contract.discontinued_on <= one.last_day

    def _is_concerned(self, name: str) -> bool:
        contract, now = self._book.get(name), self._book.clock()
        if not contract.tenant_id or contract.erased:
            return False
        return contract.state(now, self._book.values(contract, now)) not in ("ended", "terminated", "stopped")

    def _record(
        self, tx: Tx, name: str, what: str, actor: Actor, rule: str, data: Mapping[str, object], tenant_id: int = 0
    ) -> None:
        kind, now = f"discontinuation.{what}", self._book.clock()
        tx.acts.append(
            Act(PREFIX + name, kind, now, actor.name, str(actor.role), rule, tenant_id, after=what, data=data)
        )

    def _get(self, name: str) -> Discontinuing:
        one = self._book.db.read(_fold).get(name)
        if one is None:
            raise NotFound(f"there is no discontinuation {name!r}")
        return one


def _fold(tx: Tx) -> dict[str, Discontinuing]:
    return dict(fold(tx.acts.of_prefix(PREFIX)))
