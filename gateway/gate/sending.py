"""A Reply on the line: head, length, and one of three kinds of body."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import BinaryIO

from gateway.domain.errors import BackendUnavailable
from gateway.exchange import FileBody, Reply
from gateway.gate.connection import Connection
from gateway.gate.filesend import Truncated, open_whole, read_at_hand, read_small, send_file

INLINE = 64 * 1024
"""Bodies up to this go out in one write with their head: copying them costs less than a second call of the system."""
STREAM_BLOCK = 256 * 1024
GATHERED = 64 * 1024
"""Of a generated body so much is collected first: short ones get a Content-Length."""


class Sender:
    """Sends one reply. ``persist`` tells whether the connection stays open after it, ``on_bytes`` counts the bytes of
    the body. Raises ConnectionError when the client is gone.

    An error of the content before the head is sent is raised as BackendUnavailable (another reply can be sent); after
    that the line is cut: nobody may take half an answer for the whole.
    """

    def __init__(
        self, connection: Connection, *, http_1_0: bool, head_only: bool, persist: bool, on_bytes: Callable[[int], None]
    ) -> None:
        self._connection = connection
        self._http_1_0 = http_1_0
        self._head_only = head_only
        self.persist = persist
        self._on_bytes = on_bytes
        self.begun = False

    async def send(self, reply: Reply, request_id: str) -> None:
        body = reply.body
        if self._head_only or reply.status in (204, 304):
            await self._send_head_only(reply, request_id)
        elif isinstance(body, bytes):
            self._write(self._head(reply, request_id, len(body)) + body)
            self._on_bytes(len(body))
        elif isinstance(body, FileBody):
            await self._send_file(body, lambda: self._head(reply, request_id, body.length))
        else:
            await self._send_generated(reply, body, request_id)
        await self._connection.drain()

    # -- head ---------------------------------------------------------------------------------------------------------

    def _head(self, reply: Reply, request_id: str, length: int | None) -> bytes:
        end = b""
        if length is not None and reply.status != 204:
            end = b"Content-Length: %d\r\n" % length
        elif length is None and self._http_1_0:
            self.persist = False
        elif length is None:
            end = b"Transfer-Encoding: chunked\r\n"
        if not self.persist:
            end += b"Connection: close\r\n"
        elif self._http_1_0:
            end += b"Connection: keep-alive\r\n"
        beginning = _beginning(reply.status, int(time.time()))
        fields = header_block(tuple(reply.headers.items()))
        return b"%bX-Request-Id: %b\r\n%b%b\r\n" % (beginning, request_id.encode(), fields, end)

    def _write(self, data: bytes | bytearray) -> None:
        self.begun = True
        self._connection.write(data)

    async def _send_head_only(self, reply: Reply, request_id: str) -> None:
        body = reply.body
        length: int | None
        if reply.status == 304:
            length = None
        elif isinstance(body, bytes):
            length = len(body)
        else:
            length = body.length if isinstance(body, FileBody) else None
        head = self._head(reply, request_id, length if length is not None else 0)
        if length is None:
            head = head.replace(b"Content-Length: 0\r\n", b"")
        self._write(head)
        await _close_iterator(body)

    # -- generated bodies ---------------------------------------------------------------------------------------------

    async def _send_generated(self, reply: Reply, body: AsyncIterator[bytes], request_id: str) -> None:
        try:
            enough = 1 if reply.is_live else GATHERED
            gathered, ended = await _gather(body, enough)
            if ended:
                self._write(self._head(reply, request_id, len(gathered)) + gathered)
                self._on_bytes(len(gathered))
                return
            self._write(self._head(reply, request_id, None) + self._chunk(gathered))
            self._on_bytes(len(gathered))
            while not ended:
                await self._connection.drain()
                gathered, ended = await _gather(body, enough)
                if gathered:
                    self._write(self._chunk(gathered))
                    self._on_bytes(len(gathered))
            if not self._http_1_0:
                self._write(b"0\r\n\r\n")
        finally:
            await _close_iterator(body)

    def _chunk(self, data: bytes) -> bytes:
        return data if self._http_1_0 else b"%x\r\n%b\r\n" % (len(data), data)

    # -- files --------------------------------------------------------------------------------------------------------

    async def _send_file(self, body: FileBody, head: Callable[[], bytes]) -> None:
        if body.local is None:
            await self._stream(body, head)
            return
        descriptor = open_whole(body.local, body)
        try:
            if body.length <= INLINE:
                answer = read_at_hand(descriptor, body, head())
                self._write(answer or await _read_from_disk(descriptor, body, head()))
                self._on_bytes(body.length)
            elif self._connection.ssl_context is not None:
                await self._stream(body, head)
            else:
                self.begun = True
                await send_file(self._connection, head(), body, descriptor, self._on_bytes)
        finally:
            os.close(descriptor)

    async def _stream(self, body: FileBody, head: Callable[[], bytes]) -> None:
        """By blocks read in threads: for TLS, and for stores that are not on this machine."""
        blocks = _file_blocks(body)
        try:
            try:
                first = await anext(blocks, b"")
            except (OSError, Truncated) as error:
                raise BackendUnavailable("the content cannot be read now") from error
            self._write(head() + first)
            self._on_bytes(len(first))
            async for block in blocks:
                await self._connection.drain()
                self._write(block)
                self._on_bytes(len(block))
        finally:
            await blocks.aclose()


async def _read_from_disk(descriptor: int, body: FileBody, head: bytes) -> bytearray:
    try:
        return await asyncio.get_running_loop().run_in_executor(None, read_small, descriptor, body, head)
    except (OSError, Truncated) as error:
        raise BackendUnavailable("the content cannot be read now") from error


@lru_cache(maxsize=2048)
def header_block(fields: tuple[tuple[str, str], ...]) -> bytes:
    """The lines of these fields: many answers have the same ones. ValueError for what would begin a line of its own."""
    lines = [f"{name}: {value}\r\n" for name, value in fields]
    for line in lines:
        if "\r" in line[:-2] or "\n" in line[:-2] or "\x00" in line:
            raise ValueError("a header holds a line break")
    return "".join(lines).encode("utf-8", "surrogateescape")


@lru_cache(maxsize=64)
def _beginning(status: int, second: int) -> bytes:
    """The status line and what every answer has, in one second."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    date = formatdate(second, usegmt=True)
    return f"HTTP/1.1 {status} {phrase}\r\nDate: {date}\r\nX-Content-Type-Options: nosniff\r\n".encode()


async def _gather(body: AsyncIterator[bytes], enough: int) -> tuple[bytes, bool]:
    """The next ``enough`` bytes or more, and whether that was all."""
    parts, size = [], 0
    async for part in body:
        parts.append(part)
        size += len(part)
        if size >= enough:
            return b"".join(parts), False
    return b"".join(parts), True


async def _close_iterator(body: object) -> None:
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()


async def _file_blocks(body: FileBody) -> AsyncGenerator[bytes, None]:
    for before, start, length in body.slices:
        if before:
            yield before
        async for block in _slice_blocks(body, start, length):
            yield block
    if body.tail:
        yield body.tail


async def _slice_blocks(body: FileBody, start: int, length: int) -> AsyncGenerator[bytes, None]:
    loop = asyncio.get_running_loop()
    if not length:
        return
    stream: BinaryIO = await loop.run_in_executor(None, body.open, start, length)
    try:
        while length:
            block = await loop.run_in_executor(None, stream.read, min(length, STREAM_BLOCK))
            if not block:
                raise Truncated
            length -= len(block)
            yield block
    finally:
        await loop.run_in_executor(None, stream.close)
