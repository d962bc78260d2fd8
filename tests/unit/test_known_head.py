"""Fields that a connection sends again: what is taken without the parser is what the parser would have said."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpRequestParser, RawRequestMessage
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Notes
from gateway.gate.framing import Malformed, Target, check, check_request_line
from gateway.gate.known import KnownHead, whole_head

FIELDS = b"Host: a\r\nAuthorization: Basic eA==\r\n"


def parse(data: bytes) -> tuple[RawRequestMessage, Target, bytes] | None:
    """One whole request, read by the parser and our own checks; None for anything else."""
    loop = asyncio.new_event_loop()
    try:
        protocol: Any = BaseProtocol(loop, None)
        parser = HttpRequestParser(protocol, loop, 2**16, auto_decompress=False)
        arrived, upgraded, _ = parser.feed_data(data)
        if len(arrived) != 1 or upgraded:
            return None
        message, stream = arrived[0]
        check_request_line(data, message)
        target = check(message)
        if not stream.is_eof():
            return None
        return message, target, stream.read_nowait() if target.length else b""
    except (HttpProcessingError, Malformed):
        return None
    finally:
        loop.close()


def known_of(data: bytes) -> KnownHead | None:
    found = parse(data)
    return whole_head(data, found[0], found[1], Notes()) if found else None


def request(line: bytes, fields: bytes = FIELDS, body: bytes = b"") -> bytes:
    return line + b"\r\n" + fields + b"\r\n" + body


PATHS = st.one_of(
    st.from_regex(rb"/[!-~]{0,12}", fullmatch=True),
    st.lists(
        st.sampled_from([b"/", b"a", b"%41", b"%e5%b1%b1", b"%", b"%zz", b"?", b"#", b"\t", b" ", b"\xe3", b"*"])
    ).map(b"".join),
)
LINES = st.one_of(
    st.builds(
        lambda method, path, version: b"%b %b %b" % (method, path, version),
        st.sampled_from([b"GET", b"HEAD", b"PROPFIND", b"DELETE", b"NOSUCH", b"get", b"CONNECT", b""]),
        PATHS,
        st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 ", b"http/1.1"]),
    ),
    st.binary(max_size=30),
)
ENDS = st.sampled_from([b"", b"", b"x", b"\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\nGET / HTTP/1.1"])


@given(LINES, st.sampled_from([0, 0, 3]), ENDS)
def test_what_is_recognised_is_what_the_parser_reads(line: bytes, length: int, end: bytes) -> None:
    fields = FIELDS + (b"Content-Length: %d\r\n" % length if length else b"")
    known = known_of(request(b"PUT /first HTTP/1.1", fields, b"abc"[:length]))
    assert known is not None
    data = request(line, fields, b"xyz"[:length]) + end
    again = known.again(data)
    if again is None:
        return
    parsed = parse(data)
    assert parsed is not None
    assert again == (parsed[1], parsed[2])
    assert parsed[0].raw_headers == known.message.raw_headers


def test_another_path_with_the_same_fields_is_recognised() -> None:
    known = known_of(request(b"GET /a HTTP/1.1"))
    assert known is not None
    again = known.again(request(b"HEAD /b%20c?d=e HTTP/1.1"))
    assert again is not None
    target, body = again
    assert (target.method, target.path, target.query, target.host, body) == ("HEAD", "/b%20c", "d=e", "a", b"")


def test_a_body_that_came_with_its_head_is_handed_over() -> None:
    fields = FIELDS + b"Content-Length: 4\r\n"
    known = known_of(request(b"PUT /a HTTP/1.1", fields, b"body"))
    assert known is not None
    assert known.again(request(b"PUT /b HTTP/1.1", fields, b"more"))[1] == b"more"  # type: ignore[index]
    for other in (b"mor", b"more!", b""):
        assert known.again(request(b"PUT /b HTTP/1.1", fields, other)) is None


@pytest.mark.parametrize(
    "fields",
    [
        FIELDS + b"Connection: close\r\n",
        FIELDS + b"Connection: upgrade\r\nUpgrade: h2c\r\n",
        FIELDS + b"Content-Length: 3\r\nExpect: 100-continue\r\n",
        FIELDS + b"Transfer-Encoding: chunked\r\n",
        FIELDS + b"X-Much: " + b"x" * 5000 + b"\r\n",
    ],
    ids=["close", "upgrade", "expect", "chunked", "large"],
)
def test_what_does_more_than_ask_is_left_to_the_parser(fields: bytes) -> None:
    length = b"0\r\n\r\n" if b"chunked" in fields else b"abc" if b"Length" in fields else b""
    assert known_of(request(b"PUT /a HTTP/1.1", fields, length)) is None
    assert known_of(request(b"GET /a HTTP/1.0")) is None


@pytest.mark.parametrize("fields", [FIELDS[:-1], FIELDS + b"X: y\r\n", FIELDS.lower(), b""])
def test_other_fields_are_not_recognised(fields: bytes) -> None:
    known = known_of(request(b"GET /a HTTP/1.1"))
    assert known is not None
    assert known.again(request(b"GET /a HTTP/1.1", fields)) is None
