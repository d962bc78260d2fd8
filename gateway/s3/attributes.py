"""GetObjectAttributes: what is known of an object and of its parts, without its bytes.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAttributes.html
"""

from __future__ import annotations

from gateway.domain.multipart import PART_CHECKSUMS_FACT, PARTS_FACT, sizes_from_text
from gateway.domain.node import Node, Version
from gateway.exchange import Reply
from gateway.s3 import metadata
from gateway.s3.answers import document, element
from gateway.s3.checksums import checksum_of
from gateway.s3.errors import invalid
from gateway.s3.objects import asked_key
from gateway.s3.request import S3Request
from gateway.wire.fields import http_date

_KNOWN = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")
_MOST = 2**31 - 1


async def get_object_attributes(request: S3Request) -> Reply:
    headers = request.exchange.headers
    named = ",".join(headers.getall("x-amz-object-attributes", []))
    wanted = [one.strip() for one in named.split(",") if one.strip()]
    if not wanted or any(one not in _KNOWN for one in wanted):
        raise invalid("Invalid attribute name specified.", "x-amz-object-attributes", named)
    key = asked_key(request)
    seen = await request.read(lambda: request.services.objects.look(request.caller, key))
    answers = {
        "ETag": element("ETag", metadata.etag_of(seen.node).strip('"')),
        "Checksum": _checksum(seen.node.version),
        "ObjectParts": _parts(request, seen.node),
        "StorageClass": "<StorageClass>STANDARD</StorageClass>",
        "ObjectSize": f"<ObjectSize>{seen.node.size}</ObjectSize>",
    }
    shown = {"Last-Modified": http_date(metadata.last_modified(seen.node))}
    if seen.version_id:
        shown["x-amz-version-id"] = seen.version_id
    inner = "".join(answers[one] for one in _KNOWN if one in wanted)
    return document("GetObjectAttributesResponse", inner, headers=shown)


def _checksum(version: Version | None) -> str:
    checksum = checksum_of(version)
    if checksum is None:
        return ""
    inner = element(checksum.element, checksum.value) + element("ChecksumType", checksum.type)
    return f"<Checksum>{inner}</Checksum>"


def _parts(request: S3Request, node: Node) -> str:
    """Those of an object that was uploaded by parts; "" for one that came whole."""
    facts = node.version.facts if node.version else {}
    sizes = sizes_from_text(facts.get(PARTS_FACT, ""))
    if not sizes:
        return ""
    after, limit = _number(request, "x-amz-part-number-marker", 0), _number(request, "x-amz-max-parts", 1000)
    checksum, sums = checksum_of(node.version), facts.get(PART_CHECKSUMS_FACT, "").split()
    shown = ""
    numbers = range(after + 1, min(len(sizes), after + limit) + 1)
    for number in numbers:
        of_part = element(checksum.element, sums[number - 1]) if checksum and len(sums) == len(sizes) else ""
        shown += f"<Part><PartNumber>{number}</PartNumber><Size>{sizes[number - 1]}</Size>{of_part}</Part>"
    last = numbers[-1] if numbers else after
    inner = f"<PartsCount>{len(sizes)}</PartsCount><PartNumberMarker>{after}</PartNumberMarker>"
    inner += f"<NextPartNumberMarker>{last}</NextPartNumberMarker><MaxParts>{limit}</MaxParts>"
    return f"<ObjectParts>{inner}<IsTruncated>{str(last < len(sizes)).lower()}</IsTruncated>{shown}</ObjectParts>"


def _number(request: S3Request, header: str, default: int) -> int:
    text = (request.header(header) or "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or int(text[:12]) > _MOST:
        raise invalid(f"{header} is no number", header, text)
    return int(text)
