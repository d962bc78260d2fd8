"""Metering: what tenants store, move and ask, by hour, JST day and billing period.

Storage figures derive from committed events, booked in the transaction that moves this plugin's cursor; traffic comes
in samples that are booked once. The steward writes hourly CloudEvents and closes billing periods. No settings.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from gateway.domain.calendar import format_time
from gateway.domain.events import Event
from gateway.domain.units import format_size
from gateway.hooks import Job, PluginContext, TrafficSample, UsageLedger, hookimpl
from plugins._dates import jst_date

EVERY_SECONDS = 60.0
BAR = 24
_HEADS = (
    "day", "byte-hours", "peak", "end of day", "files", "in", "out", "requests", "r/w/list/lock/other", "refused",
)  # fmt: skip
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def create(context: PluginContext) -> object:
    """The entry point; metering has no settings of its own."""
    for key in context.settings:
        raise ValueError(f"{key}: unknown setting; metering has none")
    return Metering(context)


class Metering:
    in_transaction = True

    def __init__(self, context: PluginContext) -> None:
        self._context = context

    @hookimpl
    def on_event(self, event: Event, ledger: UsageLedger) -> None:
        ledger.storage_event(event)

    @hookimpl
    def on_traffic(self, samples: Sequence[TrafficSample], ledger: UsageLedger) -> None:
        ledger.traffic(samples)

    @hookimpl
    def register_jobs(self) -> Iterable[Job]:
        usage = self._context.services
        return [
            Job("metering.records", EVERY_SECONDS, lambda: usage.usage.record_due()),
            Job("metering.close", EVERY_SECONDS, lambda: usage.usage.close_due()),
        ]

    @hookimpl
    def register_commands(self, cli: click.Group) -> None:
        cli.add_command(usage)


_period = click.option(
    "--period", "day", callback=jst_date, metavar="DATE", help="Any day of the billing period; today's unless given."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def usage() -> None:
    """Show what tenants used."""


@usage.command()
@click.argument("tenant")
@_period
@_json
@click.pass_obj
def show(app: Any, tenant: str, day: Any, as_json: bool) -> None:
    """Show a tenant's billing period: each JST day, the sums, and what they cost.

    A billing month is the 21st to the 20th (CAL-01), named by its first day. A running period's figures reach up to the
    last full hour or the last thing that was booked; those of a closed one are final.
    """
    app.note("usage.read", "usage", "PRV-01", tenant)
    statement = app.services.usage.statement(tenant, day)
    if as_json:
        click.echo(json.dumps(statement, ensure_ascii=False, indent=1))
        return
    for line in render(statement):
        click.echo(line)


@usage.command()
@click.argument("tenant")
@_period
@click.pass_obj
def records(app: Any, tenant: str, day: Any) -> None:
    """Print the period's hourly usage records, one CloudEvent (JSON) a line."""
    app.note("usage.read", "usage records", "PRV-01", tenant)
    for record in app.services.usage.records(tenant, day):
        click.echo(json.dumps(record, ensure_ascii=False))


# -- the table and the chart ------------------------------------------------------------------------------------------


def render(statement: Mapping[str, Any]) -> list[str]:
    """The statement for people, as lines of text."""
    period = statement["period"]
    state = "closed, final" if statement["closed"] else f"running, figures up to {format_time(statement['as_of'])}"
    demo = "  demo tenant: not billed" if statement["demo"] else ""
    lines = [
        f"{statement['tenant']}  plan {statement['plan']}  {period['kind']} {period['start']} to {period['end']} JST  "
        f"({state}){demo}",
        "",
    ]
    lines += _table([_HEADS, *(_row(day) for day in statement["days"]), _row({"date": "sum", **statement["usage"]})])
    lines += ["", *_chart(statement["days"]), ""]
    lines += _table([["line", "quantity", "unit", "JPY a unit", "JPY", "rule"], *map(_charge, statement["lines"])])
    return [*lines, "", f"total  {statement['total']:,} JPY without tax"]


def _row(day: Mapping[str, Any]) -> Sequence[str]:
    requests = day["requests"]
    return [
        day["date"],
        f"{format_size(day['byte_hours'])}·h",
        format_size(day["peak_bytes"]),
        format_size(day["end_bytes"]),
        f"{day['end_files']:,}",
        format_size(day["bytes_in"]),
        format_size(day["bytes_out"]),
        f"{sum(requests.values()):,}",
        "/".join(str(count) for count in requests.values()),
        f"{day['refusals']:,}",
    ]


def _charge(line: Mapping[str, Any]) -> Sequence[str]:
    price = f"{line['unit_price']:,}"
    if line["unit_price"] != line["list_price"]:
        price += f" (list {line['list_price']:,})"
    whole, _, fraction = line["quantity"].partition(".")
    quantity = f"{whole}.{fraction[:3]}" if fraction else whole
    return [line["name"], quantity, line["unit"], price, f"{line['amount']:,}", line["rule"]]


def _chart(days: Sequence[Mapping[str, Any]]) -> list[str]:
    """A bar for the peak of each day, against the highest of them."""
    most = max((day["peak_bytes"] for day in days), default=0)
    if not most:
        return ["nothing was stored"]
    return [f"{day['date'][5:]} {_bar(day['peak_bytes'], most)} {format_size(day['peak_bytes'])}" for day in days]


def _bar(value: int, most: int) -> str:
    eighths = -(-value * BAR * 8 // most)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(BAR)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """First column to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
