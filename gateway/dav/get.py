"""GET and HEAD: ours, because stock wsgidav answers wrong 206s, 304s without ETag, and 200 where 304 is due.

A HEAD is answered like a GET; the gate sends the fields alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from gateway.dav.listing import listing_reply
from gateway.dav.request import DavRequest
from gateway.domain.errors import NotFound
from gateway.domain.node import Node, Version
from gateway.domain.upload import NO_CONDITIONS, Conditions
from gateway.exchange import Reply
from gateway.service.results import Content, Found
from gateway.wire.fields import http_date, parse_date
from gateway.wire.media import presentation
from gateway.wire.ranges import parse_ranges


async def get(request: DavRequest) -> Reply:
    """GET or HEAD of a file or a collection (RFC 9110 sections 9.3.1, 9.3.2, 13 and 14)."""
    conditions = request.conditions()
    found = await request.read(lambda: look(request, conditions))
    node = found.node
    assert node is not None
    if node.version is None:
        return await listing_reply(request, found)
    content = await _content(request, node)  # first: what is refused is refused to whoever knows its ETag, too
    if conditions is not NO_CONDITIONS and request.services.files.not_modified(node, conditions):
        return Reply(304, validators(node.version))
    return file_reply(request, node.version, content, {**validators(node.version), **presentation(node.name)})


def look(request: DavRequest, conditions: Conditions = NO_CONDITIONS) -> Found:
    """The node of the request, after the preconditions that a read has. Raises NotFound, PreconditionFailed."""
    files, caller, path = request.services.files, request.caller, request.path
    found = files.lookup(caller, path)
    if found.node is None:
        raise NotFound("there is nothing at this path")
    if conditions != NO_CONDITIONS:
        files.check_conditions(caller, path, conditions)
    return found


async def _content(request: DavRequest, node: Node) -> Content:
    def open_content() -> Content:
        return request.services.files.content(request.caller, node)

    # a hook may block, unless it says that it does not
    if request.services.host.answers_at_once("check_download"):
        return await request.read(open_content)
    return await request.in_thread(open_content)


def validators(version: Version) -> Mapping[str, str]:
    """The fields that let a client ask again cheaply: in a 200, a 206 and a 304 alike (RFC 9110 section 15.4.5)."""
    return {
        "ETag": version.etag,
        "Last-Modified": http_date(version.mtime),
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
    }


def file_reply(request: DavRequest, version: Version, content: Content, headers: Mapping[str, str]) -> Reply:
    """The whole file, one range (206 with Content-Range) or several (206 multipart/byteranges)."""
    if request.exchange.method == "HEAD":
        return Reply(200, headers, content.unread([(b"", 0, content.size)]))
    asked = request.header("Range")
    ranges = parse_ranges(asked, content.size) if asked is not None and _range_applies(request, version) else None
    if ranges is None:
        return Reply(200, headers, content.body([(b"", 0, content.size)]))
    if len(ranges) == 1:
        start, length = ranges[0]
        single = {**headers, "Content-Range": f"bytes {start}-{start + length - 1}/{content.size}"}
        return Reply(206, single, content.body([(b"", start, length)]))
    boundary = f"kurado-{secrets.token_hex(12)}"
    slices = [
        (
            f"\r\n--{boundary}\r\nContent-Type: {headers['Content-Type']}\r\n"
            f"Content-Range: bytes {start}-{start + length - 1}/{content.size}\r\n\r\n".encode(),
            start,
            length,
        )
        for start, length in ranges
    ]
    several = {**headers, "Content-Type": f"multipart/byteranges; boundary={boundary}"}
    return Reply(206, several, content.body(slices, f"\r\n--{boundary}--\r\n".encode()))


def _range_applies(request: DavRequest, version: Version) -> bool:
    """If-Range: the ranges count only while the file is still the one that the client knows (section 13.1.5)."""
    known = request.header("If-Range")
    if known is None:
        return True
    if known.strip().endswith('"'):
        return known.strip() == version.etag
    return parse_date(known) == version.mtime // 1000 * 1000
