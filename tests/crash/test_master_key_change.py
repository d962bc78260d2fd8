"""The master key is changed under load, and killed while it is: every byte is read, and the old key is refused."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
from pathlib import Path
from typing import Any

import yaml

from gateway.testing.load import Load, fill, read_back
from gateway.testing.s3 import S3_CONFIG, access, access_with
from gateway.testing.server import COMMAND, RunningGateway, start_gateway
from gateway.testing.storm import DavClient
from gateway.testing.waiting import until

TENANTS = 6


def configuration(folder: Path, *keys: Path) -> dict[str, Any]:
    """Storage, replica and access keys under the first of the keys; the second is the previous one."""
    names = ("master_key", "previous_master_key")

    def master() -> dict[str, Any]:
        return {name: {"file": str(key)} for name, key in zip(names, keys, strict=False)}

    def sealed(place: str) -> dict[str, Any]:
        return {
            "backend": "sealed",
            "key_check": "1s",
            **master(),
            "of": {"backend": "local", "path": str(folder / place)},
        }

    replication = {"name": "replication", "to": sealed("replica")}
    return {"storage": sealed("blobs"), "plugins": ["quota", "metering", replication], **master()}


def reconfigure(gateway: RunningGateway, settings: dict[str, Any]) -> None:
    """Lays settings over gateway.yaml; a running gateway goes on with them."""
    file = gateway.folder / "gateway.yaml"
    kept = {key: value for key, value in yaml.safe_load(file.read_text()).items() if not key.endswith("master_key")}
    file.write_text(yaml.safe_dump({**kept, **settings}))
    if gateway.process is not None:
        before = {pid for role in ("gate", "steward") for pid in gateway.pids(role)}
        os.kill(gateway.process.pid, signal.SIGHUP)
        until(lambda: not before & {pid for role in ("gate", "steward") for pid in gateway.pids(role)}, "new processes")
        until(lambda: gateway.pids("gate") and gateway.pids("steward"))


def kill_in_the_middle(gateway: RunningGateway) -> None:
    """Begins a change and kills it once something was wrapped anew."""
    words = [*COMMAND, "--config", str(gateway.folder / "gateway.yaml"), "storage", "rewrap"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as changing:
        assert changing.stderr is not None
        while "1 wrapped anew" not in changing.stderr.readline():
            assert changing.poll() is None
        changing.send_signal(signal.SIGKILL)


def test_every_byte_is_read_by_the_new_key_and_nothing_by_the_old_one(tmp_path: Path) -> None:
    old, new = tmp_path / "old.key", tmp_path / "new.key"
    for key in (old, new):
        key.write_text(secrets.token_hex(32))
    settings = {**S3_CONFIG, **configuration(tmp_path, old)}
    gateway = start_gateway(tmp_path / "gateway", gates=2, plugins=settings.pop("plugins"), config=settings)
    loads: list[Load] = []
    try:
        spaces = [gateway.add_tenant(f"t{number}") for number in range(TENANTS)]
        for seed, space in enumerate(spaces):
            client = DavClient(*space)
            loads.append(Load(client, seed, fill(client, seed, [20_000] * 5), 20_000, reconnects=True))
        s3 = access(gateway)
        for load in loads:
            load.start()
        reconfigure(gateway, configuration(tmp_path, new, old))
        kill_in_the_middle(gateway)
        done = json.loads(gateway.cli("storage", "rewrap", "--json").stdout)
        assert {place: counts["lost"] for place, counts in done.items()} == {
            "storage": 0, "replication": 0, "access keys": 0
        }  # fmt: skip
        late = DavClient(*gateway.add_tenant("late"))
        assert late.request("PUT", "new", body=b"of a tenant that came afterwards")[0] == 201
        late.close()
        reconfigure(gateway, configuration(tmp_path, new))
        old.rename(tmp_path / "kept")
        for load in loads:
            load.stop()
        assert [load.wrong for load in loads] == [[]] * TENANTS
        assert min(load.requests for load in loads) > 5

        gateway.restart()
        for space, load in zip(spaces, loads, strict=True):
            tenant = space[0].rstrip("/").rpartition("/")[2]
            reader = DavClient(f"{gateway.base_url}/dav/{tenant}/", *space[1:])
            assert read_back(reader, load.files) == []
            reader.close()
        assert json.loads(gateway.cli("fsck", "--deep", "--json").stdout) == []
        until(lambda: json.loads(gateway.cli("replica", "status", "--json").stdout)["events_behind"] == 0)
        assert json.loads(gateway.cli("replica", "verify", "--json").stdout)["problems"] == []
        again = access_with(gateway.s3_url, s3.access_key, s3.secret_key)
        assert again.signed("GET", "/").status == 200
        counts = json.loads(gateway.cli("storage", "rewrap", "--json").stdout)
        assert all(one["kept"] and not one["wrapped"] + one["lost"] for one in counts.values()), counts
        gateway.stop()

        (tmp_path / "kept").rename(old)
        reconfigure(gateway, configuration(tmp_path, old))
        told = gateway.cli("doctor", check=False)
        assert told.returncode == 1
        assert "another master key sealed this storage" in told.stdout
        assert "1 of 1 were made under another master key" in told.stdout
        assert "another master key" in gateway.cli("fsck", "--deep", check=False).stderr
    finally:
        for load in loads:
            load.end()
        gateway.stop()
