"""``billing close|issue|status|refund|damages|collect|import-results|orders|export``: invoices by the calendar."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

import click

from gateway.commands import billing_files
from gateway.commands.acting import DAY, actor
from gateway.commands.app import Application, json_option, show, show_json, tenant_option
from gateway.domain.errors import ActRefused
from gateway.domain.invoice_json import document_to_json
from gateway.service.billing import Closed
from gateway.service.billing.refunds import OF_CONTRACT


def add(cli: click.Group) -> None:
    cli.add_command(billing)


@click.group()
def billing() -> None:
    """Close billing periods, issue invoices, collect them, export what was used and charged.

    Dates are JST days.
    """


billing_files.add(billing)

_dry_run = click.option("--dry-run", is_flag=True, help="Show what would be issued, and issue nothing.")


@billing.command("close")
@click.option(
    "--period", "day", type=DAY, metavar="DATE", required=True, help="Any day of the billing periods to close."
)
@tenant_option
@_dry_run
@json_option
@click.pass_obj
def close(app: Application, day: date, tenant: str | None, dry_run: bool, as_json: bool) -> None:
    """Close each contract's billing period that holds DATE: issue all that is dated up to its end.

    The period must be over (CAL-01). Closing it again issues nothing. Demo tenants are never billed (SVC-01).
    """
    _report(app, app.services.billing.closing.close(day, actor(app), tenant, dry_run=dry_run), dry_run, as_json)


@billing.command("issue")
@click.option("--until", type=DAY, metavar="DATE", help="Issue what is dated up to then; today's unless given.")
@tenant_option
@_dry_run
@json_option
@click.pass_obj
def issue(app: Application, until: date | None, tenant: str | None, dry_run: bool, as_json: bool) -> None:
    """Issue what is due without waiting for the end of a period.

    An invoice is dated on the first day of its period (FEE-03), a closing invoice on the receipt of the notice
    (END-04). At most billing.invoice_lead_days ahead.
    """
    _report(app, app.services.billing.closing.issue(until, actor(app), tenant, dry_run=dry_run), dry_run, as_json)


@billing.command("status")
@json_option
@click.pass_obj
def status(app: Application, as_json: bool) -> None:
    """Show ended periods that nobody has closed, overdue invoices, and credits that are left."""
    billing = app.services.billing
    today = billing.invoices.today()
    rows: list[dict[str, Any]] = [
        {"contract": name, "what": "ended and not closed", "since": str(period.end), "amount": None, "rule": "FEE-03"}
        for name, period in billing.waiting.overdue()
    ]
    for one in billing.invoices.all():
        if one.is_overdue(today):
            what = f"{one.number} is overdue"
            rows.append(
                {"contract": one.contract, "what": what, "since": str(one.due), "amount": one.open, "rule": "END-05"}
            )
    for contract in app.services.standings.contracts():
        if contract.tenant_id and (left := billing.ledger(contract.name).credit_left):
            rows.append(
                {"contract": contract.name, "what": "credit left", "since": None, "amount": left, "rule": "FEE-10"}
            )
    show(as_json, rows, empty="everything is closed and paid")


@billing.command("refund")
@click.argument("contract")
@click.option("--rule", required=True, help="; ".join(f"{name}: {text}" for name, text in OF_CONTRACT.items()) + ".")
@click.option("--amount", type=int, required=True)
@click.option("--reason", required=True)
@click.option("--on", type=DAY, metavar="DATE", help="The day on which it was paid; today's unless given.")
@click.pass_obj
def refund(app: Application, contract: str, rule: str, amount: int, reason: str, on: date | None) -> None:
    """Record money that went back to a customer, by a rule that says so; there is no other refund (FEE-06)."""
    service = app.services.billing
    day = on or service.invoices.today()
    service.refunds.of_contract(contract, actor(app), rule=rule, amount=amount, on=day, reason=reason)
    left = "".join(f", {most:,} JPY more may go back by {name}" for name, most in service.refunds.due(contract).items())
    click.echo(f"contract {contract}: {amount:,} JPY returned by {rule}{left}")


@billing.command("damages")
@click.argument("contract")
@click.option("--amount", type=int, required=True)
@click.option("--reason", required=True)
@click.option("--incident", default="", help="What they are for: refused if its cause is not the provider's (LIA-02).")
@click.option("--on", type=DAY, metavar="DATE", help="The day on which they were paid; today's unless given.")
@click.pass_obj
def damages(app: Application, contract: str, amount: int, reason: str, incident: str, on: date | None) -> None:
    """Record damages that were paid besides the credits: a month's fee at most, all together (LIA-03)."""
    service = app.services.billing
    day = on or service.invoices.today()
    left = service.damages.pay(contract, actor(app), amount=amount, on=day, reason=reason, incident=incident).left
    click.echo(f"contract {contract}: {amount:,} JPY of damages by LIA-03, {left:,} JPY left of the cap")


def _report(app: Application, results: Iterable[Closed], dry_run: bool, as_json: bool) -> None:
    """Each contract as soon as it is done. A refusal fails the command, after all others were done."""
    done: list[Closed] = []
    for one in results:
        done.append(one)
        if not as_json:
            _tell(one, dry_run)
    if as_json:
        show_json([_data(one, dry_run) for one in done])
    issued = sum(len(one.invoices) for one in done)
    refused = [one for one in done if one.refused]
    if not as_json:
        total = sum(document.total for one in done for document in one.invoices)
        click.echo(f"{issued} {_plural(issued)} {'would be ' if dry_run else ''}issued, {total:,} JPY with tax")
    if issued and app.services.billing.closing.invoicing().is_sample:
        click.echo(
            "the issuer is the sample: put your own into policies/issuer.yaml, `kurado policy apply issuer FILE`",
            err=True,
        )
    blocked = [one for one in refused if one.rule != "CAL-01"]
    if blocked:
        raise ActRefused(
            f"{len(blocked)} of {len(done)} contracts were not invoiced: {blocked[0].refused}", blocked[0].rule
        )


def _tell(one: Closed, dry_run: bool) -> None:
    span = f"{one.period.start} to {one.period.end}" if one.period else "up to now"
    if one.refused:
        click.echo(f"{one.contract}: {one.refused} ({one.rule})", err=True)
    elif not one.invoices:
        click.echo(f"{one.contract}: {span}: nothing to issue")
    for document in one.invoices:
        what = (
            f"{document.period.kind} {document.period.start} to {document.period.end}" if document.period else "closing"
        )
        number = "would be issued" if dry_run else document.number
        click.echo(
            f"{one.contract}: {number}: {what}, dated {document.dated}, due {document.due}, {document.total:,} JPY"
        )


def _data(one: Closed, dry_run: bool) -> dict[str, Any]:
    period = one.period
    return {
        "contract": one.contract,
        "period": period and {"kind": str(period.kind), "start": str(period.start), "end": str(period.end)},
        "dry_run": dry_run,
        "invoices": [document_to_json(document) for document in one.invoices],
        "refused": one.refused or None,
        "rule": one.rule or None,
    }


def _plural(count: int) -> str:
    return "invoice" if count == 1 else "invoices"
