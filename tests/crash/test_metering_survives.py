"""kill -9 under load: storage figures are those of the files, traffic lost at most about a second of counting."""

from __future__ import annotations

import http.client
import json
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.testing.server import RunningGateway, start_gateway

SIZE = 20_000
RUN_SECONDS = 4.0
LOST_SECONDS = 1.5
"""A second of counting, and what the machine of the tests adds to it; a busy one adds as much as its answers take."""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with start_gateway(tmp_path, gates=2) as running:
        yield running


class Writer(threading.Thread):
    """Overwrites its files one after another; ``acknowledged`` holds the times of the answers of success."""

    def __init__(self, gateway: RunningGateway, name: str) -> None:
        super().__init__(daemon=True)
        self._gateway = gateway
        self._name = name
        self.acknowledged: list[float] = []
        self.slowest = 0.0

    def run(self) -> None:
        login = b64encode(f"{self._gateway.login}:{self._gateway.password}".encode()).decode()
        connection = http.client.HTTPConnection(*self._gateway.address, timeout=120)
        number = 0
        try:
            while True:
                number += 1
                path = f"/dav/{self._gateway.tenant}/{self._name}{number % 5}"
                asked = time.monotonic()
                connection.request("PUT", path, b"x" * SIZE, {"Authorization": f"Basic {login}"})
                answer = connection.getresponse()
                answer.read()
                if answer.status in (201, 204):
                    self.acknowledged.append(time.monotonic())
                    self.slowest = max(self.slowest, self.acknowledged[-1] - asked)
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()


def usage(gateway: RunningGateway) -> tuple[int, int, int]:
    """(bytes in, end bytes, used bytes) once metering has handled every event."""
    deadline = time.monotonic() + 120
    while json.loads(gateway.cli("outbox", "list", "--json").stdout):
        assert time.monotonic() < deadline, gateway.log()[-3000:]
    shown = json.loads(gateway.cli("usage", "show", gateway.tenant, "--json").stdout)
    tenant = json.loads(gateway.cli("tenant", "show", gateway.tenant, "--json").stdout)
    return shown["usage"]["bytes_in"], shown["usage"]["end_bytes"], tenant["used_bytes"]


def test_after_kill_9_storage_is_exact_and_at_most_a_second_of_traffic_is_lost(gateway: RunningGateway) -> None:
    writers = [Writer(gateway, name) for name in "ab"]
    for writer in writers:
        writer.start()
    began = time.monotonic()
    while time.monotonic() - began < RUN_SECONDS + 10 * max(writer.slowest for writer in writers):
        time.sleep(0.1)  # the load itself takes its time
    killed_at = time.monotonic()
    gateway.kill()
    for writer in writers:
        writer.join(240)
    gateway.start()
    bytes_in, end_bytes, used_bytes = usage(gateway)
    assert end_bytes == used_bytes
    assert used_bytes % SIZE == 0
    answers = [at for writer in writers for at in writer.acknowledged]
    lost = LOST_SECONDS + 5 * max(writer.slowest for writer in writers)
    safe = sum(at < killed_at - lost for at in answers)
    assert safe >= 10
    assert safe * SIZE <= bytes_in <= (len(answers) + 2 * len(writers)) * SIZE
