"""Operations on buckets themselves."""

from __future__ import annotations

import ipaddress
import re

from gateway.domain.errors import AlreadyExists
from gateway.domain.names import check_segment
from gateway.exchange import Reply
from gateway.s3.answers import child_text, document, element, iso_time, parse_xml, read_body
from gateway.s3.errors import S3Fault, not_implemented
from gateway.s3.request import S3Request

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MAX_BUCKETS = 10_000


async def list_buckets(request: S3Request) -> Reply:
    """The top-level collections of the space, whatever their names: WebDAV does not follow S3's rules for them."""
    limit = request.number("max-buckets", _MAX_BUCKETS, _MAX_BUCKETS)
    after = request.query.get("continuation-token", "")
    prefix = request.query.get("prefix", "")
    nodes, more = await request.in_thread(lambda: request.services.buckets.page(request.caller, after, limit))
    entries = "".join(
        f"<Bucket>{element('Name', node.name)}<CreationDate>{iso_time(node.created_at)}</CreationDate>"
        f"{element('BucketRegion', request.settings.region)}</Bucket>"
        for node in nodes
        if node.name.startswith(prefix)
    )
    token = element("ContinuationToken", nodes[-1].name) if more and nodes else ""
    return document("ListAllMyBucketsResult", f"{owner(request)}<Buckets>{entries}</Buckets>{token}")


def owner(request: S3Request, name: str = "Owner") -> str:
    """All that is in a space is its tenant's."""
    tenant = request.caller.tenant.name
    return f"<{name}>{element('ID', tenant)}{element('DisplayName', tenant)}</{name}>"


async def create_bucket(request: S3Request) -> Reply:
    check_bucket_name(request.bucket)
    if (request.header("x-amz-bucket-object-lock-enabled") or "").lower() == "true":
        raise not_implemented("object lock")
    refuse_acl(request)
    await _check_location(request)
    try:
        await request.in_thread(lambda: request.services.buckets.create(request.caller, request.bucket))
    except AlreadyExists:
        if request.settings.region == "us-east-1":  # where S3 has always let its owner make a bucket again
            return Reply(200, {"Location": f"/{request.bucket}"})
        message = "Your previous request to create the named bucket succeeded and you already own it."
        raise S3Fault(409, "BucketAlreadyOwnedByYou", message, {"BucketName": request.bucket}) from None
    return Reply(200, {"Location": f"/{request.bucket}"})


def check_bucket_name(name: str) -> None:
    """The naming rules of S3 for new buckets. Raises S3Fault InvalidBucketName."""
    is_address = False
    try:
        ipaddress.IPv4Address(name)
        is_address = True
    except ValueError:
        pass
    if not _NAME.fullmatch(name) or ".." in name or ".-" in name or "-." in name or is_address:
        message = "The specified bucket is not valid."
        raise S3Fault(400, "InvalidBucketName", message, {"BucketName": name})
    check_segment(name)


async def _check_location(request: S3Request) -> None:
    body = await read_body(request)
    if not body.strip():
        return
    root = parse_xml(body, "CreateBucketConfiguration")
    wanted = child_text(root, "LocationConstraint")
    if wanted and wanted.strip() not in (request.settings.region, "us-east-1"):
        raise S3Fault(400, "InvalidLocationConstraint", "The specified location-constraint is not valid")


def refuse_acl(request: S3Request) -> None:
    """Who may do what is a matter of roles here; a canned ACL that says no more than that is taken. Raises S3Fault."""
    refuse_canned_acl(request.header("x-amz-acl"))
    for name in request.exchange.headers.keys():  # noqa: SIM118
        if name.lower().startswith("x-amz-grant-"):
            raise not_implemented("an ACL with grants")


def refuse_canned_acl(acl: str | None) -> None:
    if acl not in (None, "private", "bucket-owner-full-control", "bucket-owner-read"):
        raise not_implemented(f"the ACL {acl!r}")


async def head_bucket(request: S3Request) -> Reply:
    await request.read(lambda: request.services.buckets.get(request.caller, request.bucket))
    return Reply(200, {"x-amz-bucket-region": request.settings.region, "Content-Type": "application/xml"})


async def delete_bucket(request: S3Request) -> Reply:
    await request.in_thread(lambda: request.services.buckets.delete(request.caller, request.bucket))
    return Reply(204)


async def get_location(request: S3Request) -> Reply:
    await request.read(lambda: request.services.buckets.get(request.caller, request.bucket))
    region = request.settings.region
    return document("LocationConstraint", "" if region == "us-east-1" else region)
