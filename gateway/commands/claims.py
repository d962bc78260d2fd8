"""``claim file|decide|list|show``."""

from __future__ import annotations

from datetime import date
from typing import Any

import click

from gateway.commands.acting import DAY, TIME, act_row, actor, role_option
from gateway.commands.app import Application, json_option, show, show_json, tenant_option
from gateway.commands.incidents import plain
from gateway.domain.contract.claims import KINDS, Claim
from gateway.service.claims import Filing


def add(cli: click.Group) -> None:
    cli.add_command(claim)


@click.group()
def claim() -> None:
    """Claims for compensation: within three months, paid by deduction from the invoice right after (CMP-07, CMP-08)."""


@claim.command("file")
@click.option("--tenant", required=True, help="The customer.")
@click.option("--period", "day", type=DAY, required=True, help="Any day of the billing period that it is about.")
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Of this kind only; may be repeated.")
@click.option("--ref", "refs", multiple=True, help="This breach only, as kurado sla report names it; may be repeated.")
@click.option("--statement", required=True, help="What happened, in the customer's words.")
@click.option("--received-at", type=TIME, help="When the provider received it. Default: now.")
@role_option
@json_option
@click.pass_obj
def file(
    app: Application,
    tenant: str,
    day: date,
    kinds: tuple[str, ...],
    refs: tuple[str, ...],
    statement: str,
    received_at: int | None,
    role: str,
    as_json: bool,
) -> None:
    """Take a customer's claim. Without --kind and --ref it is about all of the period."""
    services = app.services
    contract = services.levels.customer(tenant)
    filing = Filing(day, statement, kinds, refs, received_at)
    _told(services.claims.file(actor(app, role), contract, filing), as_json)


@claim.command("decide")
@click.argument("name", metavar="CLAIM")
@click.option("--grant/--reject", default=None, required=True)
@click.option("--rule", default="", help="The rule it is rejected by; of a grant: only what this rule compensates.")
@click.option("--reason", default="")
@json_option
@click.pass_obj
def decide(app: Application, name: str, grant: bool, rule: str, reason: str, as_json: bool) -> None:
    """Grant what the rules compensate, computed and capped by them (CMP-02 to CMP-06), or reject it by a rule."""
    claims = app.services.claims
    if not grant and not rule:
        raise click.UsageError("a claim is rejected by a rule: --rule")
    if grant:
        done = claims.grant(actor(app), name, rule, reason)
    else:
        done = claims.reject(actor(app), name, rule, reason)
    _told(done, as_json)


@claim.command("list")
@tenant_option
@json_option
@click.pass_obj
def list_(app: Application, tenant: str | None, as_json: bool) -> None:
    """Show all claims."""
    log = app.services.claims.log()
    services = app.services
    wanted = services.levels.customer(tenant).name if tenant else None
    found = list(log.all.values()) if wanted is None else log.of_contract(wanted)
    show(as_json, [_row(one) for one in found], empty="nothing was claimed")


@claim.command("show")
@click.argument("name", metavar="CLAIM")
@json_option
@click.pass_obj
def show_(app: Application, name: str, as_json: bool) -> None:
    """Show one claim, the figures of its decision, and all acts about it."""
    one = app.services.claims.get(name)
    history = app.services.claims.history(name)
    figures = next((act.data["figures"] for act in history if act.kind == "claim.granted"), None)
    acts = [act_row(act) for act in history]
    if as_json:
        show_json(_full(one) | {"figures": figures, "acts": acts})
        return
    for key, value in _full(one).items():
        click.echo(f"{key.replace('_', ' '):<12} {plain(value)}")
    if figures:
        click.echo(
            f"{'figures':<12} monthly fee {figures['monthly_fee']}, cap {figures['cap']}, granted before "
            f"{figures['granted_before']}, sum {figures['total']} JPY"
        )
        show(False, figures["items"])
    show(False, acts)


def _row(one: Claim) -> dict[str, Any]:
    return {
        "claim": one.id,
        "contract": one.contract,
        "period": one.period.isoformat(),
        "claimed_on": one.claimed_on.isoformat(),
        "state": str(one.state),
        "amount": one.amount if one.accepted_on else None,
        "accepted_on": one.accepted_on.isoformat() if one.accepted_on else None,
        "rule": one.rule or None,
    }


def _full(one: Claim) -> dict[str, Any]:
    return _row(one) | {
        "kinds": list(one.kinds),
        "refs": list(one.refs),
        "statement": one.statement,
        "reason": one.reason or None,
    }


def _told(one: Claim, as_json: bool) -> None:
    if as_json:
        show_json(_full(one))
        return
    amount = f": {one.amount} JPY by {one.rule}, from the next invoice on" if one.accepted_on else ""
    click.echo(f"claim {one.id} is {one.state}{amount}")
