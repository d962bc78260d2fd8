"""Fields that a connection sends again: what is taken without the parser is what the parser would have said."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any, cast

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpProcessingError, HttpRequestParser, RawRequestMessage
from hypothesis import given
from hypothesis import strategies as st

from gateway.gate.framing import Malformed, check, check_request_line
from gateway.gate.known import Asked, KnownHead, asked_by, whole_head

FIELDS = b"Host: a\r\nAuthorization: Basic eA==\r\n"


def parse(data: bytes) -> tuple[RawRequestMessage, Asked] | None:
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
        body = stream.read_nowait() if target.length else b""
        return message, asked_by(message, target)._replace(body=body)
    except (HttpProcessingError, Malformed):
        return None
    finally:
        loop.close()


def known_of(data: bytes) -> KnownHead | None:
    found = parse(data)
    return whole_head(data, *found) if found else None


def is_same(one: Asked, other: Asked) -> bool:
    """But for the notes, which are not read out of a head."""
    fields = [list(cast(Any, asked.headers).items()) for asked in (one, other)]
    return fields[0] == fields[1] and one._replace(headers=other.headers, notes=other.notes) == other


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


OTHERS = st.sampled_from(
    [
        b"Range: bytes=0-3", b"range:bytes=0-4", b"X-Two: a  b", b"X-Tab:\ta", b"X-End: a ", b"X-None:", b"X_Y: z",
        b"Host: b", b"HOST: a", b"Host: a", b"Authorization: Basic eA==", b"Authorization: Basic eQ==",
        b"X-Forwarded-For: 192.0.2.1", b"Content-Length: 3", b"Content-Length: 4", b"content_length: 3", b" folded: x",
        b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"Connection: close", b"Upgrade: h2c", b"No colon",
        b"X-High: \xe3\x81\x82", b"X-Nul: \x00", b"X-Lf: a\nb: c", b"", b": empty", b"Sp ace: a",
    ]
)  # fmt: skip


@given(LINES, st.sampled_from([0, 0, 3]), ENDS, st.lists(OTHERS, max_size=3), st.randoms())
def test_what_is_recognised_is_what_the_parser_reads(
    line: bytes, length: int, end: bytes, others: list[bytes], random: Random
) -> None:
    fields = FIELDS.split(b"\r\n")[:-1] + ([b"Content-Length: %d" % length] if length else [])
    known = known_of(request(b"PUT /first HTTP/1.1", b"".join(one + b"\r\n" for one in fields), b"abc"[:length]))
    assert known is not None
    for _ in range(2):  # the second time, by what was learned the first time
        fields = [*fields, *others]
        random.shuffle(fields)
        data = request(line, b"".join(one + b"\r\n" for one in fields), b"xyz"[:length]) + end
        again = known.again(data)
        if again is not None:
            parsed = parse(data)
            assert parsed is not None
            assert is_same(again, parsed[1])
        fields = fields[: len(fields) - 1]


def test_another_path_with_the_same_fields_is_recognised() -> None:
    known = known_of(request(b"GET /a HTTP/1.1"))
    assert known is not None
    again = known.again(request(b"HEAD /b%20c?d=e HTTP/1.1"))
    assert again is not None
    assert again.target == ("HEAD", "/b%20c", "d=e", "a", 0, False)
    assert again.body == b""


def test_a_body_that_came_with_its_head_is_handed_over() -> None:
    fields = FIELDS + b"Content-Length: 4\r\n"
    known = known_of(request(b"PUT /a HTTP/1.1", fields, b"body"))
    assert known is not None
    again = known.again(request(b"PUT /b HTTP/1.1", fields, b"more"))
    assert again is not None
    assert again.body == b"more"
    for other in (b"mor", b"more!", b""):
        assert known.again(request(b"PUT /b HTTP/1.1", fields, other)) is None


def test_a_field_that_is_new_is_read_and_what_was_noted_of_the_others_stays() -> None:
    known = known_of(request(b"GET /a HTTP/1.1"))
    assert known is not None
    first = known.again(request(b"GET /a HTTP/1.1"))
    second = known.again(request(b"GET /a HTTP/1.1", FIELDS + b"Range: bytes=0-3\r\n"))
    third = known.again(request(b"GET /a HTTP/1.1", FIELDS + b"range: bytes=4-7\r\nDepth: 0\r\n"))
    assert first and second and third
    assert ("Range" in first.headers, second.headers.get("range")) == (False, "bytes=0-3")
    assert (third.headers.get("Range"), third.headers.get("Depth")) == ("bytes=4-7", "0")
    assert first.notes is second.notes is third.notes


@pytest.mark.parametrize("other", [b"Authorization: Basic eQ==", b"Authorization: Basic eA==\r\nX-Forwarded-For: ::1"])
def test_another_login_or_origin_has_notes_of_its_own(other: bytes) -> None:
    known = known_of(request(b"GET /a HTTP/1.1"))
    assert known is not None
    first = known.again(request(b"GET /a HTTP/1.1"))
    second = known.again(request(b"GET /a HTTP/1.1", b"Host: a\r\n" + other + b"\r\n"))
    assert first and second
    assert first.notes is not second.notes


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


@pytest.mark.parametrize(
    "fields",
    [
        FIELDS[:-1],
        b"Host: b\r\nAuthorization: Basic eA==\r\n",
        FIELDS + b"Host: a\r\n",
        FIELDS + b"Content-Length: 3\r\n",
        FIELDS + b"X-High: \xe3\r\n",
        FIELDS + b"X-One: a\nX-Two: b\r\n",
        FIELDS + b"X-Much: " + b"x" * 5000 + b"\r\n",
        FIELDS + b"X: y\r\n" * 120,
        b"",
    ],
    ids=["cut", "host", "host twice", "length", "high", "line feed", "large", "many", "none"],
)
def test_other_fields_that_are_not_plain_are_left_to_the_parser(fields: bytes) -> None:
    known = known_of(request(b"GET /a HTTP/1.1"))
    assert known is not None
    assert known.again(request(b"GET /a HTTP/1.1", fields)) is None
