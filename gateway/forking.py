"""Processes made by fork: what a supervisor needs of one, and the clean start of the other.

A forked child shares the memory of the modules that its parent has imported: five processes take the room of two, and
are there in milliseconds. It is safe while the parent runs no second thread, as a supervisor does not.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NoReturn

log = logging.getLogger("kurado.supervisor")

_ALL = frozenset(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}


class Process:
    """A forked process. ``returncode`` is as in subprocess: None while it runs, negative for a signal."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The return code if it has ended, else None."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Waits for its end, at most ``timeout`` seconds; returns as ``poll``."""
        if self.poll() is None:
            descriptor = os.pidfd_open(self.pid)
            try:
                ending = select.poll()  # not select(2), which knows no descriptors above 1023
                ending.register(descriptor, select.POLLIN)
                ending.poll(None if timeout is None else timeout * 1000)
            finally:
                os.close(descriptor)
        return self.poll()

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if self.poll() is None:  # until it is buried its number is not given to another
            os.kill(self.pid, number)


def fork(name: str, work: Callable[[], None], *, keep: Collection[int], output: int) -> Process:
    """Runs ``work`` in a new process, which ends with it: status 0, that of its SystemExit, or 1 for an exception.

    The child has the descriptors ``keep`` and no other of ours, standard output and error on ``output``, an empty
    standard input, default signal handlers, and ``name`` as its name in process lists.
    """
    if threading.active_count() > 1:
        log.warning("forking beside threads", extra={"threads": [one.name for one in threading.enumerate()]})
    sys.stdout.flush()
    sys.stderr.flush()
    # a signal for the child must not reach the handlers that it has from us
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL)
    try:
        pid = os.fork()
        if not pid:
            _live(name, work, frozenset(keep), output)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return Process(pid)


def _live(name: str, work: Callable[[], None], keep: Collection[int], output: int) -> NoReturn:
    status = 1
    try:
        _detach(name, keep, output)
        work()
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)  # never back into the frames of the parent


def _detach(name: str, keep: Collection[int], output: int) -> None:
    """Leaves nothing of the parent but its memory."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.dup2(output, 1)
    os.dup2(output, 2)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for entry in list(Path("/proc/self/fd").iterdir()):
        if int(entry.name) > 2 and int(entry.name) not in keep:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(int(entry.name))
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)
