"""The S3 API's entrance: who asks, what for, and one funnel for errors."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from urllib.parse import unquote_to_bytes

from gateway.domain.errors import BadSignature, KuradoError, TenantSuspended
from gateway.domain.names import Path
from gateway.domain.tenant import Caller, TenantState
from gateway.exchange import Exchange, Reply
from gateway.hooks import Request
from gateway.s3.errors import error_reply, internal_error
from gateway.s3.operations import Operation, find
from gateway.s3.payload import read_payload
from gateway.s3.request import Account, S3Request, S3Settings
from gateway.s3.sigv4 import ChunkSigner, Claim, Unsigned, check_claim, is_signed, parse_query, read_claim
from gateway.service.accesskeys import Signer
from gateway.service.refusals import is_refusal
from gateway.service.services import Services

log = logging.getLogger(__name__)

_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your key and signing method."
)


class S3App:
    """Answers every request on the S3 listener; the gate has framed it."""

    def __init__(self, services: Services, settings: S3Settings | None = None) -> None:
        self._services = services
        self._settings = settings or S3Settings()

    async def answer(self, exchange: Exchange, account: Account) -> Reply:
        """One request. ``account`` learns who asked and for what."""
        try:
            return await self._answer(exchange, account)
        except KuradoError as error:
            return await self._refuse(exchange, account.caller, account.path, error)
        except Exception:
            log.exception("request %s failed", exchange.request_id)
            return internal_error(exchange)

    async def _answer(self, exchange: Exchange, account: Account) -> Reply:
        bucket, key = self._names(exchange)
        query = dict(parse_query(exchange.query))
        signed = Unsigned(exchange.method, exchange.raw_path, exchange.query, exchange.headers)
        claim = read_claim(signed)
        signer = await self._signer(claim, signed)
        caller = account.caller = Caller(
            signer.tenant, signer.user, exchange.request_id, exchange.method, exchange.remote
        )
        chunks = ChunkSigner(claim, signer.secret)
        payload = read_payload(exchange.body, exchange.headers, claim.payload, chunks)
        request = S3Request(exchange, caller, bucket, key, query, payload, self._services, self._settings)
        account.path = request.path
        if signer.tenant.state is not TenantState.ACTIVE:
            raise TenantSuspended("access is not possible")
        operation = find(exchange.method, bucket, key, query, "x-amz-copy-source" in exchange.headers)
        account.request_class = operation.traffic
        account.caller = replace(caller, verb=operation.name)
        request = replace(request, caller=account.caller)
        await self._admit(request, operation)
        return await operation.handler(request)

    def _names(self, exchange: Exchange) -> tuple[str, str]:
        """Bucket and key of a request, from its host or its path. Decoded; bytes that are no UTF-8 as surrogates."""
        raw = unquote_to_bytes(exchange.raw_path).decode("utf-8", "surrogateescape")
        host = exchange.host.rpartition(":")[0] if exchange.host.rpartition(":")[2].isdigit() else exchange.host
        domain = self._settings.domain
        if domain and host.endswith("." + domain):
            return host.removesuffix("." + domain), raw.removeprefix("/")
        bucket, _, key = raw.removeprefix("/").partition("/")
        return bucket, key

    async def _signer(self, claim: Claim, signed: Unsigned) -> Signer:
        """Who signed. Raises S3Fault, Unauthenticated, BadSignature."""
        check_claim(claim, signed, self._services.clock(), self._settings.region)
        keys = self._services.accesskeys
        signer = keys.cached(claim.key_id)
        if signer is None:
            signer = await asyncio.get_running_loop().run_in_executor(self._settings.work, keys.signer, claim.key_id)
        if not is_signed(claim, signed, signer.secret):
            raise BadSignature(_MISMATCH)
        return signer

    async def _admit(self, request: S3Request, operation: Operation) -> None:
        """``check_request`` comes before anything else (DESIGN section 6)."""
        host = self._services.host
        if host.implements("check_request"):
            asked = Request(request.caller, request.path, writes=operation.writes)
            ask = request.read if host.answers_at_once("check_request") else request.in_thread
            await ask(lambda: host.check("check_request", request=asked))

    async def _refuse(self, exchange: Exchange, caller: Caller | None, path: Path, error: KuradoError) -> Reply:
        """The one funnel of errors: records what was refused by rule (invariant I6), then answers."""
        if caller is not None and is_refusal(error):
            await self._record(caller, path, error)
        return error_reply(error, exchange)

    async def _record(self, caller: Caller, path: Path, error: KuradoError) -> None:
        def record() -> None:
            self._services.refusals.record(caller, path, error, error.digest)

        try:
            await asyncio.get_running_loop().run_in_executor(self._settings.work, record)
        except Exception:
            # the client is refused all the same; that the record failed must not be silent (invariant I5)
            log.exception("the refusal of request %s could not be recorded", caller.request_id)
