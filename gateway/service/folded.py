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
    """``step`` gives the state after one more act. It is pure, so that a state that was given out never changes."""

    def __init__(self, db: Database, start: S, step: Callable[[S, Act], S]) -> None:
        self._db = db
        self._step = step
        self._lock = threading.Lock()
        self._seq = 0
        self._state = start

    def now(self) -> S:
        """The state after all acts that are committed. BackendUnavailable."""
        with self._lock:
            while acts := self._db.read(self._newer):
                state = self._state
                for act in acts:
                    state = self._step(state, act)
                self._seq, self._state = acts[-1].seq, state
            return self._state

    def _newer(self, tx: Tx) -> list[Act]:
        return tx.acts.after(self._seq, _BATCH) if tx.acts.count() > self._seq else []
