"""``statistics``: figures of all customers together that may leave the house (PRV-02)."""

from __future__ import annotations

from datetime import date

import click

from gateway.commands.acting import DAY
from gateway.commands.app import Application, json_option, show, show_json
from gateway.domain.units import format_size


def add(cli: click.Group) -> None:
    cli.add_command(statistics)


@click.command()
@click.option("--from", "first", type=DAY, required=True)
@click.option("--to", "last", type=DAY, required=True)
@json_option
@click.pass_obj
def statistics(app: Application, first: date, last: date, as_json: bool) -> None:
    """Sum up the access logs by plan, over JST days; what fewer customers than privacy.stats_min_customers stand behind
    is left out. The release is on record."""
    app.note("statistics.released", f"statistics:{first}:{last}", "PRV-02")
    cells = app.services.contracts.statistics.release(first, last)
    if as_json:
        show_json([cell.to_json() for cell in cells])
        return
    rows = [
        {
            "plan": cell.plan,
            "customers": cell.customers,
            "requests": sum(cell.requests.values()),
            "in": format_size(cell.bytes_in),
            "out": format_size(cell.bytes_out),
        }
        for cell in cells
    ]
    show(False, rows, empty="too few customers for a figure in which none can be told")
