"""A fair lock between processes, for the one writer that a SQLite file can have.

SQLite's own busy handler polls: two processes that write all the time starve each other (p99 431 ms; with a blocking
file lock 14 ms). flock alone lets the process that just unlocked lock again before the waiter has woken up, so there
are two: who wants the ``lock`` first takes the ``turn`` and keeps it while waiting. Who comes back queues behind it.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.domain.errors import BackendUnavailable

WAIT = 8.0
"""Seconds after which a holder that does not let go (a stopped process) is trouble worth a 503."""

_LOOKS, _PAUSE = 12, 0.0003
"""How often, and after how many seconds each, who waits looks itself: longer, and chance decides too often who is next
(three processes that always want it: p99 5 ms as with the helper alone, 20 looks 9 ms; CPU 0.39, 0.42 and 0.63 ms)."""


class FileLock:
    """For one thread at a time. The files stay: removing a lock file would let two processes hold it."""

    def __init__(self, path: Path, wait: float = WAIT) -> None:
        self._wait = wait
        self._turn = _Flock(path.with_name(path.name + ".turn"))
        self._lock = _Flock(path.with_name(path.name + ".lock"))

    @contextmanager
    def held(self, wait: float | None = None) -> Iterator[None]:
        """Holds the lock for the block. BackendUnavailable when it cannot be had in ``wait`` seconds (None: as long as
        was said when the lock was made)."""
        deadline = time.monotonic() + (self._wait if wait is None else wait)
        self._turn.take(deadline)
        try:
            self._lock.take(deadline)
        finally:
            self._turn.release()
        try:
            yield
        finally:
            self._lock.release()

    def close(self) -> None:
        self._turn.close()
        self._lock.close()


class _Flock:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self, deadline: float) -> None:
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._block(descriptor, deadline)

    def release(self) -> None:
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
            except OSError as error:
                raise BackendUnavailable("the lock file of the database cannot be opened") from error
        return self._descriptor

    def _block(self, descriptor: int, deadline: float) -> None:
        """Most holders let go within a batch. flock itself has no deadline, so for others a helper waits in it, which
        costs a thread; one that comes too late closes what it got."""
        for _ in range(_LOOKS):
            time.sleep(_PAUSE)
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
        waiter = _Waiter(descriptor)
        waiter.start()
        if not waiter.granted.wait(deadline - time.monotonic()) and waiter.give_up():
            self._descriptor = None  # the helper owns it now
            raise BackendUnavailable("another process keeps the database locked")


class _Waiter(threading.Thread):
    def __init__(self, descriptor: int) -> None:
        super().__init__(name="db-lock", daemon=True)
        self._descriptor = descriptor
        self._settle = threading.Lock()
        self._abandoned = False
        self.granted = threading.Event()

    def run(self) -> None:
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        with self._settle:
            if self._abandoned:
                os.close(self._descriptor)
            else:
                self.granted.set()

    def give_up(self) -> bool:
        """True when the lock will not be ours; False when it was granted at the last moment."""
        with self._settle:
            self._abandoned = not self.granted.is_set()
            return self._abandoned
