"""One connection: aiohttp's parser and its loop over requests, with stricter framing and our own deadlines.

aiohttp's RequestHandler parses, queues requests and runs one handler after the other. Added here: the checks of
``framing`` before a request is queued, answers of our own to what is malformed, errors of a malformed body for the
handler that reads it, half-closed clients, and a close that does not take the answer away from the client.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web_protocol
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from gateway.domain.errors import IncompleteBody
from gateway.gate import limits
from gateway.gate.body import RequestBody
from gateway.gate.framing import (
    MAX_HEAD,
    MAX_HEADERS,
    MAX_REQUEST_LINE,
    Malformed,
    Target,
    check,
    check_request_line,
    explain_error,
)

if TYPE_CHECKING:
    from gateway.gate.filesend import DirectSend
    from gateway.gate.server import GateServer

log = logging.getLogger("kurado.gate")


class Ended:
    """What a handler gives back to aiohttp's loop: the answer is sent already."""

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive


class Request:
    """A queued request. ``malformed`` is set, and ``target`` is not, when the head was refused."""

    def __init__(self, message: Any, stream: StreamReader, connection: Connection) -> None:
        self.message: RawRequestMessage = message
        self.stream = stream
        self.connection = connection
        self.target: Target | None = None
        self.malformed: Malformed | None = None
        self._task: Any = None
        if isinstance(message, _Refused):
            self.malformed = message.malformed
        else:
            self.target = connection.targets.pop(id(message))

    def _cancel(self, error: BaseException) -> None:
        """The line is gone: whoever reads the body learns of it."""
        if not self.stream.is_eof():
            self.stream.set_exception(error)

    def _finish(self) -> None:
        """Called by aiohttp when the handler is through."""


class _Refused:
    """Stands in the queue for a request whose head was refused."""

    def __init__(self, malformed: Malformed) -> None:
        self.malformed = malformed


class Connection(web_protocol.RequestHandler):
    """``idle_since`` is when the last answer ended (or the connection began), ``head_since`` when the first byte of a
    head came that is not complete; loop times."""

    __slots__ = (
        "_discarded",
        "_discarding",
        "_half_closed",
        "_head",
        "_lingering",
        "_stream",
        "_stream_is_chunked",
        "_unanswered",
        "address",
        "body",
        "direct",
        "head_since",
        "idle_since",
        "sending_since",
        "targets",
    )

    def __init__(self, manager: GateServer, **kwargs: Any) -> None:
        super().__init__(
            manager,
            auto_decompress=False,
            read_bufsize=limits.READ_BUFFER,
            max_headers=MAX_HEADERS,
            max_line_size=MAX_REQUEST_LINE,
            max_field_size=MAX_HEAD,
            keepalive_timeout=86_400,  # the server's sweep ends idle connections
            lingering_time=0,
            access_log=None,  # type: ignore[arg-type]  # aiohttp allows it
            **kwargs,
        )
        self.address = ""
        self.body: RequestBody | None = None
        self.idle_since = self._loop.time()
        self.head_since: float | None = None
        self.sending_since: float | None = None
        self.direct: DirectSend | None = None
        self.targets: dict[int, Target] = {}
        self._head = b""
        self._stream: StreamReader | None = None
        self._stream_is_chunked = False
        self._unanswered = 0
        self._half_closed = False
        self._discarding = False
        self._discarded = 0
        self._lingering: asyncio.Future[None] | None = None

    # -- what the server's sweep asks ---------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether a request is queued or under way, or its answer is still being taken."""
        return self._unanswered > 0 or self._discarding

    @property
    def ends(self) -> bool:
        """Whether the answer under way is the last: nothing more is read from this line."""
        return bool(self._close)

    def abort(self) -> None:
        """Cuts the line: the client can never take what it has for a whole answer."""
        if self.transport is not None:
            self.transport.abort()

    def refuse_slow_head(self) -> None:
        """408 to a client that did not finish its head in time."""
        self._refuse(Malformed(408, "the request did not come in time"))

    # -- bytes in -----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            self._discard(len(data))
            return
        if self._close or self._force_close:
            return
        self._renew_parser()
        was_in_body = self._in_body
        queued = len(self._messages)
        super().data_received(data)
        fresh = len(self._messages) - queued
        if fresh > 0:
            self._take_in(fresh, data)
        elif data and not was_in_body and not self._in_body:
            self._grow_head(data)
        if fresh > 0 or self._in_body:
            self._head, self.head_since = b"", None

    @property
    def _in_body(self) -> bool:
        return self._stream is not None and not self._stream.is_eof()

    def _renew_parser(self) -> None:
        """aiohttp 3.14 takes the last trailer field of a chunked body for the first header of the next request (seen
        with ``X-Evil: 1`` after the last chunk): no parser is used again after a chunked body."""
        if not self._stream_is_chunked or self._in_body:
            return
        self._stream_is_chunked = False
        self._parser = HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=web_protocol.RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
        )

    def _take_in(self, fresh: int, data: bytes) -> None:
        """Checks the requests that the parser has just queued. After one that is refused, or that follows a chunked
        body in the same read (its headers are not to be trusted), nothing more is read."""
        arrived = [self._messages.pop() for _ in range(fresh)][::-1]
        raw = self._head + data
        first = self._request_count == fresh  # later ones may begin in a read before this
        for number, (message, stream) in enumerate(arrived):
            malformed = self._check(message, raw, at_start=first and not number)
            if malformed:
                self._refuse(malformed)
                return
            if self._stream_is_chunked:
                self.targets.pop(id(message))
                self._close = True
                return
            self._messages.append((message, stream))
            self._unanswered += 1
            self._stream = stream
            self._stream_is_chunked = isinstance(message, RawRequestMessage) and bool(message.chunked)

    def _check(self, message: Any, raw: bytes, *, at_start: bool) -> Malformed | None:
        """``at_start``: the head of this message is where ``raw`` begins."""
        if not isinstance(message, RawRequestMessage):
            return explain_error(raw, str(message.message))
        try:
            if at_start:
                check_request_line(raw, message)
            self.targets[id(message)] = check(message)
        except Malformed as malformed:
            return malformed
        return None

    def _refuse(self, malformed: Malformed) -> None:
        """Queues the refusal behind what is under way, and reads nothing more. A body that was being read is cut."""
        if self._in_body and self._stream is not None:
            self._stream.set_exception(IncompleteBody("the body is malformed"))
        else:
            self._messages.append((_Refused(malformed), EMPTY_PAYLOAD))  # type: ignore[arg-type]
            self._unanswered += 1
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
        self._discarding = True

    def _grow_head(self, data: bytes) -> None:
        if self.head_since is None:
            if not data.strip(b"\r\n"):
                return  # empty lines before a request (RFC 9112 section 2.2)
            self.head_since = self._loop.time()
        self._head += data
        if len(self._head) > MAX_HEAD:
            self._refuse(explain_error(self._head, ""))

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """A client that only ended its side still gets its answer; one whose body is not complete gets 400."""
        self._half_closed = True
        if self._lingering is not None and not self._lingering.done():
            self._lingering.set_result(None)
        if self._in_body and self._stream is not None:
            self._stream.set_exception(IncompleteBody("the body was cut off"))
        if self.ssl_context is not None or not self.is_busy:
            return None
        self._close = True
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self.direct is not None:
            self.direct.fail(ConnectionResetError("the client is gone"))
        if self._lingering is not None and not self._lingering.done():
            self._lingering.set_result(None)

    def _process_keepalive(self) -> None:
        """The server's sweep does this for all connections."""

    # -- bytes out ----------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Queues bytes for the client; ConnectionError when it is gone."""
        if self.transport is None or self.transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self.transport.write(data)

    async def drain(self) -> None:
        """Waits until the client has taken enough of what was written."""
        if not self._paused:
            return
        self.sending_since = self._loop.time()
        try:
            await self._drain_helper()
        finally:
            self.sending_since = None

    async def flush(self) -> None:
        """Waits until the client's system has all that was written, so that its descriptor may be used directly."""
        transport = self.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        if transport.get_write_buffer_size():
            transport.set_write_buffer_limits(0)
            try:
                while transport.get_write_buffer_size() and not transport.is_closing():
                    await self.drain()
                    await asyncio.sleep(0)
            finally:
                transport.set_write_buffer_limits()
        if transport.is_closing():
            raise ConnectionResetError("the client is gone")

    async def linger(self) -> None:
        """Reads away what the client still sends until it has seen the answer and closes, or for a bounded time: bytes
        that nobody reads would make the system reset the line and take the answer with it (RFC 9112 section 9.6)."""
        transport = self.transport
        if transport is None or self._half_closed:
            return
        self._discarding = True
        self._lingering = self._loop.create_future()
        self._resume_transport_reading()
        if self.ssl_context is None and transport.can_write_eof():
            transport.write_eof()
        try:
            await asyncio.wait_for(self._lingering, limits.LINGER_SECONDS)
        except TimeoutError:
            self.abort()

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > limits.LINGER_BYTES and self._lingering and not self._lingering.done():
            self._lingering.set_result(None)

    # -- aiohttp's loop -----------------------------------------------------------------------------------------------

    async def finish_response(self, request: Any, resp: Any, start_time: float | None) -> tuple[Any, bool]:  # noqa: ARG002
        """The handler has sent its answer itself."""
        self.body = None
        self._unanswered -= 1
        self.idle_since = self._loop.time()
        return resp, False

    def handle_error(self, request: Any, status: int = 500, exc: BaseException | None = None, *_: Any) -> Any:  # noqa: ARG002
        """Nothing of ours should raise through the handler: the line is cut, nobody can take the answer for whole."""
        log.error("request failed outside its handler", exc_info=exc)
        self.abort()
        return Ended(keep_alive=False)

    def close_when_idle(self) -> None:
        """Ends the connection unless a request is under way: its answer will end it, and its body must still be read
        (aiohttp's own ``close`` reads nothing more, and an upload under way would starve)."""
        fresh = not self._request_count and self._loop.time() - self.idle_since < limits.FIRST_REQUEST_SECONDS
        if not self.is_busy and self.head_since is None and not fresh:
            self.force_close()


Handler = Callable[[Request], Awaitable[Ended]]
