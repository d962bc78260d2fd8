"""Tags of objects and buckets: kept as one property, written as a query."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from gateway.domain.node import Node
from gateway.exchange import Reply
from gateway.s3 import metadata
from gateway.s3.answers import child_text, document, element, local, read_xml
from gateway.s3.errors import S3Fault, malformed_xml
from gateway.s3.request import S3Request
from gateway.s3.sigv4 import parse_query
from gateway.wire.markup import Element

MAX_OBJECT_TAGS, MAX_BUCKET_TAGS = 10, 50

Tags = Sequence[tuple[str, str]]


def parse_tagging_header(request: S3Request) -> str:
    """The tags in ``x-amz-tagging``, checked, as they are stored. Raises S3Fault InvalidTag."""
    return stored(parse_query(request.header("x-amz-tagging") or ""), MAX_OBJECT_TAGS)


def stored(tags: Tags, most: int) -> str:
    """Tags as they are stored. Raises S3Fault InvalidTag for what the rules of S3 forbid."""
    if len(tags) > most:
        raise S3Fault(400, "InvalidTag", f"Object tags cannot be greater than {most}")
    names = [name for name, _ in tags]
    for name, value in tags:
        if not 0 < len(name) <= 128:
            raise S3Fault(400, "InvalidTag", "The TagKey you have provided is invalid")
        if len(value) > 256:
            raise S3Fault(400, "InvalidTag", "The TagValue you have provided is invalid")
    if len(set(names)) != len(names):
        raise S3Fault(400, "InvalidTag", "Cannot provide multiple Tags with the same key")
    return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in tags)


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe="-_.~")


async def _read_tags(request: S3Request, most: int) -> str:
    return tags_in(await read_xml(request, "Tagging"), most)


def tags_in(root: Element, most: int) -> str:
    """The tags of a Tagging element, checked, as they are stored. Raises S3Fault MalformedXML, InvalidTag."""
    sets = [one for one in root.children if local(one) == "TagSet"]
    if len(sets) != 1:
        raise malformed_xml()
    tags = []
    for one in sets[0].children:
        name, value = child_text(one, "Key"), child_text(one, "Value")
        if local(one) != "Tag" or name is None or value is None:
            raise malformed_xml()
        tags.append((name, value))
    return stored(tags, most)


def _document(node: Node) -> Reply:
    tags = parse_query(metadata.tagging_of(node))
    inner = "".join(f"<Tag>{element('Key', name)}{element('Value', value)}</Tag>" for name, value in sorted(tags))
    return document("Tagging", f"<TagSet>{inner}</TagSet>")


# -- objects ----------------------------------------------------------------------------------------------------------


async def get_object_tagging(request: S3Request) -> Reply:
    key = request.object
    return _document(await request.in_thread(lambda: request.services.objects.get(request.caller, key)))


async def put_object_tagging(request: S3Request) -> Reply:
    await _tag_object(request, await _read_tags(request, MAX_OBJECT_TAGS))
    return Reply(200)


async def delete_object_tagging(request: S3Request) -> Reply:
    await _tag_object(request, "")
    return Reply(204)


async def _tag_object(request: S3Request, tags: str) -> None:
    key = request.object
    await request.in_thread(
        lambda: request.services.objects.change(request.caller, key, lambda props: metadata.with_tagging(props, tags))
    )


# -- buckets ----------------------------------------------------------------------------------------------------------


async def get_bucket_tagging(request: S3Request) -> Reply:
    bucket = await request.in_thread(lambda: request.services.buckets.get(request.caller, request.bucket))
    if not metadata.tagging_of(bucket):
        raise S3Fault(404, "NoSuchTagSet", "The TagSet does not exist", {"BucketName": request.bucket})
    return _document(bucket)


async def put_bucket_tagging(request: S3Request) -> Reply:
    await _tag_bucket(request, await _read_tags(request, MAX_BUCKET_TAGS))
    return Reply(204)


async def delete_bucket_tagging(request: S3Request) -> Reply:
    await _tag_bucket(request, "")
    return Reply(204)


async def _tag_bucket(request: S3Request, tags: str) -> None:
    await request.in_thread(
        lambda: request.services.buckets.change(
            request.caller, request.bucket, lambda props: metadata.with_tagging(props, tags)
        )
    )
