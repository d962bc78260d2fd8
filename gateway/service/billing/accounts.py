"""The bank account that a customer lets us debit: kept with the customer's data, never in an act (CUS-02)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from gateway.domain.calendar import jst_date
from gateway.domain.collecting import AccountKind, BankAccount
from gateway.domain.contract.records import Contract
from gateway.domain.errors import BadRequest
from gateway.service.billing.ledger import ledger_of
from gateway.service.contracts.book import SYSTEM, Actor, ContractBook, Decision, Paper, require
from gateway.service.unit_of_work import Tx

FIELDS = ("bank_code", "bank_name", "branch_code", "branch_name", "account_kind", "account_number", "account_holder")
SET_AT = "account_set_at"


def account_of(data: Mapping[str, str]) -> tuple[BankAccount, str] | None:
    """The account and its holder in kana, from a customer's data; None where there is none."""
    if not data.get("account_number"):
        return None
    account = BankAccount(
        data["bank_code"],
        data.get("bank_name", ""),
        data["branch_code"],
        data.get("branch_name", ""),
        AccountKind(data["account_kind"]),
        data["account_number"],
    )
    return account, data["account_holder"]


class BankAccounts:
    """The mandate for the debit is a document in writing (P-7). ``contracts`` gives all contracts as they are now."""

    def __init__(self, book: ContractBook, contracts: Callable[[], Iterable[Contract]] = tuple) -> None:
        self._book = book
        self._contracts = contracts

    def set(self, name: str, actor: Actor, paper: Paper | None, account: BankAccount, holder: str) -> None:
        """Stores the account. BadRequest for codes that no bank has. The act says that it was done, not which."""
        for what, code, length in (("bank", account.bank_code, 4), ("branch", account.branch_code, 3)):
            if not (code.isascii() and code.isdecimal() and len(code) == length):
                raise BadRequest(f"the {what} code has {length} digits, {code!r} has not")
        if not (account.number.isascii() and account.number.isdecimal() and 1 <= len(account.number) <= 7):
            raise BadRequest("an account number has up to 7 digits")
        if not holder.strip():
            raise BadRequest("the name of the account's holder is missing: in kana, as the bank has it")
        values = (
            account.bank_code, account.bank_name, account.branch_code, account.branch_name, str(account.kind),
            account.number, holder,
        )  # fmt: skip
        given = dict(zip(FIELDS, values, strict=True))

        def also(tx: Tx, _contract: object) -> None:
            now = self._book.clock()
            tx.documents.put_customer(name, {**tx.documents.customer(name), **given, SET_AT: str(now)}, now)

        self._book.act(
            name,
            actor,
            lambda _contract, _now: Decision("contract.bank_account_set", "FEE-07"),
            party_act="customer_info_change",
            paper=paper,
            paper_kind="debit_mandate",
            also=also,
        )

    def remove(self, name: str, actor: Actor) -> None:
        """Takes the account out of all that is stored of the customer."""

        self._remove(name, actor, "FEE-07")

    def erase_due(self) -> bool:
        """Removes the account of each customer whose data was erased after the end (END-07) and who owes nothing any
        more: there is nothing left to bill, and no other purpose (CUS-02). Returns whether there was any."""
        over = [one.name for one in self._contracts() if one.erased and one.has_bank_account]
        due = self._book.db.read(lambda tx: [name for name in over if self._is_settled(tx, name)])
        for name in due:
            self._remove(name, SYSTEM, "CUS-02")
        return bool(due)

    def _is_settled(self, tx: Tx, name: str) -> bool:
        today = jst_date(self._book.clock())
        return not any(
            one.order or (one.open > 0 and not one.has_lapsed(today)) for one in ledger_of(tx, name, today).invoices
        )

    def _remove(self, name: str, actor: Actor, rule: str) -> None:
        def also(tx: Tx, _contract: object) -> None:
            require(account_of(tx.documents.customer(name)) is not None, "there is no bank account", "FEE-07")
            tx.documents.erase_customer_keys(name, (*FIELDS, SET_AT))

        self._book.act(name, actor, lambda _c, _n: Decision("contract.bank_account_removed", rule), also=also)

    def get(self, name: str) -> tuple[BankAccount, str] | None:
        """NotFound for the contract, None without an account."""
        self._book.get(name)
        return self._book.db.read(lambda tx: account_of(tx.documents.customer(name)))
