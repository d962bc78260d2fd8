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
from gateway.testing.waiting import until

CLIENTS = 4
ROUNDS = int(os.environ.get("KURADO_TEST_STORM_ROUNDS", "2"))
SECONDS = 600 + 120 * ROUNDS
RECOVERY = 60.0
"""RESILIENCE 12: working again by itself within 60 s."""
SILENCE = 20.0
"""RESILIENCE 12: no dependency is waited for in silence longer."""


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    need("weed")
    with Seaweed(tmp_path_factory.mktemp("seaweed")) as running:
        yield running


def start(folder: Path, seaweed: Seaweed, **more: Any) -> RunningGateway:
    """A gateway whose storage and replica lie in the store."""
    settings = seaweed.settings(bucket="kurado-storm", **more)

    def below(prefix: str) -> dict[str, Any]:
        return {"backend": "s3", **settings, "prefix": f"{folder.name.lower()}/{prefix}"}

    replication = {"name": "replication", "to": below("replica")}
    return start_gateway(
        folder, gates=2, plugins=["quota", "metering", replication], config={"storage": below("storage")}
    )


def client_of(gateway: RunningGateway, path: str = "") -> DavClient:
    return DavClient(f"{gateway.dav_url}{path}", gateway.login, gateway.password, timeout=240)


def ask(gateway: RunningGateway, verb: str, name: str, body: bytes = b"") -> tuple[int, Mapping[str, str], bytes]:
    client = client_of(gateway)
    try:
        return client.request(verb, name, body=body)
    finally:
        client.close()


@pytest.mark.timeout(SECONDS)
def test_kills_lose_nothing_that_was_acknowledged(seaweed: Seaweed, tmp_path: Path) -> None:
    gateway = start(tmp_path, seaweed)
    try:
        known: dict[int, Files] = {n: {} for n in range(CLIENTS)}
        for n in known:
            assert ask(gateway, "MKCOL", f"c{n}")[0] == 201
        done = 0
        for seed in range(ROUNDS):
            clients = run_storm(lambda n: client_of(gateway, f"c{n}/"), known, 700 + seed, 1.0, gateway.kill)
            done += sum(client.acknowledged for client in clients)
            gateway.start()
            known = settle(lambda n: client_of(gateway, f"c{n}/"), clients)
            report = gateway.cli("fsck", "--deep", "--json")
            assert json.loads(report.stdout) == []
            print(f"kill {seed + 1} of {ROUNDS}: {done} operations were acknowledged so far", flush=True)
        assert done > ROUNDS * CLIENTS

        def in_step() -> bool:
            return json.loads(gateway.cli("replica", "status", "--json").stdout)["events_behind"] == 0  # type: ignore[no-any-return]

        until(in_step)
        assert json.loads(gateway.cli("replica", "verify", "--json").stdout)["problems"] == []
        until(lambda: not list((tmp_path / "data" / "staging").iterdir()), "the end of what was staged")
    finally:
        gateway.stop()


def test_a_store_that_goes_away_or_is_full_is_told_and_works_again_without_a_restart(
    seaweed: Seaweed, tmp_path: Path
) -> None:
    with FaultLine(seaweed.port) as line, ExitStack() as closing:
        gateway = start(tmp_path, seaweed, endpoint=line.endpoint, timeout="3s", attempts=2)
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
            assert time.monotonic() - started < SILENCE
            assert ask(gateway, "GET", "kept.bin")[0] == 503
            assert one.names() == ["kept.bin"]  # what needs no bytes goes on
            line.fault = ""
            line.cut()
            until(lambda: one.request("GET", "kept.bin")[2] == kept, seconds=RECOVERY)
            until(lambda: one.request("PUT", "after.bin", body=b"x")[0] in (201, 204), seconds=RECOVERY)
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
    until(lambda: one.request("PUT", "new.bin", body=b"new")[0] == 201, seconds=RECOVERY)
