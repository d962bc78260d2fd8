"""What is folded from acts, kept up to date: each question reads only the acts that were added since the last one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from gateway.domain.acts import Act
from gateway.service.unit_of_work import Database, Tx

S = TypeVar("S")
_BATCH = 5000


class Folded(Generic[S]):
    """``step`` gives the state after one more act. It is pure, so that a state that was given out never changes. With a
    ``prefix``, acts about other subjects change nothing."""

    def __init__(self, db: Database, start: S, step: Callable[[S, Act], S], prefix: str = "") -> None:
        self._db = db
        self._prefix = prefix
        self._step = step
        self._lock = threading.Lock()
        self._seq = 0
        self._state = start

    def now(self) -> S:
        """The state after all acts that are committed. BackendUnavailable."""
        with self._lock:
            while True:
                seq, acts = self._db.read(self._newer)
                if seq == self._seq:
                    return self._state
                state = self._state
                for act in acts:
                    state = self._step(state, act)
                self._seq, self._state = seq, state

    def _newer(self, tx: Tx) -> tuple[int, list[Act]]:
        count = tx.acts.count()
        if count == self._seq:
            return count, []
        if self._seq == 0 and self._prefix:  # the first time: not through all of the chain
            return count, tx.acts.of_prefix(self._prefix)
        acts = tx.acts.after(self._seq, _BATCH)
        return acts[-1].seq, acts
