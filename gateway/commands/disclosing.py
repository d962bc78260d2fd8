"""``contract data``, ``contract disclose``: reading and giving out what is known of a customer, each on record."""

from __future__ import annotations

import click

from gateway.commands.acting import actor
from gateway.commands.app import Application, json_option, show_json

INFO = ("account_info", "registered_data", "customer_info", "access_log", "traffic_record")


def add(group: click.Group) -> None:
    """Adds the commands to the group ``contract``."""
    group.add_command(data)
    group.add_command(disclose)


@click.command("data")
@click.argument("name")
@click.option("--purpose", required=True, help="SETUP, ADMIN, SUPPORT, IMPROVEMENT or BILLING: no other use (CUS-02).")
@json_option
@click.pass_obj
def data(app: Application, name: str, purpose: str, as_json: bool) -> None:
    """Show a customer's registered data, for one purpose of §20(1). The read is on record."""
    found = app.services.contracts.disclosures.read(name, actor(app), purpose)
    if as_json:
        show_json(dict(found))
        return
    for key, value in found.items():
        click.echo(f"{key.replace('_', ' '):<12}  {value}")


@click.command("disclose")
@click.argument("name")
@click.option("--info", type=click.Choice(INFO), required=True)
@click.option("--ground", required=True, help="legal, system_management_company, prohibited_act, ...")
@click.option("--item", type=click.IntRange(1, 7), help="The item of §9(1), for prohibited_act.")
@click.option("--to", required=True, help="Who gets it.")
@click.option("--reason", required=True, help="Such as the number of the order.")
@click.pass_obj
def disclose(app: Application, name: str, info: str, ground: str, item: int | None, to: str, reason: str) -> None:
    """Record that information of a customer is given to a third party; refused where the terms have no such ground."""
    rule = app.services.contracts.disclosures.disclose(
        name, actor(app), info=info, ground=ground, item=item, to=to, reason=reason
    )
    click.echo(f"recorded: {info} of {name} to {to} ({rule})")
