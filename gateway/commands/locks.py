"""``lock list|break``."""

from __future__ import annotations

import click

from gateway import logs
from gateway.commands.app import Application, iso, json_option, show, show_json, tenant_option
from gateway.domain.errors import NotFound


def add(cli: click.Group) -> None:
    cli.add_command(lock)


@click.group()
def lock() -> None:
    """WebDAV locks. A lock ends by itself when its client stops to refresh it."""


@lock.command("list")
@tenant_option
@json_option
@click.pass_obj
def list_(app: Application, tenant: str | None, as_json: bool) -> None:
    """Show live locks. Names of files are masked (PRV-06): the same name has the same mask."""
    accounts = app.services.accounts
    tenants = {one.id: one for one in ([accounts.tenant(tenant)] if tenant else accounts.tenants())}
    locks = app.services.locks.list(next(iter(tenants)) if tenant else None)
    logins = {user.id: user.login for one in tenants.values() for user in accounts.users(one.name)}
    rows = [
        {
            "tenant": tenants[one.tenant_id].name,
            "user": logins.get(one.user_id, "-"),
            "path": logs.mask(one.root),
            "scope": str(one.scope),
            "depth": "infinity" if one.infinite else "0",
            "expires": iso(one.expires_at),
            "token": one.token,
        }
        for one in locks
        if one.tenant_id in tenants
    ]
    show(as_json, rows, empty="nothing is locked")


@lock.command("break")
@click.argument("token")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def break_(app: Application, token: str, yes: bool, as_json: bool) -> None:
    """Remove a lock whose client is gone. What that client saves afterwards may be refused."""
    if all(one.token != token for one in app.services.locks.list()):
        raise NotFound(f"there is no lock {token}")
    if not yes:
        click.confirm("Another user may be working under this lock. Break it?", abort=True, err=True)
    tenants = {one.id: one.name for one in app.services.accounts.tenants()}
    found = next(one for one in app.services.locks.list() if one.token == token)
    app.note("lock.broken", f"lock:{token}", "P-6", tenants.get(found.tenant_id))
    broken = app.services.locks.break_(token)
    if as_json:
        show_json({"token": broken.token, "broken": True})
    else:
        click.echo("the lock is broken")
