"""``db upgrade``: brings the schema forward."""

from __future__ import annotations

import click

from gateway.commands.app import Application, json_option, show_json
from gateway.db.migrate import upgrade
from gateway.slots import is_served


def add(cli: click.Group) -> None:
    cli.add_command(db)


@click.group()
def db() -> None:
    """Look after the database."""


@db.command("upgrade")
@json_option
@click.pass_obj
def upgrade_(app: Application, as_json: bool) -> None:
    """Bring the database's schema forward to what this version works with.

    Stop the daemon on all machines and copy the database first: there is no way back.
    """
    if is_served(app.config.data_dir):
        raise click.ClickException(f"a daemon serves {app.config.data_dir}: stop it first")
    done = upgrade(app.config.database)
    if as_json:
        show_json({"before": done.before, "after": done.after})
    elif done.before == done.after:
        click.echo(f"the schema is up to date ({done.after})")
    else:
        click.echo(f"schema {done.before or 'none'} → {done.after}")
