"""Versioning: put on or suspended for a bucket, and the list of all versions.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/Versioning.html
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.history import PROPERTY, Versioning
from gateway.exchange import Reply
from gateway.s3 import metadata
from gateway.s3.answers import Encode, child_text, document, element, encoder, iso_time, read_xml
from gateway.s3.buckets import owner
from gateway.s3.errors import invalid, malformed_xml, not_implemented
from gateway.s3.request import S3Request
from gateway.service.versionwalk import VersionEntry, VersionPage

MAX_KEYS = 1000


async def get_bucket_versioning(request: S3Request) -> Reply:
    state = await request.read(lambda: request.services.versions.versioning(request.caller, request.bucket))
    return document("VersioningConfiguration", element("Status", state) if state else "")


async def put_bucket_versioning(request: S3Request) -> Reply:
    root = await read_xml(request, "VersioningConfiguration")
    if (child_text(root, "MfaDelete") or "Disabled").strip() != "Disabled" or request.header("x-amz-mfa"):
        raise not_implemented("MFA delete")
    status = (child_text(root, "Status") or "").strip()
    if status not in (Versioning.ENABLED, Versioning.SUSPENDED):
        raise malformed_xml()
    prop = metadata.property_of(PROPERTY, status)
    await request.in_thread(
        lambda: request.services.buckets.change(request.caller, request.bucket, lambda props: {**props, PROPERTY: prop})
    )
    return Reply(200)


@dataclass(frozen=True)
class _Shown:
    """What a page is written by."""

    request: S3Request
    encode: Encode
    owned: str

    def entry(self, one: VersionEntry) -> str:
        if not one.version_id:
            return f"<CommonPrefixes>{element('Prefix', self.encode(one.key))}</CommonPrefixes>"
        named = element("Key", self.encode(one.key)) + element("VersionId", one.version_id)
        named += element("IsLatest", "true" if one.is_latest else "false")
        if one.node is None:
            return f"<DeleteMarker>{named}{element('LastModified', iso_time(one.at))}{self.owned}</DeleteMarker>"
        facts = element("LastModified", iso_time(metadata.last_modified(one.node)))
        facts += element("ETag", metadata.etag_of(one.node)) + element("Size", str(one.node.size))
        return f"<Version>{named}{facts}<StorageClass>STANDARD</StorageClass>{self.owned}</Version>"


async def list_object_versions(request: S3Request) -> Reply:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html; without versioning each key as its
    only version, ``null`` (CLIENTS 34)."""
    query = request.query
    limit = request.number("max-keys", MAX_KEYS, MAX_KEYS)
    prefix, delimiter, marker = query.get("prefix", ""), query.get("delimiter", ""), query.get("key-marker", "")
    id_marker = query.get("version-id-marker", "")
    if id_marker and not marker:
        raise invalid("A version-id marker cannot be specified without a key marker.", "version-id-marker", id_marker)
    encode = encoder(query.get("encoding-type"))
    page = await request.in_thread(
        lambda: request.services.versions.page(
            request.caller, request.bucket, prefix, delimiter, marker, id_marker, limit
        )
    )
    inner = element("Name", request.bucket) + element("Prefix", encode(prefix)) + element("KeyMarker", encode(marker))
    inner += element("VersionIdMarker", id_marker) + _next(page, encode)
    inner += element("MaxKeys", str(limit))
    if delimiter:
        inner += element("Delimiter", encode(delimiter))
    if encode.as_url:
        inner += "<EncodingType>url</EncodingType>"
    shown = _Shown(request, encode, owner(request))
    return document("ListVersionsResult", inner + "".join(shown.entry(one) for one in page.entries))


def _next(page: VersionPage, encode: Encode) -> str:
    if page.last is None:
        return "<IsTruncated>false</IsTruncated>"
    marker = element("NextKeyMarker", encode(page.last.key)) + element("NextVersionIdMarker", page.last.version_id)
    return f"<IsTruncated>true</IsTruncated>{marker}"
