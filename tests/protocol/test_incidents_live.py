"""A running daemon notices that something is down and drafts an incident; the operator takes it from there."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.testing.server import RunningGateway, start_gateway
from gateway.testing.waiting import PATIENCE

NOBODY = "127.0.0.1:1"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    plugins = [{"name": "virus_scan", "address": NOBODY, "on_error": "hold"}, {"name": "contract_state"}]
    folder = tmp_path_factory.mktemp("gateway")
    with start_gateway(folder, plugins=plugins, config={"incidents": {"after": "3s"}}) as running:
        yield running


def incident(gateway: RunningGateway, source: str) -> dict[str, Any]:
    """Waits for the incident that a health fact was drafted into; patient, because machines are busy."""
    deadline = time.monotonic() + PATIENCE
    while True:
        for row in json.loads(gateway.cli("incident", "list", "--json").stdout):
            full: dict[str, Any] = json.loads(gateway.cli("incident", "show", row["incident"], "--json").stdout)
            if full["source"] == source:
                return full
        assert time.monotonic() < deadline, gateway.log()
        time.sleep(0.3)


def metrics(gateway: RunningGateway) -> str:
    with urllib.request.urlopen(f"{gateway.desk_url}/metrics", timeout=120) as answer:
        return str(answer.read().decode())


def test_a_scanner_that_is_down_is_drafted_as_a_part_that_fails_and_can_be_confirmed(gateway: RunningGateway) -> None:
    draft = incident(gateway, "virus_scanner_reachable")
    assert (draft["state"], draft["full_stop"], draft["components"]) == ("draft", False, ["registration"])
    name = draft["incident"]
    assert "is open" in gateway.cli("incident", "confirm", name).stdout
    assert 'kurado_incidents{state="open"} 1\nkurado_incidents{state="recovered"} 0' in metrics(gateway)
    assert "is recovered" in gateway.cli("incident", "recover", name).stdout


def test_a_storage_that_is_down_is_drafted_as_a_full_stop(gateway: RunningGateway) -> None:
    blobs = gateway.data_dir / "blobs"
    blobs.rename(blobs.with_name("away"))
    deadline = time.monotonic() + PATIENCE
    # a command would make the folder anew
    while 'kurado_incidents{state="draft"} 1' not in metrics(gateway):
        assert time.monotonic() < deadline, gateway.log()
        time.sleep(0.3)
    blobs.with_name("away").rename(blobs)
    draft = incident(gateway, "storage")
    assert (draft["state"], draft["full_stop"], draft["scope"]) == ("draft", True, "all")


def test_the_steward_posts_the_regular_windows_ahead(gateway: RunningGateway) -> None:
    rows = json.loads(gateway.cli("maintenance", "list", "--json").stdout)
    assert len(rows) >= 2
    assert all(row["window"].startswith("regular-") and row["posted"] < row["from"] for row in rows)
