"""A real gateway loses its database, or its whole data folder, under load; `kurado replica restore` brings it back."""

from __future__ import annotations

import json
import random
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.testing.clockwork import lasting_today
from gateway.testing.server import PASSWORD, RunningGateway, start_gateway

PROPPATCH = (
    b'<?xml version="1.0"?><D:propertyupdate xmlns:D="DAV:"><D:set><D:prop>'
    b'<x:colour xmlns:x="urn:example">indigo</x:colour></D:prop></D:set></D:propertyupdate>'
)
SECONDS = 120.0


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    replica = {"name": "replication", "to": {"backend": "local", "path": str(tmp_path / "elsewhere")}}
    with start_gateway(tmp_path / "site", plugins=["contract_state", "quota", "metering", replica]) as running:
        yield running


def ask(gateway: RunningGateway, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
    request = urllib.request.Request(gateway.dav_url + urllib.parse.quote(path), body, headers, method=method)
    login = b64encode(f"{gateway.login}:{gateway.password}".encode()).decode()
    request.add_header("Authorization", f"Basic {login}")
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        error.close()
        raise


def fill(gateway: RunningGateway, rng: random.Random) -> dict[str, bytes]:
    """A tree with odd names, empty and large files, properties, a move and an overwrite."""
    for folder in ("photos", "photos/2026", "空"):
        ask(gateway, "MKCOL", folder)
    files = {f"photos/2026/{number}.bin": rng.randbytes(number * 1000) for number in range(12)}
    files |= {"空/名前 %23.txt": "内容".encode(), "empty": b"", "large": rng.randbytes(3_000_000)}
    for path, content in files.items():
        ask(gateway, "PUT", path, content)
    ask(gateway, "PROPPATCH", "photos/2026/3.bin", PROPPATCH)
    ask(gateway, "MOVE", "photos/2026/4.bin", Destination=gateway.dav_url + "photos/moved.bin")
    files["photos/moved.bin"] = files.pop("photos/2026/4.bin")
    ask(gateway, "PUT", "large", files["photos/moved.bin"])
    files["large"] = files["photos/moved.bin"]
    return files


def tree(gateway: RunningGateway) -> str:
    """All properties of everything, folder by folder, without what names the address of this run."""
    found = [ask(gateway, "PROPFIND", path, Depth="1").decode() for path in ("", "photos", "photos/2026", "空")]
    colour = b'<D:propfind xmlns:D="DAV:"><D:prop><x:colour xmlns:x="urn:example"/></D:prop></D:propfind>'
    found.append(ask(gateway, "PROPFIND", "photos/2026/3.bin", colour, Depth="0").decode())
    return "\n".join(found).replace(gateway.base_url, "")


def patient(gateway: RunningGateway, path: str) -> bytes:
    """What is at a path, once every gate knows that it is not refused any more."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return ask(gateway, "GET", path)
        except urllib.error.HTTPError:
            assert time.monotonic() < deadline


def wait_until_replicated(gateway: RunningGateway) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        status = json.loads(command(gateway, "replica", "status", "--json"))
        if not status["events_behind"] and not status["acts"]["behind"]:
            return
        assert time.monotonic() < deadline, gateway.log()[-3000:]


def stop_replicated(gateway: RunningGateway) -> None:
    """Ends the gateway when the replica has everything: also what was recorded after it had been asked."""
    deadline = time.monotonic() + SECONDS
    while True:
        wait_until_replicated(gateway)
        gateway.stop()
        status = json.loads(command(gateway, "replica", "status", "--json"))
        if not status["events_behind"] and not status["acts"]["behind"]:
            return
        assert time.monotonic() < deadline, status
        gateway.start()


def lose_database(gateway: RunningGateway) -> None:
    for file in gateway.data_dir.glob("kurado.db*"):
        file.unlink()


@pytest.mark.parametrize("lost", ["database", "everything"])
def test_everything_that_was_replicated_comes_back_byte_for_byte(gateway: RunningGateway, lost: str) -> None:
    files = fill(gateway, random.Random(11))
    gateway.add_user(gateway.tenant, "bob", "another long password", "viewer")
    wait_until_replicated(gateway)
    before = tree(gateway)
    tenants = command(gateway, "tenant", "show", gateway.tenant, "--json")
    gateway.kill()
    if lost == "database":
        lose_database(gateway)
    else:
        shutil.rmtree(gateway.data_dir)

    report = json.loads(gateway.cli("replica", "restore", "--json").stdout)
    assert (report["lost"], [one["name"] for one in report["tenants"]]) == ([], [gateway.tenant])

    gateway.start()
    assert {path: ask(gateway, "GET", path) for path in files} == files
    assert tree(gateway) == before
    assert "indigo" in before
    assert command(gateway, "tenant", "show", gateway.tenant, "--json") == tenants
    assert [one["login"] for one in json.loads(command(gateway, "user", "list", gateway.tenant, "--json"))] == [
        gateway.login,
        "bob",
    ]
    gateway.cli("fsck", "--repair", check=False)  # bytes that the lost database had released, not swept yet
    command(gateway, "fsck")
    ask(gateway, "PUT", "after", b"goes on")
    wait_until_replicated(gateway)
    command(gateway, "replica", "verify")


def command(gateway: RunningGateway, *words: str, password: str = "") -> str:
    """A command beside the daemon, without the start of another process."""
    arguments = ["--config", str(gateway.folder / "gateway.yaml"), *words]
    done = CliRunner().invoke(cli, arguments, input=password, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def contract(gateway: RunningGateway, name: str) -> None:
    """A contract whose service starts today, with the user ``hanako``."""
    day = lasting_today()
    yesterday = (day - timedelta(days=1)).isoformat() + "T09:00+09:00"
    apply = ["--customer", "株式会社 ACME", "--address", "Tokyo", "--contact", "Hanako", "--email", "acme@example.jp"]
    apply += ["--plan", "standard", "--payment", "invoice", "--terms-version", "2017-06-01"]
    command(gateway, "contract", "apply", name, *apply, "--privacy-version", "3", "--privacy-agreed-at", yesterday)
    command(gateway, "contract", "review", name)
    command(gateway, "contract", "accept", name, "--minimum-months", "1", "--reason", "complete")
    command(gateway, "contract", "register", name, "--login", "hanako", "--password-stdin", password=PASSWORD + "\n")
    command(gateway, "contract", "notify-start", name, "--start-date", day.isoformat(), "--arrived-at", "now")


def live_on(gateway: RunningGateway) -> None:
    """What an operator does: a customer form, a suspension, a takedown, windows, an opened object."""
    ask(gateway, "PUT", "bad.txt", b"what it says")
    scan = gateway.folder / "scan.pdf"
    scan.write_bytes(b"%PDF a change form")
    paper = ["--document", str(scan), "--carrier", "post", "--title", "変更届"]
    command(gateway, "contract", "customer", "works", *paper, "--address", "Osaka")
    command(gateway, "contract", "overload", "works", "--evidence", "900 requests a second")
    command(gateway, "contract", "demand", "works", "--ground", "17(1)2", "--case", "L1", "--received-at", "now")
    command(gateway, "contract", "suspend", "works", "--case", "L1", "--reason", "load")
    command(gateway, "takedown", "set", gateway.tenant, "/bad.txt", "--item", "4", "--reason", "a complaint")
    window = ["--from", "2098-01-01T00:00+09:00", "--to", "2099-01-01T00:00+09:00"]
    command(gateway, "maintenance", "announce", *window, "--reason", "disks")
    command(gateway, "interruption", "open", *window, "--ground", "DISORDER", "--reason", "power", "--tenant", "works")
    command(gateway, "breakglass", "request", gateway.tenant, "/bad.txt", "--ground", "9-4", "--reason", "a court")


LOOKS = (
    ("contract", "status", "works"),
    ("contract", "history", "works"),
    ("contract", "documents", "works"),
    ("maintenance", "list"),
    ("interruption", "list"),
    ("breakglass", "list"),
)


def test_a_contract_that_was_lived_comes_back_with_all_its_acts(gateway: RunningGateway) -> None:
    contract(gateway, "works")
    live_on(gateway)
    stop_replicated(gateway)
    before = {look: command(gateway, *look, "--json") for look in LOOKS}
    head = json.loads(command(gateway, "audit", "verify", "--json"))["head"]
    lose_database(gateway)
    report = json.loads(gateway.cli("replica", "restore", "--json").stdout)

    assert report["acts"]["head"] == head
    command(gateway, "audit", "verify", "--head", head)
    for look, printed in before.items():
        assert command(gateway, *look, "--json") == printed, look
    gateway.start()
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(gateway, "GET", "bad.txt")
    assert refused.value.code == 403
    works = replace(gateway, tenant="works", login="hanako", password=PASSWORD)
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(works, "PROPFIND", "", Depth="0")
    assert refused.value.code == 403
    command(gateway, "takedown", "lift", "T1", "--reason", "settled")
    assert patient(gateway, "bad.txt") == b"what it says"
    command(gateway, "audit", "verify", "--head", head)
    wait_until_replicated(gateway)
    command(gateway, "replica", "verify")


def test_a_database_deleted_under_a_running_gateway_is_noticed_and_restored_with_at_most_the_lag_lost(
    gateway: RunningGateway,
) -> None:
    ask(gateway, "PUT", "kept", b"kept")
    wait_until_replicated(gateway)
    lose_database(gateway)
    deadline = time.monotonic() + SECONDS
    with pytest.raises(urllib.error.HTTPError) as refused:
        while time.monotonic() < deadline:
            ask(gateway, "PUT", "lost", b"lost")
    assert refused.value.code == 503
    gateway.kill()
    lose_database(gateway)
    told = gateway.cli("replica", "restore").stdout
    assert "lost at most" in told
    gateway.start()
    assert ask(gateway, "GET", "kept") == b"kept"


def test_a_restore_into_a_new_folder_leaves_the_old_one_alone(gateway: RunningGateway, tmp_path: Path) -> None:
    ask(gateway, "PUT", "kept", b"kept")
    wait_until_replicated(gateway)
    told = gateway.cli("replica", "restore", "--to", str(tmp_path / "new")).stdout
    assert "1 files" in told
    assert (tmp_path / "new" / "kurado.db").exists()
    assert ask(gateway, "GET", "kept") == b"kept"
    refused = gateway.cli("replica", "restore", check=False)
    assert refused.returncode == 1
    assert "has tenants" in refused.stderr
