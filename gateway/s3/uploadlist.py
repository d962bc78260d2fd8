"""ListMultipartUploads: what is pending in a bucket, in the order of keys.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.domain.multipart import MultipartUpload, parse_public_id
from gateway.exchange import Reply
from gateway.s3.answers import Encode, document, element, encoder, iso_time
from gateway.s3.buckets import owner
from gateway.s3.errors import invalid
from gateway.s3.request import S3Request

MAX_UPLOADS = 1000
_LAST_ID = 2**63 - 1
_BEYOND = "\U0010ffff"
"""After every other character, in bytes of UTF-8 too."""


@dataclass
class _Page:
    uploads: list[MultipartUpload] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    more: bool = False
    last: tuple[str, str] = ("", "")

    @property
    def size(self) -> int:
        return len(self.uploads) + len(self.prefixes)


async def list_multipart_uploads(request: S3Request) -> Reply:
    query = request.query
    limit = request.number("max-uploads", MAX_UPLOADS, MAX_UPLOADS)
    encode = encoder(query.get("encoding-type"))
    prefix, delimiter, marker = query.get("prefix", ""), query.get("delimiter", ""), query.get("key-marker", "")
    id_marker = query.get("upload-id-marker", "") if marker else ""
    number = parse_public_id(id_marker) if id_marker else _LAST_ID
    if number is None:
        raise invalid("Invalid uploadId marker", "upload-id-marker", id_marker)
    after = (marker, number if marker else 0)
    page = await request.in_thread(lambda: _page(request, prefix, delimiter, after, limit))
    inner = element("Bucket", request.bucket) + element("KeyMarker", encode(marker))
    inner += element("UploadIdMarker", id_marker)
    if page.more:
        inner += element("NextKeyMarker", encode(page.last[0])) + element("NextUploadIdMarker", page.last[1])
    inner += element("Prefix", encode(prefix))
    if delimiter:
        inner += element("Delimiter", encode(delimiter))
    inner += element("MaxUploads", str(limit)) + element("IsTruncated", "true" if page.more else "false")
    if encode.as_url:
        inner += "<EncodingType>url</EncodingType>"
    inner += "".join(_upload(request, one, encode) for one in page.uploads)
    inner += "".join(f"<CommonPrefixes>{element('Prefix', encode(one))}</CommonPrefixes>" for one in page.prefixes)
    return document("ListMultipartUploadsResult", inner)


def _page(request: S3Request, prefix: str, delimiter: str, after: tuple[str, int], limit: int) -> _Page:
    page = _Page()
    multipart = request.services.multipart
    while found := multipart.pending(request.caller, request.bucket, prefix, after, limit + 1):
        for one in found:
            key = one.key_text
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            common = key[: end + len(delimiter)] if end >= 0 else ""
            if common and page.prefixes and page.prefixes[-1] == common:
                continue
            if page.size == limit:
                page.more = limit > 0
                return page
            if common:
                page.prefixes.append(common)
                page.last = (common + _BEYOND, "")
                after = (common + _BEYOND, _LAST_ID)
                break
            page.uploads.append(one)
            page.last, after = (key, one.public_id), (key, one.id)
        else:
            if len(found) <= limit:
                return page
    return page


def _upload(request: S3Request, one: MultipartUpload, encode: Encode) -> str:
    inner = element("Key", encode(one.key_text)) + element("UploadId", one.public_id)
    inner += f"<Initiator>{element('ID', one.user)}{element('DisplayName', one.user)}</Initiator>{owner(request)}"
    inner += f"<StorageClass>STANDARD</StorageClass><Initiated>{iso_time(one.started_at)}</Initiated>"
    if one.checksum[0]:
        inner += element("ChecksumAlgorithm", one.checksum[0]) + element("ChecksumType", one.checksum[1])
    return f"<Upload>{inner}</Upload>"
