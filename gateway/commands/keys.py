"""``key``: access keys, by which programs use the S3 API as one of a tenant's users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gateway.commands.app import Application, iso, json_option, show, show_json, tenant_argument

if TYPE_CHECKING:
    from gateway.service.accesskeys import AccessKey


def add(cli: click.Group) -> None:
    cli.add_command(key)


@click.group()
def key() -> None:
    """Access keys of the S3 API. Each acts for one user, with that user's role; every change acts within a second."""


@key.command("create")
@tenant_argument
@click.argument("user")
@json_option
@click.pass_obj
def create(app: Application, tenant: str, user: str, as_json: bool) -> None:
    """Make an access key for a login of a tenant. The secret is shown this once."""
    made, secret = app.services.accesskeys.create(tenant, user, app.who)
    if as_json:
        show_json({"access_key": made.id, "secret_key": secret})
        return
    click.echo(f"access key: {made.id}\nsecret key: {secret}")
    click.echo("The secret key cannot be shown again.", err=True)


@key.command("list")
@click.argument("tenant", required=False)
@json_option
@click.pass_obj
def list_(app: Application, tenant: str | None, as_json: bool) -> None:
    """Show access keys, of one tenant or of all."""
    rows = [_data(one) for one in app.services.accesskeys.all(tenant)]
    show(as_json, rows, empty="no access keys yet: kurado key create TENANT USER")


@key.command("disable")
@click.argument("access_key")
@json_option
@click.pass_obj
def disable(app: Application, access_key: str, as_json: bool) -> None:
    """End an access key: nothing that it signs is accepted any more."""
    _changed(app.services.accesskeys.set_disabled(access_key, True, app.who), as_json)


@key.command("enable")
@click.argument("access_key")
@json_option
@click.pass_obj
def enable(app: Application, access_key: str, as_json: bool) -> None:
    """Let a disabled access key in again."""
    _changed(app.services.accesskeys.set_disabled(access_key, False, app.who), as_json)


def _changed(changed: AccessKey, as_json: bool) -> None:
    if as_json:
        show_json(_data(changed))
        return
    click.echo(f"{changed.id} of {changed.tenant} is {'disabled' if changed.disabled else 'enabled'}")


def _data(one: AccessKey) -> dict[str, Any]:
    return {
        "access_key": one.id,
        "tenant": one.tenant,
        "user": one.login,
        "disabled": one.disabled,
        "created_at": iso(one.created_at),
    }
