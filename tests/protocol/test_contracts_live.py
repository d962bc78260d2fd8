"""Acts of the operator on a running daemon: every gate answers by them, and normally again afterwards."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.testing.clockwork import lasting_today
from gateway.testing.rawhttp import Answer, ask, basic
from gateway.testing.server import PASSWORD, RunningGateway, start_gateway
from gateway.testing.waiting import PATIENCE

LOGIN = "hanako"
LINE = basic(LOGIN, PASSWORD)
CONNECTIONS = 12
"""Fresh connections for one look: enough that the kernel hands some to each of the gates."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with start_gateway(folder, gates=2, plugins=["contract_state", "quota", "metering"]) as running:
        yield running


def request(gateway: RunningGateway, verb: str, path: str, fields: bytes = b"", body: bytes = b"") -> Answer:
    head = f"{verb} /dav/{path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n".encode()
    return ask(gateway.address, head + LINE + fields + b"\r\n" + body, head_only=verb == "HEAD")


def all_answer(gateway: RunningGateway, status: int, path: str, verb: str = "OPTIONS") -> Answer:
    """Waits until every connection gets that answer; patient, because machines are busy. Returns one of them."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answers = [request(gateway, verb, path) for _ in range(CONNECTIONS)]
        if {answer.status for answer in answers} == {status}:
            return answers[0]
        assert time.monotonic() < deadline, [answer.status for answer in answers]


def contract(gateway: RunningGateway, name: str) -> None:
    """A contract that starts today."""
    yesterday = (lasting_today() - timedelta(days=1)).isoformat() + "T09:00+09:00"
    apply = ["--customer", "ACME", "--address", "Tokyo", "--contact", "Hanako", "--email", "acme@example.jp"]
    apply += ["--plan", "standard", "--payment", "invoice", "--terms-version", "2017-06-01"]
    gateway.cli("contract", "apply", name, *apply, "--privacy-version", "3", "--privacy-agreed-at", yesterday)
    gateway.cli("contract", "review", name)
    gateway.cli("contract", "accept", name, "--minimum-months", "1", "--reason", "complete")
    gateway.cli("contract", "register", name, "--login", LOGIN, "--password-stdin", input=PASSWORD + "\n")


def start(gateway: RunningGateway, name: str) -> None:
    today = lasting_today().isoformat()
    gateway.cli("contract", "notify-start", name, "--start-date", today, "--arrived-at", "now")


@pytest.fixture(scope="module")
def acme(gateway: RunningGateway) -> str:
    contract(gateway, "works")
    start(gateway, "works")
    all_answer(gateway, 200, "works/")
    return "works/"


def as_person(gateway: RunningGateway, name: str, *words: str, check: bool = True) -> str:
    """A command run by another login of the machine."""
    gateway.env = {"LOGNAME": name}
    try:
        done = gateway.cli(*words, check=check)
    finally:
        gateway.env = {}
    return done.stdout + done.stderr


def test_a_registered_space_opens_with_its_start_notice_and_names_no_ground_before(gateway: RunningGateway) -> None:
    contract(gateway, "early")
    closed = all_answer(gateway, 403, "early/")
    assert b"APP-05" not in closed.body
    assert b"not" not in closed.body.lower()
    assert "APP-05" in gateway.cli("refusals", "list", "--tenant", "early").stdout
    start(gateway, "early")
    all_answer(gateway, 200, "early/")


def test_an_interruption_and_a_maintenance_window_are_503_on_all_gates_until_they_are_closed(
    gateway: RunningGateway, acme: str
) -> None:
    gateway.cli("interruption", "open", "--ground", "DISORDER", "--reason", "disks", "--json")
    answer = all_answer(gateway, 503, acme)
    assert "retry-after" not in answer.headers
    assert b"DISORDER" not in answer.body
    gateway.cli("interruption", "close", "I1")
    all_answer(gateway, 200, acme)
    gateway.cli("maintenance", "announce", "--from", "now", "--to", "2099-01-01T00:00+09:00", "--reason", "disks")
    assert int(all_answer(gateway, 503, acme).headers["retry-after"]) > 86_400
    gateway.cli("maintenance", "close", "M1")
    all_answer(gateway, 200, acme)


def test_a_suspension_is_403_and_other_tenants_notice_nothing(gateway: RunningGateway, acme: str) -> None:
    contract(gateway, "calm")
    start(gateway, "calm")
    all_answer(gateway, 200, "calm/")
    gateway.cli("contract", "overload", "works", "--evidence", "900 requests a second")
    gateway.cli("contract", "demand", "works", "--ground", "17(1)2", "--case", "L1", "--received-at", "now")
    gateway.cli("contract", "suspend", "works", "--case", "L1", "--reason", "load")
    all_answer(gateway, 403, acme)
    all_answer(gateway, 200, "calm/")
    gateway.cli("contract", "resume", "works")
    all_answer(gateway, 200, acme)


def test_a_stop_takes_two_persons(gateway: RunningGateway) -> None:
    contract(gateway, "shady")
    start(gateway, "shady")
    all_answer(gateway, 200, "shady/")
    gateway.cli("contract", "stop", "shady", "--reason", "§24(1)①")
    alone = gateway.cli("contract", "stop", "shady", "--approve", check=False)
    assert alone.returncode == 1
    assert "ANT-01" in alone.stderr
    all_answer(gateway, 200, "shady/")
    as_person(gateway, "bob", "contract", "stop", "shady", "--approve")
    all_answer(gateway, 403, "shady/")


def test_a_takedown_refuses_every_use_keeps_the_listing_and_gives_the_bytes_back(
    gateway: RunningGateway, acme: str
) -> None:
    body = b"what it says"
    assert request(gateway, "PUT", acme + "bad.txt", body=body).status == 201
    gateway.cli("takedown", "set", "works", "/bad.txt", "--item", "4", "--reason", "a complaint")
    refused = all_answer(gateway, 403, acme + "bad.txt", "GET")
    assert b"TKD" not in refused.body
    assert b"complaint" not in refused.body
    there = f"Destination: http://a/dav/{acme}other.txt\r\n".encode()
    for verb, fields in (("HEAD", b""), ("PUT", b""), ("DELETE", b""), ("COPY", there), ("MOVE", there)):
        assert request(gateway, verb, acme + "bad.txt", fields).status == 403, verb
    assert b"bad.txt" in request(gateway, "PROPFIND", acme, b"Depth: 1\r\n").body
    assert '"used_bytes": 0' in gateway.cli("tenant", "show", "works", "--json").stdout
    gateway.cli("takedown", "lift", "T1", "--reason", "settled")
    assert all_answer(gateway, 200, acme + "bad.txt", "GET").body == body


def test_an_operator_sees_content_only_with_a_second_person_and_the_log_shows_it(
    gateway: RunningGateway, acme: str, tmp_path: Path
) -> None:
    assert request(gateway, "PUT", acme + "seen.txt", body=b"private").status == 201
    gateway.cli("breakglass", "request", "works", "/seen.txt", "--ground", "legal", "--reason", "order 7")
    for words in (("read", "B1", "/seen.txt"), ("approve", "B1")):
        done = gateway.cli("breakglass", *words, check=False)
        assert done.returncode == 1
        assert "PRV-03" in done.stderr
        assert "private" not in done.stdout
    as_person(gateway, "bob", "breakglass", "approve", "B1")
    assert gateway.cli("breakglass", "read", "B1", "/seen.txt").stdout == "private"
    log = gateway.cli("breakglass", "list", "--tenant", "works", "--acts").stdout
    assert "breakglass.read" in log
    assert gateway.cli("audit", "verify").returncode == 0


def test_a_cancelled_contract_is_shown_with_its_last_day(gateway: RunningGateway, acme: str, tmp_path: Path) -> None:
    letter = tmp_path / "letter.pdf"
    letter.write_bytes(b"we leave")
    bare = gateway.cli("contract", "cancel", "works", check=False)
    assert bare.returncode == 2  # no document in writing
    told = gateway.cli("contract", "cancel", "works", "--document", str(letter)).stdout
    last = (lasting_today() + timedelta(days=30)).isoformat()
    assert f"last day {last}" in told
    assert hashlib.sha256(b"we leave").hexdigest()[:16] in gateway.cli("contract", "documents", "works").stdout
    late = gateway.cli("contract", "request-change", "works", "--plan", "pro", "--document", str(letter), check=False)
    assert "CHG-08" in late.stderr
