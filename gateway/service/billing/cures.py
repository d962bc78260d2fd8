"""What a payment does to the contract: a lump sum ends it (END-04), demanded money removes the ground (D-51)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date
from gateway.domain.contract.ending import GROUNDS
from gateway.domain.contract.records import PREFIX, after
from gateway.domain.invoice_records import InvoiceRecord, Kind
from gateway.service.billing.ledger import Ledger
from gateway.service.contracts.book import Actor

PAYMENT = GROUNDS[0]


def contract_acts(ledger: Ledger, invoice: InvoiceRecord, actor: Actor, now: int) -> Iterator[Act]:
    """The acts about the contract that follow from an invoice being paid in full; none while something is open."""
    if invoice.open > 0 or not invoice.payments or invoice.payments[-1].returned:
        return
    paid_on = max(one.on for one in invoice.payments if not one.returned)
    cancellations = ledger.contract.cancellations
    if invoice.kind is Kind.CLOSING and invoice.has_lump_sum and cancellations:
        newest = cancellations[-1]
        if newest.received == invoice.dated and newest.paid_on is None:
            yield _act(ledger, "contract.lump_sum_paid", "END-04", "", {"paid_on": str(paid_on)}, invoice, actor, now)
    for demand in ledger.contract.demands:
        due = demand.due_on
        if demand.ground != PAYMENT or demand.cured is not None or due is None or due != invoice.due:
            continue
        if not _others_open(ledger, invoice, due, jst_date(now)):
            data = {"id": demand.id, "cured_on": str(paid_on)}
            yield _act(ledger, "contract.cured", "END-05", PAYMENT, data, invoice, actor, now)


def _others_open(ledger: Ledger, invoice: InvoiceRecord, due: date, today: date) -> bool:
    return any(one.due == due and one.number != invoice.number and one.is_overdue(today) for one in ledger.invoices)


def _act(
    ledger: Ledger,
    kind: str,
    rule: str,
    ground: str,
    data: dict[str, Any],
    invoice: InvoiceRecord,
    actor: Actor,
    now: int,
) -> Act:
    act = Act(
        subject=PREFIX + ledger.contract.name,
        kind=kind,
        at=now,
        actor=actor.name,
        role=str(actor.role),
        rule=rule,
        tenant_id=ledger.contract.tenant_id,
        ground=ground,
        before=ledger.contract.state(now),
        data={**data, "invoice": invoice.number},
    )
    changed = after(ledger.contract, act)
    assert changed is not None
    return replace(act, after=changed.state(now))
