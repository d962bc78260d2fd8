"""The daemon as an operator has it: real processes, signals, and what is printed when it cannot start."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway import config
from gateway.daemon import open_deployment
from gateway.db.schema import REVISIONS
from gateway.domain.tenant import Role
from gateway.testing.needs import need

WAIT = 120.0
COMMAND = [sys.executable, "-P", "-c", "from gateway.cli import main; main()"]
AUTHORIZATION = "Basic " + base64.b64encode(b"ann:secret-of-ann").decode()
CONFIG = """\
version: 1
data_dir: data
gates: 2
listen: {dav: "127.0.0.1:0", desk: "127.0.0.1:0"}
plugins: []
"""


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)


class Daemon:
    """``kurado serve`` in a folder; what it prints is collected."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "gateway.yaml"
        self.process: subprocess.Popen[str]

    def start(self) -> Daemon:
        self.process = self._popen()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("kurado ready: "), line + self.errors()
        self.addresses = json.loads((self.folder / "data/run/addresses.json").read_text())
        return self

    def _popen(self) -> subprocess.Popen[str]:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("KURADO_")}
        with (self.folder / "stderr").open("a") as errors:
            return subprocess.Popen(
                [*COMMAND, "--config", str(self.file), "serve"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, env=environ,
            )  # fmt: skip

    def refused(self) -> str:
        """Starts a daemon that must not come up; returns what it said."""
        (self.folder / "stderr").write_text("")
        process = self._popen()
        out, _ = process.communicate(timeout=WAIT)
        assert process.returncode != 0
        assert "ready" not in out
        return self.errors()

    def errors(self) -> str:
        return (self.folder / "stderr").read_text()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=WAIT)
        return self.process.returncode

    def close(self) -> None:
        with contextlib.suppress(AttributeError):
            if self.process.poll() is None:
                self.process.kill()
            self.process.communicate()
            wait_for(lambda: not self.children(), "the end of the children")

    def children(self, role: str = "") -> list[int]:
        """Process numbers of the children of this folder's daemon, the supervisor's death notwithstanding."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode().split("\0") if entry.name.isdigit() else []
                if str(self.file) in words and (entry / "comm").read_text().startswith(f"kurado-{role}"):
                    found.append(int(entry.name))
        return found

    def request(self, url: str, method: str = "GET", path: str = "/", **options: object) -> tuple[int, bytes]:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=WAIT)
        try:
            connection.request(method, path, **options)  # type: ignore[arg-type]
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    one = Daemon(tmp_path)
    one.file.write_text(CONFIG)
    with open_deployment(config.load(one.file, {})) as deployment:
        deployment.services.accounts.add_tenant("studio", "standard")
        deployment.services.accounts.add_user("studio", "ann", "secret-of-ann", Role.OWNER)
    yield one
    one.close()


def test_gates_steward_and_desk_serve_on_the_addresses_that_are_written_down(daemon: Daemon) -> None:
    daemon.start()
    assert daemon.request(daemon.addresses["dav"])[0] == 200
    status, body = daemon.request(daemon.addresses["desk"], path="/readyz")
    assert (status, json.loads(body)["ready"]) == (200, True)
    assert daemon.request(daemon.addresses["desk"], path="/healthz") == (200, b"ok\n")
    assert [len(daemon.children(role)) for role in ("gate", "steward", "desk")] == [2, 1, 1]
    assert daemon.stop() == 0
    assert daemon.children() == []
    assert not (daemon.folder / "data/run/addresses.json").exists()


@pytest.mark.parametrize("role", ["gate", "steward", "desk"])
def test_a_killed_child_is_replaced(daemon: Daemon, role: str) -> None:
    daemon.start()
    victim = daemon.children(role)[0]
    os.kill(victim, signal.SIGKILL)
    count = 2 if role == "gate" else 1
    wait_for(lambda: victim not in daemon.children(role) and len(daemon.children(role)) == count, "a replacement")

    def answers() -> bool:
        with contextlib.suppress(OSError):
            return all(daemon.request(daemon.addresses[name], path="/")[0] == 200 for name in ("dav", "desk"))
        return False

    wait_for(answers, "an answer")


def test_the_desk_stays_up_when_all_gates_are_down(daemon: Daemon) -> None:
    daemon.start()
    for gate in daemon.children("gate"):
        os.kill(gate, signal.SIGSTOP)
    try:
        assert daemon.request(daemon.addresses["desk"], path="/healthz")[0] == 200
        wait_for(lambda: daemon.request(daemon.addresses["desk"], path="/readyz")[0] == 503, "the lapse of both leases")
        assert daemon.request(daemon.addresses["desk"], path="/metrics")[0] == 200
    finally:
        for gate in daemon.children("gate"):
            os.kill(gate, signal.SIGCONT)


def test_sigterm_lets_an_upload_that_is_under_way_finish(daemon: Daemon) -> None:
    daemon.start()
    parts = urlsplit(daemon.addresses["dav"])
    with socket.create_connection((parts.hostname, parts.port), WAIT) as line:
        head = (
            f"PUT /dav/studio/slow.bin HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: {AUTHORIZATION}\r\n"
            "Content-Length: 20\r\nExpect: 100-continue\r\n\r\n"
        )
        line.sendall(head.encode())
        assert line.recv(100).startswith(b"HTTP/1.1 100")
        line.sendall(b"ten bytes.")
        daemon.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not daemon.children("steward"), "the end of the steward")
        line.sendall(b"ten bytes!")
        assert line.recv(100).startswith(b"HTTP/1.1 201")
    daemon.process.communicate(timeout=WAIT)
    assert daemon.process.returncode == 0
    daemon.start()
    headers = {"Authorization": AUTHORIZATION}
    assert daemon.request(daemon.addresses["dav"], path="/dav/studio/slow.bin", headers=headers) == (
        200,
        b"ten bytes.ten bytes!",
    )


def test_sighup_replaces_every_child_and_fails_no_request(daemon: Daemon) -> None:
    daemon.start()
    before = set(daemon.children())
    failures: list[object] = []
    over = threading.Event()

    def knock() -> None:
        while not over.is_set():
            try:
                status, _ = daemon.request(daemon.addresses["dav"])
                failures.extend([status] if status != 200 else [])
            except OSError as error:
                failures.append(error)

    threads = [threading.Thread(target=knock) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        daemon.file.write_text(CONFIG.replace("gates: 2", "gates: 3"))
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(daemon.children("gate")) == 3 and not before & set(daemon.children()), "new children")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert daemon.stop() == 0


def make_certificate(folder: Path, name: str) -> None:
    need("openssl")
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
    subprocess.run(command, check=True, capture_output=True)


def test_sighup_takes_up_a_new_certificate(daemon: Daemon) -> None:
    make_certificate(daemon.folder, "first")
    daemon.file.write_text(CONFIG.replace("{dav:", "{tls: {cert: cert.pem, key: key.pem}, dav:"))
    daemon.start()
    parts = urlsplit(daemon.addresses["dav"])
    assert parts.scheme == "https"

    def served() -> str:
        return ssl.get_server_certificate((parts.hostname or "", parts.port or 0), timeout=WAIT)

    assert served() == (daemon.folder / "cert.pem").read_text()
    make_certificate(daemon.folder, "second")
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: served() == (daemon.folder / "cert.pem").read_text(), "the new certificate")


def test_a_bad_configuration_on_sighup_leaves_the_old_children_at_work(daemon: Daemon) -> None:
    daemon.start()
    before = set(daemon.children())
    daemon.file.write_text(CONFIG + "colour: blue\n")
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "reload failed" in daemon.errors(), "a complaint")
    assert "colour" in daemon.errors()
    assert set(daemon.children()) == before
    assert daemon.request(daemon.addresses["dav"])[0] == 200


def test_children_end_when_the_supervisor_is_killed_and_the_next_start_repairs(daemon: Daemon) -> None:
    daemon.start()
    gates = daemon.children("gate")
    daemon.process.kill()
    for gate in gates:
        os.kill(gate, signal.SIGKILL)
    daemon.process.communicate()
    wait_for(lambda: not daemon.children(), "the end of the children")
    staging = daemon.folder / "data/blobs/staging"
    with sqlite3.connect(daemon.folder / "data/kurado.db") as db:
        (boot_id,) = db.execute("SELECT boot_id FROM leases WHERE role = 'gate' LIMIT 1").fetchone()
    db.close()
    (staging / f"{boot_id}-abc").write_bytes(b"half an upload")
    daemon.start()
    assert "repaired after a crash" in daemon.errors()
    assert not (staging / f"{boot_id}-abc").exists()
    wait_for(lambda: not list(staging.iterdir()), "the end of what a health check has just written")


def test_a_second_daemon_on_the_same_data_folder_is_refused(daemon: Daemon) -> None:
    daemon.start()
    assert f"process {daemon.process.pid}" in Daemon(daemon.folder).refused()
    assert daemon.request(daemon.addresses["dav"])[0] == 200


def test_a_port_that_is_taken_stops_the_start_with_key_and_address(daemon: Daemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        daemon.file.write_text(CONFIG.replace('dav: "127.0.0.1:0"', f'dav: "{address}"'))
        said = daemon.refused()
    assert "listen.dav" in said
    assert address in said


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (CONFIG.replace("gates: 2", "gates: many"), "gates"),
        (CONFIG.replace("plugins: []", "plugins: [{name: virus_scam}]"), "virus_scam"),
        (CONFIG.replace("gates: 2", "gates: 2\nstorage: {backend: floppy}"), "floppy"),
        (CONFIG.replace('dav: "127.0.0.1:0"', 'dav: "0.0.0.0:0"'), "in the clear"),
    ],
)
def test_what_is_wrong_with_the_configuration_is_said_in_one_line(daemon: Daemon, text: str, named: str) -> None:
    daemon.file.write_text(text)
    said = daemon.refused()
    assert named in said
    assert "Traceback" not in said


@pytest.mark.parametrize(("revision", "advice"), [(REVISIONS[0], "kurado db upgrade"), ("9999", "newer")])
def test_a_schema_of_another_version_stops_the_start(daemon: Daemon, revision: str, advice: str) -> None:
    with sqlite3.connect(daemon.folder / "data/kurado.db") as db:
        db.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    db.close()
    said = daemon.refused()
    assert "schema" in said
    assert advice in said


def test_an_empty_database_beside_stored_content_is_not_served(daemon: Daemon) -> None:
    with open_deployment(config.load(daemon.file, {})) as deployment:
        writer = deployment.store.writer("0123456789ab-1")
        writer.write(b"content")
        writer.commit()
    for file in (daemon.folder / "data").glob("kurado.db*"):
        file.unlink()
    assert "replica restore" in daemon.refused()
