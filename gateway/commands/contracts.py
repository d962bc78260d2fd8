"""``contract``: a contract's life from application to end; what the customer files and what it has come to."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Any

import click

from gateway.commands import contract_customers, contract_owed, contract_powers, contract_views, disclosing
from gateway.commands.acting import (
    DAY,
    TIME,
    actor,
    paper,
    paper_options,
    role_option,
)
from gateway.commands.app import Application, json_option, show_json
from gateway.commands.contract_views import status_data
from gateway.domain.calendar import jst_date
from gateway.domain.contract.records import Contract
from gateway.domain.contract.values import Channel
from gateway.service.contracts.intake import PAYMENT_METHODS
from gateway.service.contracts.intake import Application as Filed
from gateway.service.passwords import new_password


def add(cli: click.Group) -> None:
    cli.add_command(contract)


@click.group()
def contract() -> None:
    """Contracts under the terms of service (docs/rules.md): every act is recorded, or refused with its rule.

    Dates are JST days. Times are given with an offset, such as 2027-03-01T09:00+09:00.
    """


contract_customers.add(contract)
contract_powers.add(contract)
disclosing.add(contract)
contract_views.add(contract)
contract_owed.add(contract)


def told(app: Application, one: Contract, as_json: bool) -> None:
    """Prints what a contract is after an act."""
    data = status_data(app, one)
    if as_json:
        show_json(data)
        return
    last = f", last day {data['last_day']}" if data["last_day"] else ""
    start = f", starts {data['start_date']}" if data["state"] == "notified" else ""
    click.echo(f"contract {one.name} is {data['state']}{start}{last}")


# -- intake -----------------------------------------------------------------------------------------------------------


@contract.command("apply")
@click.argument("name")
@click.option("--customer", required=True, help="Name of the company or person.")
@click.option("--address", required=True)
@click.option("--contact", required=True, help="The person to talk to.")
@click.option("--email", required=True, help="The registered address, to which notices go (NTC-01).")
@contract_customers.more_customer_options
@click.option("--plan", required=True, help="A plan of the price list: kurado plan list.")
@click.option("--payment", type=click.Choice(PAYMENT_METHODS), required=True)
@click.option("--route", type=click.Choice([str(one) for one in Channel]), default="direct", show_default=True)
@click.option("--wished-start", type=DAY, help="The start date that the customer wishes.")
@click.option("--terms-version", help="The version of the terms agreed to. Default: the one in force (SVC-03).")
@click.option("--privacy-version", default="", help="The version of the privacy policy agreed to (APP-02).")
@click.option("--privacy-agreed-at", type=TIME, help="When it was agreed to.")
@click.option("--partner", default="", help="The reseller or referral shop, by name (AGT-03).")
@click.option("--follows", default="", help="The contract in whose place it comes: a lower plan is a new one (CHG-07).")
@role_option
@json_option
@click.pass_obj
def apply(
    app: Application,
    name: str,
    customer: str,
    address: str,
    contact: str,
    email: str,
    postal_code: str | None,
    phone: str | None,
    language: str | None,
    plan: str,
    payment: str,
    route: str,
    wished_start: date | None,
    terms_version: str | None,
    privacy_version: str,
    privacy_agreed_at: int | None,
    partner: str,
    follows: str,
    role: str,
    as_json: bool,
) -> None:
    """File an application (APP-01) under NAME, by which contract and tenant are called from then on."""
    documents = app.services.policies.get("documents")
    filed = Filed(
        {"name": customer, "address": address, "contact": contact, "email": email}
        | contract_customers.given(postal_code=postal_code, phone=phone, language=language),
        plan,
        payment,
        route,
        wished_start,
        terms_version or documents.version("terms") or "",
        privacy_version,
        privacy_agreed_at,
        follows,
        partner,
    )
    told(app, app.services.contracts.intake.apply(name, filed, actor(app, role)), as_json)


@contract.command("review")
@click.argument("name")
@json_option
@click.pass_obj
def review(app: Application, name: str, as_json: bool) -> None:
    """Take an application under review (APP-03)."""
    told(app, app.services.contracts.intake.review(name, actor(app)), as_json)


@contract.command("accept")
@click.argument("name")
@click.option("--minimum-months", type=int, help="The minimum in billing months (TERM-01). Default: that of the terms.")
@click.option("--start-day", type=int, help="First day of the billing month, approved for this customer (CAL-04).")
@click.option("--reason", required=True)
@json_option
@click.pass_obj
def accept(
    app: Application, name: str, minimum_months: int | None, start_day: int | None, reason: str, as_json: bool
) -> None:
    """Accept a reviewed application, at the prices of today (APP-03)."""
    intake = app.services.contracts.intake
    if minimum_months is None:
        minimum_months = app.services.policies.values().minimum_months
    told(
        app,
        intake.accept(name, actor(app), minimum_months=minimum_months, reason=reason, start_day=start_day),
        as_json,
    )


@contract.command("reject")
@click.argument("name")
@click.option("--reason", required=True)
@json_option
@click.pass_obj
def reject(app: Application, name: str, reason: str, as_json: bool) -> None:
    """Reject a reviewed application (APP-03)."""
    told(app, app.services.contracts.intake.reject(name, actor(app), reason), as_json)


@contract.command("register")
@click.argument("name")
@click.option("--login", default="owner", show_default=True, help="The first account.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input; otherwise one is made.")
@json_option
@click.pass_obj
def register(app: Application, name: str, login: str, password_stdin: bool, as_json: bool) -> None:
    """Make tenant, space and first account (APP-04). Nobody gets in before the start."""
    password = new_password()
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    one = app.services.contracts.intake.register(name, actor(app), login=login, password=password)
    if as_json:
        secret = {} if password_stdin else {"password": password}
        show_json(status_data(app, one) | {"login": login} | secret)
        return
    told(app, one, False)
    click.echo(f"first account: {login}" + ("" if password_stdin else f"\npassword: {password}"))


@contract.command("notify-start")
@click.argument("name")
@click.option("--start-date", type=DAY, help="The first day of use; not before the day of sending (D-05).")
@click.option("--sent-at", type=TIME, help="When the notice was sent. Default: now, or its arrival.")
@click.option("--arrived-at", type=TIME, help="When it arrived, or was acknowledged. It works from then (NTC-03).")
@json_option
@click.pass_obj
def notify_start(
    app: Application,
    name: str,
    start_date: date | None,
    sent_at: int | None,
    arrived_at: int | None,
    as_json: bool,
) -> None:
    """Record the start notice (APP-05), or, given --arrived-at alone, its arrival."""
    intake = app.services.contracts.intake
    if start_date is None:
        if arrived_at is None:
            raise click.UsageError("give --start-date, or --arrived-at for a notice that was sent before")
        told(app, intake.start_notice_arrived(name, actor(app), arrived_at), as_json)
        return
    now = app.clock()
    sent = min(now, arrived_at or now) if sent_at is None else sent_at
    one = intake.notify_start(name, actor(app), start_date=start_date, sent_at=sent, arrived_at=arrived_at)
    told(app, one, as_json)


# -- papers -----------------------------------------------------------------------------------------------------------


@contract.command("request-change")
@click.argument("name")
@click.option("--plan", help="The plan that is asked for.")
@click.option("--on", "requested_on", type=DAY, help="From which day. Default: as early as the rules allow.")
@click.option("--change-fee", type=click.IntRange(0), help="JPY (CHG-04). Default: that of the terms.")
@click.option("--start-day", type=int, help="Instead of a plan: another first day of the billing month (CAL-04).")
@paper_options
@role_option
@json_option
@click.pass_obj
def request_change(
    app: Application,
    /,
    name: str,
    plan: str | None,
    requested_on: date | None,
    change_fee: int | None,
    start_day: int | None,
    role: str,
    as_json: bool,
    **document: Any,
) -> None:
    """Take a written request for another plan (CHG) or another first day of the billing month (CAL-04)."""
    if (plan is None) == (start_day is None):
        raise click.UsageError("give either --plan or --start-day")
    papers, filed, who = app.services.contracts.papers, paper(**document), actor(app, role)
    if start_day is not None:
        told(app, papers.request_start_day(name, who, filed, start_day), as_json)
        return
    assert plan is not None
    day = requested_on or jst_date(filed.received_at)
    told(app, papers.request_change(name, who, filed, plan=plan, requested_on=day, change_fee=change_fee), as_json)


@contract.command("notice")
@click.argument("name")
@click.option("--by", type=click.Choice(["customer", "provider"]), default="customer", show_default=True)
@click.option("--arrived-at", type=TIME, help="Of the provider's notice: its arrival (TERM-04).")
@click.option("--document", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The customer's paper.")
@click.option("--carrier", default="post", show_default=True, help="How the paper came.")
@click.option("--received-at", type=TIME, default="now", help="When the provider received it. Default: now.")
@role_option
@json_option
@click.pass_obj
def notice(
    app: Application,
    name: str,
    by: str,
    arrived_at: int | None,
    document: Path | None,
    carrier: str,
    received_at: int,
    role: str,
    as_json: bool,
) -> None:
    """Take an offer against renewal: it stops the renewal that it is in time for (TERM-03 to TERM-05)."""
    papers = app.services.contracts.papers
    if by == "provider":
        if arrived_at is None:
            raise click.UsageError("a provider's notice counts from its arrival: give --arrived-at")
        told(app, papers.provider_nonrenewal(name, actor(app, role), arrived_at), as_json)
        return
    if document is None:
        raise click.UsageError("a customer's notice is a document in writing (P-7): give --document")
    filed = paper(document, carrier, received_at, None, "")
    told(app, papers.offer_nonrenewal(name, actor(app, role), filed), as_json)


@contract.command("renew")
@click.argument("name")
@paper_options
@role_option
@json_option
@click.pass_obj
def renew(app: Application, /, name: str, role: str, as_json: bool, **document: Any) -> None:
    """Take the renewal application of a contract that came through a referral shop (TERM-07).

    For any other contract: the new agreement after an offer against renewal, which then stops nothing (TERM-05).
    """
    told(app, app.services.contracts.papers.renew(name, actor(app, role), paper(**document)), as_json)


@contract.command("cancel")
@click.argument("name")
@click.option("--last-day", type=DAY, help="The last day of use that the customer wishes. Default: the earliest.")
@paper_options
@role_option
@json_option
@click.pass_obj
def cancel(app: Application, /, name: str, last_day: date | None, role: str, as_json: bool, **document: Any) -> None:
    """Take a written cancellation (END-01 to END-04)."""
    one = app.services.contracts.papers.cancel(name, actor(app, role), paper(**document), last_day)
    told(app, one, as_json)
    leaving = one.cancelled(jst_date(app.clock()), app.services.contracts.book.values(one))
    if leaving and not as_json:
        if leaving.moved:
            click.echo(f"the wish was too early and is moved to {leaving.granted_last_day} (END-01)")
        if leaving.lump_sum_months:
            click.echo(
                f"lump sum of {leaving.lump_sum} JPY for {leaving.lump_sum_months} months, due {leaving.lump_sum_due}; "
                "unpaid on that day the cancellation lapses (END-03, END-04). Its invoice: kurado billing issue"
            )


@contract.command("agree")
@click.argument("name")
@click.option("--about", required=True, help="payment or notices: the terms outrank all other arrangements (SVC-02).")
@click.option("--days", type=int, default=0, help="Of payment: due so many days after the start of the period.")
@paper_options
@json_option
@click.pass_obj
def agree(app: Application, /, name: str, about: str, days: int, as_json: bool, **document: Any) -> None:
    """Take a written side agreement, where the terms give way to one (6③, 15)."""
    papers = app.services.contracts.papers
    told(app, papers.agree_in_writing(name, actor(app), paper(**document), about, days), as_json)


@contract.command("settle")
@click.argument("name")
@click.option("--paid-on", type=DAY, required=True, help="The day on which the lump sum was paid.")
@json_option
@click.pass_obj
def settle(app: Application, name: str, paid_on: date, as_json: bool) -> None:
    """Record the payment of an early cancellation's lump sum (END-03, END-04)."""
    told(app, app.services.contracts.papers.lump_sum_paid(name, actor(app), paid_on), as_json)
