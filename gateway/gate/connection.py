"""One connection: aiohttp's parser, our own loop over requests, strict framing and our own deadlines.

The parser queues requests, and they are answered one after the other. A request that can be answered without waiting is
answered in the very call that brought its bytes (``eager``); only one that waits becomes a task. The checks of
``framing`` come before a request is queued; what is malformed has answers of its own; errors of a malformed body go to
the handler that reads it; clients that half-close get their answers, and a close does not take an answer away.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpRequestParser, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.tcp_helpers import tcp_keepalive

from gateway.domain.errors import IncompleteBody
from gateway.gate import limits
from gateway.gate.body import RequestBody
from gateway.gate.eager import begin
from gateway.gate.framing import (
    MAX_HEAD,
    MAX_HEADERS,
    MAX_REQUEST_LINE,
    Malformed,
    check,
    check_request_line,
    explain_error,
)
from gateway.gate.known import Asked, KnownHead, asked_by, whole_head

if TYPE_CHECKING:
    from gateway.gate.filesend import DirectSend
    from gateway.gate.server import GateServer

log = logging.getLogger("kurado.gate")

_HEAD_END = b"\r\n\r\n"


class Request(NamedTuple):
    """A request as it came: ``asked``, or why its head was refused (``malformed``). ``is_head``: it asks for no
    body."""

    connection: Connection
    stream: StreamReader
    asked: Asked | None = None
    malformed: Malformed | None = None
    is_head: bool = False


Handler = Callable[[Request], Coroutine[Any, Any, bool]]
"""Answers a request; tells whether the connection stays open after it. ConnectionError when the client is gone."""


class Connection(BaseProtocol):
    """``idle_since`` is when the last answer ended (or the connection began), ``head_since`` when the first byte of a
    head came that is not complete; loop times. ``was_asked``: whether any request has come."""

    __slots__ = (
        "_at_head",
        "_current",
        "_discarded",
        "_discarding",
        "_ends",
        "_half_closed",
        "_head",
        "_known",
        "_line",
        "_lingering",
        "_queue",
        "_server",
        "_stream",
        "_stream_is_chunked",
        "_task",
        "address",
        "body",
        "direct",
        "head_since",
        "idle_since",
        "sending_since",
        "ssl_context",
        "was_asked",
    )

    def __init__(self, server: GateServer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop, self._new_parser(loop))
        self._server = server
        self.address = ""
        self.body: RequestBody | None = None
        self.idle_since = loop.time()
        self.head_since: float | None = None
        self.sending_since: float | None = None
        self.direct: DirectSend | None = None
        self.ssl_context: Any = None
        self.was_asked = False
        self._head = b""
        self._known: KnownHead | None = None
        self._at_head = True  # whether the next read begins with a head
        self._queue: deque[Request] = deque()
        self._current: Request | None = None
        self._task: asyncio.Task[bool] | None = None
        self._line: socket.socket | None = None
        self._stream: StreamReader | None = None
        self._stream_is_chunked = False
        self._ends = False
        self._half_closed = False
        self._discarding = False
        self._discarded = 0
        self._lingering: asyncio.Future[None] | None = None

    def _new_parser(self, loop: asyncio.AbstractEventLoop) -> HttpRequestParser:
        return HttpRequestParser(
            self,
            loop,
            limits.READ_BUFFER,
            max_line_size=MAX_REQUEST_LINE,
            max_field_size=MAX_HEAD,
            max_headers=MAX_HEADERS,
            auto_decompress=False,
            max_msg_queue_size=limits.QUEUED,
        )

    # -- what the server and the front ask ----------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether a request is queued or under way, or its answer is still being taken."""
        return self._current is not None or bool(self._queue) or self._discarding

    @property
    def is_answering(self) -> bool:
        return self._current is not None

    @property
    def is_open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing()

    @property
    def ends(self) -> bool:
        """Whether the answer under way is the last: nothing more is read from this line."""
        return self._ends and not self._queue

    def abort(self) -> None:
        """Cuts the line: the client can never take what it has for a whole answer."""
        if self.transport is not None:
            self.transport.abort()

    def close(self) -> None:
        """Closes the line when the client has all that was written."""
        self._ends = True
        self._queue.clear()
        if self.transport is not None:
            if self.transport.get_write_buffer_size():
                self.sending_since = self._loop.time()
            self.transport.close()

    def close_when_idle(self) -> None:
        """Ends the connection unless a request is under way: its answer will end it, and its body must still be
        read."""
        fresh = not self.was_asked and self._loop.time() - self.idle_since < limits.FIRST_REQUEST_SECONDS
        if not self.is_busy and self.head_since is None and not fresh:
            self.close()

    def refuse_slow_head(self) -> None:
        """408 to a client that did not finish its head in time."""
        self._refuse(Malformed(408, "the request did not come in time"), self._head)
        self._go_on()

    # -- the line -----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        tcp_keepalive(self.transport)
        self.ssl_context = self.transport.get_extra_info("sslcontext")
        self._server.connection_made(self, self.transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._ends = True
        self._queue.clear()
        self._parser = None
        if self._current is not None and not self._current.stream.is_eof():
            self._current.stream.set_exception(exc or ConnectionResetError("the client is gone"))
        if self.body is not None:
            self.body.fail(ConnectionResetError("the client is gone"))
        if self.direct is not None:
            self.direct.fail(ConnectionResetError("the client is gone"))
            self.direct.close()
        if self._line is not None:
            self._line.close()
            self._line = None
        self._end_lingering()
        self._server.connection_lost(self)

    def eof_received(self) -> bool | None:
        """A client that only ended its side still gets its answers; one whose body is not complete gets 400."""
        self._half_closed = True
        self._end_lingering()
        if self._in_body and self._stream is not None:
            self._stream.set_exception(IncompleteBody("the body was cut off"))
        if self.ssl_context is not None or not self.is_busy:
            return None
        self._ends = True
        return True

    # -- bytes in -----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            self._discard(len(data))
            return
        if self._ends or self._parser is None:
            return
        known = self._known
        if known is not None and self._at_head and self._current is None and not self._head and not self._queue:
            again = known.again(data)
            if again is not None:
                self._begin(Request(self, EMPTY_PAYLOAD, again))
                return
        self._renew_parser()
        was_in_body = self._in_body
        try:
            arrived, upgraded, _ = self._parser.feed_data(data)
        except HttpProcessingError as error:
            raw = self._head + data
            self._refuse(explain_error(raw, str(error.message)), raw)
            self._head, self.head_since = b"", None
            self._go_on()
            return
        if arrived:
            self._take_in(arrived, data)
        elif data and not was_in_body and not self._in_body:
            self._grow_head(data)
        if arrived or self._in_body:
            self._head, self.head_since = b"", None
        if upgraded:
            self._ends = True  # we never do: what follows is no HTTP any more
        self._go_on()

    @property
    def _in_body(self) -> bool:
        return self._stream is not None and not self._stream.is_eof()

    def _renew_parser(self) -> None:
        """aiohttp 3.14 takes the last trailer field of a chunked body for the first header of the next request (seen
        with ``X-Evil: 1`` after the last chunk): no parser is used again after a chunked body."""
        if self._stream_is_chunked and not self._in_body:
            self._stream_is_chunked = False
            self._parser = self._new_parser(self._loop)

    def _take_in(self, arrived: Sequence[tuple[RawRequestMessage, StreamReader]], data: bytes) -> None:
        """Checks the requests that the parser has just found, and queues them. After one that is refused, or that
        follows a chunked body in the same read (its headers are not to be trusted), nothing more is read."""
        raw = self._head + data if self._at_head else None
        comes_whole = self._at_head and not self._head and len(arrived) == 1
        for message, stream in arrived:
            try:
                if raw is not None:
                    check_request_line(raw, message)
                asked = asked_by(message, check(message))
            except Malformed as malformed:
                self._refuse(malformed, message.method.encode())
                return
            raw = None  # where the next one begins in the read, only the parser knows
            if self._stream_is_chunked:
                self._ends = True
                return
            self._queue.append(Request(self, stream, asked))
            self._stream = stream
            self._stream_is_chunked = bool(message.chunked)
        self.was_asked = True
        is_full = len(self._queue) >= limits.QUEUED  # then the parser keeps the rest to itself
        self._known = whole_head(data, message, asked) if comes_whole else None
        self._at_head = not is_full and self._ends_with_request(data)
        if is_full and not self._buffer_paused:
            self._pause_reading_for_buffer()

    def _ends_with_request(self, data: bytes) -> bool:
        """Whether a read that brought requests ends where one of them does."""
        if self._stream is EMPTY_PAYLOAD:
            return data.endswith(_HEAD_END)
        return not self._in_body and self._known is not None and self._known.again(data) is not None

    def begin_direct(self) -> socket.socket | None:
        """Implements ``body.Line``. The parser does not see these bytes: no other may ever come to it."""
        if self.ssl_context is not None or self.transport is None or self.transport.is_closing() or self._half_closed:
            return None
        self._pause_transport_reading()
        self._parser = None
        return self.line()

    def end_direct(self) -> None:
        self._parser, self._at_head = self._new_parser(self._loop), True
        if self._stream is not None:
            self._stream.feed_eof()  # which lets the transport read again

    def _refuse(self, malformed: Malformed, raw: bytes) -> None:
        """Queues the refusal behind what is under way, and reads nothing more. A body that was being read is cut.
        ``raw`` begins with the method."""
        if self._in_body and self._stream is not None:
            self._stream.set_exception(IncompleteBody("the body is malformed"))
        else:
            is_head = raw.lstrip(b"\r\n").split(b" ", 1)[0] == b"HEAD"
            self._queue.append(Request(self, EMPTY_PAYLOAD, malformed=malformed, is_head=is_head))
        self._discarding = True

    def _grow_head(self, data: bytes) -> None:
        if self.head_since is None:
            if not data.strip(b"\r\n"):
                return  # empty lines before a request (RFC 9112 section 2.2)
            self.head_since = self._loop.time()
        self._head += data
        if len(self._head) > MAX_HEAD:
            self._refuse(explain_error(self._head, ""), self._head)

    # -- one request after the other ----------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Answers what is queued, in order, as far as that goes without waiting; in turns, so that a client that sends
        many requests together does not hold the loop."""
        for _ in range(limits.AT_ONCE):
            if self._current is not None or not self._queue:
                return
            request = self._current = self._queue.popleft()
            self._make_room()
            self._begin(request)
        if self._queue:
            self._loop.call_soon(self._go_on)

    def _begin(self, request: Request) -> None:
        """Answers a request, at once or, if it waits, in a task."""
        self._current = request
        outcome = begin(self._answer(request), self._loop)
        if isinstance(outcome, bool):
            self._answered(outcome)
        else:
            self._task = outcome
            outcome.add_done_callback(self._answered_late)

    async def _answer(self, request: Request) -> bool:
        try:
            return await self._server.handler(request)
        except ConnectionError:
            return False
        except Exception:
            # nothing of ours should raise through the handler: nobody can take the answer for whole
            log.exception("request failed outside its handler")
            self.abort()
            return False

    def _answered_late(self, task: asyncio.Task[bool]) -> None:
        self._task = None
        self._answered(not task.cancelled() and task.result())
        self._go_on()

    def _answered(self, persists: bool) -> None:
        self._current = self.body = None
        self.idle_since = self._loop.time()
        if self.transport is None:
            self._server.forget(self)
        elif not persists or self.ends:
            self.close()

    def _make_room(self) -> None:
        """Lets the parser go on with requests that waited for a place in the queue."""
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._queue) <= limits.QUEUED // 2:
            self.data_received(b"")
            if len(self._queue) < limits.QUEUED:
                self._resume_reading_for_buffer()

    # -- bytes out ----------------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray) -> None:
        """Queues bytes for the client, which nobody may change then; ConnectionError when it is gone."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        transport.write(data)

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

    def line(self) -> socket.socket:
        """A duplicate of the transport's socket, which may be used while the transport holds no bytes (``flush``). Made
        when it is first asked for; it ends with the connection."""
        if self._line is None:
            if self.transport is None or self.transport.is_closing():
                raise ConnectionResetError("the client is gone")
            own = self.transport.get_extra_info("socket")
            self._line = socket.socket(own.family, own.type, own.proto, fileno=os.dup(own.fileno()))
        return self._line

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
        deadline = self._loop.call_later(limits.LINGER_SECONDS, self.abort)
        try:
            await self._lingering
        finally:
            deadline.cancel()

    def _end_lingering(self) -> None:
        if self._lingering is not None and not self._lingering.done():
            self._lingering.set_result(None)

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > limits.LINGER_BYTES:
            self._end_lingering()
