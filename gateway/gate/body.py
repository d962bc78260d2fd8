"""The body of one request, read from the connection as its handler asks for it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

from aiohttp import StreamReader

from gateway.domain.errors import IncompleteBody, TooLarge
from gateway.gate.directreceive import DirectReceive
from gateway.gate.limits import BLOCK, DIRECT_REST

A = TypeVar("A")
T = TypeVar("T")

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class NoBody:
    """The body of a request without one. Implements ``exchange.Body``."""

    length: int | None = 0
    is_complete = True
    is_expected = False
    rest: int | None = 0

    def take(self) -> bytes | None:
        return b""

    async def blocks(self) -> AsyncIterator[bytes]:
        return
        yield b""

    async def read(self, limit: int) -> bytes:  # noqa: ARG002
        return b""

    async def next(self) -> bytes:
        return b""


NO_BODY = NoBody()


class WholeBody:
    """A body that came with its head. Implements ``exchange.Body``."""

    is_complete = True
    is_expected = False
    rest: int | None = 0

    def __init__(self, data: bytes, on_bytes: Callable[[int], None]) -> None:
        self.length: int | None = len(data)
        self._data = data
        self._on_bytes = on_bytes

    def take(self) -> bytes:
        data, self._data = self._data, b""
        if data:
            self._on_bytes(len(data))
        return data

    async def next(self) -> bytes:
        return self.take()

    async def blocks(self) -> AsyncIterator[bytes]:
        yield self.take()

    async def read(self, limit: int) -> bytes:
        if len(self._data) > limit:
            raise TooLarge(f"the body may have at most {limit} bytes here")
        return self.take()


class Line(Protocol):
    """The connection, as a body sees it."""

    body: RequestBody | None

    def write(self, data: bytes) -> None: ...
    def begin_direct(self) -> socket.socket | None:
        """The socket, from which the rest of the body is received by others than transport and parser from now on, to
        its last byte or to the end of the connection; None where that cannot be."""

    def end_direct(self) -> None:
        """The body is whole: what follows is read as before."""


class RequestBody:
    """Implements ``exchange.Body``. What the handler does not take stays in the connection's bounded buffer, and the
    client is held back by TCP.

    ``waited`` and ``taken`` describe the current window of the minimum rate: seconds spent waiting for the client, and
    bytes that came meanwhile.
    """

    def __init__(
        self,
        line: Line,
        stream: StreamReader,
        length: int | None,
        expects: bool,
        clock: Callable[[], float],
        on_bytes: Callable[[int], None],
    ) -> None:
        self.length = length
        self.waited = 0.0
        self.taken = 0
        self.waiting_since: float | None = None
        self.received = 0
        self._line = line
        self._stream = stream
        self._expects = expects and length != 0
        self._clock = clock
        self._direct: DirectReceive | None = None
        self._is_filling = False
        self._ahead = memoryview(b"")
        self.on_bytes = on_bytes

    @property
    def is_complete(self) -> bool:
        """Whether the last byte has come from the line, read or not."""
        return self._stream.is_eof()

    @property
    def is_expected(self) -> bool:
        """Whether the client still waits for ``100 Continue`` and may never send the body."""
        return self._expects and not self._stream.total_bytes

    @property
    def rest(self) -> int | None:
        """Bytes that have not come from the line yet; None when only the client knows."""
        if self.is_complete:
            return 0
        if self._direct is not None:
            return self._direct.rest
        return None if self.length is None else self.length - self._stream.total_bytes

    def take(self) -> bytes | None:
        stream = self._stream
        if self.received or not stream.is_eof() or stream.total_bytes != self.length or stream.exception() is not None:
            return None
        self._expects = False
        data = stream.read_nowait()
        self._count(len(data))
        return data

    async def blocks(self) -> AsyncIterator[bytes]:
        while block := await self.next():
            yield block

    async def read(self, limit: int) -> bytes:
        if self.length is not None and self.length > limit:
            raise TooLarge(f"the body may have at most {limit} bytes here")
        parts = []
        async for block in self.blocks():
            parts.append(block)
            if self.received > limit:
                raise TooLarge(f"the body may have at most {limit} bytes here")
        return b"".join(parts)

    async def next(self) -> bytes:
        """The next bytes, b"" at the end; IncompleteBody."""
        if self._ahead:
            block, self._ahead = bytes(self._ahead), memoryview(b"")
            return block
        if self._direct is not None:
            room = bytearray(min(BLOCK, self._direct.rest))
            await self._coming(self._direct.fill, memoryview(room))
            return bytes(room)
        return await self._next(BLOCK)

    async def fill(self, buffer: memoryview) -> int:
        """Fills the buffer as far as the body goes, and tells how far; IncompleteBody. A large rest comes directly."""
        if not self._is_filling:
            self._is_filling = True
            self._begin_direct()
        filled = min(len(buffer), len(self._ahead))
        buffer[:filled], self._ahead = self._ahead[:filled], self._ahead[filled:]
        if self._direct is not None:
            return filled + await self._coming(self._direct.fill, buffer[filled:])
        while filled < len(buffer) and (block := await self._next(len(buffer) - filled)):
            buffer[filled : filled + len(block)] = block
            filled += len(block)
        return filled

    async def _next(self, limit: int) -> bytes:
        block = await self._coming(self._stream.read, limit) if self.length != 0 else b""
        self._count(len(block))
        if not block and self.length is not None and self.received != self.length:
            raise IncompleteBody(f"{self.received} of {self.length} bytes came")
        return block

    def _begin_direct(self) -> None:
        """Without a turn of the loop between: what the parser has seen is taken first, and may bring more out of it."""
        if self.length is None or self.length - self._stream.total_bytes < DIRECT_REST or self._stream.exception():
            return
        ahead = []
        while block := self._stream.read_nowait():
            self._count(len(block))
            ahead.append(block)
        self._ahead = memoryview(b"".join(ahead))
        rest = self.length - self.received
        line = self._line.begin_direct() if rest >= DIRECT_REST else None
        if line is not None:
            self._direct = DirectReceive(line, rest, self._count, self._line.end_direct)

    async def _coming(self, read: Callable[[A], Awaitable[T]], wish: A) -> T:
        """Waits for what the client sends; the time is the client's. IncompleteBody."""
        wanted, self._expects = self.is_expected, False
        self.waiting_since = self._clock()
        try:
            if wanted:
                self._line.write(CONTINUE)
            return await read(wish)
        except Exception as error:
            # a broken line, a malformed chunk, too slow: the parser's errors have no common base
            raise IncompleteBody(str(error) if isinstance(error, IncompleteBody) else "the body was cut off") from error
        finally:
            self.waited += self._clock() - self.waiting_since
            self.waiting_since = None

    def _count(self, size: int) -> None:
        self.taken += size
        self.received += size
        if size:
            self.on_bytes(size)

    def is_too_slow(self, now: float, window: float, rate: int) -> bool:
        """Whether the client had ``window`` seconds to send and used them for less than ``rate`` bytes a second. Time
        in which we did not ask for bytes does not count against it."""
        if self._direct is not None:
            self._direct.take()  # what the system has gathered so far
        waited = self.waited + (now - self.waiting_since if self.waiting_since is not None else 0.0)
        if waited < window:
            return False
        if self.taken < rate * waited:
            return True
        self.waited, self.taken = 0.0, 0
        if self.waiting_since is not None:
            self.waiting_since = now
        return False

    def fail(self, error: Exception) -> None:
        """Ends a read that waits, and all later ones, with an error."""
        if not self._stream.is_eof():
            self._stream.set_exception(error)
        if self._direct is not None:
            self._direct.fail(error)
