"""The disk fills up or turns read-only, the database vanishes: clear answers, nothing lost (RESILIENCE 6, 12)."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from gateway.testing.loopdisk import loop_disk
from gateway.testing.server import RunningGateway, start_gateway
from gateway.testing.storm import DavClient, content
from gateway.testing.waiting import until

MIB = 1024 * 1024


def client_of(gateway: RunningGateway) -> DavClient:
    return DavClient(gateway.dav_url, gateway.login, gateway.password)


RECOVERY, ROOM, NOTICED = 60.0, 10.0, 2.0
"""Seconds. RESILIENCE 12: working again by itself within 60; 6: writes again at once after room was made. A database
that is another must be seen by the writes that follow, or they would be acknowledged for nothing."""


def test_a_full_disk_is_507_and_old_content_stays(tmp_path: Path) -> None:
    with loop_disk(tmp_path, megabytes=96) as disk:
        gateway = start_gateway(tmp_path / "home", config={"data_dir": str(disk.folder / "data")})
        try:
            client = client_of(gateway)
            old = content(1, 100_000)
            assert client.request("PUT", "old.bin", body=old)[0] == 201
            assert client.request("PUT", "spare.bin", body=b"s")[0] == 201
            ballast = disk.fill(leave=6 * MIB)
            assert client.request("PUT", "old.bin", body=content(2, 12 * MIB))[0] == 507
            assert client.request("GET", "old.bin")[2] == old
            assert client.names() == ["old.bin", "spare.bin"]
            disk.fill_more(ballast)
            for _ in range(3):
                status = client.request("PUT", "more.bin", body=content(3, 200_000))[0]
                assert status == 507, status
            assert client.request("GET", "old.bin")[2] == old
            # else a tenant could never make room again
            assert client.request("DELETE", "spare.bin")[0] == 204
            ballast.unlink()
            until(lambda: client.request("PUT", "new.bin", body=old)[0] == 201, seconds=ROOM)
            assert client.request("DELETE", "old.bin")[0] == 204
            assert client.used() == len(old)
            client.close()
            assert json.loads(gateway.cli("fsck", "--json").stdout) == []
        finally:
            gateway.stop()


def test_a_disk_that_turns_read_only_refuses_writes_and_serves_reads(tmp_path: Path) -> None:
    with loop_disk(tmp_path, megabytes=96) as disk:
        gateway = start_gateway(
            tmp_path / "home", config={"storage": {"backend": "local", "path": str(disk.folder / "b")}}
        )
        try:
            client = client_of(gateway)
            old = content(1, 100_000)
            assert client.request("PUT", "old.bin", body=old)[0] == 201
            disk.remount("ro")
            status, headers, _ = client.request("PUT", "new.bin", body=old)
            assert status == 503
            assert int(headers["Retry-After"]) > 0
            assert client.request("GET", "old.bin")[2] == old
            disk.remount("rw")
            until(lambda: client.request("PUT", "new.bin", body=old)[0] == 201, seconds=RECOVERY)
            client.close()
        finally:
            gateway.stop()


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_database_that_vanished_is_noticed_and_nothing_is_acknowledged_any_more(tmp_path: Path, how: str) -> None:
    gateway = start_gateway(tmp_path)
    try:
        client = client_of(gateway)
        assert client.request("PUT", "old.bin", body=b"x")[0] == 201
        database = tmp_path / "data" / "kurado.db"
        aside = tmp_path / "aside"
        database.rename(aside)
        if how == "replaced":
            sqlite3.connect(database).close()
            database.touch()
        until(lambda: client.request("PUT", "new.bin", body=b"y")[0] == 503, seconds=NOTICED)
        for _ in range(5):
            assert client.request("PUT", "newer.bin", body=b"y")[0] == 503
        aside.rename(database)
        until(lambda: client.request("PUT", "back.bin", body=b"y")[0] == 201, seconds=RECOVERY)
        assert client.request("GET", "old.bin")[2] == b"x"
        assert client.request("GET", "newer.bin")[0] == 404
        client.close()
    finally:
        gateway.stop()


def test_a_broken_configuration_stops_the_start_with_file_key_and_fix(tmp_path: Path) -> None:
    gateway = start_gateway(tmp_path)
    gateway.stop()
    file = tmp_path / "gateway.yaml"
    file.write_text(file.read_text().replace("version: 1", "version: 1\nlisten_to: everything"))
    done = gateway.cli("serve", check=False)
    assert done.returncode != 0
    assert str(file) in done.stderr
    assert "listen_to" in done.stderr
