"""doctor, fsck, outbox, db upgrade and demo as commands."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.commands import demo
from gateway.policyfiles import packaged_documents
from gateway.slots import only_one

COMMAND = [sys.executable, "-P", "-c", "from gateway.cli import main; main()"]
WAIT = 240.0
CONFIG = """\
version: 1
data_dir: data
listen: {dav: "127.0.0.1:0", desk: "127.0.0.1:0"}
plugins: [quota, metering]
"""


class Installation:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "gateway.yaml").write_text(CONFIG)

    def run(self, *words: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("KURADO_")}
        done = subprocess.run(
            [*COMMAND, *words], capture_output=True, text=True, cwd=self.folder, env=environ, timeout=WAIT, check=False
        )
        assert (done.returncode == 0) == ok, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *words: str, ok: bool = True) -> Any:
        return json.loads(self.run(*words, "--json", ok=ok).stdout)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    yield Installation(tmp_path)


def test_doctor_examines_the_whole_surrounding(installation: Installation) -> None:
    facts = {fact["name"]: fact for fact in installation.json("doctor")}
    assert {"configuration", "schema", "database", "storage", "fsync", "disk", "clock", "policy.plans"} <= set(facts)
    assert all(fact["level"] != "error" for fact in facts.values())
    assert "can be written" in installation.run("doctor").stdout


def test_doctor_says_what_is_wrong_and_fails(installation: Installation) -> None:
    (installation.folder / "gateway.yaml").write_text(CONFIG + "colour: blue\n")
    (fact,) = installation.json("doctor", ok=False)
    assert (fact["name"], fact["level"]) == ("configuration", "error")
    assert "colour" in fact["message"]


def test_doctor_tells_an_old_schema_from_a_missing_one(installation: Installation) -> None:
    installation.run("doctor")
    with sqlite3.connect(installation.folder / "data/kurado.db") as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    db.close()
    levels = {fact["name"]: fact["level"] for fact in installation.json("doctor", ok=False)}
    assert levels["schema"] == "error"


def test_doctor_notices_storage_that_cannot_be_written(installation: Installation) -> None:
    installation.run("doctor")
    staging = installation.folder / "data/blobs/staging"
    staging.rmdir()
    staging.write_text("a file in its place")
    assert "BAD" in installation.run("doctor", ok=False).stdout


def test_an_edited_policy_that_was_not_applied_is_pointed_out(installation: Installation) -> None:
    installation.run("doctor")
    policies = installation.folder / "policies"
    policies.mkdir()
    (policies / "plans.yaml").write_text(packaged_documents()["plans"] + "# changed\n")
    facts = {fact["name"]: fact for fact in installation.json("doctor")}
    assert facts["policy.plans"]["level"] == "warning"
    assert facts["policy.terms"]["level"] == "ok"


def test_fsck_and_outbox_print_json_and_their_status(installation: Installation) -> None:
    installation.run("tenant", "add", "studio")
    assert installation.json("fsck") == []
    lines = installation.json("outbox", "list")
    assert {(line["subscriber"], line["tenant"]) for line in lines} >= {("metering", "studio")}
    assert all(line["state"] == "due" for line in lines)
    with sqlite3.connect(installation.folder / "data/kurado.db") as db:
        db.execute("UPDATE tenants SET used_bytes = 12")
    db.close()
    (finding,) = installation.json("fsck", ok=False)
    assert (finding["kind"], finding["subject"]) == ("usage", "studio")
    assert installation.json("fsck", "--repair")[0]["repaired"] is True
    assert "agree" in installation.run("fsck").stdout


def test_outbox_refuses_what_it_does_not_know(installation: Installation) -> None:
    assert "no cursor" in installation.run("outbox", "retry", "metering", "nobody", ok=False).stderr


def test_the_schema_is_not_upgraded_under_a_daemon(installation: Installation) -> None:
    assert installation.json("db", "upgrade")["after"]
    assert "up to date" in installation.run("db", "upgrade").stdout
    with only_one(installation.folder / "data"):
        assert "stop it first" in installation.run("db", "upgrade", ok=False).stderr


def test_demo_takes_free_ports_when_its_own_are_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr(demo, "PORT", other.getsockname()[1])
        assert demo._default_port() == 0
    assert "is taken" in capsys.readouterr().out


def test_demo_serves_from_nothing_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("KURADO_")}
    said = tmp_path / "said"
    for _ in range(2):  # the second time on what the first one made
        with said.open("w") as out:
            process = subprocess.Popen(
                [*COMMAND, "demo", "--dir", "try", "--port", "0"], stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, cwd=tmp_path, env=environ,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + WAIT
            while "Ctrl-C stops" not in said.read_text():
                assert process.poll() is None and time.monotonic() < deadline, said.read_text()
                time.sleep(0.05)
            text = said.read_text()
            url, password = re.findall(r"(?:WebDAV|password) +(\S+)", text)
            for words in ("mount -t davfs", "buf_size", "net use", "FileSizeLimitInBytes", "BasicAuthLevel", "Finder"):
                assert words in text
            request = urllib.request.Request(url + "hello.txt", b"hello", method="PUT")
            request.add_header("Authorization", "Basic " + base64.b64encode(f"demo:{password}".encode()).decode())
            with urllib.request.urlopen(request, timeout=WAIT) as answer:
                assert answer.status in (201, 204)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(WAIT) == 0
