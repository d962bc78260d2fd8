"""Basic authentication (RFC 7617): header to caller."""

from __future__ import annotations

import asyncio
import base64
import binascii
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from gateway.domain.errors import BadRequest, Forbidden, KuradoError, Unauthenticated
from gateway.domain.tenant import Caller, Tenant, User
from gateway.exchange import Exchange, Login, Reply
from gateway.service.services import Services

CHALLENGE = 'Basic realm="kurado", charset="UTF-8"'
_THREADS = 8


class Credentials(NamedTuple):
    login: str
    password: str


class Authenticator:
    """Verified logins are recognised in the loop; argon2 runs in threads of its own, so that a flood of wrong logins
    keeps nobody waiting who has logged in before."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="login")

    async def caller(self, exchange: Exchange, tenant: str | None, *, secure: bool) -> Caller:
        """Who asks. ``tenant`` None takes the tenant from the login. Raises Unauthenticated, RateLimited,
        TenantSuspended, BackendUnavailable; BadRequest for a header that is no Basic credential; Forbidden for a
        password that travelled in the clear where that is not allowed."""
        if not secure:
            raise Forbidden("logins are taken over TLS only")
        logins, known = self._services.logins, exchange.notes.login
        if known is not None and known.tenant == tenant:
            parts = logins.known(known.digest)
            if parts is not None:
                return caller_of(parts, exchange)
        credentials = parse_authorization(exchange.headers.getall("Authorization", []))
        if credentials is None:
            raise Unauthenticated("login required")
        login, password = credentials.login, credentials.password
        digest = logins.digest(tenant, login, password)
        exchange.notes.login = Login(tenant, digest)
        parts = logins.known(digest)
        if parts is None:
            parts = await asyncio.get_running_loop().run_in_executor(
                self._threads, logins.authenticate, tenant, login, password, exchange.remote
            )
        return caller_of(parts, exchange)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def caller_of(parts: tuple[Tenant, User], exchange: Exchange) -> Caller:
    return Caller(*parts, exchange.request_id, exchange.method, exchange.remote)


def parse_authorization(values: list[str]) -> Credentials | None:
    """The credentials of a request, None without any (or of another scheme); BadRequest when they are malformed."""
    if not values:
        return None
    if len(values) > 1:
        raise BadRequest("a request has one Authorization header")
    scheme, _, token = values[0].strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("the Authorization header is malformed") from None
    login, colon, password = _text(decoded).partition(":")
    if not colon or "\x00" in login:
        raise BadRequest("the Authorization header is malformed")
    return Credentials(login, password)


def with_challenge(reply: Reply, error: KuradoError) -> Reply:
    """Adds what a 401 has to carry (RFC 9110 section 11.6.1)."""
    if not isinstance(error, Unauthenticated):
        return reply
    return Reply(reply.status, {**reply.headers, "WWW-Authenticate": CHALLENGE}, reply.body, reply.close)


def _text(decoded: bytes) -> str:
    try:
        return decoded.decode()
    except UnicodeDecodeError:
        return decoded.decode("latin-1")  # clients that do not know charset="UTF-8"
