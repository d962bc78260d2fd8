"""The pages of a customer's own affairs: who of the provider saw its content, and its files with their checksums."""

from __future__ import annotations

import hashlib
import http.client
import json
from base64 import b64encode
from collections.abc import Iterator

import pytest

from gateway.testing.server import RunningGateway, start_gateway
from gateway.testing.waiting import until


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with start_gateway(tmp_path_factory.mktemp("account")) as running:
        put(running, "secret.txt", b"a letter")
        put(running, "empty.txt", b"")
        running.add_user(running.tenant, "vera", "views only", "viewer")
        asked = as_person(running, "ann", "breakglass", "request", running.tenant, "/secret.txt", "--ground", "legal",
                          "--reason", "court order <7>")  # fmt: skip
        number = asked.split()[1].rstrip(":")
        as_person(running, "bob", "breakglass", "approve", number)
        as_person(running, "ann", "breakglass", "read", number, "/secret.txt")
        yield running


def as_person(gateway: RunningGateway, name: str, *words: str) -> str:
    gateway.env = {"LOGNAME": name}
    try:
        return gateway.cli(*words).stdout
    finally:
        gateway.env = {}


def ask(
    gateway: RunningGateway, path: str, login: str | None = None, method: str = "GET", body: bytes | None = None
) -> tuple[int, str, bytes]:
    user, password = {None: (gateway.login, gateway.password), "vera": ("vera", "views only")}.get(login, ("", ""))
    headers = {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()} if user else {}
    connection = http.client.HTTPConnection(*gateway.address)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type") or "", answer.read()
    finally:
        connection.close()


def put(gateway: RunningGateway, name: str, body: bytes) -> None:
    assert ask(gateway, f"/dav/{gateway.tenant}/{name}", method="PUT", body=body)[0] == 201


def test_the_owner_sees_who_asked_approved_and_read_what_on_which_ground(gateway: RunningGateway) -> None:
    status, kind, body = ask(gateway, f"/account/{gateway.tenant}/access.json")
    assert (status, kind.split(";")[0]) == (200, "application/json")
    told = [(one["what"], one["person"], one["ground"], one["objects"]) for one in json.loads(body)]
    assert told == [
        ("asked", "ann", "legal", ["/secret.txt"]),
        ("approved", "bob", "legal", []),
        ("read", "ann", "legal", ["/secret.txt"]),
    ]


def test_the_page_escapes_what_an_operator_wrote_and_is_linked_from_the_front(gateway: RunningGateway) -> None:
    status, kind, body = ask(gateway, "/account/")
    assert (status, kind.split(";")[0]) == (200, "text/html")
    assert b"court order &lt;7&gt;" in body
    assert b'href="/account/"' in ask(gateway, "/")[2]


def test_only_owners_of_that_tenant_see_it(gateway: RunningGateway) -> None:
    assert ask(gateway, f"/account/{gateway.tenant}/", login="nobody")[0] == 401
    assert ask(gateway, f"/account/{gateway.tenant}/", login="vera")[0] == 403
    assert ask(gateway, "/account/another/")[0] == 401
    assert ask(gateway, f"/account/{gateway.tenant}/etc")[0] == 404
    assert ask(gateway, f"/account/{gateway.tenant}/", method="DELETE")[0] == 405


def test_the_files_are_listed_with_the_checksums_of_what_was_put(gateway: RunningGateway) -> None:
    body = ask(gateway, f"/account/{gateway.tenant}/files.jsonl")[2]
    rows = {one["path"]: one for one in map(json.loads, body.splitlines())}
    assert rows["secret.txt"]["sha256"] == hashlib.sha256(b"a letter").hexdigest()
    assert (rows["secret.txt"]["size"], rows["empty.txt"]["size"]) == (8, 0)
    assert rows["empty.txt"]["sha256"] == hashlib.sha256(b"").hexdigest()


def test_a_suspended_customer_still_sees_who_looked_and_no_files(gateway: RunningGateway) -> None:
    gateway.cli("tenant", "suspend", gateway.tenant)
    try:
        until(lambda: ask(gateway, f"/dav/{gateway.tenant}/")[0] == 403)
        assert ask(gateway, f"/account/{gateway.tenant}/access.json")[0] == 200
        assert ask(gateway, f"/account/{gateway.tenant}/files.jsonl")[0] == 403
    finally:
        gateway.cli("tenant", "resume", gateway.tenant)
