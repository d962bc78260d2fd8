"""Preconditions of S3 requests: of reads by ETag and time of writing, of writes by ETag alone."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.domain.errors import PreconditionFailed
from gateway.domain.node import Node
from gateway.domain.upload import Conditions
from gateway.exchange import Headers
from gateway.s3.metadata import etag_of, last_modified
from gateway.wire.fields import parse_date, parse_etags


class NotModified(Exception):
    """The client has it already: 304."""


def of_write(headers: Headers) -> Conditions:
    """If-Match and If-None-Match of a write. Raises S3Fault for what S3 does not know of a write."""
    if_match = parse_etags(headers.getall("If-Match", []))
    if_none_match = parse_etags(headers.getall("If-None-Match", []))
    return Conditions(if_match=if_match, if_none_match=if_none_match)


def check_read(headers: Headers, node: Node) -> None:
    """Raises PreconditionFailed or NotModified (RFC 9110 section 13.2.2)."""
    _check(
        node,
        match=parse_etags(headers.getall("If-Match", [])),
        none_match=parse_etags(headers.getall("If-None-Match", [])),
        unmodified_since=parse_date(headers.get("If-Unmodified-Since")),
        modified_since=parse_date(headers.get("If-Modified-Since")),
    )


def check_source(headers: Mapping[str, str | None], node: Node) -> None:
    """The same for the source of a copy, where 304 makes no sense. Raises PreconditionFailed."""

    def tags(name: str) -> tuple[str, ...] | None:
        value = headers.get(name)
        return parse_etags([value]) if value is not None else None

    try:
        _check(
            node,
            match=tags("x-amz-copy-source-if-match"),
            none_match=tags("x-amz-copy-source-if-none-match"),
            unmodified_since=parse_date(headers.get("x-amz-copy-source-if-unmodified-since")),
            modified_since=parse_date(headers.get("x-amz-copy-source-if-modified-since")),
        )
    except NotModified:
        raise _failed("x-amz-copy-source-If-None-Match") from None


def _check(
    node: Node,
    *,
    match: tuple[str, ...] | None,
    none_match: tuple[str, ...] | None,
    unmodified_since: int | None,
    modified_since: int | None,
) -> None:
    etag, at = etag_of(node), last_modified(node) // 1000 * 1000
    if match is not None:
        if match != ("*",) and etag not in match:
            raise _failed("If-Match")
    elif unmodified_since is not None and at > unmodified_since:
        raise _failed("If-Unmodified-Since")
    if none_match is not None:
        if none_match == ("*",) or etag in {one.removeprefix("W/") for one in none_match}:
            raise NotModified
    elif modified_since is not None and at <= modified_since:
        raise NotModified


def _failed(which: str) -> PreconditionFailed:
    return PreconditionFailed(f"At least one of the pre-conditions you specified did not hold: {which}")
