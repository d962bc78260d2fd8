"""From a framed request to the answer on the line: exchange, login, route, protocol, sending."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.domain.errors import KuradoError
from gateway.domain.ids import new_request_id
from gateway.exchange import Body, Exchange, Origin, Reply
from gateway.gate import limits
from gateway.gate.accounting import Account, log_malformed
from gateway.gate.body import NO_BODY, NoBody, RequestBody, WholeBody
from gateway.gate.connection import Connection, Request
from gateway.gate.doors import Door
from gateway.gate.framing import Malformed
from gateway.gate.known import Asked
from gateway.gate.proxies import Proxies
from gateway.gate.sending import Sender
from gateway.service.services import Services

log = logging.getLogger("kurado.gate")


@dataclass(frozen=True, slots=True)
class FrontSettings:
    """``tls``: whether our own listener speaks it."""

    tls: bool = False
    allow_plain_login: bool = False
    trusted_proxies: Sequence[str] = ()
    log_requests: bool = False


class Front:
    """The handler of every request. ``is_draining`` is set when the process is about to end."""

    def __init__(self, services: Services, door: Door, settings: FrontSettings) -> None:
        self._services = services
        self._door = door
        self._settings = settings
        self._proxies = Proxies(settings.trusted_proxies)
        self.is_draining = False

    async def __call__(self, request: Request) -> bool:
        """Answers a request; whether the connection stays open. ConnectionError when it broke on the way."""
        asked = request.asked
        if asked is None:
            return await self._refuse(request, request.malformed or Malformed(400, "the request is malformed"))
        origin = asked.notes.origin or self._origin(request.connection.address, asked)
        account = Account(self._services.traffic)
        body = _body(request, asked, account)
        exchange = _exchange(asked, origin, body)
        reply = await self._answer(exchange, account, secure=origin.is_secure)
        account.answered(exchange.method, reply.status)
        persist = self._persists(request.connection, asked, reply, body)
        status = reply.status
        try:
            sender = Sender(
                request.connection,
                http_1_0=asked.http_1_0,
                head_only=exchange.method == "HEAD",
                persist=persist,
                on_bytes=account.sent,
            )
            status = await self._send(sender, reply, exchange)
            persist = await self._end_body(request, body, persist=sender.persist)
        except ConnectionError:
            persist = False
        finally:
            if self._settings.log_requests:
                account.log(exchange, status)
        return persist

    def close(self) -> None:
        self._door.close()

    # -- in -----------------------------------------------------------------------------------------------------------

    def _origin(self, peer: str, asked: Asked) -> Origin:
        """A password may have come by TLS, from this machine, or because the operator allows it."""
        headers = asked.headers
        scheme = self._proxies.scheme(peer, headers, "https" if self._settings.tls else "http")
        is_secure = scheme == "https" or self._settings.allow_plain_login or self._proxies.is_local(peer, headers)
        origin = asked.notes.origin = Origin(self._proxies.client(peer, headers), scheme, is_secure)
        return origin

    async def _answer(self, exchange: Exchange, account: Account, *, secure: bool) -> Reply:
        try:
            return await self._door.answer(exchange, account, secure=secure)
        except KuradoError as error:
            return self._door.error_reply(error, exchange)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("request failed", extra={"request_id": exchange.request_id})
            return self._door.internal_error(exchange)

    async def _refuse(self, request: Request, malformed: Malformed) -> bool:
        """Answers what is no request, in plain text, and closes."""
        sender = Sender(
            request.connection, http_1_0=False, head_only=request.is_head, persist=False, on_bytes=lambda _: None
        )
        text = f"{malformed.reason}\n".encode()
        request_id = new_request_id()
        if self._settings.log_requests:
            log_malformed(request_id, malformed.status, request.connection.address)
        await sender.send(Reply(malformed.status, {"Content-Type": "text/plain; charset=utf-8"}, text), request_id)
        await request.connection.linger()
        return False

    # -- out ----------------------------------------------------------------------------------------------------------

    def _persists(
        self, connection: Connection, asked: Asked, reply: Reply, body: RequestBody | WholeBody | NoBody
    ) -> bool:
        if reply.close or not asked.persists or self.is_draining or connection.ends:
            return False
        if body.is_expected:
            return False
        return body.rest is not None and body.rest <= limits.SMALL_REST

    async def _send(self, sender: Sender, reply: Reply, exchange: Exchange) -> int:
        """Sends the reply, or what its failure becomes; returns the status that the client saw."""
        try:
            await sender.send(reply, exchange.request_id)
            return reply.status
        except ConnectionError:
            raise
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if sender.begun:
                log.error("answer cut off", extra={"request_id": exchange.request_id, "reason": repr(error)})
                raise _CutOff from error
            return await self._send_instead(sender, error, exchange)

    async def _send_instead(self, sender: Sender, error: Exception, exchange: Exchange) -> int:
        if isinstance(error, KuradoError):
            log.error(
                "content cannot be sent", extra={"request_id": exchange.request_id, "reason": repr(error.__cause__)}
            )
            reply = self._door.error_reply(error, exchange)
        else:
            log.error("answer failed", exc_info=error, extra={"request_id": exchange.request_id})
            reply = self._door.internal_error(exchange)
        await sender.send(reply, exchange.request_id)
        return reply.status

    async def _end_body(self, request: Request, body: RequestBody | WholeBody | NoBody, *, persist: bool) -> bool:
        """Reads a small rest of an unread body away; with a large one the connection ends when the client has seen the
        answer. Returns whether the connection can go on."""
        if body is NO_BODY or (persist and await _skip(body)):
            return persist
        if not body.is_complete:
            request.connection.body = None
            await request.connection.linger()
        return False


def _exchange(asked: Asked, origin: Origin, body: Body) -> Exchange:
    target = asked.target
    return Exchange(
        target.method, target.path, target.query, asked.headers, body, new_request_id(), origin.remote, origin.scheme,
        target.host, asked.notes,
    )  # fmt: skip


def _body(request: Request, asked: Asked, account: Account) -> RequestBody | WholeBody | NoBody:
    target = asked.target
    if target.length == 0:
        return NO_BODY
    if asked.body is not None:
        return WholeBody(asked.body, account.received)
    connection = request.connection
    clock = asyncio.get_running_loop().time
    body = RequestBody(connection, request.stream, target.length, target.expects, clock, account.received)
    connection.body = body
    return body


class _CutOff(ConnectionError):
    """An answer that had begun could not be completed: the connection closes."""


async def _skip(body: RequestBody | WholeBody | NoBody) -> bool:
    try:
        while await body.next():
            pass
    except KuradoError:
        return False
    return True
