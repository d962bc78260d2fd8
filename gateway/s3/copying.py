"""CopyObject: rows, never bytes, with the conditions of both sides checked in the transaction that copies.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import unquote_to_bytes

from gateway.domain.node import Node, Version, VersionState, webdav_etag
from gateway.domain.upload import Declared, PropertyChange
from gateway.exchange import Reply
from gateway.s3 import metadata
from gateway.s3.answers import document, element, iso_time
from gateway.s3.checksums import checksum_of
from gateway.s3.conditions import check_source, of_write
from gateway.s3.errors import S3Fault, invalid
from gateway.s3.objects import MAX_SINGLE_PUT, check_supported, version_header
from gateway.s3.request import S3Request, parse_key
from gateway.s3.sigv4 import parse_query
from gateway.s3.tagging import parse_tagging_header
from gateway.service.objects import Key
from gateway.service.placing import BY_KEY
from gateway.service.results import Content, Placed
from gateway.wire.fields import field_text

_MD5 = re.compile(r'"[0-9a-f]{32}(-\d+)?"')
_COPY_BLOCK = 1024 * 1024


async def copy_object(request: S3Request) -> Reply:
    source, target = parse_source(request), request.object
    check_supported(request)
    replaces = _directive(request, "x-amz-metadata-directive")
    replaces_tags = _directive(request, "x-amz-tagging-directive")
    if source == target and not replaces:
        raise S3Fault(
            400,
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes.",
        )
    seen = await request.in_thread(lambda: request.services.objects.look(request.caller, source))
    node = seen.node
    tags = parse_tagging_header(request) if replaces_tags else None
    if source.is_folder or target.is_folder:
        return await _copy_folder(request, node, target, replaces)
    if node.size > MAX_SINGLE_PUT:
        raise S3Fault(400, "InvalidRequest", "The specified copy source is larger than 5368709120 bytes; copy by parts")
    copied = await request.in_thread(lambda: _copy(request, source, target, node, replaces, tags))
    shown = version_header(copied.node)
    if seen.version_id:
        shown["x-amz-copy-source-version-id"] = seen.version_id
    return _result(copied.node, shown)


def parse_source(request: S3Request) -> Key:
    """``/bucket/key`` or ``bucket/key``, percent-encoded. Raises S3Fault InvalidArgument, InvalidName."""
    raw, _, query = (request.header("x-amz-copy-source") or "").partition("?")
    text = unquote_to_bytes(raw.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape").removeprefix("/")
    bucket, slash, key = text.partition("/")
    if not bucket or not slash or not key:
        raise invalid("Copy Source must mention the source bucket and key: sourcebucket/sourcekey", "x-amz-copy-source")
    version_id = dict(parse_query(query)).get("versionId") if query else None
    if version_id == "":
        raise invalid("Version id cannot be the empty string", "x-amz-copy-source")
    return replace(parse_key(bucket, key), version_id=version_id)


def source_headers(request: S3Request) -> dict[str, str | None]:
    """The conditions on the source."""
    names = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
    return {f"x-amz-copy-source-{name}": request.header(f"x-amz-copy-source-{name}") for name in names}


def _directive(request: S3Request, name: str) -> bool:
    value = (request.header(name) or "COPY").upper()
    if value not in ("COPY", "REPLACE"):
        raise invalid(f"Unknown {name.removeprefix('x-amz-').replace('-', ' ')}.", name, value)
    return value == "REPLACE"


def _properties(request: S3Request, node: Node, replaces: bool, tags: str | None) -> PropertyChange:
    """What the target is to have of S3's properties; others go along with the source."""
    tagging = metadata.tagging_of(node) if tags is None else tags
    if replaces:
        return metadata.properties(request.exchange.headers, tagging)
    kept = {name: value for name, value in node.props.items() if name.startswith(metadata.OURS)}
    return PropertyChange(metadata.OURS, dict(metadata.with_tagging(kept, tagging)))


def _copy(request: S3Request, source: Key, target: Key, node: Node, replaces: bool, tags: str | None) -> Placed:
    wanted = source_headers(request)
    conditions = of_write(request.exchange.headers)
    change = _properties(request, node, replaces, tags)
    if node.version and node.version.state is VersionState.MARKED:
        check_source(wanted, node)
        return _copy_bytes(request, target, node, replaces, change)
    return request.services.objects.copy(
        request.caller,
        source,
        target,
        made=lambda version, number, now: remade(request, version, number, now, replaces),
        change=change,
        source_conditions=lambda found: check_source(wanted, found),
        conditions=conditions,
    )


def remade(request: S3Request, version: Version, number: int, now: int, replaces: bool) -> Version:
    """The version that a copy becomes: the same bytes under the same ETag where it tells the bytes."""
    etag = version.etag if _MD5.fullmatch(version.etag) else webdav_etag(number)
    kept = now if version.mtime == version.created_at else version.mtime
    copied = replace(version, id=number, etag=etag, created_at=now, mtime=kept)
    if not replaces:
        return copied
    headers = request.exchange.headers
    facts = {name: value for name, value in version.facts.items() if name != metadata.ENCODING_FACT}
    at = metadata.mtime_of(metadata.user_metadata(headers))
    return replace(
        copied,
        content_type=field_text(headers.get("Content-Type")),
        facts={**facts, **metadata.facts_of(headers)},
        mtime=now if at is None else at,
    )


def _copy_bytes(request: S3Request, target: Key, node: Node, replaces: bool, change: PropertyChange) -> Placed:
    """What no scanner has judged yet is not copied as it is: its bytes come in again, by the way of all bytes."""
    assert node.version is not None
    content: Content = request.services.files.content(request.caller, node)
    headers = request.exchange.headers
    declared = Declared(
        length=content.size,
        content_type=field_text(headers.get("Content-Type")) if replaces else node.version.content_type,
        md5_etag=True,
        facts=metadata.facts_of(headers if replaces else metadata.headers_of(node)),
        properties=change,
    )
    upload = request.services.uploads.open(request.caller, target.path, declared, of_write(headers), BY_KEY)
    try:
        with content.open(0, content.size) as stream:
            while block := stream.read(_COPY_BLOCK):
                upload.feed(block)
        return upload.finish()
    finally:
        upload.abort()


async def _copy_folder(request: S3Request, node: Node, target: Key, replaces: bool) -> Reply:
    if not node.is_collection or not target.is_folder:
        raise S3Fault(400, "InvalidRequest", "a folder (a key that ends with a slash) is copied to a folder only")
    change = _properties(request, node, replaces, None)
    check_source(source_headers(request), node)
    conditions = of_write(request.exchange.headers)
    made = await request.in_thread(
        lambda: request.services.objects.put_folder(request.caller, target, change, conditions)
    )
    return _result(made)


def _result(node: Node, headers: Mapping[str, str] | None = None) -> Reply:
    checksum = checksum_of(node.version)
    inner = element("LastModified", iso_time(metadata.last_modified(node))) + element("ETag", metadata.etag_of(node))
    if checksum:
        inner += element(checksum.element, checksum.value) + element("ChecksumType", checksum.type)
    return document("CopyObjectResult", inner, headers=headers)
