"""Transfer of the business (RULES XFR-01, §11): after prior notice the provider's place passes to a third party.

Contracts, terms, anchors and prices do not change by it, and nothing is opened: stored content moves with the system.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date
from gateway.domain.contract.discontinuing import TRANSFER, Transfer, fold_transfers
from gateway.domain.contract.privacy import may_disclose
from gateway.domain.contract.records import PREFIX as CONTRACT
from gateway.domain.errors import NotFound
from gateway.service.contracts.book import Actor, ContractBook, check_day, require
from gateway.service.unit_of_work import Tx


class Transfers:
    def __init__(self, book: ContractBook) -> None:
        self._book = book

    def all(self) -> list[Transfer]:
        return list(self._book.db.read(_fold).values())

    def announce(
        self, actor: Actor, *, old_party: str, new_party: str, effective_on: date, notice: Mapping[str, str]
    ) -> Transfer:
        """Records old and new party and the day; the notices follow from it. ActRefused XFR-01 without prior notice."""
        now = self._book.clock()
        check_day(effective_on, "the transfer", "XFR-01")
        require(bool(old_party.strip() and new_party.strip()), "name both parties", "XFR-01")
        require(effective_on > jst_date(now), "notice comes first: the earliest day is tomorrow", "XFR-01")

        def work(tx: Tx) -> Transfer:
            name = f"X{len(_fold(tx)) + 1}"
            data = {
                "old_party": old_party,
                "new_party": new_party,
                "effective_on": effective_on.isoformat(),
                "params": {**notice, "transfer": name, "effective_on": effective_on.isoformat()},
            }
            _record(tx, name, "announced", actor, now, data)
            return _fold(tx)[name]

        return self._book.db.write(work).result()

    def told(self, name: str, contract: str, actor: Actor, *, at: int) -> None:
        """The notice to a customer was sent: it works by that (NTC-02)."""
        self._book.check_past(at, "the notice")
        one, known = self._get(name), self._book.get(contract)
        require(at >= one.announced_at, "no notice is sent before the transfer is announced", "XFR-01")
        if contract not in one.told:
            data, now = {"contract": contract, "at": at}, self._book.clock()
            self._book.db.write(lambda tx: _record(tx, name, "told", actor, now, data, known.tenant_id)).result()

    def carry_out(self, name: str, actor: Actor) -> Transfer:
        """The place has passed on. ActRefused XFR-01 before its day, and while a customer was not told before it."""
        one, now = self._get(name), self._book.clock()
        require(one.done_at is None, "it is carried out already", "XFR-01")
        require(jst_date(now) >= one.effective_on, f"it takes place on {one.effective_on}", "XFR-01")
        late = [each for each in self._customers() if not _told_before(one, each)]
        require(not late, f"no notice took effect before {one.effective_on} for {', '.join(late)}", "XFR-01")
        self._book.db.write(lambda tx: _record(tx, name, "done", actor, now, {"new_party": one.new_party})).result()
        return self._get(name)

    def registration_data(self, name: str, actor: Actor) -> list[dict[str, Any]]:
        """The registration data of all customers, for the new party only: consent is given in advance (§11, CUS-03)."""
        one = self._get(name)
        allowed = may_disclose("customer_info", "service_transfer") and bool(one.told)
        require(allowed, "registration data goes to the new party after the notice only", "XFR-01")
        found = [
            {"contract": each, "customer": dict(self._book.db.read(lambda tx, each=each: tx.documents.customer(each)))}  # type: ignore[misc]
            for each in self._customers()
        ]
        data, now = {"contracts": len(found), "new_party": one.new_party}, self._book.clock()
        self._book.db.write(lambda tx: _record(tx, name, "data_exported", actor, now, data)).result()
        return found

    def _customers(self) -> list[str]:
        subjects = self._book.db.read(lambda tx: {act.subject for act in tx.acts.of_prefix(CONTRACT)})
        names = sorted(subject.removeprefix(CONTRACT) for subject in subjects)
        found = []
        for name in names:
            contract = self._book.get(name)
            state = contract.state(self._book.clock(), self._book.values(contract))
            if contract.tenant_id and not contract.erased and state not in ("ended", "terminated", "stopped"):
                found.append(name)
        return found

    def _get(self, name: str) -> Transfer:
        one = self._book.db.read(_fold).get(name)
        if one is None:
            raise NotFound(f"there is no transfer {name!r}")
        return one


def _told_before(one: Transfer, contract: str) -> bool:
    return contract in one.told and jst_date(one.told[contract]) + timedelta(days=1) <= one.effective_on


def _record(
    tx: Tx, name: str, what: str, actor: Actor, now: int, data: Mapping[str, object], tenant_id: int = 0
) -> None:
    role = str(actor.role)
    tx.acts.append(
        Act(TRANSFER + name, f"transfer.{what}", now, actor.name, role, "XFR-01", tenant_id, "11", data=data)
    )


def _fold(tx: Tx) -> dict[str, Transfer]:
    return dict(fold_transfers(tx.acts.of_prefix(TRANSFER)))
