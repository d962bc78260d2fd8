"""Bank debit by file: 全銀 口座振替, and the reading of its result file.

Settings: ``client_code`` (委託者コード, up to 10 digits), ``client_name``, the collecting account ``bank_code``,
``bank_name``, ``branch_code``, ``branch_name``, ``account_kind`` (1 ordinary, 2 current, 9 other), ``account_number``,
and ``line_end`` (``crlf``, which is the default, or ``none``): banks take 120 bytes with CRLF after each record, or
records with nothing between them, and never a bare LF. Result files are read in both forms, whatever was sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.domain.collecting import (
    CannotExport,
    Collects,
    Debit,
    DebitCode,
    DebitOrder,
    DebitResult,
    FileRejected,
)
from gateway.domain.fields import Fields, one_of, text
from gateway.hooks import Exporter, PluginContext, hookimpl
from plugins import _zengin_records as records
from plugins._collecting import CollectionExporter, wanted
from plugins._zengin_kana import to_bank_kana

FORMAT = "zengin"
DEBIT_TYPE = "91"
MOST_DEBITS, MOST_AMOUNT = 999_999, 9_999_999_999
_CUSTOMER_NUMBER = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-")


@dataclass(frozen=True, slots=True)
class Client:
    """The collecting company (委託者), texts already in half-width kana."""

    code: str
    name: str
    bank_code: str
    bank_name: str
    branch_code: str
    branch_name: str
    account_kind: str
    account_number: str
    crlf: bool = True


def create(context: PluginContext) -> object:
    """The entry point."""
    return Zengin(client_of(context.settings))


def client_of(settings: Mapping[str, Any]) -> Client:
    """The settings, checked. ValueError names the key."""
    fields = Fields(settings)
    client = Client(
        code=fields.take("client_code", _digits(10)),
        name=fields.take("client_name", _kana(40)),
        bank_code=fields.take("bank_code", _digits(4, exact=True)),
        bank_name=fields.take("bank_name", _kana(15), ""),
        branch_code=fields.take("branch_code", _digits(3, exact=True)),
        branch_name=fields.take("branch_name", _kana(15), ""),
        account_kind=fields.take("account_kind", lambda value: one_of("1", "2", "9")(str(value)), "1"),
        account_number=fields.take("account_number", _digits(7)),
        crlf=fields.take("line_end", one_of("crlf", "none"), "crlf") == "crlf",
    )
    fields.done()
    return client


def _digits(length: int, *, exact: bool = False) -> Any:
    def parse(value: object) -> str:
        found = text(value)
        if not (found.isascii() and found.isdecimal()) or len(found) > length or (exact and len(found) != length):
            raise ValueError(f"{found!r} is not {'' if exact else 'up to '}{length} digits (in quotes)")
        return found

    return parse


def _kana(length: int) -> Any:
    def parse(value: object) -> str:
        found = to_bank_kana(text(value))
        if len(found) > length:
            raise ValueError(f"{found!r} is longer than {length} half-width characters")
        return found

    return parse


class Zengin:
    def __init__(self, client: Client) -> None:
        self._client = client

    @hookimpl
    def register_exporters(self) -> Iterable[Exporter]:
        return [
            CollectionExporter(
                FORMAT,
                lambda order: render(wanted(order, DebitOrder, FORMAT), self._client),
                lambda content, order: read_results(content, order, self._client),
                Collects.DEBITS,
            )
        ]


# -- the order --------------------------------------------------------------------------------------------------------


def render(order: DebitOrder, client: Client) -> bytes:
    """The file of an order. CannotExport names the customer number, the field and why; then there is no file."""
    if not 0 < len(order.debits) <= MOST_DEBITS:
        raise CannotExport(f"an order has 1 to {MOST_DEBITS} debits, not {len(order.debits)}")
    seen: set[str] = set()
    lines = [_header(order, client)]
    for debit in order.debits:
        if debit.customer_number in seen:
            raise CannotExport(
                f"customer number {debit.customer_number} stands twice in the order: its result could not be told apart"
            )
        seen.add(debit.customer_number)
        try:
            lines.append(_data(debit))
        except ValueError as error:
            raise CannotExport(f"customer number {debit.customer_number}: {error}") from None
    total = sum(debit.amount for debit in order.debits)
    lines.append(records.build(records.TRAILER, {"kind": "8", "count": len(order.debits), "amount": total}))
    lines.append(records.build(records.END, {"kind": "9"}))
    end = records.CRLF if client.crlf else b""
    return b"".join(line + end for line in lines)


def _header(order: DebitOrder, client: Client) -> bytes:
    return records.build(
        records.HEADER,
        {
            "kind": "1",
            "type": DEBIT_TYPE,
            "charset": "0",
            "client_code": client.code,
            "client_name": client.name,
            "day": f"{order.on:%m%d}",
            "bank_code": client.bank_code,
            "bank_name": client.bank_name,
            "branch_code": client.branch_code,
            "branch_name": client.branch_name,
            "account_kind": client.account_kind,
            "account_number": client.account_number,
        },
    )


def _data(debit: Debit) -> bytes:
    account = debit.account
    if not 0 < debit.amount <= MOST_AMOUNT:
        raise ValueError(f"amount: {debit.amount} is not 1 to {MOST_AMOUNT}")
    if not debit.customer_number or not set(debit.customer_number) <= _CUSTOMER_NUMBER:
        raise ValueError("customer_number: only 0-9, A-Z and - can be matched again")
    for name, code, length in (("bank_code", account.bank_code, 4), ("branch_code", account.branch_code, 3)):
        if len(code) != length:
            raise ValueError(f"{name}: {code!r} is not {length} digits")
    if not account.number:
        raise ValueError("account_number: is missing")
    holder = to_bank_kana(debit.holder).strip()
    if not holder:
        raise ValueError("holder: is missing")
    return records.build(
        records.DATA,
        {
            "kind": "2",
            "bank_code": account.bank_code,
            "bank_name": to_bank_kana(account.bank_name)[:15],  # for people: the code decides
            "branch_code": account.branch_code,
            "branch_name": to_bank_kana(account.branch_name)[:15],
            "account_kind": account.kind.value,
            "account_number": account.number,
            "holder": holder,
            "amount": debit.amount,
            "new_code": debit.kind.value,
            "customer_number": debit.customer_number,
        },
    )


# -- the result -------------------------------------------------------------------------------------------------------


def read_results(content: bytes, order: DebitOrder, client: Client) -> Sequence[DebitResult]:
    """What the bank says of every debit of an order, in the order of the file.

    Each debit is found by its customer number, once and with its amount; the sums of the trailer agree; anything else
    is FileRejected, and nothing of the file counts.
    """
    lines = [(line, records.parse(record, line)) for line, record in enumerate(records.split(content), 1)]
    kinds = "".join(values["kind"] for _, values in lines)
    for (line, _), kind, expected in zip(lines, kinds, "1" + "2" * (len(kinds) - 3) + "89", strict=False):
        if kind != expected:
            raise FileRejected(line, f"a record of kind {kind} where kind {expected} belongs")
    if len(lines) < 3:
        raise FileRejected(len(lines), "the file ends before its trailer and end record")
    _check_header(lines[0][1], order, client)
    open_debits = {debit.customer_number: debit for debit in order.debits}
    results = [_result(values, line, open_debits) for line, values in lines[1:-2]]
    if open_debits:
        missing = ", ".join(list(open_debits)[:5])
        raise FileRejected(lines[-2][0], f"{len(open_debits)} debits of the order have no result: {missing}")
    _check_trailer(lines[-2], results)
    return results


def _check_header(values: Mapping[str, str], order: DebitOrder, client: Client) -> None:
    for name, expected in (
        ("type", DEBIT_TYPE),
        ("charset", "0"),
        ("client_code", client.code.rjust(10, "0")),
        ("day", f"{order.on:%m%d}"),
    ):
        if values[name] != expected:
            raise FileRejected(1, f"{name} is {values[name]!r}, the order has {expected!r}")


def _result(values: Mapping[str, str], line: int, open_debits: dict[str, Debit]) -> DebitResult:
    name = values["customer_number"].strip()
    debit = open_debits.pop(name, None)
    if debit is None:
        raise FileRejected(line, f"customer number {name!r} is not in the order, or has a result already")
    amount = records.number(values, "amount", line)
    if amount != debit.amount:
        raise FileRejected(line, f"customer number {name}: {amount} yen, the order has {debit.amount}")
    try:
        return DebitResult(debit, DebitCode(values["result"]))
    except ValueError:
        known = " ".join(DebitCode)
        raise FileRejected(
            line, f"customer number {name}: there is no result {values['result']!r}; there are {known}"
        ) from None


def _check_trailer(trailer: tuple[int, Mapping[str, str]], results: Sequence[DebitResult]) -> None:
    line, values = trailer
    paid = [one.debit.amount for one in results if one.paid]
    failed = [one.debit.amount for one in results if not one.paid]
    for name, expected in (
        ("count", len(results)),
        ("amount", sum(paid) + sum(failed)),
        ("paid_count", len(paid)),
        ("paid_amount", sum(paid)),
        ("failed_count", len(failed)),
        ("failed_amount", sum(failed)),
    ):
        found = records.number(values, name, line)
        if found != expected:
            raise FileRejected(line, f"{name} is {found}, the records make {expected}")
