"""``takedown set|lift|list``."""

from __future__ import annotations

import click

from gateway.commands.acting import actor, jst
from gateway.commands.app import Application, json_option, show, tenant_argument, tenant_option
from gateway.domain.errors import BadRequest
from gateway.domain.names import Path, check_path


def add(cli: click.Group) -> None:
    cli.add_command(takedown)


@click.group()
def takedown() -> None:
    """Data whose use is refused on a ground of §9(1)②–⑦: kept and listed, outside the quota, 403 to all (TKD-02)."""


@takedown.command("set")
@tenant_argument
@click.argument("path")
@click.option("--item", type=click.IntRange(1, 7), required=True, help="The item of §9(1).")
@click.option("--reason", required=True)
@click.pass_obj
def set_(app: Application, tenant: str, path: str, item: int, reason: str) -> None:
    """Refuse an object, or a collection with all below it, within a second. The judgement is yours (TKD-03)."""
    one = app.services.takedowns.set(app.services.accounts.tenant(tenant), segments(path), item, reason, actor(app))
    click.echo(f"takedown {one.id} is set")


@takedown.command("lift")
@click.argument("takedown_id", metavar="TAKEDOWN")
@click.option("--reason", required=True)
@click.pass_obj
def lift(app: Application, takedown_id: str, reason: str) -> None:
    """Give the object back unchanged; it counts into the quota again."""
    one = app.services.takedowns.lift(takedown_id, reason, actor(app))
    click.echo(f"takedown {one.id} is lifted")


@takedown.command("list")
@tenant_option
@json_option
@click.pass_obj
def list_(app: Application, tenant: str | None, as_json: bool) -> None:
    """Show all takedowns. Objects are named by id (PRV-06)."""
    accounts = app.services.accounts
    names = {one.id: one.name for one in accounts.tenants()}
    rows = [
        {
            "takedown": one.id,
            "tenant": names.get(one.tenant_id, f"removed {one.tenant_id:x}"),
            "object": f"{one.node_id:x}",
            "ground": one.ground,
            "reason": one.reason,
            "set": jst(one.set_at),
            "by": one.set_by,
            "lifted": jst(one.lifted_at),
        }
        for one in app.services.takedowns.all(accounts.tenant(tenant) if tenant else None)
    ]
    show(as_json, rows, empty="nothing was taken down")


def segments(path: str) -> Path:
    """A path as an operator writes it: decoded, with or without slashes at the ends. BadRequest for the root."""
    parts = check_path(tuple(part for part in path.split("/") if part))
    if not parts:
        raise BadRequest("name an object: a whole space is never meant")
    return parts
