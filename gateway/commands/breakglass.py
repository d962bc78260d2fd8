"""``breakglass request|approve|read|list``: the only way in which an operator sees content (PRV-03)."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from gateway.commands.acting import act_data, act_row, actor, approver_options, approving, jst
from gateway.commands.app import Application, json_option, show, show_json, tenant_argument, tenant_option
from gateway.commands.takedowns import segments
from gateway.domain.contract.breakglass import GROUNDS


def add(cli: click.Group) -> None:
    cli.add_command(breakglass)


@click.group()
def breakglass() -> None:
    """Open a customer's content: a ground, a reason, named objects, two persons, at most some hours; all on record."""


@breakglass.command("request")
@tenant_argument
@click.argument("objects", nargs=-1, required=True)
@click.option("--ground", type=click.Choice(GROUNDS), required=True, help="§14 ①, ②, or an item of §9(1).")
@click.option("--reason", required=True)
@click.option("--hours", type=int, default=1, show_default=True)
@click.pass_obj
def request(app: Application, tenant: str, objects: tuple[str, ...], ground: str, reason: str, hours: int) -> None:
    """Ask to read OBJECTS (files, or collections with all below them). Another person approves it."""
    paths = [segments(one) for one in objects]
    one = app.services.breakglass.request(
        app.services.accounts.tenant(tenant), paths, ground, reason, hours, actor(app)
    )
    click.echo(f"request {one.id}: another person approves it with `kurado breakglass approve {one.id}`")


@breakglass.command("approve")
@click.argument("request_id", metavar="REQUEST")
@approver_options
@click.pass_obj
def approve(app: Application, request_id: str, approver: str | None, passphrase_stdin: bool) -> None:
    """Approve what another person asked for; it is open from now on."""
    second = approving(app, approver, passphrase_stdin=passphrase_stdin, rule="PRV-03")
    one = app.services.breakglass.approve(request_id, second)
    click.echo(f"request {one.id} is open until {jst(one.expires_at)}")


@breakglass.command("passphrase")
def passphrase() -> None:
    """Make the hash of a passphrase, for `approvers` in gateway.yaml. The approver types it in."""
    from gateway.service.passwords import hash_password

    click.echo(hash_password(click.prompt("passphrase", hide_input=True, confirmation_prompt=True, err=True)))


@breakglass.command("read")
@click.argument("request_id", metavar="REQUEST")
@click.argument("path")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: standard output.")
@click.pass_obj
def read(app: Application, request_id: str, path: str, output: Path | None) -> None:
    """Read one object. The read is on record, and the customer can see it."""
    with app.services.breakglass.read(request_id, segments(path), actor(app)) as source:
        if output is None:
            shutil.copyfileobj(source, sys.stdout.buffer)
            return
        with output.open("xb") as target:
            shutil.copyfileobj(source, target)


@breakglass.command("list")
@tenant_option
@click.option("--acts", is_flag=True, help="Every request, approval and read of --tenant, as it is shown to it.")
@json_option
@click.pass_obj
def list_(app: Application, tenant: str | None, acts: bool, as_json: bool) -> None:
    """Show all requests, or with --acts the log for one tenant."""
    owner = app.services.accounts.tenant(tenant) if tenant else None
    if acts:
        if owner is None:
            raise click.UsageError("--acts needs --tenant")
        found = app.services.breakglass.reads(owner)
        if as_json:
            show_json([act_data(act) for act in found])
        else:
            show(False, [act_row(act) for act in found], empty="nobody asked to see anything")
        return
    rows = [
        {
            "request": one.id,
            "tenant": one.tenant,
            "state": one.state(app.clock()),
            "ground": one.ground,
            "reason": one.reason,
            "objects": len(one.objects),
            "requested_by": one.requested_by,
            "approved_by": one.approved_by or None,
            "expires": jst(one.expires_at),
            "reads": one.reads,
        }
        for one in app.services.breakglass.all(owner)
    ]
    show(as_json, rows, empty="nobody asked to see anything")
