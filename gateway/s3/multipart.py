"""Uploads by parts: begun, filled, given up, listed. What completes them: :mod:`gateway.s3.completing`.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

from __future__ import annotations

import re

from gateway.domain.errors import DigestMismatch, NoUpload, TooLarge
from gateway.domain.multipart import MAX_PARTS, MultipartUpload, Part
from gateway.domain.upload import Declared
from gateway.exchange import Reply
from gateway.s3 import metadata
from gateway.s3.answers import document, element, iso_time
from gateway.s3.buckets import owner
from gateway.s3.checksums import tap_of
from gateway.s3.conditions import check_source
from gateway.s3.copying import parse_source, source_headers
from gateway.s3.errors import S3Fault, invalid
from gateway.s3.objects import MAX_SINGLE_PUT, check_supported, digest_fault
from gateway.s3.partsums import ComputingTap, announced, checksum_of_part
from gateway.s3.payload import digests
from gateway.s3.request import S3Request
from gateway.s3.tagging import parse_tagging_header
from gateway.service.objects import Key
from gateway.service.receiving import receive
from gateway.wire.fields import field_text

_RANGE = re.compile(r"bytes=(\d{1,19})-(\d{1,19})", re.ASCII)
_COPY_BLOCK = 1024 * 1024


async def create_multipart_upload(request: S3Request) -> Reply:
    key = file_key(request)
    check_supported(request)
    headers = request.exchange.headers
    found = metadata.user_metadata(headers)
    algorithm, kind = announced(headers)
    wanted = MultipartUpload(
        id=0,
        tenant_id=0,
        bucket_id=0,
        key=(),
        user="",
        started_at=0,
        content_type=field_text(headers.get("Content-Type")),
        mtime=metadata.mtime_of(found),
        checksum=(algorithm, kind),
        facts=metadata.facts_of(headers),
        properties=metadata.change_of(found, headers, parse_tagging_header(request)).put,
    )
    upload = await request.in_thread(lambda: request.services.multipart.begin(request.caller, key.path, wanted))
    named = element("Bucket", request.bucket) + element("Key", request.key) + element("UploadId", upload.public_id)
    shown = {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind} if algorithm else {}
    return document("InitiateMultipartUploadResult", named, headers=shown)


async def upload_part(request: S3Request) -> Reply:
    key, number = file_key(request), part_number(request)
    length = request.payload.length
    if length is None:
        raise S3Fault(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
    if length > MAX_SINGLE_PUT:
        raise TooLarge("Your proposed upload exceeds the maximum allowed size")
    multipart, caller, public_id = request.services.multipart, request.caller, request.query["uploadId"]
    upload = await request.read(lambda: multipart.find(caller, key.path, public_id))
    declared = Declared(length, digests=digests(request.exchange.headers, request.payload))
    algorithm = upload.checksum[0]
    tap = tap_of(request.exchange.headers, request.payload)
    if tap and algorithm and tap.algorithm != algorithm:
        message = (
            f"Checksum Type mismatch occurred, expected checksum Type: {algorithm.lower()}, actual checksum Type: "
        )
        raise S3Fault(400, "InvalidRequest", message + tap.algorithm.lower())
    seen = tap or (ComputingTap(algorithm) if algorithm else None)
    try:
        part = await receive(
            lambda: multipart.open_part(caller, key.path, public_id, number, declared, [seen] if seen else ()),
            request.payload.body,
            request.settings.uploads,
        )
    except DigestMismatch as error:
        raise digest_fault(error, request) from error
    checksum = checksum_of_part(part)
    shown = {checksum.header: checksum.value} if checksum else {}
    return Reply(200, {"ETag": f'"{part.md5}"', **shown})


async def upload_part_copy(request: S3Request) -> Reply:
    source, key, number = parse_source(request), file_key(request), part_number(request)
    part = await request.in_thread(lambda: _copy_part(request, source, key, number))
    checksum = checksum_of_part(part)
    inner = element("LastModified", iso_time(part.at)) + element("ETag", f'"{part.md5}"')
    return document("CopyPartResult", inner + (element(checksum.element, checksum.value) if checksum else ""))


def _copy_part(request: S3Request, source: Key, key: Key, number: int) -> Part:
    """The bytes come in again, by the way of all bytes: the part is a blob of its own."""
    services, caller = request.services, request.caller
    upload = services.multipart.find(caller, key.path, request.query["uploadId"])
    node = services.objects.look(caller, source).node
    check_source(source_headers(request), node)
    if node.version is None:
        raise S3Fault(400, "InvalidRequest", "a folder has no bytes to copy")
    content = services.files.content(caller, node)
    start, length = _copied_range(request.header("x-amz-copy-source-range"), content.size)
    taps = [ComputingTap(upload.checksum[0])] if upload.checksum[0] else []
    incoming = services.multipart.open_part(caller, key.path, upload.public_id, number, Declared(length), taps)
    try:
        with content.open(start, length) as stream:
            while block := stream.read(_COPY_BLOCK):
                incoming.feed(block)
        return incoming.finish()
    finally:
        incoming.abort()


def _copied_range(header: str | None, size: int) -> tuple[int, int]:
    if header is None:
        start, length = 0, size
    else:
        match = _RANGE.fullmatch(header.strip())
        if match is None or int(match[2]) < int(match[1]):
            message = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are "
            raise invalid(
                message + "the zero-based offsets to the first and last byte", "x-amz-copy-source-range", header
            )
        start, length = int(match[1]), int(match[2]) - int(match[1]) + 1
        if start + length > size:
            message = f"Range specified is not valid for source object of size: {size}"
            raise S3Fault(416, "InvalidRange", message)
    if length > MAX_SINGLE_PUT:
        raise S3Fault(400, "InvalidRequest", "The specified copy source is larger than 5368709120 bytes; copy a range")
    return start, length


async def abort_multipart_upload(request: S3Request) -> Reply:
    key = file_key(request)
    await request.in_thread(
        lambda: request.services.multipart.abort(request.caller, key.path, request.query["uploadId"])
    )
    return Reply(204)


async def list_parts(request: S3Request) -> Reply:
    key, limit = file_key(request), request.number("max-parts", 1000, 1000)
    marker = request.number("part-number-marker", 0, MAX_PARTS)
    upload, parts = await request.in_thread(
        lambda: request.services.multipart.parts(request.caller, key.path, request.query["uploadId"], marker, limit + 1)
    )
    shown, more = parts[:limit], len(parts) > limit
    inner = element("Bucket", request.bucket) + element("Key", request.key) + element("UploadId", upload.public_id)
    inner += f"<Initiator>{element('ID', upload.user)}{element('DisplayName', upload.user)}</Initiator>{owner(request)}"
    inner += "<StorageClass>STANDARD</StorageClass>" + element("PartNumberMarker", str(marker))
    inner += element("NextPartNumberMarker", str(shown[-1].number if shown else marker))
    inner += element("MaxParts", str(limit)) + element("IsTruncated", "true" if more else "false")
    if upload.checksum[0]:
        inner += element("ChecksumAlgorithm", upload.checksum[0]) + element("ChecksumType", upload.checksum[1])
    return document("ListPartsResult", inner + "".join(_part_element(part) for part in shown))


def _part_element(part: Part) -> str:
    checksum = checksum_of_part(part)
    return (
        f"<Part><PartNumber>{part.number}</PartNumber><LastModified>{iso_time(part.at)}</LastModified>"
        f"{element('ETag', chr(34) + part.md5 + chr(34))}<Size>{part.size}</Size>"
        f"{element(checksum.element, checksum.value) if checksum else ''}</Part>"
    )


def file_key(request: S3Request) -> Key:
    """The key of the request, which must be one that can hold bytes."""
    key = request.object
    if key.is_folder:
        raise invalid("a key that ends with a slash is a folder here and cannot hold bytes", "key", request.key)
    if not request.query.get("uploadId", "x"):
        raise NoUpload("The specified multipart upload does not exist.")
    return key


def part_number(request: S3Request) -> int:
    """Raises S3Fault InvalidArgument."""
    text = request.query.get("partNumber", "")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MAX_PARTS:
        raise invalid(f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive", "partNumber", text)
    return int(text)
