"""``discontinuation``, ``transfer``: what the provider ends for all customers, and to whom its business passes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any, TypeVar

import click

from gateway.commands.acting import DAY, TIME, actor, jst
from gateway.commands.app import Application, json_option, show, show_json

F = TypeVar("F", bound=Callable[..., Any])


def add(cli: click.Group) -> None:
    cli.add_command(discontinuation)
    cli.add_command(transfer)


def notice_options(command: F) -> F:
    """What stands in the notice to each customer."""
    for name in ("text-en", "text-ja", "title-en", "title-ja"):
        command = click.option(f"--{name}", required=True)(command)
    return command


# -- discontinuation --------------------------------------------------------------------------------------------------


@click.group()
def discontinuation() -> None:
    """End the service, or a function of it, for all customers: sixty days after both notices (DSC-02 to DSC-05)."""


@discontinuation.command("announce")
@click.option("--last-day", type=DAY, required=True, help="The last day of the service or function.")
@click.option("--function", default="", help="Only this function of the plans ends (DSC-04). Default: all.")
@click.option("--trouble", is_flag=True, help="On the ground of §10(3), prolonged trouble: no lead time (DSC-01).")
@click.option("--not-for-own-reasons", is_flag=True, help="Paid months are not returned then (DSC-05).")
@click.option("--reason", required=True)
@notice_options
@click.pass_obj
def announce_end(
    app: Application,
    /,
    last_day: date,
    function: str,
    trouble: bool,
    not_for_own_reasons: bool,
    reason: str,
    **notice: str,
) -> None:
    """Announce it. The notices follow; it is in force for each customer once mail and web post were in time."""
    one = app.services.contracts.discontinuing.announce(
        actor(app),
        last_day=last_day,
        reason=reason,
        notice=notice,
        function=function,
        trouble=trouble,
        convenience=not not_for_own_reasons,
    )
    click.echo(f"discontinuation {one.id} of {one.function or 'the whole service'} with {one.last_day} is announced")


@discontinuation.command("posted")
@click.argument("name", metavar="DISCONTINUATION")
@click.option("--at", type=TIME, default="now", help="When it stood on the web site. Default: now.")
@click.pass_obj
def posted(app: Application, name: str, at: int) -> None:
    """Record that it stands on the web site."""
    done = app.services.contracts.discontinuing.posted(name, actor(app), at=at)
    click.echo(f"{name} is posted; in force for {', '.join(one.name for one in done) or 'nobody yet'}")


@discontinuation.command("told")
@click.argument("name", metavar="DISCONTINUATION")
@click.argument("contract")
@click.option("--at", type=TIME, default="now", help="When the e-mail arrived. Default: now.")
@click.pass_obj
def told_end(app: Application, name: str, contract: str, at: int) -> None:
    """Record that the e-mail reached a customer; the notices that kurado mails do it by themselves."""
    done = app.services.contracts.discontinuing.told(name, contract, actor(app), at=at)
    click.echo(f"{contract} was told; {name} is {'in force' if done else 'not in force'} for it")


@discontinuation.command("list")
@json_option
@click.pass_obj
def list_ends(app: Application, as_json: bool) -> None:
    """Show what was announced."""
    rows = [
        {
            "discontinuation": one.id,
            "of": one.function or "all",
            "last_day": one.last_day.isoformat(),
            "ground": "10(3)" if one.trouble else "10(4)",
            "announced": jst(one.announced_at),
            "posted": jst(one.posted_at),
            "told": len(one.told),
        }
        for one in app.services.contracts.discontinuing.all()
    ]
    show(as_json, rows, empty="nothing is discontinued")


# -- transfer ---------------------------------------------------------------------------------------------------------


@click.group()
def transfer() -> None:
    """The provider's place passes to a third party, after prior notice (XFR-01). Contracts do not change by it."""


@transfer.command("announce")
@click.option("--from", "old_party", required=True, help="The provider of now.")
@click.option("--to", "new_party", required=True, help="The third party.")
@click.option("--effective-on", type=DAY, required=True)
@notice_options
@click.pass_obj
def announce_transfer(app: Application, /, old_party: str, new_party: str, effective_on: date, **notice: str) -> None:
    """Record both parties and the day; the notices follow."""
    one = app.services.contracts.transfers.announce(
        actor(app), old_party=old_party, new_party=new_party, effective_on=effective_on, notice=notice
    )
    click.echo(f"transfer {one.id} to {one.new_party} on {one.effective_on} is announced")


@transfer.command("told")
@click.argument("name", metavar="TRANSFER")
@click.argument("contract")
@click.option("--at", type=TIME, default="now", help="When the notice was sent. Default: now.")
@click.pass_obj
def told_transfer(app: Application, name: str, contract: str, at: int) -> None:
    """Record that a customer's notice was sent; the notices that kurado mails do it by themselves."""
    app.services.contracts.transfers.told(name, contract, actor(app), at=at)
    click.echo(f"{contract} was told of {name}")


@transfer.command("done")
@click.argument("name", metavar="TRANSFER")
@click.pass_obj
def done(app: Application, name: str) -> None:
    """Record that it was carried out, on its day or later."""
    one = app.services.contracts.transfers.carry_out(name, actor(app))
    click.echo(f"{name}: the provider is {one.new_party}")


@transfer.command("data")
@click.argument("name", metavar="TRANSFER")
@click.pass_obj
def data(app: Application, name: str) -> None:
    """Print the registration data of all customers for the new party, as JSON. The export is an act."""
    show_json(app.services.contracts.transfers.registration_data(name, actor(app)))


@transfer.command("list")
@json_option
@click.pass_obj
def list_transfers(app: Application, as_json: bool) -> None:
    """Show all transfers."""
    rows = [
        {
            "transfer": one.id,
            "from": one.old_party,
            "to": one.new_party,
            "effective_on": one.effective_on.isoformat(),
            "announced": jst(one.announced_at),
            "told": len(one.told),
            "done": jst(one.done_at),
        }
        for one in app.services.contracts.transfers.all()
    ]
    show(as_json, rows, empty="the business was never transferred")
