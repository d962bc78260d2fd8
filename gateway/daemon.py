"""The composition root: configuration → database, stores, plugins → services. Every process begins here.

The only place that reads the clock and looks up entry points of storage backends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway import child, logs, pluginhost
from gateway.blobstore import BlobStore
from gateway.config import Config, ConfigError, Listen, PluginConfig
from gateway.db.engine import open_database
from gateway.domain.errors import KuradoError
from gateway.domain.ids import new_boot_id
from gateway.domain.tenant import Tenant
from gateway.hooks import PluginContext
from gateway.service.composed import Composed, composed
from gateway.service.leases import LeaseKeeper
from gateway.service.services import Services
from gateway.service.stored import Lease
from gateway.service.unit_of_work import Database
from gateway.storages import follow_route, has_contents, open_backend, open_storage
from gateway.wiring import Wiring

_STARTED = "started"

log = logging.getLogger("kurado.daemon")


def wall_clock() -> int:
    """Now, in ms UTC."""
    return time.time_ns() // 1_000_000


@dataclass
class Deployment:
    """Everything that one process works with. ``leases`` is this process's lease; ``close`` gives it back.

    ``role``: cli, gate, steward, desk, or start (what the supervisor does before its first child).
    """

    config: Config
    db: Database
    store: Composed
    host: pluginhost.PluginHost
    services: Services
    boot_id: str
    role: str
    clock: Callable[[], int]
    leases: LeaseKeeper
    handed: child.Handed | None
    _closing: contextlib.ExitStack = field(repr=False)

    @property
    def data_dir(self) -> Path:
        return self.config.data_dir

    def listener(self) -> socket.socket:
        """The listening socket of this child: the one that the supervisor made, else one of its own. OSError."""
        return self._listener("desk" if self.role == "desk" else "dav", self.config.listen)

    def s3_listener(self) -> socket.socket | None:
        """The same for S3; None where it is not served."""
        return self._listener("s3", self.config.listen) if self.config.listen.s3 is not None else None

    def _listener(self, key: str, listen: Listen) -> socket.socket:
        if self.handed is not None and key in self.handed.listeners:
            return self.handed.listeners[key]
        address = getattr(listen, key)
        return child.make_listener(address.host, address.port)

    def ready(self) -> None:
        """Tells the supervisor, if there is one, that this child serves."""
        if self.handed is not None:
            self.handed.tell_ready()

    def close(self) -> None:
        """Gives the lease back and closes plugins, stores and database. What fails is logged: the lease lapses."""
        self._closing.close()

    def __enter__(self) -> Deployment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_deployment(
    config: Config,
    *,
    role: str = "cli",
    clock: Callable[[], int] = wall_clock,
    handed: child.Handed | None = None,
) -> Deployment:
    """Opens all parts; ``handed`` is what a child has from its supervisor. Raises ConfigError, PluginError,
    SchemaTooOld, SchemaTooNew, Unavailable."""
    boot_id = new_boot_id()
    with contextlib.ExitStack() as closing:
        config.data_dir.mkdir(parents=True, exist_ok=True)
        db = open_database(config.database, durability=config.durability, clock=clock)
        closing.callback(db.close)
        storage = open_storage(config)
        closing.callback(storage.close)
        follow_route(config, storage, db)
        store = composed(storage, db, clock)
        later = _Later()
        host = pluginhost.load(config.plugins, lambda plugin: _plugin_context(plugin, config, db, store, clock, later))
        closing.callback(host.close)
        services = Wiring(config, db, store, host, clock, boot_id).services()
        closing.callback(services.logins.close)
        later.target = services
        leases = LeaseKeeper(
            db, boot_id=boot_id, role=role, host=host_id(config.data_dir), pid=os.getpid(), clock=clock
        )
        closing.callback(lambda: _drop_quietly(leases, to_sweep=bool(services.uploads.unsettled)))
        return Deployment(config, db, store, host, services, boot_id, role, clock, leases, handed, closing.pop_all())


class _Later:
    """The services for plugins, which are made before them: whoever asks too early is told so."""

    target: Services | None = None

    def __getattr__(self, name: str) -> Any:
        if self.target is None:
            raise RuntimeError("the services are not there yet: use them from hooks, jobs and commands only")
        return getattr(self.target, name)


def _plugin_context(
    plugin: PluginConfig, config: Config, db: Database, store: BlobStore, clock: Callable[[], int], later: _Later
) -> PluginContext:
    def policy(name: str, tenant: Tenant | None) -> Any:
        return later.policies.get(name, tenant)

    def alarm(kind: str, subject: str, message: str | None) -> None:
        try:
            db.write(lambda tx: tx.system.alarm(kind, subject, message, clock())).result()
        except KuradoError as error:
            log.error("alarm not stored", extra={"kind": kind, "subject": subject, "text": message, "why": str(error)})

    return PluginContext(
        name=plugin.name,
        settings=plugin.settings,
        on_error=plugin.on_error,
        timeout=plugin.timeout,
        data_dir=config.data_dir,
        demo=config.demo,
        clock=clock,
        blobs=store,
        backend=lambda settings: open_backend(settings, config.data_dir, _key_of(plugin, settings)),
        policy=policy,
        alarm=alarm,
        services=later,
    )


def _key_of(plugin: PluginConfig, settings: Mapping[str, Any]) -> str:
    """The key path of gateway.yaml at which a plugin has the settings of a backend."""
    keys = [f".{key}" for key, value in plugin.settings.items() if value == settings]
    return f"plugins.{plugin.name}{keys[0] if keys else ''}"


def _drop_quietly(leases: LeaseKeeper, *, to_sweep: bool) -> None:
    try:
        leases.drop(to_sweep=to_sweep)
    except KuradoError as error:
        log.warning("the lease could not be given back; it lapses", extra={"reason": str(error)})


# -- this machine -----------------------------------------------------------------------------------------------------


def installation_key(data_dir: Path) -> bytes:
    """A random key of this data folder, made once: masks names in logs, and tells its processes from others'."""
    file = data_dir / "run" / "key"
    file.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as new:
            new.write(secrets.token_hex(16))
    return bytes.fromhex(file.read_text()) or b"-"


def host_id(data_dir: Path) -> str:
    """Names this machine and data folder in leases: the same host name in two containers is not the same host."""
    return f"{socket.gethostname()}/{logs.fingerprint(installation_key(data_dir))}"


def is_running(lease: Lease) -> bool:
    """Whether the process of a lease of this machine still exists (or another with its number does). One that waits to
    be buried is over: in a container nobody may ever bury it."""
    try:
        os.kill(lease.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{lease.pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state not in ("Z", "X")


def check_database_is_the_one(deployment: Deployment) -> None:
    """ConfigError when the database is empty and the storage is not: the database was lost, and to go on would show
    every tenant an empty space. Nor is half a restored one served. Only at a start, before anything is served."""
    services = deployment.services
    if services.restoring.is_unfinished():
        raise ConfigError(
            str(deployment.config.file),
            "database",
            "the database is that of a restore that did not finish",
            "remove it, then `kurado db upgrade` and `kurado replica restore` again",
        )
    if services.db.read(lambda tx: tx.system.get_meta(_STARTED)) is None:
        had_content = has_contents(deployment.data_dir) or any(True for _ in deployment.store.list())
        if not services.accounts.tenants() and had_content:
            raise ConfigError(
                str(deployment.config.file),
                "database",
                "the database is empty, but there was content: the database was lost or another one is named",
                "bring the database back, or `kurado replica restore`",
            )
        now = str(deployment.clock())
        services.db.write(lambda tx: tx.system.set_meta(_STARTED, now)).result()


def repair_after_crash(deployment: Deployment) -> list[str]:
    """What a start must put right: ends leases of dead processes, gives their reservations back, removes what they had
    staged. Returns one line for each thing done. Only when no other process can be starting on this data folder."""
    sweeper = deployment.services.sweeper
    ended = sweeper.end_leases_of(host_id(deployment.data_dir), is_running)
    swept = sweeper.drop_lapsed()
    done = []
    if ended or swept.boots:
        done.append(f"{ended or swept.boots} processes had ended without stopping cleanly")
    if swept.reservations:
        done.append(f"{swept.reservations} reservations of quota given back")
    if swept.staged:
        done.append(f"{swept.staged} unfinished uploads removed")
    for line in done:
        log.warning("repaired after a crash", extra={"what": line})
    return done
