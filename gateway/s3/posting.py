"""POST Object: an upload by an HTML form, allowed by a signed policy.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-UsingHTTPPOST.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from gateway.domain.errors import BadRequest, DigestMismatch
from gateway.domain.node import Node
from gateway.domain.upload import NO_CONDITIONS, Declared
from gateway.exchange import Reply
from gateway.s3 import metadata
from gateway.s3.answers import document, element
from gateway.s3.buckets import refuse_canned_acl
from gateway.s3.checksums import tap_of
from gateway.s3.errors import S3Fault, invalid, malformed_xml
from gateway.s3.forms import Form
from gateway.s3.objects import digest_fault, refuse_unsupported
from gateway.s3.request import S3Request, parse_key
from gateway.s3.sigv4 import ALGORITHM, signing_key
from gateway.s3.tagging import MAX_OBJECT_TAGS, tags_in
from gateway.service.digesting import Block
from gateway.service.objects import Key
from gateway.service.placing import BY_KEY
from gateway.service.receiving import receive
from gateway.service.results import Placed
from gateway.service.uploads import Tap
from gateway.wire.fields import field_text
from gateway.wire.markup import parse

_UNCHECKED = ("policy", "x-amz-signature", "file")
_NAMED = ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "policy")


@dataclass(frozen=True, slots=True)
class FormClaim:
    """What a form says about its signature."""

    key_id: str
    day: str
    region: str
    policy: str
    signature: str

    def is_signed(self, secret: str) -> bool:
        key = signing_key(secret, self.day, self.region, "s3")
        wanted = hmac.new(key, self.policy.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
        return hmac.compare_digest(wanted.encode(), self.signature.encode("utf-8", "surrogateescape"))


def read_form_claim(fields: Mapping[str, str], region: str) -> FormClaim:
    """Raises S3Fault: AccessDenied without a policy, since nothing is let in anonymously."""
    if "policy" not in fields:
        raise S3Fault(403, "AccessDenied", "Access Denied")
    for name in _NAMED:
        if not fields.get(name):
            raise invalid(f"Bucket POST must contain a field named '{name}', before the file", name)
    if fields["x-amz-algorithm"] != ALGORITHM:
        raise invalid(f"x-amz-algorithm must be {ALGORITHM}", "x-amz-algorithm", fields["x-amz-algorithm"])
    parts = fields["x-amz-credential"].rsplit("/", 4)
    if len(parts) != 5 or parts[3:] != ["s3", "aws4_request"] or parts[2] != region:
        raise invalid("the credential is malformed or for another region", "x-amz-credential")
    return FormClaim(parts[0], parts[1], parts[2], fields["policy"], fields["x-amz-signature"])


# -- the policy -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Policy:
    """``low`` and ``high`` bound the length of the file."""

    low: int = 0
    high: int | None = None


def check_policy(text: str, fields: Mapping[str, str], bucket: str, now: int) -> Policy:
    """Raises S3Fault: AccessDenied where the form is not what the policy allows, InvalidPolicyDocument."""
    document = _decoded(text)
    if now > _expiration(document):
        raise _denied("Policy expired.")
    conditions = document.get("conditions")
    if not isinstance(conditions, list):
        raise _bad("Invalid 'conditions' value: must be a List.")
    values = {**fields, "bucket": bucket}
    seen: set[str] = set()
    low, high = 0, None
    for one in conditions:
        if isinstance(one, list) and one and str(one[0]).lower() == "content-length-range":
            low, high = _range(one)
            continue
        for name, operator, wanted in _tests(one):
            seen.add(name)
            found = values.get(name, "")
            if not (found == wanted if operator == "eq" else found.startswith(wanted)):
                raise _denied(f'Policy Condition failed: ["{operator}", "${name}", "{wanted}"]')
    extra = [
        name for name in fields if name not in seen and name not in _UNCHECKED and not name.startswith("x-ignore-")
    ]
    if extra:
        raise _denied(f"Extra input fields: {extra[0]}")
    return Policy(low, high)


def _bad(message: str) -> S3Fault:
    return S3Fault(400, "InvalidPolicyDocument", f"Invalid Policy: {message}")


def _denied(message: str) -> S3Fault:
    return S3Fault(403, "AccessDenied", f"Invalid according to Policy: {message}")


def _decoded(text: str) -> dict[str, Any]:
    try:
        document = json.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise _bad("Invalid JSON.") from None
    if not isinstance(document, dict):
        raise _bad("Invalid JSON.")
    return document


def _expiration(document: Mapping[str, Any]) -> int:
    try:
        at = datetime.fromisoformat(str(document["expiration"]))
    except (KeyError, ValueError):
        raise _bad("Invalid 'expiration' value.") from None
    return int(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * 1000)


def _range(one: list[Any]) -> tuple[int, int]:
    if len(one) != 3 or not all(isinstance(bound, int) and bound >= 0 for bound in one[1:]):
        raise _bad("Invalid content-length-range.")
    return one[1], one[2]


def _tests(one: Any) -> list[tuple[str, str, str]]:
    """(field in lower case, eq or starts-with, value)."""
    if isinstance(one, dict):
        return [(str(name).lower(), "eq", str(value)) for name, value in one.items()]
    if isinstance(one, list) and len(one) == 3 and all(isinstance(part, str) for part in one):
        operator, name, value = one
        if operator.lower() in ("eq", "starts-with") and name.startswith("$"):
            return [(name[1:].lower(), operator.lower(), value)]
    raise _bad("Invalid Condition.")


class LengthTap:
    """Holds a file to the length that the policy allows (:class:`gateway.service.uploads.Tap`)."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._size = 0

    def feed(self, block: Block) -> None:
        self._size += len(block)
        if self._policy.high is not None and self._size > self._policy.high:
            raise S3Fault(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")

    def close(self) -> Mapping[str, str]:
        if self._size < self._policy.low:
            raise S3Fault(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        return {}


# -- the upload -------------------------------------------------------------------------------------------------------


async def post_object(request: S3Request, form: Form) -> Reply:
    """``request.key`` is the key of the form already."""
    fields = form.fields
    policy = check_policy(fields["policy"], fields, request.bucket, request.services.clock())
    key = parse_key(request.bucket, request.key)
    if key.is_folder:
        raise invalid("a key that ends with a slash is a folder here and cannot hold a file", "key", request.key)
    start = "x-amz-meta-"
    found = metadata.checked(
        {name.removeprefix(start): value for name, value in fields.items() if name.startswith(start)}
    )
    stored_headers = {name.title(): value for name, value in fields.items()}
    refuse_canned_acl(fields.get("acl"))
    refuse_unsupported(fields)
    tagging = _tags(fields)
    declared = Declared(
        length=None,
        content_type=field_text(fields.get("content-type")),
        mtime=metadata.mtime_of(found),
        md5_etag=True,
        facts=metadata.facts_of(stored_headers),
        properties=metadata.change_of(found, stored_headers, tagging),
    )
    checksum = tap_of(fields, request.payload)
    taps: list[Tap] = [LengthTap(policy), *([checksum] if checksum else [])]
    try:
        placed = await _receive(request, form, key, declared, taps)
    except DigestMismatch as error:
        raise digest_fault(error, request) from error
    return _answer(request, fields, placed.node)


def _tags(fields: Mapping[str, str]) -> str:
    """``tagging`` is a document in forms."""
    text = fields.get("tagging")
    if not text:
        return ""
    try:
        return tags_in(parse(text.encode("utf-8", "surrogateescape")), MAX_OBJECT_TAGS)
    except BadRequest as error:
        raise malformed_xml(error.message) from None


async def _receive(request: S3Request, form: Form, key: Key, declared: Declared, taps: Sequence[Tap]) -> Placed:
    uploads, caller = request.services.uploads, request.caller
    return await receive(
        lambda: uploads.open(caller, key.path, declared, NO_CONDITIONS, BY_KEY, taps),
        form.file,
        request.settings.uploads,
    )


def _answer(request: S3Request, fields: Mapping[str, str], node: Node) -> Reply:
    etag = metadata.etag_of(node)
    redirect = urlsplit(fields.get("success_action_redirect") or fields.get("redirect") or "")
    if redirect.scheme in ("http", "https"):
        told = urlencode({"bucket": request.bucket, "key": request.key, "etag": etag})
        query = f"{redirect.query}&{told}" if redirect.query else told
        return Reply(303, {"Location": urlunsplit(redirect._replace(query=query)), "ETag": etag})
    headers = {"ETag": etag, "Location": f"{request.exchange.scheme}://{request.exchange.host}/{request.bucket}"}
    status = fields.get("success_action_status")
    if status == "201":
        inner = element("Location", headers["Location"]) + element("Bucket", request.bucket)
        return document("PostResponse", inner + element("Key", request.key) + element("ETag", etag), 201, headers)
    return Reply(200 if status == "200" else 204, headers)
