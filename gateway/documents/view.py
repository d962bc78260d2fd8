"""What stands on an invoice in one language, as texts: the same for the page and the PDF."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_DOWN, Decimal

from gateway.domain.invoice import BANK_DEBIT, InvoiceDocument, InvoiceLine

LANGUAGES = ("ja", "en")

_LABELS = {
    # key: (ja, en)
    "title": ("請求書", "Invoice"),
    "subtitle": ("適格請求書", "Qualified invoice under the Japanese Consumption Tax Act"),
    "number": ("請求番号", "Invoice number"),
    "dated": ("請求日", "Date"),
    "due": ("お支払期限", "Payment due"),
    "period": ("ご利用期間", "Period of use"),
    "method": ("お支払方法", "Payment method"),
    "customer_number": ("お客様番号", "Customer number"),
    "bill_to": ("ご請求先", "Bill to"),
    "issuer": ("発行者", "Issued by"),
    "registration": ("登録番号", "Registration number"),
    "greeting": ("下記のとおりご請求申し上げます。", "We ask you to pay the amount below."),
    "amount_due": ("ご請求金額（税込）", "Amount due (tax included)"),
    "description": ("品目", "Description"),
    "rule": ("規則", "Rule"),
    "quantity": ("数量", "Quantity"),
    "rate": ("税率", "Tax rate"),
    "amount": ("金額（税抜）", "Amount (excl. tax)"),
    "net": ("小計（税抜）", "Subtotal (excl. tax)"),
    "tax": ("消費税等", "Consumption tax"),
    "total": ("合計（税込）", "Total (tax included)"),
    "rate_net": ("対象額（税抜）", "Taxable amount"),
    "rate_tax": ("消費税額等", "Tax"),
    "by_rate": ("税率別内訳", "By tax rate"),
    "bank": ("お振込先", "Pay to"),
    "notes": ("備考", "Notes"),
}
_TO_REFUND = {
    "greeting": ("訂正の結果、下記の金額をご返金いたします。", "After a correction we return the amount below to you."),
    "amount_due": ("ご返金額（税込）", "Amount to be returned (tax included)"),
}
"""Where the total is negative (PAY-01)."""

_METHODS = {
    "bank_debit": ("口座振替", "Bank debit"),
    "invoice": ("請求書によるお支払い", "Payment by invoice"),
}
_NO_TAX = ("対象外", "none")
_CLOSING = ("ご契約終了に伴うご請求", "Closing of the contract")
_NOTE_ROUNDING = (
    "消費税額等は、税率ごとに合計した金額に対して1回だけ計算し、1円未満を切り捨てています。",
    "Consumption tax is worked out once for the sum of each rate; fractions of a yen are cut off.",
)
_NOTE_NO_TAX = ("税率「対象外」の金額には消費税は課されません。", 'No tax is due on amounts with the tax rate "none".')
_NOTE_CORRECTION = (
    "発行済みの請求書は変更されません。訂正は次の請求書で行います。",
    "An issued invoice is not altered; corrections are made on the next one.",
)
_NOTE_DEBIT = (
    "お支払期限日にご指定の口座から引き落とします。お振込みは不要です。",
    "The amount is debited from your account on the due date; please send no money.",
)
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
"""Not by locale: a document is the same on every machine."""


_SHOWN = Decimal("0.001")
"""Of a quantity; the amount was made of the exact one."""


@dataclass(frozen=True, slots=True)
class LineView:
    description: str
    rule: str
    quantity: str
    rate: str
    amount: str


@dataclass(frozen=True, slots=True)
class RateView:
    """``name`` as in 10%対象."""

    name: str
    net: str
    tax: str


@dataclass(frozen=True)
class InvoiceView:
    """``facts`` are pairs of label and value. ``label`` has every other word that stands on the document."""

    language: str
    label: dict[str, str]
    title: str
    addressee: str
    customer: tuple[str, ...]
    issuer_name: str
    issuer: tuple[str, ...]
    registration: str
    facts: tuple[tuple[str, str], ...]
    lines: tuple[LineView, ...]
    rates: tuple[RateView, ...]
    net: str
    tax: str
    total: str
    bank: tuple[str, ...]
    notes: tuple[str, ...]


def view_of(document: InvoiceDocument, language: str) -> InvoiceView:
    """ValueError: a language that is not in LANGUAGES."""
    if language not in LANGUAGES:
        raise ValueError(f"an invoice speaks {' or '.join(LANGUAGES)}, not {language!r}")
    which = LANGUAGES.index(language)
    label = {key: texts[which] for key, texts in _LABELS.items()}
    if document.total < 0:
        label |= {key: texts[which] for key, texts in _TO_REFUND.items()}
    customer, issuer = document.customer, document.issuer
    contact = _contact(customer.contact, language)
    return InvoiceView(
        language=language,
        label=label,
        title=f"{label['title']} {document.number}",
        addressee=_addressee(customer.name, customer.contact, language),
        customer=_filled(_postal(customer.postal_code, language), *customer.address.splitlines(), contact),
        issuer_name=issuer.name.of(language),
        issuer=_filled(
            _postal(issuer.postal_code, language),
            *issuer.address.of(language).splitlines(),
            issuer.phone and f"TEL {issuer.phone}",
            issuer.email,
        ),
        registration=issuer.registration,
        facts=_facts(document, label, which),
        lines=tuple(_line(line, language, which) for line in document.lines),
        rates=_rates(document, which),
        net=yen(document.net),
        tax=yen(document.tax),
        total=yen(document.total),
        bank=() if document.method == BANK_DEBIT else tuple(issuer.bank.of(language).splitlines()),
        notes=_notes(document, which),
    )


def yen(amount: int) -> str:
    """¥1,234, negative with a proper minus sign."""
    return f"{'−' if amount < 0 else ''}¥{abs(amount):,}"


def day(value: date, language: str) -> str:
    """2027年4月21日, 21 April 2027."""
    if language == "ja":
        return f"{value.year}年{value.month}月{value.day}日"
    return f"{value.day} {_MONTHS[value.month - 1]} {value.year}"


def percent(basis_points: int) -> str:
    """10%, 7.8%."""
    return f"{(Decimal(basis_points) / 100).normalize():f}%"


def _facts(document: InvoiceDocument, label: dict[str, str], which: int) -> tuple[tuple[str, str], ...]:
    language = LANGUAGES[which]
    period = _CLOSING[which]
    if document.period:
        between = "〜" if language == "ja" else " – "
        period = between.join((day(document.period.start, language), day(document.period.end, language)))
    pairs = (
        ("number", document.number),
        ("customer_number", document.customer.number),
        ("dated", day(document.dated, language)),
        ("period", period),
        ("due", day(document.due, language)),
        ("method", _METHODS[document.method][which]),
    )
    return tuple((label[key], value) for key, value in pairs if value)


def _line(line: InvoiceLine, language: str, which: int) -> LineView:
    quantity = f"{line.quantity.quantize(_SHOWN, ROUND_DOWN).normalize():,f}"
    unit = line.unit.of(language)
    if language == "en" and line.quantity != 1:
        unit = {"month": "months", "item": "items"}.get(unit, unit)
    return LineView(
        description=line.description.of(language),
        rule=line.rule,
        quantity=f"{quantity} {unit}",
        rate=_NO_TAX[which] if line.rate is None else percent(line.rate),
        amount=yen(line.amount),
    )


def _rates(document: InvoiceDocument, which: int) -> tuple[RateView, ...]:
    name = ("{}対象", "{}")[which]
    found = [RateView(name.format(percent(one.rate)), yen(one.net), yen(one.tax)) for one in document.rates]
    if any(line.rate is None for line in document.lines):
        found.append(RateView(_NO_TAX[which], yen(document.untaxed), "—"))
    return tuple(found)


def _notes(document: InvoiceDocument, which: int) -> tuple[str, ...]:
    notes = [_NOTE_DEBIT] if document.method == BANK_DEBIT else []
    notes.append(_NOTE_ROUNDING)
    if any(line.rate is None for line in document.lines):
        notes.append(_NOTE_NO_TAX)
    notes.append(_NOTE_CORRECTION)
    return tuple(note[which] for note in notes)


def _addressee(name: str, contact: str, language: str) -> str:
    """In Japanese a company is 御中; where a person is named, the person is 様 instead."""
    return name if language == "en" or contact else f"{name} 御中"


def _contact(contact: str, language: str) -> str:
    if not contact:
        return ""
    return f"{contact} 様" if language == "ja" else f"Attn. {contact}"


def _postal(code: str, language: str) -> str:
    return f"〒{code}" if code and language == "ja" else code


def _filled(*parts: str) -> tuple[str, ...]:
    return tuple(part for part in parts if part)
