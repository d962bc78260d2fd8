"""A private PostgreSQL for tests: its own cluster in a temporary folder, on loopback only, gone afterwards.

The server refuses to run as root; then it runs as the user of the Debian package.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gateway.testing.programs import claim_port

_USER = "postgres"
_SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 80
shared_buffers = 32MB
"""


class PostgresMissing(Exception):
    """No PostgreSQL server is installed here, or it does not start; the message says which."""


class PostgresServer:
    """A running server. ``fsync`` off makes tests of anything but durability faster."""

    def __init__(self, *, fsync: bool = False) -> None:
        self._bin = _find_programs()
        self.folder = Path(tempfile.mkdtemp(prefix="kurado-pg-"))
        self._password = secrets.token_hex(8)
        self.port = claim_port()
        self._emptied: list[str] = []
        try:
            self._make_cluster(fsync)
            self.start()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://kurado:{self._password}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """An empty database; returns its URL. One that was given back is taken before a new one is made."""
        import psycopg

        if self._emptied:
            return self._emptied.pop()
        name = f"t{secrets.token_hex(6)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url(name)

    def give_back(self, url: str) -> None:
        """Empties a database for another test: much faster than to make and remove one for each."""
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SET lock_timeout = '2s'")
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        self._emptied.append(url)

    def start(self) -> None:
        self._control("start", "-o", f"-p {self.port} -k {self.folder}", "-l", str(self.folder / "server.log"), "-w")

    def stop(self, mode: str = "fast") -> None:
        """``immediate`` is a crash: recovery at the next start."""
        self._control("stop", "-m", mode, "-w")

    def close(self) -> None:
        try:
            self.stop("immediate")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _make_cluster(self, fsync: bool) -> None:
        password = self.folder / "password"
        password.write_text(self._password)
        if os.getuid() == 0:
            for path in (self.folder, password):
                shutil.chown(path, _USER)
        data = str(self.folder / "data")
        self._run("initdb", "-D", data, "-U", "kurado", f"--pwfile={password}", "-A", "scram-sha-256", "-E", "UTF8",
                  "--locale=C.UTF-8", *(() if fsync else ("--no-sync",)))  # fmt: skip
        settings = _SETTINGS + f"fsync = {'on' if fsync else 'off'}\n"
        with (self.folder / "data" / "postgresql.conf").open("a") as file:
            file.write(settings)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command: Sequence[str] = [str(self._bin / program), *arguments]
        if os.getuid() == 0:
            command = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups", "--", *command]
        done = subprocess.run(
            command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if done.returncode:
            log = self.folder / "server.log"
            last = log.read_text(errors="replace")[-400:] if log.exists() else ""
            raise PostgresMissing(f"{program} failed with {done.returncode}: {last}")


def _find_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise PostgresMissing("PostgreSQL is not installed (Debian package postgresql)")
    return found[-1].parent
