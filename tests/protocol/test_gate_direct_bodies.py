"""Large bodies go from the socket past the parser: cut ones are not stored, and what follows one is read as before."""

from __future__ import annotations

import base64
import hashlib
import random
import time
from collections.abc import Iterator

import pytest

from gateway.testing.rawhttp import LineClosed, RawLine, ask, basic
from gateway.testing.server import LOGIN, PASSWORD, RunningGateway, start_gateway
from gateway.testing.waiting import until

LOGIN_LINE = basic(LOGIN, PASSWORD)
OLD = b"the old content"
SIZE = 9_000_001  # no multiple of anything, and more than is kept in the page cache
BODY = random.Random(11).randbytes(SIZE)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    http = {"head_timeout": "2s", "min_body_rate": 10_000}
    with start_gateway(tmp_path_factory.mktemp("gateway"), config={"http": http}) as running:
        yield running


def head(verb: str, name: str, *fields: str) -> bytes:
    lines = [f"{verb} /dav/acme/{name} HTTP/1.1", "Host: a", *fields]
    return ("\r\n".join(lines) + "\r\n").encode() + LOGIN_LINE + b"\r\n"


def put(name: str, *fields: str) -> bytes:
    return head("PUT", name, f"Content-Length: {SIZE}", *fields)


def content(gateway: RunningGateway, name: str) -> tuple[int, bytes]:
    found = ask(gateway.address, head("GET", name))
    return found.status, hashlib.sha256(found.body).digest()


WHOLE = hashlib.sha256(BODY).digest()


@pytest.mark.parametrize("how", ["closes", "half-closes", "resets"])
def test_a_large_body_cut_at_any_tenth_is_never_stored(gateway: RunningGateway, how: str) -> None:
    name = f"cut-{how}"
    assert ask(gateway.address, head("PUT", name, f"Content-Length: {len(OLD)}") + OLD).status == 201
    for end in [*(SIZE * tenth // 10 for tenth in range(1, 10)), SIZE - 1]:
        with RawLine(gateway.address) as line:
            line.send(put(name) + BODY[:end])
            line.break_off(how)
        assert content(gateway, name) == (200, hashlib.sha256(OLD).digest())
    until(lambda: not list((gateway.data_dir / "blobs").rglob("staging/*")))


def test_one_line_takes_one_large_body_after_the_other(gateway: RunningGateway) -> None:
    with RawLine(gateway.address) as line:
        for status in (201, 204, 204):
            line.send(put("again") + BODY)
            assert line.answer().status == status
            line.send(head("PUT", "small", "Content-Length: 5") + b"hello")
            assert line.answer().status in (201, 204)
            line.send(head("GET", "small"))
            assert line.answer().body == b"hello"
    assert content(gateway, "again") == (200, WHOLE)


def test_requests_behind_a_large_body_in_the_same_segment_are_answered_in_turn(gateway: RunningGateway) -> None:
    with RawLine(gateway.address) as line:
        line.send(put("first") + BODY + put("second") + BODY + head("GET", "first") + head("OPTIONS", ""))
        assert [line.answer().status for _ in range(2)] == [201, 201]
        assert hashlib.sha256(line.answer().body).digest() == WHOLE
        assert line.answer().status == 200


def test_more_than_was_announced_is_no_part_of_the_content(gateway: RunningGateway) -> None:
    with RawLine(gateway.address) as line:
        line.send(put("more") + BODY + b"and more\r\n\r\n")
        assert line.answer().status == 201
        assert line.answer().status == 400
        assert line.is_closed()
    assert content(gateway, "more") == (200, WHOLE)


def test_a_client_that_half_closes_behind_a_large_body_gets_its_answer(gateway: RunningGateway) -> None:
    with RawLine(gateway.address) as line:
        line.send(put("half") + BODY)
        line.end_sending()
        assert line.answer().status == 201
        assert line.is_closed()


def test_continue_comes_before_a_large_body(gateway: RunningGateway) -> None:
    with RawLine(gateway.address) as line:
        line.send(put("expected", "Expect: 100-continue"))
        assert line.answer().status == 100
        line.send(BODY)
        assert line.answer().status == 201
    assert content(gateway, "expected") == (200, WHOLE)


def test_a_large_body_with_the_wrong_digest_is_refused_and_the_line_goes_on(gateway: RunningGateway) -> None:
    wrong = base64.b64encode(hashlib.md5(b"another").digest()).decode()
    with RawLine(gateway.address) as line:
        line.send(put("wrong", f"Content-MD5: {wrong}") + BODY)
        assert line.answer().status == 400
        line.send(head("GET", "wrong"))
        assert line.answer().status == 404


def test_a_large_body_that_comes_in_small_pieces_with_pauses_is_whole(gateway: RunningGateway) -> None:
    with RawLine(gateway.address) as line:
        line.send(put("pieces"))
        at, chance = 0, random.Random(3)
        while at < SIZE:
            size = chance.choice([1, 100, 4096, 70_000, 900_000])
            line.send(BODY[at : at + size])
            at += size
            time.sleep(0.02)  # that the gateway reads in between is what is tried here
        assert line.answer().status == 201
    assert content(gateway, "pieces") == (200, WHOLE)


def test_a_client_just_above_the_least_rate_is_not_cut_though_less_has_come_than_is_gathered(
    gateway: RunningGateway,
) -> None:
    with RawLine(gateway.address) as line:
        line.send(put("slow") + BODY[: SIZE - 200_000])
        for at in range(SIZE - 200_000, SIZE, 4_000):  # 20 000 bytes a second, ten seconds: three windows
            line.send(BODY[at : at + 4_000])
            time.sleep(0.2)  # the pace is what is tried here, and the gateway, another process, has its own clock
        assert line.answer().status == 201
    assert content(gateway, "slow") == (200, WHOLE)


@pytest.mark.parametrize("sent", [600_000, SIZE - 300_000])
def test_a_client_that_stops_in_the_middle_is_cut(gateway: RunningGateway, sent: int) -> None:
    with RawLine(gateway.address) as line:
        line.send(put("stopped") + BODY[:sent])
        assert line.answer().status == 400
        line.try_send(b"GET /dav/acme/again HTTP/1.1\r\nHost: a\r\n" + LOGIN_LINE + b"\r\n")
        with pytest.raises(LineClosed):
            line.answer()
    assert content(gateway, "stopped")[0] == 404
