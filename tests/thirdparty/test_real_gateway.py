"""A real gateway with a stranger's plugin and backend, found by entry point and chosen in gateway.yaml."""

from __future__ import annotations

import base64
import http.client
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.testing.server import DidNotStart, RunningGateway, start_gateway

Ask = Callable[..., tuple[int, bytes]]


@pytest.fixture(scope="module")
def gateway(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with start_gateway(
        tmp_path_factory.mktemp("gateway"),
        plugins=["quota", {"name": "forbidden_words", "words": ["draft"]}, "metering"],
        config={"storage": {"backend": "vault", "path": "vault/all.db"}},
        env={"PYTHONPATH": str(installed)},
        gates=2,
    ) as gateway:
        yield gateway


@pytest.fixture
def ask(gateway: RunningGateway) -> Ask:
    """ask(verb, path, body, header=value…) → (status, body) as the owner of the space."""
    login = base64.b64encode(f"{gateway.login}:{gateway.password}".encode()).decode()

    def call(verb: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*gateway.address, timeout=120)
        try:
            url = f"/dav/{gateway.tenant}/{path}"
            connection.request(verb, url, body, {"Authorization": f"Basic {login}", **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    return call


def blobs(gateway: RunningGateway) -> dict[str, int]:
    """Key → size of what is in the stranger's vault."""
    with sqlite3.connect(gateway.data_dir / "vault" / "all.db") as db:
        found = dict(db.execute("SELECT key, size FROM blob").fetchall())
    db.close()
    return found


def test_the_backend_of_a_stranger_stores_and_gives_back(gateway: RunningGateway, ask: Ask) -> None:
    content = bytes(range(256)) * 8192
    assert ask("PUT", "stored.bin", content)[0] == 201
    assert len(content) in blobs(gateway).values()
    assert ask("GET", "stored.bin") == (200, content)
    assert ask("GET", "stored.bin", Range="bytes=300000-300009") == (206, content[300_000:300_010])
    copied = {"Destination": f"{gateway.dav_url}copied.bin"}
    assert ask("COPY", "stored.bin", **copied)[0] == 201
    assert ask("GET", "copied.bin") == (200, content)


def test_the_plugin_of_a_stranger_refuses_and_is_named(gateway: RunningGateway, ask: Ask) -> None:
    before = blobs(gateway)
    status, body = ask("PUT", "My%20Draft.txt", b"secret")
    assert status == 403
    assert b"forbidden_words" in body and b"FW-1" in body
    assert ask("GET", "My%20Draft.txt")[0] == 404
    assert blobs(gateway) == before
    refusals = json.loads(gateway.cli("refusals", "list", "--json").stdout)
    assert any((one["policy"], one["clause"]) == ("forbidden_words", "FW-1") for one in refusals)


def test_the_plugin_of_a_stranger_refuses_a_new_name_for_an_old_file(gateway: RunningGateway, ask: Ask) -> None:
    ask("PUT", "innocent.txt", b"text")
    assert ask("MOVE", "innocent.txt", Destination=f"{gateway.dav_url}draft.txt")[0] == 403
    assert ask("GET", "innocent.txt") == (200, b"text")
    assert ask("MKCOL", "drafts")[0] == 403


def test_all_is_there_after_kill_and_restart(gateway: RunningGateway, ask: Ask) -> None:
    assert ask("PUT", "survives.txt", b"survives")[0] == 201
    gateway.kill()
    gateway.start()
    assert ask("GET", "survives.txt") == (200, b"survives")
    assert gateway.cli("fsck", "--deep", check=False).returncode == 0


@pytest.mark.parametrize(
    ("plugins", "config", "named"),
    [
        (["forbiden_words"], {}, "forbiden_words"),
        (["no_such_plugin"], {}, "no_such_plugin"),
        (["misspelt"], {}, "chek_upload"),
        (["wrong_argument"], {}, "uplod"),
        ([{"name": "forbidden_words", "wrods": []}], {}, "wrods"),
        (["quota"], {"storage": {"backend": "vualt"}}, "vualt"),
        (["quota"], {"storage": {"backend": "vault", "pth": "x"}}, "pth"),
    ],
    ids=str,
)
def test_what_is_misspelt_stops_the_start_with_a_message_that_names_it(
    stopped: Path, installed: Path, tmp_path: Path, plugins: Sequence[Any], config: dict[str, Any], named: str
) -> None:
    distribution(tmp_path, "misspelt", "@hookimpl\n    def chek_upload(self, upload): pass")
    distribution(tmp_path, "wrong_argument", "@hookimpl\n    def check_upload(self, uplod): pass")
    (stopped / "gateway.yaml").unlink()
    with pytest.raises(DidNotStart, match=named):
        start_gateway(stopped, plugins=plugins, config=config, env={"PYTHONPATH": f"{installed}:{tmp_path}"})


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a gateway that could be started."""
    folder = tmp_path_factory.mktemp("stopped")
    start_gateway(folder, plugins=["quota"]).stop()
    return folder


def distribution(site: Path, name: str, method: str) -> None:
    """An installed distribution with one plugin that has one method."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[kurado.plugins]\n{name} = {name}_module:Plugin\n")
    (site / f"{name}_module.py").write_text(
        "from gateway.hooks import hookimpl\n\n\nclass Plugin:\n"
        f"    def __init__(self, context): pass\n\n    {method}\n"
    )
