"""Replication: every committed change is copied to a second storage backend, in order, for ever until it is done.

Settings: ``to`` (a storage backend with its settings), ``keep`` (how long a blob stays after the source has released
it, default 7d), ``checkpoint_events`` (default 1000) and ``checkpoint_every`` (default 24h): when a new checkpoint is
due, ``warn_lag`` (default 15m): when health warns. Blobs are durable before the event that names them, the event before
the cursor moves. docs/operating.md tells how to restore.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click

from gateway.blobstore import Rewrapped, Rewrapping
from gateway.domain.errors import BackendUnavailable, KuradoError
from gateway.domain.events import Event
from gateway.domain.fields import Fields, integer
from gateway.domain.units import parse_duration
from gateway.hooks import HealthFact, Job, PluginContext, hookimpl
from plugins import _replica_commands
from plugins._replica import Replica, blobs_of
from plugins._replica_acts import ActsCopier
from plugins._replica_attest import attested
from plugins._replica_keeping import Keeper, Keeping

ACTS_SECONDS = 1.0
KEEP_SECONDS = 10.0
TIDY_SECONDS = 600.0


def create(context: PluginContext) -> object:
    """The entry point. ValueError names a bad setting."""
    fields = Fields(context.settings)
    target = fields.take("to", _backend, fix="to: {backend: local, path: /mnt/other/replica}")
    keeping = Keeping(
        keep_ms=_ms(fields, "keep", "7d"),
        checkpoint_events=fields.take("checkpoint_events", integer(1, 10**9), 1000),
        checkpoint_ms=_ms(fields, "checkpoint_every", "24h"),
        warn_lag_ms=_ms(fields, "warn_lag", "15m"),
    )
    fields.done()
    return Replication(context, target, keeping)


def _backend(value: object) -> dict[str, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("backend"), str):
        raise ValueError("name a storage backend: {backend: local, path: …}")
    known = sorted(point.name for point in entry_points(group="kurado.storage_backends"))
    if value["backend"] not in known:
        raise ValueError(f"there is no storage backend {value['backend']!r}; there are {', '.join(known)}")
    return value


def _ms(fields: Fields, key: str, default: str) -> int:
    return int(fields.take(key, parse_duration, parse_duration(default)) * 1000)


class Replication:
    keeps_deadlines = True  # a blob may take long, and progress is seen by the backend's own deadlines

    def __init__(self, context: PluginContext, target: dict[str, Any], keeping: Keeping) -> None:
        self._context = context
        self._target = target
        self._keeping = keeping
        self._opening = threading.Lock()
        self._opened: Replica | None = None
        folder = Path(context.data_dir) / "replication"
        self._acts = ActsCopier(context, self._claimed)
        self._keeper = Keeper(context, self._claimed, self._acts, folder, keeping)

    # -- the log ------------------------------------------------------------------------------------------------------

    @hookimpl
    def on_event(self, event: Event) -> None:
        """Idempotent by (tenant, seq): the same event writes the same objects."""
        replica = self._claimed()
        self._acts.catch_up()
        lost = [blob for blob in blobs_of(event) if not replica.copy_in(blob, self._context.blobs)]
        replica.append([event])
        self._keeper.saw(event)
        if lost:
            self._context.alarm(
                "replication.lost",
                f"{event.tenant}/{event.seq}",
                f"{len(lost)} blobs were neither at the source nor in the replica as they were committed, first "
                f"{lost[0].id}: run `kurado fsck`",
            )

    def _replica(self) -> Replica:
        """Opened when it is first needed: a replica that is down must not keep the gateway from starting."""
        with self._opening:
            if self._opened is None:
                try:
                    self._opened = Replica(self._context.backend(self._target))
                except OSError as error:
                    raise BackendUnavailable("the replica cannot be opened") from error
            return self._opened

    def _claimed(self) -> Replica:
        replica = self._replica()
        replica.claim(self._context.services.snapshots.installation())
        return replica

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def backup_state(self) -> Mapping[int, str]:
        """Whose backup is complete and was verified just now, with the evidence (SLA-DP-02). BackendUnavailable."""
        return attested(self._context, self._claimed(), self._keeping.warn_lag_ms)

    def rewrap_keys(self, say: Callable[[Rewrapped], None]) -> Rewrapped:
        """Wraps the keys of a sealed replica by the master key that its settings name. BackendUnavailable."""
        store = self._claimed().store
        return store.rewrap_keys(say) if isinstance(store, Rewrapping) else Rewrapped()

    # -- registered ---------------------------------------------------------------------------------------------------

    @hookimpl
    def register_jobs(self) -> Iterable[Job]:
        return [
            Job(f"{self._context.name}.acts", ACTS_SECONDS, self._acts.catch_up),
            Job(f"{self._context.name}.keep", KEEP_SECONDS, self._keeper.keep),
            Job(f"{self._context.name}.tidy", TIDY_SECONDS, self._keeper.tidy),
        ]

    @hookimpl
    def register_health(self) -> Iterable[Callable[[], HealthFact]]:
        return [self._reachable, self._lag]

    def _reachable(self) -> HealthFact:
        name = f"{self._context.name}.reachable"
        try:
            self._claimed().store.check()
        except KuradoError as error:
            return HealthFact(name, "error", f"the replica cannot be written: {error}", 0)
        return HealthFact(name, "ok", "the replica can be written", 1)

    def _lag(self) -> HealthFact:
        name = f"{self._context.name}.lag_seconds"
        snapshots = self._context.services.snapshots
        behind = [one for one in snapshots.progress(self._context.name) if one.oldest_at]
        acts = snapshots.acts_progress(self._context.name)
        oldest = {one.tenant: one.oldest_at for one in behind}
        if acts.oldest_at:
            oldest["the audit log"] = acts.oldest_at
        if not oldest:
            return HealthFact(name, "ok", "every event and act is replicated", 0)
        first = min(oldest, key=lambda log: oldest[log])
        lag = max(0, self._context.clock() - oldest[first])
        level = "warning" if lag > self._keeping.warn_lag_ms else "ok"
        waiting = sum(one.last_seq - one.seq for one in behind) + acts.last_seq - acts.seq
        return HealthFact(
            name, level, f"{waiting} events and acts wait, the oldest ({first}) {lag // 1000} s", lag / 1000
        )

    @hookimpl
    def register_commands(self, cli: click.Group) -> None:
        _replica_commands.add(cli, self._context, self._replica, self._keeper)
