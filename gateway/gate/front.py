"""From a framed request to the answer on the line: exchange, login, route, protocol, sending."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from aiohttp.http import RawRequestMessage

from gateway.domain.errors import KuradoError
from gateway.domain.ids import new_request_id
from gateway.exchange import Exchange, Headers, Reply
from gateway.gate import limits
from gateway.gate.accounting import Account, log_malformed
from gateway.gate.body import NO_BODY, NoBody, RequestBody
from gateway.gate.connection import Connection, Request
from gateway.gate.doors import Door
from gateway.gate.framing import Malformed, Target
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
        target, message = request.target, request.message
        if target is None or message is None:
            return await self._refuse(request, request.malformed or Malformed(400, "the request is malformed"))
        account = Account(self._services.traffic)
        body = _body(request, target, account)
        exchange = self._exchange(request, message, target, body)
        reply = await self._answer(exchange, account, secure=self._is_secure(request, exchange))
        account.answered(exchange.method, reply.status)
        persist = self._persists(request.connection, message, reply, body)
        status = reply.status
        try:
            sender = Sender(
                request.connection,
                http_1_0=message.version == (1, 0),
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

    def _exchange(
        self, request: Request, message: RawRequestMessage, target: Target, body: RequestBody | NoBody
    ) -> Exchange:
        headers = cast(Headers, message.headers)
        peer = request.connection.address
        return Exchange(
            method=message.method,
            raw_path=target.path,
            query=target.query,
            headers=headers,
            body=body,
            request_id=new_request_id(),
            remote=self._proxies.client(peer, headers),
            scheme=self._proxies.scheme(peer, headers, "https" if self._settings.tls else "http"),
            host=target.host,
        )

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

    def _is_secure(self, request: Request, exchange: Exchange) -> bool:
        """Whether a password may have come this way: by TLS, from this machine, or because the operator allows it."""
        if exchange.scheme == "https" or self._settings.allow_plain_login:
            return True
        return self._proxies.is_local(request.connection.address, exchange.headers)

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
        self, connection: Connection, message: RawRequestMessage, reply: Reply, body: RequestBody | NoBody
    ) -> bool:
        if reply.close or message.should_close or message.upgrade or self.is_draining or connection.ends:
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

    async def _end_body(self, request: Request, body: RequestBody | NoBody, *, persist: bool) -> bool:
        """Reads a small rest of an unread body away; with a large one the connection ends when the client has seen the
        answer. Returns whether the connection can go on."""
        if body is NO_BODY or (persist and await _skip(body)):
            return persist
        if not body.is_complete:
            request.connection.body = None
            await request.connection.linger()
        return False


def _body(request: Request, target: Target, account: Account) -> RequestBody | NoBody:
    if target.length == 0:
        return NO_BODY
    connection = request.connection
    clock = asyncio.get_running_loop().time
    body = RequestBody(connection, request.stream, target.length, target.expects, clock, account.received)
    connection.body = body
    return body


class _CutOff(ConnectionError):
    """An answer that had begun could not be completed: the connection closes."""


async def _skip(body: RequestBody | NoBody) -> bool:
    try:
        while await body.next():
            pass
    except KuradoError:
        return False
    return True
