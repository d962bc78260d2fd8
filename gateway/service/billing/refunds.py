"""Money that goes back, each time by a rule: paid fees are returned on no other ground (FEE-06)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from gateway.domain.acts import Act
from gateway.domain.calendar import PeriodKind, jst_date
from gateway.domain.contract.ending import PaidMonth, discontinuation
from gateway.domain.contract.records import Contract, ended_on
from gateway.domain.contract.values import ContractValues
from gateway.domain.errors import ActRefused
from gateway.domain.invoice_records import InvoiceRecord, Kind
from gateway.service.billing.ledger import CREDIT_PAID_OUT, REFUNDED, REFUNDS, Ledger, invoice_of, ledger_of
from gateway.service.billing.payments import Step, record
from gateway.service.contracts.book import Actor, require
from gateway.service.unit_of_work import Database, Tx

OF_CONTRACT = {
    "FEE-10": "credit that is left after the last invoice (D-22)",
    "DSC-05": "paid months that have not expired when the provider discontinues the service",
}
OF_INVOICE = {
    "PAY-01": "a correction that made the invoice negative",
    "END-04": "what was paid on a lump sum whose cancellation lapsed",
}


class Refunds:
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

    def due(self, name: str) -> dict[str, int]:
        """Rule → JPY that may be returned for a contract now. NotFound."""
        return self._db.read(lambda tx: self._due(ledger_of(tx, name, jst_date(self._clock()))))

    def of_contract(self, name: str, actor: Actor, *, rule: str, amount: int, on: date, reason: str) -> Ledger:
        """Money was paid out for a contract. ActRefused FEE-06 for another rule, that rule for more than it gives."""
        _check(rule, OF_CONTRACT, amount, reason)

        def work(tx: Tx) -> Ledger:
            now = self._clock()
            ledger = ledger_of(tx, name, jst_date(now))
            require(on <= jst_date(now), "it lies in the future", "P-6")
            most = self._due(ledger).get(rule, 0)
            require(amount <= most, f"{most} yen may be returned: {OF_CONTRACT[rule]}", rule)
            kind = CREDIT_PAID_OUT if rule == "FEE-10" else REFUNDED
            data = {"contract": name, "amount": amount, "on": str(on), "reason": reason}
            tenant = ledger.contract.tenant_id
            tx.acts.append(Act(REFUNDS + name, kind, now, actor.name, str(actor.role), rule, tenant, data=data))
            return ledger_of(tx, name, jst_date(now))

        done = self._db.write(work).result()
        self._changed()
        return done

    def of_invoice(self, number: str, actor: Actor, *, rule: str, amount: int, on: date, reason: str) -> InvoiceRecord:
        """Money of one invoice was paid back. ActRefused as :meth:`of_contract`."""
        _check(rule, OF_INVOICE, amount, reason)

        def work(tx: Tx) -> InvoiceRecord:
            now, one = self._clock(), invoice_of(tx, number)
            today = jst_date(now)
            require(on <= today, "it lies in the future", "P-6")
            if rule == "END-04":
                most = one.paid - one.refunded if one.has_lapsed(today) else 0
            else:
                most = max(0, -one.open) if one.is_held else 0
            require(amount <= most, f"{most} yen may be returned: {OF_INVOICE[rule]}", rule)
            step = Step("invoice.refunded", rule, {"amount": amount, "on": str(on), "reason": reason})
            return record(tx, one, ledger_of(tx, one.contract, today), step, actor, now)

        done = self._db.write(work).result()
        self._changed()
        return done

    def _due(self, ledger: Ledger) -> dict[str, int]:
        """D-22: only when no invoice comes any more can credit be paid out. DSC-05: the months as they were paid."""
        contract, today = ledger.contract, jst_date(self._clock())
        values = self._values_of(contract)
        found = {}
        if ledger.credit_left and (ended_on(contract, today, values) or ledger.stopped_on):
            found["FEE-10"] = ledger.credit_left
        if contract.discontinued_on is not None:
            paid = [month for one in ledger.invoices if (month := paid_month(one)) is not None]
            own_reasons = contract.discontinued_for_convenience
            back = discontinuation(contract.discontinued_on, "all", own_reasons, None, None, paid, values).refund
            found["DSC-05"] = max(0, back - ledger.refunded)
        return {rule: amount for rule, amount in found.items() if amount}


def paid_month(one: InvoiceRecord) -> PaidMonth | None:
    """A billing month as it was paid, with its tax (DSC-05, D-39): never more than came in for its invoice."""
    period = one.document["period"]
    if one.kind is not Kind.PERIOD or period["kind"] != PeriodKind.MONTH:
        return None
    fees = [line for line in one.document["lines"] if line["code"] == "monthly_fee"]
    amount = sum(line["amount"] + line["amount"] * (line["rate"] or 0) // 10_000 for line in fees)
    came_in = one.total if one.settled_on else one.paid
    amount = min(amount, came_in)
    if amount <= 0:
        return None
    return PaidMonth(date.fromisoformat(period["start"]), date.fromisoformat(period["end"]), amount)


def _check(rule: str, known: dict[str, str], amount: int, reason: str) -> None:
    if rule not in known:
        listed = "; ".join(f"{name}: {text}" for name, text in known.items())
        raise ActRefused(f"paid fees are not returned, except by {listed}", "FEE-06")
    require(amount > 0, "at least one yen is returned", rule)
    require(bool(reason.strip()), "a reason is stored with it", "P-6")
