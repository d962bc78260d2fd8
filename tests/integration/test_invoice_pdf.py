"""Invoices as PDF: embedded fonts, all pages, the same bytes each time."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.documents import LANGUAGES, Fonts, FontsMissing, find_fonts, invoice_pdf
from gateway.documents.pdf import GlyphMissing
from gateway.documents.view import view_of
from gateway.domain.invoice import Customer, InvoiceDocument
from gateway.testing.invoices import invoice_document, usage_line

needs_poppler = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is not installed")
DEBIAN = Path("/usr/share/fonts/opentype/noto")


@pytest.fixture(scope="module")
def fonts() -> Fonts:
    return find_fonts()


def _run(tool: str, content: bytes, folder: Path) -> str:
    file = folder / "invoice.pdf"
    file.write_bytes(content)
    command = [tool, str(file), *(["-"] if tool == "pdftotext" else [])]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def _pages(content: bytes) -> int:
    return len(re.findall(rb"/Type /Page\b", content))


@needs_poppler
@pytest.mark.parametrize("language", LANGUAGES)
def test_all_that_the_page_says_can_be_read_in_the_pdf(language: str, fonts: Fonts, tmp_path: Path) -> None:
    document = invoice_document(extra=[usage_line()])
    text = "".join(_run("pdftotext", invoice_pdf(document, language, fonts), tmp_path).split())
    view = view_of(document, language)
    said = [view.label["title"], view.addressee, view.registration, view.total, view.tax, *view.bank, *view.notes]
    said += [value for pair in view.facts for value in pair]
    said += [one for line in view.lines for one in (line.description, line.rule, line.quantity, line.amount)]
    missing = [one for one in said if "".join(one.split()) not in text]
    assert not missing


@needs_poppler
def test_the_fonts_are_inside_and_cut_down(fonts: Fonts, tmp_path: Path) -> None:
    content = invoice_pdf(invoice_document(), "ja", fonts)
    rows = _run("pdffonts", content, tmp_path).splitlines()[2:]
    assert len(rows) == 2
    for row in rows:
        assert row.split()[-5:-2] == ["yes", "yes", "yes"]  # embedded, subset, maps back to Unicode
    assert len(content) < 100_000


def test_an_invoice_is_the_same_file_each_time(fonts: Fonts) -> None:
    document = invoice_document()
    assert invoice_pdf(document, "en", fonts) == invoice_pdf(document, "en", fonts)


def test_many_lines_go_on_over_pages(fonts: Fonts) -> None:
    one = invoice_pdf(invoice_document(), "ja", fonts)
    many = invoice_pdf(invoice_document(extra=[usage_line(n) for n in range(1, 61)]), "ja", fonts)
    assert (_pages(one), _pages(many)) == (1, 3)


@needs_poppler
def test_no_amount_is_broken_over_lines_however_large(fonts: Fonts, tmp_path: Path) -> None:
    document = invoice_document(extra=[usage_line(98_765_432_109_876)])
    lines = _run("pdftotext", invoice_pdf(document, "en", fonts), tmp_path).splitlines()
    view = view_of(document, "en")
    assert {view.total, view.net, view.tax, view.lines[-1].amount} <= {line.strip() for line in lines}


def test_a_character_without_a_shape_is_an_error_not_a_box(fonts: Fonts) -> None:
    document = invoice_document(customer=Customer("C1", "株式会社\N{CUNEIFORM SIGN A}"))
    with pytest.raises(GlyphMissing, match=r"U\+12000"):
        invoice_pdf(document, "ja", fonts)


def test_without_fonts_it_is_said_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(FontsMissing, match="fonts-noto-cjk"):
        find_fonts(tmp_path, "no_such_package_")


@pytest.mark.skipif(not (DEBIAN / "NotoSansCJK-Bold.ttc").is_file(), reason="fonts-noto-cjk is not installed")
def test_the_fonts_of_the_system_serve_as_well() -> None:
    document: InvoiceDocument = invoice_document()
    assert invoice_pdf(document, "ja", find_fonts(DEBIAN, "no_such_package_")).startswith(b"%PDF-")
