"""What a gate answers at once, from what it remembers, is decided anew each time: the same bytes, asked again on the
same connection, get another answer as soon as they deserve one."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from gateway.testing.rawhttp import Answer, RawLine, ask, basic
from gateway.testing.server import LOGIN, PASSWORD, RunningGateway, start_gateway
from gateway.testing.waiting import until

MINE = basic(LOGIN, PASSWORD)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with start_gateway(folder, plugins=["contract_state", "quota", "metering"]) as running:
        yield running


def head(verb: str, path: str, fields: bytes = b"", body: bytes = b"", login: bytes = MINE) -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return f"{verb} /dav/acme/{path} HTTP/1.1\r\nHost: a\r\n".encode() + login + length + fields + b"\r\n" + body


def on(line: RawLine, request: bytes) -> Answer:
    line.send(request)
    return line.answer(head_only=request.startswith(b"HEAD"))


def answered(line: RawLine, request: bytes, status: int) -> Answer:
    """The first answer with that status: what another process did is known within a second."""

    def ask_again() -> Answer | None:
        answer = on(line, request)
        return answer if answer.status == status else None

    found = until(ask_again, f"status {status}")
    assert found is not None
    return found


def test_a_file_that_was_just_read_is_another_as_soon_as_it_is_written_and_none_when_it_is_deleted(
    gateway: RunningGateway,
) -> None:
    with RawLine(gateway.address) as reader, RawLine(gateway.address) as writer:
        for size in (100, 20_000, 32 * 1024, 32 * 1024 + 1, 0):
            for content in (b"a" * size, b"b" * size):
                assert on(writer, head("PUT", "new", body=content) if size else head("PUT", "new")).status in (201, 204)
                for _ in range(3):
                    answer = on(reader, head("GET", "new"))
                    assert (answer.status, answer.body) == (200, content)
                    assert on(reader, head("HEAD", "new")).headers["content-length"] == str(size)
                if size:
                    part = on(reader, head("GET", "new", b"Range: bytes=10-19\r\n"))
                    assert (part.status, part.body) == (206, content[10:20])
        assert on(writer, head("DELETE", "new")).status == 204
        assert on(reader, head("GET", "new")).status == 404


def test_a_file_that_was_just_read_is_refused_while_it_is_taken_down(gateway: RunningGateway) -> None:
    body = b"what it says"
    with RawLine(gateway.address) as line:
        assert on(line, head("PUT", "bad.txt", body=body)).status == 201
        assert on(line, head("GET", "bad.txt")).body == body
        gateway.cli("takedown", "set", "acme", "/bad.txt", "--item", "4", "--reason", "a complaint")
        assert body not in answered(line, head("GET", "bad.txt"), 403).body
        assert on(line, head("GET", "bad.txt", b"If-None-Match: *\r\n")).status == 403
        gateway.cli("takedown", "lift", "T1", "--reason", "settled")
        assert answered(line, head("GET", "bad.txt"), 200).body == body


def test_a_login_that_was_just_good_is_refused_when_its_password_is_another(gateway: RunningGateway) -> None:
    gateway.add_user("acme", "bob", "first password")
    old, new = basic("bob", "first password"), basic("bob", "second password")
    with RawLine(gateway.address) as line:
        assert on(line, head("OPTIONS", "", login=old)).status == 200
        gateway.cli("user", "passwd", "acme", "bob", "--password-stdin", input="second password\n")
        answered(line, head("OPTIONS", "", login=old), 401)
        assert on(line, head("OPTIONS", "", login=new)).status == 200
        gateway.cli("user", "disable", "acme", "bob")
        answered(line, head("OPTIONS", "", login=new), 401)


def test_an_interruption_is_noticed_between_two_requests_of_a_connection(gateway: RunningGateway) -> None:
    with RawLine(gateway.address) as line:
        assert on(line, head("OPTIONS", "")).status == 200
        gateway.cli("interruption", "open", "--ground", "DISORDER", "--reason", "disks")
        answered(line, head("OPTIONS", ""), 503)
        gateway.cli("interruption", "close", "I1")
        answered(line, head("OPTIONS", ""), 200)


def test_requests_sent_together_see_what_those_before_them_did(gateway: RunningGateway) -> None:
    """The writes among them need threads, the reads none."""
    requests = [
        head("PUT", "one", body=b"first"),
        head("GET", "one"),
        head("PUT", "one", body=b"second"),
        head("GET", "one"),
        head("HEAD", "one"),
        head("MKCOL", "two/"),
        head("OPTIONS", "two/"),
        head("PROPFIND", "two/", b"Depth: 1\r\n"),
        head("DELETE", "one"),
        head("GET", "one"),
    ]
    with RawLine(gateway.address) as line:
        line.send(b"".join(requests))
        line.end_sending()
        answers = [line.answer(head_only=one.startswith(b"HEAD")) for one in requests]
        assert [one.status for one in answers] == [201, 200, 204, 200, 200, 201, 200, 207, 204, 404]
        assert (answers[1].body, answers[3].body) == (b"first", b"second")
        assert len({one.headers["x-request-id"] for one in answers}) == len(answers)
        assert line.is_closed()


def test_the_answer_to_a_refused_head_request_has_no_body(gateway: RunningGateway) -> None:
    for fields in (b"Expect: miracles\r\n", b"Transfer-Encoding: gzip\r\n", b"X: a\x01\r\n"):
        with RawLine(gateway.address) as line:
            line.send(head("HEAD", "", fields))
            assert 400 <= line.answer(head_only=True).status < 500
            assert line.is_closed()


def test_every_request_of_a_connection_is_metered(gateway: RunningGateway) -> None:
    gateway.add_tenant("meter")
    login = basic(LOGIN, PASSWORD)
    request = b"GET /dav/meter/nothing HTTP/1.1\r\nHost: a\r\n" + login + b"\r\n"
    assert ask(gateway.address, request).status == 404
    with RawLine(gateway.address) as line:
        line.send(request * 30)
        assert [line.answer().status for _ in range(30)] == [404] * 30
    gateway.stop()  # books the last
    shown = json.loads(gateway.cli("usage", "show", "meter", "--json").stdout)
    assert shown["usage"]["requests"] == {"read": 31, "write": 0, "list": 0, "lock": 0, "other": 0}
    gateway.start()
