"""Damages that the provider pays besides the credits of the service level, within the cap (RULES LIA-02, LIA-03)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date
from gateway.domain.contract.incidents import INCIDENT, log_of
from gateway.domain.contract.liability import Liability, liability
from gateway.domain.contract.records import Contract
from gateway.domain.contract.sla import Cause
from gateway.domain.contract.values import ContractValues
from gateway.domain.errors import NotFound
from gateway.service.billing.ledger import DAMAGES, REFUNDS, Ledger, ledger_of
from gateway.service.contracts.book import Actor, require
from gateway.service.unit_of_work import Database, Tx


class Damages:
    """``values_of`` gives the constants of the terms for a contract."""

    def __init__(
        self,
        db: Database,
        clock: Callable[[], int],
        values_of: Callable[[Contract], ContractValues],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._values_of = values_of
        self._changed = changed

    def standing(self, name: str) -> Liability:
        """The cap today, and what was granted and paid of it. ActRefused before the acceptance; NotFound."""
        return self._db.read(lambda tx: self._liability(ledger_of(tx, name, jst_date(self._clock()))))

    def pay(self, name: str, actor: Actor, *, amount: int, on: date, reason: str, incident: str = "") -> Liability:
        """Damages were paid. ActRefused LIA-03 for more than the cap leaves, LIA-02 for an incident whose cause is not
        the provider's."""
        require(amount > 0, "damages are at least one yen", "LIA-03")
        require(bool(reason.strip()), "a reason is stored with it", "P-6")

        def work(tx: Tx) -> Liability:
            now = self._clock()
            ledger = ledger_of(tx, name, jst_date(now))
            require(on <= jst_date(now), "it lies in the future", "P-6")
            if incident:
                _check_cause(tx, incident, ledger.contract)
            left = self._liability(ledger).left
            require(
                amount <= left,
                f"{left} yen are left: all damages together are a month's fee at most, credits included",
                "LIA-03",
            )
            data = {"contract": name, "amount": amount, "on": str(on), "reason": reason, "incident": incident}
            tenant = ledger.contract.tenant_id
            tx.acts.append(Act(REFUNDS + name, DAMAGES, now, actor.name, str(actor.role), "LIA-03", tenant, data=data))
            return self._liability(ledger_of(tx, name, jst_date(now)))

        done = self._db.write(work).result()
        self._changed()
        return done

    def _liability(self, ledger: Ledger) -> Liability:
        contract = ledger.contract
        require(contract.agreed is not None, "the contract is not accepted yet", "LIA-03")
        granted = sum(one.amount for one in ledger.grants)
        return liability(contract, ledger.on, granted, ledger.damages, self._values_of(contract))


def _check_cause(tx: Tx, name: str, contract: Contract) -> None:
    found = log_of(tx.acts.of_subject(INCIDENT + name)).all.get(name)
    if found is None:
        raise NotFound(f"there is no incident {name!r}")
    concerns = contract.tenant_id is not None and found.concerns(contract.tenant_id)
    require(concerns, f"{name} does not concern this customer", "LIA-02")
    require(found.is_recognised, f"{name} is not recognised", "SLA-AV-02")
    require(
        found.cause is Cause.PROVIDER,
        f"the cause of {name} is {found.cause}: the provider is not liable for it",
        "LIA-02",
    )
