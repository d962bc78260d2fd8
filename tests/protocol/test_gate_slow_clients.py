"""Clients that do nothing, or next to nothing, cost a good client nothing (RESILIENCE 8, 9)."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.testing.rawhttp import RawLine, ask, basic, seconds_of
from gateway.testing.server import LOGIN, PASSWORD, RunningGateway, start_gateway
from gateway.testing.waiting import until

LOGIN_LINE = basic(LOGIN, PASSWORD)
SLOW = 300
STALLED = 60
DEADLINE, PATIENCE = "100s", 60.0
"""No measure of speed: a good client that was shut out would wait for ever, or for the deadline of those that are
slow."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    http = {"head_timeout": DEADLINE, "keep_alive": DEADLINE, "min_body_rate": 1}
    with start_gateway(tmp_path_factory.mktemp("gateway"), config={"http": http}) as running:
        put = b"PUT /dav/acme/good HTTP/1.1\r\nHost: a\r\n" + LOGIN_LINE + b"Content-Length: 4096\r\n\r\n" + bytes(4096)
        assert ask(running.address, put).status == 201
        yield running


@pytest.fixture
def lines(gateway: RunningGateway) -> Iterator[Callable[[int], list[RawLine]]]:
    opened: list[RawLine] = []

    def open_lines(count: int) -> list[RawLine]:
        opened.extend(RawLine(gateway.address) for _ in range(count))
        return opened

    yield open_lines
    for line in opened:
        line.close()


def good_requests() -> list[bytes]:
    head = b" HTTP/1.1\r\nHost: a\r\n" + LOGIN_LINE
    return [
        b"GET /dav/acme/good" + head + b"\r\n",
        b"PUT /dav/acme/mine" + head + b"Content-Length: 5\r\n\r\nhello",
        b"PROPFIND /dav/acme/" + head + b"Depth: 1\r\nContent-Length: 0\r\n\r\n",
    ]


def assert_good_client_is_served(gateway: RunningGateway) -> None:
    for request in good_requests():
        assert seconds_of(gateway.address, request) < PATIENCE


def test_three_hundred_heads_that_never_end_keep_nobody_waiting(
    gateway: RunningGateway, lines: Callable[[int], list[RawLine]]
) -> None:
    for line in lines(SLOW):
        line.send(b"GET /dav/acme/good HTTP/1.1\r\nHost: a\r\nX-")
    assert_good_client_is_served(gateway)


def test_three_hundred_bodies_that_never_end_keep_nobody_waiting(
    gateway: RunningGateway, lines: Callable[[int], list[RawLine]]
) -> None:
    for n, line in enumerate(lines(SLOW)):
        head = b"PUT /dav/acme/slow-%d HTTP/1.1\r\nHost: a\r\n" % n + LOGIN_LINE
        line.send(
            head + (b"Content-Length: 1000000\r\n\r\nx" if n % 2 else b"Transfer-Encoding: chunked\r\n\r\nff\r\nx")
        )
    assert_good_client_is_served(gateway)


def test_one_byte_a_second_keeps_nobody_waiting(gateway: RunningGateway, lines: Callable[[int], list[RawLine]]) -> None:
    slow = lines(SLOW)
    for n, line in enumerate(slow):
        head = b"PROPFIND /dav/acme/ HTTP/1.1\r\nHost: a\r\n" + LOGIN_LINE
        line.send(head + (b"Content-Length: 500\r\n\r\n" if n % 2 else b"X-Slow: "))
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(1.0):
            for line in slow:
                line.try_send(b" ")

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        for _ in range(5):
            assert_good_client_is_served(gateway)
    finally:
        stop.set()
        dripping.join()


def test_sixty_stalled_readers_keep_nobody_waiting_and_cost_no_memory(gateway: RunningGateway, tmp_path: Path) -> None:
    size = 30_000_000
    put = b"PUT /dav/acme/large HTTP/1.1\r\nHost: a\r\n" + LOGIN_LINE + b"Content-Length: %d\r\n\r\n" % size
    with RawLine(gateway.address) as line:
        line.send(put + bytes(size))
        assert line.answer().status in (201, 204)
    before = resident(gateway)
    stalled = [RawLine(gateway.address) for _ in range(STALLED)]
    try:
        for line in stalled:
            line.send(b"GET /dav/acme/large HTTP/1.1\r\nHost: a\r\n" + LOGIN_LINE + b"\r\n")
        for line in stalled:
            assert line.answer(head_only=True).status == 200
        assert_good_client_is_served(gateway)
        assert resident(gateway) - before < 64 * 1024 * 1024
    finally:
        for line in stalled:
            line.reset()
    assert_good_client_is_served(gateway)


def resident(gateway: RunningGateway) -> int:
    pages = int(Path(f"/proc/{gateway.pids('gate')[0]}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors(gateway: RunningGateway) -> int:
    return len(list(Path(f"/proc/{gateway.pids('gate')[0]}/fd").iterdir()))


def test_ten_thousand_idle_connections_leave_a_good_client_alone(gateway: RunningGateway) -> None:
    wanted = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted + 500:
        pytest.skip(f"needs {wanted + 500} descriptors, this process may have {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before, memory = descriptors(gateway), resident(gateway)
    idle: list[socket.socket] = []
    try:
        for _ in range(wanted):
            with contextlib.suppress(OSError):
                idle.append(socket.create_connection(gateway.address, 10))
        assert_good_client_is_served(gateway)
        assert resident(gateway) - memory < 300 * 1024 * 1024
    finally:
        for one in idle:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert_good_client_is_served(gateway)
    until(lambda: descriptors(gateway) <= before + 20)


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    http = {"head_timeout": "3s", "keep_alive": "3s", "max_connections_per_address": 20}
    with start_gateway(tmp_path_factory.mktemp("gateway"), config={"http": http}) as running:
        yield running


def test_a_head_that_does_not_end_in_time_is_answered_408(impatient: RunningGateway) -> None:
    with RawLine(impatient.address) as line:
        line.send(b"GET / HTTP/1.1\r\nHo")
        assert line.answer().status == 408
        assert line.is_closed()


def test_an_idle_connection_is_closed_before_and_after_a_request(impatient: RunningGateway) -> None:
    with RawLine(impatient.address) as fresh, RawLine(impatient.address) as used:
        used.send(b"OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert used.answer().status == 200
        assert fresh.is_closed()
        assert used.is_closed()


def test_above_the_limit_of_an_address_the_oldest_idle_connection_gives_way(impatient: RunningGateway) -> None:
    busy = RawLine(impatient.address)
    busy.send(b"PUT /dav/acme/busy HTTP/1.1\r\nHost: a\r\n" + LOGIN_LINE + b"Content-Length: 2\r\n\r\nx")
    many = [RawLine(impatient.address) for _ in range(30)]
    try:
        last = many[-1]
        last.send(b"OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert last.answer().status == 200
        assert many[0].is_closed()
        busy.send(b"y")
        assert busy.answer().status == 201
    finally:
        for line in [busy, *many]:
            line.close()


def test_a_body_that_comes_too_slowly_is_cut_off(impatient: RunningGateway) -> None:
    with RawLine(impatient.address, 30) as line:
        line.send(b"PUT /dav/acme/slow HTTP/1.1\r\nHost: a\r\n" + LOGIN_LINE + b"Content-Length: 100\r\n\r\nx")
        assert line.answer().status in (400, 408)
        assert line.is_closed()
