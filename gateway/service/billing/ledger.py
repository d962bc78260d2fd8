"""All that is known of the money of one contract, read in one transaction from its acts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date
from gateway.domain.contract import records
from gateway.domain.contract.records import Contract
from gateway.domain.errors import NotFound
from gateway.domain.invoice_records import PREFIX, Correction, InvoiceRecord, fold
from gateway.service.unit_of_work import Tx

GRANTED = "claim.granted"
REFUNDS = "billing:"


@dataclass(frozen=True, slots=True)
class Grant:
    """An accepted claim (CMP-07): from when it counts, JPY, and what invoices have used of it (FEE-10)."""

    claim: str
    accepted_on: date
    amount: int
    used: int = 0

    @property
    def left(self) -> int:
        return self.amount - self.used


@dataclass(frozen=True)
class Ledger:
    """``applied`` is the data of the application; ``stopped_on`` the day of a stop (ANT-01)."""

    contract: Contract
    customer_number: str
    applied: Mapping[str, Any]
    invoices: tuple[InvoiceRecord, ...]
    grants: tuple[Grant, ...]
    paid_out: int = 0
    stopped_on: date | None = None

    @property
    def credit_left(self) -> int:
        """Granted, and neither deducted nor paid out (D-22)."""
        return sum(one.left for one in self.grants)

    @property
    def usage_billed(self) -> frozenset[str]:
        return frozenset(start for one in self.invoices for start in one.usage_of)

    def pending(self) -> Iterator[tuple[InvoiceRecord, Correction]]:
        """Corrections that stand on no invoice yet, the oldest first."""
        done = {act for one in self.invoices for act in one.corrected}
        found = [(one, each) for one in self.invoices for each in one.corrections if each.act not in done]
        yield from sorted(found, key=lambda pair: pair[1].act)


def ledger_of(tx: Tx, name: str) -> Ledger:
    """NotFound when there is no such contract."""
    acts = tx.acts.of_subject(records.PREFIX + name)
    contract = records.fold(acts)
    if contract is None:
        raise NotFound(f"there is no contract {name!r}")
    about = tx.acts.of_tenant(contract.tenant_id) if contract.tenant_id else []
    invoices = tuple(one for one in fold(about).values() if one.contract == name)
    paid_out = _paid_out(about, name)
    return Ledger(
        contract=contract,
        customer_number=customer_number(acts[0]),
        applied=acts[0].data,
        invoices=invoices,
        grants=tuple(_grants(about, name, invoices, paid_out)),
        paid_out=paid_out,
        stopped_on=next((jst_date(act.at) for act in acts if act.kind == "contract.stopped"), None),
    )


def customer_number(applied: Act) -> str:
    """Names the customer towards banks and on invoices: given with the application, for ever."""
    return f"C{applied.seq:06d}"


def invoice_of(tx: Tx, number: str) -> InvoiceRecord:
    """NotFound when it was not issued."""
    found = fold(tx.acts.of_subject(PREFIX + number)).get(number)
    if found is None:
        raise NotFound(f"there is no invoice {number!r}")
    return found


def _grants(acts: list[Act], name: str, invoices: tuple[InvoiceRecord, ...], paid_out: int) -> Iterator[Grant]:
    """The oldest first, which is how they are used; what was paid out is taken off in the same order."""
    used: dict[str, int] = {}
    for invoice in invoices:
        for one in invoice.credits:
            used[one.claim] = used.get(one.claim, 0) + one.amount
    found = []
    for act in acts:
        if act.kind == GRANTED and act.data.get("contract") == name:
            on = act.data.get("accepted_on")
            accepted = date.fromisoformat(on) if on else jst_date(act.at)
            found.append(Grant(act.subject, accepted, act.data["amount"], used.get(act.subject, 0)))
    for grant in sorted(found, key=lambda one: one.accepted_on):
        more = min(paid_out, grant.left)
        paid_out -= more
        yield Grant(grant.claim, grant.accepted_on, grant.amount, grant.used + more)


def _paid_out(acts: list[Act], name: str) -> int:
    subject = REFUNDS + name
    return sum(act.data["amount"] for act in acts if act.subject == subject and act.kind == "billing.credit_paid_out")
