"""Issued invoices for accounting: ``invoices-csv``, ``invoices-json`` and ``invoices-focus`` (FOCUS 1.2). No settings.

In each the amounts of an invoice add up to its total: lines without tax, and the tax of each rate apart.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gateway.domain.collecting import CannotExport
from gateway.domain.invoice import InvoiceDocument
from gateway.domain.invoice_json import document_to_json
from gateway.hooks import Exporter, PluginContext, hookimpl
from plugins import _focus_invoice
from plugins._collecting import no_other_settings

COLUMNS = (
    "invoice", "customer_number", "customer", "dated", "due", "period_start", "period_end", "code", "description",
    "quantity", "unit", "amount", "tax_rate", "rule", "corrects",
)  # fmt: skip


def create(context: PluginContext) -> object:
    """The entry point."""
    no_other_settings(context.settings, "invoice_export", "no settings")
    return InvoiceExport()


class InvoiceExport:
    @hookimpl
    def register_exporters(self) -> Iterable[Exporter]:
        renders = {"csv": render_csv, "json": render_json, "focus": _focus_invoice.render}
        return [Exporter(f"invoices-{name}", _checked(f"invoices-{name}", one)) for name, one in renders.items()]


def render_csv(documents: Sequence[InvoiceDocument]) -> bytes:
    """One line a row, then a row ``tax`` for each rate; UTF-8, CRLF."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\r\n", restval="")
    writer.writeheader()
    for document in documents:
        writer.writerows(_rows(document))
    return text.getvalue().encode()


def render_json(documents: Sequence[InvoiceDocument]) -> bytes:
    """The documents as they are kept."""
    kept = [document_to_json(one) for one in documents]
    return (json.dumps(kept, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def _rows(document: InvoiceDocument) -> Iterable[dict[str, object]]:
    common = {
        "invoice": document.number,
        "customer_number": document.customer.number,
        "customer": document.customer.name,
        "dated": document.dated,
        "due": document.due,
        "period_start": document.period.start if document.period else "",
        "period_end": document.period.end if document.period else "",
    }
    for line in document.lines:
        yield {
            **common,
            "code": line.code,
            "description": line.description.ja,
            "quantity": format(line.quantity, "f"),
            "unit": line.unit.ja,
            "amount": line.amount,
            "tax_rate": "" if line.rate is None else line.rate,
            "rule": line.rule,
            "corrects": line.corrects,
        }
    for one in document.rates:
        yield {**common, "code": "tax", "amount": one.tax, "tax_rate": one.rate, "rule": "TAX-01"}


def _checked(format_: str, render: Callable[[Sequence[InvoiceDocument]], bytes]) -> Callable[[Any], bytes]:
    def checked(documents: Sequence[Any]) -> bytes:
        for one in documents:
            if not isinstance(one, InvoiceDocument):
                raise CannotExport(f"{format_} is no format for usage: it writes issued invoices")
        return render(documents)

    return checked
