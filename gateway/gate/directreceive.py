"""Large bodies from the socket straight into the memory from which they are stored, past transport and parser.

uvloop hands on 64 KiB at a time, each in a fresh object, and the parser copies them once more. Here the system gathers
what comes until the whole room can be filled by one call (``SO_RCVLOWAT``). As in ``filesend``, on a duplicate of the
descriptor, while the transport reads nothing; only for plain sockets.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from gateway.domain.errors import IncompleteBody

MOST_GATHERED = 1024 * 1024
"""The system is never asked to gather more: it would have to keep more for each connection."""


class DirectReceive:
    """Receives the ``rest`` bytes of a body, and not one that follows them. ``on_whole`` is called with the last."""

    def __init__(
        self, line: socket.socket, rest: int, on_bytes: Callable[[int], None], on_whole: Callable[[], None]
    ) -> None:
        self.rest = rest
        self._line = line
        self._on_bytes = on_bytes
        self._on_whole = on_whole
        self._loop = asyncio.get_running_loop()
        self._room = memoryview(b"")
        self._filled: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._is_watched = False

    async def fill(self, room: memoryview) -> int:
        """Fills the room as far as the body goes. IncompleteBody, OSError."""
        if self._error is not None:
            raise self._error
        self._room = room[: self.rest]
        wanted = len(self._room)
        if wanted:
            filled = self._filled = self._loop.create_future()
            self.take()
            if not filled.done():
                self._watch()
            try:
                await filled
            finally:
                self._end()
        return wanted

    def take(self) -> None:
        """Takes what has come, if somebody waits for it."""
        if not self._room:
            return
        try:
            size = self._line.recv_into(self._room)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.fail(error)
            return
        if not size:
            self.fail(IncompleteBody("the body was cut off"))
            return
        self._room = self._room[size:]
        self.rest -= size
        self._on_bytes(size)
        if not self._room:
            filled = self._filled
            self._end()
            if filled is not None and not filled.done():
                filled.set_result(None)
            if not self.rest:
                self._on_whole()
        elif self._is_watched and len(self._room) < MOST_GATHERED:
            self._gather(len(self._room))  # more than the end of the body has would be waited for in vain

    def fail(self, error: Exception) -> None:
        """Ends a wait, if there is one, and all later ones with an error."""
        filled, self._error = self._filled, error
        self._end()
        if filled is not None and not filled.done():
            filled.set_exception(error)

    def _watch(self) -> None:
        self._is_watched = True
        self._gather(min(len(self._room), MOST_GATHERED))
        self._loop.add_reader(self._line.fileno(), self.take)

    def _end(self) -> None:
        """At once, not when the waiting task runs: whoever reads from the line next is to be told of each byte."""
        self._filled, self._room = None, memoryview(b"")
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self._line.fileno())
            self._gather(1)

    def _gather(self, size: int) -> None:
        self._line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
