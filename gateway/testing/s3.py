"""Speaks S3 to a running gateway: boto3 for what clients do, and requests signed by botocore for what none does."""

from __future__ import annotations

import hashlib
import hmac
import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from gateway.testing.server import LOGIN, TENANT, RunningGateway

REGION = "us-east-1"
S3_CONFIG = {"listen": {"s3": "127.0.0.1:0"}}


class _Signing(S3SigV4Auth):  # type: ignore[misc]
    """Signs ``x-amz-content-sha256`` as it was given: a body in chunks is described by a word."""

    def payload(self, request: AWSRequest) -> str:
        return str(request.context.get("word") or super().payload(request))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of an error."""
        return self.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


class ChunkWriter:
    """The client's side of a body in signed chunks, written from the published description.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
    """

    def __init__(self, key: bytes, stamp: str, scope: str, seed: str) -> None:
        self._key = key
        self._head = f"{stamp}\n{scope}"
        self._previous = seed

    def _sign(self, word: str, *lines: str) -> str:
        text = "\n".join((f"AWS4-HMAC-SHA256-{word}", self._head, self._previous, *lines))
        self._previous = hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
        return self._previous

    def chunk(self, data: bytes) -> bytes:
        signature = self._sign("PAYLOAD", hashlib.sha256(b"").hexdigest(), hashlib.sha256(data).hexdigest())
        return f"{len(data):x};chunk-signature={signature}\r\n".encode() + data + (b"\r\n" if data else b"")

    def trailer(self, line: bytes) -> bytes:
        signature = self._sign("TRAILER", hashlib.sha256(line + b"\n").hexdigest())
        return line + f"\r\nx-amz-trailer-signature:{signature}\r\n\r\n".encode()


@dataclass(frozen=True)
class S3Access:
    """One access key on one gateway. ``client`` is a boto3 client."""

    url: str
    access_key: str
    secret_key: str
    client: Any

    def signed(
        self,
        method: str,
        path: str | bytes,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        unsigned: Mapping[str, str | bytes] | None = None,
        sent: bytes | Callable[[ChunkWriter], bytes] | None = None,
        region: str = REGION,
        host: str = "",
    ) -> Answer:
        """A request signed in its head. ``unsigned`` headers are added, and ``sent`` replaces the body, afterwards
        (or makes it, in chunks that follow the signature of the head);
        ``host`` is for a bucket in the host's name."""
        url = (f"http://{host}" if host else self.url) + quote(path, safe="/-_.~")
        request = AWSRequest(method, url, dict(headers or {}), body, dict(query or {}))
        request.context["payload_signing_enabled"] = True
        request.context["word"] = (headers or {}).get("x-amz-content-sha256")
        _Signing(Credentials(self.access_key, self.secret_key), "s3", region).add_auth(request)
        if callable(sent):
            credential, _, seed = request.headers["Authorization"].partition("Signature=")
            scope = credential.partition("Credential=")[2].partition(",")[0].partition("/")[2]
            key = ("AWS4" + self.secret_key).encode()
            for part in scope.split("/"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            sent = sent(ChunkWriter(key, request.headers["X-Amz-Date"], scope, seed))
        return self._send(request, unsigned, body if sent is None else sent)

    def presigned(
        self,
        method: str,
        path: str,
        *,
        expires: int = 60,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        altered: str = "",
    ) -> Answer:
        """A request signed in its query; ``altered`` is put behind the URL."""
        request = AWSRequest(method, self.url + quote(path, safe="/-_.~"), dict(headers or {}))
        S3SigV4QueryAuth(Credentials(self.access_key, self.secret_key), "s3", REGION, expires).add_auth(request)
        request.url = (request.url or "") + altered
        return self._send(request, None, body)

    def _send(self, request: AWSRequest, unsigned: Mapping[str, str | bytes] | None, body: bytes) -> Answer:
        prepared = request.prepare()
        parts = urlsplit(str(prepared.url))
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=120)
        try:
            target = f"{parts.path}?{parts.query}" if parts.query else parts.path
            connection.putrequest(str(prepared.method), target, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", parts.netloc)
            fields = {name: value for name, value in prepared.headers.items() if name.lower() != "content-length"}
            for name, value in {**fields, **(unsigned or {}), "Content-Length": str(len(body))}.items():
                text = value if isinstance(value, bytes) else str(value).encode()
                connection.putheader(name, text)
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()


def access(gateway: RunningGateway, tenant: str = TENANT, login: str = LOGIN, **settings: Any) -> S3Access:
    """A new access key of a user; ``settings`` are those of ``botocore.config.Config``."""
    key, secret = gateway.add_key(tenant, login)
    return access_with(gateway.s3_url, key, secret, **settings)


def access_with(url: str, key: str, secret: str, **settings: Any) -> S3Access:
    return S3Access(url, key, secret, client(url, key, secret, **settings))


def client(url: str, key: str, secret: str, **settings: Any) -> Any:
    """A boto3 client that does not repeat what fails."""
    config = Config(retries={"max_attempts": 0, "mode": "standard"}, signature_version="s3v4", **settings)
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name=REGION,
        config=config,
    )
