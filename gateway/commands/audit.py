"""``audit verify|export``: the chain of all privileged acts (P-6)."""

from __future__ import annotations

import json
import sys

import click

from gateway.commands.acting import act_data, actor
from gateway.commands.app import Application, json_option, show_json, tenant_option


def add(cli: click.Group) -> None:
    cli.add_command(audit)


@click.group()
def audit() -> None:
    """The audit log: every privileged act, each covering the one before it with its digest."""


@audit.command("verify")
@click.option("--head", help="A digest that was noted earlier, elsewhere: it must be among the acts.")
@json_option
@click.pass_obj
def verify(app: Application, head: str | None, as_json: bool) -> None:
    """Check the whole chain. Status 1 when an act was changed, taken out or put in.

    Note the digest that it prints in another place: only that shows, later, that the chain was not written anew.
    """
    count, end, fault = app.services.audit.verify(head)
    if as_json:
        problem = fault and {"act": fault.seq, "what": fault.what}
        show_json({"acts": count, "head": end, "fault": problem})
    elif fault:
        click.echo(f"act {fault.seq}: {fault.what}", err=True)
    else:
        click.echo(f"{count} acts, all as they were recorded; head {end}")
    if fault:
        sys.exit(1)


@audit.command("export")
@tenant_option
@click.option("--after", type=click.IntRange(0), default=0, help="Only acts after this number.")
@click.pass_obj
def export(app: Application, tenant: str | None, after: int) -> None:
    """Write the acts as JSON, one a line. The export is itself an act (PRV-01)."""
    audit_log = app.services.audit
    owner = app.services.accounts.tenant(tenant) if tenant else None
    audit_log.note(actor(app), "audit.exported", "audit", "PRV-01", owner)
    for act in audit_log.acts(owner, after):
        click.echo(json.dumps(act_data(act), ensure_ascii=False))
