"""An invoice as one self-contained HTML page: no script, no outside resource, prints on A4."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from gateway.documents.view import view_of
from gateway.domain.invoice import InvoiceDocument


def invoice_html(document: InvoiceDocument, language: str) -> str:
    """``language``: ja or en. Everything that a customer wrote is escaped."""
    return _template().render(view=view_of(document, language))


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("gateway.documents"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("invoice.html")
