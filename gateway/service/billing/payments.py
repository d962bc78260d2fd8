"""What becomes of an issued invoice: paid, assigned, settled, returned, corrected, or refused with the rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date
from gateway.domain.collecting import DEBIT_TEXTS, DebitCode
from gateway.domain.contract.records import Contract
from gateway.domain.errors import ActRefused, NotFound
from gateway.domain.invoice import BANK_DEBIT, InvoiceDocument
from gateway.domain.invoice_records import PREFIX, InvoiceRecord, after
from gateway.service.billing.cures import PAYMENT, contract_acts
from gateway.service.billing.ledger import Ledger, all_invoices, invoice_of, ledger_of
from gateway.service.billing.lookup import digest_of, document_of
from gateway.service.contracts.book import Actor, require
from gateway.service.contracts.powers import Powers
from gateway.service.unit_of_work import Database, Tx

TRANSFER, RESELLER = "transfer", "reseller"
PAYMENT_METHODS = (TRANSFER, BANK_DEBIT, RESELLER)
"""How money comes: sent by the customer, by debit, or through the reseller who collects (FEE-07, AGT-01)."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be recorded about an invoice, without who and when."""

    kind: str
    rule: str
    data: Mapping[str, Any] = field(default_factory=dict)
    ground: str = ""


Decide = Callable[[InvoiceRecord, Ledger, date], Step]


class Invoices:
    """``changed`` is called when an act was recorded."""

    def __init__(self, db: Database, clock: Callable[[], int], changed: Callable[[], None] = lambda: None) -> None:
        self._db = db
        self._clock = clock
        self._changed = changed

    # -- look ---------------------------------------------------------------------------------------------------------

    def get(self, number: str) -> InvoiceRecord:
        """NotFound."""
        return self._db.read(lambda tx: invoice_of(tx, number))

    def document(self, number: str) -> tuple[InvoiceDocument, bool]:
        """The document as it was issued, and whether all of it still is what was issued (it is not when the customer's
        data was erased)."""

        def look(tx: Tx) -> tuple[InvoiceDocument, bool]:
            record = invoice_of(tx, number)
            document = document_of(tx, record)
            return document, digest_of(document) == record.sha256

        return self._db.read(look)

    def documents(self, records: Sequence[InvoiceRecord]) -> list[InvoiceDocument]:
        return self._db.read(lambda tx: [document_of(tx, one) for one in records])

    def all(self, contract: str | None = None) -> list[InvoiceRecord]:
        """All invoices, or those of a contract, in the order of their issue."""
        found = self._db.read(all_invoices)
        return [one for one in found.values() if contract in (None, one.contract)]

    def ledger(self, contract: str) -> Ledger:
        """All money of a contract. NotFound."""
        return self._db.read(lambda tx: ledger_of(tx, contract, self.today()))

    def history(self, number: str) -> list[Act]:
        self.get(number)
        return self._db.read(lambda tx: tx.acts.of_subject(PREFIX + number))

    def today(self) -> date:
        return jst_date(self._clock())

    # -- pay ----------------------------------------------------------------------------------------------------------

    def pay(
        self, number: str, actor: Actor, *, on: date, method: str, amount: int | None = None, reference: str = ""
    ) -> InvoiceRecord:
        """Money came in, by default all that is open. ActRefused PAY-01 for a claim that the agency holds, FEE-06 for
        more than is owed, END-04 for a lump sum after the last day, FEE-07 while a debit is under way."""
        if method not in PAYMENT_METHODS:
            raise ActRefused(f"money comes by {', '.join(PAYMENT_METHODS)}", "FEE-07")

        def decide(one: InvoiceRecord, ledger: Ledger, today: date) -> Step:
            _in_past(on, today)
            check_payable(one, on, today)
            require(
                method != RESELLER or ledger.contract.route == "reseller",
                "the contract did not come through a reseller",
                "FEE-07",
            )
            return paid_step(one, one.open if amount is None else amount, on, method, reference)

        return self._act(number, actor, decide)

    def give_back(
        self, number: str, actor: Actor, *, on: date, reason: str = "", code: str | None = None
    ) -> InvoiceRecord:
        """The agency returned an assigned claim (with its reason), or a bank returned a debit (with its result code).

        ActRefused PAY-01, FEE-07. From then on the provider holds the claim, and END-05 ① runs on it again (D-57).
        """

        def decide(one: InvoiceRecord, _ledger: Ledger, today: date) -> Step:
            _in_past(on, today)
            return returned_step(one, on, reason, code)

        return self._act(number, actor, decide)

    # -- the payment agency -------------------------------------------------------------------------------------------

    def assign(self, number: str, actor: Actor) -> InvoiceRecord:
        """The claim goes to the payment agency, which bills the customer (PAY-01). Credits are on the invoice, so they
        are off already; from now on the provider sends no second bill."""

        def decide(one: InvoiceRecord, _ledger: Ledger, today: date) -> Step:
            require(
                one.assigned_on is None, f"the claim was assigned on {one.assigned_on}, which is once only", "PAY-01"
            )
            require(not one.has_lapsed(today), "the cancellation lapsed: nothing is owed", "END-04")
            require(
                not one.has_lump_sum, "a lump sum is a condition of the end, which the agency cannot wait for", "END-04"
            )
            require(one.open > 0, "nothing is open: there is no claim", "PAY-01")
            require(not one.paid, "part of it was paid: a claim is assigned whole", "PAY-01")
            require(not one.order, f"it is in the debit order {one.order}", "FEE-07")
            return Step("invoice.assigned", "PAY-01", {"on": str(today), "amount": one.open}, "27(5)")

        return self._act(number, actor, decide)

    def settle(self, number: str, actor: Actor, *, on: date) -> InvoiceRecord:
        """The agency settled an assigned claim."""

        def decide(one: InvoiceRecord, _ledger: Ledger, today: date) -> Step:
            _in_past(on, today)
            return settled_step(one, on)

        return self._act(number, actor, decide)

    # -- put right ----------------------------------------------------------------------------------------------------

    def correct(self, number: str, line: int, actor: Actor, *, right: int, reason: Mapping[str, str]) -> InvoiceRecord:
        """A line was wrong: the difference stands on the next invoice; this one stays as it is (PAY-01)."""

        def decide(one: InvoiceRecord, ledger: Ledger, _today: date) -> Step:
            lines = one.document["lines"]
            if not 1 <= line <= len(lines):
                raise NotFound(f"{number} has lines 1 to {len(lines)}")
            wrong = lines[line - 1]
            require(wrong["code"] != "sla_credit", "a credit is put right by a claim, not by a correction", "CMP-07")
            require(wrong["code"] != "early_termination", "the lump sum follows from the minimum", "END-03")
            require(not wrong["corrects"], f"correct line of {wrong['corrects']}, which this line puts right", "PAY-01")
            stands = next((each.right for each in reversed(one.corrections) if each.line == line), wrong["amount"])
            require(stands == wrong["amount"], f"line {line} was corrected to {stands} already", "PAY-01")
            require(right != wrong["amount"], f"line {line} already stands at {right}", "PAY-01")
            require(right >= 0, "an amount is not negative", "FEE-09")
            require(all(reason.get(each, "").strip() for each in ("ja", "en")), "a correction needs a reason", "PAY-01")
            del ledger
            return Step(
                "invoice.corrected",
                "PAY-01",
                {"line": line, "was": wrong["amount"], "right": right, "reason": dict(reason)},
            )

        return self._act(number, actor, decide)

    def demand(self, number: str, actor: Actor, sent_at: int, powers: Powers) -> Contract:
        """A demand to pay an overdue invoice (END-05 ①). ActRefused PAY-01 for a claim that the provider does not hold
        (D-57), END-05 before the due day is over."""
        one, today = self.get(number), self.today()
        require(one.is_held, "the payment agency holds the claim: the provider demands nothing", "PAY-01")
        require(not one.has_lapsed(today), "the cancellation lapsed: nothing is owed", "END-04")
        require(one.open > 0, "nothing is open", "END-05")
        require(not one.order, f"a debit is under way in {one.order}: read its result first", "FEE-07")
        require(jst_date(one.at) <= jst_date(sent_at), "it was not issued yet", "END-05")
        return powers.demand(one.contract, actor, ground=PAYMENT, sent_at=sent_at, due_on=one.due)

    # -- record -------------------------------------------------------------------------------------------------------

    def _act(self, number: str, actor: Actor, decide: Decide) -> InvoiceRecord:
        def work(tx: Tx) -> InvoiceRecord:
            now = self._clock()
            one = invoice_of(tx, number)
            ledger = ledger_of(tx, one.contract, jst_date(now))
            return record(tx, one, ledger, decide(one, ledger, jst_date(now)), actor, now)

        done = self._db.write(work).result()
        self._changed()
        return done


# -- decisions, also for files that are read back ---------------------------------------------------------------------


def record(tx: Tx, one: InvoiceRecord, ledger: Ledger, step: Step, actor: Actor, now: int) -> InvoiceRecord:
    """Stores the act, and what follows from it for the contract (END-04, END-05 D-51)."""
    today = jst_date(now)
    act = Act(
        subject=PREFIX + one.number,
        kind=step.kind,
        at=now,
        actor=actor.name,
        role=str(actor.role),
        rule=step.rule,
        tenant_id=one.tenant_id,
        ground=step.ground,
        before=one.state(today),
        data={"contract": one.contract, "total": one.total, **step.data},
    )
    # the state after it is part of the act, and the number of the act part of the state
    changed = after(one, replace(act, seq=tx.acts.count() + 1))
    assert changed is not None
    tx.acts.append(replace(act, after=changed.state(today)))
    for follows in contract_acts(ledger, changed, actor, now):
        tx.acts.append(follows)
    return changed


def check_payable(one: InvoiceRecord, on: date, today: date) -> None:
    """ActRefused with the rule by which this invoice cannot be paid to the provider."""
    require(one.settled_on is None, "the payment agency settled it", "PAY-01")
    require(one.is_held, "the payment agency holds the claim and collects it: invoice settle, or return", "PAY-01")
    require(not one.order, f"a debit is under way in {one.order}: read its result first", "FEE-07")
    if one.has_lapsed(today):
        require(
            on <= one.due,
            f"the lump sum was due on {one.due}: the cancellation has lapsed, and a new notice is needed",
            "END-04",
        )
    require(one.open > 0, "nothing is open", "FEE-06")


def paid_step(one: InvoiceRecord, amount: int, on: date, method: str, reference: str = "") -> Step:
    require(amount > 0, "a payment is at least one yen", "FEE-06")
    require(
        amount <= one.open,
        f"{one.open} yen are open: what is not owed is not taken, since there is no free refund",
        "FEE-06",
    )
    data = {"amount": amount, "on": str(on), "method": method, "reference": reference}
    return Step("invoice.paid", "END-04" if one.has_lump_sum else "FEE-07", data)


def settled_step(one: InvoiceRecord, on: date) -> Step:
    require(one.assigned_on is not None, "the claim was not assigned: the customer pays to the provider", "PAY-01")
    require(one.returned_on is None, "the agency returned the claim", "PAY-01")
    require(one.settled_on is None, "it is settled already", "PAY-01")
    assert one.assigned_on
    require(on >= one.assigned_on, f"it was assigned on {one.assigned_on} only", "PAY-01")
    return Step("invoice.settled", "PAY-01", {"on": str(on)}, "27(5)")


def returned_step(one: InvoiceRecord, on: date, reason: str, code: str | None) -> Step:
    """See :meth:`Invoices.give_back`."""
    if not one.is_held:
        require(one.settled_on is None, "the agency settled the claim", "PAY-01")
        require(bool(reason.strip()), "the agency returns a claim with a reason", "PAY-01")
        return Step("invoice.returned", "PAY-01", {"on": str(on), "reason": reason}, "27(5)")
    debits = [each for each in one.payments if each.method == BANK_DEBIT and not each.returned]
    require(bool(one.order or debits), "it is neither assigned nor in a debit order, nor paid by debit", "PAY-01")
    if code is None or code not in tuple(DebitCode) or code == DebitCode.PAID:
        known = ", ".join(f"{each} {DEBIT_TEXTS[each].en}" for each in DebitCode if each is not DebitCode.PAID)
        raise ActRefused(f"a bank returns a debit with one of the codes {known}", "FEE-07")
    if one.order:
        return Step(
            "invoice.payment_failed",
            "FEE-07",
            {"on": str(on), "code": code, "order": one.order, "reason": DEBIT_TEXTS[DebitCode(code)].en},
        )
    data = {"on": str(on), "code": code, "payment": debits[-1].act, "amount": debits[-1].amount}
    return Step("invoice.payment_returned", "FEE-07", data)


def _in_past(on: date, today: date) -> None:
    require(on <= today, "it lies in the future", "P-6")
