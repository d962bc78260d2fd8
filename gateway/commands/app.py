"""What every command gets as ``ctx.obj``: configuration and deployment, each opened when first asked for.

Nothing heavy is imported before that, so that ``kurado --help`` answers at once.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import logging
import os
import pwd
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.domain.errors import BackendUnavailable, KuradoError

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.daemon import Deployment
    from gateway.service.services import Services

    _ParamType = click.ParamType[str]  # a generic class for type checkers, and at run time in newer versions only
else:
    _ParamType = click.ParamType

F = TypeVar("F", bound=Callable[..., Any])

json_option: Callable[[F], F] = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Application:
    """``config`` raises ConfigError; ``deployment`` what :func:`gateway.daemon.open_deployment` raises.

    ``timepiece`` is what all processes of this command go by, in ms UTC; None for the machine's clock.
    """

    def __init__(
        self,
        config_file: Path | None,
        environ: Mapping[str, str] | None = None,
        timepiece: Callable[[], int] | None = None,
    ) -> None:
        self.config_file = config_file
        self.environ = os.environ if environ is None else environ
        self.timepiece = timepiece

    @cached_property
    def config(self) -> Config:
        from gateway import config

        return config.load(self.config_file, self.environ)

    @cached_property
    def deployment(self) -> Deployment:
        from gateway import daemon, logs

        opened = daemon.open_deployment(self.config, clock=self.timepiece or daemon.wall_clock)
        logs.configure("warning", role="cli", mask_key=daemon.installation_key(self.config.data_dir))
        return opened

    @property
    def services(self) -> Services:
        return self.deployment.services

    @property
    def clock(self) -> Callable[[], int]:
        return self.deployment.clock

    @property
    def who(self) -> str:
        """The operator, for acts and events: the login on this machine. What the environment says is believed of root
        only, who could be anybody: the one who used sudo, or LOGNAME."""
        uid = os.getuid()
        with contextlib.suppress(OSError, KeyError):
            return pwd.getpwuid(uid).pw_name if uid else os.environ.get("SUDO_USER") or getpass.getuser()
        return f"uid {uid}"

    def note(self, kind: str, subject: str, rule: str, tenant: str | None = None) -> None:
        """Records that the operator did or looked at something, before it is done or shown (P-6, PRV-01)."""
        from gateway.domain.acts import ActorRole
        from gateway.service.contracts.book import Actor

        services = self.services
        owner = services.db.read(lambda tx: tx.tenants.get(tenant)) if tenant else None  # a removed one, too
        services.audit.note(Actor(self.who, ActorRole.OPERATOR), kind, subject, rule, owner)

    # -- commands of plugins ------------------------------------------------------------------------------------------

    @cached_property
    def plugin_commands(self) -> Mapping[str, click.Command]:
        """The commands that the plugins of gateway.yaml add. Opens the deployment, and notes them for ``--help``."""
        group = click.Group()
        self.deployment.host.add_commands(group)
        noted = {name: command.get_short_help_str(80) for name, command in group.commands.items()}
        if noted != self.noted_commands():
            with contextlib.suppress(OSError):
                self._notes.parent.mkdir(parents=True, exist_ok=True)
                self._notes.write_text(json.dumps(noted), "utf-8")
        return group.commands

    def noted_commands(self) -> dict[str, str]:
        """Name → short help of the plugins' commands as last noted, without loading a plugin."""
        with contextlib.suppress(Exception):
            return dict(json.loads(self._notes.read_text("utf-8")))
        return {}

    def unused_plugins(self) -> list[str]:
        """Plugins that are installed and not listed in gateway.yaml, by name."""
        from importlib.metadata import entry_points

        from gateway.pluginhost import GROUP

        used = {plugin.name for plugin in self.config.plugins}
        return sorted({point.name for point in entry_points(group=GROUP)} - used)

    @property
    def _notes(self) -> Path:
        return self.config.data_dir / "run" / "commands.json"

    def close(self) -> None:
        """Closes what was opened."""
        if "deployment" in self.__dict__:
            self.deployment.close()
            del self.deployment


class TenantName(_ParamType):
    """A tenant's name; the shell completes it."""

    name = "tenant"

    def shell_complete(
        self, ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        with contextlib.suppress(Exception):
            app = Application(ctx.find_root().params.get("config_file"))
            try:
                names = [tenant.name for tenant in app.services.accounts.tenants()]
            finally:
                app.close()
            return [click.shell_completion.CompletionItem(name) for name in names if name.startswith(incomplete)]
        return []


def told(error: BaseException) -> str:
    """An error in one line for the operator: also which file, and why something could not be reached."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, OverflowError):
        return f"a number or a date is out of range: {error}"
    text = str(error)
    if isinstance(error, BackendUnavailable) and error.__cause__ is not None:
        reason = str(error.__cause__).partition("\n")[0]
        text += f": {reason}" if reason and reason not in text else ""
    if isinstance(error, KuradoError) and error.policy and error.clause:
        text += f" ({error.policy}, {error.clause})"
    return text


@contextlib.contextmanager
def quiet(level: int) -> Iterator[None]:
    """Logs nothing up to this level: the command tells the operator itself, in words."""
    before = logging.root.manager.disable
    logging.disable(level)
    try:
        yield
    finally:
        logging.disable(before)


tenant_argument: Callable[[F], F] = click.argument("tenant", type=TenantName())
tenant_option: Callable[[F], F] = click.option("--tenant", type=TenantName(), help="Of this tenant only.")


def show_json(value: Any) -> None:
    """Prints a value as JSON for programs."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=1))


def show(as_json: bool, rows: Sequence[Mapping[str, Any]], empty: str = "nothing") -> None:
    """Prints rows as JSON, or as a table whose columns are the keys of the first row."""
    if as_json:
        show_json(list(rows))
        return
    if not rows:
        click.echo(empty)
        return
    columns = list(rows[0])
    table = [[_cell(row[column]) for column in columns] for row in rows]
    widths = [max(len(column), *(len(line[i]) for line in table)) for i, column in enumerate(columns)]
    for line in [[column.replace("_", " ") for column in columns], *table]:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def iso(at: int | None) -> str | None:
    """A time in ms as ISO 8601 UTC, to the second."""
    return None if at is None else datetime.fromtimestamp(at // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
