"""The gate's loop over requests: answered at once where that goes, in order always, bounded whatever a client does."""

from __future__ import annotations

import asyncio
import base64
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gateway.daemon import wall_clock
from gateway.dav.app import DavApp
from gateway.dav.request import DavSettings
from gateway.gate import limits
from gateway.gate.connection import Connection, Request
from gateway.gate.connection import Handler as Answering
from gateway.gate.doors import DavDoor
from gateway.gate.eager import begin
from gateway.gate.front import Front, FrontSettings
from gateway.gate.limits import ConnectionLimits
from gateway.gate.server import GateServer
from gateway.testing.space import open_space

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Handler:
    """Answers with the path; ``/slow`` waits for ``release``, ``/large`` has a mebibyte, ``/broken`` raises."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.begun: list[str] = []
        self.tasks: list[bool] = []

    async def __call__(self, request: Request) -> bool:
        if request.asked is None:
            request.connection.write(b"refused\n")
            await request.connection.linger()
            return False
        path = request.asked.target.path
        self.begun.append(path)
        self.tasks.append(asyncio.current_task() is not None)
        if path == "/slow":
            await self.release.wait()
        if path == "/broken":
            raise RuntimeError("a fault of ours")
        request.connection.write(path.encode() + b"\n" + b"x" * (2**20 if path == "/large" else 0))
        await request.connection.drain()
        return path != "/last"


@dataclass
class Connect:
    """Opens a connection to a server of the test's own."""

    server: GateServer
    port: int
    clients: list[asyncio.StreamWriter] = field(default_factory=list)

    async def __call__(self) -> Client:
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.setblocking(False)
        await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=line, limit=2**16)
        self.clients.append(writer)
        return reader, writer

    async def until_server(self, state: Callable[[Connection], bool]) -> None:
        """Until the server's side of some connection is in a state."""
        while not any(state(one) for one in self.server.connections):
            await asyncio.sleep(0)


@asynccontextmanager
async def served(handler: Answering) -> AsyncIterator[Connect]:
    server = GateServer(handler, ConnectionLimits())
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    connect = Connect(server, port)
    try:
        yield connect
    finally:
        if isinstance(handler, Handler):
            handler.release.set()
        for one in connect.clients:
            one.close()
        listening.close()
        await server.drain(5)
        assert not server.connections


def get(*paths: str) -> bytes:
    return b"".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for path in paths)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await scenario()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def on_a_loop(scenario: Callable[[Handler, Connect], Awaitable[None]]) -> Callable[[], None]:
    """A test: the scenario with a handler of its own that is served."""

    def test() -> None:
        async def main() -> None:
            handler = Handler()
            async with served(handler) as connect:
                await scenario(handler, connect)

        run(main)

    test.__doc__ = scenario.__doc__
    return test


@on_a_loop
async def test_what_waits_for_nothing_is_answered_without_a_task_and_what_waits_becomes_one(
    handler: Handler,
    connect: Connect,
) -> None:
    reader, writer = await connect()
    writer.write(get("/a"))
    assert await reader.readline() == b"/a\n"
    assert handler.tasks == [False]
    writer.write(get("/slow", "/b"))
    handler.release.set()
    assert [await reader.readline() for _ in range(2)] == [b"/slow\n", b"/b\n"]


@on_a_loop
async def test_answers_keep_their_order_when_the_first_of_many_has_to_wait(handler: Handler, connect: Connect) -> None:
    paths = ["/slow", *(f"/{number}" for number in range(100))]
    reader, writer = await connect()
    other_reader, other_writer = await connect()
    writer.write(get(*paths))
    other_writer.write(get("/other"))
    assert await other_reader.readline() == b"/other\n"  # nobody else waits
    while not handler.begun or "/slow" not in handler.begun:
        await asyncio.sleep(0)
    assert [one for one in handler.begun if one != "/other"] == ["/slow"]  # one at a time
    handler.release.set()
    assert [(await reader.readline()).decode().strip() for _ in paths] == paths


@on_a_loop
async def test_a_client_that_does_not_read_is_not_answered_for_ever(handler: Handler, connect: Connect) -> None:
    reader, writer = await connect()
    asked = 200
    writer.write(get(*["/large"] * asked))
    await connect.until_server(lambda one: one._paused or len(handler.begun) == asked)
    assert len(handler.begun) < asked // 4, "answers for a client that reads none pile up"
    size = 0
    while size < asked * (2**20 + 7):
        size += len(await reader.read(2**20))
    assert len(handler.begun) == asked


@on_a_loop
async def test_a_client_that_ends_its_side_gets_all_its_answers(handler: Handler, connect: Connect) -> None:
    reader, writer = await connect()
    writer.write(get("/slow", "/b", "/c"))
    writer.write_eof()
    while not handler.begun:
        await asyncio.sleep(0)
    await connect.until_server(lambda one: one._half_closed)
    handler.release.set()
    assert await reader.read() == b"/slow\n/b\n/c\n"


@on_a_loop
async def test_nothing_is_answered_behind_the_last_answer_or_behind_a_refused_head(
    handler: Handler,
    connect: Connect,
) -> None:
    reader, writer = await connect()
    writer.write(get("/a", "/last", "/b"))
    assert await reader.read() == b"/a\n/last\n"
    reader, writer = await connect()
    writer.write(get("/slow"))
    while "/slow" not in handler.begun:
        await asyncio.sleep(0)
    writer.write(b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n" + get("/b"))
    await connect.until_server(lambda one: one._discarding)
    handler.release.set()
    assert await reader.read() == b"/slow\nrefused\n"
    assert "/b" not in handler.begun


@on_a_loop
async def test_two_blanks_in_a_request_line_are_refused_also_in_later_requests(
    handler: Handler,
    connect: Connect,
) -> None:
    reader, writer = await connect()
    writer.write(get("/a"))
    assert await reader.readline() == b"/a\n"
    writer.write(b"GET  /b HTTP/1.1\r\nHost: a\r\n\r\n")
    assert await reader.read() == b"refused\n"


@on_a_loop
async def test_a_fault_of_ours_cuts_the_line_and_leaves_the_others_alone(handler: Handler, connect: Connect) -> None:
    reader, writer = await connect()
    other_reader, other_writer = await connect()
    writer.write(get("/a", "/broken", "/b"))
    with suppress(ConnectionError):
        assert b"/b" not in await reader.read()
    other_writer.write(get("/c"))
    assert await other_reader.readline() == b"/c\n"


@on_a_loop
async def test_a_client_that_goes_while_its_request_runs_is_forgotten_when_that_has_ended(
    handler: Handler,
    connect: Connect,
) -> None:
    """:func:`served` asserts that no connection is left."""
    _, writer = await connect()
    writer.write(get("/slow"))
    while not handler.begun:
        await asyncio.sleep(0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()  # a reset: an orderly end would be a client that still waits for its answer
    await connect.until_server(lambda one: one.transport is None)
    handler.release.set()


@on_a_loop
async def test_many_requests_sent_together_do_not_hold_the_loop(handler: Handler, connect: Connect) -> None:
    reader, writer = await connect()
    turns = 0
    asked = 4 * limits.AT_ONCE
    writer.write(get(*[f"/{number}" for number in range(asked)]))
    while len(handler.begun) < asked:
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 3
    for _ in range(asked):
        await reader.readline()


def test_a_hook_that_may_wait_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    """``check_request`` of a plugin that does not say that it answers at once is asked in a thread."""
    asked, go_on = threading.Event(), threading.Event()

    def check(hook: str, **arguments: Any) -> None:
        if hook == "check_request" and arguments["request"].path == ("slow",):
            asked.set()
            assert go_on.wait(30)

    async def scenario() -> None:
        host = space.services.host
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(host, "check", check)
            patch.setattr(host, "implements", lambda hook: True)
            patch.setattr(host, "answers_at_once", lambda hook: False)
            door = DavDoor(space.services, DavApp(space.services, DavSettings()))
            front = Front(space.services, door, FrontSettings())
            async with served(front) as connect:
                reader, writer = await connect()
                other_reader, other_writer = await connect()
                login = base64.b64encode(b"ann:secret").decode()
                for line, name in ((writer, "slow"), (other_writer, "quick")):
                    text = f"GET /dav/studio/{name} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {login}\r\n"
                    line.write(f"{text}Connection: close\r\n\r\n".encode())
                    if name == "slow":
                        await asyncio.to_thread(asked.wait, 30)
                assert (await other_reader.read()).startswith(b"HTTP/1.1 200 ")
                go_on.set()
                assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            front.close()

    with open_space(tmp_path, clock=wall_clock) as space:  # type: ignore[arg-type]
        space.put("slow", b"content")
        space.put("quick", b"content")
        run(scenario)


# -- eager ------------------------------------------------------------------------------------------------------------


def test_a_coroutine_goes_on_from_its_first_wait_with_results_and_errors_alike() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        seen: list[str] = []

        async def work(wait: asyncio.Future[str]) -> str:
            try:
                seen.append(await wait)
                await asyncio.sleep(0)
                seen.append(await asyncio.sleep(0, "second"))
            except (ValueError, asyncio.CancelledError) as error:
                seen.append(type(error).__name__)
                await asyncio.sleep(0)
                raise
            finally:
                seen.append("end")
            return "done"

        done: asyncio.Future[str] = loop.create_future()
        done.set_result("there")
        assert isinstance(begun := begin(work(done), loop), asyncio.Task)  # sleep(0) waits
        assert await begun == "done" and seen == ["there", "second", "end"]

        seen.clear()
        later: asyncio.Future[str] = loop.create_future()
        begun = begin(work(later), loop)
        assert isinstance(begun, asyncio.Task) and seen == []
        loop.call_soon(later.set_exception, ValueError("no"))
        assert isinstance((await asyncio.gather(begun, return_exceptions=True))[0], ValueError)
        assert seen == ["ValueError", "end"]

        seen.clear()
        begun = begin(work(loop.create_future()), loop)
        assert isinstance(begun, asyncio.Task)
        await asyncio.sleep(0)
        begun.cancel()
        assert isinstance((await asyncio.gather(begun, return_exceptions=True))[0], asyncio.CancelledError)
        assert seen == ["CancelledError", "end"]

        async def at_once() -> str:
            return "at once"

        assert begin(at_once(), loop) == "at once"

    run(scenario)
