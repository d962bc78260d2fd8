"""What keeps a replica fit for a restore: checkpoints, a note of how far the source was, less clutter."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from gateway.blobstore import Forgetting, Unfinished
from gateway.domain import replicalog as layout
from gateway.domain.acts import Act
from gateway.domain.events import Event
from gateway.domain.replicalog import ActsKey, Blob, CheckpointKey, LogKey
from gateway.hooks import PluginContext
from plugins._replica import Inventory, Replica, named_blobs
from plugins._replica_acts import ActsCopier
from plugins._replica_usage import UsageCopier

MERGE_EVENTS = 1000
MERGE_BYTES = 8 * 1024 * 1024
MERGE_OBJECTS = 50
"""So many small log objects of a tenant in a row are worth one large one."""

SEEN_EVERY_MS = 300_000
CHECKPOINTS_KEPT = 2
UNFINISHED_MS = 86_400_000
_CHUNK = 500

Log = TypeVar("Log", LogKey, ActsKey)
Item = TypeVar("Item", Event, Act)


@dataclass(frozen=True, slots=True)
class Keeping:
    """Times in ms."""

    keep_ms: int
    checkpoint_events: int
    checkpoint_ms: int
    warn_lag_ms: int


@dataclass
class _Memory:
    """What this process knows of the replica, read once at its start."""

    checkpoints: dict[str, list[CheckpointKey]]
    waiting: dict[int, tuple[CheckpointKey, Path]] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)
    seen_at: int = 0


class Keeper:
    """``folder`` on the gateway's own disk holds checkpoints that wait and the list of unreferenced blobs."""

    def __init__(
        self,
        context: PluginContext,
        replica: Callable[[], Replica],
        acts: ActsCopier,
        folder: Path,
        keeping: Keeping,
    ) -> None:
        self._context = context
        self._replica = replica
        self.acts = acts
        self.usage = UsageCopier(context)
        self._folder = folder
        self._keeping = keeping
        self._memory: _Memory | None = None
        self._last: dict[str, int] = {}
        self._gaps: set[str] = set()

    def saw(self, event: Event) -> None:
        """Notes an event that went into the log. One that does not follow the one before it (skipped, or older than
        this replica) leaves a gap, which the next checkpoint has to close."""
        last = self._last.get(event.tenant)
        if last is not None and event.seq > last + 1:
            self._gaps.add(event.tenant)
        self._last[event.tenant] = max(event.seq, last or 0)

    # -- every few seconds --------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Policies in force, checkpoints that are due, figures of usage, and how far the source has come."""
        replica = self._replica()
        memory = self._remembered(replica)
        self.acts.keep_policies(replica)
        progress = self._context.services.snapshots.progress(self._context.name)
        for one in progress:
            if one.tenant in self._gaps:
                self._close_gap(replica, memory, one)
            else:
                self._checkpoint(replica, memory, one)
        self.usage.keep(replica, progress)
        self._mend(replica)
        self._forget_removed(replica, memory)
        self._note_seen(replica, memory, progress)

    def _mend(self, replica: Replica) -> None:
        """Brings back what the source reported as damaged or gone, as far as it is intact here."""
        damages = self._context.services.damages
        for blob_id, size, sha256 in damages.open_reports():
            if size is None or replica.give_back(Blob(blob_id, size, sha256), self._context.blobs):
                damages.mended(blob_id)

    def _forget_removed(self, replica: Replica, memory: _Memory) -> None:
        """The log of a removed tenant names its files: it is made unreadable where this place can, and deleted. A new
        checkpoint keeps the tenant's name taken after a restore; its figures stay for the bills."""
        erasures = self._context.services.erasures
        for tenant in erasures.due(self._context.name):
            if isinstance(replica.store, Forgetting):
                replica.store.forget_owner(f"{tenant.id:x}")
                replica.store.forget_owner(tenant.name)
            checkpoints = memory.checkpoints.setdefault(tenant.name, [])
            self.seed(replica, checkpoints, tenant.id)
            self.usage.resync(replica, tenant.id, tenant.name)
            replica.forget_log(tenant.name, checkpoints[-1])
            del checkpoints[:-1]
            erasures.done(self._context.name, tenant)

    def _close_gap(self, replica: Replica, memory: _Memory, progress: Any) -> None:
        """Another gap may be noticed meanwhile, which this checkpoint may be too old for: it stays noted."""
        self._gaps.discard(progress.tenant)
        try:
            self.seed(replica, memory.checkpoints.setdefault(progress.tenant, []), progress.tenant_id)
        except BaseException:
            self._gaps.add(progress.tenant)
            raise

    def _note_seen(self, replica: Replica, memory: _Memory, progress: Iterable[Any]) -> None:
        """So that a restore can say what it cannot bring back: the source's last number beside the replica's."""
        now = self._context.clock()
        acts = self._context.services.snapshots.acts_progress(self._context.name)
        seen: list[dict[str, Any]] = [
            {"log": one.tenant, "replicated": one.seq, "last": one.last_seq} for one in progress
        ]
        seen.append({"acts": True, "replicated": acts.seq, "last": acts.last_seq})
        if seen == memory.seen and now - memory.seen_at < SEEN_EVERY_MS:
            return
        replica.keep_state(layout.SEEN, [{"at": now}, *seen], now)
        memory.seen, memory.seen_at = seen, now

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def _checkpoint(self, replica: Replica, memory: _Memory, progress: Any) -> None:
        """A checkpoint is taken of the source and put away; it goes to the replica once that has every event (and so
        every blob) up to it."""
        waiting = memory.waiting.get(progress.tenant_id)
        if waiting is None and self._is_due(memory, progress):
            memory.waiting[progress.tenant_id] = waiting = self.snapshot(progress.tenant_id)
            return
        if waiting is not None and progress.seq >= waiting[0].seq:
            self.store_checkpoint(replica, memory.checkpoints.setdefault(progress.tenant, []), *waiting)
            del memory.waiting[progress.tenant_id]

    def _is_due(self, memory: _Memory, progress: Any) -> bool:
        known = memory.checkpoints.get(progress.tenant, [])
        last = known[-1] if known else None
        fresh: int = progress.last_seq - (last.seq if last else 0)
        # a checkpoint costs by files, a longer log by events: neither may outgrow the other by far
        many: bool = fresh >= max(self._keeping.checkpoint_events, progress.files // 4)
        if last is None or fresh == 0:
            return many
        return many or self._context.clock() - last.made_at >= self._keeping.checkpoint_ms

    def seed(self, replica: Replica, known: list[CheckpointKey], tenant_id: int) -> list[Blob]:
        """A checkpoint with every blob that it names, whatever the log holds; returns the blobs that nobody has."""
        key, file = self.snapshot(tenant_id)
        lost = []
        with file.open("rb") as lines:
            for line in layout.unsealed(lines, layout.CHECKPOINT_FORMAT):
                blobs = named_blobs([line.get("node") or line.get("record") or {}])
                lost += [blob for blob in blobs if not replica.copy_in(blob, self._context.blobs)]
        self.store_checkpoint(replica, known, key, file)
        return lost

    def snapshot(self, tenant_id: int) -> tuple[CheckpointKey, Path]:
        """A checkpoint of the source as a local file."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{tenant_id}.{self._context.clock()}.checkpoint"
        try:
            with file.open("wb") as sink:
                key: CheckpointKey = self._context.services.snapshots.write(tenant_id, sink)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        return key, file

    def store_checkpoint(self, replica: Replica, known: list[CheckpointKey], key: CheckpointKey, file: Path) -> None:
        """Puts a checkpoint into the replica and drops all but the last few before it."""
        replica.put_file(key.key, file)
        file.unlink(missing_ok=True)
        known.append(key)
        while len(known) > CHECKPOINTS_KEPT:
            replica.store.delete(known[0].key)
            del known[0]

    def _remembered(self, replica: Replica) -> _Memory:
        if self._memory is None:
            for left_over in self._folder.glob("*.checkpoint"):
                left_over.unlink(missing_ok=True)
            inventory = replica.inventory()
            self._memory = _Memory(inventory.checkpoints)
            for one in self._context.services.snapshots.progress(self._context.name):
                until = covered_until(inventory, one.tenant)
                self._last.setdefault(one.tenant, until)
                if until < one.seq:
                    self._gaps.add(one.tenant)
        return self._memory

    # -- now and then -------------------------------------------------------------------------------------------------

    def tidy(self) -> None:
        """Merges small log objects, and deletes what the source erased, or released long enough ago."""
        replica = self._replica()
        inventory = replica.inventory()
        for keys in inventory.logs.values():
            _merge(replica, keys, layout.read_log, layout.log_object)
        _merge(replica, inventory.acts, layout.read_acts, layout.acts_object)
        self.acts.tidy(replica)
        self._drop_released(replica, inventory)
        if isinstance(replica.store, Unfinished):
            replica.store.drop_unfinished("", self._context.clock() - UNFINISHED_MS)

    def _drop_released(self, replica: Replica, inventory: Inventory) -> None:
        """A blob that no version names is deleted ``keep`` after this was first seen, if the replica has by then every
        event of that time: a restore must not need what is deleted."""
        now = self._context.clock()
        file = self._folder / "unreferenced.json"
        since = _load(file)
        unreferenced = {blob_id: since.get(blob_id, now) for blob_id in self._unreferenced(inventory)}
        progress = self._context.services.snapshots.progress(self._context.name)
        settled = min((one.oldest_at for one in progress if one.oldest_at), default=now)
        for blob_id, first_seen in list(unreferenced.items()):
            if now - first_seen >= self._keeping.keep_ms and first_seen < settled:
                replica.forget(blob_id)
                del unreferenced[blob_id]
        self._folder.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_text(json.dumps(unreferenced))
        part.replace(file)

    def _unreferenced(self, inventory: Inventory) -> Iterator[str]:
        ids = sorted(inventory.blobs)
        for start in range(0, len(ids), _CHUNK):
            some = ids[start : start + _CHUNK]
            yield from sorted(set(some) - self._context.services.snapshots.referenced(some))


def covered_until(inventory: Inventory, tenant: str) -> int:
    """The last event up to which a space can be rebuilt from what is there."""
    until = max((key.seq for key in inventory.checkpoints.get(tenant, [])), default=0)
    for key in inventory.logs.get(tenant, []):
        if key.first > until + 1:
            break
        until = max(until, key.last)
    return until


def _merge(
    replica: Replica,
    keys: list[Log],
    read: Callable[[BinaryIO, Log], list[Item]],
    write: Callable[[Sequence[Item]], tuple[Log, bytes]],
) -> None:
    for run in _runs(keys):
        items: list[Item] = []
        merged: list[Log] = []
        size = 0
        for key in run:
            with replica.store.open(key.key) as stream:
                content = read(stream, key)
            size += replica.store.stat(key.key).size
            items += [item for item in content if not items or item.seq > items[-1].seq]
            merged.append(key)
            if size > MERGE_BYTES or len(items) >= MERGE_EVENTS:
                break
        if len(merged) > 1:
            whole, bytes_ = write(items)
            replica.put(whole.key, bytes_)
            for key in merged:
                if key != whole:
                    replica.store.delete(key.key)


def _runs(keys: list[Log]) -> Iterator[list[Log]]:
    """Consecutive small objects, where there are many of them."""
    run: list[Log] = []
    for key in keys:
        small = key.last - key.first + 1 < MERGE_EVENTS // 2
        if small and run and key.first <= run[-1].last + 1:
            run.append(key)
            continue
        if len(run) >= MERGE_OBJECTS:
            yield run
        run = [key] if small else []
    if len(run) >= MERGE_OBJECTS:
        yield run


def _load(file: Path) -> dict[str, int]:
    try:
        found = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
