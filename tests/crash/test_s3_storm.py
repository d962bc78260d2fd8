"""kill -9 in the middle of everything, with storage and replica in a real S3 store (acceptance 5 of the S3 backend).

The storm is the one of the local storage; here the store goes away and comes back too, while the gateway goes on.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.testing.faultline import FaultLine
from gateway.testing.needs import need
from gateway.testing.seaweed import Seaweed
from gateway.testing.server import RunningGateway, start_gateway
from gateway.testing.storm import DavClient, Files, content, run_storm, settle

CLIENTS = 4
ROUNDS = int(os.environ.get("KURADO_TEST_STORM_ROUNDS", "2"))


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    need("weed")
    with Seaweed(tmp_path_factory.mktemp("seaweed")) as running:
        yield running


def start(folder: Path, seaweed: Seaweed, **more: Any) -> RunningGateway:
    """A gateway whose storage and replica lie in the store."""
    settings = seaweed.settings(bucket="kurado-storm", timeout="2s", connect_timeout="1s", attempts=2, **more)

    def below(prefix: str) -> dict[str, Any]:
        return {"backend": "s3", **settings, "prefix": f"{folder.name.lower()}/{prefix}"}

    replication = {"name": "replication", "to": below("replica")}
    return start_gateway(
        folder, gates=2, plugins=["quota", "metering", replication], config={"storage": below("storage")}
    )


def client_of(gateway: RunningGateway, path: str = "") -> DavClient:
    return DavClient(f"{gateway.dav_url}{path}", gateway.login, gateway.password, timeout=60)


def ask(gateway: RunningGateway, verb: str, name: str, body: bytes = b"") -> tuple[int, Mapping[str, str], bytes]:
    client = client_of(gateway)
    try:
        return client.request(verb, name, body=body)
    finally:
        client.close()


def until(what: str, seconds: float, ask: Any) -> None:
    end = time.monotonic() + seconds
    while not ask():
        assert time.monotonic() < end, what
        time.sleep(0.2)


@pytest.mark.timeout(600)
def test_kills_lose_nothing_that_was_acknowledged(seaweed: Seaweed, tmp_path: Path) -> None:
    gateway = start(tmp_path, seaweed)
    try:
        known: dict[int, Files] = {n: {} for n in range(CLIENTS)}
        for n in known:
            assert ask(gateway, "MKCOL", f"c{n}")[0] == 201
        done = 0
        for seed in range(ROUNDS):

            def cut() -> None:
                time.sleep(1.0)  # the storm's length is the load, nothing is measured against it
                gateway.kill()

            clients = run_storm(lambda n: client_of(gateway, f"c{n}/"), known, 700 + seed, cut)
            done += sum(client.acknowledged for client in clients)
            gateway.start()
            known = settle(lambda n: client_of(gateway, f"c{n}/"), clients)
            report = gateway.cli("fsck", "--deep", "--json")
            assert json.loads(report.stdout) == []
        assert done > ROUNDS * CLIENTS

        def in_step() -> bool:
            return json.loads(gateway.cli("replica", "status", "--json").stdout)["events_behind"] == 0  # type: ignore[no-any-return]

        until("the replica does not catch up", 60, in_step)
        assert json.loads(gateway.cli("replica", "verify", "--json").stdout)["problems"] == []
        assert list((tmp_path / "data" / "staging").iterdir()) == []
    finally:
        gateway.stop()


@pytest.mark.timeout(600)
def test_a_store_that_goes_away_or_is_full_is_told_and_works_again_without_a_restart(
    seaweed: Seaweed, tmp_path: Path
) -> None:
    with FaultLine(seaweed.port) as line, ExitStack() as closing:
        gateway = start(tmp_path, seaweed, endpoint=line.endpoint)
        closing.callback(gateway.stop)
        one = client_of(gateway)
        closing.callback(one.close)
        kept = content(1, 3_000_000)
        assert one.request("PUT", "kept.bin", body=kept)[0] == 201
        pids = gateway.pids("gate")
        for fault in ("silent", "cut-answer:40"):
            line.fault = fault
            line.cut()
            started = time.monotonic()
            status, headers, _ = one.request("PUT", "kept.bin", body=content(2, 200_000))
            assert status == 503 and "Retry-After" in headers
            assert time.monotonic() - started < 20
            assert ask(gateway, "GET", "kept.bin")[0] == 503
            assert one.names() == ["kept.bin"]  # what needs no bytes goes on
            line.fault = ""
            line.cut()
            until("no recovery", 60, lambda: one.request("GET", "kept.bin")[2] == kept)
            until("no recovery", 60, lambda: one.request("PUT", "after.bin", body=b"x")[0] in (201, 204))
            assert one.request("DELETE", "after.bin")[0] == 204
        full(seaweed, one, kept)
        assert gateway.pids("gate") == pids


def full(seaweed: Seaweed, one: DavClient, kept: bytes) -> None:
    """507, and the old content stays; reads, listing and DELETE go on; writes again when there is room."""
    assert one.request("PUT", "second.bin", body=kept)[0] == 201
    seaweed.fill("kurado-storm")
    assert one.request("PUT", "kept.bin", body=content(2, 100_000))[0] == 507
    assert one.request("PUT", "new.bin", body=content(2, 100_000))[0] == 507
    assert one.request("GET", "kept.bin")[2] == kept
    assert one.names() == ["kept.bin", "second.bin"]
    assert one.request("DELETE", "second.bin")[0] == 204
    assert one.used() == len(kept)
    seaweed.make_room("kurado-storm")
    until("no recovery", 60, lambda: one.request("PUT", "new.bin", body=b"new")[0] == 201)
