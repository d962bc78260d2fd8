"""Billing export: usage and charges of a period as CSV, JSON and FOCUS 1.2.

A period that was invoiced is exported as its invoices: the amounts, tax, credits and corrections included, add up to
what these ask for. Any other is exported as its statement, without tax.

Setting: ``provider``, the company that stands in the export as provider and issuer (default ``kurado operator``).
A closed period gives the same bytes whenever it is exported. Demo tenants are exported with their list prices and a
billed amount of 0.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gateway.domain.calendar import format_time
from gateway.hooks import Exporter, PluginContext, hookimpl
from plugins import _focus_period

COLUMNS = (
    "tenant", "plan", "demo", "period_kind", "period_start", "period_end", "starts_at", "ends_at", "closed", "code",
    "name", "quantity", "unit", "unit_price", "list_price", "amount", "currency", "rule", "invoice", "tax_rate",
    "corrects",
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
            Exporter("focus", lambda statements: _focus_period.render(statements, self._provider)),
        ]


def render_csv(statements: Sequence[Mapping[str, Any]]) -> bytes:
    """One row a line, with a header; periods by JST dates (both inclusive) and by UTC instants (half-open)."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\r\n", extrasaction="ignore")
    writer.writeheader()
    for one in statements:
        period = {f"period_{key}": value for key, value in one["period"].items()}
        times = {"starts_at": format_time(one["starts_at"]), "ends_at": format_time(one["ends_at"])}
        flags = {key: "true" if one[key] else "false" for key in ("demo", "closed")}
        for line in _lines(one):
            writer.writerow({**one, **period, **times, **flags, **line})
    return text.getvalue().encode()


def _lines(statement: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The lines of the statement, or of its invoices and then the tax of each rate."""
    if not statement.get("invoices"):
        yield from statement["lines"]
        return
    for invoice in statement["invoices"]:
        for line in invoice["lines"]:
            texts = {"name": line["description"]["en"], "unit": line["unit"]["en"], "tax_rate": line["rate"]}
            yield {**line, **texts, "invoice": invoice["number"]}
        for one in invoice["rates"]:
            name = f"Consumption tax on {one['net']}"
            yield {
                "code": "tax", "name": name, "amount": one["tax"], "rule": "TAX-01", "invoice": invoice["number"],
                "tax_rate": one["rate"],
            }  # fmt: skip


def render_json(statements: Sequence[Mapping[str, Any]]) -> bytes:
    """The statements as they are, with their days."""
    return (json.dumps(list(statements), ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
