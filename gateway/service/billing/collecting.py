"""Collecting through others: a debit order to the bank, a hand-over to the payment agency, and their result files.

A result file counts whole or not at all. One that was read before changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date
from gateway.domain.collecting import (
    AccountKind,
    BankAccount,
    CannotExport,
    Claim,
    ClaimResult,
    ClaimState,
    Collects,
    Debit,
    DebitKind,
    DebitOrder,
    DebitResult,
    FileRejected,
    collects,
    results_of,
)
from gateway.domain.collections import IMPORTED, ORDERED, PREFIX, Order, Part, fold, part_data
from gateway.domain.errors import NotFound
from gateway.domain.invoice import BANK_DEBIT
from gateway.domain.invoice_records import PREFIX as INVOICE
from gateway.domain.invoice_records import InvoiceRecord
from gateway.hooks import Exporter
from gateway.service.billing.accounts import SET_AT, account_of
from gateway.service.billing.ledger import all_invoices, invoice_of, ledger_of
from gateway.service.billing.payments import Step, paid_step, record, returned_step, settled_step
from gateway.service.contracts.book import Actor, require
from gateway.service.unit_of_work import Database, Tx

_NO_ACCOUNT = BankAccount("", "", "", "", AccountKind.ORDINARY, "")


@dataclass(frozen=True)
class Sent:
    """An order, its file, and whose invoices were left out, with the reason."""

    order: Order
    content: bytes
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Imported:
    """``already``: the file was read before, so nothing was changed. ``results``: (invoice, what became of it)."""

    orders: tuple[str, ...]
    results: tuple[tuple[str, str], ...]
    already: bool = False


class Collecting:
    def __init__(
        self,
        db: Database,
        clock: Callable[[], int],
        exporters: Callable[[], Mapping[str, Exporter]],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._exporters = exporters
        self._changed = changed

    def orders(self) -> list[Order]:
        """All orders, the oldest first."""
        return self._db.read(lambda tx: list(_orders(tx).values()))

    # -- out ----------------------------------------------------------------------------------------------------------

    def collect(
        self, exporter: str, actor: Actor, *, on: date | None = None, tenant: str | None = None, dry_run: bool = False
    ) -> Sent:
        """Puts everything that can be collected into one order and writes its file; no file, no order.

        Debits are taken ``on`` a day, from the accounts of contracts that pay by debit, when due by then. Claims are
        those that were assigned and not handed over. CannotExport when there is nothing, or something does not fit.
        """
        found = self._exporter(exporter)
        today = jst_date(self._clock())
        day = today if on is None else on
        require(day >= today, f"{day} has passed: a bank takes no debit of the past", "FEE-07")

        def work(tx: Tx) -> Sent:
            is_debit = collects(found) is Collects.DEBITS
            parts, left_out = _debits(tx, day, tenant) if is_debit else _claims(tx, tenant)
            if not parts:
                why = "".join(f"; {name}: {reason}" for name, reason in left_out)
                raise CannotExport(f"there is nothing to collect by {exporter}{why}")
            order = Order(_next(tx, exporter), exporter, day, self._clock(), tuple(parts))
            content = found.render(_sent(tx, order, is_debit))
            if not dry_run:
                self._record(tx, order, actor, is_debit)
            return Sent(order, content, tuple(left_out))

        sent = self._db.read(work) if dry_run else self._db.write(work).result()
        self._changed()
        return sent

    def again(self, order_id: str) -> Sent:
        """The file of an order once more. NotFound."""

        def work(tx: Tx) -> Sent:
            order = _orders(tx).get(order_id)
            if order is None:
                raise NotFound(f"there is no order {order_id!r}")
            found = self._exporter(order.exporter)
            return Sent(order, found.render(_sent(tx, order, collects(found) is Collects.DEBITS)))

        return self._db.read(work)

    def _record(self, tx: Tx, order: Order, actor: Actor, is_debit: bool) -> None:
        now, today = self._clock(), jst_date(self._clock())
        data = {"exporter": order.exporter, "on": str(order.on), "amount": order.amount}
        act = Act(
            PREFIX + order.id, ORDERED, now, actor.name, str(actor.role), "FEE-07" if is_debit else "PAY-01",
            ground="" if is_debit else "20(2)4", data={**data, "parts": [part_data(one) for one in order.parts]},
        )  # fmt: skip
        tx.acts.append(act)
        kind, rule = ("invoice.debit_ordered", "FEE-07") if is_debit else ("invoice.handed_over", "PAY-01")
        for part in order.parts:
            for number in part.invoices:
                one = invoice_of(tx, number)
                state = one.state(today)
                values = {"contract": one.contract, "order": order.id, "on": str(order.on)}
                tx.acts.append(
                    Act(
                        INVOICE + number,
                        kind,
                        now,
                        actor.name,
                        str(actor.role),
                        rule,
                        one.tenant_id,
                        before=state,
                        after=state,
                        data=values,
                    )
                )

    def _exporter(self, name: str) -> Exporter:
        known = self._exporters()
        if name not in known or collects(known[name]) is None:
            able = ", ".join(sorted(key for key, one in known.items() if collects(one))) or "none of the plugins"
            raise NotFound(f"{name!r} collects nothing; there are: {able}")
        return known[name]

    # -- back ---------------------------------------------------------------------------------------------------------

    def import_results(self, exporter: str, content: bytes, actor: Actor, order_id: str | None = None) -> Imported:
        """Reads a result file: marks invoices paid or failed, settled or returned, all in one transaction.

        FileRejected with line and reason; then nothing of the file counts. ``order_id`` where more than one order
        could be meant.
        """
        found = self._exporter(exporter)
        sha256 = hashlib.sha256(content).hexdigest()

        def work(tx: Tx) -> Imported:
            orders = [one for one in _orders(tx).values() if one.exporter == exporter]
            known = tuple(one.id for one in orders if sha256 in one.results)
            if known:
                return Imported(known, (), already=True)
            if collects(found) is Collects.DEBITS:
                return self._debit_results(tx, found, content, sha256, orders, order_id, actor)
            return self._claim_results(tx, found, content, sha256, orders, actor)

        done = self._db.write(work).result()
        self._changed()
        return done

    def _debit_results(
        self,
        tx: Tx,
        exporter: Exporter,
        content: bytes,
        sha256: str,
        orders: Sequence[Order],
        order_id: str | None,
        actor: Actor,
    ) -> Imported:
        waiting = [one for one in orders if not one.results and order_id in (None, one.id)]
        if not waiting:
            raise FileRejected(0, f"no order waits for a result{f' under {order_id}' if order_id else ''}")
        order, results = _matching(exporter, content, waiting)
        if order.on > jst_date(self._clock()):
            raise FileRejected(1, f"the debits of {order.id} are of {order.on}, which lies in the future")
        parts = {one.customer_number: one for one in order.parts}
        marked: list[tuple[str, str]] = []
        for result in results:
            for number, amount in parts[result.debit.customer_number].invoices.items():
                step = (
                    paid_step(invoice_of(tx, number), amount, order.on, BANK_DEBIT, order.id)
                    if result.paid
                    else returned_step(invoice_of(tx, number), order.on, "", str(result.code))
                )
                marked.append((number, self._mark(tx, number, step, actor)))
        self._imported(tx, [order.id], sha256, marked, actor)
        return Imported((order.id,), tuple(marked))

    def _claim_results(
        self, tx: Tx, exporter: Exporter, content: bytes, sha256: str, orders: Sequence[Order], actor: Actor
    ) -> Imported:
        order_of = {number: order.id for order in orders for part in order.parts for number in part.invoices}
        sent = [_claim(tx, invoice_of(tx, number)) for number in order_of]
        still_open = [one for one in sent if not _is_decided(invoice_of(tx, one.invoice))]
        results: Sequence[ClaimResult] = results_of(exporter, content, still_open)
        marked: list[tuple[str, str]] = []
        for result in results:
            number = result.claim.invoice
            one = invoice_of(tx, number)
            if result.on > jst_date(self._clock()):
                raise FileRejected(0, f"{number}: the result is of {result.on}, which lies in the future")
            step = (
                settled_step(one, result.on)
                if result.state is ClaimState.SETTLED
                else returned_step(one, result.on, result.reason, None)
            )
            marked.append((number, self._mark(tx, number, step, actor)))
        touched = sorted({order_of[number] for number, _ in marked})
        self._imported(tx, touched, sha256, marked, actor)
        return Imported(tuple(touched), tuple(marked))

    def _mark(self, tx: Tx, number: str, step: Step, actor: Actor) -> str:
        now = self._clock()
        one = invoice_of(tx, number)
        done = record(tx, one, ledger_of(tx, one.contract, jst_date(now)), step, actor, now)
        failed = step.kind == "invoice.payment_failed"
        return f"failed, {step.data['code']} {step.data['reason']}" if failed else done.state(jst_date(now))

    def _imported(
        self, tx: Tx, orders: Iterable[str], sha256: str, marked: Sequence[tuple[str, str]], actor: Actor
    ) -> None:
        for order in orders:
            data = {"sha256": sha256, "results": dict(marked)}
            tx.acts.append(
                Act(PREFIX + order, IMPORTED, self._clock(), actor.name, str(actor.role), "PAY-01", data=data)
            )


# -- what goes out ----------------------------------------------------------------------------------------------------


def _debits(tx: Tx, day: date, tenant: str | None) -> tuple[list[Part], list[tuple[str, str]]]:
    """One debit for each customer, for all that is open and due by the day."""
    parts: list[Part] = []
    left_out: list[tuple[str, str]] = []
    for contract, invoices in _by_contract(tx, tenant, lambda one: _is_debitable(one, day)).items():
        data = tx.documents.customer(contract)
        if account_of(data) is None:
            left_out.append((contract, "there is no bank account: kurado contract bank-account"))
            continue
        number = str(invoices[0].document["customer"]["number"])
        kind = _debit_kind(tx, contract, data)
        digest = tx.documents.customer_digest(contract)
        parts.append(Part(number, contract, digest, {one.number: one.open for one in invoices}, kind))
    return parts, left_out


def _is_debitable(one: InvoiceRecord, day: date) -> bool:
    if one.method != BANK_DEBIT or one.order or not one.is_held or one.open <= 0 or one.due > day:
        return False
    return not (one.has_lump_sum and one.due < day)


def _debit_kind(tx: Tx, contract: str, data: Mapping[str, str]) -> DebitKind:
    """新規コード: the first debit of this customer, the first of another account, any other."""
    before = [part for order in _orders(tx).values() for part in order.parts if part.contract == contract]
    before = [
        part
        for part in before
        if part.kind is not None and account_of(tx.documents.customer_at(contract, part.customer))
    ]
    if not before:
        return DebitKind.FIRST
    last = tx.documents.customer_at(contract, before[-1].customer)
    return DebitKind.OTHER if last.get(SET_AT) == data.get(SET_AT) else DebitKind.CHANGED


def _claims(tx: Tx, tenant: str | None) -> tuple[list[Part], list[tuple[str, str]]]:
    parts = []
    for contract, invoices in _by_contract(tx, tenant, lambda one: not one.is_held and not one.handed_over).items():
        number = str(invoices[0].document["customer"]["number"])
        digest = tx.documents.customer_digest(contract)
        parts.append(Part(number, contract, digest, {one.number: one.total for one in invoices}))
    return parts, []


def _by_contract(tx: Tx, tenant: str | None, wanted: Callable[[InvoiceRecord], bool]) -> dict[str, list[InvoiceRecord]]:
    found: dict[str, list[InvoiceRecord]] = {}
    for one in all_invoices(tx).values():
        if tenant in (None, one.contract) and one.settled_on is None and wanted(one):
            found.setdefault(one.contract, []).append(one)
    return dict(sorted(found.items()))


def _sent(tx: Tx, order: Order, is_debit: bool) -> Any:
    """What the exporter writes."""
    if not is_debit:
        return tuple(_claim(tx, invoice_of(tx, number)) for part in order.parts for number in part.invoices)
    return DebitOrder(
        order.on, tuple(_debit(part, tx.documents.customer_at(part.contract, part.customer)) for part in order.parts)
    )


def _debit(part: Part, data: Mapping[str, str]) -> Debit:
    account, holder = account_of(data) or (_NO_ACCOUNT, "")
    return Debit(part.customer_number, " ".join(part.invoices), account, holder, part.amount, DebitKind(part.kind))


def _claim(tx: Tx, one: InvoiceRecord) -> Claim:
    """All that §20(2)④ allows, and no more (CUS-03)."""
    data = tx.documents.customer_at(one.contract, one.customer)
    document = one.document
    return Claim(
        invoice=one.number,
        customer_number=document["customer"]["number"],
        customer_name=data.get("name", ""),
        contact=data.get("contact", ""),
        postal_code=data.get("postal_code", ""),
        address=data.get("address", ""),
        phone=data.get("phone", ""),
        email=data.get("email", ""),
        dated=one.dated,
        due=one.due,
        net=document["net"],
        tax=document["tax"],
        total=one.total,
    )


def _orders(tx: Tx) -> dict[str, Order]:
    return fold(tx.acts.of_prefix(PREFIX))


def _next(tx: Tx, exporter: str) -> str:
    newest = tx.acts.latest(ORDERED, f"{PREFIX}{exporter}-")
    place = int(newest.subject.rpartition("-")[2]) + 1 if newest else 1
    return f"{exporter}-{place:06d}"


def _is_decided(one: InvoiceRecord) -> bool:
    return one.settled_on is not None or one.returned_on is not None


def _matching(exporter: Exporter, content: bytes, orders: Sequence[Order]) -> tuple[Order, Sequence[DebitResult]]:
    """The order that a file answers. FileRejected: the reason that was found furthest on in the file."""
    rejected: FileRejected | None = None
    for order in orders:
        sent = DebitOrder(order.on, tuple(_debit(part, {}) for part in order.parts))
        try:
            return order, results_of(exporter, content, sent)
        except FileRejected as error:
            if rejected is None or error.line > rejected.line:
                rejected = error
    assert rejected is not None
    raise rejected
