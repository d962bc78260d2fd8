"""Acts, papers and policies on their way into the replica: what a restored contract stands on.

Before an act is there, the policies and papers that it names are; before an event is there, every act that was
committed with it or earlier is (``on_event`` catches up first). So the lag of acts covers all of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from gateway.domain import replicalog as layout
from gateway.domain.acts import Act
from gateway.domain.contract.records import PREFIX
from gateway.domain.replicalog import ActsKey
from gateway.hooks import PluginContext
from plugins._replica import Replica

BATCH = 500
ALARM = "replication.acts"


class ActsCopier:
    """Used by the outbox, by jobs and by commands; each call leaves everything in step, or raises Unavailable."""

    def __init__(self, context: PluginContext, replica: Callable[[], Replica]) -> None:
        self._context = context
        self._replica = replica
        self._lock = threading.Lock()
        self._seq: int | None = None

    def catch_up(self) -> None:
        """Copies all acts that the replica lacks. One tiny read when there is none."""
        snapshots = self._context.services.snapshots
        with self._lock:
            if self._seq is not None and self._seq >= snapshots.acts_count():
                return
            replica = self._replica()
            if self._seq is None:
                self._seq = self._begin(replica)
            self.keep_policies(replica)
            while acts := snapshots.acts(self._seq, BATCH):
                for contract in sorted(_contracts(acts)):
                    self._keep_papers(replica, contract)
                key, content = layout.acts_object(acts)
                replica.put(key.key, content)
                snapshots.acts_replicated(self._context.name, key.last)
                self._seq = key.last

    def keep_policies(self, replica: Replica) -> None:
        replica.keep_state(layout.POLICIES, self._context.services.snapshots.policies(), self._context.clock())

    def keep_all_papers(self, replica: Replica) -> None:
        """Compares the papers of all contracts; those that rules had erased leave the replica."""
        known = [name.removeprefix(layout.PAPERS) for name in replica.states(layout.PAPERS)]
        for contract in sorted({*known, *self._context.services.snapshots.contracts()}):
            self._keep_papers(replica, contract)

    def tidy(self, replica: Replica) -> None:
        """Finds out what is really there, and copies again what somebody took away."""
        replica.tidy_states()
        self.keep_all_papers(replica)
        with self._lock:
            if self._seq is not None:
                self._seq = self._lost(self._seq, covered_until(replica.acts()))
        self.catch_up()

    def resync(self, replica: Replica) -> int:
        """Takes out every object that is not what the source says, and copies what is missing; returns how many
        objects that were."""
        bad = [key for key in replica.acts() if not self._is_right(replica, key)]
        for key in bad:
            replica.store.delete(key.key)
        damaged = replica.drop_damaged_states()
        self.keep_policies(replica)
        self.catch_up()
        self.tidy(replica)
        self._context.alarm(ALARM, "chain", None)
        return len(bad) + damaged

    def _is_right(self, replica: Replica, key: ActsKey) -> bool:
        there = replica.read_acts(key)
        return there is not None and there == self._context.services.snapshots.acts(key.first - 1, len(there))

    def _begin(self, replica: Replica) -> int:
        """Where to go on. What the replica lost is copied again; what it has beyond the source, or otherwise, is the
        past of a database that was put back to an earlier state, and not for us to delete."""
        keys, covered = replica.acts(), covered_until(replica.acts())
        if not all(self._is_right(replica, key) for key in keys if key.last >= covered):
            self._context.alarm(
                ALARM,
                "chain",
                "the replica holds other acts than this database: they are damaged, or the database was put back to an "
                "earlier state. Save the replica if what it knows is still wanted; `kurado replica resync` makes it "
                "follow this database",
            )
        self.keep_all_papers(replica)
        noted: int = self._context.services.snapshots.acts_progress(self._context.name).seq
        return self._lost(noted, covered)

    def _lost(self, seq: int, covered: int) -> int:
        """Where to go on when the replica may have lost acts; the status tells it from now on."""
        if covered < seq:
            self._context.services.snapshots.acts_replicated(self._context.name, covered)
        return min(covered, seq)

    def _keep_papers(self, replica: Replica, contract: str) -> None:
        lines = self._context.services.snapshots.papers(contract)
        replica.keep_state(layout.PAPERS + contract, lines, self._context.clock())


def covered_until(keys: Iterable[ActsKey]) -> int:
    """The last act up to which nothing is missing."""
    until = 0
    for key in sorted(keys):
        if key.first > until + 1:
            break
        until = max(until, key.last)
    return until


def _contracts(acts: Sequence[Act]) -> set[str]:
    """Contracts whose papers may have changed with these acts."""
    named = {act.subject.removeprefix(PREFIX) for act in acts if act.subject.startswith(PREFIX)}
    return named | {str(act.data["contract"]) for act in acts if isinstance(act.data.get("contract"), str)}
