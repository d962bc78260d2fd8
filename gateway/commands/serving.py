"""``serve``: the supervisor, and what each of its children does."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TextIO

import click

from gateway import config as configuration
from gateway import daemon, logs, slots, supervisor
from gateway.child import Handed
from gateway.commands.app import Application, told
from gateway.config import Config, ConfigError
from gateway.db.schema import SchemaError
from gateway.domain.errors import KuradoError
from gateway.pluginhost import PluginError

CANNOT_START = (ConfigError, PluginError, SchemaError, KuradoError, slots.CannotStart, OSError)

log = logging.getLogger("kurado.daemon")


def add(cli: click.Group) -> None:
    cli.add_command(serve)


@click.command()
@click.pass_obj
def serve(app: Application) -> None:
    """Run the daemon in the foreground: gates, steward and desk.

    SIGTERM and Ctrl-C let what is under way finish. SIGHUP takes up gateway.yaml and certificates anew without dropping
    a connection's request. The real addresses are printed, and stand in run/addresses.json below data_dir.
    """

    def load() -> Config:
        config = configuration.load(app.config.file, os.environ)
        configuration.check_certificate(config)
        return config

    configuration.check_certificate(app.config)
    sys.exit(run_serve(app.config, load, _print_ready, clock=app.timepiece or daemon.wall_clock))


def _print_ready(urls: Mapping[str, str]) -> None:
    s3 = f" s3 {urls['s3']}" if "s3" in urls else ""
    click.echo(f"kurado ready: dav {urls['dav']}/dav/ desk {urls['desk']}/{s3}")


def run_serve(
    config: Config,
    load: Callable[[], Config],
    when_ready: Callable[[Mapping[str, str]], None],
    *,
    reloads: bool = True,
    prepare: Callable[[daemon.Deployment], None] | None = None,
    log_file: TextIO | None = None,
    clock: Callable[[], int] = daemon.wall_clock,
) -> int:
    """Repairs what a crash left, starts the children and serves until told to stop; returns the exit status.

    ``prepare`` gets the opened deployment before the first child starts. Logs go to ``log_file``, else to standard
    error.
    """
    config.data_dir.mkdir(parents=True, exist_ok=True)
    logs.configure(
        config.log.level,
        role="supervisor",
        mask_key=daemon.installation_key(config.data_dir),
        stream=log_file,
    )

    def before_start() -> None:
        with daemon.open_deployment(config, role="start", clock=clock) as deployment:
            daemon.check_database_is_the_one(deployment)
            for line in daemon.repair_after_crash(deployment):
                click.echo(f"repaired after a crash: {line}", err=True)
            if prepare is not None:
                prepare(deployment)
        _share_memory(config)

    hooks = supervisor.Hooks(
        load=load,
        prepare=before_start,
        say=lambda text: click.echo(f"kurado: {text}", err=True),
        when_ready=when_ready,
        child=partial(live, clock=clock),
        reloads=reloads,
        output=None if log_file is None else log_file.fileno(),
    )
    try:
        return supervisor.Supervisor(config, hooks).run()
    except CANNOT_START as error:
        click.echo(f"kurado: cannot start: {told(error)}", err=True)
        return 1


def live(role: str, config: Config, handed: Handed, clock: Callable[[], int]) -> None:
    """One process of the daemon, from its fork to its end."""
    # the terminal sends these to the whole group: the supervisor takes them and tells its children
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        deployment = daemon.open_deployment(config, role=role, clock=clock, handed=handed)
    except CANNOT_START as error:
        handed.tell_failure(str(error))
        sys.exit(1)
    except Exception as error:
        handed.tell_failure(f"{role}: {type(error).__name__}: {error}")
        raise
    logs.configure(
        config.log.level,
        role=role,
        boot_id=deployment.boot_id,
        mask_key=daemon.installation_key(config.data_dir),
    )
    handed.end_with_supervisor()
    with deployment:
        try:
            _RUN[role](deployment)
        except Exception as error:
            log.exception("child failed")
            handed.tell_failure(f"{role}: {type(error).__name__}: {error}")
            sys.exit(1)


def _share_memory(config: Config) -> None:
    """Imports what the children need, once for all of them; frozen, so that no collection copies its pages."""
    s3 = ("gate.s3door",) if config.listen.s3 is not None else ()
    for module in ("gate.app", "steward.run", "desk.run", *s3):
        importlib.import_module(f"gateway.{module}")
    gc.collect()
    gc.freeze()


def _run_gate(deployment: daemon.Deployment) -> None:
    from gateway.gate.app import run_gate

    # the switch interval keeps a busy thread from stalling the loop (DESIGN section 8)
    sys.setswitchinterval(0.0005)
    deployment.leases.keep(_end_without_lease)
    run_gate(deployment)


def _end_without_lease() -> None:
    """A gate that was swept while it stood still can commit nothing any more: it ends, and another takes its place."""
    log.error("the lease was swept while this process stood still; ending")
    os.kill(os.getpid(), signal.SIGTERM)


def _run_steward(deployment: daemon.Deployment) -> None:
    from gateway.steward.run import run_steward

    run_steward(deployment.services, deployment.leases, deployment.ready)


def _run_desk(deployment: daemon.Deployment) -> None:
    from gateway.desk.run import run_desk

    run_desk(
        deployment.services,
        deployment.leases,
        deployment.listener(),
        deployment.ready,
        demo=deployment.config.demo,
    )


_RUN: Mapping[str, Callable[[daemon.Deployment], None]] = {
    slots.GATE: _run_gate,
    slots.STEWARD: _run_steward,
    slots.DESK: _run_desk,
}
