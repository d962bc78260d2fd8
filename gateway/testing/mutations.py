"""Requests that are almost right: valid ones changed at random, the same for the same seed (RESILIENCE 25)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

VERBS = (
    b"GET", b"HEAD", b"PUT", b"OPTIONS", b"PROPFIND", b"PROPPATCH", b"MKCOL", b"DELETE", b"COPY", b"MOVE", b"LOCK",
    b"UNLOCK", b"POST", b"PATCH", b"TRACE", b"REPORT", b"SEARCH", b"BREW",
)  # fmt: skip
PATHS = (
    *(b"", b"a", b"a/", b"b", b"b/", b"b/c", b"d/e/f", b"%E3%81%8C", b"a?x=y") * 2,
    *(b"%FF", b"%00", b"a%2Fb", b"..", b"%", b"a" * 300),
)
BODIES = (
    b"",
    b"hello",
    b'<?xml version="1.0"?><propfind xmlns="DAV:"><allprop/></propfind>',
    b'<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/><X:y xmlns:X="urn:x"/></D:prop></D:propfind>',
    b'<!DOCTYPE x [<!ENTITY a "b">]><propfind xmlns="DAV:"><prop>&a;</prop></propfind>',
    b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><Z:z xmlns:Z="urn:z">1</Z:z></D:prop></D:set></D:propertyupdate>',
    b'<lockinfo xmlns="DAV:"><lockscope><shared/></lockscope><locktype><write/></locktype></lockinfo>',
    b"<" * 5000,
    b"<a>" * 3000,
    b"\xff\xfe\x00",
)
FITTING = {b"PUT": BODIES[1], b"PROPFIND": BODIES[3], b"PROPPATCH": BODIES[5], b"LOCK": BODIES[6]}
FIELDS: tuple[tuple[bytes, Sequence[bytes]], ...] = (
    (b"Depth", (b"0", b"1", b"infinity", b"2", b"", b"-1", b"0, 1")),
    (b"Destination", (b"/dav/acme/z", b"http://a/dav/acme/z", b"http://elsewhere/dav/acme/z", b"/dav/other/z", b"::",
                      b"http://[", b"/dav/acme/%FF", b"/dav/acme/a%2F..%2Fz", b"http://a:99999/dav/acme/z", b"")),
    (b"Overwrite", (b"T", b"F", b"x")),
    (b"If", (b"(<opaquelocktoken:x>)", b"<http://a/dav/acme/a> (<urn:x>)", b"(", b"(Not <DAV:no-lock>)", b'(["e"])',
             b"()" * 2000, b"<>()", b"(" + b"<a>" * 900 + b")")),
    (b"If-Match", (b"*", b'"x"', b'W/"x"', b"x", b'"a", "b"', b",")),
    (b"If-None-Match", (b"*", b'"x"', b"")),
    (b"If-Modified-Since", (b"Sun, 06 Nov 1994 08:49:37 GMT", b"yesterday", b"Sun, 06 Nov 9999999 08:49:37 GMT")),
    (b"If-Range", (b'"x"', b"Sun, 06 Nov 1994 08:49:37 GMT")),
    (b"Range", (b"bytes=0-1", b"bytes=5-2", b"bytes=-0", b"bytes=" + b"0-0," * 900, b"lines=1-2", b"bytes=99999999999-",
                b"bytes=18446744073709551616-")),
    (b"Timeout", (b"Second-600", b"Infinite", b"Second-99999999999999999999", b"Second-x", b"Infinite, Second-4")),
    (b"Lock-Token", (b"<opaquelocktoken:x>", b"x", b"<", b"")),
    (b"X-OC-Mtime", (b"1700000000", b"-1", b"1e400", b"nan", b"99999999999999999999")),
    (b"X-Expected-Entity-Length", (b"5", b"-5", b"x", b"9223372036854775808")),
    (b"Content-Type", (b"text/xml", b"application/xml; charset=utf-16", b"text/plain; charset=nonsense", b"/")),
    (b"Content-Range", (b"bytes 0-4/5",)),
    (b"Content-Encoding", (b"gzip",)),
    (b"Expect", (b"100-continue", b"200-ok")),
    (b"Translate", (b"f",)),
)  # fmt: skip
FRAMING: tuple[tuple[bytes, Sequence[bytes]], ...] = (
    (b"Authorization", (b"Basic", b"Basic x", b"Digest x")),
    (b"Connection", (b"close", b"keep-alive", b"upgrade")),
    (b"Upgrade", (b"websocket", b"h2c")),
    (b"Host", (b"b", b"")),
    (b"Transfer-Encoding", (b"chunked", b"gzip")),
    (b"Content-Length", (b"0", b"3", b"-1", b"99999999999999999999")),
)  # fmt: skip
"""Fields of which a second one is mostly fatal: seldom added."""


def mutated_requests(seed: int, count: int, login_line: bytes) -> Iterator[bytes]:
    """``count`` requests to ``/dav/acme/``; most carry the login, each is changed in up to four places."""
    dice = random.Random(seed)
    for _ in range(count):
        request = _request(dice, login_line)
        for _ in range(dice.choice((0, 0, 0, 1, 1, 3))):
            request = dice.choice(_CHANGES)(dice, request)
        yield request


def _request(dice: random.Random, login_line: bytes) -> bytes:
    verb = dice.choice(VERBS)
    body = FITTING.get(verb, b"") if dice.random() < 0.6 else dice.choice(BODIES)
    path = dice.choice(PATHS) or (b"locked" if verb == b"LOCK" else b"")  # a lock on the root would end the test
    lines = [verb + b" /dav/acme/" + path + b" HTTP/1.1\r\nHost: a\r\n"]
    if verb in (b"COPY", b"MOVE") and dice.random() < 0.7:
        lines.append(b"Destination: /dav/acme/" + dice.choice(PATHS) + b"\r\n")
    if dice.random() < 0.95:
        lines.append(login_line)
    lines += [
        name + b": " + dice.choice(values) + b"\r\n"
        for name, values in dice.sample(FIELDS, dice.choice((0, 1, 1, 2, 3, 5)))
    ]
    if dice.random() < 0.05:
        name, values = dice.choice(FRAMING)
        lines.append(name + b": " + dice.choice(values) + b"\r\n")
    if body and dice.random() < 0.25:
        return b"".join(lines) + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return b"".join(lines) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _flip(dice: random.Random, request: bytes) -> bytes:
    at = dice.randrange(len(request))
    return request[:at] + bytes([dice.randrange(256)]) + request[at + 1 :]


def _drop(dice: random.Random, request: bytes) -> bytes:
    start = dice.randrange(len(request))
    return request[:start] + request[start + dice.randrange(1, 20) :]


def _repeat(dice: random.Random, request: bytes) -> bytes:
    start = dice.randrange(len(request))
    piece = request[start : start + dice.randrange(1, 60)]
    return request[:start] + piece * dice.choice((2, 3, 50)) + request[start:]


def _insert(dice: random.Random, request: bytes) -> bytes:
    at = dice.randrange(len(request))
    strange = (b"\r\n", b"\n", b"\r", b"\x00", b" ", b":", b"%", b"\xff", b"\xe3\x81\x8c", b"\x1b[0m", b"'\"><script>")
    return request[:at] + dice.choice(strange) + request[at:]


def _swap_lines(dice: random.Random, request: bytes) -> bytes:
    lines = request.split(b"\r\n")
    one, other = dice.randrange(len(lines)), dice.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\r\n".join(lines)


_CHANGES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flip,
    _flip,
    _drop,
    _repeat,
    _insert,
    _insert,
    _swap_lines,
)
