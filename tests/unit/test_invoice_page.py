"""Invoices as HTML pages, and the texts that page and PDF share."""

from __future__ import annotations

from datetime import date
from html.parser import HTMLParser

import pytest

from gateway.documents import LANGUAGES, invoice_html
from gateway.documents.view import day, percent, view_of, yen
from gateway.domain.contract.invoicing import Line
from gateway.domain.invoice import BANK_DEBIT, Customer
from gateway.testing.invoices import invoice_document, usage_line

HOSTILE = Customer("<i>", "<script>alert(1)</script>", "", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}")


class _Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_qualified_invoice_has_all_that_the_law_asks_for(language: str) -> None:
    page = _Page(invoice_html(invoice_document(extra=[usage_line(1_234, 800)]), language))
    issuer = {"ja": "株式会社蔵戸ストレージ", "en": "Kurado Storage Co., Ltd."}[language]
    day_of = {"ja": "2027年4月21日", "en": "21 April 2027"}[language]
    for text in (issuer, "T1234567890123", day_of, "株式会社アトリエ髙橋", "10%", "8%"):
        assert text in page.text
    for amount in ("¥60,000", "¥6,000", "¥1,234", "¥98", "¥67,332"):
        assert amount in page.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_customer_wrote_is_text_and_nothing_else(language: str) -> None:
    page = _Page(invoice_html(invoice_document(customer=HOSTILE), language))
    assert not {"script", "img", "i"} & set(page.tags)
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7*7 }}" in page.text


def test_a_company_is_addressed_as_one_and_a_person_as_a_person() -> None:
    company = Customer("C1", "株式会社みほん")
    person = Customer("C1", "株式会社みほん", contact="髙橋")
    assert view_of(invoice_document(customer=company), "ja").addressee == "株式会社みほん 御中"
    shown = view_of(invoice_document(customer=person), "ja")
    assert (shown.addressee, shown.customer) == ("株式会社みほん", ("髙橋 様",))
    assert view_of(invoice_document(customer=person), "en").customer == ("Attn. 髙橋",)


def test_who_is_debited_is_not_asked_to_send_money() -> None:
    assert view_of(invoice_document(), "ja").bank
    assert view_of(invoice_document(method=BANK_DEBIT), "ja").bank == ()
    assert "please send no money" in view_of(invoice_document(method=BANK_DEBIT), "en").notes[0]


def test_the_closing_invoice_and_the_untaxed_lump_sum_say_so() -> None:
    closing = invoice_document(lines=[Line("early_termination", 660_000, "END-03")], period=None)
    shown = view_of(closing, "en")
    assert ("Period of use", "Closing of the contract") in shown.facts
    assert [(one.name, one.net, one.tax) for one in shown.rates] == [("none", "¥660,000", "—")]
    assert shown.total == "¥660,000"


def test_another_language_is_refused() -> None:
    with pytest.raises(ValueError, match="ja or en"):
        invoice_html(invoice_document(), "fr")


def test_amounts_days_and_rates_are_written_the_same_everywhere() -> None:
    assert (yen(0), yen(1_234_567), yen(-5)) == ("¥0", "¥1,234,567", "−¥5")
    assert (percent(1000), percent(800), percent(780), percent(0)) == ("10%", "8%", "7.8%", "0%")
    assert (day(date(2028, 2, 29), "ja"), day(date(2028, 2, 29), "en")) == ("2028年2月29日", "29 February 2028")
