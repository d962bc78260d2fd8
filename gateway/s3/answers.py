"""Answers in XML."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from urllib.parse import quote

from gateway.domain.errors import BadRequest, DigestMismatch
from gateway.exchange import Reply
from gateway.s3.checksums import tap_of
from gateway.s3.errors import DECLARATION, XML_TYPE, S3Fault, malformed_xml
from gateway.s3.payload import digests
from gateway.s3.request import S3Request
from gateway.wire.fields import iso_date
from gateway.wire.markup import Element, escape, parse

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MAX_BODY = 4 * 1024 * 1024
MAX_ELEMENTS = 150_000
_AT_ONCE = 8 * 1024
"""Larger documents are parsed in a thread."""
_PLAIN = re.compile(r"[A-Za-z0-9/_.~-]*", re.ASCII).fullmatch


def document(name: str, inner: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer whose body is one element."""
    body = f'{DECLARATION}<{name} xmlns="{NAMESPACE}">{inner}</{name}>'
    return Reply(status, {"Content-Type": XML_TYPE, **(headers or {})}, body.encode())


def element(name: str, value: str) -> str:
    return f"<{name}>{escape(value)}</{name}>"


def iso_time(at: int) -> str:
    """A time in ms UTC, with milliseconds."""
    return f"{iso_date(at)[:-1]}.{at % 1000:03d}Z"


def encoder(encoding_type: str | None) -> Encode:
    """How keys are written: as they are, or percent-encoded where the client asks for ``url``."""
    if encoding_type is None:
        return Encode(False)
    if encoding_type.lower() != "url":
        raise S3Fault(400, "InvalidArgument", "Invalid Encoding Method specified in Request")
    return Encode(True)


class Encode:
    def __init__(self, as_url: bool) -> None:
        self.as_url = as_url

    def __call__(self, key: str) -> str:
        if not self.as_url or _PLAIN(key):
            return key
        return quote(key.encode("utf-8", "surrogateescape"), safe="/-_.~")


# -- bodies of requests -----------------------------------------------------------------------------------------------


async def read_body(request: S3Request, *, is_checksum_of_body: bool = True) -> bytes:
    """The whole body of a request that is no upload, compared with every digest that the head declares of it.
    ``is_checksum_of_body`` False: a checksum in the head is that of something else."""
    headers, payload = request.exchange.headers, request.payload
    body = await payload.body.read(MAX_BODY)
    tap = tap_of(headers, payload) if is_checksum_of_body else None
    if tap:
        tap.feed(body)
        tap.close()
    for algorithm, wanted in digests(headers, payload).items():
        if hashlib.new(algorithm.replace("-", ""), body).hexdigest() != wanted:
            raise DigestMismatch("the body does not have the digest that was declared", algorithm)
    return body


async def read_xml(request: S3Request, name: str, *, is_checksum_of_body: bool = True) -> Element:
    """The root element of the body, which must have that local name. Raises S3Fault MalformedXML, and what is wrong
    with a digest of the body."""
    body = await read_body(request, is_checksum_of_body=is_checksum_of_body)
    if len(body) <= _AT_ONCE:
        return parse_xml(body, name)
    return await request.in_thread(lambda: parse_xml(body, name))


def parse_xml(body: bytes, name: str) -> Element:
    try:
        root = parse(body, MAX_ELEMENTS)
    except BadRequest as error:
        raise malformed_xml(error.message) from None
    if local(root) != name:
        raise malformed_xml()
    return root


def local(one: Element) -> str:
    return one.name.rpartition("}")[2]


def child_text(one: Element, name: str) -> str | None:
    """The text of the first child of that name."""
    return next((child.text for child in one.children if local(child) == name), None)
