"""The desk process: pages for people and machines that operate the gateway, on cheroot."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from cheroot import wsgi

from gateway.desk.pages import Desk
from gateway.domain.errors import KuradoError
from gateway.service.leases import RENEW_SECONDS, LeaseKeeper, LeaseLost
from gateway.service.services import Services

THREADS = 4
SHUTDOWN_SECONDS = 5

log = logging.getLogger("kurado.desk")


class Server(wsgi.Server):
    """cheroot on a socket that listens already."""

    def __init__(self, listener: socket.socket, app: Desk) -> None:
        super().__init__(
            listener.getsockname()[:2],
            app,
            numthreads=THREADS,
            max=4 * THREADS,
            server_name="kurado",
            timeout=10,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        self.max_request_header_size = 16 * 1024
        self.max_request_body_size = 64 * 1024
        self._listener = listener

    def bind(self, family: int, type: int, proto: int = 0) -> socket.socket:  # noqa: ARG002
        self.socket = self._listener
        return self._listener

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        log.log(level, msg, exc_info=traceback)


def run_desk(
    services: Services, leases: LeaseKeeper, listener: socket.socket, ready: Callable[[], None], *, demo: bool
) -> None:
    """Serves until SIGTERM; ``ready`` is told when it does."""
    server = Server(listener, Desk(services, demo=demo))
    server.prepare()
    stopping = threading.Event()

    def on_term(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, on_term)
    serving = threading.Thread(target=server.serve, name="desk")
    serving.start()
    ready()
    lease = threading.Thread(target=_keep_lease, args=(leases, stopping), name="lease", daemon=True)
    lease.start()
    stopping.wait()
    server.stop()
    serving.join()
    lease.join(RENEW_SECONDS)


def _keep_lease(leases: LeaseKeeper, stopping: threading.Event) -> None:
    """The desk's lease only shows that it lives; it works on when the database is away."""
    while True:
        _renew(leases)
        if stopping.wait(RENEW_SECONDS):
            return


def _renew(leases: LeaseKeeper) -> Any:
    try:
        return leases.grant() if leases.lease is None else leases.renew()
    except (KuradoError, LeaseLost):
        return None
