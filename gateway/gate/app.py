"""The gate process: event loop, listener, TLS, the small periodic tasks, and the drain at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import uvloop

from gateway.config import Config, Tls
from gateway.dav.app import DavApp
from gateway.dav.request import DavSettings
from gateway.domain.errors import KuradoError
from gateway.gate import limits
from gateway.gate.doors import DavDoor, Door
from gateway.gate.front import Front, FrontSettings
from gateway.gate.limits import ConnectionLimits
from gateway.gate.server import GateServer
from gateway.service import recent
from gateway.service.services import Services

REFRESH_SECONDS = 0.3
FLUSH_SECONDS = 0.5
CHECK_SECONDS = 1.0
_READ_THREADS = 16
_HANDSHAKE_SECONDS = 15.0

log = logging.getLogger("kurado.gate")


class Deployment(Protocol):
    """What the gate needs of ``daemon.Deployment``."""

    @property
    def config(self) -> Config: ...
    @property
    def services(self) -> Services: ...
    def listener(self) -> socket.socket: ...
    def s3_listener(self) -> socket.socket | None: ...
    def ready(self) -> None: ...


def run_gate(deployment: Deployment) -> None:
    """Serves until SIGTERM, then lets running requests end. Raises OSError when it cannot listen, ConfigError for a
    certificate that cannot be loaded."""
    sys.setswitchinterval(0.0005)  # keeps a busy thread from stalling the loop (DESIGN section 8)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(deployment))


async def _serve(deployment: Deployment) -> None:
    config, services = deployment.config, deployment.services
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_READ_THREADS, thread_name_prefix="read"))
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    services.directory.refresh()
    services.files.recent.room = recent.ROOM
    dav = DavDoor(services, DavApp(services, DavSettings(hostnames=config.http.hostnames)))
    serving = [await _listen(config, deployment.listener(), Front(services, dav, _front_settings(config)))]
    s3_listener = deployment.s3_listener()
    if s3_listener is not None:
        serving.append(
            await _listen(config, s3_listener, Front(services, _s3_door(config, services), _front_settings(config)))
        )
    tasks = _start_tasks(services, [one.server for one in serving])
    deployment.ready()
    log.info("gate serves", extra={"connections": serving[0].server.bounds.total})
    await stopping.wait()
    cut = sum(await asyncio.gather(*(one.drain() for one in serving)))
    log.info("gate drained", extra={"cut": cut})
    await _end_tasks(services, tasks)
    for one in serving:
        one.front.close()


def _s3_door(config: Config, services: Services) -> Door:
    from gateway.gate.s3door import S3Door
    from gateway.s3.app import S3App
    from gateway.s3.request import S3Settings

    return S3Door(S3App(services, S3Settings(region=config.s3.region, domain=config.s3.domain)))


@dataclass(frozen=True)
class _Serving:
    """One listener with what answers on it."""

    listening: asyncio.Server
    server: GateServer
    front: Front

    async def drain(self) -> int:
        """Takes no new connections and lets running requests end; returns how many were cut off."""
        self.listening.close()
        self.front.is_draining = True
        return await self.server.drain(limits.DRAIN_SECONDS)


async def _listen(config: Config, listener: socket.socket, front: Front) -> _Serving:
    server = GateServer(front, _connection_limits(config))
    listening = await asyncio.get_running_loop().create_server(
        server,
        sock=listener,
        backlog=limits.BACKLOG,
        ssl=tls_context(config.listen.tls) if config.listen.tls else None,
        ssl_handshake_timeout=_HANDSHAKE_SECONDS if config.listen.tls else None,
    )
    return _Serving(listening, server, front)


def _front_settings(config: Config) -> FrontSettings:
    return FrontSettings(
        tls=config.listen.tls is not None,
        allow_plain_login=config.http.allow_plain_login,
        trusted_proxies=config.http.trusted_proxies,
        log_requests=config.log.requests,
    )


def _connection_limits(config: Config) -> ConnectionLimits:
    http = config.http
    return ConnectionLimits(
        head_timeout=http.head_timeout,
        keep_alive=http.keep_alive,
        min_body_rate=http.min_body_rate,
        body_window=1.5 * http.head_timeout,
        total=limits.raise_descriptor_limit(),
        per_address=http.max_connections_per_address,
    )


def tls_context(tls: Tls) -> ssl.SSLContext:
    """TLS 1.2 and later. ssl.SSLError (an OSError) for files that are no certificate and key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.cert, tls.key)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _start_tasks(services: Services, servers: Sequence[GateServer]) -> list[asyncio.Task[None]]:
    """The lease is kept by a thread of its own: it must be renewed also when the loop is held up."""
    return [
        *(asyncio.create_task(server.sweep_for_ever()) for server in servers),
        asyncio.create_task(_every(REFRESH_SECONDS, "directory", services.directory.refresh)),
        asyncio.create_task(_every(FLUSH_SECONDS, "traffic", services.traffic.flush)),
        asyncio.create_task(_every(CHECK_SECONDS, "database", services.db.check)),
        asyncio.create_task(_every(recent.TURN_SECONDS, "contents", services.files.recent.turn)),
    ]


async def _every(seconds: float, name: str, work: Callable[[], object]) -> None:
    """Runs ``work`` in a thread again and again. A failure is logged once until it works again."""
    loop = asyncio.get_running_loop()
    threads = ThreadPoolExecutor(1, thread_name_prefix=name)
    failing = False
    while True:
        await asyncio.sleep(seconds)
        try:
            await loop.run_in_executor(threads, work)
            if failing:
                log.info("works again", extra={"task": name})
            failing = False
        except KuradoError as error:
            if not failing:
                log.warning("does not work", extra={"task": name, "reason": error.message})
            failing = True
        except Exception:
            if not failing:
                log.exception("failed", extra={"task": name})
            failing = True


async def _end_tasks(services: Services, tasks: list[asyncio.Task[None]]) -> None:
    """Books the last traffic after the last request."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with contextlib.suppress(KuradoError):
        await asyncio.get_running_loop().run_in_executor(None, services.traffic.flush)
