"""``contract demand|cured|terminate|discontinue|stop|overload|suspend|resume``: what the provider may do."""

from __future__ import annotations

from datetime import date

import click

from gateway.commands.acting import DAY, TIME, actor, approver_options, approving
from gateway.commands.app import Application, json_option
from gateway.domain.contract.records import Contract


def add(group: click.Group) -> None:
    """Adds the commands to the group ``contract``."""
    for command in (demand, cured, terminate, discontinue, stop, overload, suspend, resume):
        group.add_command(command)


def _told(app: Application, one: Contract, as_json: bool) -> None:
    from gateway.commands.contracts import told

    told(app, one, as_json)


@click.command("demand")
@click.argument("name")
@click.option("--ground", required=True, help="17(1)1 to pay, 17(1)2 to correct.")
@click.option("--due-on", type=DAY, help="The day on which the claim was due.")
@click.option("--case", help="The overload case that it is about (LIM-03).")
@click.option("--sent-at", type=TIME, default="now", help="Default: now.")
@click.option("--received-at", type=TIME, help="When it arrived at the customer.")
@json_option
@click.pass_obj
def demand(
    app: Application,
    name: str,
    ground: str,
    due_on: date | None,
    case: str | None,
    sent_at: int,
    received_at: int | None,
    as_json: bool,
) -> None:
    """Record a demand to pay or to correct: its clock is that of a termination (END-05)."""
    powers = app.services.contracts.powers
    one = powers.demand(
        name, actor(app), ground=ground, sent_at=sent_at, received_at=received_at, due_on=due_on, case=case
    )
    _told(app, one, as_json)
    if not as_json:
        click.echo(f"demand {one.demands[-1].id}")


@click.command("cured")
@click.argument("name")
@click.argument("demand_id", metavar="DEMAND")
@click.option("--on", "cured_on", type=DAY, required=True, help="The day of payment or correction.")
@json_option
@click.pass_obj
def cured(app: Application, name: str, demand_id: str, cured_on: date, as_json: bool) -> None:
    """Record that a demand was met: the ground is gone (D-51)."""
    _told(app, app.services.contracts.powers.cure(name, actor(app), demand_id, cured_on), as_json)


@click.command("terminate")
@click.argument("name")
@click.option("--ground", required=True, help="17(1)1 to 17(1)8.")
@click.option("--demand", "demand_id", help="The demand of grounds 17(1)1 and 17(1)2.")
@click.option("--found-on", type=DAY, help="The day on which one of the other grounds was found.")
@click.option("--arrived-at", type=TIME, required=True, help="When the notice arrived: the contract ends then.")
@click.option("--reason", default="")
@json_option
@click.pass_obj
def terminate(
    app: Application,
    name: str,
    ground: str,
    demand_id: str | None,
    found_on: date | None,
    arrived_at: int,
    reason: str,
    as_json: bool,
) -> None:
    """End a contract for a ground of §17(1) (END-05)."""
    powers = app.services.contracts.powers
    one = powers.terminate(
        name,
        actor(app),
        ground=ground,
        arrived_at=arrived_at,
        demand=demand_id,
        found_on=found_on,
        reason=reason,
    )
    _told(app, one, as_json)


@click.command("discontinue")
@click.argument("name")
@click.option("--last-day", type=DAY, required=True, help="The last day of the service.")
@click.option("--email-arrived-at", type=TIME, required=True, help="When the notice by e-mail arrived.")
@click.option("--web-posted-at", type=TIME, required=True, help="When it was posted on the web site.")
@click.option("--reason", default="")
@json_option
@click.pass_obj
def discontinue(
    app: Application,
    name: str,
    last_day: date,
    email_arrived_at: int,
    web_posted_at: int,
    reason: str,
    as_json: bool,
) -> None:
    """Discontinue the whole service for a customer, 60 days after both notices (DSC-02)."""
    powers = app.services.contracts.powers
    one = powers.discontinue(
        name,
        actor(app),
        last_day=last_day,
        email_arrived_at=email_arrived_at,
        web_posted_at=web_posted_at,
        reason=reason,
    )
    _told(app, one, as_json)


@click.command("stop")
@click.argument("name")
@click.option("--reason", default="", help="Why: the first person gives it.")
@click.option("--approve", is_flag=True, help="Approve what another person asked for.")
@approver_options
@json_option
@click.pass_obj
def stop(
    app: Application,
    name: str,
    reason: str,
    approve: bool,
    approver: str | None,
    passphrase_stdin: bool,
    as_json: bool,
) -> None:
    """Stop the service for a customer on the ground of §24(2): one person asks, another approves (ANT-01)."""
    powers = app.services.contracts.powers
    if approve:
        second = approving(app, approver, passphrase_stdin=passphrase_stdin, rule="ANT-01")
        _told(app, powers.approve_stop(name, second), as_json)
        return
    one = powers.request_stop(name, actor(app), reason)
    _told(app, one, as_json)
    if not as_json:
        click.echo(f"another person approves it: kurado contract stop {name} --approve")


@click.command("overload")
@click.argument("name")
@click.option("--evidence", required=True, help="The load figures.")
@json_option
@click.pass_obj
def overload(app: Application, name: str, evidence: str, as_json: bool) -> None:
    """Open an overload case (LIM-03)."""
    one = app.services.contracts.powers.open_overload(name, actor(app), evidence)
    _told(app, one, as_json)
    if not as_json:
        click.echo(f"overload case {one.overloads[-1].id}")


@click.command("suspend")
@click.argument("name")
@click.option("--case", required=True, help="The overload case on which a demand has arrived.")
@click.option("--reason", required=True)
@click.option("--from", "start", type=TIME, help="Default: now.")
@click.option("--to", "end", type=TIME, help="Default: until it is ended.")
@json_option
@click.pass_obj
def suspend(
    app: Application, name: str, case: str, reason: str, start: int | None, end: int | None, as_json: bool
) -> None:
    """Refuse all calls of a customer that overloads the system (LIM-03, LIM-04). Billing and term run on."""
    one = app.services.contracts.powers.suspend(name, actor(app), case=case, reason=reason, start=start, end=end)
    _told(app, one, as_json)


@click.command("resume")
@click.argument("name")
@json_option
@click.pass_obj
def resume(app: Application, name: str, as_json: bool) -> None:
    """End a suspension now."""
    _told(app, app.services.contracts.powers.resume(name, actor(app)), as_json)
