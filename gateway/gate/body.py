"""The body of one request, read from the connection as its handler asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from aiohttp import StreamReader

from gateway.domain.errors import IncompleteBody, TooLarge
from gateway.gate.limits import BLOCK

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
    """The connection, as a body sees it: ``reading`` is told when the handler begins and ends to wait for bytes."""

    body: RequestBody | None

    def write(self, data: bytes) -> None: ...


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
        return None if self.length is None else self.length - self._stream.total_bytes

    def take(self) -> bytes | None:
        stream = self._stream
        if self.received or not stream.is_eof() or stream.total_bytes != self.length or stream.exception() is not None:
            return None
        self._expects = False
        data = stream.read_nowait()
        self._count(data)
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
        wanted, self._expects = self.is_expected, False
        self.waiting_since = self._clock()
        try:
            if wanted:
                self._line.write(CONTINUE)
            block = await self._stream.read(BLOCK) if self.length != 0 else b""
        except Exception as error:
            # a broken line, a malformed chunk, too slow: the parser's errors have no common base
            raise IncompleteBody(str(error) if isinstance(error, IncompleteBody) else "the body was cut off") from error
        finally:
            self.waited += self._clock() - self.waiting_since
            self.waiting_since = None
        self._count(block)
        if not block and self.length is not None and self.received != self.length:
            raise IncompleteBody(f"{self.received} of {self.length} bytes came")
        return block

    def _count(self, block: bytes) -> None:
        self.taken += len(block)
        self.received += len(block)
        if block:
            self.on_bytes(len(block))

    def is_too_slow(self, now: float, window: float, rate: int) -> bool:
        """Whether the client had ``window`` seconds to send and used them for less than ``rate`` bytes a second. Time
        in which we did not ask for bytes does not count against it."""
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
