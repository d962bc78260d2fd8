"""The body of a request as its signature describes it: plain, or in chunks of the form ``aws-chunked``.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html. Chunks are decoded as they come and never held
whole: a chunk whose signature does not hold ends the upload, of which nothing is visible by then.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from gateway.domain.errors import BadSignature, IncompleteBody, TooLarge
from gateway.exchange import Body, Headers
from gateway.s3.errors import S3Fault
from gateway.s3.sigv4 import UNSIGNED, ChunkSigner

SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?")
_MAX_LINE = 8 * 1024
_MAX_TRAILERS = 16
_MISMATCH = "The request signature we calculated does not match the signature you provided."


@dataclass
class Payload:
    """A decoded body (an ``exchange.Body``) with what is known of its bytes: ``sha256`` as signed, None when it is not;
    ``trailers`` fill when the body has been read to its end."""

    body: Body
    sha256: str | None = None
    trailers: dict[str, str] = field(default_factory=dict)
    announced: tuple[str, ...] = ()
    """Names of the trailers that the head promises, in lower case."""

    @property
    def length(self) -> int | None:
        return self.body.length


def read_payload(body: Body, headers: Headers, payload: str, signer: ChunkSigner) -> Payload:
    """The body by the word in ``x-amz-content-sha256``. Raises S3Fault for a word that means nothing."""
    announced = tuple(name.strip().lower() for name in (headers.get("x-amz-trailer") or "").split(",") if name.strip())
    if payload == UNSIGNED:
        return Payload(body)
    if _HASH.fullmatch(payload):
        return Payload(body, payload.lower())
    if payload not in (SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED_TRAILER):
        raise S3Fault(
            400,
            "InvalidArgument",
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
        )
    text = headers.get("x-amz-decoded-content-length")
    if text is None or not re.fullmatch(r"\d{1,18}", text.strip(), re.ASCII):
        raise S3Fault(411, "MissingContentLength", "You must provide the x-amz-decoded-content-length HTTP header.")
    has_trailer = payload != SIGNED_CHUNKS
    decoded = ChunkedBody(body, int(text), signer if payload != UNSIGNED_TRAILER else None, has_trailer, announced)
    return Payload(decoded, None, decoded.trailers, announced)


class ChunkedBody:
    """Implements ``exchange.Body`` over an aws-chunked one; ``length`` is the decoded length."""

    def __init__(
        self, body: Body, length: int, signer: ChunkSigner | None, has_trailer: bool, announced: tuple[str, ...]
    ) -> None:
        self.length: int | None = length
        self.trailers: dict[str, str] = {}
        self._body = body
        self._left = length
        self._signer = signer
        self._has_trailer = has_trailer
        self._announced = announced

    def take(self) -> bytes | None:
        return None

    async def read(self, limit: int) -> bytes:
        if self.length is not None and self.length > limit:
            raise TooLarge(f"the body may have at most {limit} bytes here")
        return b"".join([block async for block in self.blocks()])

    async def blocks(self) -> AsyncIterator[bytes]:
        source = _Buffer(self._body.blocks())
        while True:
            size, signature = self._chunk_head(await source.line())
            if size > self._left:
                raise IncompleteBody("the body is longer than x-amz-decoded-content-length")
            self._left -= size
            digest, is_last = hashlib.sha256(), size == 0
            while size:
                block = await source.take(size)
                size -= len(block)
                if self._signer:
                    digest.update(block)
                yield block
            if self._signer and not self._signer.check_chunk(signature, digest.hexdigest()):
                raise BadSignature(_MISMATCH)
            if is_last:
                break
            if await source.line():
                raise IncompleteBody("a chunk does not end where it says")
        if self._left:
            raise IncompleteBody("the body is shorter than x-amz-decoded-content-length")
        await self._read_trailers(source)
        if await source.is_left():
            raise IncompleteBody("something follows the last chunk")

    def _chunk_head(self, line: bytes) -> tuple[int, str]:
        match = _CHUNK.fullmatch(line)
        if match is None:
            raise IncompleteBody("a chunk is malformed")
        if self._signer and match[2] is None:
            raise BadSignature(_MISMATCH)
        return int(match[1], 16), (match[2] or b"").decode()

    async def _read_trailers(self, source: _Buffer) -> None:
        lines: list[bytes] = []
        while line := await source.line(at_end=True):
            if len(lines) > _MAX_TRAILERS or b":" not in line:
                raise S3Fault(400, "MalformedTrailerError", "the trailer is malformed")
            lines.append(line)
        signature = ""
        signed = b""
        for line in lines:
            name, _, value = line.decode("utf-8", "surrogateescape").partition(":")
            name = name.strip().lower()
            if name == "x-amz-trailer-signature":
                signature = value.strip()
                continue
            if not self._has_trailer or name not in self._announced:
                raise S3Fault(400, "MalformedTrailerError", "the request has a trailer that it did not announce")
            self.trailers[name] = value.strip()
            signed += f"{name}:{value.strip()}\n".encode("utf-8", "surrogateescape")
        if self._announced and set(self._announced) - self.trailers.keys():
            raise S3Fault(400, "MalformedTrailerError", "the trailer that was announced did not come")
        if self._signer and self._has_trailer and not self._signer.check_trailer(signature, signed):
            raise BadSignature(_MISMATCH)


class _Buffer:
    """Lines and pieces of a stream of blocks."""

    def __init__(self, blocks: AsyncIterator[bytes]) -> None:
        self._blocks = blocks
        self._held = b""

    async def line(self, *, at_end: bool = False) -> bytes:
        """The next line without its end. ``at_end``: the end of the body is an empty one."""
        while (end := self._held.find(b"\r\n")) < 0:
            if len(self._held) > _MAX_LINE:
                raise IncompleteBody("a line of the chunked body is too long")
            block = await anext(self._blocks, b"")
            if not block:
                if at_end and not self._held:
                    return b""
                raise IncompleteBody("the chunked body ended early")
            self._held += block
        line, self._held = self._held[:end], self._held[end + 2 :]
        if len(line) > _MAX_LINE:
            raise IncompleteBody("a line of the chunked body is too long")
        return line

    async def take(self, size: int) -> bytes:
        """Up to ``size`` bytes, at least one."""
        if not await self.is_left():
            raise IncompleteBody("the chunked body ended early")
        block, self._held = self._held[:size], self._held[size:]
        return block

    async def is_left(self) -> bool:
        """Whether the body goes on."""
        if not self._held:
            self._held = await anext(self._blocks, b"")
        return bool(self._held)


def digests(headers: Headers, payload: Payload) -> Mapping[str, str]:
    """The digests that the head declares of the whole body, for ``Declared.digests``: the signed hash and Content-MD5.

    Raises S3Fault InvalidDigest.
    """
    found = {"sha-256": payload.sha256} if payload.sha256 else {}
    md5 = headers.get("Content-MD5")
    if md5 is not None:
        found["md5"] = _md5(md5)
    return found


def _md5(text: str) -> str:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 16:
        raise S3Fault(400, "InvalidDigest", "The Content-MD5 you specified was invalid.")
    return raw.hex()
