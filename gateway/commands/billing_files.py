"""``billing collect|import-results|orders|export``: files to and from banks, the payment agency, accounting."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import click

from gateway.commands.acting import DAY, actor, jst
from gateway.commands.app import Application, json_option, show, show_json, tenant_option
from gateway.domain.collecting import FileRejected
from gateway.domain.invoice_json import document_to_json
from gateway.hooks import Exporter


def add(group: click.Group) -> None:
    for command in (collect, import_results, orders, export):
        group.add_command(command)


_output = click.option(
    "-o", "output", type=click.Path(path_type=Path, dir_okay=False), help="File to write; else stdout."
)
_exporter = click.option("--exporter", required=True, help="zengin, payment_agency, or another plugin's format.")


@click.command("collect")
@_exporter
@click.option("--on", type=DAY, metavar="DATE", help="The day of the debits; today's unless given.")
@tenant_option
@click.option("--dry-run", is_flag=True, help="Show the file, and order nothing.")
@click.option("--again", "order", help="Write the file of this order once more.")
@_output
@click.pass_obj
def collect(
    app: Application,
    exporter: str,
    on: date | None,
    tenant: str | None,
    dry_run: bool,
    order: str | None,
    output: Path | None,
) -> None:
    """Write a debit order to the bank (zengin), or hand assigned claims over to the agency (payment_agency).

    Debits: all that is open and due by that day, of contracts that pay by debit, one for each customer. Claims: those
    of `invoice assign` that were not handed over yet. The file is written, or there is no order.
    """
    service = app.services.billing.collecting
    if order:
        sent = service.again(order)
    else:
        sent = service.collect(exporter, actor(app), on=on, tenant=tenant, dry_run=dry_run)
    write(output, sent.content)
    for contract, reason in sent.left_out:
        click.echo(f"{contract}: left out: {reason}", err=True)
    count = sum(len(part.invoices) for part in sent.order.parts)
    name = "dry run" if dry_run else f"order {sent.order.id}"
    click.echo(
        f"{name}: {count} invoices of {len(sent.order.parts)} customers, {sent.order.amount:,} JPY, on {sent.order.on}",
        err=True,
    )


@click.command("import-results")
@_exporter
@click.option("--order", help="The order that the file answers; found by its content unless given.")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@click.pass_obj
def import_results(app: Application, exporter: str, order: str | None, file: Path, as_json: bool) -> None:
    """Read a bank's or the agency's result FILE: invoices become paid or failed, settled or returned.

    Anything wrong in it, and all of it is rejected with line and reason. A file that was read before changes nothing.
    """
    try:
        done = app.services.billing.collecting.import_results(exporter, file.read_bytes(), actor(app), order)
    except FileRejected as error:
        raise click.ClickException(f"{file}: rejected whole: {error}") from error
    if as_json:
        results = [{"invoice": number, "result": result} for number, result in done.results]
        show_json({"orders": done.orders, "already": done.already, "results": results})
        return
    if done.already:
        click.echo(f"this file was read before, for {', '.join(done.orders)}: nothing is changed")
    for number, result in done.results:
        click.echo(f"{number}: {result}")


@click.command("orders")
@json_option
@click.pass_obj
def orders(app: Application, as_json: bool) -> None:
    """Show debit orders and hand-overs, and whether their results are there."""
    rows = [
        {
            "order": one.id,
            "exporter": one.exporter,
            "made": jst(one.at),
            "on": str(one.on),
            "customers": len(one.parts),
            "invoices": ", ".join(number for part in one.parts for number in part.invoices),
            "amount": one.amount,
            "results": len(one.results),
        }
        for one in app.services.billing.collecting.orders()
    ]
    show(as_json, rows, empty="nothing was ever collected")


@click.command("export")
@click.option(
    "--period", "day", type=DAY, metavar="DATE", required=True, help="Any day of the billing periods to export."
)
@click.option("--format", "format_", default="csv", show_default=True, help="csv, json, focus, or a plugin's.")
@click.option("--tenant", help="Only this tenant; all unless given.")
@_output
@click.pass_obj
def export(app: Application, day: date, format_: str, tenant: str | None, output: Path | None) -> None:
    """Export what every tenant used in its billing period that holds a day, and what it costs.

    A closed period gives the same bytes each time once it was invoiced: then it is exported as its invoices, with tax,
    credits and corrections. All others are exported by their usage, without tax, cut once (P-5); demo tenants are
    listed and billed 0. Formats invoices-csv, invoices-json and invoices-focus write invoices only.
    """
    exporters: dict[str, Exporter] = app.services.host.exporters()
    if format_ not in exporters:
        known = ", ".join(sorted(exporters)) or "none: no plugin of gateway.yaml brings one"
        raise click.BadParameter(f"there is no format {format_!r}; there are {known}", param_hint="--format")
    found: Sequence[Any]
    if format_.startswith("invoices-"):
        found = app.services.billing.closing.documents(day, tenant)
    else:
        found = [_with_invoices(app, one, day) for one in app.services.usage.statements(day, tenant)]
    if not found:
        click.echo(f"no tenant has a billing period for {day}: the export is empty", err=True)
    content = exporters[format_].render(found)
    write(output, content)
    if output is not None:
        click.echo(f"{output}: {len(content)} bytes", err=True)


def _with_invoices(app: Application, statement: Mapping[str, Any], day: date) -> Mapping[str, Any]:
    """A closed period that was invoiced is exported as its invoices, which it then equals to the yen."""
    if not statement["closed"]:
        return statement
    documents = app.services.billing.closing.documents(day, statement["tenant"], invoiced_only=True)
    return {**statement, "invoices": [document_to_json(one) for one in documents]} if documents else statement


def write(file: Path | None, content: bytes) -> None:
    """Whole or not at all: another program may be watching the folder. What stands in it is for the operator only."""
    if file is None:
        click.echo(content, nl=False)
        return
    part = file.with_name(file.name + ".part")
    descriptor = os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as new:
        new.write(content)
    part.replace(file)
