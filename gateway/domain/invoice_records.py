"""An invoice as its acts tell it (RULES FEE, PAY): what was issued, and what became of it. A pure fold.

What an invoice says never changes. Its state follows from payments and from the day that is asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Any

from gateway.domain.acts import Act

PREFIX = "invoice:"
ISSUED = "invoice.issued"


class Kind(StrEnum):
    """What an invoice is for: a period, the closing of a contract, or only what came up after its end."""

    PERIOD = "period"
    CLOSING = "closing"
    EXTRA = "extra"


@dataclass(frozen=True, slots=True)
class CreditUse:
    """What of a granted claim an invoice deducts (FEE-10)."""

    claim: str
    amount: int


@dataclass(frozen=True, slots=True)
class Payment:
    """``act`` is the number of its act, ``returned`` the code with which a bank took it back."""

    act: int
    amount: int
    on: date
    method: str
    reference: str = ""
    returned: str = ""


@dataclass(frozen=True, slots=True)
class Correction:
    """A line (from 1) that was found wrong: the difference goes on the next invoice (PAY-01)."""

    act: int
    line: int
    right: int
    reason: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Failure:
    on: date
    code: str


@dataclass(frozen=True)
class InvoiceRecord:
    """``document`` as ``invoice_json`` keeps it, without the customer, whose data ``customer`` names by its digest.

    ``usage_of``: first days of the periods whose usage stands on it; ``corrected``: acts of corrections that do.
    ``order`` is the debit order that it is in, ``handed_over`` the file to the payment agency.
    """

    number: str
    contract: str
    tenant_id: int
    at: int
    kind: Kind
    customer: str
    document: Mapping[str, Any]
    collector: str = "provider"
    credits: tuple[CreditUse, ...] = ()
    usage_of: tuple[str, ...] = ()
    corrected: tuple[int, ...] = ()
    payments: tuple[Payment, ...] = ()
    corrections: tuple[Correction, ...] = ()
    failures: tuple[Failure, ...] = ()
    refunded: int = 0
    order: str = ""
    assigned_on: date | None = None
    handed_over: str = ""
    settled_on: date | None = None
    returned_on: date | None = None
    return_reason: str = ""
    sha256: str = field(default="", compare=False)

    @property
    def dated(self) -> date:
        return date.fromisoformat(self.document["dated"])

    @property
    def due(self) -> date:
        return date.fromisoformat(self.document["due"])

    @property
    def total(self) -> int:
        return int(self.document["total"])

    @property
    def method(self) -> str:
        return str(self.document["method"])

    @property
    def key(self) -> tuple[Kind, date]:
        """What of the contract it is: there is one invoice of each key."""
        period = self.document["period"]
        return self.kind, date.fromisoformat(period["start"]) if period else self.dated

    @property
    def paid(self) -> int:
        return sum(one.amount for one in self.payments if not one.returned)

    @property
    def open(self) -> int:
        """JPY that are owed to whoever holds the claim; below zero: what the customer has to get back."""
        return 0 if self.settled_on else self.total - self.paid + self.refunded

    @property
    def is_held(self) -> bool:
        """Whether the provider holds the claim (D-57): not assigned, or returned."""
        return self.assigned_on is None or self.returned_on is not None

    @property
    def has_lump_sum(self) -> bool:
        return any(line["code"] == "early_termination" for line in self.document["lines"])

    def paid_by(self, day: date) -> int:
        return sum(one.amount for one in self.payments if not one.returned and one.on <= day)

    def has_lapsed(self, on: date) -> bool:
        """END-04: the lump sum was not paid in full by the last day, so the cancellation and its invoice are void."""
        return self.kind is Kind.CLOSING and self.has_lump_sum and on > self.due and self.paid_by(self.due) < self.total

    def is_overdue(self, on: date) -> bool:
        """A claim that the provider holds and that was not paid by its due day (END-05 ①)."""
        return self.is_held and self.open > 0 and on > self.due and not self.has_lapsed(on)

    def state(self, on: date) -> str:
        """issued, partly_paid, paid, assigned, settled, returned, nothing_due, to_refund or lapsed."""
        if self.has_lapsed(on):
            return "lapsed"
        if self.settled_on:
            return "settled"
        if not self.is_held:
            return "assigned"
        if self.open < 0:
            return "to_refund"
        if self.open == 0:
            return "paid" if self.paid else "nothing_due"
        if self.paid:
            return "partly_paid"
        return "returned" if self.returned_on else "issued"


def fold(acts: Iterable[Act]) -> dict[str, InvoiceRecord]:
    """All invoices in acts, by number, in the order in which they were issued.

    A lump sum that was recorded on the contract itself, ahead of its invoice or after it, pays that invoice (END-04).
    """
    found: dict[str, InvoiceRecord] = {}
    lump_sums: dict[str, Act] = {}
    for act in acts:
        if act.kind == "contract.lump_sum_paid" and "invoice" not in act.data:
            contract = act.subject.removeprefix("contract:")
            waiting = [one for one in found.values() if one.contract == contract and _waits_for_lump_sum(one, act)]
            if waiting:
                found[waiting[-1].number] = _lump_sum(waiting[-1], act)
            else:
                lump_sums[contract] = act
        elif act.subject.startswith(PREFIX):
            number = act.subject.removeprefix(PREFIX)
            one = after(found.get(number), act)
            if one is not None and act.kind == ISSUED and one.contract in lump_sums and one.has_lump_sum:
                one = _lump_sum(one, lump_sums.pop(one.contract))
            if one is not None:
                found[number] = one
    return found


def _waits_for_lump_sum(one: InvoiceRecord, act: Act) -> bool:
    return one.has_lump_sum and one.open > 0 and _day(act, "paid_on") >= one.dated


def _lump_sum(one: InvoiceRecord, act: Act) -> InvoiceRecord:
    return replace(one, payments=(*one.payments, Payment(act.seq, one.open, _day(act, "paid_on"), "transfer")))


def after(invoice: InvoiceRecord | None, act: Act) -> InvoiceRecord | None:
    """The invoice after one more act."""
    if act.kind == ISSUED:
        data = act.data
        return InvoiceRecord(
            number=act.subject.removeprefix(PREFIX),
            contract=data["contract"],
            tenant_id=act.tenant_id,
            at=act.at,
            kind=Kind(data["kind"]),
            customer=data["customer"],
            document=data["document"],
            collector=data["collector"],
            credits=tuple(CreditUse(one["claim"], one["amount"]) for one in data["credits"]),
            usage_of=tuple(data["usage_of"]),
            corrected=tuple(data["corrected"]),
            sha256=data["sha256"],
        )
    step = _STEPS.get(act.kind)
    return step(invoice, act) if step and invoice else invoice


def _day(act: Act, key: str = "on") -> date:
    return date.fromisoformat(act.data[key])


def _paid(invoice: InvoiceRecord, act: Act) -> InvoiceRecord:
    data = act.data
    payment = Payment(act.seq, data["amount"], _day(act), data["method"], data.get("reference", ""))
    return replace(invoice, payments=(*invoice.payments, payment), order="")


def _payment_returned(invoice: InvoiceRecord, act: Act) -> InvoiceRecord:
    payments = tuple(
        replace(one, returned=act.data["code"]) if one.act == act.data["payment"] else one for one in invoice.payments
    )
    return replace(invoice, payments=payments, failures=(*invoice.failures, Failure(_day(act), act.data["code"])))


def _failed(invoice: InvoiceRecord, act: Act) -> InvoiceRecord:
    return replace(invoice, failures=(*invoice.failures, Failure(_day(act), act.data["code"])), order="")


def _corrected(invoice: InvoiceRecord, act: Act) -> InvoiceRecord:
    correction = Correction(act.seq, act.data["line"], act.data["right"], act.data["reason"])
    return replace(invoice, corrections=(*invoice.corrections, correction))


_STEPS: Mapping[str, Callable[[InvoiceRecord, Act], InvoiceRecord]] = {
    "invoice.paid": _paid,
    "invoice.payment_returned": _payment_returned,
    "invoice.payment_failed": _failed,
    "invoice.debit_ordered": lambda invoice, act: replace(invoice, order=act.data["order"]),
    "invoice.assigned": lambda invoice, act: replace(invoice, assigned_on=_day(act)),
    "invoice.handed_over": lambda invoice, act: replace(invoice, handed_over=act.data["order"]),
    "invoice.settled": lambda invoice, act: replace(invoice, settled_on=_day(act)),
    "invoice.returned": lambda invoice, act: replace(invoice, returned_on=_day(act), return_reason=act.data["reason"]),
    "invoice.corrected": _corrected,
    "invoice.refunded": lambda invoice, act: replace(invoice, refunded=invoice.refunded + act.data["amount"]),
}
"""Kind → what it does. Every kind that a service records is here; a test says so."""
