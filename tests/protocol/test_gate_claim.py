"""The form by which customers claim compensation, while the storage is gone too (CMP-07, ACC-03)."""

from __future__ import annotations

import http.client
import json
import os
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from gateway.testing.clockwork import lasting_today
from gateway.testing.server import RunningGateway, start_gateway

PASSWORD = "correct horse"
TODAY = "today"
"""Stands for the date of the day on which the contract of the fixture began."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    plugins = [{"name": "contract_state"}, {"name": "quota"}]
    with start_gateway(tmp_path_factory.mktemp("claim"), plugins=plugins) as running:
        running.env = {"DAY": lasting_today().isoformat()}
        filed = ["--customer", "ACME K.K.", "--address", "Tokyo", "--contact", "Sato", "--email", "a@example.jp"]
        filed += ["--plan", "standard", "--payment", "invoice", "--privacy-version", "1"]
        running.cli("contract", "apply", "works", *filed, "--privacy-agreed-at", "2026-03-10T09:00+09:00")
        running.cli("contract", "review", "works")
        running.cli("contract", "accept", "works", "--reason", "complete")
        running.cli("contract", "register", "works", "--login", "hanako", "--password-stdin", input=PASSWORD)
        running.cli("contract", "notify-start", "works", "--start-date", running.env["DAY"], "--arrived-at", "now")
        yield running


def ask(
    gateway: RunningGateway, method: str, fields: dict[str, str] | None = None, login: str = "hanako", **headers: str
) -> tuple[int, str]:
    password = PASSWORD if login == "hanako" else gateway.password
    sent = {"Authorization": "Basic " + b64encode(f"{login}:{password}".encode()).decode(), **headers}
    tenant = "works" if login == "hanako" else gateway.tenant
    connection = http.client.HTTPConnection(*gateway.address)
    try:
        fields = fields and {name: gateway.env["DAY"] if value == TODAY else value for name, value in fields.items()}
        body = urlencode(fields).encode() if fields is not None else None
        connection.request(method, f"/account/{tenant}/claim", body=body, headers=sent)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_an_owner_claims_in_its_own_name_while_the_storage_is_gone(gateway: RunningGateway) -> None:
    status, form = ask(gateway, "GET")
    assert status == 200
    assert "<form" in form
    blobs = gateway.data_dir / "blobs"
    away = gateway.data_dir / "blobs-away"
    if blobs.exists():
        os.rename(blobs, away)  # noqa: PTH104 a folder in use
    try:
        status, page = ask(gateway, "POST", {"day": TODAY, "statement": "down <all> night"})
    finally:
        if away.exists():
            os.rename(away, blobs)  # noqa: PTH104
    assert status == 200, page
    assert "CLM-1" in page
    (claim,) = json.loads(gateway.cli("claim", "list", "--json").stdout)
    assert claim["claim"] == "CLM-1"
    acts = [json.loads(line) for line in gateway.cli("audit", "export").stdout.splitlines()]
    (filed,) = [act for act in acts if act["act"] == "claim.filed"]
    assert (filed["actor"], filed["role"]) == ("hanako", "tenant-admin")
    status, page = ask(gateway, "POST", {"day": TODAY, "statement": "down <all> night"})
    assert status == 403
    assert "claimed already" in page


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_another_site_cannot_make_a_browser_claim(gateway: RunningGateway, headers: dict[str, str]) -> None:
    assert ask(gateway, "POST", {"day": TODAY, "statement": "x"}, **headers)[0] == 403


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"day": "soon", "statement": "x"}, 400), ({"day": TODAY, "statement": "x" * 20_000}, 413), ({"day": TODAY}, 403)],
)
def test_a_form_that_cannot_be_taken_is_told(gateway: RunningGateway, fields: dict[str, str], status: int) -> None:
    assert ask(gateway, "POST", fields)[0] == status


def test_who_has_no_contract_has_no_form(gateway: RunningGateway) -> None:
    assert ask(gateway, "GET", login=gateway.login)[0] == 404
