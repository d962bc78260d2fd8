"""AWS Signature Version 4, as S3 uses it: pure functions from a request to who signed it, and whether it holds.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html. The canonical path and query are
made from the decoded request, so that it does not matter which of the allowed spellings a client sent.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from gateway.exchange import Headers
from gateway.s3.errors import S3Fault
from gateway.wire.fields import parse_date

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
MAX_SKEW = 15 * 60 * 1000
MAX_EXPIRES = 7 * 24 * 3600
_SERVICE = "s3"
_STAMP = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)
_PART = re.compile(r"\s*([A-Za-z]+)\s*=\s*([^,\s]*)\s*")
_UNRESERVED = "-_.~"
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/_.~-]*", re.ASCII)

Query = Sequence[tuple[str, str]]
"""Names and values, decoded; bytes that are no UTF-8 as surrogates."""


@dataclass(frozen=True, slots=True)
class Unsigned:
    """What a signature is made over. ``path`` and ``query`` as sent."""

    method: str
    path: str
    query: str
    headers: Headers


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says about its signature. ``at`` is when it was signed, ms UTC; ``expires`` in seconds for a
    presigned URL; ``payload`` is the hash of the body or one of the words that stand for it."""

    key_id: str
    day: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    stamp: str
    at: int
    payload: str
    expires: int | None = None

    @property
    def scope(self) -> str:
        return f"{self.day}/{self.region}/{self.service}/aws4_request"


def parse_query(raw: str) -> list[tuple[str, str]]:
    """The pairs of a query in their order."""
    pairs = []
    for part in raw.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((_decoded(name), _decoded(value)))
    return pairs


def _decoded(text: str) -> str:
    raw = text.replace("+", "%20").encode("utf-8", "surrogateescape")
    return unquote_to_bytes(raw).decode("utf-8", "surrogateescape")


# -- reading ----------------------------------------------------------------------------------------------------------


def read_claim(request: Unsigned, query: Mapping[str, str] | None = None) -> Claim:
    """The claim of a request, from its Authorization header or its query (``query`` where it is decoded already).
    Raises S3Fault: AccessDenied without any."""
    query = dict(parse_query(request.query)) if query is None else query
    values = request.headers.getall("Authorization", [])
    if "X-Amz-Algorithm" in query or "X-Amz-Signature" in query:
        if values:
            raise S3Fault(400, "InvalidArgument", "Only one auth mechanism allowed")
        return _from_query(request, query)
    if values:
        return _from_header(request, values)
    if "Signature" in query and "AWSAccessKeyId" in query:
        raise _unsupported()
    raise S3Fault(403, "AccessDenied", "Access Denied")


def _unsupported() -> S3Fault:
    message = f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM}."
    return S3Fault(400, "InvalidRequest", message)


def _malformed(message: str) -> S3Fault:
    return S3Fault(400, "AuthorizationHeaderMalformed", f"The authorization header is malformed; {message}")


def _query_fault(message: str) -> S3Fault:
    return S3Fault(400, "AuthorizationQueryParametersError", message)


def _from_header(request: Unsigned, values: list[str]) -> Claim:
    if len(values) > 1:
        raise _unsupported()
    # all but the signature is the same from request to request of a client: it is read once
    head, name, signature = values[0].rpartition("Signature=")
    if not name or not signature.isalnum():
        head, signature = values[0], ""
    grant = _known_grant(head) if len(head) <= _MAX_KNOWN else _read_grant(head)
    key_id, day, region, service = grant.credential
    signature = signature or grant.signature
    if not signature:
        raise _malformed(_NEEDED)
    payload = request.headers.get("x-amz-content-sha256")
    if payload is None:
        raise S3Fault(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    stamp, at = _stamp_of(request.headers)
    if not stamp.startswith(day):
        raise _malformed(f'Invalid credential date "{day}". This date is not the same as X-Amz-Date.')
    return Claim(key_id, day, region, service, grant.signed_headers, signature, stamp, at, payload)


_MAX_KNOWN = 1024  # bytes of a header that are remembered: what clients make up must not fill the memory
_NEEDED = "Credential, SignedHeaders and Signature are needed."


@dataclass(frozen=True, slots=True)
class _Grant:
    """An Authorization header; ``signature`` is "" where it is elsewhere or missing."""

    credential: tuple[str, str, str, str]
    signed_headers: tuple[str, ...]
    signature: str


def _read_grant(text: str) -> _Grant:
    scheme, _, rest = text.strip().partition(" ")
    if scheme != ALGORITHM:
        raise _unsupported()
    parts = {match[1]: match[2] for one in rest.split(",") if (match := _PART.fullmatch(one))}
    if not {"Credential", "SignedHeaders"} <= parts.keys():
        raise _malformed(_NEEDED)
    signed = tuple(name.lower() for name in parts["SignedHeaders"].split(";") if name)
    return _Grant(_credential(parts["Credential"], _malformed), signed, parts.get("Signature", ""))


_known_grant = lru_cache(maxsize=1024)(_read_grant)


def _from_query(request: Unsigned, query: Mapping[str, str]) -> Claim:
    if query.get("X-Amz-Algorithm") != ALGORITHM:
        raise _query_fault(f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    names = ("X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature")
    if any(not query.get(name) for name in names):
        raise _query_fault(f"Query-string authentication requires {', '.join(names)}")
    key_id, day, region, service = _credential(query["X-Amz-Credential"], _query_fault)
    stamp = query["X-Amz-Date"]
    at = _parse_stamp(stamp)
    if at is None or not stamp.startswith(day):
        raise _query_fault("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    if not re.fullmatch(r"\d{1,9}", query["X-Amz-Expires"], re.ASCII):
        raise _query_fault("X-Amz-Expires should be a number")
    expires = int(query["X-Amz-Expires"])
    if not 0 < expires <= MAX_EXPIRES:
        raise _query_fault(f"X-Amz-Expires must be between 1 and {MAX_EXPIRES} seconds")
    payload = query.get("X-Amz-Content-Sha256") or request.headers.get("x-amz-content-sha256") or UNSIGNED
    signed = tuple(name.lower() for name in query["X-Amz-SignedHeaders"].split(";") if name)
    return Claim(key_id, day, region, service, signed, query["X-Amz-Signature"], stamp, at, payload, expires)


def _credential(text: str, fault: Callable[[str], S3Fault]) -> tuple[str, str, str, str]:
    parts = text.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request":
        raise fault('the Credential is mal-formed; expecting "<key>/YYYYMMDD/REGION/SERVICE/aws4_request".')
    return parts[0], parts[1], parts[2], parts[3]


def _stamp_of(headers: Headers) -> tuple[str, int]:
    given = headers.get("x-amz-date")
    at = _parse_stamp(given) if given is not None else parse_date(headers.get("Date"))
    if given is not None and at is not None:
        return given, at
    if at is None:
        raise S3Fault(403, "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y%m%dT%H%M%SZ"), at


def _parse_stamp(text: str) -> int | None:
    return _time_of(text) if len(text) == 16 else None


@lru_cache(maxsize=1024)
def _time_of(stamp: str) -> int | None:
    match = _STAMP.fullmatch(stamp)
    if match is None:
        return None
    try:
        return int(datetime(*map(int, match.groups()), tzinfo=UTC).timestamp()) * 1000  # type: ignore[arg-type,misc]
    except ValueError:
        return None


# -- checking ---------------------------------------------------------------------------------------------------------


def check_claim(claim: Claim, request: Unsigned, now: int, region: str) -> None:
    """Everything but the signature itself: region, service, times, and that nothing that counts is unsigned.

    Raises S3Fault.
    """
    fault = _malformed if claim.expires is None else _query_fault
    if claim.region != region:
        wrong = fault(f"the region '{claim.region}' is wrong; expecting '{region}'")
        wrong.details = {"Region": region}
        raise wrong
    if claim.service != _SERVICE:
        raise fault(f'incorrect service "{claim.service}". This endpoint belongs to "{_SERVICE}".')
    if claim.expires is None:
        if abs(now - claim.at) > MAX_SKEW:
            message = "The difference between the request time and the current time is too large."
            raise S3Fault(403, "RequestTimeTooSkewed", message)
    elif now > claim.at + claim.expires * 1000:
        raise S3Fault(403, "AccessDenied", "Request has expired")
    elif claim.at - now > MAX_SKEW:
        raise S3Fault(403, "AccessDenied", "Request is not yet valid")
    _check_headers_signed(claim, request.headers)


def _check_headers_signed(claim: Claim, headers: Headers) -> None:
    signed = claim.signed_headers
    present = [name.lower() for name in headers.keys()]  # noqa: SIM118 a name may stand there twice
    unsigned = {name for name in present if name.startswith("x-amz-") and name not in signed}
    if claim.expires is not None:
        unsigned.discard("x-amz-content-sha256")  # it is in the canonical request as the payload's hash
    if "host" not in signed:
        unsigned.add("host")
    if unsigned:
        raise S3Fault(
            403,
            "AccessDenied",
            "There were headers present in the request which were not signed",
            {"HeadersNotSigned": ", ".join(sorted(unsigned))},
        )


def expected_signature(claim: Claim, request: Unsigned, secret: str) -> str:
    """The signature that the request should carry, in hex."""
    text = f"{ALGORITHM}\n{claim.stamp}\n{claim.scope}\n{_sha256(canonical_request(claim, request))}"
    return _hmac(signing_key(secret, claim.day, claim.region, claim.service), text).hex()


def is_signed(claim: Claim, request: Unsigned, secret: str) -> bool:
    """Whether the signature holds; compared in constant time."""
    return hmac.compare_digest(expected_signature(claim, request, secret).encode(), claim.signature.encode())


def canonical_request(claim: Claim, request: Unsigned) -> bytes:
    path = request.path
    if not _PLAIN_PATH.fullmatch(path):
        path = quote(unquote_to_bytes(path), safe="/" + _UNRESERVED)
    query = _canonical_query(claim, request.query) if request.query else ""
    headers = "".join([f"{name}:{_value(request.headers, name)}\n" for name in claim.signed_headers])
    text = f"{request.method}\n{path}\n{query}\n{headers}\n{';'.join(claim.signed_headers)}\n{claim.payload}"
    return text.encode("utf-8", "surrogateescape")


def _canonical_query(claim: Claim, query: str) -> str:
    pairs = [(_quoted(name), _quoted(value)) for name, value in parse_query(query)]
    if claim.expires is not None:
        pairs = [one for one in pairs if one[0] != "X-Amz-Signature"]
    return "&".join([f"{name}={value}" for name, value in sorted(pairs)])


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe=_UNRESERVED)


def _value(headers: Headers, name: str) -> str:
    return ",".join([" ".join(value.split()) for value in headers.getall(name, [])])


@lru_cache(maxsize=1024)
def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """The key of one day, region and service."""
    key = ("AWS4" + secret).encode()
    for part in (day, region, service, "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode("utf-8", "surrogateescape"), "sha256")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# -- chunks -----------------------------------------------------------------------------------------------------------

_EMPTY = hashlib.sha256(b"").hexdigest()


class ChunkSigner:
    """The chain of signatures of a body that is sent in signed chunks: each covers the one before it."""

    def __init__(self, claim: Claim, secret: str) -> None:
        self._claim = claim
        self._secret = secret
        self._previous = claim.signature

    def check_chunk(self, signature: str, sha256: str) -> bool:
        """Whether the next chunk, of that hash, has that signature."""
        return self._next("PAYLOAD", f"{_EMPTY}\n{sha256}", signature)

    def check_trailer(self, signature: str, trailer: bytes) -> bool:
        """Whether the trailing fields, each a line of ``name:value``, have that signature."""
        return self._next("TRAILER", _sha256(trailer), signature)

    def _next(self, kind: str, what: str, signature: str) -> bool:
        claim = self._claim
        key = signing_key(self._secret, claim.day, claim.region, claim.service)
        text = f"{ALGORITHM}-{kind}\n{claim.stamp}\n{claim.scope}\n{self._previous}\n{what}"
        wanted = _hmac(key, text).hex()
        self._previous = wanted
        return hmac.compare_digest(wanted.encode(), signature.encode("utf-8", "surrogateescape"))
