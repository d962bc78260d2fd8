"""The limits of the HTTP front: times in seconds, sizes in bytes."""

from __future__ import annotations

import resource
from dataclasses import dataclass

READ_BUFFER = 1024 * 1024
"""A connection reads ahead of its handler by at most twice this."""
BLOCK = 1024 * 1024
DIRECT_REST = 512 * 1024
"""From so many bytes on the rest of a body is worth being received directly."""
QUEUED = 32
"""Requests that a client may send ahead of its answers; from there on nothing more is read."""
AT_ONCE = 8
"""Requests of one client that are answered in one turn of the loop."""
SMALL_REST = 256 * 1024
"""An unread body of at most this rest is read away, to keep the connection; a larger one ends it."""
LINGER_SECONDS = 10.0
LINGER_BYTES = 256 * 1024 * 1024
SEND_STALL = 60.0
"""A client that takes nothing of an answer for so long is cut off."""
BACKLOG = 4096
DRAIN_SECONDS = 27.0
"""Below the supervisor's patience, so that what is left is closed by us and booked."""
FIRST_REQUEST_SECONDS = 2.0
"""At the end, a connection that has only just come is given so long to send its request."""
_RESERVED_DESCRIPTORS = 512
_FEWEST, _MOST = 64, 100_000


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """``total`` and ``per_address`` count open connections; above them the oldest idle one gives way."""

    head_timeout: float = 20.0
    keep_alive: float = 20.0
    min_body_rate: int = 1024
    body_window: float = 30.0
    total: int = 20_000
    per_address: int | None = None


def raise_descriptor_limit() -> int:
    """Takes as many descriptors as the system lets us; returns how many connections that allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    if soft == resource.RLIM_INFINITY:
        return _MOST
    return max(_FEWEST, min(_MOST, (soft - _RESERVED_DESCRIPTORS) // 2))
