"""The replica as a place: blobs and sealed objects in the backend ``to``, written once, checked when they are read."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.blobstore import BlobStore
from gateway.domain import replicalog as layout
from gateway.domain.acts import Act
from gateway.domain.errors import BackendUnavailable, DamagedBlob, NotFound, StorageFull
from gateway.domain.events import FILE_REJECTED, FILE_WRITTEN, RECORD_CHANGED, TREE_COPIED, Event
from gateway.domain.replicalog import ActsKey, Blob, CheckpointKey, Damaged, LogKey, StateKey, WrongBytes, checked

_BLOCK = 1024 * 1024
_KNOWN = 200_000


@dataclass
class Inventory:
    """All that a replica holds, of one listing. ``blobs``: id → size."""

    blobs: dict[str, int] = field(default_factory=dict)
    logs: dict[str, list[LogKey]] = field(default_factory=dict)
    checkpoints: dict[str, list[CheckpointKey]] = field(default_factory=dict)
    acts: list[ActsKey] = field(default_factory=list)


class ForeignReplica(BackendUnavailable):
    """The place holds the replica of another installation; nothing is written into it."""


class Replica:
    """Used by one thread at a time for writing. All methods raise BackendUnavailable when the place cannot be reached
    or is full: its trouble is waited out, never skipped."""

    def __init__(self, store: BlobStore) -> None:
        self.store = store
        self._known: OrderedDict[str, None] = OrderedDict()
        self._owned = False
        self._states: dict[str, list[StateKey]] | None = None
        self._keeping = threading.Lock()

    def close(self) -> None:
        self.store.close()

    # -- whose it is --------------------------------------------------------------------------------------------------

    def claim(self, installation: str, *, adopt: bool = False) -> None:
        """Makes sure that this replica is ours before anything is written. ForeignReplica if it is another's, unless
        ``adopt`` says to take it over: a new, empty database must not write over what could restore the old one."""
        if self._owned and not adopt:
            return
        ours = layout.OWNER + installation
        owners = [info.key for info in self.store.list(layout.OWNER)]
        others = [key for key in owners if key != ours]
        if others and not adopt:
            raise ForeignReplica(
                "this place holds the replica of another installation: restore from it (`kurado replica restore`), or "
                "take it over with `kurado replica resync --adopt`",
                retry_after=60,
            )
        if others:
            self._clear()
        if others or ours not in owners:
            self.put(ours, layout.sealed({"format": layout.OWNER_FORMAT, "installation": installation}, []))
        self._owned = True

    def _clear(self) -> None:
        """Deletes what another installation knew; blobs stay, ours are looked for among them."""
        for info in list(self.store.list()):
            if not info.key.startswith(layout.BLOBS):
                self.store.delete(info.key)
        self._states = None

    # -- objects ------------------------------------------------------------------------------------------------------

    def put(self, key: str, content: bytes) -> None:
        self.put_stream(key, iter([content]))

    def put_file(self, key: str, file: Path) -> None:
        with file.open("rb") as source:
            self.put_stream(key, iter(lambda: source.read(_BLOCK), b""))

    def put_stream(self, key: str, blocks: Iterable[bytes]) -> None:
        with _full_is_trouble():
            writer = self.store.writer(key)
            try:
                for block in blocks:
                    writer.write(block)
                writer.commit()
            except BaseException:
                writer.abort()
                raise

    def append(self, events: Sequence[Event]) -> None:
        """Makes consecutive events durable; again is the same."""
        key, content = layout.log_object(events)
        self.put(key.key, content)

    def forget_log(self, tenant: str, last: CheckpointKey) -> None:
        """Deletes all that is here of a tenant's past but one checkpoint."""
        for info in list(self.store.list(f"t/{tenant}/")):
            if info.key != last.key:
                self.store.delete(info.key)

    # -- states and acts ----------------------------------------------------------------------------------------------

    def keep_state(self, name: str, lines: Sequence[Mapping[str, Any]], now: int) -> None:
        """Makes these lines the newest state of that name, unless they are; no lines: there is no such state."""
        with self._keeping:
            known = self._known_states().setdefault(name, [])
            if lines:
                made_at = max(now, known[-1].made_at + 1) if known else now
                key, content = layout.state_object(name, made_at, lines)
                if not known or known[-1].digest != key.digest:
                    self.put(key.key, content)
                    known.append(key)
            self._drop_states(known, 1 if lines else 0)

    def states(self, prefix: str = "") -> list[str]:
        """Names of the states that are here."""
        with self._keeping:
            return sorted(name for name, known in self._known_states().items() if known and name.startswith(prefix))

    def tidy_states(self) -> None:
        """Looks at what is really there (another process may have written, somebody deleted), and drops all but the
        newest of each."""
        with self._keeping:
            self._states = None
            for known in self._known_states().values():
                self._drop_states(known, 1)

    def drop_damaged_states(self) -> int:
        """Reads every state and deletes those that cannot be believed; returns how many."""
        dropped = 0
        with self._keeping:
            for known in self._known_states().values():
                for key in [key for key in known if not self._is_readable(key)]:
                    self.store.delete(key.key)
                    known.remove(key)
                    dropped += 1
        return dropped

    def _is_readable(self, key: StateKey) -> bool:
        try:
            with self.store.open(key.key) as stream:
                layout.read_state(stream, key)
        except (Damaged, DamagedBlob, NotFound):
            return False
        return True

    def acts(self) -> list[ActsKey]:
        """The objects with acts that are here, in order."""
        keys = (layout.parse_key(info.key) for info in self.store.list(layout.ACTS))
        return sorted(key for key in keys if isinstance(key, ActsKey))

    def read_acts(self, key: ActsKey) -> list[Act] | None:
        """The acts of an object; None when it is gone or damaged."""
        try:
            with self.store.open(key.key) as stream:
                return layout.read_acts(stream, key)
        except (Damaged, DamagedBlob, NotFound):
            return None

    def _known_states(self) -> dict[str, list[StateKey]]:
        """The oldest first."""
        if self._states is None:
            self._states = {}
            keys = (layout.parse_key(info.key) for info in self.store.list(layout.STATES))
            for key in sorted(key for key in keys if isinstance(key, StateKey)):
                self._states.setdefault(key.name, []).append(key)
        return self._states

    def _drop_states(self, known: list[StateKey], keep: int) -> None:
        while len(known) > keep:
            self.store.delete(known[0].key)
            del known[0]

    # -- blobs --------------------------------------------------------------------------------------------------------

    def copy_in(self, blob: Blob, source: BlobStore) -> bool:
        """Copies a blob unless it is here, checking its digest on the way. False when the source does not have it, or
        not as it was committed; then nothing is stored."""
        return self.has(blob) or self.copy_anew(blob, source)

    def copy_anew(self, blob: Blob, source: BlobStore) -> bool:
        """The same, whatever is here."""
        try:
            with source.open(blob.id) as stream:
                self.put_stream(blob.key, checked(stream, blob))
        except (WrongBytes, DamagedBlob, NotFound):
            return False
        self._remember(blob.id)
        return True

    def give_back(self, blob: Blob, source: BlobStore) -> bool:
        """Brings a blob back to the source; False when it is not intact here either."""
        writer = source.writer(blob.id)
        try:
            with self.store.open(blob.key) as stream:
                for block in checked(stream, blob):
                    writer.write(block)
            writer.commit()
        except (NotFound, WrongBytes, DamagedBlob):
            writer.abort()
            return False
        except BaseException:
            writer.abort()
            raise
        return True

    def has(self, blob: Blob, *, ask: bool = False) -> bool:
        """Whether a blob of that size is here (its digest was checked when it came). ``ask``: look again."""
        if blob.id in self._known and not ask:
            return True
        try:
            size = self.store.stat(blob.key).size
        except NotFound:
            return False
        if size == blob.size:
            self._remember(blob.id)
        return size == blob.size

    def intact(self, blob: Blob) -> bool:
        """Reads a blob and compares size and digest."""
        return is_intact(self.store, blob.key, blob)

    def forget(self, blob_id: str) -> None:
        """Deletes a blob."""
        self._known.pop(blob_id, None)
        self.store.delete(layout.BLOBS + blob_id)

    def _remember(self, blob_id: str) -> None:
        self._known[blob_id] = None
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)

    # -- listing ------------------------------------------------------------------------------------------------------

    def inventory(self) -> Inventory:
        """Everything that is here, logs and checkpoints in order."""
        found = Inventory()
        for info in self.store.list():
            if info.key.startswith(layout.BLOBS):
                found.blobs[info.key.removeprefix(layout.BLOBS)] = info.size
                continue
            key = layout.parse_key(info.key)
            if isinstance(key, LogKey):
                found.logs.setdefault(key.tenant, []).append(key)
            elif isinstance(key, CheckpointKey):
                found.checkpoints.setdefault(key.tenant, []).append(key)
            elif isinstance(key, ActsKey):
                found.acts.append(key)
        for logs in found.logs.values():
            logs.sort()
        for checkpoints in found.checkpoints.values():
            checkpoints.sort()
        found.acts.sort()
        return found


def is_intact(store: BlobStore, key: str, blob: Blob) -> bool:
    """Whether a store holds a blob byte for byte under a key."""
    try:
        with store.open(key) as stream:
            for _ in checked(stream, blob):
                pass
    except (NotFound, WrongBytes, DamagedBlob):
        return False
    return True


def blobs_of(event: Event) -> list[Blob]:
    """The blobs that must be in the replica before an event may be."""
    if event.kind == FILE_WRITTEN:
        nodes = [event.data["node"]]
    elif event.kind == TREE_COPIED:
        nodes = event.data["nodes"]
    elif event.kind == FILE_REJECTED and event.data["restored"]:
        nodes = [event.data["restored"]]
    elif event.kind == RECORD_CHANGED and event.data["record"]:
        nodes = [event.data["record"]]
    else:
        return []
    return named_blobs(nodes)


def named_blobs(things: Iterable[Mapping[str, Any]]) -> list[Blob]:
    """The blobs of nodes, and of records that have a version."""
    versions = [one.get(name) for one in things for name in ("version", "previous")]
    return [
        Blob(one["blob_id"], one["size"], one["sha256"])
        for one in versions
        if isinstance(one, Mapping) and one["blob_id"]
    ]


@contextmanager
def _full_is_trouble() -> Iterator[None]:
    """A full replica is waited out like an unreachable one: the source goes on, the lag grows and alarms."""
    try:
        yield
    except StorageFull as error:
        raise BackendUnavailable("the replica is full") from error
