"""A GiB in and out with the scanner on, and a listing of 10 000 children: memory does not grow with size."""

from __future__ import annotations

import hashlib
import http.client
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.testing.clamd import Clamd
from gateway.testing.needs import need
from gateway.testing.server import RunningGateway, start_gateway
from gateway.testing.storm import DavClient

MIB = 1024 * 1024
GIB = 1024 * MIB
GROWTH = 64 * MIB


@pytest.fixture
def clamd(tmp_path: Path) -> Iterator[Clamd]:
    need("clamd")
    sizes = {"StreamMaxLength": "2000M", "MaxFileSize": "2000M", "MaxScanSize": "2000M"}
    with Clamd(tmp_path / "clamd", sizes) as running:
        yield running


def peak(gateway: RunningGateway) -> int:
    """The largest resident set that any gate ever had, in bytes."""
    sizes = []
    for pid in gateway.pids("gate"):
        status = Path(f"/proc/{pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        sizes.append(int(found[1]) * 1024)
    return max(sizes)


def test_a_gib_passes_in_bounded_memory_with_the_scanner_on(tmp_path: Path, clamd: Clamd) -> None:
    scan = {"name": "virus_scan", "address": clamd.tcp, "max_size": "1900MB"}
    gateway = start_gateway(tmp_path, plugins=["quota", scan, "content_policy", "metering"])
    try:
        client = DavClient(gateway.dav_url, gateway.login, gateway.password, timeout=900)
        block = hashlib.sha256(b"kurado").digest() * (MIB // 32)
        assert client.request("PUT", "warm.bin", body=block)[0] == 201
        assert client.request("GET", "warm.bin")[0] == 200
        before = peak(gateway)

        parts = urlsplit(gateway.dav_url)
        line = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=900)
        headers = {**client.headers, "Content-Length": str(GIB)}
        line.request("PUT", parts.path + "big.bin", iter([block] * 1024), headers)
        answer = line.getresponse()
        assert (answer.status, answer.read()) == (201, b"")

        line.request("GET", parts.path + "big.bin", headers=client.headers)
        answer, got = line.getresponse(), hashlib.sha256()
        while piece := answer.read(MIB):
            got.update(piece)
        assert got.digest() == hashlib.sha256(block * 1024).digest()
        line.close()
        client.close()
        assert peak(gateway) - before < GROWTH
    finally:
        gateway.stop()


def test_a_listing_of_ten_thousand_children_is_streamed_in_bounded_memory(tmp_path: Path) -> None:
    gateway = start_gateway(tmp_path)
    try:
        client = DavClient(gateway.dav_url, gateway.login, gateway.password, timeout=900)
        assert client.request("MKCOL", "many")[0] == 201
        assert client.request("PUT", "one", body=b"x")[0] == 201
        folder = tmp_path / "tree"
        folder.mkdir()
        for n in range(10_000):
            (folder / f"{n:05d}.txt").write_bytes(b"x")
        client.close()  # the import takes longer than the gate keeps an idle line
        gateway.cli("import", gateway.tenant, str(folder))
        before = peak(gateway)
        status, headers, body = client.request("PROPFIND", headers={"Depth": "1"})
        assert status == 207
        assert "Content-Length" not in headers
        assert body.count(b"<D:response>") >= 10_000
        assert peak(gateway) - before < GROWTH
        client.close()
    finally:
        gateway.stop()
