"""Documents for people: an issued invoice as HTML page and PDF, in Japanese and English.

Both show one and the same :class:`~gateway.documents.view.InvoiceView`, so that they cannot tell different things.
"""

from gateway.documents.fonts import Fonts, FontsMissing, find_fonts
from gateway.documents.html import invoice_html
from gateway.documents.pdf import invoice_pdf
from gateway.documents.view import LANGUAGES

__all__ = ["LANGUAGES", "Fonts", "FontsMissing", "find_fonts", "invoice_html", "invoice_pdf"]
