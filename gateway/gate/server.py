"""The listening side of a gate: all connections, their limits, and the sweep that ends those that stand still."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any

from aiohttp import web

from gateway.domain.errors import IncompleteBody
from gateway.gate import limits
from gateway.gate.connection import Connection, Ended, Handler, Request
from gateway.gate.limits import ConnectionLimits

SWEEP_SECONDS = 1.0


class GateServer(web.Server):
    """A protocol factory for ``loop.create_server``."""

    def __init__(self, handler: Handler, bounds: ConnectionLimits) -> None:
        super().__init__(handler, request_factory=_make_request)  # type: ignore[arg-type]
        self.bounds = bounds
        self.draining = False
        self._by_address: Counter[str] = Counter()

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop)

    # -- how many -----------------------------------------------------------------------------------------------------

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        """Makes room by closing the connection that has been idle longest: a good client is never shut out by idle
        ones, be they from its own address (behind a NAT) or from elsewhere."""
        peer = transport.get_extra_info("peername")
        handler.address = peer[0] if isinstance(peer, tuple) else ""
        self._by_address[handler.address] += 1
        super().connection_made(handler, transport)
        bounds = self.bounds
        if bounds.per_address is not None and self._by_address[handler.address] > bounds.per_address:
            self._make_room(handler, handler.address)
        if len(self._connections) > bounds.total:
            self._make_room(handler, None)

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        self._by_address[handler.address] -= 1
        if not self._by_address[handler.address]:
            del self._by_address[handler.address]
        super().connection_lost(handler, exc)

    def _make_room(self, newest: Connection, address: str | None) -> None:
        others = (
            one
            for one in self._connections
            if one is not newest
            and isinstance(one, Connection)
            and address in (None, one.address)
            and one.transport is not None
            and not one.is_busy
        )
        oldest = next(others, newest)
        oldest.abort()

    # -- how long -----------------------------------------------------------------------------------------------------

    async def sweep_for_ever(self) -> None:
        """Once a second ends what stands still. In slices: ten thousand connections must not stall the loop."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            connections = iter(list(self._connections))
            while batch := list(itertools.islice(connections, 500)):
                now = self._loop.time()
                for connection in batch:
                    if isinstance(connection, Connection):
                        self.sweep(connection, now)
                await asyncio.sleep(0)

    def sweep(self, connection: Connection, now: float) -> None:
        """Applies the deadlines to one connection."""
        bounds = self.bounds
        body = connection.body
        if connection.transport is None:
            return
        if connection.sending_since is not None:
            if now - connection.sending_since > limits.SEND_STALL:
                connection.abort()
        elif body is not None:
            if body.waiting_since is not None and body.is_too_slow(now, bounds.body_window, bounds.min_body_rate):
                body.fail(IncompleteBody("the body came too slowly"))
        elif connection.is_busy:
            return
        elif connection.head_since is not None:
            if now - connection.head_since > bounds.head_timeout:
                connection.refuse_slow_head()
        elif now - connection.idle_since > bounds.keep_alive:
            connection.force_close()

    # -- the end ------------------------------------------------------------------------------------------------------

    async def drain(self, seconds: float) -> int:
        """Closes idle connections, lets running requests end, and after ``seconds`` cuts the rest; returns how many."""
        self.draining = True
        deadline = self._loop.time() + seconds
        while self._connections and self._loop.time() < deadline:
            for connection in list(self._connections):
                if isinstance(connection, Connection):
                    connection.close_when_idle()
            await asyncio.sleep(0.05)
        rest = [one for one in self._connections if isinstance(one, Connection) and one.transport is not None]
        for connection in rest:
            connection.abort()
        return len(rest)


def _make_request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> Request:  # noqa: ARG001
    return Request(message, payload, protocol)


__all__ = ["Ended", "GateServer", "Request"]
