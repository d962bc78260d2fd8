"""``contract customer``, ``contract bank-account set|show|remove``: data of the customer, which no act has (CUS-02)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from gateway.commands.acting import actor, paper, paper_options, role_option
from gateway.commands.app import Application, json_option, show
from gateway.domain.collecting import AccountKind, BankAccount
from gateway.domain.contract.records import Contract

F = TypeVar("F", bound=Callable[..., Any])

KINDS = {
    "ordinary": AccountKind.ORDINARY,
    "current": AccountKind.CURRENT,
    "tax": AccountKind.TAX,
    "other": AccountKind.OTHER,
}


def add(group: click.Group) -> None:
    """Adds the commands to the group ``contract``."""
    group.add_command(customer_)
    group.add_command(bank_account)


def more_customer_options(command: F) -> F:
    """What an application need not have: postal code and phone for invoices, the language of letters."""
    for option in (
        click.option("--language", type=click.Choice(("ja", "en")), help="In which notices are written."),
        click.option("--phone", help="For the payment agency (§20(2)④)."),
        click.option("--postal-code", help="For invoices."),
    ):
        command = option(command)
    return command


def given(**values: str | None) -> dict[str, str]:
    """The options that were given, as customer data."""
    return {key: value for key, value in values.items() if value is not None}


def _told(app: Application, one: Contract, as_json: bool) -> None:
    from gateway.commands.contracts import told

    told(app, one, as_json)


@click.command("customer")
@click.argument("name")
@click.option("--customer")
@click.option("--address")
@click.option("--contact")
@click.option("--email")
@more_customer_options
@paper_options
@role_option
@json_option
@click.pass_obj
def customer_(
    app: Application,
    /,
    name: str,
    customer: str | None,
    address: str | None,
    contact: str | None,
    email: str | None,
    postal_code: str | None,
    phone: str | None,
    language: str | None,
    role: str,
    as_json: bool,
    **document: Any,
) -> None:
    """Record a change form: another name, address, contact or notice address of the customer (CUS-01)."""
    changes = given(
        name=customer, address=address, contact=contact, email=email, postal_code=postal_code, phone=phone,
        language=language,
    )  # fmt: skip
    papers = app.services.contracts.papers
    _told(app, papers.change_customer(name, actor(app, role), paper(**document), changes), as_json)


@click.group("bank-account")
def bank_account() -> None:
    """The account that a customer lets us debit (FEE-07). It is erasable: no act has it."""


@bank_account.command("set")
@click.argument("name")
@click.option("--bank", required=True, help="4 digits.")
@click.option("--bank-name", default="", help="In kana.")
@click.option("--branch", required=True, help="3 digits.")
@click.option("--branch-name", default="", help="In kana.")
@click.option("--kind", type=click.Choice(tuple(KINDS)), default="ordinary", show_default=True)
@click.option("--number", required=True, help="Up to 7 digits.")
@click.option("--holder", required=True, help="In kana, as the bank has it.")
@paper_options
@role_option
@click.pass_obj
def set_account(
    app: Application,
    /,
    name: str,
    bank: str,
    bank_name: str,
    branch: str,
    branch_name: str,
    kind: str,
    number: str,
    holder: str,
    role: str,
    **document: Any,
) -> None:
    """Store the account of NAME; the document is the customer's mandate for the debit (預金口座振替依頼書)."""
    account = BankAccount(bank, bank_name, branch, branch_name, KINDS[kind], number)
    app.services.billing.accounts.set(name, actor(app, role), paper(**document), account, holder)
    click.echo(f"contract {name}: the bank account is stored")


@bank_account.command("show")
@click.argument("name")
@json_option
@click.pass_obj
def show_account(app: Application, name: str, as_json: bool) -> None:
    """Show the account, its number and holder masked."""
    found = app.services.billing.accounts.get(name)
    rows = []
    if found is not None:
        account, holder = found
        kind = next(word for word, one in KINDS.items() if one is account.kind)
        rows.append(
            {
                "bank": f"{account.bank_code} {account.bank_name}".strip(),
                "branch": f"{account.branch_code} {account.branch_name}".strip(),
                "kind": kind,
                "number": "*" * (len(account.number) - 3) + account.number[-3:],
                "holder": holder[:2] + "…",
            }
        )
    show(as_json, rows, empty="there is no bank account")


@bank_account.command("remove")
@click.argument("name")
@click.pass_obj
def remove_account(app: Application, name: str) -> None:
    """Erase the account from all that is stored of the customer."""
    app.services.billing.accounts.remove(name, actor(app))
    click.echo(f"contract {name}: the bank account is erased")
