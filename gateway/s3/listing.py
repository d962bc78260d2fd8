"""Lists of keys: ListObjectsV2 and its forerunner."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from gateway.domain.entry import Listed
from gateway.exchange import Reply
from gateway.s3.answers import Encode, document, element, encoder, iso_time
from gateway.s3.buckets import owner
from gateway.s3.errors import S3Fault
from gateway.s3.metadata import ETAG_OF_NOTHING
from gateway.s3.request import S3Request
from gateway.service.keywalk import Page
from gateway.wire.markup import escape

MAX_KEYS = 1000


async def list_objects_v2(request: S3Request) -> Reply:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html"""
    token, start = request.query.get("continuation-token"), request.query.get("start-after", "")
    after = read_token(token) if token else _bytes(start)

    def render(listing: Listing) -> Reply:
        shown = listing.head()
        shown += element("KeyCount", str(len(listing.page.entries)))
        if token is not None:
            shown += element("ContinuationToken", token)
        if start:
            shown += element("StartAfter", listing.encode(start))
        if listing.page.last is not None:
            shown += element("NextContinuationToken", make_token(listing.page.last))
        return document("ListBucketResult", shown + listing.entries(request.query.get("fetch-owner") == "true"))

    return await _list(request, after, render)


async def list_objects(request: S3Request) -> Reply:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html"""
    marker = request.query.get("marker", "")

    def render(listing: Listing) -> Reply:
        shown = listing.head() + element("Marker", listing.encode(marker))
        if listing.page.last is not None and listing.delimiter:
            shown += element("NextMarker", listing.encode(_text(listing.page.last)))
        return document("ListBucketResult", shown + listing.entries(True))

    return await _list(request, _bytes(marker), render)


class Listing:
    """A page with what it was asked for by."""

    def __init__(self, request: S3Request, page: Page[Listed], limit: int) -> None:
        self.request = request
        self.page = page
        self.limit = limit
        self.prefix = request.query.get("prefix", "")
        self.delimiter = request.query.get("delimiter", "")
        self.encode: Encode = encoder(request.query.get("encoding-type"))

    def head(self) -> str:
        shown = element("Name", self.request.bucket) + element("Prefix", self.encode(self.prefix))
        if self.delimiter:
            shown += element("Delimiter", self.encode(self.delimiter))
        shown += element("MaxKeys", str(self.limit))
        if self.encode.as_url:
            shown += "<EncodingType>url</EncodingType>"
        return shown + element("IsTruncated", "true" if self.page.last is not None else "false")

    def entries(self, with_owner: bool) -> str:
        end = f"<StorageClass>STANDARD</StorageClass>{owner(self.request) if with_owner else ''}</Contents>"
        encode = self.encode
        shown = [
            f"<Contents><Key>{escape(encode(_text(key)))}</Key><LastModified>{iso_time(node.at)}</LastModified>"
            f"<ETag>{escape(node.etag or ETAG_OF_NOTHING)}</ETag><Size>{node.size or 0}</Size>{end}"
            for key, node in self.page.entries
            if node is not None
        ]
        return "".join(shown) + self.prefixes()

    def prefixes(self) -> str:
        return "".join(
            [
                f"<CommonPrefixes>{element('Prefix', self.encode(_text(key)))}</CommonPrefixes>"
                for key, node in self.page.entries
                if node is None
            ]
        )


async def _list(request: S3Request, after: bytes, render: Callable[[Listing], Reply]) -> Reply:
    """Reads a page and writes the answer, both in a thread: a thousand entries are milliseconds of work."""
    limit = request.number("max-keys", MAX_KEYS, MAX_KEYS)
    prefix, delimiter = _bytes(request.query.get("prefix", "")), _bytes(request.query.get("delimiter", ""))
    encoder(request.query.get("encoding-type"))

    def work() -> Reply:
        page = request.services.buckets.keys(request.caller, request.bucket, prefix, delimiter, after, limit)
        return render(Listing(request, page, limit))

    return await request.in_thread(work)


# -- tokens -----------------------------------------------------------------------------------------------------------


def make_token(last: bytes) -> str:
    """Opaque to clients, and good for ever: a listing can be gone on with after any restart."""
    return base64.urlsafe_b64encode(b"k" + last).decode()


def read_token(token: str) -> bytes:
    try:
        raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not raw.startswith(b"k"):
        raise S3Fault(400, "InvalidArgument", "The continuation token provided is incorrect")
    return raw[1:]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(key: bytes) -> str:
    return key.decode("utf-8", "surrogateescape")
