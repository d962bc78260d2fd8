"""DeleteObjects: up to a thousand keys in one request, each its own success or refusal.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TypeGuard

from gateway.domain.errors import KuradoError
from gateway.domain.upload import NO_CONDITIONS, Conditions
from gateway.exchange import Reply
from gateway.s3.answers import child_text, document, element, local, read_xml
from gateway.s3.errors import S3Fault, malformed_xml, message_of, status_and_code
from gateway.s3.objects import begin_delete
from gateway.s3.request import S3Request, parse_key
from gateway.service.clearing import Refused
from gateway.service.keptfind import Key
from gateway.service.refusals import is_refusal
from gateway.service.results import Deleted
from gateway.wire.fields import parse_etags
from gateway.wire.markup import Element

MAX_DELETED = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """One entry of the request."""

    key: str
    version_id: str | None
    conditions: Conditions


async def delete_objects(request: S3Request) -> Reply:
    _check_integrity(request)
    root = await read_xml(request, "Delete")
    wanted = [_wanted(one) for one in root.children if local(one) == "Object"]
    if not 0 < len(wanted) <= MAX_DELETED:
        raise malformed_xml(f"from 1 to {MAX_DELETED} objects can be deleted at once")
    quiet = (child_text(root, "Quiet") or "").strip().lower() == "true"
    await request.read(lambda: request.services.buckets.get(request.caller, request.bucket))
    results = await request.in_thread(lambda: _delete(request, wanted))
    for entry, result in zip(wanted, results, strict=True):
        if isinstance(result, KuradoError) and is_refusal(result):
            await request.note((request.bucket, *entry.key.split("/")), result)
    lines = [_line(entry, result, quiet) for entry, result in zip(wanted, results, strict=True)]
    return document("DeleteResult", "".join(lines))


def _check_integrity(request: S3Request) -> None:
    """A body that names what to destroy must be known to be whole: by its signature or a digest."""
    headers = request.exchange.headers
    has_digest = "Content-MD5" in headers or any(name.lower().startswith("x-amz-checksum-") for name in headers.keys())  # noqa: SIM118
    if not has_digest and request.payload.sha256 is None and not request.payload.announced:
        message = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
        raise S3Fault(400, "InvalidRequest", message)


def _wanted(one: Element) -> Wanted:
    key = child_text(one, "Key")
    if not key:
        raise S3Fault(400, "MalformedXML", "an object without a key is to be deleted")
    etag = child_text(one, "ETag")
    conditions = Conditions(if_match=parse_etags([etag])) if etag else NO_CONDITIONS
    return Wanted(key, child_text(one, "VersionId"), conditions)


def _delete(request: S3Request, wanted: list[Wanted]) -> list[Deleted | KuradoError]:
    """Plain keys are deleted together. The others are handed to the writer before any is waited for: they are
    committed, and flushed, together too."""
    keys = [_key(request, entry) for entry in wanted]
    plain = [key.path for key, entry in zip(keys, wanted, strict=True) if _is_plain(key, entry)]
    try:
        left = request.services.objects.clear(request.caller, plain)
    except KuradoError as error:
        left = dict.fromkeys(plain, error)
    begun = [_begin(request, key, entry, left) for key, entry in zip(keys, wanted, strict=True)]
    return [_ended(one) for one in begun]


def _key(request: S3Request, entry: Wanted) -> Key | KuradoError:
    try:
        return replace(parse_key(request.bucket, entry.key), version_id=entry.version_id or None)
    except KuradoError as error:
        return error


def _is_plain(key: Key | KuradoError, entry: Wanted) -> TypeGuard[Key]:
    return isinstance(key, Key) and not (key.is_folder or key.version_id or entry.conditions != NO_CONDITIONS)


def _begin(
    request: S3Request, key: Key | KuradoError, entry: Wanted, left: Refused
) -> Future[Deleted] | Deleted | KuradoError:
    if isinstance(key, KuradoError):
        return key
    if _is_plain(key, entry):
        if key.path not in left:
            return Deleted()
        error = left[key.path]
        if error is not None:
            return error
    try:
        return begin_delete(request, key, entry.conditions)
    except KuradoError as error:
        return error


def _ended(begun: Future[Deleted] | Deleted | KuradoError) -> Deleted | KuradoError:
    if not isinstance(begun, Future):
        return begun
    try:
        return begun.result()
    except KuradoError as error:
        return error


def _line(entry: Wanted, result: Deleted | KuradoError, quiet: bool) -> str:
    named = element("Key", entry.key)
    if entry.version_id:
        named += element("VersionId", entry.version_id)
    if isinstance(result, KuradoError):
        code = element("Code", status_and_code(result)[1])
        return f"<Error>{named}{code}{element('Message', message_of(result))}</Error>"
    if result.is_marker:
        named += f"<DeleteMarker>true</DeleteMarker>{element('DeleteMarkerVersionId', result.version_id)}"
    return "" if quiet else f"<Deleted>{named}</Deleted>"
