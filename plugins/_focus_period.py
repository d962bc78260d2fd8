"""Billing periods as FOCUS 1.2: those that were invoiced as their invoices, all others as their statements."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.domain.invoice_json import document_from_json
from plugins import _focus, _focus_invoice


def render(statements: Sequence[Mapping[str, Any]], provider: str) -> bytes:
    """The dataset as CSV with a header, UTF-8, ``\\r\\n`` (RFC 4180)."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _focus.COLUMNS, lineterminator="\r\n", restval="")
    writer.writeheader()
    for statement in statements:
        writer.writerows(rows(statement, provider))
    return text.getvalue().encode()


def rows(statement: Mapping[str, Any], provider: str) -> Iterator[dict[str, str]]:
    """BilledCost of an invoiced period is what its invoices ask for: fees, usage, corrections, credits and tax, each in
    its category. The billing account is the tenant in every row."""
    if not statement.get("invoices"):
        yield from _focus.statement_rows(statement, provider)
        return
    common = {
        **_focus.flags(statement),
        "BillingAccountId": f"{statement['tenant_id']}",
        "BillingAccountName": statement["tenant"],
    }
    for one in statement["invoices"]:
        for found in _focus_invoice.rows(document_from_json(one)):
            yield {**found, **common}
