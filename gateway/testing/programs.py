"""Real servers that tests start for themselves: on ports that nobody else takes, waited for, and ended for sure."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

_LOWEST_PORT = 12_000
_claims: list[int] = []
"""Descriptors of the locks that this process holds: until it ends."""


class Program:
    """A server in ``folder``, which keeps its data from one start to the next."""

    folder: Path
    process: subprocess.Popen[bytes] | None

    def launch(self, words: Sequence[str | Path], log: Path, answers: Callable[[], bool], wait: float) -> None:
        """Returns when it answers. RuntimeError with the end of its log when it does not."""
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                list(map(str, words)), stdout=out, stderr=out, cwd=self.folder, start_new_session=True
            )
        end = time.monotonic() + wait
        while not answers():
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"{Path(words[0]).name} did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)

    def stop(self, sig: int = signal.SIGTERM) -> None:
        """Ends it, frozen or not; no error when it does not run."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(sig)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def pause(self) -> None:
        """Freezes it: connections are still taken, nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


def claim_port() -> int:
    """A TCP port of 127.0.0.1 that is this process's until it ends: no other process of the tests gets it, and the
    kernel gives it to no connection of anybody, since it lies below those that it gives out."""
    ports = list(range(_LOWEST_PORT, max(_LOWEST_PORT + 1000, _lowest_given_out())))
    random.SystemRandom().shuffle(ports)
    folder = Path(tempfile.gettempdir()) / f"kurado-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for port in ports:
        claim = os.open(folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(claim)
            continue
        _claims.append(claim)
        return port
    raise RuntimeError("there is no free port left")


@cache
def _lowest_given_out() -> int:
    """Where the ports begin that the kernel gives to connections and to who asks for port 0."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        return 32_768
