"""What S3 keeps beside the bytes of an object, and where: in the same store as WebDAV's dead properties.

``x-amz-meta-NAME`` is the property NAME of the namespace ``urn:kurado:meta``; Content-Language is
``DAV:getcontentlanguage``; Cache-Control, Content-Disposition and Expires are properties of ``urn:kurado:s3``. What
describes the bytes themselves (Content-Type, Content-Encoding, checksums) belongs to the version and goes with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.sax.saxutils import unescape

from gateway.domain.errors import BadRequest
from gateway.domain.node import Node, Version
from gateway.domain.upload import PropertyChange
from gateway.exchange import Headers
from gateway.s3.errors import S3Fault, invalid
from gateway.wire.markup import escape, parse
from gateway.wire.media import media_type

META = "urn:kurado:meta"
STORED = "urn:kurado:s3"
LANGUAGE = "{DAV:}getcontentlanguage"
MTIME = "mtime"
ENCODING_FACT = "content-encoding"
MAX_METADATA = 2048
ETAG_OF_NOTHING = '"d41d8cd98f00b204e9800998ecf8427e"'
OURS = (f"{{{META}}}", f"{{{STORED}}}", LANGUAGE)
"""What an S3 write replaces; other properties stay."""

_PREFIX = "x-amz-meta-"
_HEADERS = {
    "Cache-Control": f"{{{STORED}}}cache-control",
    "Content-Disposition": f"{{{STORED}}}content-disposition",
    "Content-Language": LANGUAGE,
    "Expires": f"{{{STORED}}}expires",
}
_TAGGING = f"{{{STORED}}}tagging"
_SAFE_NAME = re.compile(r"[a-z][a-z0-9.-]*|[a-z][a-z0-9._-]*")
_ESCAPED = re.compile(r"_x([0-9a-f]{2})_")
_SECONDS = re.compile(r"-?\d{1,12}(\.\d{1,12})?", re.ASCII)
_TEXT = re.compile(r"<[^<>]*>([^<]*)</[^<>]*>")


# -- one property -----------------------------------------------------------------------------------------------------


def property_of(name: str, value: str) -> str:
    """A dead property, ``{namespace}local`` → the element as text."""
    namespace, _, local = name[1:].partition("}")
    return f'<M:{local} xmlns:M="{namespace}">{escape(value)}</M:{local}>'


def text_of(element: str) -> str:
    """The text in a dead property, whoever wrote it."""
    match = _TEXT.fullmatch(element)
    if match:
        return unescape(match[1].replace("&#13;", "\r"), {"&quot;": '"', "&apos;": "'"})
    try:
        return parse(element.encode()).text
    except BadRequest:
        return ""


def _local(name: str) -> str:
    """The name of a metadata entry as the name of an XML element: what cannot stand there is ``_xHH_``."""
    first, rest = name[0], name[1:]
    head = first if first.isalpha() else f"_x{ord(first):02x}_"
    return head + "".join(one if one.isalnum() or one in ".-" else f"_x{ord(one):02x}_" for one in rest)


def _entry(local: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), local)


def _one_line(text: str) -> str:
    """A value that may stand in a header, whatever a WebDAV client has written."""
    return " ".join(text.replace("\x00", "").split("\n")).replace("\r", " ").strip()


# -- reading a request ------------------------------------------------------------------------------------------------


def user_metadata(headers: Headers) -> dict[str, str]:
    """The entries of ``x-amz-meta-``, names in lower case (CLIENTS 33). Raises S3Fault MetadataTooLarge."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(key.lower() for key in headers.keys()):  # noqa: SIM118
        if name.startswith(_PREFIX) and len(name) > len(_PREFIX):
            found[name.removeprefix(_PREFIX)] = ",".join(value.strip() for value in headers.getall(name, []))
    return checked(found)


def checked(found: dict[str, str]) -> dict[str, str]:
    """The entries, if they can be kept. Raises S3Fault."""
    size = sum(len(name) + len(value.encode("utf-8", "surrogateescape")) for name, value in found.items())
    if size > MAX_METADATA:
        raise S3Fault(
            400,
            "MetadataTooLarge",
            "Your metadata headers exceed the maximum allowed metadata size",
            {"Size": str(size), "MaxSizeAllowed": str(MAX_METADATA)},
        )
    for name, value in found.items():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise invalid("metadata must be UTF-8", _PREFIX + name) from None
    return found


def properties(headers: Headers, tagging: str = "") -> PropertyChange:
    """What a write with these headers does to the properties of an object."""
    return change_of(user_metadata(headers), headers, tagging)


def change_of(metadata: Mapping[str, str], headers: Headers | Mapping[str, str], tagging: str = "") -> PropertyChange:
    put = {f"{{{META}}}{_local(name)}": value for name, value in metadata.items()}
    for header, name in _HEADERS.items():
        value = headers.get(header)
        if value:
            put[name] = value
    if tagging:
        put[_TAGGING] = tagging
    return PropertyChange(OURS, {name: property_of(name, value) for name, value in put.items()})


def content_encoding(headers: Headers | Mapping[str, str]) -> str:
    """Content-Encoding without ``aws-chunked``, which is about the request only."""
    codings = [one.strip() for one in (headers.get("Content-Encoding") or "").split(",")]
    return ", ".join(one for one in codings if one and one.lower() != "aws-chunked")


def facts_of(headers: Headers | Mapping[str, str]) -> dict[str, str]:
    """What the version keeps of the head of a write."""
    coding = content_encoding(headers)
    return {ENCODING_FACT: coding} if coding else {}


def mtime_of(metadata: Mapping[str, str]) -> int | None:
    """The time that sync tools send in seconds as ``x-amz-meta-mtime``, in ms; it is WebDAV's getlastmodified."""
    text = metadata.get(MTIME, "")
    return int(float(text) * 1000) if _SECONDS.fullmatch(text) else None


# -- writing an answer ------------------------------------------------------------------------------------------------


def metadata_of(node: Node) -> dict[str, str]:
    """User metadata by name. A time that was set, over S3 or WebDAV, is there as ``mtime``."""
    start = f"{{{META}}}"
    found = {
        _entry(name.removeprefix(start)): _one_line(text_of(value))
        for name, value in node.props.items()
        if name.startswith(start)
    }
    version = node.version
    if version and version.mtime != version.created_at and mtime_of(found) != version.mtime:
        found[MTIME] = f"{version.mtime / 1000:.3f}".rstrip("0").rstrip(".")
    return found


def stored_headers(node: Node) -> dict[str, str]:
    """The fields that describe an object: type, the stored ones, metadata, the number of tags."""
    headers = {"Content-Type": type_of(node)}
    for header, name in _HEADERS.items():
        if name in node.props:
            headers[header] = _one_line(text_of(node.props[name]))
    if node.version and (coding := node.version.facts.get(ENCODING_FACT)):
        headers["Content-Encoding"] = coding
    headers.update({_PREFIX + name: value for name, value in metadata_of(node).items()})
    tags = tagging_of(node)
    if tags:
        headers["x-amz-tagging-count"] = str(tags.count("&") + 1)
    return headers


def headers_of(node: Node) -> dict[str, str]:
    """The stored headers alone, as the request that set them had them."""
    return {name: value for name, value in stored_headers(node).items() if not name.startswith("x-amz-")}


def type_of(node: Node) -> str:
    """The type that was stored, or that of the name where none was."""
    if node.is_collection:
        return "application/x-directory"
    stored = node.version.content_type if node.version else ""
    return _one_line(stored) or media_type(node.name)


def tagging_of(node: Node) -> str:
    """The tags as a query, "" for none."""
    return text_of(node.props[_TAGGING]) if _TAGGING in node.props else ""


def with_tagging(props: Mapping[str, str], tagging: str) -> Mapping[str, str]:
    """Properties with other tags."""
    rest = {name: value for name, value in props.items() if name != _TAGGING}
    return {**rest, _TAGGING: property_of(_TAGGING, tagging)} if tagging else rest


def etag_of(node: Node) -> str:
    """With quotes; that of nothing for a collection."""
    return node.version.etag if node.version else ETAG_OF_NOTHING


def last_modified(node: Node) -> int:
    """When the object was written, ms UTC: S3's clock, not the time that a client gave its file."""
    version: Version | None = node.version
    return version.created_at if version else node.modified_at
