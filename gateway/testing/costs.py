"""What a request costs, counted instead of timed: the same on any machine, however busy it is.

A whole gate answers in the process of the test, on real sockets, without the gate's periodic tasks. ``Counting`` sees
every statement at the driver of SQLite, every flush at ``os``, and every byte that files give and take at the kernel.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from gateway.daemon import wall_clock
from gateway.dav.app import DavApp
from gateway.dav.request import DavSettings
from gateway.gate.doors import DavDoor, Door
from gateway.gate.front import Front, FrontSettings
from gateway.gate.limits import ConnectionLimits
from gateway.gate.s3door import S3Door
from gateway.gate.server import GateServer
from gateway.s3.app import S3App
from gateway.s3.request import S3Settings
from gateway.service import recent
from gateway.testing.s3 import S3Access, access_with
from gateway.testing.space import Clock, Space, open_space

PLUGINS = ("quota", "content_policy", "metering", "billing_export")
_STEPS = 25  # instructions of SQLite's machine between two looks at its counter
_FRAMING = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


@dataclass(frozen=True, order=True)
class Cost:
    """``statements``: SQL without BEGIN, COMMIT and savepoints (one for an executemany). ``commits``: transactions that
    wrote, each of which SQLite flushes once. ``flushes``: fsync and fdatasync of files and folders. ``steps``:
    instructions of SQLite's virtual machine, roughly: they grow with the rows that are looked at."""

    statements: int
    commits: int = 0
    flushes: int = 0
    steps: int = 0

    def least(self, other: Cost) -> Cost:
        """Of each figure the lower: what something else did meanwhile is in one of the two only."""
        return Cost(*(min(a, b) for a, b in zip(self.figures, other.figures, strict=True)))

    @property
    def figures(self) -> tuple[int, int, int, int]:
        return self.statements, self.commits, self.flushes, self.steps


@dataclass
class Counting:
    """What happened since ``begin``. ``texts`` are the statements in their order."""

    texts: list[str] = field(default_factory=list)
    commits: int = 0
    flushes: int = 0
    looks: int = 0
    _io: tuple[int, int] = (0, 0)

    def begin(self) -> None:
        self.texts.clear()
        self.commits = self.flushes = self.looks = 0
        self._io = _file_bytes()

    @property
    def cost(self) -> Cost:
        return Cost(len(self.texts), self.commits, self.flushes, self.looks * _STEPS)

    @property
    def file_bytes(self) -> tuple[int, int]:
        """Bytes that system calls read from and wrote to files (the database's and those of sockets included)."""
        before, now = self._io, _file_bytes()
        return now[0] - before[0], now[1] - before[1]

    def ran(self, sql: str, was_writing: bool) -> None:
        word = sql.split(None, 1)[0].upper()
        if word not in _FRAMING:
            self.texts.append(" ".join(sql.split()))
        elif word == "COMMIT" and was_writing:
            self.commits += 1


def _file_bytes() -> tuple[int, int]:
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"]), int(fields["wchar"])


@contextmanager
def counted() -> Iterator[Counting]:
    """Counts what connections that are opened within do, and all flushes of this process."""
    counting = Counting()

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, *params: Any) -> Any:
            counting.ran(sql, self.connection.in_transaction)
            return super().execute(sql, *params)

        def executemany(self, sql: str, *params: Any) -> Any:
            counting.ran(sql, self.connection.in_transaction)
            return super().executemany(sql, *params)

    class Connection(sqlite3.Connection):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.set_progress_handler(look, _STEPS)

        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def execute(self, sql: str, *params: Any) -> Any:
            return self.cursor().execute(sql, *params)

        def executemany(self, sql: str, *params: Any) -> Any:
            return self.cursor().executemany(sql, *params)

    def look() -> int:
        counting.looks += 1
        return 0

    def connects(real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **named: real(*args, **{**named, "factory": Connection})

    with _in_place_of(sqlite3, "connect", connects), _flushes(counting):
        yield counting


@contextmanager
def _flushes(counting: Counting) -> Iterator[None]:
    def counts(real: Callable[[Any], None]) -> Callable[[Any], None]:
        def flush(descriptor: Any) -> None:
            counting.flushes += 1
            real(descriptor)

        return flush

    with _in_place_of(os, "fsync", counts), _in_place_of(os, "fdatasync", counts):
        yield


@contextmanager
def _in_place_of(module: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    real = getattr(module, name)
    setattr(module, name, make(real))
    try:
        yield
    finally:
        setattr(module, name, real)


# -- a gate in this process --------------------------------------------------------------------------------------------


@dataclass
class CountedGate:
    """A tenant's owner before a gate whose costs are counted."""

    space: Space
    counting: Counting
    dav: tuple[str, int]
    s3: S3Access
    line: http.client.HTTPConnection
    bucket: str = "studio"

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """One request below the tenant's space, on one connection; its body is read away. AssertionError for an answer
        that is no success."""
        token = base64.b64encode(b"ann:secret").decode()
        self.line.request(method, f"/dav/studio/{path}", body, {"Authorization": f"Basic {token}", **(headers or {})})
        answer = self.line.getresponse()
        text = answer.read()
        assert answer.status < 300, (method, path, answer.status, text)
        return answer

    def url(self, path: str) -> str:
        return f"http://{self.dav[0]}:{self.dav[1]}/dav/studio/{path}"

    def signed(self, method: str, path: str = "", **more: Any) -> bytes:
        """One signed request to the bucket; AssertionError for an answer that is no success."""
        answer = self.s3.signed(method, f"/{self.bucket}{path and '/' + path}", **more)
        assert answer.status < 300, (method, path, answer.status, answer.body)
        return answer.body

    def fresh(self) -> None:
        """What the gate's periodic tasks would do: nothing of it falls into the next request."""
        self.space.services.directory.refresh()
        self.space.services.traffic.flush()

    def cost(self, request: Callable[[], object], first: Callable[[], object] | None = None) -> Cost:
        """Of one request; ``first`` comes just before it and is not counted."""
        self.fresh()
        if first is not None:
            first()
        self.counting.begin()
        request()
        return self.counting.cost


@contextmanager
def counted_gate(folder: Path, plugins: tuple[Any, ...] = PLUGINS) -> Iterator[CountedGate]:
    """The tenant ``studio`` with its owner, an access key and one bucket, ``studio``."""
    clock = Clock(wall_clock())  # stands still: nothing grows old between two requests; clients sign with the real one
    with counted() as counting, open_space(folder, plugins=plugins, clock=clock) as space:
        services = space.services
        services.files.recent.room = recent.ROOM  # as in a gate
        dav = DavDoor(services, DavApp(services, DavSettings()))
        s3 = S3Door(S3App(services, S3Settings()))
        with _served(space, dav) as dav_address, _served(space, s3) as s3_address:
            made, secret = services.accesskeys.create("studio", "ann", "test")
            access = access_with(f"http://{s3_address[0]}:{s3_address[1]}", made.id, secret)
            line = http.client.HTTPConnection(*dav_address, timeout=60)
            with contextlib.closing(line):
                gate = CountedGate(space, counting, dav_address, access, line)
                gate.fresh()
                gate.ask("OPTIONS", "")  # the login is verified
                gate.signed("PUT")
                yield gate


@contextmanager
def _served(space: Space, door: Door) -> Iterator[tuple[str, int]]:
    """A listener of its own, served in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    front = Front(space.services, door, FrontSettings())
    loop = uvloop.new_event_loop()
    stopping = asyncio.Event()

    async def serve() -> None:
        server = GateServer(front, ConnectionLimits())
        listening = await loop.create_server(server, sock=listener)
        await stopping.wait()
        listening.close()
        await server.drain(1.0)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="gate")
    thread.start()
    try:
        yield listener.getsockname()[:2]
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        front.close()
