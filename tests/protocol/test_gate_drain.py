"""Stopping, reloading and traffic: what runs is finished, what is idle is closed, what passed is booked."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.testing.rawhttp import Answer, RawLine, ask, basic
from gateway.testing.server import LOGIN, PASSWORD, RunningGateway, start_gateway
from gateway.testing.waiting import until

LOGIN_LINE = basic(LOGIN, PASSWORD)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with start_gateway(tmp_path) as running:
        yield running


def head(verb: str, name: str, *fields: str) -> bytes:
    lines = [f"{verb} /dav/acme/{name} HTTP/1.1", "Host: a", *fields]
    return ("\r\n".join(lines) + "\r\n").encode() + LOGIN_LINE + b"\r\n"


def put(gateway: RunningGateway, name: str, body: bytes) -> Answer:
    return ask(gateway.address, head("PUT", name, f"Content-Length: {len(body)}") + body)


def test_a_stop_finishes_what_is_under_way_and_closes_what_is_idle(gateway: RunningGateway) -> None:
    large = random.Random(1).randbytes(30_000_000)
    assert put(gateway, "large", large).status == 201
    gate = gateway.pids("gate")[0]
    with (
        RawLine(gateway.address) as upload,
        RawLine(gateway.address) as download,
        RawLine(gateway.address) as idle,
    ):
        upload.send(head("PUT", "late", "Content-Length: 10", "Expect: 100-continue"))
        assert upload.answer().status == 100
        upload.send(b"hello")
        download.send(head("GET", "large"))
        first = download.answer(head_only=True)
        assert gateway.process is not None
        gateway.process.terminate()
        assert idle.is_closed()
        upload.send(b"world")
        answer = upload.answer()
        assert answer.status == 201
        assert upload.is_closed()
        assert download._exactly(int(first.headers["content-length"])) == large
        assert download.is_closed()
    gateway.process.wait(180)
    assert not Path(f"/proc/{gate}").exists()
    gateway.start()
    assert ask(gateway.address, head("GET", "late")).body == b"helloworld"


def test_a_reload_takes_new_gates_in_and_finishes_what_the_old_ones_do(gateway: RunningGateway) -> None:
    old = gateway.pids("gate")
    with RawLine(gateway.address) as upload:
        upload.send(head("PUT", "across", "Content-Length: 10", "Expect: 100-continue"))
        assert upload.answer().status == 100
        upload.send(b"hello")
        assert gateway.process is not None
        os.kill(gateway.process.pid, signal.SIGHUP)
        until(lambda: gateway.pids("gate") != old and put(gateway, "new", b"x").status in (201, 204))
        upload.send(b"world")
        assert upload.answer().status == 201
    until(lambda: not set(old) & set(gateway.pids("gate")))
    assert ask(gateway.address, head("GET", "across")).body == b"helloworld"


def test_a_killed_gate_is_replaced_and_clients_come_back(gateway: RunningGateway) -> None:
    assert put(gateway, "kept", b"kept").status == 201
    (old,) = gateway.pids("gate")
    os.kill(old, signal.SIGKILL)
    until(lambda: gateway.pids("gate") not in ([], [old]))
    assert ask(gateway.address, head("GET", "kept")).body == b"kept"


def traffic_of(gateway: RunningGateway) -> tuple[int, int]:
    """Bytes in and out as the ledger has them."""
    import sqlite3

    with sqlite3.connect(f"file:{gateway.data_dir / 'kurado.db'}?mode=ro", uri=True) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        (table,) = [name for name in tables if "traffic" in name]
        (row,) = db.execute(f"SELECT coalesce(sum(bytes_in), 0), coalesce(sum(bytes_out), 0) FROM {table}")
    db.close()
    return row[0], row[1]


def test_traffic_is_booked_while_a_transfer_runs(gateway: RunningGateway) -> None:
    with RawLine(gateway.address) as line:
        line.send(head("PUT", "long", "Content-Length: 2000000") + bytes(1_000_000))
        until(lambda: traffic_of(gateway)[0] >= 1_000_000)
        line.send(bytes(1_000_000))
        assert line.answer().status == 201
    assert ask(gateway.address, head("GET", "long")).status == 200
    until(lambda: traffic_of(gateway) == (2_000_000, 2_000_000))


def test_a_stop_books_the_last_traffic(gateway: RunningGateway) -> None:
    assert put(gateway, "last", bytes(12_345)).status == 201
    gateway.stop()
    assert traffic_of(gateway)[0] == 12_345
