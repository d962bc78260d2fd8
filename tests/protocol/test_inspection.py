"""The whole way in, over a socket, with the inspection plugins of a real deployment and a real clamd behind it."""

from __future__ import annotations

import http.client
import io
import json
import signal
import time
import zipfile
from base64 import b64encode
from collections.abc import Iterator, Mapping

import pytest

from gateway.testing.clamd import EICAR, EICAR_NAME, MARKER, Clamd, FaultyClamd
from gateway.testing.needs import need
from gateway.testing.server import RunningGateway, start_gateway
from gateway.testing.waiting import PATIENCE


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clamd]:
    need("clamd")
    with Clamd(tmp_path_factory.mktemp("clamd")) as running:
        yield running


@pytest.fixture(scope="module")
def faulty(clamd: Clamd) -> Iterator[FaultyClamd]:
    with FaultyClamd(clamd.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def gateway(faulty: FaultyClamd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    scan = {
        "name": "virus_scan",
        "address": faulty.tcp,
        "on_error": "refuse",
        "connect_timeout": "10s",
        "silence_timeout": "10s",
        "scan_timeout": "60s",
    }
    plugins = ["quota", "content_policy", scan, "metering"]
    with start_gateway(tmp_path_factory.mktemp("inspected"), plugins=plugins, quota="100MB") as running:
        yield running


Body = bytes | list[bytes] | Iterator[bytes]


class Client:
    """One request a connection, as a plain client sends it."""

    def __init__(self, gateway: RunningGateway) -> None:
        self._address = gateway.address
        self._base = f"/dav/{gateway.tenant}/"
        token = b64encode(f"{gateway.login}:{gateway.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}"}

    def ask(
        self,
        verb: str,
        path: str,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """A body that is no bytes is sent chunk by chunk (Transfer-Encoding: chunked)."""
        line = http.client.HTTPConnection(*self._address, timeout=PATIENCE)
        try:
            sent = {**self._headers, **(headers or {})}
            chunked = not (body is None or isinstance(body, bytes))
            line.request(verb, self._base + path, iter(body) if chunked else body, sent,
                         encode_chunked=chunked)  # fmt: skip
            answer = line.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            line.close()

    def put(self, path: str, body: Body) -> tuple[int, bytes]:
        chunked = None if isinstance(body, bytes) else {"Transfer-Encoding": "chunked"}
        status, answer, _ = self.ask("PUT", path, body, chunked)
        return status, answer

    def put_until(self, path: str, body: bytes, status: int) -> None:
        """Puts until the answer has the status: a scanner that came back is tried again within seconds."""
        end = time.monotonic() + PATIENCE
        while (got := self.put(path, body)[0]) != status:
            assert time.monotonic() < end, f"still {got}"
            time.sleep(0.2)

    def get(self, path: str) -> tuple[int, bytes]:
        status, answer, _ = self.ask("GET", path)
        return status, answer


@pytest.fixture
def client(gateway: RunningGateway, faulty: FaultyClamd) -> Iterator[Client]:
    yield Client(gateway)
    faulty.fault = ""


def zipped(name: str, data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return packed.getvalue()


VIRUSES: dict[str, bytes | list[bytes]] = {
    "plain": EICAR,
    "zipped": zipped("e.com", EICAR),
    "in a zip in a zip": zipped("in.zip", zipped("e.com", EICAR)),
    "byte by byte in chunks": [bytes([one]) for one in EICAR],
    "split between two chunks": [EICAR[:30], EICAR[30:]],
    "across the gate's own blocks": b"x" * (1024 * 1024 - 10) + MARKER + b"y" * 100,
}


@pytest.mark.parametrize("form", VIRUSES)
def test_a_virus_is_refused_on_a_new_name_and_over_an_old_file(
    client: Client, gateway: RunningGateway, form: str
) -> None:
    client.put_until("old", b"old content", 204 if client.get("old")[0] == 200 else 201)
    for path in ("old", "new"):
        status, answer = client.put(path, VIRUSES[form])
        assert status == 403
        assert b"infected" in answer
        assert b"virus_scan" in answer
    assert client.get("old") == (200, b"old content")
    assert client.get("new")[0] == 404
    staged = [file for file in gateway.data_dir.rglob("*") if file.is_file() and "staging" in file.parts]
    assert staged == []
    refused = json.loads(gateway.cli("refusals", "list", "--json").stdout)
    assert EICAR_NAME in str(refused) or "Kurado.Test.Marker" in str(refused)


@pytest.mark.parametrize(
    "fault", ["cut-after:100", "cut-after:400000", "cut-answer", "half-answer", "nonsense", "silent"]
)
def test_a_scanner_that_fails_never_lets_a_virus_in(client: Client, faulty: FaultyClamd, fault: str) -> None:
    client.put_until("victim", b"old content", 204 if client.get("victim")[0] == 200 else 201)
    faulty.fault = fault
    body = b"x" * 600_000 + MARKER
    status, _, headers = client.ask("PUT", "victim", body)
    assert status == 503
    assert int(headers["Retry-After"]) > 0
    assert client.get("victim") == (200, b"old content")
    assert client.put("fresh", body)[0] == 503
    assert client.get("fresh")[0] == 404


def test_a_scanner_that_is_killed_in_the_middle_of_an_upload_and_returns(client: Client, clamd: Clamd) -> None:
    client.put_until("before", b"fine", 201)

    def body() -> Iterator[bytes]:
        yield b"x" * 2_000_000
        clamd.stop(signal.SIGKILL)
        yield MARKER + b"x" * 500_000

    assert client.put("during", body())[0] == 503
    assert client.get("during")[0] == 404
    assert client.get("before") == (200, b"fine")  # reading goes on
    clamd.start()
    client.put_until("after", b"fine", 201)
    assert client.put("virus", EICAR)[0] == 403


def test_a_bomb_is_refused_with_the_rule_that_says_so(client: Client) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(5):
            archive.writestr(str(number), bytes(20 * 1024 * 1024))
    status, answer = client.put("bomb.zip", packed.getvalue())
    assert status == 403
    assert b"bomb" in answer


def test_a_disguised_program_is_415(client: Client) -> None:
    client.put_until("probe", b"fine", 204 if client.get("probe")[0] == 200 else 201)
    status, answer = client.put("photo.jpg", b"MZ" + bytes(100) + b"PE\0\0" + bytes(100))
    assert status == 415
    assert b"disguised-program" in answer
    assert "実行ファイル".encode() in answer


def test_a_declared_size_above_the_quota_is_refused_before_the_body(client: Client) -> None:
    status, answer, _ = client.ask(
        "PUT", "big", b"", {"Content-Length": str(200 * 1024 * 1024), "Expect": "100-continue"}
    )
    assert status == 507
    assert b"quota-not-exceeded" in answer
    assert str(100 * 1024 * 1024).encode() in answer


def test_image_facts_are_properties(client: Client) -> None:
    from PIL import Image

    data = io.BytesIO()
    Image.new("RGB", (320, 200)).save(data, "PNG")
    client.put_until("image.png", data.getvalue(), 201)
    asked = b'<propfind xmlns="DAV:" xmlns:K="urn:kurado"><prop><K:image.width/><K:image.format/></prop></propfind>'
    status, answer, _ = client.ask("PROPFIND", "image.png", asked, {"Depth": "0"})
    assert status == 207
    assert b">320<" in answer
    assert b">PNG<" in answer
