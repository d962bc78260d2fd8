"""``invoice list|show|history|pay|assign|settle|return|correct|refund|demand``."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from gateway.commands.acting import DAY, TIME, act_data, act_row, actor
from gateway.commands.app import Application, json_option, show, show_json, tenant_option
from gateway.commands.billing_files import write
from gateway.domain.collecting import DEBIT_TEXTS, DebitCode
from gateway.domain.invoice import BANK_DEBIT, InvoiceDocument
from gateway.domain.invoice_json import document_to_json
from gateway.domain.invoice_records import InvoiceRecord
from gateway.service.billing.payments import PAYMENT_METHODS, TRANSFER
from gateway.service.billing.refunds import OF_INVOICE


def add(cli: click.Group) -> None:
    cli.add_command(invoice)


@click.group()
def invoice() -> None:
    """Issued invoices and what became of them. An issued invoice never changes (PAY-01).

    Every act is recorded, or refused with the rule that forbids it. Dates are JST days.
    """


_on = click.option("--on", type=DAY, metavar="DATE", help="The day on which it happened; today's unless given.")


@invoice.command("list")
@tenant_option
@click.option("--state", help="Only those in this state.")
@click.option("--overdue", is_flag=True, help="Only those that are overdue.")
@json_option
@click.pass_obj
def list_invoices(app: Application, tenant: str | None, state: str | None, overdue: bool, as_json: bool) -> None:
    """List invoices, the oldest first."""
    service = app.services.billing.invoices
    today = service.today()
    found = [one for one in service.all(tenant) if state in (None, one.state(today))]
    rows = [_row(one, today) for one in found if not overdue or one.is_overdue(today)]
    show(as_json, rows, empty="no invoice was issued" if not found else "none")


@invoice.command("show")
@click.argument("number")
@click.option("--language", type=click.Choice(("ja", "en")), default="ja", show_default=True)
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page to this file.")
@click.option("--pdf", type=click.Path(path_type=Path, dir_okay=False), help="Write a PDF to this file.")
@json_option
@click.pass_obj
def show_invoice(
    app: Application, number: str, language: str, html: Path | None, pdf: Path | None, as_json: bool
) -> None:
    """Show an invoice as it was issued, as text, or write it as HTML or PDF."""
    service = app.services.billing.invoices
    document, intact = service.document(number)
    if html:
        from gateway.documents import invoice_html

        write(html, invoice_html(document, language).encode())
    if pdf:
        from gateway.documents import find_fonts, invoice_pdf

        write(pdf, invoice_pdf(document, language, find_fonts()))
    for file in filter(None, (html, pdf)):
        click.echo(f"{file}: {file.stat().st_size} bytes", err=True)
    record = service.get(number)
    if as_json:
        show_json({**document_to_json(document), **_status(record, service.today()), "intact": intact})
    elif not (html or pdf):
        for line in text_of(document, record, service.today(), language):
            click.echo(line)
        if not intact:
            click.echo("the customer's data was erased since it was issued", err=True)


@invoice.command("history")
@click.argument("number")
@json_option
@click.pass_obj
def history(app: Application, number: str, as_json: bool) -> None:
    """Show all acts about an invoice (P-6)."""
    acts = app.services.billing.invoices.history(number)
    show(as_json, [act_data(act) if as_json else act_row(act) for act in acts])


@invoice.command("pay")
@click.argument("number")
@click.option("--amount", type=int, help="JPY; all that is open unless given.")
@click.option("--method", type=click.Choice(PAYMENT_METHODS), default=TRANSFER, show_default=True)
@click.option("--reference", default="", help="As on the bank's statement.")
@_on
@json_option
@click.pass_obj
def pay(
    app: Application, number: str, amount: int | None, method: str, reference: str, on: date | None, as_json: bool
) -> None:
    """Record a payment to the provider, in full or in part, in time or late.

    Refused: more than is open (FEE-06), a claim that the agency holds (PAY-01), a lump sum after its day (END-04),
    while a debit is under way (FEE-07).
    """
    service = app.services.billing.invoices
    day = on or service.today()
    _told(app, service.pay(number, actor(app), on=day, method=method, amount=amount, reference=reference), as_json)


@invoice.command("assign")
@click.argument("numbers", nargs=-1, required=True)
@json_option
@click.pass_obj
def assign(app: Application, numbers: tuple[str, ...], as_json: bool) -> None:
    """Assign claims to the payment agency, which bills the customer from then on (PAY-01).

    `kurado billing collect --exporter payment_agency` writes the file for it.
    """
    for number in numbers:
        _told(app, app.services.billing.invoices.assign(number, actor(app)), as_json)


@invoice.command("settle")
@click.argument("number")
@_on
@json_option
@click.pass_obj
def settle(app: Application, number: str, on: date | None, as_json: bool) -> None:
    """Record that the payment agency settled an assigned claim (PAY-01)."""
    service = app.services.billing.invoices
    _told(app, service.settle(number, actor(app), on=on or service.today()), as_json)


@invoice.command("return")
@click.argument("number")
@click.option("--reason", default="", help="Why the payment agency returned the claim.")
@click.option(
    "--code",
    type=click.Choice([str(one) for one in DebitCode if one is not DebitCode.PAID]),
    help="Why a bank returned the debit: "
    + ", ".join(f"{one} {DEBIT_TEXTS[one].en}" for one in list(DebitCode)[1:])
    + ".",
)
@_on
@json_option
@click.pass_obj
def return_(app: Application, number: str, reason: str, code: str | None, on: date | None, as_json: bool) -> None:
    """Record that the agency returned a claim, or a bank a debit: the provider holds the claim again.

    No fee is charged for it: the terms know none. A demand to pay is possible when the due day has passed (END-05).
    """
    service = app.services.billing.invoices
    _told(app, service.give_back(number, actor(app), on=on or service.today(), reason=reason, code=code), as_json)


@invoice.command("correct")
@click.argument("number")
@click.argument("line", type=int)
@click.option("--amount", type=int, required=True, help="What the line should be, JPY without tax.")
@click.option("--reason", required=True, help="Stands on the next invoice.")
@click.option("--reason-en", help="The same in English; the reason unless given.")
@json_option
@click.pass_obj
def correct(
    app: Application, number: str, line: int, amount: int, reason: str, reason_en: str | None, as_json: bool
) -> None:
    """Put line LINE (from 1) of an invoice right: the difference stands on the next invoice (PAY-01)."""
    reasons = {"ja": reason, "en": reason_en or reason}
    done = app.services.billing.invoices.correct(number, line, actor(app), right=amount, reason=reasons)
    if as_json:
        show_json(_status(done, app.services.billing.invoices.today()))
    else:
        was = done.document["lines"][line - 1]["amount"]
        click.echo(f"{number} line {line}: {amount - was:+,} JPY on the next invoice")


@invoice.command("refund")
@click.argument("number")
@click.option("--rule", required=True, help="; ".join(f"{name}: {text}" for name, text in OF_INVOICE.items()) + ".")
@click.option("--amount", type=int, required=True)
@click.option("--reason", required=True)
@_on
@json_option
@click.pass_obj
def refund(app: Application, number: str, rule: str, amount: int, reason: str, on: date | None, as_json: bool) -> None:
    """Record money of an invoice that went back, by a rule that says so; there is no other refund (FEE-06)."""
    day = on or app.services.billing.invoices.today()
    refunds = app.services.billing.refunds
    _told(app, refunds.of_invoice(number, actor(app), rule=rule, amount=amount, on=day, reason=reason), as_json)


@invoice.command("demand")
@click.argument("number")
@click.option("--sent-at", type=TIME, default="now", help="Default: now.")
@json_option
@click.pass_obj
def demand(app: Application, number: str, sent_at: int, as_json: bool) -> None:
    """Record a demand to pay an overdue invoice: after the grace of §17(1)① the contract may be terminated (END-05).

    Refused for a claim that the provider does not hold (D-57).
    """
    done = app.services.billing.invoices.demand(number, actor(app), sent_at, app.services.contracts.powers)
    if as_json:
        show_json({"contract": done.name, "demand": done.demands[-1].id})
    else:
        click.echo(f"demand {done.demands[-1].id} on contract {done.name}")


# -- how it is shown --------------------------------------------------------------------------------------------------


def _told(app: Application, one: InvoiceRecord, as_json: bool) -> None:
    today = app.services.billing.invoices.today()
    if as_json:
        show_json(_status(one, today))
        return
    left = f", {one.open:,} JPY open" if one.open else ""
    click.echo(f"{one.number} is {one.state(today).replace('_', ' ')}{left}")


def _row(one: InvoiceRecord, today: date) -> dict[str, Any]:
    period = one.document["period"]
    return {
        "invoice": one.number,
        "contract": one.contract,
        "for": f"{period['start']} to {period['end']}" if period else str(one.kind),
        "dated": str(one.dated),
        "due": str(one.due),
        "total": one.total,
        "open": one.open if one.is_held and not one.has_lapsed(today) else 0,
        "state": one.state(today),
        "overdue": one.is_overdue(today),
    }


def _status(one: InvoiceRecord, today: date) -> dict[str, Any]:
    return {
        "number": one.number,
        "contract": one.contract,
        "state": one.state(today),
        "overdue": one.is_overdue(today),
        "open": one.open,
        "paid": one.paid,
        "payments": [
            {"amount": each.amount, "on": str(each.on), "method": each.method, "returned": each.returned or None}
            for each in one.payments
        ],
        "failures": [{"on": str(each.on), "code": each.code} for each in one.failures],
        "assigned_on": one.assigned_on and str(one.assigned_on),
        "settled_on": one.settled_on and str(one.settled_on),
        "returned_on": one.returned_on and str(one.returned_on),
        "return_reason": one.return_reason or None,
        "order": one.order or None,
        "credits": [{"claim": each.claim, "amount": each.amount} for each in one.credits],
        "corrections": [
            {"line": each.line, "right": each.right, "reason": dict(each.reason)} for each in one.corrections
        ],
    }


def text_of(document: InvoiceDocument, record: InvoiceRecord, today: date, language: str) -> list[str]:
    """The invoice as lines of text."""
    period = f"{document.period.start} to {document.period.end}" if document.period else str(record.kind)
    method = "bank debit" if document.method == BANK_DEBIT else "invoice"
    lines = [
        f"{document.number}  {document.customer.name} ({document.customer.number})  {period}",
        f"dated {document.dated}, due {document.due}, by {method}",
        f"issued by {document.issuer.name.of(language)}, {document.issuer.registration}",
        "",
    ]
    for place, line in enumerate(document.lines, 1):
        rate = "no tax" if line.rate is None else f"{Decimal(line.rate) / 100:f}%"
        lines.append(f"{place:>3}  {line.amount:>12,}  {rate:>7}  {line.rule:<9} {line.description.of(language)}")
    lines.append("")
    lines += [f"     {one.tax:>12,}  tax of {Decimal(one.rate) / 100:f}% on {one.net:,}" for one in document.rates]
    lines.append(f"     {document.total:>12,}  JPY in all")
    state = record.state(today).replace("_", " ")
    lines += ["", f"{state}{', overdue' if record.is_overdue(today) else ''}; {record.open:,} JPY open"]
    return lines
