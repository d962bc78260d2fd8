"""``hold list|release|reject``: content that waits for a verdict, and a person who gives one."""

from __future__ import annotations

import click

from gateway.commands.acting import actor
from gateway.commands.app import Application, iso, json_option, show, show_json, tenant_option
from gateway.domain.node import Node
from gateway.domain.upload import Outcome, Verdict

REASON = click.option("--reason", required=True, help="Why, for the audit log.")


def add(cli: click.Group) -> None:
    cli.add_command(hold)


@click.group()
def hold() -> None:
    """Content that waits for a verdict.

    A held file is listed but cannot be read; a marked one can be read and is flagged. The virus scanner's own verdicts
    come by themselves when it answers again. What a content rule holds waits here for a person, who sees neither name
    nor content (PRV-03, PRV-06): `kurado breakglass` opens it where the rules allow.
    """


@hold.command("list")
@tenant_option
@json_option
@click.pass_obj
def list_(app: Application, tenant: str | None, as_json: bool) -> None:
    """Show held and marked files with the rules that hold or mark them."""
    accounts = app.services.accounts
    tenants = {one.id: one.name for one in ([accounts.tenant(tenant)] if tenant else accounts.tenants())}
    rows = [
        {
            "node": f"{node.id:x}",
            "tenant": tenants[node.tenant_id],
            "state": str(node.version.state),
            "size": node.size,
            "since": iso(node.version.created_at),
            "reason": node.version.reason,
        }
        for node in app.services.holds.all_pending()
        if node.version and node.tenant_id in tenants
    ]
    show(as_json, rows, empty="nothing waits for a verdict")


@hold.command()
@click.argument("node")
@REASON
@json_option
@click.pass_obj
def release(app: Application, node: str, reason: str, as_json: bool) -> None:
    """Let a held or marked file be read, without a flag. NODE is its id in `hold list`."""
    found = _pending(app, node)
    _tell(app, found, "released", app.services.holds.release(found), reason, as_json)


@hold.command()
@click.argument("node")
@REASON
@json_option
@click.pass_obj
def reject(app: Application, node: str, reason: str, as_json: bool) -> None:
    """Take a held file back: the version before it is restored, or the file removed. A marked file becomes held."""
    found = _pending(app, node)
    verdict = Verdict(Outcome.REFUSE, "operator", "TKD-03", reason)
    _tell(app, found, "rejected", app.services.holds.reject(found, verdict), reason, as_json)


def _pending(app: Application, text: str) -> Node:
    try:
        number = int(text, 16)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no id of a node; `kurado hold list` shows them") from None
    return app.services.holds.find(number)


def _tell(app: Application, node: Node, what: str, done: bool, reason: str, as_json: bool) -> None:
    """The file may have been changed between the look and the act: then nothing was done."""
    if not done:
        raise click.ClickException("the file has changed meanwhile; look again with `kurado hold list`")
    tenant = next((one for one in app.services.accounts.tenants() if one.id == node.tenant_id), None)
    app.services.audit.note(actor(app), f"hold.{what}", f"node {node.id:x}: {reason}", "TKD-03", tenant)
    if as_json:
        show_json({"node": f"{node.id:x}", what: True})
    else:
        click.echo(f"{what}")
