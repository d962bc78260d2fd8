"""What the supervisor keeps: places for children, their listening sockets, and the lock on the data folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gateway import child
from gateway.child import Handed
from gateway.forking import Process, fork

GATE, STEWARD, DESK = "gate", "steward", "desk"
ORPHANS_SECONDS = 5.0


class CannotStart(Exception):
    """A child refused to start, or another supervisor serves this data folder; the message is for the operator."""


@dataclass(eq=False)
class Child:
    """One process. ``slot`` names its place (gate-0, steward, desk); ``ready`` turns True when it serves."""

    slot: str
    process: Process
    ready_pipe: int
    started: float
    heard: bytes = b""
    ready: bool = False
    failure: str = ""
    draining_since: float | None = None


@dataclass
class Slot:
    """A place for a child; ``restart_at`` is set while the place is empty. Times are monotonic seconds.
    ``s3``: the second listener of a gate, where S3 is served."""

    name: str
    listener: socket.socket | None
    current: Child | None = None
    failures: int = 0
    restart_at: float | None = None
    last_failure: str = ""
    s3: socket.socket | None = None

    @property
    def role(self) -> str:
        return self.name.partition("-")[0]

    @property
    def listeners(self) -> dict[str, socket.socket]:
        """By their key in ``listen``."""
        own = {"desk" if self.role == DESK else "dav": self.listener, "s3": self.s3}
        return {key: one for key, one in own.items() if one is not None}


def spawn(slot: Slot, work: Callable[[Handed], None], life: int, output: int) -> Child:
    """Starts the process of a slot: ``work`` with the slot's listeners, the pipe ``life``, and one on which to say that
    it serves. What it prints goes to the descriptor ``output``."""
    read, write = os.pipe()
    handed = Handed(slot.listeners, write, life)
    process = fork(f"kurado-{slot.name}", lambda: work(handed), keep=handed.descriptors, output=output)
    os.close(write)
    return Child(slot.name, process, read, time.monotonic())


def run_folder(data_dir: Path) -> Path:
    """The folder of what belongs to a running daemon; made if missing."""
    folder = data_dir / "run"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def addresses_file(data_dir: Path) -> Path:
    return run_folder(data_dir) / "addresses.json"


def is_served(data_dir: Path) -> bool:
    """Whether a supervisor serves this data folder."""
    try:
        with only_one(data_dir):
            return False
    except CannotStart:
        return True


@contextlib.contextmanager
def only_one(data_dir: Path) -> Iterator[IO[str]]:
    """Holds the lock of the data folder; CannotStart when another supervisor has it."""
    with (run_folder(data_dir) / "supervisor.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            raise CannotStart(
                f"another kurado{f' (process {holder})' if holder else ''} serves {data_dir}: stop it first"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield file


def listen(host: str, port: int, key: str, *, alone: bool = False) -> socket.socket:
    """A listening socket for a slot; CannotStart names the configuration's ``key``.

    ``alone``: the first of an address, which no other program may have. SO_REUSEPORT alone would let another daemon of
    the same user share it silently. Children of a supervisor that was killed are waited for.
    """
    deadline = time.monotonic() + ORPHANS_SECONDS
    while True:
        try:
            if alone and port:
                _check_free(host, port)
            return child.make_listener(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise CannotStart(f"{key}: cannot listen on {host}:{port}: {error.strerror or error}") from None
            time.sleep(0.1)


def _check_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        probe.listen(1)


def authority(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
