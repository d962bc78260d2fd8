"""The S3 API's entrance: who asks, what for, and one funnel for errors."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from gateway.domain.errors import BadSignature, Forbidden, KuradoError, TenantSuspended
from gateway.domain.names import Path
from gateway.domain.tenant import Caller, TenantState
from gateway.exchange import Exchange, Reply
from gateway.hooks import Request
from gateway.s3 import cors
from gateway.s3.errors import S3Fault, error_reply, internal_error, invalid
from gateway.s3.forms import boundary_of, read_form
from gateway.s3.operations import POST_OBJECT, find
from gateway.s3.payload import Payload, read_payload
from gateway.s3.posting import post_object, read_form_claim
from gateway.s3.request import Account, S3Request, S3Settings, path_of
from gateway.s3.sigv4 import ChunkSigner, Unsigned, check_claim, is_signed, parse_query, read_claim
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
            reply = await self._answer(exchange, account)
        except KuradoError as error:
            reply = await self._refuse(exchange, account.caller, account.path, error)
        except Exception:
            log.exception("request %s failed", exchange.request_id)
            reply = internal_error(exchange)
        if "Origin" in exchange.headers and account.caller is not None:
            await self._share(exchange, account.caller, reply)
        reply.headers = {"x-amz-request-id": exchange.request_id, **reply.headers}
        if exchange.body.length == 0 and "Expect" in exchange.headers:
            # awscli takes an answer that came without a 100 for the beginning of the next one too
            reply.close = True
        return reply

    async def _answer(self, exchange: Exchange, account: Account) -> Reply:
        bucket, key = self._names(exchange)
        if exchange.method == "OPTIONS":
            return await self._preflight(exchange, bucket)
        if exchange.method == "POST" and bucket and not key and "Authorization" not in exchange.headers:
            kind = exchange.headers.get("Content-Type") or ""
            if kind.lower().startswith("multipart/form-data"):
                return await self._post(exchange, account, bucket, boundary_of(kind))
        query = dict(parse_query(exchange.query)) if exchange.query else {}
        signed = Unsigned(exchange.method, exchange.raw_path, exchange.query, exchange.headers)
        claim = read_claim(signed, query)
        check_claim(claim, signed, self._services.clock(), self._settings.region)
        signer = self._services.accesskeys.cached(claim.key_id) or await self._signer(claim.key_id)
        if not is_signed(claim, signed, signer.secret):
            raise BadSignature(_MISMATCH)
        account.path = path_of(bucket, key)
        verb = exchange.method
        try:
            chunks = ChunkSigner(claim, signer.secret)
            payload = read_payload(exchange.body, exchange.headers, claim.payload, chunks)
            operation = find(exchange.method, bucket, key, query, "x-amz-copy-source" in exchange.headers)
            verb = operation.name
        finally:
            account.caller = caller_of(signer, exchange, verb)
        request = self._request(exchange, account.caller, bucket, key, query, payload)
        await self._admit(request, account, operation.traffic, writes=operation.writes)
        return await operation.handler(request)

    def _request(
        self, exchange: Exchange, caller: Caller, bucket: str, key: str, query: Mapping[str, str], payload: Payload
    ) -> S3Request:
        return S3Request(exchange, caller, bucket, key, query, payload, self._services, self._settings, self._record)

    async def _post(self, exchange: Exchange, account: Account, bucket: str, boundary: bytes) -> Reply:
        """An upload by a form, which carries its signature among its fields."""
        form = await read_form(exchange.body, boundary)
        claim = read_form_claim(form.fields, self._settings.region)
        signer = await self._signer(claim.key_id)
        if not claim.is_signed(signer.secret):
            raise BadSignature(_MISMATCH)
        key = form.fields.get("key", "").replace("${filename}", form.filename)
        if not key:
            raise invalid("Bucket POST must contain a field named 'key'", "key")
        account.caller = caller_of(signer, exchange, POST_OBJECT)
        account.path = path_of(bucket, key)
        request = self._request(exchange, account.caller, bucket, key, {}, Payload(form.file))
        await self._admit(request, account, "write", writes=True)
        return await post_object(request, form)

    # -- pages --------------------------------------------------------------------------------------------------------

    async def _preflight(self, exchange: Exchange, bucket: str) -> Reply:
        """OPTIONS carries no signature; a presigned query at least names the key, and with it the tenant."""
        credential = dict(parse_query(exchange.query)).get("X-Amz-Credential", "")
        if not credential or not bucket:
            return cors.preflight(exchange, None)
        signer = await self._signer(credential.partition("/")[0])
        caller = caller_of(signer, exchange, exchange.method)
        found = await asyncio.get_running_loop().run_in_executor(
            self._settings.work, lambda: self._services.buckets.get(caller, bucket)
        )
        return cors.preflight(exchange, found)

    async def _share(self, exchange: Exchange, caller: Caller, reply: Reply) -> None:
        """Adds what lets the page that asked read the answer, be it a success or an error."""
        bucket, _ = self._names(exchange)
        if not bucket or exchange.method == "OPTIONS":
            return
        with contextlib.suppress(KuradoError):
            found = await asyncio.get_running_loop().run_in_executor(
                self._settings.work, lambda: self._services.buckets.get(caller, bucket)
            )
            reply.headers = {**reply.headers, **cors.answer_headers(exchange, found)}

    def _names(self, exchange: Exchange) -> tuple[str, str]:
        """Bucket and key of a request, from its host or its path, decoded. Raises S3Fault InvalidURI."""
        raw = exchange.raw_path
        if "%" in raw or not raw.isascii():
            try:
                raw = unquote_to_bytes(raw).decode()
            except UnicodeDecodeError:
                raise S3Fault(400, "InvalidURI", "Couldn't parse the specified URI.") from None
        domain = self._settings.domain
        if domain:
            host = exchange.host.rpartition(":")[0] if exchange.host.rpartition(":")[2].isdigit() else exchange.host
            if host.endswith("." + domain):
                return host.removesuffix("." + domain), raw.removeprefix("/")
        bucket, _, key = raw.removeprefix("/").partition("/")
        return bucket, key

    async def _signer(self, key_id: str) -> Signer:
        """Who may sign with a key, by a look at the database. Raises Unauthenticated."""
        keys = self._services.accesskeys
        return await asyncio.get_running_loop().run_in_executor(self._settings.work, keys.signer, key_id)

    async def _admit(self, request: S3Request, account: Account, traffic: str, *, writes: bool) -> None:
        """``check_request`` comes before anything else (DESIGN section 6). Raises what the request is refused with."""
        account.request_class = traffic
        tenant = request.caller.tenant
        if tenant.state is not TenantState.ACTIVE:
            raise TenantSuspended("access is not possible")
        if request.header("x-amz-expected-bucket-owner") not in (None, tenant.name):
            raise Forbidden("the bucket belongs to somebody else than x-amz-expected-bucket-owner says")
        host = self._services.host
        if host.implements("check_request"):
            asked = Request(request.caller, account.path, writes=writes)
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


def caller_of(signer: Signer, exchange: Exchange, verb: str) -> Caller:
    return Caller(signer.tenant, signer.user, exchange.request_id, verb, exchange.remote)
