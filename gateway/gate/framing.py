"""What a request head must look like (RFC 9112), beyond what the parser checks already.

A request that two programs could read differently is refused with 400 and the connection closed (RESILIENCE 19).
Everything here is pure: it looks at a parsed head and says where it leads, or raises :class:`Malformed`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

MAX_HEAD = 64 * 1024
MAX_HEADERS = 100
MAX_REQUEST_LINE = 8 * 1024
MAX_LENGTH = 2**63 - 1

METHODS = frozenset(
    {"OPTIONS", "GET", "HEAD", "PUT", "DELETE", "MKCOL", "PROPFIND", "PROPPATCH", "COPY", "MOVE", "LOCK", "UNLOCK"}
    | {"POST", "PATCH", "TRACE", "REPORT", "SEARCH", "ACL"}
)
"""What is answered by the protocol, if only with 405; anything else is 501 (RFC 9110 section 9.1)."""

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~-]+)(?::[0-9]{0,5})?")
_NOT_IN_TARGET = re.compile(r"[^\x21-\x7e]|#|%(?![0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(r"(https?)://([^/?]*)(.*)", re.IGNORECASE)
_PLAIN = re.compile(r"(/[0-9A-Za-z/._~!$&'()*+,;=:@-]*)(?:\?([0-9A-Za-z/._~!$&'()*+,;=:@-]*))?")
_FRAMING = (b"content-length", b"transfer-encoding", b"host", b"expect")


class Malformed(Exception):
    """A head that is refused: ``status`` is the answer, the message says what is wrong with it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Head(Protocol):
    """What the parser gives: ``raw_headers`` as (name, value) in the order sent."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def version(self) -> tuple[int, int]: ...
    @property
    def raw_headers(self) -> Sequence[tuple[bytes, bytes]]: ...


class Target(NamedTuple):
    """What a request asks, and where it leads: the method, the path as sent, the query, the host in lower case ("" for
    HTTP/1.0 without one), the body's length (None when chunked), and whether the client waits for ``100 Continue``."""

    method: str
    path: str
    query: str
    host: str
    length: int | None
    expects: bool


def check(head: Head) -> Target:
    """Raises Malformed (400, 414, 417, 431, 501, 505)."""
    if head.version not in ((1, 0), (1, 1)):
        raise Malformed(505, "HTTP/1.1 and HTTP/1.0 are spoken here")
    if len(head.method) + len(head.path) + len(" HTTP/1.1 ") > MAX_REQUEST_LINE:
        raise Malformed(414, f"the request line is longer than {MAX_REQUEST_LINE} bytes")
    fields = _fields(head.raw_headers)
    host = _host(fields[b"host"], head.version)
    path, query = _target(head.method, head.path, host)
    expect = [value.lower() for value in fields[b"expect"]]
    if expect not in ([], [b"100-continue"]):
        raise Malformed(417, "the only expectation that can be met is 100-continue")
    expects = bool(expect) and head.version == (1, 1)
    return Target(head.method, path, query, host, _length(fields, head.version), expects)


def check_request_line(raw: bytes, head: Head) -> None:
    """Malformed (400) when the parser was more lenient than RFC 9112 section 3: it takes several blanks for one."""
    words = f"{head.method} {head.path} HTTP/".encode("utf-8", "surrogateescape")
    if not raw.lstrip(b"\r\n").startswith(words):
        raise Malformed(400, "the request line is malformed")


def explain_error(raw: bytes, message: str) -> Malformed:
    """What to answer when the parser gave up: ``raw`` is the head as far as it came, ``message`` the parser's word."""
    line_end = raw.find(b"\n")
    if "Too many headers" in message or (len(raw) > MAX_HEAD and line_end >= 0):
        return Malformed(431, f"a head may have {MAX_HEADERS} fields and {MAX_HEAD} bytes")
    if "than" in message and "bytes" in message:  # the parser's LineTooLong
        if line_end < 0 or line_end > MAX_REQUEST_LINE:
            return Malformed(414, f"the request line is longer than {MAX_REQUEST_LINE} bytes")
        return Malformed(431, "a header field is too long")
    words = raw[: line_end if line_end >= 0 else len(raw)].rstrip(b"\r").split(b" ")
    if len(words) == 3 and re.fullmatch(rb"HTTP/\d\.\d", words[2]) and _TOKEN.fullmatch(words[0]):
        if words[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
            return Malformed(505, "HTTP/1.1 and HTTP/1.0 are spoken here")
        # a known method came first: then it is about what follows that request
        if "method" in message.lower() and words[0].decode() not in METHODS:
            return Malformed(501, "this method is not known here")
    return Malformed(400, "the request is malformed")


def _fields(raw_headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    """The values of the fields that frame a message; checks size and characters of all."""
    if _CONTROL.search(b"\t".join([value for _, value in raw_headers])):
        raise Malformed(400, "a header field holds a control character")
    fields: dict[bytes, list[bytes]] = {name: [] for name in _FRAMING}
    size = 0
    for name, value in raw_headers:
        size += len(name) + len(value) + 4
        key = name.lower()
        if key in fields:
            fields[key].append(value)
        elif b"_" in key and key.replace(b"_", b"-") in fields:
            raise Malformed(400, "a header name is spelt with an underscore")
    if size > MAX_HEAD:
        raise Malformed(431, f"the head is larger than {MAX_HEAD} bytes")
    return fields


def _host(values: list[bytes], version: tuple[int, int]) -> str:
    if not values and version == (1, 0):
        return ""
    if len(values) != 1:
        raise Malformed(400, "a request has one Host header")
    host = values[0].decode("latin-1")
    if not _HOST.fullmatch(host):
        raise Malformed(400, "the Host header is malformed")
    return host.lower()


def _length(fields: dict[bytes, list[bytes]], version: tuple[int, int]) -> int | None:
    lengths, codings = fields[b"content-length"], fields[b"transfer-encoding"]
    if codings:
        if lengths or version == (1, 0):
            raise Malformed(400, "a body is framed either by its length or in chunks")
        if len(codings) != 1 or codings[0].lower() != b"chunked":
            raise Malformed(400, "the only transfer coding is chunked")
        return None
    if not lengths:
        return 0
    if len(lengths) != 1 or not re.fullmatch(rb"[0-9]{1,19}", lengths[0]) or int(lengths[0]) > MAX_LENGTH:
        raise Malformed(400, "Content-Length is malformed")
    return int(lengths[0])


def _target(method: str, target: str, host: str) -> tuple[str, str]:
    """Path and query of a request target (RFC 9112 section 3.2)."""
    plain = _PLAIN.fullmatch(target)
    if plain and method != "CONNECT":
        return plain[1], plain[2] or ""
    if _NOT_IN_TARGET.search(target):
        raise Malformed(400, "the request target holds a character that must be escaped")
    if target == "*" and method == "OPTIONS":
        return "*", ""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute:
        if absolute[2].lower() != host:
            raise Malformed(400, "the request target names another host than the Host header")
        target = absolute[3] if absolute[3].startswith("/") else "/" + absolute[3]
    if method == "CONNECT" or not target.startswith("/"):
        raise Malformed(400, "the request target is no path")
    path, _, query = target.partition("?")
    return path, query
