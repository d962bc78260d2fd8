"""What every command gets as ``ctx.obj``: configuration and deployment, each opened when first asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import click

from gateway import config as configuration
from gateway import daemon
from gateway.config import Config
from gateway.service.services import Services

F = TypeVar("F", bound=Callable[..., Any])

json_option: Callable[[F], F] = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Application:
    """``config`` raises ConfigError; ``deployment`` what :func:`gateway.daemon.open_deployment` raises."""

    def __init__(self, config_file: Path | None, environ: Mapping[str, str] | None = None) -> None:
        self.config_file = config_file
        self.environ = os.environ if environ is None else environ

    @cached_property
    def config(self) -> Config:
        return configuration.load(self.config_file, self.environ)

    @cached_property
    def deployment(self) -> daemon.Deployment:
        return daemon.open_deployment(self.config)

    @property
    def services(self) -> Services:
        return self.deployment.services

    @property
    def clock(self) -> Callable[[], int]:
        return self.deployment.clock

    def close(self) -> None:
        """Closes what was opened."""
        if "deployment" in self.__dict__:
            self.deployment.close()
            del self.deployment


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


def _cell(value: Any) -> str:
    return "-" if value is None else str(value)
