"""Files from the disk to the client without passing through Python: os.sendfile on a duplicate of the descriptor.

uvloop has no sendfile, and does not let its own descriptor be watched; of a duplicate it knows nothing. Measured at
4 GB/s (DESIGN section 8). Only for plain sockets, and only while the transport holds no bytes of its own.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path

from gateway.domain.errors import BackendUnavailable
from gateway.exchange import FileBody
from gateway.gate.connection import Connection

PUSH = 2 * 1024 * 1024
"""Sent at most in one turn of the loop, so that a fast client does not hold it."""
READ_AHEAD = 4 * 1024 * 1024
NEXT = 1024 * 1024
"""Read ahead with a small piece of a file that is not in memory."""


class Truncated(Exception):
    """The bytes ended before the length that was announced: the line must be cut."""


def open_whole(path: Path, body: FileBody) -> int:
    """A descriptor of a file that has all bytes the answer needs; BackendUnavailable if not."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise BackendUnavailable("the content cannot be read now") from error
    needed = max((start + length for _, start, length in body.slices), default=0)
    if os.fstat(descriptor).st_size < needed:
        os.close(descriptor)
        raise BackendUnavailable("the content cannot be read now")
    return descriptor


def read_at_hand(descriptor: int, body: FileBody, head: bytes) -> bytearray | None:
    """A small answer with its head, where the system has all of it in memory; None where that must be waited for."""
    try:
        return _read(descriptor, body, head, os.RWF_NOWAIT)
    except (OSError, Truncated):  # EAGAIN: not in memory; EOPNOTSUPP: this file system cannot say
        return None


def read_small(descriptor: int, body: FileBody, head: bytes) -> bytearray:
    """The same, from the disk if need be: not for event loops. Truncated.

    What follows is read ahead: clients read a file in pieces, each with a request, and so with a descriptor, of its
    own, from which the system learns nothing.
    """
    for _, start, _ in body.slices:
        os.posix_fadvise(descriptor, start, NEXT, os.POSIX_FADV_WILLNEED)
    return _read(descriptor, body, head, 0)


def _read(descriptor: int, body: FileBody, head: bytes, flags: int) -> bytearray:
    """Into one piece of memory: another copy costs as much as the reading."""
    answer = bytearray(len(head) + body.length)
    answer[: len(head)] = head
    rest = memoryview(answer)[len(head) :]
    for before, start, length in body.slices:
        rest[: len(before)] = before
        if os.preadv(descriptor, [rest[len(before) : len(before) + length]], start, flags) != length:
            raise Truncated
        rest = rest[len(before) + length :]
    rest[:] = body.tail
    return answer


async def send_file(
    connection: Connection, head: bytes, body: FileBody, descriptor: int, on_bytes: Callable[[int], None]
) -> None:
    """Sends head and slices. Raises ConnectionError when the client is gone, Truncated when the file is too short."""
    await connection.flush()
    sending = DirectSend(connection, connection.line(), descriptor, on_bytes)
    sending.add_bytes(head)
    for before, start, length in body.slices:
        sending.add_bytes(before)
        sending.add_slice(start, length)
    sending.add_bytes(body.tail)
    try:
        await sending.run()
    finally:
        sending.close()


class DirectSend:
    """Pushes bytes and slices of a file into a socket whenever it takes some."""

    def __init__(
        self, connection: Connection, line: socket.socket, descriptor: int, on_bytes: Callable[[int], None]
    ) -> None:
        self._connection = connection
        self._line = line
        self._descriptor = descriptor
        self._on_bytes = on_bytes
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._parts: deque[bytes | tuple[int, int]] = deque()
        self._advised = 0
        self._waits = False

    def add_bytes(self, data: bytes) -> None:
        if data:
            self._parts.append(data)

    def add_slice(self, start: int, length: int) -> None:
        if length:
            self._parts.append((start, length))

    async def run(self) -> None:
        self._connection.direct = self
        self._connection.sending_since = self._loop.time()
        self._push()
        if not self._done.done():
            self._waits = True
            self._loop.add_writer(self._line.fileno(), self._push)
        await self._done

    def fail(self, error: Exception) -> None:
        """Ends the sending from outside: the connection is lost."""
        if not self._done.done():
            self._done.set_exception(error)

    def close(self) -> None:
        self._connection.direct = None
        self._connection.sending_since = None
        if self._waits:
            self._waits = False
            self._loop.remove_writer(self._line.fileno())

    def _push(self) -> None:
        if self._done.done():
            return
        budget = PUSH
        try:
            while self._parts and budget > 0:
                budget -= self._push_part(self._parts[0], budget)
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, Truncated) as error:
            self.fail(error)
            return
        if not self._parts:
            self._done.set_result(None)

    def _push_part(self, part: bytes | tuple[int, int], budget: int) -> int:
        if isinstance(part, bytes):
            more = socket.MSG_MORE if len(self._parts) > 1 else 0
            sent = self._line.send(part, more)
            rest: bytes | tuple[int, int] | None = part[sent:] or None
        else:
            start, length = part
            self._advise(start, length)
            sent = os.sendfile(self._line.fileno(), self._descriptor, start, min(length, budget))
            if not sent:
                raise Truncated
            rest = (start + sent, length - sent) if sent < length else None
            self._on_bytes(sent)
        self._connection.sending_since = self._loop.time()
        if rest is None:
            self._parts.popleft()
        else:
            self._parts[0] = rest
        return sent

    def _advise(self, start: int, length: int) -> None:
        """Lets the system read ahead, so that a cold file does not hold the loop for each piece."""
        if length > PUSH and start + PUSH > self._advised:
            os.posix_fadvise(self._descriptor, start, min(length, READ_AHEAD), os.POSIX_FADV_WILLNEED)
            self._advised = start + READ_AHEAD
