"""An issued invoice as a document (適格請求書, Consumption Tax Act §57-4): what stands on it, frozen, in two languages.

Amounts are whole JPY without tax; tax is one amount per rate, cut once (RULES P-5, TAX-01). Once issued an invoice is
never edited: what was wrong on it is put right by a line of the next one (PAY-01, :func:`correction`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from gateway.domain.calendar import Period
from gateway.domain.contract.invoicing import UNTAXED, Invoice, Line, cut_tax, tax_rate
from gateway.domain.terms import TaxRate

CORRECTION = "correction"
BANK_DEBIT, BY_INVOICE = "bank_debit", "invoice"
METHODS = (BANK_DEBIT, BY_INVOICE)
"""FEE-07."""

_REGISTRATION = re.compile(r"T[0-9]{13}")
_NUMBER = re.compile(r"(?P<series>[A-Z0-9]{1,12})-(?P<n>[0-9]{6,})")


class InvoiceError(ValueError):
    """A document that may not be issued; ``code`` names why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Text:
    """The same in Japanese and English."""

    ja: str
    en: str

    def of(self, language: str) -> str:
        return self.ja if language == "ja" else self.en


@dataclass(frozen=True, slots=True)
class Issuer:
    """``registration``: T and 13 digits, the number of a qualified-invoice issuer. ``bank``: where money is sent to."""

    name: Text
    registration: str
    postal_code: str
    address: Text
    phone: str = ""
    email: str = ""
    bank: Text = Text("", "")

    def __post_init__(self) -> None:
        if not _REGISTRATION.fullmatch(self.registration):
            raise InvoiceError("REGISTRATION_INVALID", f"{self.registration!r} is not T and 13 digits")
        if not self.name.ja.strip() or not self.name.en.strip():
            raise InvoiceError("ISSUER_MISSING", "the issuer has no name in one of the languages")


@dataclass(frozen=True, slots=True)
class Customer:
    """As it stands in the application or the last change of customer data (APP-01, CUS-01). ``number`` names it; the
    address may have several lines."""

    number: str
    name: str
    postal_code: str = ""
    address: str = ""
    contact: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise InvoiceError("CUSTOMER_MISSING", "the customer has no name")
        for text in (self.number, self.name, self.postal_code, self.address.replace("\n", ""), self.contact):
            if any(unicodedata.category(char) == "Cc" for char in text):
                raise InvoiceError("CUSTOMER_INVALID", f"{text!r} has control characters")


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """``rate`` in basis points, None: no tax (TAX-02). ``corrects``: the number of the invoice that it puts right, and
    ``corrects_code`` the code of the line there. ``clause`` is where the rule comes from, ``figures`` what the amount
    was made of."""

    code: str
    description: Text
    quantity: Decimal
    unit: Text
    amount: int
    rule: str
    rate: int | None
    corrects: str = ""
    corrects_code: str = ""
    clause: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class RateTotal:
    """All lines of one rate: ``tax`` is cut once, here (one rounding per rate and invoice)."""

    rate: int
    net: int
    tax: int


@dataclass(frozen=True, slots=True)
class InvoiceDocument:
    """``period`` is None on the closing invoice. ``untaxed`` is the sum of the lines without tax."""

    number: str
    issuer: Issuer
    customer: Customer
    period: Period | None
    dated: date
    due: date
    method: str
    lines: tuple[InvoiceLine, ...]
    rates: tuple[RateTotal, ...]
    untaxed: int

    @property
    def net(self) -> int:
        return sum(line.amount for line in self.lines)

    @property
    def tax(self) -> int:
        return sum(one.tax for one in self.rates)

    @property
    def total(self) -> int:
        return self.net + self.tax


def number_of(series: str, n: int) -> str:
    """The ``n``-th invoice of a series, from 1 without gaps: ``KRD-000012``."""
    text = f"{series}-{n:06d}"
    if n < 1 or not _NUMBER.fullmatch(text):
        raise InvoiceError("NUMBER_INVALID", f"{series!r} and {n} make no invoice number")
    return text


def place_of(number: str) -> tuple[str, int]:
    """Series and place of an invoice number. InvoiceError NUMBER_INVALID."""
    match = _NUMBER.fullmatch(number)
    if not match or number_of(match["series"], int(match["n"]) or 1) != number:
        raise InvoiceError("NUMBER_INVALID", f"{number!r} is no invoice number")
    return match["series"], int(match["n"])


# -- issuing ----------------------------------------------------------------------------------------------------------


def issue(
    invoice: Invoice,
    rates: Sequence[TaxRate],
    *,
    number: str,
    issuer: Issuer,
    customer: Customer,
    plan: str = "",
    method: str = BY_INVOICE,
    extra: Iterable[InvoiceLine] = (),
    untaxed: frozenset[str] = UNTAXED,
) -> InvoiceDocument:
    """The document of an invoice that the rules made. ``extra``: usage beyond the plan and corrections, which
    stand before the credits. ``untaxed``: codes of lines without tax (D-21).

    ``plan`` is the name that stands behind the monthly fee. RuleError TAX_RATE_MISSING; InvoiceError NUMBER_INVALID,
    METHOD_UNKNOWN, CORRECTS_ITSELF (PAY-01), TAX_DIFFERS (the rule's tax is not the one of its lines).
    """
    place_of(number)
    if method not in METHODS:
        raise InvoiceError("METHOD_UNKNOWN", f"{method!r} is not one of {', '.join(METHODS)} (FEE-07)")
    rate = tax_rate(rates, invoice.dated)
    own = tuple(_line(one, None if one.code in untaxed else rate, plan) for one in invoice.lines)
    if sum(one.tax for one in rate_totals(own)) != invoice.tax:
        raise InvoiceError("TAX_DIFFERS", f"{number}: the lines do not bear the tax {invoice.tax}")
    deducted = tuple(line for line in own if line.code == "sla_credit")
    lines = (*own[: len(own) - len(deducted)], *extra, *deducted)
    for line in lines:
        if line.corrects and not _is_earlier(line.corrects, number):
            raise InvoiceError("CORRECTS_ITSELF", f"{number} can only correct an earlier invoice, not {line.corrects}")
    untaxed_sum = sum(line.amount for line in lines if line.rate is None)
    return InvoiceDocument(
        number,
        issuer,
        customer,
        invoice.period,
        invoice.dated,
        invoice.due,
        method,
        lines,
        rate_totals(lines),
        untaxed_sum,
    )


def correction(of: InvoiceDocument, line: InvoiceLine, right: int, reason: Text) -> InvoiceLine:
    """The line of a later invoice that puts a line of an issued one right: the difference, at the same rate (PAY-01).

    InvoiceError LINE_UNKNOWN (``of`` has no such line), NOTHING_TO_CORRECT.
    """
    if line not in of.lines:
        raise InvoiceError("LINE_UNKNOWN", f"{of.number} has no such line {line.code}")
    if line.amount == right:
        raise InvoiceError("NOTHING_TO_CORRECT", f"{line.code} of {of.number} already stands at {right}")
    description = Text(f"{of.number} 訂正：{reason.ja}", f"Correction of {of.number}: {reason.en}")
    return InvoiceLine(
        CORRECTION,
        description,
        Decimal(1),
        _ITEM,
        right - line.amount,
        "PAY-01",
        line.rate,
        corrects=of.number,
        corrects_code=line.corrects_code or line.code,
        clause=clause_of("PAY-01"),
        figures={"was": line.amount, "right": right},
    )


def rate_totals(lines: Iterable[InvoiceLine]) -> tuple[RateTotal, ...]:
    """The taxed lines by rate, the highest first. What is negative in sum is cut towards zero too (P-5)."""
    nets: dict[int, int] = {}
    for line in lines:
        if line.rate is not None:
            nets[line.rate] = nets.get(line.rate, 0) + line.amount
    return tuple(RateTotal(rate, nets[rate], cut_tax(nets[rate], rate)) for rate in sorted(nets, reverse=True))


def _is_earlier(number: str, than: str) -> bool:
    series, n = place_of(number)
    return (series, n) < place_of(than) if series == place_of(than)[0] else True


# -- what the codes of FEE-09 are called ------------------------------------------------------------------------------

_MONTH, _ITEM = Text("ヶ月", "month"), Text("式", "item")
_NAMES = {
    "initial_fee": Text("初期費用", "Initial fee"),
    "initial_fee_difference": Text("初期費用差額（契約内容の変更）", "Initial fee difference (change of contents)"),
    "change_fee": Text("変更手数料", "Change fee"),
    "monthly_fee": Text("月額利用料", "Monthly fee"),
    "stub_fee": Text("利用料（初月度開始日まで）", "Fee up to the first billing month"),
    "bridge_fee": Text("利用料（起算日変更に伴う期間）", "Fee for the days between two billing calendars"),
    "early_termination": Text("最低利用期間内解約金", "Lump sum for cancellation within the minimum term"),
    "sla_credit": Text("サービスレベル補償による減額", "Service level credit"),
}
_WITH_PLAN = frozenset(("initial_fee", "monthly_fee", "stub_fee", "bridge_fee"))


_CLAUSES = {
    "FEE-01": "§6①",
    "FEE-02": "§6②",
    "FEE-04": "D-18",
    "CHG-03": "§8(2)",
    "CHG-04": "§8(4)",
    "END-03": "§16(2)",
    "FEE-10": "SLA 補償",
    "PAY-01": "§6③",
    "TAX-01": "D-20",
    "TAX-02": "D-21",
}


def clause_of(rule: str) -> str:
    """The clause (or decision) that a rule of an invoice line stands on; prices of usage stand in the price list."""
    return "§6" if rule.startswith("pricelist.") else _CLAUSES.get(rule, "")


def _line(line: Line, rate: int | None, plan: str) -> InvoiceLine:
    name = _NAMES.get(line.code, Text(line.code, line.code))
    if plan and line.code in _WITH_PLAN:
        name = Text(f"{name.ja}（{plan}）", f"{name.en} ({plan})")
    unit = _MONTH if line.code == "monthly_fee" else _ITEM
    figures = {"plan": plan, **line.figures} if plan and line.code in _WITH_PLAN else dict(line.figures)
    return InvoiceLine(
        line.code,
        name,
        Decimal(1),
        unit,
        line.amount,
        line.rule,
        rate,
        clause=clause_of(line.rule),
        figures=figures,
    )
