"""The listening side of a gate: all connections, their limits, and the sweep that ends those that stand still."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

from gateway.domain.errors import IncompleteBody
from gateway.gate import limits
from gateway.gate.connection import Connection, Handler
from gateway.gate.limits import ConnectionLimits

SWEEP_SECONDS = 1.0


class GateServer:
    """A protocol factory for ``create_server`` of the running loop."""

    def __init__(self, handler: Handler, bounds: ConnectionLimits) -> None:
        self.handler = handler
        self.bounds = bounds
        self._loop = asyncio.get_running_loop()
        # a dict keeps the order in which they came; those whose line is gone stay while a request of theirs runs
        self.connections: dict[Connection, None] = {}
        self._by_address: Counter[str] = Counter()

    def __call__(self) -> Connection:
        return Connection(self, self._loop)

    # -- how many -----------------------------------------------------------------------------------------------------

    def connection_made(self, connection: Connection, transport: asyncio.Transport) -> None:
        """Makes room by closing the connection that has been idle longest: a good client is never shut out by idle
        ones, be they from its own address (behind a NAT) or from elsewhere."""
        peer = transport.get_extra_info("peername")
        connection.address = peer[0] if isinstance(peer, tuple) else ""
        self._by_address[connection.address] += 1
        self.connections[connection] = None
        bounds = self.bounds
        if bounds.per_address is not None and self._by_address[connection.address] > bounds.per_address:
            self._make_room(connection, connection.address)
        if len(self.connections) > bounds.total:
            self._make_room(connection, None)

    def connection_lost(self, connection: Connection) -> None:
        self._by_address[connection.address] -= 1
        if not self._by_address[connection.address]:
            del self._by_address[connection.address]
        if not connection.is_answering:
            self.forget(connection)

    def forget(self, connection: Connection) -> None:
        """The line is gone and nothing runs for it any more."""
        self.connections.pop(connection, None)

    def _make_room(self, newest: Connection, address: str | None) -> None:
        others = (
            one
            for one in self.connections
            if one is not newest and address in (None, one.address) and one.is_open and not one.is_busy
        )
        oldest = next(others, newest)
        oldest.abort()

    # -- how long -----------------------------------------------------------------------------------------------------

    async def sweep_for_ever(self) -> None:
        """Once a second ends what stands still. In slices: ten thousand connections must not stall the loop."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            connections = iter(list(self.connections))
            while batch := list(itertools.islice(connections, 500)):
                now = self._loop.time()
                for connection in batch:
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
        elif now - connection.idle_since > bounds.keep_alive and connection.is_open:
            connection.close()

    # -- the end ------------------------------------------------------------------------------------------------------

    async def drain(self, seconds: float) -> int:
        """Closes idle connections, lets running requests end, and after ``seconds`` cuts the rest; returns how many."""
        deadline = self._loop.time() + seconds
        while self.connections and self._loop.time() < deadline:
            for connection in list(self.connections):
                connection.close_when_idle()
            await asyncio.sleep(0.05)
        rest = [one for one in self.connections if one.transport is not None]
        for connection in rest:
            connection.abort()
        await asyncio.sleep(0)  # in this turn of the loop they end, and give back what they hold
        return len(rest)
