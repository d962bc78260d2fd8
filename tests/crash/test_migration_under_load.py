"""``kurado storage migrate`` from local disk to a sealed S3 store while clients read and write: no request fails.

Acceptance 7 of the S3 backend; KURADO_TEST_MIGRATE_MB is the size (small by default).
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import yaml

from gateway.testing.needs import need
from gateway.testing.seaweed import Seaweed
from gateway.testing.server import COMMAND, RunningGateway, start_gateway
from gateway.testing.storm import DavClient, content

MEGABYTES = int(os.environ.get("KURADO_TEST_MIGRATE_MB", "2"))
SMALL, LARGE = 20_000, 6_000_000
CLIENTS = 3


class Load(threading.Thread):
    """Reads and writes files of its own until stopped; every answer must be right."""

    def __init__(self, client: DavClient, seed: int, files: dict[str, bytes]) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._random = random.Random(seed)
        self._files = files
        self._stopped = threading.Event()
        self.requests = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        try:
            while not self._stopped.wait(0.03):
                self._one()
        except (OSError, http.client.HTTPException) as error:
            self.wrong.append(repr(error))
        finally:
            self._client.close()

    def _one(self) -> None:
        name = self._random.choice(sorted(self._files))
        if self._random.random() < 0.3:
            body = content(self._random.randrange(2**40), SMALL)
            status, _, _ = self._client.request("PUT", name, body=body)
            self._files[name] = hashlib.sha256(body).digest()
            if status not in (201, 204):
                self.wrong.append(f"PUT {name}: {status}")
        else:
            status, _, body = self._client.request("GET", name)
            if status != 200 or hashlib.sha256(body).digest() != self._files[name]:
                self.wrong.append(f"GET {name}: {status}, {len(body)} bytes")
        self.requests += 1

    def stop(self) -> None:
        self._stopped.set()
        self.join(60)
        assert not self.is_alive()


def fill(client: DavClient, seed: int, size: int) -> dict[str, bytes]:
    files = {}
    sizes = [LARGE] * (seed == 0) + [SMALL] * (size // SMALL)
    for number, length in enumerate(sizes):
        body = content(seed * 100_000 + number, length)
        assert client.request("PUT", f"f{seed}-{number}", body=body)[0] == 201
        files[f"f{seed}-{number}"] = hashlib.sha256(body).digest()
    return files


def break_off(gateway: RunningGateway) -> None:
    """Starts a move and kills it once it has moved something."""
    words = [*COMMAND, "--config", str(gateway.folder / "gateway.yaml"), "storage", "migrate", "--to", "far"]
    with subprocess.Popen([*words, "--grace", "2s", "--workers", "1"], stderr=subprocess.PIPE, text=True) as moving:
        assert moving.stderr is not None
        while " blobs " not in moving.stderr.readline():
            assert moving.poll() is None
        moving.send_signal(signal.SIGKILL)


@pytest.mark.timeout(1800)
def test_all_blobs_move_under_load_and_no_request_fails(tmp_path: Path) -> None:
    need("weed")
    with Seaweed(tmp_path / "weed") as seaweed:
        far = {"backend": "sealed", "of": {"backend": "s3", **seaweed.settings(part_size="5MB")}}
        gateway = start_gateway(tmp_path / "gateway", gates=2, config={"storages": {"far": far}})
        loads: list[Load] = []
        try:
            for number in range(CLIENTS):
                client = DavClient(gateway.dav_url, gateway.login, gateway.password, timeout=60)
                files = fill(client, number, MEGABYTES * 1_000_000 // CLIENTS)
                loads.append(Load(client, number, files))
            for load in loads:
                load.start()
            break_off(gateway)
            done = json.loads(gateway.cli("storage", "migrate", "--to", "far", "--grace", "2s", "--json").stdout)
            assert done["finished"] and done["blobs"] and not done["failed"]
            time.sleep(0.5)  # and a while on the new storage alone
            for load in loads:
                load.stop()
            assert [load.wrong for load in loads] == [[]] * CLIENTS
            assert min(load.requests for load in loads) > 20
            assert not any(file.is_file() for file in (gateway.data_dir / "blobs" / "blobs").rglob("*"))
            assert json.loads(gateway.cli("fsck", "--deep", "--json").stdout) == []
            gateway.stop()
            file = gateway.folder / "gateway.yaml"
            config = yaml.safe_load(file.read_text())
            file.write_text(yaml.safe_dump({**config, "storage": "far"}))
            gateway.start()
            reader = DavClient(gateway.dav_url, gateway.login, gateway.password)
            known = {name: digest for load in loads for name, digest in load._files.items()}
            assert reader.files() == known
            reader.close()
        finally:
            for load in loads:
                load._stopped.set()
            gateway.stop()
