"""The way into the S3 API; a file of its own, because what it imports is large and not every gate serves S3."""

from __future__ import annotations

from gateway.domain.errors import KuradoError
from gateway.exchange import Exchange, Reply
from gateway.gate.accounting import Account
from gateway.s3.app import S3App
from gateway.s3.errors import error_reply, internal_error


class S3Door:
    """The S3 API: signed requests. A signature gives no secret away, so it may come by plain HTTP."""

    def __init__(self, app: S3App) -> None:
        self._app = app

    async def answer(self, exchange: Exchange, account: Account, *, secure: bool) -> Reply:  # noqa: ARG002
        return await self._app.answer(exchange, account)

    def error_reply(self, error: KuradoError, exchange: Exchange) -> Reply:
        return error_reply(error, exchange)

    def internal_error(self, exchange: Exchange) -> Reply:
        return internal_error(exchange)

    def close(self) -> None:
        """Nothing to end."""
