"""The command ``kurado``: a table of words, each loaded when it is used, and the commands that plugins add."""

from __future__ import annotations

import contextlib
import difflib
import errno
import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from gateway.commands.app import Application, told
from gateway.domain.errors import KuradoError

COMMANDS: Mapping[str, tuple[str, str]] = {
    "init": ("init", "Write a gateway.yaml and policies to begin with."),
    "demo": ("demo", "Try it out: a gateway with a demo tenant, from nothing."),
    "serve": ("serving", "Run the daemon in the foreground."),
    "doctor": ("doctor", "Examine everything that the daemon stands on."),
    "tenant": ("tenants", "Add, show, suspend and remove tenants."),
    "contract": ("contracts", "Contracts from application to end: acts, papers, status."),
    "plan": ("plans", "Plans of the price list."),
    "billing": ("billing", "Close billing periods, issue and collect invoices, export."),
    "invoice": ("invoices", "Invoices: show, pay, assign, correct."),
    "maintenance": ("windows", "Maintenance windows: announce, extend, close."),
    "interruption": ("windows", "Interruptions of the service."),
    "incident": ("incidents", "Outages, lost data, security failures: from recognition to cause."),
    "sla": ("sla", "The service level of a billing period, with what it costs."),
    "claim": ("claims", "Claims for compensation: filed, decided."),
    "discontinuation": ("changes", "The service, or a function of it, ends for all customers."),
    "transfer": ("changes", "The provider's place passes to a third party."),
    "takedown": ("takedowns", "Data whose use is refused."),
    "breakglass": ("breakglass", "Content opened to a person: two persons, a ground, all on record."),
    "notice": ("notices", "Notices to customers: what was sent, arrived, came back."),
    "board": ("board", "The public board and status site."),
    "audit": ("audit", "The chain of all privileged acts."),
    "user": ("users", "Logins of tenants, their roles and passwords."),
    "key": ("keys", "Access keys of the S3 API."),
    "import": ("imports", "Bring an existing folder into a tenant's space."),
    "policy": ("policies", "Price list, terms, content rules: check, apply, assign."),
    "terms": ("terms", "The terms of service as executable rules."),
    "explain": ("explain", "The rule, clause and figures behind an invoice line, a refusal, an act."),
    "statistics": ("statistics", "Figures of all customers together in which none can be told."),
    "refusals": ("refusals", "What was refused, by which rule."),
    "hold": ("holds", "Content that waits for a verdict: list, release, reject it."),
    "lock": ("locks", "WebDAV locks: list and break them."),
    "outbox": ("outbox", "Events that a plugin has not handled yet."),
    "fsck": ("fsck", "Compare database and storage."),
    "storage": ("storages", "Where blobs lie; move them to another storage."),
    "db": ("database", "Bring the database's schema forward."),
    "completion": ("completion", "Print the script that completes commands in your shell."),
}
"""Word → module of ``gateway.commands`` and what ``--help`` says of it without loading the module."""

TRACE = "KURADO_TRACEBACK"
"""The environment variable that makes a fault of the program show its traceback."""

# by name, so that an error's module is looked at only when it was loaded
_FOR_OPERATORS = (
    ("gateway.config", "ConfigError"),
    ("gateway.pluginhost", "PluginError"),
    ("gateway.db.schema", "SchemaError"),
    ("gateway.supervisor", "CannotStart"),
)


class Failure(click.ClickException):
    """One line for the operator, exit status 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"kurado: {self.format_message()}", file=file, err=file is None)


class Kurado(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted(set(_application(ctx).noted_commands()) - set(COMMANDS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands:
            if cmd_name not in COMMANDS:
                return self._of_plugin(ctx, cmd_name)
            importlib.import_module(f"gateway.commands.{COMMANDS[cmd_name][0]}").add(self)
        return self.commands[cmd_name]

    def _of_plugin(self, ctx: click.Context, name: str) -> click.Command | None:
        app = _application(ctx)
        near = difflib.get_close_matches(name, COMMANDS, 1, 0.7)
        if near and name not in app.noted_commands():
            ctx.fail(f"There is no command {name!r}. Did you mean {near[0]!r}?")
        try:
            found = app.plugin_commands.get(name)
        except Exception as error:
            if ctx.resilient_parsing:  # the shell is completing words
                return None
            if for_operators(error):
                raise Failure(
                    f"{name!r} is no command of the core, and the plugins cannot be asked: {error}"
                ) from error
            raise
        unused = () if found or ctx.resilient_parsing else app.unused_plugins()
        if unused:
            near = difflib.get_close_matches(name, unused, 1, 0.6)
            which = (
                f"the plugin {near[0]!r}, which is" if near else f"one of the plugins that are ({', '.join(unused)})"
            )
            ctx.fail(f"No such command {name!r}. It may come with {which} not listed in gateway.yaml")
        return found

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            if type(error) is click.ClickException:  # not one about the words of the command line
                raise Failure(error.message) from error
            raise
        except Exception as error:
            if for_operators(error):
                raise Failure(told(error)) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])
        noted = _application(ctx).noted_commands()
        with formatter.section("Commands of the plugins in gateway.yaml"):
            if noted:
                formatter.write_dl(sorted(noted.items()))
            else:
                formatter.write_text("shown here once they were used, such as: kurado usage show TENANT")


def for_operators(error: BaseException) -> bool:
    """Whether an error is told in one line: it says what to do, a traceback would only hide it."""
    if isinstance(error, OSError):
        return error.errno != errno.EPIPE
    if isinstance(error, KuradoError | OverflowError):  # the latter: no calendar and no database holds what was given
        return True
    kinds = [getattr(sys.modules.get(module), name, None) for module, name in _FOR_OPERATORS]
    return any(isinstance(kind, type) and isinstance(error, kind) for kind in kinds)


def _application(ctx: click.Context) -> Application:
    """Made with the group's own context, which exists before the callback runs."""
    root = ctx.find_root()
    if root.obj is None:
        root.obj = Application(root.params.get("config_file"))
        root.call_on_close(root.obj.close)
    app: Application = root.obj
    return app


@click.command(
    cls=Kurado,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every command has its own --help. Times are UTC, sizes in units of 1024.",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    is_eager=True,  # --help, which is eager, lists the commands that the plugins of this file add
    help="The configuration. Default: $KURADO_CONFIG, or gateway.yaml in this folder.",
)
@click.version_option(package_name="kurado", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, config_file: Path | None) -> None:  # noqa: ARG001 read by _application
    """kurado: WebDAV spaces for tenants, guarded by plugins, metered into a bill."""
    _application(ctx)


def main() -> None:
    """The entry point. What an operator can do something about is one line and status 1."""
    with contextlib.suppress(AttributeError):  # names of files may be no UTF-8; printing them must not fail
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        cli.main(prog_name="kurado")
    except Exception as error:
        if os.environ.get(TRACE):
            raise
        what = f"{type(error).__name__}: {error}"
        click.echo(f"kurado: a fault of this program: {what}. Please report it; {TRACE}=1 shows its place", err=True)
        sys.exit(1)
