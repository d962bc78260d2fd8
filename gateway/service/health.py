"""Health facts: what ``doctor`` prints, the steward stores, and ``/readyz`` and ``/metrics`` show.

Each check answers within its deadline or becomes an error itself: nothing here may hang or raise.
"""

from __future__ import annotations

import os
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from gateway.blobstore import BlobStore
from gateway.domain.errors import KuradoError
from gateway.hooks import HealthFact
from gateway.pluginhost import PluginHost
from gateway.service.outbox import Outbox
from gateway.service.stored import Alarm
from gateway.service.unit_of_work import Database, Tx

DEADLINE_SECONDS = 6.0
OK, WARNING, ERROR = "ok", "warning", "error"
LEVELS = (OK, WARNING, ERROR)
_OLDEST_SENSIBLE_CLOCK = 1_704_067_200_000  # 2024-01-01: before that a clock was never set
CLOCK_SEEN = "clock.seen"
_CLOCK_TOLERANCE_MS = 5_000
_LITTLE_SPACE = 1024**3
_NO_SPACE = 64 * 1024**2
_LATE_SECONDS, _STUCK_SECONDS = 300, 3600  # released blobs wait for their subscribers: a stuck one fills the disk
_FSYNC_TOO_FAST = 20e-6  # seconds; no disk, and no NVMe cache with power protection either, answers this fast

Check = Callable[[], HealthFact | Iterable[HealthFact]]


class Health:
    """``staging`` is the folder in which uploads wait, on the store's file system where that is local."""

    def __init__(
        self,
        db: Database,
        store: BlobStore,
        host: PluginHost,
        outbox: Outbox,
        clock: Callable[[], int],
        staging: Path,
        durable: bool = True,
    ) -> None:
        self._db = db
        self._store = store
        self._host = host
        self._outbox = outbox
        self._clock = clock
        self._staging = staging
        self._durable = durable
        self._hanging: dict[str, threading.Thread] = {}
        self._more: list[tuple[str, Check]] = []

    def add(self, name: str, check: Check) -> None:
        """A check of a service that is made later."""
        self._more.append((name, check))

    def checks(self) -> list[tuple[str, Check]]:
        """All checks by name, those of the plugins last."""
        own: list[tuple[str, Check]] = [
            ("database", self._database),
            ("storage", self._storage),
            ("fsync", self._fsync),
            ("disk", self._disk),
            ("clock", self._clock_is_sane),
            ("outbox", self._outbox_age),
        ]
        found: dict[str, list[Check]] = {}
        for check in self._host.health_checks():
            found.setdefault(check.plugin, []).append(check)
        # a check that does not answer says no name: the plugin's, and a number where it has several
        return [*own, *self._more] + [
            (f"plugin.{plugin}" + (f".{number}" if len(checks) > 1 else ""), check)
            for plugin, checks in found.items()
            for number, check in enumerate(checks, 1)
        ]

    def examine(self) -> list[HealthFact]:
        """Runs every check, each under a deadline."""
        return [fact for name, check in self.checks() for fact in self._within_deadline(name, check)]

    def store_facts(self) -> list[HealthFact]:
        """Examines and stores what was found, for the desk."""
        facts = self.examine()
        now = self._clock()

        def put(tx: Tx) -> None:
            for fact in facts:
                tx.system.put_fact(fact.name, fact.level, fact.message, fact.value, now)
            if now > int(tx.system.get_meta(CLOCK_SEEN) or 0):
                tx.system.set_meta(CLOCK_SEEN, str(now))

        self._db.write(put, aside=True).result()
        return facts

    def stored(self) -> list[tuple[HealthFact, int]]:
        """The facts that the steward stored, each with its time in ms."""
        rows = self._db.read(lambda tx: tx.system.facts())
        return [(HealthFact(name, level, message, value), at) for name, level, message, value, at in rows]

    def alarms(self) -> list[Alarm]:
        """Alarms that nobody has cleared."""
        return self._db.read(lambda tx: tx.system.alarms())

    def ready(self) -> list[HealthFact]:
        """What must hold to serve: database, storage, and at least one live gate."""
        return [
            fact
            for name, check in (("database", self._database), ("storage", self._storage), ("gates", self._gates))
            for fact in self._within_deadline(name, check)
        ]

    # -- the core's own checks ----------------------------------------------------------------------------------------

    def _database(self) -> HealthFact:
        self._db.check()
        return HealthFact("database", OK, "answers and can be written")

    def _storage(self) -> HealthFact:
        self._store.check()
        return HealthFact("storage", OK, "can be written")

    def _gates(self) -> HealthFact:
        now = self._clock()
        gates = self._db.read(lambda tx: sum(lease.role == "gate" for lease in tx.leases.live(now)))
        return HealthFact("gates", OK if gates else ERROR, f"{gates} gates serve", float(gates))

    def _fsync(self) -> HealthFact:
        if not self._durable:
            return HealthFact("fsync", WARNING, "durability is relaxed: a power cut loses acknowledged writes", 0.0)
        seconds = _fsync_seconds(self._staging)
        if seconds < _FSYNC_TOO_FAST:
            text = f"answered in {seconds * 1e6:.0f} µs: {self._staging} is no disk, or does not flush"
            return HealthFact("fsync", WARNING, text, seconds)
        return HealthFact("fsync", OK, f"flushed in {seconds * 1e3:.2f} ms", seconds)

    def _disk(self) -> HealthFact:
        usage = shutil.disk_usage(self._staging)
        level = ERROR if usage.free < _NO_SPACE else WARNING if usage.free < _LITTLE_SPACE else OK
        text = f"{usage.free / 1024**3:.1f} of {usage.total / 1024**3:.1f} GiB free at {self._staging}"
        return HealthFact("disk", level, text, float(usage.free))

    def _clock_is_sane(self) -> HealthFact:
        now = self._clock()
        seen = int(self._db.read(lambda tx: tx.system.get_meta(CLOCK_SEEN)) or 0)
        if now < _OLDEST_SENSIBLE_CLOCK:
            return HealthFact("clock", ERROR, "was never set: billing needs the right time")
        if now < seen - _CLOCK_TOLERANCE_MS:
            return HealthFact("clock", ERROR, f"is {(seen - now) / 1000:.0f} s behind what it showed before")
        return HealthFact("clock", OK, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now / 1000)))

    def _outbox_age(self) -> list[HealthFact]:
        now = self._clock()
        age: dict[str, float] = {subscriber.name: 0.0 for subscriber in self._outbox.subscribers()}
        parked: dict[str, int] = {}
        for line in self._outbox.backlog():
            seconds = max(0, now - line.oldest_at) / 1000 if line.oldest_at is not None else 0.0
            age[line.subscriber] = max(age.get(line.subscriber, 0.0), seconds)
            parked[line.subscriber] = parked.get(line.subscriber, 0) + line.parked
        facts = []
        configured = {subscriber.name for subscriber in self._outbox.subscribers()}
        for name, seconds in sorted((name, age[name]) for name in configured):
            count = parked.get(name, 0)
            level = ERROR if count or seconds > _STUCK_SECONDS else WARNING if seconds > _LATE_SECONDS else OK
            text = f"{count} tenants parked, see: kurado outbox list" if count else f"oldest event {seconds:.1f} s old"
            facts.append(HealthFact(f"outbox.{name}", level, text, seconds))
        for name in self._outbox.forgotten():
            text = f"its events are kept though no plugin {name} is configured: kurado outbox forget {name}"
            facts.append(HealthFact(f"outbox.{name}", WARNING, text, age.get(name)))
        return facts

    # -- deadlines ----------------------------------------------------------------------------------------------------

    def _within_deadline(self, name: str, check: Check) -> list[HealthFact]:
        before = self._hanging.get(name)
        if before is not None and before.is_alive():
            return [HealthFact(name, ERROR, "an earlier check still hangs")]
        result: list[HealthFact] = []
        thread = threading.Thread(target=lambda: result.extend(_answer(name, check)), name=name, daemon=True)
        thread.start()
        thread.join(DEADLINE_SECONDS)
        self._hanging[name] = thread
        if thread.is_alive():
            return [HealthFact(name, ERROR, f"no answer within {DEADLINE_SECONDS:.0f} s")]
        return result


def _answer(name: str, check: Check) -> list[HealthFact]:
    try:
        found = check()
    except KuradoError as error:
        return [HealthFact(name, ERROR, error.message)]
    except Exception as error:
        return [HealthFact(name, ERROR, f"{type(error).__name__}: {error}")]
    return [found] if isinstance(found, HealthFact) else list(found)


def _fsync_seconds(folder: Path) -> float:
    """The median time of a 4 KiB write with fsync in a folder, in seconds. OSError when it cannot be written."""
    file = folder / f"fsync-{os.getpid()}-{threading.get_ident()}"
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        return statistics.median(_one_fsync(descriptor) for _ in range(5))
    finally:
        os.close(descriptor)
        file.unlink(missing_ok=True)


def _one_fsync(descriptor: int) -> float:
    os.write(descriptor, bytes(4096))
    started = time.perf_counter()
    os.fsync(descriptor)
    return time.perf_counter() - started
