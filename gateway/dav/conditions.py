"""The header fields that steer a request: preconditions, Destination, Depth, Overwrite, dates.

RFC 9110 sections 5.6.7 and 13, RFC 4918 section 10. Whatever a client sends is either understood or refused; nothing
is cut off or guessed (stock wsgidav cuts a Destination at an escaped ``?``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from gateway.domain.errors import BadRequest, DestinationElsewhere, Forbidden, InvalidName, KuradoError
from gateway.domain.lock import ConditionList, IfHeader, parse_if
from gateway.domain.names import Path, href, parse_path
from gateway.domain.upload import NO_CONDITIONS, Conditions
from gateway.exchange import Exchange
from gateway.wire.fields import parse_date, parse_etags

_HALF_ESCAPED = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)
_PORTS = {"http": "80", "https": "443"}


def parse_conditions(exchange: Exchange, base: str, hostnames: Sequence[str]) -> Conditions:
    """All preconditions of a request; ``base`` is ``/dav/<tenant>`` of the caller.

    Tags of an If header are rewritten to paths within the space, or to "" where they name anything else.
    """
    headers = exchange.headers
    if not ("If" in headers or "If-Match" in headers or "If-None-Match" in headers) and not (
        "If-Unmodified-Since" in headers or "If-Modified-Since" in headers
    ):
        return NO_CONDITIONS
    raw_if = headers.getall("If", [])
    if_header: IfHeader | None = None
    if raw_if:
        parsed = parse_if(" ".join(raw_if))
        lists = [replace(one, tag=_resolve_tag(one, exchange, base, hostnames)) for one in parsed.lists]
        if_header = IfHeader(tuple(lists))
    return Conditions(
        if_match=parse_etags(headers.getall("If-Match", [])),
        if_none_match=parse_etags(headers.getall("If-None-Match", [])),
        if_unmodified_since=parse_date(headers.get("If-Unmodified-Since")),
        if_modified_since=parse_date(headers.get("If-Modified-Since")),
        if_header=if_header,
    )


def _resolve_tag(one: ConditionList, exchange: Exchange, base: str, hostnames: Sequence[str]) -> str | None:
    if one.tag is None:
        return None
    try:
        return href(_own_path(one.tag, exchange, base, hostnames))
    except KuradoError:
        return ""


# -- Depth, Overwrite -------------------------------------------------------------------------------------------------


def parse_depth(exchange: Exchange, allowed: Sequence[str], default: str) -> str:
    """The Depth header in lower case. Raises BadRequest for a value outside ``allowed``."""
    depth = (exchange.headers.get("Depth") or default).strip().lower()
    if depth not in allowed:
        raise BadRequest(f"Depth: {', '.join(allowed)} would be understood here")
    return depth


def parse_overwrite(exchange: Exchange) -> bool:
    """The Overwrite header; absent means True (CLIENTS 12)."""
    value = (exchange.headers.get("Overwrite") or "T").strip().upper()
    if value not in ("T", "F"):
        raise BadRequest("Overwrite is T or F")
    return value == "T"


# -- Destination ------------------------------------------------------------------------------------------------------


def parse_destination(exchange: Exchange, base: str, hostnames: Sequence[str]) -> Path:
    """The path within the caller's space that the Destination header names.

    Raises BadRequest (absent, not absolute, with query or fragment), DestinationElsewhere (other scheme, host or port),
    Forbidden (outside the caller's space: the same answer whether anything exists there), InvalidName.
    """
    values = exchange.headers.getall("Destination", [])
    if len(values) != 1 or not values[0].strip():
        raise BadRequest("one Destination header is needed")
    return _own_path(values[0].strip(), exchange, base, hostnames)


def _own_path(url: str, exchange: Exchange, base: str, hostnames: Sequence[str]) -> Path:
    absolute = _ABSOLUTE.fullmatch(url)
    if absolute:
        if not _is_own(absolute[1].lower(), absolute[2], exchange, hostnames):
            raise DestinationElsewhere("the destination is on another server")
        raw = absolute[3] or "/"
    else:
        raw = url
    if not raw.startswith("/") or raw.startswith("//"):
        raise BadRequest("a destination is an absolute URL or an absolute path")
    if "?" in raw or "#" in raw:
        raise BadRequest("a destination has no query and no fragment; write %3F and %23 in names")
    if _HALF_ESCAPED.search(raw):
        raise BadRequest("a destination is percent-encoded; write %25 in names")
    try:
        raw.encode()
        rest = _below(raw, base)
    except UnicodeEncodeError:
        raise InvalidName("the destination is not valid UTF-8") from None
    return parse_path(rest)


def _below(raw: str, base: str) -> str:
    """What follows the base. Segments are compared decoded: ``/%64av`` is ``/dav``."""
    parts = raw.split("/", 3)
    wanted = base.split("/")
    try:
        head = parse_path("/" + "/".join(parts[1:3]))
    except InvalidName:
        head = ()
    if list(head) != wanted[1:]:
        raise Forbidden("the destination is not in your space")
    return "/" + (parts[3] if len(parts) > 3 else "")


def _is_own(scheme: str, authority: str, exchange: Exchange, hostnames: Sequence[str]) -> bool:
    if scheme not in _PORTS or "@" in authority:
        return False
    wanted = _with_port(authority, scheme)
    if scheme == exchange.scheme and wanted == _with_port(exchange.host, scheme):
        return True
    return any(wanted == _with_port(name, scheme) for name in hostnames)


def _with_port(authority: str, scheme: str) -> str:
    host, colon, port = authority.lower().rpartition(":")
    if not colon or port.endswith("]") or not port.isdigit():
        return f"{authority.lower().rstrip(':')}:{_PORTS[scheme]}"
    return f"{host}:{port}"
