"""Collecting invoices through others: bank debit (FEE-07) and claims assigned to the payment agency (PAY-01).

These values go to an exporter of that format and come back from its result file. A file that is wrong anywhere is
refused whole (:class:`FileRejected`): nothing of it is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from gateway.domain.errors import KuradoError
from gateway.domain.invoice import Text


class FileRejected(KuradoError):
    """A result file that was not taken. ``line`` counts lines or records from 1; 0 is the file as a whole."""

    code = "file-rejected"

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}" if line else reason)
        self.line = line
        self.reason = reason


class CannotExport(KuradoError):
    """Something does not fit the format; the message names whose value, which field and why. No file is made."""

    code = "cannot-export"


class AccountKind(StrEnum):
    """預金種目."""

    ORDINARY = "1"
    CURRENT = "2"
    TAX = "3"
    OTHER = "9"


@dataclass(frozen=True, slots=True)
class BankAccount:
    """Codes of the unified list of banks and branches (4 and 3 digits), number of up to 7; names in any kana."""

    bank_code: str
    bank_name: str
    branch_code: str
    branch_name: str
    kind: AccountKind
    number: str


class DebitKind(StrEnum):
    """新規コード: the first debit of an account, the first after its data changed, any other."""

    OTHER = "0"
    FIRST = "1"
    CHANGED = "2"


@dataclass(frozen=True, slots=True)
class Debit:
    """One withdrawal. ``customer_number`` (up to 20 of 0-9, A-Z, -) comes back in the result and is unique in its
    order; ``holder`` is the depositor's name in kana as the bank has it; ``invoice`` is what it pays, several numbers
    with spaces between."""

    customer_number: str
    invoice: str
    account: BankAccount
    holder: str
    amount: int
    kind: DebitKind = DebitKind.OTHER


@dataclass(frozen=True, slots=True)
class DebitOrder:
    """All debits of one day."""

    on: date
    debits: tuple[Debit, ...]


class DebitCode(StrEnum):
    """振替結果コード."""

    PAID = "0"
    NO_FUNDS = "1"
    NO_ACCOUNT = "2"
    STOPPED_BY_DEPOSITOR = "3"
    NO_MANDATE = "4"
    STOPPED_BY_CLIENT = "8"
    OTHER = "9"


DEBIT_TEXTS = {
    DebitCode.PAID: Text("振替済", "paid"),
    DebitCode.NO_FUNDS: Text("資金不足", "insufficient funds"),
    DebitCode.NO_ACCOUNT: Text("預金取引なし", "no such account"),
    DebitCode.STOPPED_BY_DEPOSITOR: Text("預金者の都合による振替停止", "stopped by the depositor"),
    DebitCode.NO_MANDATE: Text("預金口座振替依頼書なし", "no debit mandate"),
    DebitCode.STOPPED_BY_CLIENT: Text("委託者の都合による振替停止", "stopped by the collecting company"),
    DebitCode.OTHER: Text("その他", "other"),
}


@dataclass(frozen=True, slots=True)
class DebitResult:
    debit: Debit
    code: DebitCode

    @property
    def paid(self) -> bool:
        return self.code is DebitCode.PAID


@dataclass(frozen=True, slots=True)
class Claim:
    """An invoice assigned to the payment agency: what it needs to bill the customer, and no more (§20(2)④, CUS-03).

    ``net``, ``tax`` and ``total`` in JPY, after credits (PAY-01).
    """

    invoice: str
    customer_number: str
    customer_name: str
    contact: str
    postal_code: str
    address: str
    phone: str
    email: str
    dated: date
    due: date
    net: int
    tax: int
    total: int


class ClaimState(StrEnum):
    SETTLED = "settled"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """``on``: the JST day of the payment or of the return; ``reason`` of a return."""

    claim: Claim
    state: ClaimState
    on: date
    reason: str


class Collects(StrEnum):
    """What an exporter sends out: debits to a bank, or claims to the payment agency."""

    DEBITS = "debits"
    CLAIMS = "claims"


def collects(exporter: object) -> Collects | None:
    """None for an exporter that collects nothing: it has no ``collects``, or no result file."""
    kind = getattr(exporter, "collects", None)
    return Collects(kind) if kind and isinstance(exporter, ReadsResults) else None


@runtime_checkable
class ReadsResults(Protocol):
    """What an exporter is as well, if its format has a result file."""

    @property
    def read_results(self) -> Any:
        """``(content: bytes, sent) -> Sequence[DebitResult | ClaimResult]``; raises FileRejected."""


def results_of(exporter: object, content: bytes, sent: DebitOrder | Sequence[Claim]) -> Sequence[Any]:
    """Reads a result file against what was sent. CannotExport where the format has none."""
    if not isinstance(exporter, ReadsResults):
        raise CannotExport(f"{getattr(exporter, 'format', 'this format')} has no result file")
    results: Sequence[Any] = exporter.read_results(content, sent)
    return results
