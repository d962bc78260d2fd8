"""TLS: bodies both ways, cut ones, silent clients, and new certificates without a dropped request."""

from __future__ import annotations

import os
import random
import signal
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.testing.needs import need
from gateway.testing.rawhttp import LineClosed, RawLine, basic
from gateway.testing.server import LOGIN, PASSWORD, RunningGateway, start_gateway
from gateway.testing.waiting import until

LOGIN_LINE = basic(LOGIN, PASSWORD)


def make_certificate(folder: Path) -> None:
    need("openssl")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("gateway")
    make_certificate(folder)
    with start_gateway(folder, config={"listen": {"tls": {"cert": "cert.pem", "key": "key.pem"}}}) as running:
        yield running


@pytest.fixture
def tls_line(gateway: RunningGateway) -> Iterator[Callable[[], RawLine]]:
    opened: list[RawLine] = []

    def open_line() -> RawLine:
        context = ssl.create_default_context(cafile=str(gateway.folder / "cert.pem"))
        line = RawLine(gateway.address)
        opened.append(line)
        line.socket = context.wrap_socket(line.socket, server_hostname="localhost")
        return line

    yield open_line
    for line in opened:
        line.close()


def head(verb: str, name: str, *fields: str) -> bytes:
    lines = [f"{verb} /dav/acme/{name} HTTP/1.1", "Host: a", *fields]
    return ("\r\n".join(lines) + "\r\n").encode() + LOGIN_LINE + b"\r\n"


@pytest.mark.parametrize("size", [0, 5_000, 131_073, 5_000_000])
def test_bodies_of_any_size_pass_both_ways(tls_line: Callable[[], RawLine], size: int) -> None:
    body = random.Random(size).randbytes(size)
    line = tls_line()
    line.send(head("PUT", "secret", f"Content-Length: {size}") + body)
    assert line.answer().status in (201, 204)
    line.send(head("GET", "secret"))
    assert line.answer().body == body


def test_a_refusal_reaches_a_client_that_sends_its_body_all_the_same(tls_line: Callable[[], RawLine]) -> None:
    line = tls_line()
    line.send(head("PUT", "no/parent", "Content-Length: 3000000") + bytes(3_000_000))
    assert line.answer().status == 409


def test_a_cut_body_is_never_stored(tls_line: Callable[[], RawLine]) -> None:
    cut = tls_line()
    cut.send(head("PUT", "cut", "Content-Length: 600000") + bytes(300_000))
    cut.close()
    line = tls_line()
    line.send(head("GET", "cut"))
    assert line.answer().status == 404


def test_a_client_that_speaks_no_tls_is_turned_away(gateway: RunningGateway) -> None:
    with RawLine(gateway.address) as plain, pytest.raises(LineClosed):
        plain.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        plain.answer()


def test_three_hundred_handshakes_that_never_end_keep_nobody_waiting(
    gateway: RunningGateway, tls_line: Callable[[], RawLine]
) -> None:
    silent = [RawLine(gateway.address) for _ in range(300)]
    try:
        for line in silent[::2]:
            line.send(b"\x16\x03\x01\x02")
        good = tls_line()
        good.send(head("PROPFIND", "", "Depth: 0", "Content-Length: 0"))
        assert good.answer().status == 207
    finally:
        for line in silent:
            line.close()


def test_a_reload_takes_up_a_new_certificate_and_finishes_what_runs(
    gateway: RunningGateway, tls_line: Callable[[], RawLine]
) -> None:
    upload = tls_line()
    upload.send(head("PUT", "across", "Content-Length: 10") + b"hello")
    over, failures = threading.Event(), []  # type: ignore[var-annotated]

    def knock() -> None:
        while not over.is_set():
            try:
                with RawLine(gateway.address) as line:
                    line.socket = ssl._create_unverified_context().wrap_socket(line.socket)
                    line.send(head("GET", "nothing"))
                    assert line.answer().status == 404
            except (OSError, LineClosed, AssertionError) as error:
                failures.append(error)

    knocking = [threading.Thread(target=knock) for _ in range(3)]
    for thread in knocking:
        thread.start()
    make_certificate(gateway.folder)
    new = (gateway.folder / "cert.pem").read_text()
    assert gateway.process is not None
    os.kill(gateway.process.pid, signal.SIGHUP)
    try:  # for a while both old and new gates take connections
        until(lambda: {ssl.get_server_certificate(gateway.address) for _ in range(16)} == {new})
    finally:
        over.set()
        for thread in knocking:
            thread.join()
    assert failures == []
    upload.send(b"world")
    assert upload.answer().status == 201
    again = tls_line()
    again.send(head("GET", "across"))
    assert again.answer().body == b"helloworld"
