"""Bodies: cut ones are never stored, refused ones are never asked for, and a refusal reaches the client."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator

import pytest

from gateway.testing.rawhttp import Answer, LineClosed, RawLine, ask, basic
from gateway.testing.server import LOGIN, PASSWORD, RunningGateway, start_gateway

LOGIN_LINE = basic(LOGIN, PASSWORD)
OLD = b"the old content"
SIZE = 1_000_000
NEW = random.Random(7).randbytes(SIZE)
QUOTA = 20_000_000


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    config = {"http": {"max_upload": "50MB"}}
    with start_gateway(tmp_path_factory.mktemp("gateway"), quota=str(QUOTA), config=config) as running:
        running.add_user(running.tenant, "victor", role="viewer")
        yield running


def head(verb: str, name: str, *fields: str, login: bytes = LOGIN_LINE) -> bytes:
    lines = [f"{verb} /dav/acme/{name} HTTP/1.1", "Host: a", *fields]
    return ("\r\n".join(lines) + "\r\n").encode() + login + b"\r\n"


def get(gateway: RunningGateway, name: str) -> Answer:
    return ask(gateway.address, head("GET", name))


def put(gateway: RunningGateway, name: str, body: bytes) -> int:
    with RawLine(gateway.address, 30) as line:
        line.send(head("PUT", name, f"Content-Length: {len(body)}") + body)
        return line.answer().status


def chunked(body: bytes, size: int = 70_000) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("how", ["closes", "half-closes", "resets"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("overwrites", [True, False], ids=["overwrite", "new"])
def test_a_body_cut_at_any_tenth_is_never_stored(
    gateway: RunningGateway, how: str, framing: str, overwrites: bool
) -> None:
    name = f"cut-{how}-{framing}-{overwrites}"
    if overwrites:
        assert put(gateway, name, OLD) == 201
    field = f"Content-Length: {SIZE}" if framing == "length" else "Transfer-Encoding: chunked"
    wire = NEW if framing == "length" else chunked(NEW)
    for tenth in range(10):
        with RawLine(gateway.address) as line:
            line.send(head("PUT", name, field) + wire[: len(wire) * tenth // 10])
            line.break_off(how)
        found = get(gateway, name)
        assert (found.status, found.body) == (200, OLD) if overwrites else found.status == 404
    # and one byte before the end
    with RawLine(gateway.address) as line:
        line.send(head("PUT", name, field) + wire[:-1])
        line.end_sending()
        assert line.answer().status == 400
    assert get(gateway, name).status == (200 if overwrites else 404)


def test_nothing_of_cut_bodies_stays_behind(gateway: RunningGateway) -> None:
    with RawLine(gateway.address) as line:
        line.send(head("PUT", "left", f"Content-Length: {SIZE}") + NEW[:500_000])
        line.end_sending()
        assert line.answer().status == 400
    assert list((gateway.data_dir / "blobs").rglob("staging/*")) == []


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 1_048_576, 1_048_577, 5_000_000])
@pytest.mark.parametrize("chunk", [0, 1_000, 1_048_576])
def test_whole_bodies_of_any_size_and_chunking_come_back_byte_for_byte(
    gateway: RunningGateway, size: int, chunk: int
) -> None:
    body = random.Random(size).randbytes(size)
    with RawLine(gateway.address, 30) as line:
        if chunk:
            line.send(head("PUT", "whole", "Transfer-Encoding: chunked") + chunked(body, chunk))
        else:
            line.send(head("PUT", "whole", f"Content-Length: {size}") + body)
        assert line.answer().status in (201, 204)
        line.send(head("GET", "whole"))
        answer = line.answer()
        assert answer.headers["content-length"] == str(size)
        assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()


def test_a_client_that_half_closes_after_its_request_still_gets_the_answer(gateway: RunningGateway) -> None:
    with RawLine(gateway.address) as line:
        line.send(head("PUT", "half", "Content-Length: 5") + b"hello")
        line.end_sending()
        assert line.answer().status == 201
        assert line.is_closed()


# -- 100-continue -----------------------------------------------------------------------------------------------------


def test_continue_is_sent_when_the_body_is_wanted(gateway: RunningGateway) -> None:
    with RawLine(gateway.address) as line:
        line.send(head("PUT", "expected", "Content-Length: 5", "Expect: 100-continue"))
        assert line.answer().status == 100
        line.send(b"hello")
        assert line.answer().status == 201
        line.send(head("GET", "expected"))
        assert line.answer().body == b"hello"


def test_an_empty_body_needs_no_continue_and_keeps_the_connection(gateway: RunningGateway) -> None:
    with RawLine(gateway.address) as line:
        for _ in range(2):
            line.send(head("PUT", "empty", "Content-Length: 0", "Expect: 100-continue"))
            assert line.answer().status in (201, 204)


def test_a_body_that_came_without_waiting_needs_no_continue(gateway: RunningGateway) -> None:
    with RawLine(gateway.address) as line:
        line.send(head("PUT", "eager", "Content-Length: 5", "Expect: 100-continue") + b"hello")
        first = line.answer()
        assert (line.answer() if first.status == 100 else first).status == 201


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head("PUT", "x", "Content-Length: 5", "Expect: 100-continue", login=b""), 401),
        (head("PUT", "x", "Content-Length: 5", "Expect: 100-continue", login=basic("nobody", "x")), 401),
        (head("PUT", "x", "Content-Length: 5", "Expect: 100-continue", login=basic("victor", PASSWORD)), 403),
        (head("PUT", "x", f"Content-Length: {QUOTA + 1}", "Expect: 100-continue"), 507),
        (head("PUT", "x", "Content-Length: 60000000", "Expect: 100-continue"), 413),
        (head("PUT", "no/such/parent", "Content-Length: 5", "Expect: 100-continue"), 409),
        (head("PUT", "old", "Content-Length: 5", "If-None-Match: *", "Expect: 100-continue"), 412),
        (head("PUT", "x", "Content-Length: 5", "Content-Range: bytes 0-4/9", "Expect: 100-continue"), 400),
        (head("PUT", "a%01b", "Content-Length: 5", "Expect: 100-continue"), 400),
    ],
)
def test_what_is_refused_is_refused_before_continue(gateway: RunningGateway, request_head: bytes, status: int) -> None:
    put(gateway, "old", OLD)
    with RawLine(gateway.address) as line:
        line.send(request_head)
        answer = line.answer()
        assert answer.status == status, answer
        assert answer.headers["connection"] == "close"  # nobody knows whether the body will still come
        assert line.is_closed()


# -- refused with the body on its way ---------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["Content-Length: 40000000", "Transfer-Encoding: chunked"])
def test_a_refusal_reaches_a_client_that_sends_its_whole_body_first(gateway: RunningGateway, field: str) -> None:
    body = bytes(40_000_000)
    with RawLine(gateway.address, 30) as line:
        sent = line.try_send(head("PUT", "huge", field) + (body if "Length" in field else chunked(body)))
        assert line.answer().status == 507
        assert sent


def test_a_small_unread_body_does_not_cost_the_connection(gateway: RunningGateway) -> None:
    with RawLine(gateway.address) as line:
        line.send(head("PUT", "x", "Content-Length: 5", login=b"") + b"hello")
        assert line.answer().status == 401
        line.send(head("PUT", "x", "Content-Length: 5") + b"hello")
        assert line.answer().status == 201


@pytest.mark.parametrize("verb", ["PROPFIND", "PROPPATCH", "LOCK"])
def test_a_request_document_has_a_limit(gateway: RunningGateway, verb: str) -> None:
    for field, body in [
        ("Content-Length: 100000000", b"<a>" + bytes(1_000_000)),
        ("Transfer-Encoding: chunked", chunked(b"<a>" + b" " * 3_000_000)),
    ]:
        with RawLine(gateway.address, 30) as line:
            line.try_send(head(verb, "", field) + body)
            assert line.answer().status == 413


@pytest.mark.parametrize("verb", ["GET", "HEAD", "DELETE", "MKCOL", "OPTIONS", "COPY", "MOVE", "UNLOCK"])
def test_a_body_that_a_verb_does_not_want_never_becomes_the_next_request(gateway: RunningGateway, verb: str) -> None:
    smuggled = b"PUT /dav/acme/smuggled HTTP/1.1\r\nHost: a\r\n" + LOGIN_LINE + b"Content-Length: 0\r\n\r\n"
    with RawLine(gateway.address) as line:
        line.send(head(verb, "nowhere", f"Content-Length: {len(smuggled)}") + smuggled)
        assert line.answer(head_only=verb == "HEAD").status < 500
        line.try_send(head("OPTIONS", ""))
        with contextlib.suppress(LineClosed):
            assert line.answer().status == 200
    assert get(gateway, "smuggled").status == 404
