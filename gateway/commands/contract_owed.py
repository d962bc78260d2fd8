"""``contract owed``: what a customer owes, and since when it may be demanded (END-06)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import click

from gateway.commands.app import Application, json_option, show, show_json
from gateway.domain.calendar import jst_date
from gateway.domain.contract.records import Contract

_LUMP_SUM = "early_termination"


def add(group: click.Group) -> None:
    """Adds the command to the group ``contract``."""
    group.add_command(owed)


@click.command("owed")
@click.argument("name")
@json_option
@click.pass_obj
def owed(app: Application, name: str, as_json: bool) -> None:
    """Show open claims of the provider, invoiced and already incurred, with the day on which each may be demanded.

    After a termination on a ground of §17(1) that is the day of the termination for all of them (END-06); the lump sum
    of an early cancellation is not among them, and claims that were assigned are no longer the provider's (D-52, D-57).
    """
    contract = app.services.contracts.book.get(name)
    rows = list(_claims(app, contract))
    if as_json:
        show_json({"contract": name, "total": sum(row["open"] for row in rows), "claims": rows})
        return
    show(False, rows, empty="nothing is owed")
    if rows:
        click.echo(f"{sum(row['open'] for row in rows):,} JPY in all")


def _claims(app: Application, contract: Contract) -> Iterator[dict[str, Any]]:
    today, billing = jst_date(app.clock()), app.services.billing
    at_once = jst_date(contract.terminated_at) if contract.terminated_at is not None else None
    for one in billing.ledger(contract.name).invoices:
        if one.is_held and one.open > 0 and not one.has_lump_sum and not one.has_lapsed(today):
            yield _row(one.number, one.open, one.due, at_once)
    if contract.agreed is None or contract.start_date is None:
        return
    for prepared in billing.closing.unissued(contract, today):
        document = prepared.document
        if document.total > 0 and not any(line.code == _LUMP_SUM for line in document.lines):
            yield _row("not issued yet", document.total, document.due, at_once)


def _row(invoice: str, amount: int, due: date, at_once: date | None) -> dict[str, Any]:
    accelerated = at_once is not None and at_once < due
    return {
        "invoice": invoice,
        "open": amount,
        "due": due.isoformat(),
        "demandable_from": (at_once if accelerated and at_once else due).isoformat(),
        "rule": "END-06" if accelerated else "FEE-03",
    }
