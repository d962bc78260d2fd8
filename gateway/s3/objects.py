"""Operations on objects: put, get, head, delete."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace

from gateway.domain.errors import DigestMismatch, TooLarge
from gateway.domain.history import FACT as VERSION_FACT
from gateway.domain.multipart import MAX_PARTS, PART_CHECKSUMS_FACT, PARTS_FACT, sizes_from_text
from gateway.domain.node import Node, Version
from gateway.domain.upload import Conditions, Declared
from gateway.exchange import Headers, Reply
from gateway.s3 import metadata
from gateway.s3.buckets import refuse_acl
from gateway.s3.checksums import checksum_of, tap_of
from gateway.s3.conditions import NotModified, check_read, of_write
from gateway.s3.errors import S3Fault, invalid, not_implemented
from gateway.s3.payload import digests
from gateway.s3.request import S3Request
from gateway.s3.tagging import parse_tagging_header
from gateway.service.keptfind import Key
from gateway.service.placing import BY_KEY
from gateway.service.receiving import receive
from gateway.service.results import Content, Deleted
from gateway.wire.fields import field_text, http_date
from gateway.wire.media import presentation
from gateway.wire.ranges import parse_ranges

MAX_SINGLE_PUT = 5 * 1024**3
_OVERRIDES = {
    "response-content-type": "Content-Type",
    "response-content-language": "Content-Language",
    "response-expires": "Expires",
    "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MARKED: Mapping[bool, Mapping[str, str]] = {True: {"x-amz-delete-marker": "true"}, False: {}}
_UNSUPPORTED = (
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-object-lock-legal-hold",
    "x-amz-website-redirect-location",
    "x-amz-write-offset-bytes",
)


async def put_object(request: S3Request) -> Reply:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html"""
    key = request.object
    check_supported(request)
    conditions = of_write(request.exchange.headers)
    if key.is_folder:
        return await _put_folder(request)
    declared = declared_of(request)
    tap = tap_of(request.exchange.headers, request.payload)
    uploads, caller = request.services.uploads, request.caller
    try:
        placed = await receive(
            lambda: uploads.open(caller, key.path, declared, conditions, BY_KEY, [tap] if tap else ()),
            request.payload.body,
            request.settings.uploads,
            uploads.takes_at_once,
        )
    except DigestMismatch as error:
        raise digest_fault(error, request) from error
    checksum = tap.computed if tap else None
    shown = {**version_header(placed.node), **(checksum.headers if checksum else {})}
    return Reply(200, {"ETag": metadata.etag_of(placed.node), **shown})


def version_header(node: Node) -> dict[str, str]:
    """Of an answer to a write: the id that the new version has, where there is versioning."""
    version_id = node.version.facts.get(VERSION_FACT) if node.version else None
    return {"x-amz-version-id": version_id} if version_id else {}


async def _put_folder(request: S3Request) -> Reply:
    """A key that ends with a slash is a collection: it has properties, and no place for bytes."""
    if request.payload.length != 0 and await request.payload.body.read(0):
        raise TooLarge("a key that ends with a slash is a folder here and cannot hold bytes")
    change = metadata.properties(request.exchange.headers)
    conditions = of_write(request.exchange.headers)
    node = await request.in_thread(
        lambda: request.services.objects.put_folder(request.caller, request.object, change, conditions)
    )
    return Reply(200, {"ETag": metadata.etag_of(node)})


def check_supported(request: S3Request) -> None:
    """Raises S3Fault for what the head asks and is not there: nothing is dropped in silence."""
    refuse_acl(request)
    refuse_unsupported(request.exchange.headers)
    storage = request.header("x-amz-storage-class")
    if storage not in (None, "STANDARD"):
        raise S3Fault(400, "InvalidStorageClass", "The storage class you specified is not valid; STANDARD is there")


def refuse_unsupported(fields: Headers | Mapping[str, str]) -> None:
    """The same for the fields of a form, whose names are in lower case."""
    for name in _UNSUPPORTED:
        if name in fields:
            raise not_implemented(f"the header {name}")


def declared_of(request: S3Request) -> Declared:
    """What the head of a write declares of the object."""
    headers, payload = request.exchange.headers, request.payload
    length = payload.length
    if length is None:
        raise S3Fault(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
    if length > MAX_SINGLE_PUT:
        raise TooLarge("Your proposed upload exceeds the maximum allowed size")
    found = metadata.user_metadata(headers)
    return Declared(
        length=length,
        content_type=field_text(headers.get("Content-Type")),
        mtime=metadata.mtime_of(found),
        digests=digests(headers, payload),
        md5_etag=True,
        facts=metadata.facts_of(headers),
        properties=metadata.change_of(found, headers, parse_tagging_header(request)),
    )


def digest_fault(error: DigestMismatch, request: S3Request) -> S3Fault:
    """The code that S3 has for each digest."""
    if error.algorithm == "sha-256" and request.payload.sha256:
        message = "The provided 'x-amz-content-sha256' header does not match what was computed."
        fault = S3Fault(400, "XAmzContentSHA256Mismatch", message)
    elif error.algorithm == "md5":
        fault = S3Fault(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")
    else:
        fault = S3Fault(400, "BadDigest", error.message)
    fault.digest = error.digest
    return fault


async def get_object(request: S3Request) -> Reply:
    """GET and HEAD. A HEAD is answered like a GET; the gate sends the fields alone."""
    key = asked_key(request)
    seen = await request.read(lambda: request.services.objects.look(request.caller, key))
    node, headers = seen.node, headers_of(seen.node)
    if seen.version_id:
        headers["x-amz-version-id"] = seen.version_id
    # preconditions count only where the content would be given (RFC 9110 section 13.2.1)
    content = await _content(request, node) if node.version else None
    try:
        check_read(request.exchange.headers, node)
    except NotModified:
        return Reply(304, {name: headers[name] for name in ("ETag", "Last-Modified")})
    if request.query:
        headers.update(_overrides(request.query))
    if node.version is None or content is None:
        return Reply(200, headers)
    if "partNumber" in request.query:
        return part_reply(request, headers, node.version, content)
    return _ranged(request, headers, node.version, content)


def _overrides(query: Mapping[str, str]) -> dict[str, str]:
    """The fields that the query asks to be answered with. Raises S3Fault for what no field can hold."""
    found = {name: query[parameter] for parameter, name in _OVERRIDES.items() if query.get(parameter)}
    for name, value in found.items():
        if _CONTROL.search(value):
            raise invalid(f"the query asks for a {name} that no header can hold", name)
    return found


def asked_key(request: S3Request) -> Key:
    """The key of the request with the version that its query names. Raises S3Fault InvalidArgument."""
    version_id = request.query.get("versionId")
    if version_id == "":
        raise invalid("Version id cannot be the empty string", "versionId")
    return request.object if version_id is None else replace(request.object, version_id=version_id)


def headers_of(node: Node) -> dict[str, str]:
    """The fields of an answer about an object."""
    headers = {
        "ETag": metadata.etag_of(node),
        "Last-Modified": http_date(metadata.last_modified(node)),
        "Accept-Ranges": "bytes",
        **metadata.stored_headers(node),
    }
    policy = presentation(node.name).get("Content-Security-Policy")
    if policy or "html" in headers["Content-Type"] or "xml" in headers["Content-Type"]:
        # a presigned URL may be opened in a browser: nothing of it may run in our origin (RESILIENCE 22)
        headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return headers


async def _content(request: S3Request, node: Node) -> Content:
    def open_content() -> Content:
        return request.services.files.content(request.caller, node)

    # a hook may block, unless it says that it does not
    if request.services.host.answers_at_once("check_download"):
        return await request.read(open_content)
    return await request.in_thread(open_content)


def _ranged(request: S3Request, headers: Mapping[str, str], version: Version, content: Content) -> Reply:
    """The whole object, or one range of it; several are answered with the whole, as S3 does.

    A part carries no checksum of the whole: clients would compare it with what they got (CLIENTS 32).
    """
    ranges = parse_ranges(request.header("Range"), content.size)
    if ranges is None or len(ranges) != 1:
        checksum = checksum_of(version) if (request.header("x-amz-checksum-mode") or "").upper() == "ENABLED" else None
        whole = {**headers, **(checksum.headers if checksum else {})}
        return Reply(200, whole, content.body([(b"", 0, content.size)]))
    start, length = ranges[0]
    partial = {**headers, "Content-Range": f"bytes {start}-{start + length - 1}/{content.size}"}
    return Reply(206, partial, content.body([(b"", start, length)]))


def part_reply(request: S3Request, headers: Mapping[str, str], version: Version, content: Content) -> Reply:
    """One part of an object, as it was uploaded; an object that came whole is its own part 1."""
    if request.header("Range"):
        raise S3Fault(400, "InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    text = request.query["partNumber"]
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= number <= MAX_PARTS:
        raise invalid(f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive", "partNumber", text)
    sizes = sizes_from_text(version.facts.get(PARTS_FACT, "")) or [content.size]
    if number > len(sizes):
        raise S3Fault(400, "InvalidPart", "The requested partnumber is not satisfiable")
    start, length = sum(sizes[: number - 1]), sizes[number - 1]
    shown = {**headers, "Content-Range": f"bytes {start}-{start + length - 1}/{content.size}"}
    if PARTS_FACT in version.facts:
        shown["x-amz-mp-parts-count"] = str(len(sizes))
        shown.update(_part_checksum(request, version, number, len(sizes)))
    body = content.body([(b"", start, length)])
    return Reply(206 if length else 200, shown if length else headers, body)


def _part_checksum(request: S3Request, version: Version, number: int, count: int) -> dict[str, str]:
    checksum, sums = checksum_of(version), version.facts.get(PART_CHECKSUMS_FACT, "").split()
    if checksum is None or len(sums) != count or (request.header("x-amz-checksum-mode") or "").upper() != "ENABLED":
        return {}
    return {checksum.header: sums[number - 1], "x-amz-checksum-type": checksum.type}


async def delete_object(request: S3Request) -> Reply:
    """204 whether or not there was anything."""
    key = asked_key(request)
    conditions = of_write(request.exchange.headers)
    done = await request.in_thread(lambda: begin_delete(request, key, conditions).result())
    return Reply(204, {"x-amz-version-id": done.version_id, **_MARKED[done.is_marker]} if done.version_id else {})


def begin_delete(request: S3Request, key: Key, conditions: Conditions) -> Future[Deleted]:
    """Begins to delete a key, or for good the version that it names."""
    if key.version_id is None:
        return request.services.objects.delete(request.caller, key, conditions)
    return request.services.versions.delete(request.caller, key, key.version_id, conditions)
