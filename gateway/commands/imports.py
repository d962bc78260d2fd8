"""``import``: an existing tree into a tenant's space."""

from __future__ import annotations

import dataclasses
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from gateway.commands.app import Application, json_option, quiet, show_json, tenant_argument
from gateway.domain.errors import InvalidName
from gateway.domain.names import Path as SpacePath
from gateway.domain.names import parse_path
from gateway.domain.units import counted, format_size
from gateway.service.importing import Import, Problem, Summary, measure, no_progress

_NO_CODE = re.compile("%(?![0-9A-Fa-f]{2})")


def add(cli: click.Group) -> None:
    cli.add_command(import_)


def _into(_ctx: click.Context, _param: click.Parameter, value: str) -> SpacePath:
    if _NO_CODE.search(value):
        raise click.BadParameter(f"{value!r} holds a % that begins no percent-code: a % is written %25")
    try:
        return parse_path(value)
    except InvalidName as error:
        raise click.BadParameter(error.message) from error


@click.command("import")
@tenant_argument
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--into", default="/", show_default=True, callback=_into, help="Below this collection, percent-encoded like a URL."
)
@json_option
@click.pass_obj
def import_(app: Application, tenant: str, folder: Path, into: SpacePath, as_json: bool) -> None:
    """Bring all files below FOLDER into a tenant's space.

    They pass quota, virus scan and content rules like every upload, beside a running daemon or without one. An import
    that was interrupted goes on when it is run again: what is there with the same size and time, or the same bytes, is
    left alone. Symbolic links are not followed. The exit status is 1 when something could not be brought in.
    """
    from gateway.domain.tenant import Caller
    from gateway.service.accounts import operator_caller

    app.note("space.imported_into", f"tenant:{tenant}", "P-6", tenant)
    owner = operator_caller(app.services.accounts.tenant(tenant), app.who)
    caller = Caller(owner.tenant, owner.user, verb="IMPORT")
    app.deployment.leases.keep()
    space = app.services
    # what stops an import is in its report
    with _progress(folder) as progress, quiet(logging.ERROR):
        summary = Import(space.files, space.uploads, space.refusals, caller, progress).run(folder, into)
    if as_json:
        show_json(
            {"tenant": tenant, "folder": str(folder), "complete": summary.complete, **dataclasses.asdict(summary)}
        )
    else:
        _tell(summary)
    sys.exit(not summary.complete)


@contextmanager
def _progress(folder: Path) -> Iterator[Callable[[int, int], None]]:
    """A bar on the terminal; nothing where there is none."""
    if not sys.stderr.isatty():
        yield no_progress
        return
    total_files, total = measure(folder)
    lock = threading.Lock()
    label = f"{counted(total_files, 'file')}, {format_size(total)}"
    with click.progressbar(length=max(total, 1), file=sys.stderr, label=label) as bar:

        def advance(_files: int, size: int) -> None:
            with lock:
                bar.update(size)

        yield advance


def _tell(summary: Summary) -> None:
    click.echo(
        f"{counted(summary.imported, 'file')} imported ({format_size(summary.bytes)}), "
        f"{summary.unchanged} there already, {counted(summary.collections, 'folder')} made"
    )
    for problem in summary.skipped:
        click.echo(f"skipped: {_line(problem)}", err=True)
    for problem in summary.problems:
        click.echo(f"not imported: {_line(problem)}", err=True)
    if summary.stopped:
        click.echo(f"stopped: {summary.stopped}; run the same command again to go on", err=True)


def _line(problem: Problem) -> str:
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in problem.path)  # one line, no escapes
    return f"{shown}: {problem.reason}"
