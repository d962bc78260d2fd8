"""What a child of the supervisor gets from it, and what it tells back.

Listening sockets are made by the supervisor and inherited, one for each slot: a replaced or reloaded gate goes on with
the socket of the one before, so that no connection that waits in its queue is lost (with a socket of its own in each
process, closing one resets what its queue holds). Gates of one machine share the port by SO_REUSEPORT.

A child says on a pipe that it serves. Another pipe ends when the supervisor dies; the child then stops too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass

BACKLOG = 1024
ORPHAN_SECONDS = 30.0


def make_listener(host: str, port: int) -> socket.socket:
    """A socket bound to the address (port 0 takes a free one), shared by SO_REUSEPORT and listening. OSError."""
    family = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


@dataclass(frozen=True)
class Handed:
    """What a child has from its supervisor. ``listeners`` by their key in ``listen`` (dav, s3, desk); ``ready`` and
    ``life`` are the descriptors of the two pipes."""

    listeners: Mapping[str, socket.socket]
    ready: int
    life: int

    @property
    def descriptors(self) -> list[int]:
        return [self.ready, self.life, *(one.fileno() for one in self.listeners.values())]

    def tell_ready(self, text: str = "ready") -> None:
        """Tells the supervisor, once, that this child serves."""
        with contextlib.suppress(OSError):
            os.write(self.ready, text.encode() + b"\n")
            os.close(self.ready)

    def tell_failure(self, message: str) -> None:
        """Tells the supervisor why this child cannot start."""
        self.tell_ready("failed " + " ".join(message.split()))

    def end_with_supervisor(self) -> None:
        """Makes this process drain as on SIGTERM when the supervisor is gone, and end in any case half a minute
        later."""

        def wait() -> None:
            os.read(self.life, 1)  # nothing is ever written: this returns when the other end is closed
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(ORPHAN_SECONDS)
            os._exit(1)

        threading.Thread(target=wait, name="supervisor", daemon=True).start()
