"""32 clients on the same few paths, over two gates: no 5xx, no torn read, locks exclude (RESILIENCE 10)."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import random
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.testing.server import RunningGateway, start_gateway
from gateway.testing.storm import DavClient

CLIENTS = 32
SECONDS = 12
PATHS = ["a.bin", "b.bin", "c.bin", "d/e.bin", "d/f.bin", "d"]

LOCK = (
    b'<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype><D:owner>storm</D:owner></D:lockinfo>"
)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    running = start_gateway(tmp_path, gates=2)
    yield running
    running.stop()


def sealed(seed: int) -> bytes:
    """A body that carries its own digest, so that a reader can tell a torn one."""
    body = random.Random(seed).randbytes(random.Random(seed).randrange(60_000))
    return hashlib.sha256(body).digest() + body


class Rival(threading.Thread):
    """One of many that fight for the same paths."""

    def __init__(self, gateway: RunningGateway, seed: int, until: float) -> None:
        super().__init__(daemon=True)
        self.client = DavClient(gateway.dav_url, gateway.login, gateway.password)
        self.random = random.Random(seed)
        self.until = until
        self.faults: list[str] = []
        self.done = 0
        self.granted: list[tuple[float, float]] = []

    def run(self) -> None:
        while time.monotonic() < self.until and not self.faults:
            try:
                self.step()
            except (OSError, http.client.HTTPException) as error:
                self.faults.append(repr(error))
            self.done += 1
        self.client.close()

    def step(self) -> None:
        path, other = self.random.sample(PATHS, 2)
        verb = self.random.choice(
            ["PUT", "PUT", "GET", "GET", "GET", "MOVE", "COPY", "DELETE", "MKCOL", "PROPFIND", "LOCK"]
        )
        headers = {"Destination": self.client.base + other} if verb in ("MOVE", "COPY") else {}
        if verb == "LOCK":
            return self.lock()
        body = sealed(self.random.randrange(2**40)) if verb == "PUT" else b""
        status, _, answer = self.client.request(verb, path, headers, body)
        if status >= 500 and status not in (507,):
            self.faults.append(f"{verb} {path}: {status} {answer[:300]!r}")
        if verb == "GET" and status == 200 and "bin" in path and answer:
            torn = hashlib.sha256(answer[32:]).digest() != answer[:32]
            # a collection may have taken the name: its listing is HTML
            if torn and not answer.startswith(b"<!"):
                self.faults.append(f"torn read of {path}: {len(answer)} bytes")
        return None

    def lock(self) -> None:
        status, headers, answer = self.client.request("LOCK", "lock.me", {"Depth": "0", "Timeout": "Second-600"}, LOCK)
        if status >= 500:
            self.faults.append(f"LOCK: {status} {answer[:300]!r}")
        if status not in (200, 201):
            return
        begin = time.monotonic()
        token = re.sub(r"[<>]", "", headers["Lock-Token"])
        put = self.client.request("PUT", "lock.me", {"If": f"(<{token}>)"}, b"mine")[0]
        if put not in (201, 204):
            self.faults.append(f"PUT under my own lock: {put}")
        end = time.monotonic()
        self.granted.append((begin, end))
        unlock = self.client.request("UNLOCK", "lock.me", {"Lock-Token": f"<{token}>"})[0]
        if unlock != 204:
            self.faults.append(f"UNLOCK: {unlock}")


def test_many_clients_on_the_same_paths_see_no_fault(gateway: RunningGateway) -> None:
    until = time.monotonic() + SECONDS
    rivals = [Rival(gateway, seed, until) for seed in range(CLIENTS)]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join(SECONDS + 240)
        assert not rival.is_alive(), "a request hangs"
    assert not [fault for rival in rivals for fault in rival.faults]
    assert sum(rival.done for rival in rivals) > CLIENTS * 10
    held = sorted(span for rival in rivals for span in rival.granted)
    assert held, "no lock was ever granted"
    for earlier, later in itertools.pairwise(held):
        assert earlier[1] <= later[0], "two clients held the same exclusive lock"
    report = json.loads(gateway.cli("fsck", "--json").stdout)
    assert report == []


def test_conditional_creation_has_exactly_one_winner(gateway: RunningGateway) -> None:
    for round_ in range(10):
        name = f"once-{round_}.idlk"
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda n, name=name: create(gateway, name), range(8)))
        assert sorted(statuses) == [201] + [412] * 7


def create(gateway: RunningGateway, name: str) -> int:
    client = DavClient(gateway.dav_url, gateway.login, gateway.password)
    status = client.request("PUT", name, {"If-None-Match": "*"}, b"x")[0]
    client.close()
    return status


def test_parallel_uploads_never_overshoot_the_quota(tmp_path: Path) -> None:
    size, quota = 100_000, 1_000_000
    gateway = start_gateway(tmp_path, gates=2, quota=str(quota))
    try:
        statuses: list[int] = []

        def upload(n: int) -> None:
            client = DavClient(gateway.dav_url, gateway.login, gateway.password)
            statuses.append(client.request("PUT", f"{n}.bin", body=bytes(size))[0])
            client.close()

        threads = [threading.Thread(target=upload, args=(n,)) for n in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(240)
        assert sorted(statuses) == [201] * 10 + [507] * 22
        client = DavClient(gateway.dav_url, gateway.login, gateway.password)
        assert client.used() == quota
        client.close()
    finally:
        gateway.stop()
