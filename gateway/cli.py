"""The command ``kurado``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from gateway.commands.app import Application
from gateway.config import ConfigError
from gateway.db.schema import SchemaError
from gateway.domain.errors import KuradoError
from gateway.pluginhost import PluginError

COMMANDS = ("serving", "demo", "outbox", "doctor", "database", "fsck")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "config_file", type=click.Path(path_type=Path, dir_okay=False), help="gateway.yaml to use.")
@click.version_option(package_name="kurado")
@click.pass_context
def cli(context: click.Context, config_file: Path | None) -> None:
    """kurado: WebDAV spaces for tenants, guarded by plugins, metered into a bill."""
    context.obj = Application(config_file)
    context.call_on_close(context.obj.close)


for _name in COMMANDS:
    importlib.import_module(f"gateway.commands.{_name}").add(cli)


def main() -> None:
    """Errors that an operator can do something about are one line, without a traceback."""
    try:
        cli.main(standalone_mode=True)
    except (ConfigError, PluginError, SchemaError, KuradoError) as error:
        click.echo(f"kurado: {error}", err=True)
        sys.exit(1)
