"""Runs jobs again and again, each in a thread of its own, until told to stop.

A job that fails is logged and tried again at its next time; a job that hangs stops nobody else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.domain.errors import KuradoError
from gateway.service.outbox import FenceLost

JOIN_SECONDS = 20.0

log = logging.getLogger("kurado.steward")


@dataclass(frozen=True, slots=True)
class Task:
    """``run`` returns True when there is more to do at once, else the next run is ``every`` seconds later."""

    name: str
    every: float
    run: Callable[[], bool]


class Shift:
    """The tasks of one steward while it holds its lease."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(task,), name=task.name, daemon=True) for task in tasks
        ]

    @property
    def is_over(self) -> bool:
        """True once the shift was ended, or a task found that the lease is lost."""
        return self._over.is_set()

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Lets what is under way finish, within a limit; a job cut off there is repeated by the next steward."""
        self._over.set()
        deadline = time.monotonic() + JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                log.warning("job did not end in time", extra={"job": thread.name})

    def _repeat(self, task: Task) -> None:
        failing = False
        while not self._over.is_set():
            more = False
            try:
                more = task.run()
                failing = False
            except FenceLost:
                self._over.set()
                return
            except KuradoError as error:
                # our own trouble (a database away): said once, tried on
                if not failing:
                    log.warning("job failed", extra={"job": task.name, "reason": str(error)})
                failing = True
            except Exception:
                log.exception("job failed", extra={"job": task.name})
            self._over.wait(0 if more else task.every)
