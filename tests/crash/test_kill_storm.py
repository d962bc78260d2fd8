"""kill -9 in the middle of everything, and power cuts: nothing acknowledged is lost, nothing half-done shows.

Acceptance 5 of the gateway, RESILIENCE 1 to 5. The tests talk to a real ``kurado serve`` with two gates.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from gateway.testing.loopdisk import loop_disk
from gateway.testing.server import RunningGateway, start_gateway
from gateway.testing.storm import DavClient, Files, run_storm, settle

CLIENTS = 8
ROUNDS = 20
CUTS = 8


class Storm:
    """A gateway under eight writing clients, each in a collection of its own."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway
        self.known: dict[int, Files] = {n: {} for n in range(CLIENTS)}
        for n in range(CLIENTS):
            root = self.client_of(self.gateway.dav_url)
            assert root.request("MKCOL", f"c{n}")[0] == 201
            root.close()

    def client_of(self, base: str) -> DavClient:
        return DavClient(base, self.gateway.login, self.gateway.password)

    def client(self, n: int) -> DavClient:
        return self.client_of(f"{self.gateway.dav_url}c{n}/")

    def round(self, seed: int, seconds: float, cut: Callable[[], None]) -> int:
        """One storm, cut off after ``seconds`` by the callable; returns how many operations were acknowledged."""
        self.clients = run_storm(self.client, self.known, seed, seconds, cut)
        return sum(client.acknowledged for client in self.clients)

    def check(self) -> None:
        """Every acknowledged operation is there, usage is the sum of the files, and fsck finds nothing."""
        self.known = settle(self.client, self.clients)
        reader = self.client_of(self.gateway.dav_url)
        sizes = 0
        for n in range(CLIENTS):
            client = self.client(n)
            for name in client.names():
                sizes += int(client.request("HEAD", name)[1]["Content-Length"])
            client.close()
        assert reader.used() == sizes
        reader.close()
        report = self.gateway.cli("fsck", "--json")
        assert json.loads(report.stdout) == [], report.stdout


def test_twenty_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    gateway = start_gateway(tmp_path, gates=2)
    try:
        storm = Storm(gateway)
        done = 0
        for seed in range(ROUNDS):
            done += storm.round(seed, 0.4 + seed % 5 * 0.2, gateway.kill)
            gateway.restart()
            storm.check()
        assert done > ROUNDS * CLIENTS
        leftovers = list((tmp_path / "data" / "blobs" / "staging").glob("*"))
        assert len(leftovers) <= 2, leftovers
    finally:
        gateway.stop()


def test_eight_power_cuts_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with loop_disk(tmp_path, megabytes=512) as disk:
        gateway = start_gateway(tmp_path / "home", gates=2, config={"data_dir": str(disk.folder / "data")})
        try:
            storm = Storm(gateway)
            for seed in range(CUTS):

                def cut() -> None:
                    disk.stop_writing()
                    gateway.kill()

                storm.round(100 + seed, 0.8, cut)
                disk.unmount()
                disk.mount()
                gateway.restart()
                storm.check()
        finally:
            gateway.stop()
