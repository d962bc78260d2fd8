"""PUT: what the head declares is read here; receiving, inspecting and committing are ``service/receiving.py``'s."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from gateway.dav.get import validators
from gateway.dav.request import DavRequest
from gateway.domain.errors import BadRequest
from gateway.domain.upload import Declared
from gateway.exchange import Exchange, Reply
from gateway.service.receiving import receive
from gateway.wire.fields import field_text

_LENGTHS = {"md5": 16, "sha-1": 20, "sha-256": 32}
_NAMES = {"md5": "md5", "sha": "sha-1", "sha1": "sha-1", "sha-1": "sha-1", "sha256": "sha-256", "sha-256": "sha-256"}
_DIGEST = re.compile(r"\s*([A-Za-z0-9-]+)\s*=\s*(:?)([A-Za-z0-9+/=]*)(:?)\s*")
_MTIME = re.compile(r"-?\d{1,12}(\.\d{1,12})?")


async def put(request: DavRequest) -> Reply:
    """PUT of a file: 201 for a new name, 204 over an existing one (RFC 9110 section 9.3.4), with its ETag."""
    if request.slash:
        raise BadRequest("the URL of a file does not end with a slash")
    declared = read_declared(request.exchange)
    conditions = request.conditions()
    uploads, caller, path = request.services.uploads, request.caller, request.path
    placed = await receive(
        lambda: uploads.open(caller, path, declared, conditions),
        request.exchange.body,
        request.settings.uploads,
        uploads.takes_at_once,
    )
    assert placed.node.version is not None
    headers = {
        "ETag": placed.node.version.etag,
        "Last-Modified": validators(placed.node.version)["Last-Modified"],
    }
    if declared.mtime is not None:
        headers["X-OC-MTime"] = "accepted"
    if placed.created:
        headers["Location"] = request.href(path)
    return Reply(201 if placed.created else 204, headers)


def read_declared(exchange: Exchange) -> Declared:
    """What the head says about the body. Raises BadRequest for Content-Range (RFC 9110 section 14.5: a part must never
    be taken for the whole), lengths that contradict each other, and digests or times that cannot be read."""
    headers = exchange.headers
    if "Content-Range" in headers:
        raise BadRequest("PUT takes whole files only: Content-Range is refused")
    length = exchange.body.length
    expected = _length(headers.get("X-Expected-Entity-Length"))
    if length is not None and expected is not None and length != expected:
        if length:
            raise BadRequest("Content-Length and X-Expected-Entity-Length differ")
        expected = None  # the empty PUT by which a client makes the name before it sends the body
    return Declared(
        length=length,
        content_type=field_text(headers.get("Content-Type")),
        expected_length=expected,
        mtime=_mtime(headers.get("X-OC-Mtime")),
        digests=_digests(exchange),
    )


def _length(value: str | None) -> int | None:
    if value is None:
        return None
    if not re.fullmatch(r"\d{1,18}", value.strip(), re.ASCII):
        raise BadRequest("X-Expected-Entity-Length is not a length")
    return int(value)


def _mtime(value: str | None) -> int | None:
    """X-OC-Mtime: seconds since the epoch, perhaps with a fraction; in ms."""
    if value is None:
        return None
    if not _MTIME.fullmatch(value.strip()):
        raise BadRequest("X-OC-Mtime is not a number of seconds")
    return int(float(value) * 1000)


def _digests(exchange: Exchange) -> Mapping[str, str]:
    """All digests of the body that the client declares, as algorithm → hex; unknown algorithms are passed over."""
    found: dict[str, str] = {}
    headers = exchange.headers
    if (md5 := headers.get("Content-MD5")) is not None:
        _add(found, "md5", _from_base64(md5, "Content-MD5"), "Content-MD5")
    for name in ("Digest", "Content-Digest", "Repr-Digest"):
        for part in ",".join(headers.getall(name)).split(",") if name in headers else ():
            match = _DIGEST.fullmatch(part)
            if match and match[1].lower() in _NAMES:
                _add(found, match[1].lower(), _from_base64(match[3], name), name)
    for checksum in (headers.get("OC-Checksum") or "").split():
        algorithm, colon, value = checksum.partition(":")
        if colon and algorithm.lower() in _NAMES:
            try:
                _add(found, algorithm.lower(), bytes.fromhex(value), "OC-Checksum")
            except ValueError:
                raise BadRequest("OC-Checksum is not hexadecimal") from None
    return found


def _add(found: dict[str, str], algorithm: str, value: bytes, header: str) -> None:
    name = _NAMES[algorithm]
    if len(value) != _LENGTHS[name]:
        raise BadRequest(f"{header} has the wrong length for {name}")
    if found.setdefault(name, value.hex()) != value.hex():
        raise BadRequest(f"{header} contradicts another digest of the request")


def _from_base64(text: str, header: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(f"{header} is not base64") from None
