"""Who issues the invoices, as ``policies/issuer.yaml`` says it, and who closes ended periods."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.domain.fields import Fields, one_of, text
from gateway.domain.invoice import Issuer, Text

SAMPLE = "SAMPLE"
"""The series of the sample that comes with the product: its numbers are never taken for those of real invoices."""


@dataclass(frozen=True, slots=True)
class Invoicing:
    """``series`` stands before the number. ``automatic``: the steward issues what is due and closes what has ended."""

    issuer: Issuer
    series: str
    automatic: bool

    @property
    def is_sample(self) -> bool:
        return self.series == SAMPLE


def parse_issuer(document: Mapping[str, Any]) -> Invoicing:
    """FieldError or InvoiceError (both ValueErrors) name what is wrong."""
    top = Fields(document)
    issuer = Issuer(
        name=top.take("name", _both),
        registration=top.take("registration", text),
        postal_code=top.take("postal_code", text),
        address=top.take("address", _both),
        phone=top.take("phone", text, ""),
        email=top.take("email", text, ""),
        bank=top.take("bank", _both, Text("", "")),
    )
    series = top.take("series", _series)
    closing = top.take("closing", one_of("operator", "steward"), "operator")
    top.done()
    return Invoicing(issuer, series, closing == "steward")


def _both(value: Any) -> Text:
    fields = Fields(value)
    found = Text(fields.take("ja", text).strip(), fields.take("en", text).strip())
    fields.done()
    return found


def _series(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z0-9]{1,12}", value):
        raise ValueError(f"{value!r} is no series of invoices: 1 to 12 of A-Z and 0-9")
    return value
