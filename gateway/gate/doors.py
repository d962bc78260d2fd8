"""What a listener leads to: who is let in, and which protocol answers. The front is the same for both."""

from __future__ import annotations

from typing import Protocol

from gateway.dav.errors import error_reply, internal_error
from gateway.domain.errors import KuradoError, NotFound
from gateway.domain.names import Path, parse_path
from gateway.domain.tenant import Caller
from gateway.exchange import Exchange, Reply
from gateway.gate.account import AccountPages, is_account
from gateway.gate.accounting import Account
from gateway.gate.auth import Authenticator, caller_of, with_challenge
from gateway.gate.framing import METHODS
from gateway.gate.status import board_reply, is_board
from gateway.service.logins import SuspendedLogin
from gateway.service.services import Services

ROOTS = frozenset({"/", "/dav", "/dav/", "*"})
SPACES = "/dav/"


class Door(Protocol):
    """Answers a framed request. Raises domain errors, which ``error_reply`` turns into answers."""

    async def answer(self, exchange: Exchange, account: Account, *, secure: bool) -> Reply: ...
    def error_reply(self, error: KuradoError, exchange: Exchange) -> Reply: ...
    def internal_error(self, exchange: Exchange) -> Reply: ...
    def close(self) -> None: ...


class DavApplication(Protocol):
    """The protocol behind the door of WebDAV (``dav.app.DavApp``)."""

    async def handle(self, exchange: Exchange, caller: Caller, path: Path, is_collection_url: bool) -> Reply: ...
    async def handle_root(self, exchange: Exchange, caller: Caller | None) -> Reply: ...
    async def refuse(self, exchange: Exchange, caller: Caller | None, path: Path, error: KuradoError) -> Reply: ...


class DavDoor:
    """WebDAV: Basic authentication, then the tenant's space."""

    def __init__(self, services: Services, app: DavApplication) -> None:
        self._app = app
        self._services = services
        self._authenticator = Authenticator(services)
        self._account = AccountPages(services, self._authenticator, app.refuse)

    async def answer(self, exchange: Exchange, account: Account, *, secure: bool) -> Reply:
        try:
            return await self._route(exchange, account, secure=secure)
        except SuspendedLogin as error:
            account.caller = caller_of(error.parts, exchange)
            return await self._app.refuse(exchange, account.caller, (), error)

    def error_reply(self, error: KuradoError, exchange: Exchange) -> Reply:
        return with_challenge(error_reply(error, exchange), error)

    def internal_error(self, exchange: Exchange) -> Reply:
        return internal_error(exchange)

    def close(self) -> None:
        self._authenticator.close()

    async def _route(self, exchange: Exchange, account: Account, *, secure: bool) -> Reply:
        if exchange.method not in METHODS:
            return Reply(501, {"Content-Type": "text/plain"}, b"this method is not known here\n")
        raw_path = exchange.raw_path
        if raw_path in ROOTS:
            return await self._route_root(exchange, account, secure=secure)
        if not raw_path.startswith(SPACES):
            if is_board(raw_path):
                return await board_reply(self._services, exchange)
            if is_account(raw_path):
                return await self._account.answer(exchange, account, secure=secure)
        tenant, rest = split_tenant(raw_path)
        caller = account.caller = await self._authenticator.caller(exchange, tenant, secure=secure)
        try:
            path = account.path = parse_path(rest)
        except KuradoError as error:
            return await self._app.refuse(exchange, caller, (), error)
        return await self._app.handle(exchange, caller, path, rest.endswith("/"))

    async def _route_root(self, exchange: Exchange, account: Account, *, secure: bool) -> Reply:
        """Windows asks OPTIONS of the root before it has a login (CLIENTS 2); ``GET /`` is a page for people."""
        anonymous = exchange.method == "OPTIONS" or (
            exchange.raw_path == "/" and exchange.method in ("GET", "HEAD") and "Authorization" not in exchange.headers
        )
        if not anonymous:
            account.caller = await self._authenticator.caller(exchange, None, secure=secure)
        return await self._app.handle_root(exchange, account.caller)


def split_tenant(raw_path: str) -> tuple[str, str]:
    """``/dav/<tenant>/rest`` to tenant and ``/rest``; NotFound for anything else. A tenant's name needs no escapes:
    an escaped one is as unknown as any other."""
    if not raw_path.startswith(SPACES):
        raise NotFound("there is nothing at this path")
    tenant, slash, rest = raw_path[len(SPACES) :].partition("/")
    return tenant, slash + rest or "/"
