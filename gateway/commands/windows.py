"""``maintenance announce|extend|close|list`` and ``interruption open|close|list``."""

from __future__ import annotations

from typing import Any

import click

from gateway.commands.acting import TIME, actor, jst
from gateway.commands.app import Application, json_option, show
from gateway.domain.contract.windows import INTERRUPTION_GROUNDS, ServiceWindow


def add(cli: click.Group) -> None:
    cli.add_command(maintenance)
    cli.add_command(interruption)


tenants_option = click.option("--tenant", "tenants", multiple=True, help="Only this tenant; may be repeated.")


@click.group()
def maintenance() -> None:
    """Maintenance windows: posted on the board, then refusing calls with 503 from start to end (OPS-02 to OPS-04)."""


@maintenance.command("announce")
@click.option("--from", "start", type=TIME, required=True)
@click.option("--to", "end", type=TIME, required=True)
@click.option("--reason", required=True, help="What is done.")
@tenants_option
@json_option
@click.pass_obj
def announce(app: Application, start: int, end: int, reason: str, tenants: tuple[str, ...], as_json: bool) -> None:
    """Post an ad-hoc window. Only a post before the start keeps the time out of the service level (SLA-MNT-02)."""
    one = app.services.windows.announce(actor(app), start, end, reason, tenants)
    _told(app, one, as_json, "maintenance")
    if start <= app.clock() and not as_json:
        click.echo("posted after its start: the time counts as a stop (SLA-MNT-02)", err=True)


@maintenance.command("extend")
@click.argument("window")
@click.option("--to", "end", type=TIME, required=True)
@json_option
@click.pass_obj
def extend(app: Application, window: str, end: int, as_json: bool) -> None:
    """Post a later end. What comes after the announced end counts as a stop (SLA-MNT-04)."""
    _told(app, app.services.windows.extend(actor(app), window, end), as_json, "maintenance")


@maintenance.command("close")
@click.argument("window")
@click.pass_obj
def close_maintenance(app: Application, window: str) -> None:
    """Open the service again before the end, also of a regular window (OPS-04); before its start it is called off."""
    app.services.windows.close_maintenance(actor(app), window)
    click.echo(f"maintenance {window} is closed")


@maintenance.command("list")
@json_option
@click.pass_obj
def list_maintenance(app: Application, as_json: bool) -> None:
    """Show the regular windows that the steward has posted from today on, and all ad-hoc ones."""
    windows = app.services.windows
    rows = [
        _row(app, one) | {"posted": jst(one.posts[-1][0])}
        for one in (*windows.regular(), *windows.all().maintenance.values())
    ]
    show(as_json, rows)


@click.group()
def interruption() -> None:
    """Interruptions of the service on a ground of §10(1): calls get 503 (INT-01)."""


@interruption.command("open")
@click.option("--ground", type=click.Choice(INTERRUPTION_GROUNDS), required=True)
@click.option("--reason", required=True)
@click.option("--from", "start", type=TIME, help="Default: now.")
@click.option("--to", "end", type=TIME, help="Default: until it is closed.")
@tenants_option
@json_option
@click.pass_obj
def open_interruption(
    app: Application,
    ground: str,
    reason: str,
    start: int | None,
    end: int | None,
    tenants: tuple[str, ...],
    as_json: bool,
) -> None:
    """Interrupt the service, for all or some tenants. Says nothing about the service level (INT-03)."""
    one = app.services.windows.interrupt(actor(app), ground, reason, start, end, tenants)
    _told(app, one, as_json, "interruption")


@interruption.command("close")
@click.argument("window")
@json_option
@click.pass_obj
def close_interruption(app: Application, window: str, as_json: bool) -> None:
    """End an interruption now."""
    _told(app, app.services.windows.close_interruption(actor(app), window), as_json, "interruption")


@interruption.command("list")
@json_option
@click.pass_obj
def list_interruptions(app: Application, as_json: bool) -> None:
    """Show all interruptions."""
    rows = [_row(app, one) | {"ground": one.ground} for one in app.services.windows.all().interruptions.values()]
    show(as_json, rows, empty="the service was never interrupted")


def _told(app: Application, one: ServiceWindow, as_json: bool, what: str) -> None:
    if as_json:
        show(True, [_row(app, one)])
    else:
        click.echo(f"{what} {one.id}: {jst(one.start)} to {jst(one.end) or 'open'}")


def _row(app: Application, one: ServiceWindow) -> dict[str, Any]:
    names = {tenant.id: tenant.name for tenant in app.services.accounts.tenants()}
    return {
        "window": one.id,
        "from": jst(one.start),
        "to": jst(one.end),
        "reason": one.reason,
        "state": _state(app, one.start, one.end, one.closed),
        "tenants": ", ".join(names.get(each, f"removed {each:x}") for each in sorted(one.tenants)) or "all",
    }


def _state(app: Application, start: int, end: int | None, closed: bool) -> str:
    now = app.clock()
    if closed:
        return "closed"
    if now < start:
        return "to come"
    return "under way" if end is None or now < end else "over"
