"""Ambiguous and malformed requests are refused and the line is closed (RESILIENCE 16, 19)."""

from __future__ import annotations

import itertools

import pytest

from gateway.testing.rawhttp import Answer, LineClosed, RawLine, ask, basic
from gateway.testing.server import LOGIN, PASSWORD, TENANT, RunningGateway

LOGIN_LINE = basic(LOGIN, PASSWORD)
PUT = b"PUT /dav/acme/framed HTTP/1.1\r\nHost: a\r\n" + LOGIN_LINE
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = PUT + b"Transfer-Encoding: chunked\r\n\r\n"

REFUSED = {
    # two framings, or one spelt so that somebody may read it otherwise
    "length and chunked": PUT + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": PUT + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "xchunked": PUT + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": PUT + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two coding headers": PUT + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, identity": PUT + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "identity, chunked": PUT + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    "identity": PUT + b"Transfer-Encoding: identity\r\n\r\n",
    "gzip, chunked": PUT + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "quoted coding": PUT + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "coding with parameter": PUT + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n",
    "vertical tab before coding": PUT + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "empty coding": PUT + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n",
    "coding name with blank": PUT + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "coding name with underscore": PUT + b"Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding name after blank": PUT + b" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding in 1.0": b"PUT /dav/acme/x HTTP/1.0\r\n" + LOGIN_LINE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": PUT + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "two equal lengths": PUT + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "length list": PUT + b"Content-Length: 5, 5\r\n\r\nhello",
    "positive sign": PUT + b"Content-Length: +5\r\n\r\nhello",
    "negative": PUT + b"Content-Length: -5\r\n\r\nhello",
    "hexadecimal": PUT + b"Content-Length: 0x5\r\n\r\nhello",
    "length with letters": PUT + b"Content-Length: 5a\r\n\r\nhello",
    "length with blank inside": PUT + b"Content-Length: 5 5\r\n\r\nhello",
    "empty length": PUT + b"Content-Length: \r\n\r\n",
    "length name with blank": PUT + b"Content-Length : 5\r\n\r\nhello",
    "length name with underscore": PUT + b"Content_Length: 5\r\n\r\nhello",
    "2^63": PUT + b"Content-Length: 9223372036854775808\r\n\r\n",
    "2^64 + 5": PUT + b"Content-Length: 18446744073709551621\r\n\r\nhello",
    # line ends, folds and characters
    "bare LF in the request line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "bare LF after a header": GET + b"X: y\n\r\n",
    "bare LF at the end": GET + b"\n",
    "bare CR in a value": GET + b"X: a\rb\r\n\r\n",
    "NUL in a value": GET + b"X: a\x00b\r\n\r\n",
    "NUL in the target": b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "control character in a value": GET + b"X: a\x01b\r\n\r\n",
    "folded header": GET + b"X: a\r\n b\r\n\r\n",
    "header without colon": GET + b"nothing\r\n\r\n",
    "header without name": GET + b": x\r\n\r\n",
    # host and target
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": GET + b"Host: b\r\n\r\n",
    "two equal Hosts": GET + b"Host: a\r\n\r\n",
    "Host list": b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "Host with a path": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "Host with a login": b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "target of another host": b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "authority form": b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    "target without slash": b"GET dav HTTP/1.1\r\nHost: a\r\n\r\n",
    "asterisk for GET": b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "another scheme": b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "two blanks": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "blank in the target": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "fragment": b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
    "broken escape": b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    "bytes above ASCII": b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
    "no version": b"GET /\r\nHost: a\r\n\r\n",
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}

BROKEN_CHUNKS = {
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "negative": b"-5\r\nhello\r\n0\r\n\r\n",
    "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "blank before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "no letter of hex": b"g\r\nhello\r\n0\r\n\r\n",
    "2^64": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "bare LF after the size": b"5\nhello\r\n0\r\n\r\n",
    "longer than said": b"5\r\nhello!\r\n0\r\n\r\n",
    "shorter than said": b"5\r\nhell\r\n0\r\n\r\n",
    "bare LF after the data": b"5\r\nhello\n0\r\n\r\n",
    "control character in a trailer": b"5\r\nhello\r\n0\r\nX: a\x00\r\n\r\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_that_can_be_read_two_ways_is_refused_and_the_line_closed(
    shared_gateway: RunningGateway, name: str
) -> None:
    with RawLine(shared_gateway.address) as line:
        line.send(REFUSED[name] + b"GET /dav/acme/ HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = line.answer()
        assert answer.status == 400, answer
        assert answer.headers["connection"] == "close"
        assert line.is_closed()


@pytest.mark.parametrize("name", BROKEN_CHUNKS)
def test_a_malformed_chunked_body_is_refused_and_nothing_is_stored(shared_gateway: RunningGateway, name: str) -> None:
    path = f"/dav/{TENANT}/broken-{abs(hash(name))}".encode()
    with RawLine(shared_gateway.address) as line:
        line.send(CHUNKED.replace(b"/dav/acme/framed", path) + BROKEN_CHUNKS[name])
        assert line.answer().status == 400
        assert line.is_closed()
    asked = ask(shared_gateway.address, b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n" + LOGIN_LINE + b"\r\n")
    assert asked.status == 404


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /" + b"a" * 100_000, 414),
        (GET + b"X: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (GET + b"X: " + b"y" * 300_000, 431),
        (GET + b"".join(b"X-%d: y\r\n" % n for n in range(101)) + b"\r\n", 431),
        (GET + b"".join(b"X-%d: %b\r\n" % (n, b"y" * 900) for n in range(90)) + b"\r\n", 431),
        (b"FROBNICATE / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"SUBSCRIBE / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"POST /dav/acme/x HTTP/1.1\r\nHost: a\r\n" + LOGIN_LINE + b"\r\n", 405),
        (b"TRACE /dav/acme/x HTTP/1.1\r\nHost: a\r\n" + LOGIN_LINE + b"\r\n", 405),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/3.7\r\nHost: a\r\n\r\n", 505),
        (b"PUT /dav/acme/x HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\n", 417),
    ],
    ids=lambda value: str(value)[:40],
)
def test_limits_and_unknown_words_have_their_own_answers(
    shared_gateway: RunningGateway, request_bytes: bytes, status: int
) -> None:
    assert ask(shared_gateway.address, request_bytes).status == status


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS /dav/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET HTTP://A:80/ HTTP/1.1\r\nHost: a:80\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhOST:\ta \r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
        b"GET /?a=%20&b HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
        GET + b"".join(b"X-%d: y\r\n" % n for n in range(98)) + b"\r\n",
    ],
)
def test_what_is_unusual_but_clear_is_answered(shared_gateway: RunningGateway, request_bytes: bytes) -> None:
    assert ask(shared_gateway.address, request_bytes).status == 200


def test_requests_sent_together_are_answered_in_order(shared_gateway: RunningGateway) -> None:
    with RawLine(shared_gateway.address) as line:
        last = b"GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        line.send(b"OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n" * 50 + last)
        assert [line.answer().status for _ in range(51)] == [200] * 50 + [404]
        assert line.is_closed()


def test_a_trailer_never_becomes_a_header_of_the_next_request(shared_gateway: RunningGateway) -> None:
    """aiohttp 3.14.5 does that: a client that shares a proxy's connection could log another in as somebody else."""
    put = PUT + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n" + LOGIN_LINE + b"\r\n"
    anonymous = b"PROPFIND /dav/acme/ HTTP/1.1\r\nHost: a\r\nDepth: 0\r\n\r\n"
    with RawLine(shared_gateway.address) as line:
        line.send(put)
        assert line.answer().status in (201, 204)
        line.send(anonymous)
        assert line.answer().status == 401
    with RawLine(shared_gateway.address) as line:
        line.send(put + anonymous)
        answer = line.answer()
        assert answer.status in (201, 204)
        # what came in the same read is not answered, and the client is told
        assert answer.headers.get("connection") == "close"
        assert statuses_until_closed(line) in ([], [401])


def statuses_until_closed(line: RawLine) -> list[int]:
    found = []
    try:
        while True:
            found.append(line.answer().status)
    except LineClosed:
        return found


def test_a_connection_goes_on_after_chunked_bodies_one_after_the_other(shared_gateway: RunningGateway) -> None:
    with RawLine(shared_gateway.address) as line:
        for n in range(5):
            line.send(CHUNKED + b"3\r\nabc\r\n1;ext=1\r\n%d\r\n0\r\n\r\n" % n)
            assert line.answer().status in (201, 204)
        line.send(b"GET /dav/acme/framed HTTP/1.1\r\nHost: a\r\n" + LOGIN_LINE + b"\r\n")
        assert line.answer().body == b"abc4"


def test_a_gzip_body_is_stored_as_sent(shared_gateway: RunningGateway) -> None:
    body = b"\x1f\x8b not really"
    put = PUT + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    assert ask(shared_gateway.address, put).status in (201, 204)
    got = ask(shared_gateway.address, b"GET /dav/acme/framed HTTP/1.1\r\nHost: a\r\n" + LOGIN_LINE + b"\r\n")
    assert got.body == body


DOTS = ["..", "%2e%2e", "%2E.", ".%2e", "..;", "%252e%252e", "..%00", "..%c0%af", "%c0%ae%c0%ae", "%uff0e", "．．"]
SLASHES = ["/", "%2f", "%5c", "\\", "//", "/./", "%252f", "%c0%af", "/;/"]
TARGETS = ["etc/passwd", "data/kurado.db", "gateway.yaml", "%65tc/passwd%00.txt"]
BASES = ["/", "/dav/", f"/dav/{TENANT}/", f"/dav/{TENANT}/a/"]


def traversals() -> list[str]:
    """More than two thousand spellings of the way out."""
    return [
        base + (dots + slash) * depth + target
        for base, dots, slash, target, depth in itertools.product(BASES, DOTS, SLASHES, TARGETS, (1, 6))
    ]


def test_no_spelling_of_dot_dot_leads_anywhere(shared_gateway: RunningGateway) -> None:
    spellings = traversals()
    assert len(spellings) > 2040
    with RawLine(shared_gateway.address) as line:
        for spelling in spellings:
            answer = ask_on(line, spelling)
            if answer is None or answer.headers.get("connection") == "close":
                line.close()
                line.__init__(shared_gateway.address)  # type: ignore[misc]
            assert answer is not None, f"{spelling} closed the line without an answer"
            assert 400 <= answer.status < 500, (spelling, answer)
            assert b"root:" not in answer.body and b"SQLite" not in answer.body and b"data_dir" not in answer.body


def ask_on(line: RawLine, target: str) -> Answer | None:
    try:
        line.send(b"GET " + target.encode() + b" HTTP/1.1\r\nHost: a\r\n" + LOGIN_LINE + b"\r\n")
        return line.answer()
    except (LineClosed, OSError):
        return None
