"""A handler that leaves a large body in the middle: nothing of it is ever read as a request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from gateway.domain.errors import IncompleteBody
from gateway.exchange import Exchange, Filling, Reply
from gateway.gate import body
from gateway.gate.front import Front, FrontSettings
from gateway.gate.limits import SMALL_REST, ConnectionLimits
from gateway.gate.server import GateServer

MIB = 1024 * 1024
SIZE = 6 * MIB
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


class Door:
    """Takes as much of each body as the path says (``/take/1000``), and answers with the path."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.taken: list[bytes] = []
        self.errors: list[Exception] = []

    async def answer(self, exchange: Exchange, account: Any, *, secure: bool) -> Reply:
        self.paths.append(exchange.raw_path)
        if exchange.raw_path.startswith("/take/"):
            assert isinstance(exchange.body, Filling)
            buffer = memoryview(bytearray(int(exchange.raw_path.removeprefix("/take/"))))
            try:
                size = await exchange.body.fill(buffer)
            except IncompleteBody as error:
                self.errors.append(error)
                raise
            self.taken.append(bytes(buffer[:size]))
        return Reply(200, {}, exchange.raw_path.encode())

    def error_reply(self, error: Exception, exchange: Exchange) -> Reply:
        return Reply(400)


Scenario = Callable[[Door, GateServer, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def run(scenario: Scenario) -> Door:
    door = Door()

    async def main() -> None:
        services: Any = SimpleNamespace(traffic=None)
        a_door: Any = door
        server = GateServer(Front(services, a_door, FrontSettings()), ConnectionLimits())
        listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        try:
            async with asyncio.timeout(60):
                await scenario(door, server, reader, writer)
        finally:
            writer.close()
            listening.close()
            await server.drain(5)
            assert not server.connections

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    return door


def put(taken: int, content: bytes) -> bytes:
    return b"PUT /take/%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (taken, len(content), content)


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    return head.split(b" ")[1] + b" " + await reader.readexactly(length)


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> list[body.DirectReceive]:
    """Those that there were: what went another way would prove nothing."""
    made: list[body.DirectReceive] = []

    class Noted(body.DirectReceive):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(body, "DirectReceive", Noted)
    return made


async def until_taken(server: GateServer, direct: list[body.DirectReceive], sent: int) -> None:
    """Until all that was sent has been taken from the line."""
    while not direct or direct[0].rest > SIZE - sent + 100:
        await asyncio.sleep(0)
        for connection in server.connections:
            server.sweep(connection, asyncio.get_running_loop().time())


@pytest.mark.parametrize("taken", [0, 1, MIB, SIZE - SMALL_REST - 1])
def test_a_large_rest_that_nobody_wants_ends_the_line(taken: int, direct: list[body.DirectReceive]) -> None:
    content = (SMUGGLED * (SIZE // len(SMUGGLED) + 1))[:SIZE]

    async def scenario(_: Door, __: GateServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(put(taken, content) + SMUGGLED)
        assert await answer(reader) == b"200 /take/%d" % taken
        writer.write_eof()
        assert await reader.read() == b""

    door = run(scenario)
    assert door.paths == [f"/take/{taken}"]
    assert door.taken == [content[:taken]]
    assert len(direct) == 1


@pytest.mark.parametrize("rest", [1, 1000, SMALL_REST])
def test_a_small_rest_is_read_away_and_the_line_goes_on(rest: int, direct: list[body.DirectReceive]) -> None:
    content = (SMUGGLED * (SIZE // len(SMUGGLED) + 1))[:SIZE]

    async def scenario(_: Door, __: GateServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            writer.write(put(SIZE - rest, content) + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            assert await answer(reader) == b"200 /take/%d" % (SIZE - rest)
            assert await answer(reader) == b"200 /next"

    door = run(scenario)
    assert door.paths == [f"/take/{SIZE - rest}", "/next"] * 2
    assert len(direct) == 2


def test_a_line_that_is_cut_by_us_ends_the_wait_for_its_body(direct: list[body.DirectReceive]) -> None:
    async def scenario(door: Door, server: GateServer, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(put(SIZE, bytes(SIZE))[: 3 * MIB])
        await until_taken(server, direct, 3 * MIB)
        next(iter(server.connections)).abort()
        while not door.errors:
            await asyncio.sleep(0)

    assert run(scenario).taken == []


def test_a_body_that_was_given_up_is_not_waited_for_again(direct: list[body.DirectReceive]) -> None:
    async def scenario(
        door: Door, server: GateServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(put(SIZE, bytes(SIZE))[: SIZE - 1000])
        await until_taken(server, direct, SIZE - 1000)
        waits = next(iter(server.connections)).body
        assert waits is not None
        waits.fail(IncompleteBody("too slow"))
        assert await answer(reader) == b"400 "
        writer.write_eof()
        assert await reader.read() == b""
        assert [str(error) for error in door.errors] == ["too slow"]

    run(scenario)


def test_what_is_less_than_the_system_gathers_counts_for_the_rate(direct: list[body.DirectReceive]) -> None:
    async def scenario(_: Door, server: GateServer, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        writer.write(put(SIZE, bytes(SIZE))[: 2 * MIB])
        await until_taken(server, direct, 2 * MIB)
        connection = next(iter(server.connections))
        waits, rest = connection.body, direct[0].rest
        assert waits is not None
        writer.write(bytes(1000))
        for _ in range(100):
            await asyncio.sleep(0.001)
        assert direct[0].rest == rest  # too few to wake anybody
        server.sweep(connection, loop.time())
        assert direct[0].rest == rest - 1000
        assert not waits.is_too_slow(loop.time(), 0.0, 1)

    run(scenario)


def test_the_end_of_a_body_is_not_waited_for_as_if_more_came(direct: list[body.DirectReceive]) -> None:
    request = put(SIZE, bytes(SIZE))

    async def scenario(_: Door, server: GateServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(request[:-1000])
        await until_taken(server, direct, SIZE - 1000)
        writer.write(request[-1000:])
        assert await answer(reader) == b"200 /take/%d" % SIZE  # though nobody sweeps any more

    run(scenario)
