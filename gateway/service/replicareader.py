"""What a replica says, believed only as far as its seals and chains go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.blobstore import BlobStore
from gateway.domain import replicalog as layout
from gateway.domain.acts import GENESIS, Act, chain_fault
from gateway.domain.errors import DamagedBlob, NotFound
from gateway.domain.events import Event
from gateway.domain.replay import Space
from gateway.domain.replicalog import ActsKey, CheckpointKey, Damaged, LogKey, StateKey


@dataclass(frozen=True, slots=True)
class Seen:
    """``at``: when the source last told how far it was, None when it never did; ``logs``: each tenant's last event
    then; ``acts``: its last act."""

    at: int | None
    logs: Mapping[str, int]
    acts: int | None


class ReplicaReader:
    """``warnings`` collects what was wrong."""

    def __init__(self, store: BlobStore) -> None:
        self.store = store
        self.warnings: list[str] = []
        self._logs: dict[str, list[LogKey]] = {}
        self._checkpoints: dict[str, list[CheckpointKey]] = {}
        self._acts: list[ActsKey] = []
        self._states: dict[str, list[StateKey]] = {}
        self._owners: list[str] = []
        for info in store.list():
            key = layout.parse_key(info.key)
            if isinstance(key, LogKey):
                self._logs.setdefault(key.tenant, []).append(key)
            elif isinstance(key, CheckpointKey):
                self._checkpoints.setdefault(key.tenant, []).append(key)
            elif isinstance(key, ActsKey):
                self._acts.append(key)
            elif isinstance(key, StateKey):
                self._states.setdefault(key.name, []).append(key)
            elif info.key.startswith(layout.OWNER):
                self._owners.append(info.key.removeprefix(layout.OWNER))

    def tenants(self) -> list[str]:
        return sorted(set(self._logs) | set(self._checkpoints))

    def owner(self) -> str | None:
        """The installation whose replica this is."""
        return min(self._owners, default=None)

    # -- spaces -------------------------------------------------------------------------------------------------------

    def space(self, tenant: str) -> Space | None:
        """The space as far as checkpoints and log go without a gap; None when there is nothing to begin with."""
        space = self._checkpoint(tenant)
        for events in self.events(tenant, space.seq if space else 0):
            for event in events:
                if space is None and event.seq == 1:
                    space = Space(event.tenant_id, tenant)
                if space is None or event.seq > space.seq + 1:
                    after = space.seq if space else 0
                    self.warnings.append(f"{tenant}: the log has a gap after event {after}; the rest was not restored")
                    return space
                try:
                    space.apply(event)
                except (KeyError, ValueError) as error:
                    self.warnings.append(f"{tenant}: event {event.seq} cannot be applied ({error}); the rest was not")
                    return space
        return space

    def _checkpoint(self, tenant: str) -> Space | None:
        for key in sorted(self._checkpoints.get(tenant, []), reverse=True):
            try:
                with self.store.open(key.key) as stream:  # its seal stands at its end: read it once to believe it
                    for _ in layout.unsealed(stream, layout.CHECKPOINT_FORMAT):
                        pass
                return self._load(key)
            except (Damaged, DamagedBlob, NotFound) as error:
                self.warnings.append(f"{key.key}: {error}; an earlier checkpoint was used")
        return None

    def _load(self, key: CheckpointKey) -> Space:
        with self.store.open(key.key) as stream:
            lines = layout.unsealed(stream, layout.CHECKPOINT_FORMAT)
            header = next(lines)
            space = Space(header["tenant_id"], key.tenant)
            space.load(header)
            for line in lines:
                space.load(line)
            return space

    def events(self, tenant: str, after: int, until: int | None = None) -> Iterator[list[Event]]:
        """The events after ``after`` in order, each once, in pieces; gaps are left to the caller."""
        seq = after
        for key in sorted(self._logs.get(tenant, [])):
            if key.last <= seq:
                continue
            try:
                with self.store.open(key.key) as stream:
                    events = layout.read_log(stream, key)
            except (Damaged, DamagedBlob, NotFound) as error:
                self.warnings.append(f"{key.key}: {error}")
                continue
            fresh = [event for event in events if event.seq > seq and (until is None or event.seq <= until)]
            if fresh:
                seq = fresh[-1].seq
                yield fresh

    # -- acts and states ----------------------------------------------------------------------------------------------

    def acts(self) -> Iterator[list[Act]]:
        """The chain in pieces, as far as each act follows the one before it."""
        seq, head = 0, GENESIS
        for key in sorted(self._acts):
            if key.last <= seq:
                continue
            acts = [act for act in self._piece(key) if act.seq > seq]
            for number, act in enumerate(acts):
                if fault := chain_fault(act, seq + 1, head):
                    if number:
                        yield acts[:number]
                    self.warnings.append(f"acts: {fault} after act {seq}; the rest was not restored")
                    return
                seq, head = act.seq, act.digest
            if acts:
                yield acts

    def _piece(self, key: ActsKey) -> list[Act]:
        try:
            with self.store.open(key.key) as stream:
                return layout.read_acts(stream, key)
        except (Damaged, DamagedBlob, NotFound) as error:
            self.warnings.append(f"{key.key}: {error}")
            return []

    def states(self, prefix: str) -> list[str]:
        """Names of states."""
        return sorted(name for name in self._states if name.startswith(prefix))

    def state(self, name: str) -> list[dict[str, Any]]:
        """The newest undamaged lines of a state; empty when there are none."""
        for key in sorted(self._states.get(name, []), reverse=True):
            try:
                with self.store.open(key.key) as stream:
                    return layout.read_state(stream, key)
            except (Damaged, DamagedBlob, NotFound) as error:
                self.warnings.append(f"{key.key}: {error}")
        return []

    def seen(self) -> Seen:
        """How far the source was when it last said so."""
        head, *lines = self.state(layout.SEEN) or [{}]
        logs = {line["log"]: line["last"] for line in lines if "log" in line}
        acts = next((line["last"] for line in lines if "acts" in line), None)
        return Seen(head.get("at"), logs, acts)
