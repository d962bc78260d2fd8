"""``storage``: where blobs are, and moving all of them to another storage while the gateway serves."""

from __future__ import annotations

import contextlib
import fcntl
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from gateway.blobstore import Rewrapped
from gateway.commands.acting import actor
from gateway.commands.app import Application, json_option, show, show_json
from gateway.domain.units import format_size, parse_duration
from gateway.service.migration import GRACE_SECONDS, Progress
from gateway.service.switching import MOVING, Route, Switching


def add(cli: click.Group) -> None:
    cli.add_command(storage)


@click.group()
def storage() -> None:
    """Where blobs lie: list the storages, move all blobs to another one."""


@storage.command("list")
@json_option
@click.pass_obj
def list_(app: Application, as_json: bool) -> None:
    """List the storages of gateway.yaml, and which of them is written to."""
    config, store = app.config, app.deployment.store.inner
    route = store.route if isinstance(store, Switching) else Route(config.storage.label)
    named = config.storages or {config.storage.label: config.storage}
    rows = [
        {
            "name": label,
            "backend": backend.name,
            "writes": label == route.writes,
            "leaving": label == route.leaves and route.phase == MOVING,
        }
        for label, backend in named.items()
    ]
    show(as_json, rows)


@storage.command()
@click.option("--to", required=True, help="The storage to move to: a name below `storages` in gateway.yaml.")
@click.option(
    "--grace", default=f"{GRACE_SECONDS:.0f}s", show_default=True,
    help="How long a blob stays at the source after it was verified at the target, for readers that found it there.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 64), default=4, show_default=True, help="Blobs moved at once.")
@json_option
@click.pass_obj
def migrate(app: Application, to: str, grace: str, workers: int, as_json: bool) -> None:
    """Move all blobs to another storage, while the gateway serves.

    New blobs go to the target from the first moment, and every blob is found in either place. Each is copied, read
    back, compared with the digest that was committed, and only then deleted at the source. What was broken off is
    continued by the same command. The exit status is 0 when nothing is left at the source; then write `storage: NAME`
    into gateway.yaml.
    """
    try:
        seconds = parse_duration(grace)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--grace") from None
    with _alone(app.config.data_dir):
        app.services.audit.note(actor(app), "storage.migration", f"storage:{to}", "P-6")
        done = app.services.migration.run(to, _say, grace=seconds, workers=workers)
    if as_json:
        show_json(asdict(done))
    else:
        _print(done)
    sys.exit(not done.finished)


@storage.command()
@json_option
@click.pass_obj
def rewrap(app: Application, as_json: bool) -> None:
    """Wrap all keys and secrets by a new master key, while the gateway serves.

    Before: name the new master key as `master_key` and the old one as `previous_master_key`, in gateway.yaml and in
    each sealed storage and replica below it, and reload all gateways. Afterwards, when the exit status is 0, nothing
    needs the old one any more: remove `previous_master_key`, reload, and destroy the old key. What was broken off is
    continued by the same command. No content is written again.
    """
    with _alone(app.config.data_dir):
        app.services.audit.note(actor(app), "storage.rewrap", "master key", "P-6")
        done = app.services.rewrapping.run(app.who, _say_rewrapped)
    if as_json:
        show_json({place: asdict(counts) for place, counts in done.items()})
    else:
        for place, counts in done.items():
            click.echo(f"{place}: {counts.wrapped} wrapped anew, {counts.kept} were so already")
    lost = sum(counts.lost for counts in done.values())
    if lost:
        click.echo(f"{lost} keys are opened by no master key that gateway.yaml names", err=True)
    sys.exit(bool(lost))


def _say_rewrapped(place: str, done: Rewrapped) -> None:
    click.echo(f"{place}: {done.wrapped} wrapped anew", err=True)


@contextlib.contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    file = data_dir / "run" / "migration.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise click.ClickException("another `kurado storage migrate` or `rewrap` is at work") from None
        yield


def _say(done: Progress) -> None:
    click.echo(f"{done.blobs} blobs ({format_size(done.bytes)}) at {done.to}, {done.released} released", err=True)


def _print(done: Progress) -> None:
    for key, reason in list(done.failed.items())[:20]:
        click.echo(f"NOT MOVED: blob {key}: {reason}")
    if len(done.failed) > 20:
        click.echo(f"NOT MOVED: {len(done.failed) - 20} more")
    click.echo(
        f"{done.blobs} blobs, {format_size(done.bytes)} moved to {done.to}, {done.released} deleted at the source"
    )
    if done.finished:
        click.echo(f"everything is in {done.to} now: write `storage: {done.to}` into gateway.yaml")
    else:
        click.echo(f"{done.leaves} still holds blobs: run the command again", err=True)
