"""Billing export: usage and charges of a period as CSV, JSON and FOCUS 1.2.

Setting: ``provider``, the company that stands in the export as provider and issuer (default ``kurado operator``).
A closed period gives the same bytes whenever it is exported. Demo tenants are exported with their list prices and a
billed amount of 0.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import click

from gateway.domain.calendar import format_time
from gateway.hooks import Exporter, PluginContext, hookimpl
from plugins import _focus
from plugins._dates import jst_date

COLUMNS = (
    "tenant", "plan", "demo", "period_kind", "period_start", "period_end", "starts_at", "ends_at", "closed", "code",
    "name", "quantity", "unit", "unit_price", "list_price", "amount", "currency", "rule",
)  # fmt: skip


def create(context: PluginContext) -> object:
    """The entry point."""
    settings = dict(context.settings)
    provider = settings.pop("provider", "kurado operator")
    for key in settings:
        raise ValueError(f"{key}: unknown setting; billing_export knows provider")
    if not isinstance(provider, str) or not provider.strip():
        raise ValueError(f"provider: {provider!r} is no name of a company")
    return BillingExport(provider)


class BillingExport:
    def __init__(self, provider: str) -> None:
        self._provider = provider

    @hookimpl
    def register_exporters(self) -> Iterable[Exporter]:
        return [
            Exporter("csv", render_csv),
            Exporter("json", render_json),
            Exporter("focus", lambda statements: _focus.render(statements, self._provider)),
        ]

    @hookimpl
    def register_commands(self, cli: click.Group) -> None:
        cli.add_command(billing)


def render_csv(statements: Sequence[Mapping[str, Any]]) -> bytes:
    """One row a line, with a header; periods by JST dates (both inclusive) and by UTC instants (half-open)."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\r\n", extrasaction="ignore")
    writer.writeheader()
    for one in statements:
        period = {f"period_{key}": value for key, value in one["period"].items()}
        times = {"starts_at": format_time(one["starts_at"]), "ends_at": format_time(one["ends_at"])}
        flags = {key: "true" if one[key] else "false" for key in ("demo", "closed")}
        for line in one["lines"]:
            writer.writerow({**one, **period, **times, **flags, **line})
    return text.getvalue().encode()


def render_json(statements: Sequence[Mapping[str, Any]]) -> bytes:
    """The statements as they are, with their days."""
    return (json.dumps(list(statements), ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


@click.group()
def billing() -> None:
    """Export usage and charges."""


@billing.command()
@click.option(
    "--period",
    "day",
    callback=jst_date,
    metavar="DATE",
    required=True,
    help="Any day of the billing periods to export.",
)
@click.option("--format", "format_", default="csv", show_default=True, help="csv, json, focus, or a plugin's.")
@click.option("--tenant", help="Only this tenant; all unless given.")
@click.option("-o", "output", type=click.Path(path_type=Path, dir_okay=False), help="File to write; else stdout.")
@click.pass_obj
def export(app: Any, day: date, format_: str, tenant: str | None, output: Path | None) -> None:
    """Export what every tenant used in its billing period that holds a day, and what it costs.

    A closed period gives the same bytes each time. Amounts are JPY without tax, cut once (P-5); demo tenants are listed
    and billed 0.
    """
    exporters: dict[str, Exporter] = app.services.host.exporters()
    if format_ not in exporters:
        known = ", ".join(sorted(exporters))
        raise click.BadParameter(f"there is no format {format_!r}; there are {known}", param_hint="--format")
    statements = app.services.usage.statements(day, tenant)
    if not statements:
        click.echo(f"no tenant has a billing period for {day}: the export is empty", err=True)
    content = exporters[format_].render(statements)
    if output is None:
        click.echo(content, nl=False)
        return
    _write(output, content)
    click.echo(f"{output}: {len(content)} bytes", err=True)


def _write(file: Path, content: bytes) -> None:
    """Whole or not at all: an invoice program may be watching the folder."""
    part = file.with_name(file.name + ".part")
    part.write_bytes(content)
    part.replace(file)
