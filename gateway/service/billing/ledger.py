"""All that is known of the money of one contract, read in one transaction from its acts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
CREDIT_PAID_OUT, REFUNDED, DAMAGES = "billing.credit_paid_out", "billing.refunded", "billing.damages_paid"
LUMP_SUM_PAID = "contract.lump_sum_paid"


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
    """``applied`` is the data of the application; ``refunded`` what went back by DSC-05, ``damages`` what was paid by
    LIA-03; ``stopped_on`` the day of a stop (ANT-01).

    ``on`` is the day on which this is so: a closing invoice that has lapsed by then is void (END-04), and the credit,
    usage and corrections on it wait again."""

    contract: Contract
    customer_number: str
    applied: Mapping[str, Any]
    invoices: tuple[InvoiceRecord, ...]
    grants: tuple[Grant, ...]
    on: date
    refunded: int = 0
    damages: int = 0
    stopped_on: date | None = None

    @property
    def credit_left(self) -> int:
        """Granted, and neither deducted nor paid out (D-22)."""
        return sum(one.left for one in self.grants)

    @property
    def standing(self) -> tuple[InvoiceRecord, ...]:
        """The invoices that are not void."""
        return tuple(one for one in self.invoices if not one.has_lapsed(self.on))

    @property
    def usage_billed(self) -> frozenset[str]:
        return frozenset(start for one in self.standing for start in one.usage_of)

    def pending(self) -> Iterator[tuple[InvoiceRecord, Correction]]:
        """Corrections that stand on no invoice yet, the oldest first."""
        done = {act for one in self.standing for act in one.corrected}
        found = [(one, each) for one in self.standing for each in one.corrections if each.act not in done]
        yield from sorted(found, key=lambda pair: pair[1].act)


def ledger_of(tx: Tx, name: str, on: date) -> Ledger:
    """As it stands on a day. NotFound when there is no such contract."""
    acts = tx.acts.of_subject(records.PREFIX + name)
    contract = records.fold(acts)
    if contract is None:
        raise NotFound(f"there is no contract {name!r}")
    about = tx.acts.of_tenant(contract.tenant_id) if contract.tenant_id else []
    invoices = tuple(one for one in fold(about).values() if one.contract == name)
    paid_out = _sum(about, name, CREDIT_PAID_OUT)
    return Ledger(
        contract=contract,
        customer_number=customer_number(acts[0]),
        applied=acts[0].data,
        invoices=invoices,
        grants=tuple(_grants(about, name, [one for one in invoices if not one.has_lapsed(on)], paid_out)),
        on=on,
        refunded=_sum(about, name, REFUNDED),
        damages=_sum(about, name, DAMAGES),
        stopped_on=next((jst_date(act.at) for act in acts if act.kind == "contract.stopped"), None),
    )


def customer_number(applied: Act) -> str:
    """Names the customer towards banks and on invoices: given with the application, for ever."""
    return f"C{applied.seq:06d}"


def invoice_of(tx: Tx, number: str) -> InvoiceRecord:
    """NotFound when it was not issued."""
    acts = tx.acts.of_subject(PREFIX + number)
    found = fold(tx.acts.of_tenant(acts[0].tenant_id)).get(number) if acts else None
    if found is None:
        raise NotFound(f"there is no invoice {number!r}")
    return found


def all_invoices(tx: Tx) -> dict[str, InvoiceRecord]:
    """Those of all contracts, in the order of their issue."""
    about = [*tx.acts.of_prefix(PREFIX), *tx.acts.of_kind(LUMP_SUM_PAID)]
    return fold(sorted(about, key=lambda act: act.seq))


def _grants(acts: list[Act], name: str, invoices: Iterable[InvoiceRecord], paid_out: int) -> Iterator[Grant]:
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


def _sum(acts: list[Act], name: str, kind: str) -> int:
    return sum(act.data["amount"] for act in acts if act.kind == kind and act.subject == REFUNDS + name)
