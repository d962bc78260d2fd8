"""An issued invoice as JSON: how it is kept, so that it can be shown again for ever as it was issued (PAY-01)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import Any

from gateway.domain.calendar import Period, PeriodKind
from gateway.domain.invoice import Customer, InvoiceDocument, InvoiceLine, Issuer, RateTotal, Text

FORMAT = 1


def document_to_json(document: InvoiceDocument) -> dict[str, Any]:
    """Plain JSON values; sums stand in it for readers, and are not read back."""
    values = asdict(document)
    period = document.period
    values["period"] = period and {"kind": str(period.kind), "start": str(period.start), "end": str(period.end)}
    values["lines"] = [{**line, "quantity": format(line["quantity"], "f")} for line in values["lines"]]
    values["rates"] = list(values["rates"])
    sums = {"net": document.net, "tax": document.tax, "total": document.total}
    return {**values, "format": FORMAT, "dated": str(document.dated), "due": str(document.due), **sums}


def document_from_json(value: Mapping[str, Any]) -> InvoiceDocument:
    """The document again. ValueError: another format."""
    if value.get("format") != FORMAT:
        raise ValueError(f"an invoice of format {value.get('format')!r}; this version reads format {FORMAT}")
    period = value["period"]
    issuer = dict(value["issuer"])
    for key in ("name", "address", "bank"):
        issuer[key] = Text(**issuer[key])
    return InvoiceDocument(
        number=value["number"],
        issuer=Issuer(**issuer),
        customer=Customer(**value["customer"]),
        period=period and Period(PeriodKind(period["kind"]), _date(period["start"]), _date(period["end"])),
        dated=_date(value["dated"]),
        due=_date(value["due"]),
        method=value["method"],
        lines=tuple(_line(one) for one in value["lines"]),
        rates=tuple(RateTotal(**one) for one in value["rates"]),
        untaxed=value["untaxed"],
    )


def _line(value: Mapping[str, Any]) -> InvoiceLine:
    texts = {key: Text(**value[key]) for key in ("description", "unit")}
    return InvoiceLine(**{**value, **texts, "quantity": Decimal(value["quantity"])})


def _date(text: str) -> date:
    return date.fromisoformat(text)
