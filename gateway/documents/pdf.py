"""An invoice as PDF on A4 with embedded fonts; the same document gives the same bytes.

Set with fpdf2 (LGPL-3.0, pure Python, typed), which embeds CFF fonts as such, cut down to the glyphs used.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, time
from importlib.metadata import version
from typing import NamedTuple, cast

from fpdf import FPDF
from fpdf.enums import Align
from fpdf.fonts import TTFFont

from gateway.documents.fonts import Fonts, find_fonts
from gateway.documents.view import InvoiceView, LineView, view_of
from gateway.documents.wrapping import wrapped
from gateway.domain.calendar import JST
from gateway.domain.errors import KuradoError
from gateway.domain.invoice import InvoiceDocument

_INK, _SOFT, _LINE, _DEEP, _TINT, _WHITE = (
    (28, 39, 51),
    (91, 104, 117),
    (213, 219, 225),
    (23, 64, 95),
    (242, 246, 249),
    (255, 255, 255),
)
_MARGIN, _FOOT = 17.0, 18.0
_WIDTH = 210 - 2 * _MARGIN
_ISSUER_WIDTH = 74.0
_COLUMNS = (72.0, 27.0, 32.0, 15.0, 30.0)
_RATES, _SUMS = (24.0, 36.0, 28.0), (47.0, 33.0)
_PAD = 2.0
_MM_PER_POINT = 0.3528


class GlyphMissing(KuradoError):
    """A character that the embedded font cannot show; the message names it."""

    code = "glyph-missing"


class _Cell(NamedTuple):
    """``wrap``: over several lines; else on one line, however small."""

    text: str
    align: Align = Align.L
    color: tuple[int, int, int] = _INK
    wrap: bool = False


def invoice_pdf(document: InvoiceDocument, language: str, fonts: Fonts | None = None) -> bytes:
    """``language``: ja or en. FontsMissing, GlyphMissing."""
    view = view_of(document, language)
    page = _Page(view, fonts or find_fonts())
    with closing(page):
        page.set_creation_date(datetime.combine(document.dated, time(), JST))
        for part in (_head, _parties, _due, _facts, _lines, _sums, _notes):
            part(page, view)
        page.check_glyphs()
        return bytes(page.output())


class _Page(FPDF):
    """A4 with our fonts, colours and a foot; lengths in mm, sizes of type in points."""

    def __init__(self, view: InvoiceView, fonts: Fonts) -> None:
        super().__init__(format="A4")
        self._view = view
        self._used: dict[str, set[str]] = {"": set(), "B": set()}
        for style, file in (("", fonts.regular), ("B", fonts.bold)):
            self.add_font("text", style, file, collection_font_number=fonts.face)
        self.set_margins(_MARGIN, 16, _MARGIN)
        self.set_auto_page_break(True, _FOOT)
        self.c_margin = 0
        self.set_lang(view.language)
        self.set_title(view.title)
        self.set_author(view.issuer_name)
        self.set_creator(f"kurado {version('kurado')}")
        self.alias_nb_pages("{pages}")
        self.add_page()

    def close(self) -> None:
        """fpdf2 leaves the files of fonts open."""
        for font in self.fonts.values():
            cast(TTFFont, font).ttfont.close()

    def footer(self) -> None:
        self.set_y(-12)
        self.type(7.5, color=_SOFT)
        self.line_of(f"{self._view.title}    {self.page_no()} / {{pages}}", Align.L)

    def type(self, size: float, *, bold: bool = False, color: tuple[int, int, int] = _INK) -> None:
        self.set_font("text", "B" if bold else "", size)
        self.set_text_color(*color)

    def line_of(self, text: str, align: Align, width: float = 0, height: float = 5) -> None:
        """One line at the place of the pen, which stays."""
        self._note(text)
        x, y = self.x, self.y
        self.cell(width, height, text, align=align)
        self.set_xy(x, y)

    def block(self, text: str, width: float) -> None:
        """Wrapped text; the pen goes below it."""
        self._note(text)
        x = self.x
        for line in wrapped(text, width, self.get_string_width):
            self.cell(width, self.leading, line)
            self.set_xy(x, self.y + self.leading)

    @property
    def leading(self) -> float:
        """From line to line."""
        return float(self.font_size_pt) * _MM_PER_POINT * 1.5

    def fitted(self, text: str, width: float, align: Align) -> None:
        """One line, set smaller where it is too long: an amount is never broken."""
        size, needed, height = self.font_size_pt, self.get_string_width(text), self.leading
        self.set_font_size(size * min(1, width / needed) if needed else size)
        self.line_of(text, align, width, height)
        self.set_font_size(size)

    def height_of_row(self, cells: Sequence[_Cell], widths: Sequence[float]) -> float:
        """Without the space above and below."""
        pairs = [(cell.text, width - 2 * _PAD) for cell, width in zip(cells, widths, strict=True) if cell.wrap]
        lines = [len(wrapped(text, width, self.get_string_width)) for text, width in pairs]
        return self.leading * max(lines, default=1)

    def rule(self, y: float, x: float = _MARGIN, width: float = _WIDTH, thick: float = 0.2, deep: bool = False) -> None:
        self.set_draw_color(*(_DEEP if deep else _LINE))
        self.set_line_width(thick)
        self.line(x, y, x + width, y)

    def row(self, cells: Sequence[_Cell], widths: Sequence[float], x: float, *, space: float = 1.7) -> None:
        """Cells beside each other, as high as the highest, with a line below."""
        height = self.height_of_row(cells, widths)
        top = self.y
        left = x
        for cell, width in zip(cells, widths, strict=True):
            self.set_xy(left + _PAD, top + space)
            self.set_text_color(*cell.color)
            if cell.wrap:
                self.block(cell.text, width - 2 * _PAD)
            else:
                self.fitted(cell.text, width - 2 * _PAD, cell.align)
            left += width
        self.set_xy(_MARGIN, top + height + 2 * space)
        self.rule(self.y, x, sum(widths))

    def heading(self, cells: Sequence[_Cell], widths: Sequence[float], x: float) -> None:
        self.type(8)
        self.set_fill_color(*_TINT)
        self.rect(x, self.y, sum(widths), self.height_of_row(cells, widths) + 3.4, style="F")
        self.row([cell._replace(color=_SOFT) for cell in cells], widths, x)

    def room(self, height: float) -> bool:
        """Whether that much fits on this page; else a new one is begun."""
        if self.y + height <= self.h - _FOOT:
            return True
        self.add_page()
        return False

    def check_glyphs(self) -> None:
        for style, used in self._used.items():
            known = cast(TTFFont, self.fonts[f"text{style}"]).cmap
            for char in sorted(used):
                if ord(char) not in known:
                    raise GlyphMissing(f"the invoice's font cannot show {char!r} (U+{ord(char):04X})")

    def _note(self, text: str) -> None:
        self._used[self.font_style].update(text)


def _head(page: _Page, view: InvoiceView) -> None:
    japanese = view.language == "ja"
    page.type(22, bold=True, color=_DEEP)
    page.set_char_spacing(8 if japanese else 0)
    page.line_of(view.label["title"], Align.L, height=11)
    page.set_char_spacing(0)
    page.type(8.5, color=_SOFT)
    page.set_y(page.y + 4.5)
    page.line_of(view.label["subtitle"], Align.R, height=6)
    page.set_y(page.y + 8)
    page.rule(page.y, thick=0.9, deep=True)
    page.set_y(page.y + 7)


def _parties(page: _Page, view: InvoiceView) -> None:
    top = page.y
    right = _MARGIN + _WIDTH - _ISSUER_WIDTH
    own = (f"{view.label['registration']} {view.registration}", *view.issuer)
    ends = []
    for x, width, label, name, texts in (
        (_MARGIN, _WIDTH - _ISSUER_WIDTH - 10, view.label["bill_to"], view.addressee, view.customer),
        (right, _ISSUER_WIDTH, view.label["issuer"], view.issuer_name, own),
    ):
        page.set_xy(x, top)
        page.type(8, color=_SOFT)
        page.block(label, width)
        page.type(13, bold=True)
        page.block(name, width)
        page.type(9.5)
        page.y += 0.8
        for text in texts:
            page.block(text, width)
        ends.append(page.y)
    page.set_xy(_MARGIN, max(ends) + 7)


def _due(page: _Page, view: InvoiceView) -> None:
    page.type(9.5)
    page.block(view.label["greeting"], _WIDTH)
    top = page.y + 1.5
    page.set_fill_color(*_DEEP)
    page.rect(_MARGIN, top, _WIDTH, 15, style="F", round_corners=True, corner_radius=1)
    page.set_xy(_MARGIN + 5, top + 4.5)
    page.type(10.5, color=_WHITE)
    page.line_of(view.label["amount_due"], Align.L, height=6)
    page.set_x(_MARGIN)
    page.type(20, bold=True, color=_WHITE)
    page.line_of(view.total, Align.R, _WIDTH - 5, 6)
    page.set_xy(_MARGIN, top + 20)


def _facts(page: _Page, view: InvoiceView) -> None:
    names, half = 30.0, _WIDTH / 2
    for first in range(0, len(view.facts), 2):
        top, ends = page.y, []
        for n, (name, value) in enumerate(view.facts[first : first + 2]):
            x = _MARGIN + n * half
            page.type(9, color=_SOFT)
            page.set_xy(x, top)
            page.block(name, names - 2)
            ends.append(page.y)
            page.type(9)
            page.set_xy(x + names, top)
            page.block(value, half - names - 3)
            ends.append(page.y)
        page.set_xy(_MARGIN, max(ends) + 1)
    page.set_y(page.y + 5)


def _lines(page: _Page, view: InvoiceView) -> None:
    right = Align.R
    keys = ("description", "rule", "quantity", "rate", "amount")
    heads = [_Cell(view.label[key], right if key in keys[2:] else Align.L) for key in keys]
    page.heading(heads, _COLUMNS, _MARGIN)
    page.type(9.5)
    for line in view.lines:
        cells = _cells(line)
        if not page.room(page.height_of_row(cells, _COLUMNS) + 4):
            page.heading(heads, _COLUMNS, _MARGIN)
            page.type(9.5)
        page.row(cells, _COLUMNS, _MARGIN)
    page.set_y(page.y + 7)


def _cells(line: LineView) -> list[_Cell]:
    right = Align.R
    return [
        _Cell(line.description, wrap=True),
        _Cell(line.rule, color=_SOFT),
        _Cell(line.quantity, right),
        _Cell(line.rate, right),
        _Cell(line.amount, right),
    ]


def _sums(page: _Page, view: InvoiceView) -> None:
    right = Align.R
    page.room(16 + 8 * max(3, len(view.rates)))
    page.type(8, color=_SOFT)
    page.line_of(view.label["by_rate"], Align.L)
    top = page.y + 5.5
    page.set_y(top)
    label = view.label
    page.heading(
        [_Cell(label["rate"]), _Cell(label["rate_net"], right), _Cell(label["rate_tax"], right)], _RATES, _MARGIN
    )
    page.type(9.5)
    for one in view.rates:
        page.row([_Cell(one.name), _Cell(one.net, right), _Cell(one.tax, right)], _RATES, _MARGIN)
    end = page.y
    page.set_y(top)
    x = _MARGIN + _WIDTH - sum(_SUMS)
    for key, amount in (("net", view.net), ("tax", view.tax)):
        page.row([_Cell(label[key]), _Cell(amount, right)], _SUMS, x)
    page.type(11.5, bold=True)
    page.row([_Cell(label["total"]), _Cell(view.total, right)], _SUMS, x)
    page.rule(page.y, x, sum(_SUMS), 0.6, deep=True)
    page.set_xy(_MARGIN, max(end, page.y) + 8)


def _notes(page: _Page, view: InvoiceView) -> None:
    sections = [(view.label["bank"], view.bank, 9.5), (view.label["notes"], view.notes, 8.5)]
    for title, texts, size in sections:
        if not texts:
            continue
        page.room(5 + 0.55 * size * len(texts))
        page.type(8, color=_SOFT)
        page.block(title, _WIDTH)
        page.type(size)
        for text in texts:
            page.block(text, _WIDTH)
        page.set_y(page.y + 4)
