"""What would be issued for a contract now: the rules' drafts, with usage, corrections and credits, as documents.

Nothing is written here: closing records it, and a dry run shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from gateway.domain.calendar import Period
from gateway.domain.contract.ending import Outcome
from gateway.domain.contract.invoicing import UNTAXED, Account, Credit, Draft, Invoice, completed, drafts, tax_rate
from gateway.domain.contract.records import ended_on
from gateway.domain.contract.values import ContractValues
from gateway.domain.invoice import (
    InvoiceDocument,
    InvoiceLine,
    Text,
    clause_of,
    correction,
    issue,
    number_of,
    place_of,
)
from gateway.domain.invoice_records import ISSUED, PREFIX, CreditUse, Kind
from gateway.domain.issuer import Invoicing
from gateway.service.billing.ledger import Grant, Ledger
from gateway.service.billing.lookup import customer_from, document_of
from gateway.service.unit_of_work import Tx


@dataclass(frozen=True)
class Prepared:
    """An invoice that is ready to be issued."""

    document: InvoiceDocument
    kind: Kind
    rule: str
    credits: tuple[CreditUse, ...]
    usage_of: tuple[str, ...]
    corrected: tuple[int, ...]


@dataclass
class _Waiting:
    """Lines that wait for the next invoice. ``usage``: first day of the period → its lines."""

    usage: dict[date, list[InvoiceLine]]
    corrections: list[tuple[int, InvoiceLine]]

    def take(self, until: date, rate: int) -> tuple[list[InvoiceLine], tuple[str, ...], tuple[int, ...]]:
        """All corrections, and the usage of periods that begin by a day, taxed at the rate of the invoice (D-20)."""
        starts = sorted(start for start in self.usage if start <= until)
        lines = [replace(line, rate=rate) for start in starts for line in self.usage.pop(start)]
        lines += [line for _, line in self.corrections]
        acts = tuple(act for act, _ in self.corrections)
        self.corrections.clear()
        return lines, tuple(str(start) for start in starts), acts

    def __bool__(self) -> bool:
        return bool(self.usage or self.corrections)


class Preparation:
    """For one contract, in one transaction. ``plan_names``: id → name on the invoice."""

    def __init__(
        self,
        tx: Tx,
        ledger: Ledger,
        values: ContractValues,
        invoicing: Invoicing,
        plan_names: Mapping[str, str],
        today: date,
    ) -> None:
        self._tx = tx
        self._ledger = ledger
        self._values = values
        self._invoicing = invoicing
        self._plan_names = plan_names
        self._today = today
        self._account = account_of(ledger, values, today)

    def prepare(self, until: date, next_place: int) -> list[Prepared]:
        """All invoices dated up to a day that were not issued, in the order of their dates; none is prepared ahead for
        what lies beyond the last day as it is known today (FEE-03, FEE-05). RuleError, InvoiceError."""
        until = min(until, self._ledger.contract.last_day(self._today, self._values) or until)
        done = {one.key for one in self._ledger.invoices}
        grants = [one for one in self._ledger.grants if one.left]
        left = [Credit(one.accepted_on, one.left) for one in grants]
        waiting = self._waiting()
        made: list[Prepared] = []
        for draft in drafts(self._account, until):
            if _key(draft) not in done:
                made.append(self._made(draft, _key(draft)[0], grants, left, waiting, next_place + len(made)))
        if waiting and self._is_over():
            draft = Draft(None, self._today, self._today, ())
            made.append(self._made(draft, Kind.EXTRA, grants, left, waiting, next_place + len(made)))
        return made

    def _is_over(self) -> bool:
        """Whether no other invoice will ever come: the last day has passed and the usage of its period is settled."""
        last = ended_on(self._ledger.contract, self._today, self._values) or self._ledger.stopped_on
        terms = self._ledger.contract.terms(self._values)
        return last is not None and terms is not None and terms.calendar.period_of(last).end < self._today

    def _made(
        self,
        draft: Draft,
        kind: Kind,
        grants: Sequence[Grant],
        left: Sequence[Credit],
        waiting: _Waiting,
        place: int,
    ) -> Prepared:
        name, calendar = self._ledger.contract.name, self._account.terms.calendar
        start = calendar.priced_from(draft.period) if draft.period else draft.dated
        extra, usage_of, corrected = waiting.take(draft.dated, tax_rate(self._account.tax_rates, draft.dated))
        if kind is not Kind.CLOSING:
            days = self._ledger.contract.agreements.get("payment", 0)
            draft = replace(draft, due=draft.due + timedelta(days=days))
        before = [one.amount for one in left]
        more = sum(line.amount for line in extra if line.rate is not None)
        invoice = completed(self._account, draft, left, more)
        used = tuple(
            CreditUse(grant.claim, was - one.amount)
            for grant, was, one in zip(grants, before, left, strict=True)
            if was > one.amount
        )
        invoice = _with_claims(invoice, used)
        document = issue(
            invoice,
            self._account.tax_rates,
            number=number_of(self._invoicing.series, place),
            issuer=self._invoicing.issuer,
            customer=customer_from(self._ledger.customer_number, self._tx.documents.customer(name)),
            plan=self._plan_name(start),
            method=self._ledger.applied["payment_method"],
            extra=extra,
            untaxed=self._account.untaxed,
        )
        rule = {Kind.PERIOD: "FEE-03", Kind.CLOSING: "END-04", Kind.EXTRA: "PAY-01"}[kind]
        return Prepared(document, kind, rule, used, usage_of, corrected)

    def _plan_name(self, start: date) -> str:
        plan = self._ledger.contract.billed_plan(start).plan
        return self._plan_names.get(plan, plan)

    # -- usage and corrections ----------------------------------------------------------------------------------------

    def _waiting(self) -> _Waiting:
        corrections = []
        for record, one in self._ledger.pending():
            document = document_of(self._tx, record)
            reason = Text(one.reason["ja"], one.reason["en"])
            corrections.append((one.act, correction(document, document.lines[one.line - 1], one.right, reason)))
        return _Waiting(dict(self._usage()), corrections)

    def _usage(self) -> Iterator[tuple[date, list[InvoiceLine]]]:
        """Usage beyond the plan of periods that are closed for good."""
        billed = self._ledger.usage_billed
        for period in self._account.terms.calendar.until(self._today):
            if period.end >= self._today or str(period.start) in billed:
                continue
            statement = self._tx.usage.statement(self._ledger.contract.tenant_id, period.starts_at)
            lines = [_usage_line(period, line) for line in _beyond(statement)]
            if lines:
                yield period.start, lines


def account_of(ledger: Ledger, values: ContractValues, today: date) -> Account:
    """What the rules need to know of a contract. Its start is known."""
    contract = ledger.contract
    terms = contract.terms(values)
    assert terms is not None
    leaving = contract.cancelled(today, values)
    cancelled = None
    if leaving is not None and leaving.outcome is not Outcome.LAPSED:
        cancelled = contract.cancellations[-1].received, leaving.granted_last_day
    ends = [day for day in (ended_on(contract, today, values), ledger.stopped_on) if day is not None]
    ended = min(ends, default=None)
    if cancelled and ended and ended >= cancelled[1]:
        ended = None
    return Account(
        terms=terms,
        fees=contract.fees,
        tax_rates=values.tax_rates,
        cancelled=cancelled,
        stub_charge=values.stub_charge,
        bridge_charge=values.bridge_charge,
        ended=ended,
        untaxed=frozenset() if values.early_termination_taxable else UNTAXED,
    )


def next_place(tx: Tx, series: str) -> int:
    """The place after the newest number of a series (without gaps: taken in the transaction that issues)."""
    newest = tx.acts.latest(ISSUED, f"{PREFIX}{series}-")
    return place_of(newest.subject.removeprefix(PREFIX))[1] + 1 if newest else 1


def _key(draft: Draft) -> tuple[Kind, date]:
    return (Kind.PERIOD, draft.period.start) if draft.period else (Kind.CLOSING, draft.dated)


def _beyond(statement: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    lines = statement["lines"] if statement else ()
    return [line for line in lines if line["amount"] and line["rule"].startswith("pricelist.")]


def _with_claims(invoice: Invoice, used: Sequence[CreditUse]) -> Invoice:
    """The deduction says which claims it comes from."""
    figures = {"claims": {one.claim: one.amount for one in used}}
    lines = (replace(line, figures=figures) if line.code == "sla_credit" else line for line in invoice.lines)
    return replace(invoice, lines=tuple(lines))


_METERS = {
    "byte_hours": "保存容量",
    "bytes_in": "データ転送量（上り）",
    "bytes_out": "データ転送量（下り）",
    "requests": "リクエスト数",
}


def _japanese(line: Mapping[str, Any]) -> str:
    """A price list names its prices once: a name that is not Japanese is replaced by that of the meter."""
    name: str = line["name"]
    return _METERS.get(line["meter"], name) if name.isascii() else name


def _usage_line(period: Period, line: Mapping[str, Any]) -> InvoiceLine:
    span = f"{period.start} – {period.end}"
    figures = {key: line[key] for key in ("quantity", "consumed", "unit", "unit_price", "list_price", "code")} | {
        "period": [str(period.start), str(period.end)]
    }
    return InvoiceLine(
        line["code"],
        Text(f"{_japanese(line)}（{span}）", f"{line['name']} ({span})"),
        Decimal(line["quantity"]),
        Text(line["unit"], line["unit"]),
        line["amount"],
        line["rule"],
        None,
        clause=clause_of(line["rule"]),
        figures=figures,
    )
