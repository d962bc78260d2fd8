"""``refusals list``."""

from __future__ import annotations

import click

from gateway import logs
from gateway.commands.app import Application, iso, json_option, show, tenant_option


def add(cli: click.Group) -> None:
    cli.add_command(refusals)


@click.group()
def refusals() -> None:
    """What was refused, by which rule and clause."""


@refusals.command("list")
@tenant_option
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many.")
@json_option
@click.pass_obj
def list_(app: Application, tenant: str | None, limit: int, as_json: bool) -> None:
    """Show the latest refusals, newest first. Names of files are masked (PRV-06); `kurado explain` takes the number."""
    accounts = app.services.accounts
    owner = accounts.tenant(tenant) if tenant else None
    app.note("refusals.read", "refusals", "PRV-01", tenant)
    wanted = owner.id if owner else None
    names = {one.id: one.name for one in accounts.tenants()}
    rows = []
    for one in app.services.refusals.recent(wanted, limit):
        row = {
            "refusal": one.id,
            "at": iso(one.at),
            "tenant": names.get(one.tenant_id, f"removed {one.tenant_id:x}"),
            "user": one.user,
            "verb": one.verb,
            "path": logs.mask([part for part in one.path.split("/") if part]),
            "code": one.code,
            "policy": one.policy,
            "clause": one.clause,
            "reason": one.reason,
        }
        if as_json:
            row |= {"digest": one.digest, "request_id": one.request_id}
        rows.append(row)
    show(as_json, rows, empty="nothing was refused")
