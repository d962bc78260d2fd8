"""``kurado replica status|verify|resync|restore``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from gateway.domain.errors import KuradoError
from gateway.domain.units import counted, format_size
from gateway.hooks import PluginContext
from plugins import _replica_checks as checks
from plugins._replica import Replica
from plugins._replica_keeping import Keeper

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def add(cli: click.Group, context: PluginContext, replica: Callable[[], Replica], keeper: Keeper) -> None:
    """Adds the group ``replica`` with its commands."""

    @cli.group("replica")
    def group() -> None:
        """Look after the replica, and restore from it."""

    _add_status(group, context, replica)
    _add_verify(group, context, replica)
    _add_resync(group, context, replica, keeper)
    _add_restore(group, context, replica)


def _add_status(group: click.Group, context: PluginContext, replica: Callable[[], Replica]) -> None:
    @group.command()
    @_json
    def status(as_json: bool) -> None:
        """Show whether the replica can be written and how far it is behind.

        The lag is the age of the oldest event or act that is not replicated: what a restore would lose at most.
        """
        found = status_of(context, replica)
        if as_json:
            click.echo(json.dumps(found, ensure_ascii=False, indent=1))
            return
        click.echo("the replica can be written" if found["reachable"] else f"NOT REACHABLE: {found['error']}")
        acts = found["acts"]
        click.echo(f"lag {found['lag_seconds']} s, {found['events_behind']} events and {acts['behind']} acts behind")
        click.echo(f"  audit log: act {acts['replicated']} of {acts['source']}, {_behind(acts)}")
        for one in found["tenants"]:
            click.echo(f"  {one['tenant']}: event {one['replicated']} of {one['source']}, {_behind(one)}")


def _behind(one: Mapping[str, Any]) -> str:
    return f"{one['behind']} behind, {one['age_seconds']} s" if one["behind"] else "in step"


def status_of(context: PluginContext, replica: Callable[[], Replica]) -> dict[str, Any]:
    """What ``replica status`` prints."""
    error = ""
    try:
        replica().store.check()
    except KuradoError as trouble:
        error = str(trouble)
    now = context.clock()
    snapshots = context.services.snapshots
    tenants = [{"tenant": one.tenant, **_progress_of(one, now)} for one in snapshots.progress(context.name)]
    acts = _progress_of(snapshots.acts_progress(context.name), now)
    return {
        "reachable": not error,
        "error": error,
        "lag_seconds": max(one["age_seconds"] for one in [*tenants, acts]),
        "events_behind": sum(one["behind"] for one in tenants),
        "acts": acts,
        "tenants": tenants,
    }


def _progress_of(one: Any, now: int) -> dict[str, Any]:
    return {
        "replicated": one.seq,
        "source": one.last_seq,
        "behind": one.last_seq - one.seq,
        "age_seconds": 0 if one.oldest_at is None else max(0, now - one.oldest_at) // 1000,
    }


def _add_verify(group: click.Group, context: PluginContext, replica: Callable[[], Replica]) -> None:
    @group.command()
    @click.option("--quick", is_flag=True, help="Compare sizes of blobs instead of reading every byte.")
    @_json
    def verify(quick: bool, as_json: bool) -> None:
        """Compare the replica with the source: digests of all blobs, and every space as it would be restored, the chain
        of acts, policies, documents and customers' data."""
        found = checks.verify(context, replica(), quick=quick)
        if as_json:
            click.echo(json.dumps(vars(found), ensure_ascii=False, indent=1))
        else:
            for problem in found.problems:
                click.echo(problem)
            click.echo(
                f"{found.blobs} blobs, {found.events} events, {found.nodes} nodes, {found.acts} acts compared: "
                f"{len(found.problems) or 'no'} problems"
            )
        if found.problems:
            raise SystemExit(1)


def _add_resync(group: click.Group, context: PluginContext, replica: Callable[[], Replica], keeper: Keeper) -> None:
    @group.command()
    @click.option("--quick", is_flag=True, help="Compare sizes of blobs instead of reading every byte.")
    @click.option(
        "--adopt", is_flag=True, help="Take over a place that holds another installation's replica, which is deleted."
    )
    @_json
    def resync(quick: bool, adopt: bool, as_json: bool) -> None:
        """Repair after the loss of either side.

        Blobs that are missing or damaged in the replica are copied from the source, and the other way round. Every
        space gets a new checkpoint, and the audit log becomes that of the source. May be run again, and while the
        gateway serves.
        """
        done = checks.resync(context, replica(), keeper, quick=quick, adopt=adopt, say=_progress)
        if as_json:
            click.echo(json.dumps(vars(done), ensure_ascii=False, indent=1))
        else:
            click.echo(
                f"{done.blobs} blobs compared, {done.copied} copied to the replica, {done.fetched} fetched back from "
                f"it, {done.checkpoints} checkpoints written, {done.acts} wrong objects of the audit log replaced"
            )
            for blob_id in done.lost:
                click.echo(f"LOST on both sides: blob {blob_id}")
        if done.lost:
            raise SystemExit(1)


def _add_restore(group: click.Group, context: PluginContext, replica: Callable[[], Replica]) -> None:
    @group.command()
    @click.option(
        "--to", "data_dir", type=click.Path(path_type=Path, file_okay=False),
        help="Restore into this new data folder instead of the configured one, with a database inside it.",
    )  # fmt: skip
    @click.option("--from", "source", help='Another replica than the configured one: {"backend": "local", "path": …}.')
    @_json
    @click.pass_obj
    def restore(app: Any, data_dir: Path | None, source: str | None, as_json: bool) -> None:
        """Rebuild everything from the replica alone: tenants, users, quotas, policies, trees with properties, contracts
        and all that happened to them, the audit log.

        The database must be empty. Blobs that the storage still has are kept; all others come from the replica, and
        every byte is compared with its digest. Stop the gateway first. At most what the source had not replicated is
        lost: the report says how much that is.
        """
        if data_dir is not None:
            app = _elsewhere(app, data_dir)
        try:
            place = context.backend(_settings(source)) if source else replica().store
            report = app.services.restoring.run(place, _progress, app.who)
        finally:
            if data_dir is not None:
                app.close()
        if as_json:
            parts = {"tenants": [_fields(one) for one in report.tenants], "acts": _fields(report.acts)}
            click.echo(json.dumps({**vars(report), **parts}, ensure_ascii=False, indent=1))
        else:
            _print_report(report)
        if report.lost:
            raise SystemExit(1)


def _elsewhere(app: Any, data_dir: Path) -> Any:
    """The same configuration with another data folder and an SQLite database in it."""
    folder = Path(os.path.abspath(data_dir))  # noqa: PTH100 the folder need not exist yet
    paths = {"KURADO_DATA_DIR": str(folder), "KURADO_DATABASE": f"sqlite:///{folder / 'kurado.db'}"}
    return type(app)(app.config_file, {**app.environ, **paths})


def _settings(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"no JSON: {error}", param_hint="--from") from None
    if not isinstance(found, dict) or "backend" not in found:
        raise click.BadParameter('write {"backend": "local", "path": "/…"}', param_hint="--from")
    return found


def _print_report(report: Any) -> None:
    for warning in report.warnings:
        click.echo(f"warning: {warning}")
    for one in report.tenants:
        click.echo(
            f"{one.name}: restored up to event {one.seq} of {_time(one.at)}: {one.files} files, "
            f"{format_size(one.bytes)}, {one.nodes} nodes"
        )
    acts = report.acts
    click.echo(f"audit log: restored up to act {acts.count}, papers of {acts.contracts} contracts; head {acts.head}")
    for path in report.lost:
        click.echo(f"LOST: the bytes of {path} are neither in the replica nor in the storage")
    click.echo(loss(report))
    click.echo("`kurado fsck` lists what the storage holds beside that, and removes it with --repair")


def loss(report: Any) -> str:
    """What can be missing at most."""
    if report.seen_at is None:
        return "the source never said how far it was: what it committed after the events above is lost"
    missing = [f"{counted(one.missing, 'event')} of {one.name}" for one in report.tenants if one.missing]
    missing += [counted(report.acts.missing, "act")] if report.acts.missing else []
    seen = _time(report.seen_at)
    if not missing:
        return f"lost at most: what the source committed after {seen} without replicating it"
    return (
        f"lost at most: {' and '.join(missing)} that the source had at {seen}, and what it committed later without "
        "replicating it"
    )


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _progress(line: str) -> None:
    click.echo(line, err=True)
