"""``kurado storage migrate`` from local disk to a sealed S3 store while clients read and write: no request fails.

Acceptance 7 of the S3 backend, small by default. KURADO_TEST_MIGRATE_MB is the size of all, KURADO_TEST_MIGRATE_OBJECT
that of a file in bytes, KURADO_TEST_MIGRATE_SECONDS how long it may take; ``pytest -s`` shows what was measured:

    KURADO_TEST_MIGRATE_MB=10738 KURADO_TEST_MIGRATE_OBJECT=131072 KURADO_TEST_MIGRATE_SECONDS=10000 \\
        pytest -s tests/crash/test_migration_under_load.py
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from gateway.testing.load import Load, fill, read_back
from gateway.testing.needs import need
from gateway.testing.seaweed import Seaweed
from gateway.testing.server import COMMAND, RunningGateway, start_gateway
from gateway.testing.storm import DavClient

MEGABYTES = int(os.environ.get("KURADO_TEST_MIGRATE_MB", "2"))
SMALL, LARGE = int(os.environ.get("KURADO_TEST_MIGRATE_OBJECT", "20000")), 6_000_000
SECONDS = int(os.environ.get("KURADO_TEST_MIGRATE_SECONDS", "1800"))
CLIENTS = 3
PATIENCE = 120.0


def sizes_of(seed: int) -> list[int]:
    """A large file, some that are rows of the database, and the many."""
    return [LARGE] * (seed == 0) + [5_000] * 5 + [SMALL] * (MEGABYTES * 1_000_000 // CLIENTS // SMALL)


def say(what: str, since: float, loads: list[Load]) -> None:
    under = f"{sum(load.requests for load in loads)} requests, the slowest {max(load.slowest for load in loads):.2f} s"
    print(f"{what}: {time.monotonic() - since:.0f} s; {under}", flush=True)


def break_off(gateway: RunningGateway) -> None:
    """Starts a move and kills it once it has moved something."""
    words = [*COMMAND, "--config", str(gateway.folder / "gateway.yaml"), "storage", "migrate", "--to", "far"]
    with subprocess.Popen([*words, "--grace", "2s", "--workers", "1"], stderr=subprocess.PIPE, text=True) as moving:
        assert moving.stderr is not None
        while " blobs " not in moving.stderr.readline():
            assert moving.poll() is None
        moving.send_signal(signal.SIGKILL)


@pytest.mark.timeout(SECONDS)
def test_all_blobs_move_under_load_and_no_request_fails(tmp_path: Path) -> None:
    need("weed")
    with Seaweed(tmp_path / "weed") as seaweed, ThreadPoolExecutor(CLIENTS) as pool:
        far = {"backend": "sealed", "of": {"backend": "s3", **seaweed.settings(part_size="5MB")}}
        gateway = start_gateway(tmp_path / "gateway", gates=2, config={"storages": {"far": far}})
        clients = [DavClient(gateway.dav_url, gateway.login, gateway.password, PATIENCE) for _ in range(CLIENTS)]
        loads: list[Load] = []
        try:
            began = time.monotonic()
            filled = pool.map(fill, clients, range(CLIENTS), map(sizes_of, range(CLIENTS)))
            loads += [
                Load(client, seed, files, SMALL)
                for seed, (client, files) in enumerate(zip(clients, filled, strict=True))
            ]
            say(f"{sum(len(load.files) for load in loads)} files were filled in", began, loads)
            began = time.monotonic()
            for load in loads:
                load.start()
            break_off(gateway)
            words = ("storage", "migrate", "--to", "far", "--grace", "2s", "--json")
            done = json.loads(gateway.cli(*words, timeout=SECONDS).stdout)
            say(f"moved {done}", began, loads)
            assert done["finished"] and done["blobs"] and not done["failed"]
            time.sleep(0.5)  # and a while on the new storage alone
            for load in loads:
                load.stop()
            say("all loads ended", began, loads)
            assert [load.wrong for load in loads] == [[]] * CLIENTS
            assert min(load.requests for load in loads) > 20
            assert not any(file.is_file() for file in (gateway.data_dir / "blobs" / "blobs").rglob("*"))
            assert json.loads(gateway.cli("fsck", "--deep", "--json", timeout=SECONDS).stdout) == []
            say("fsck --deep ended", began, loads)
            gateway.stop()
            file = gateway.folder / "gateway.yaml"
            config = yaml.safe_load(file.read_text())
            file.write_text(yaml.safe_dump({**config, "storage": "far"}))
            gateway.start()
            readers = [DavClient(gateway.dav_url, gateway.login, gateway.password, PATIENCE) for _ in range(CLIENTS)]
            assert set(readers[0].names()) == {name for load in loads for name in load.files}
            assert list(pool.map(read_back, readers, [load.files for load in loads])) == [[]] * CLIENTS
            say("all was read back", began, loads)
            for reader in readers:
                reader.close()
        finally:
            for load in loads:
                load.end()
            gateway.stop()
