"""What one request is booked and logged as."""

from __future__ import annotations

import time

from gateway import logs
from gateway.domain.names import Path
from gateway.domain.tenant import Caller
from gateway.exchange import Exchange
from gateway.service.traffic import TrafficMeter

CLASSES = {
    "GET": "read",
    "HEAD": "read",
    "PUT": "write",
    "DELETE": "write",
    "MKCOL": "write",
    "COPY": "write",
    "MOVE": "write",
    "PROPPATCH": "write",
    "PROPFIND": "list",
    "LOCK": "lock",
    "UNLOCK": "lock",
}
REFUSED = frozenset({403, 413, 415, 429, 507})


class Account:
    """Counts the bytes of bodies as they pass, so that the meter is never more than a second behind a transfer.

    Nothing is booked before the tenant is known: what an unknown client sends is nobody's traffic.
    """

    def __init__(self, meter: TrafficMeter) -> None:
        self.caller: Caller | None = None
        self.path: Path = ()
        self.request_class: str | None = None
        """One of ``traffic.CLASSES`` where the method alone does not tell it (S3)."""
        self._meter = meter
        self._began = time.perf_counter()
        self._bytes_in = 0
        self._bytes_out = 0

    def received(self, size: int) -> None:
        self._bytes_in += size
        if self.caller is not None:
            self._meter.count(self.caller.tenant.id, None, bytes_in=size)

    def sent(self, size: int) -> None:
        self._bytes_out += size
        if size and self.caller is not None:
            self._meter.count(self.caller.tenant.id, None, bytes_out=size)

    def answered(self, method: str, status: int) -> None:
        """Books the request itself; before the answer goes out, so that a client that has it finds it booked."""
        if self.caller is not None:
            traffic = self.request_class or CLASSES.get(method, "other")
            self._meter.count(self.caller.tenant.id, traffic, refused=status in REFUSED)

    def log(self, exchange: Exchange, status: int) -> None:
        """One line in the access log; names are masked there."""
        caller = self.caller
        logs.access(
            request_id=exchange.request_id,
            tenant=caller.tenant.name if caller else "",
            user=caller.user.login if caller else "",
            verb=exchange.method,
            path=self.path,
            status=status,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
            ms=(time.perf_counter() - self._began) * 1000,
            remote=exchange.remote,
        )


def log_malformed(request_id: str, status: int, remote: str) -> None:
    """The line of what was no request: nothing of it is known."""
    logs.access(
        request_id=request_id,
        tenant="",
        user="",
        verb="-",
        path=(),
        status=status,
        bytes_in=0,
        bytes_out=0,
        ms=0.0,
        remote=remote,
    )
