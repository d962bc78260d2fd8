"""A real ``kurado serve`` for tests: its own folder, free ports, a tenant with a user, all processes in one group.

What the daemon says is kept in ``serve.out`` and ``serve.err`` in the folder. Folder and tenant survive ``kill`` and
``restart``, as they would on an operator's machine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import yaml

from gateway.testing.warm import program

COMMAND = (sys.executable, "-P", "-c", "from gateway.cli import main; main()")
TENANT, LOGIN, PASSWORD = "acme", "alice", "correct horse battery"
START_SECONDS = 180.0
STOP_SECONDS = 180.0
PLUGINS: tuple[str, ...] = ("quota", "metering")

Plugin = str | Mapping[str, Any]


class DidNotStart(AssertionError):
    """The daemon ended, or was not ready in time; the message holds what it said."""


@dataclass
class RunningGateway:
    """``dav_url`` is the tenant's collection, with its slash; ``login`` and ``password`` are an owner's."""

    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    tenant: str = TENANT
    login: str = LOGIN
    password: str = PASSWORD
    base_url: str = ""
    desk_url: str = ""
    s3_url: str = ""
    process: subprocess.Popen[bytes] | None = None
    command: Sequence[str] = COMMAND

    @property
    def dav_url(self) -> str:
        return f"{self.base_url}/dav/{self.tenant}/"

    @property
    def url(self) -> str:
        return self.dav_url

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the gates."""
        parts = urlsplit(self.base_url)
        return parts.hostname or "", parts.port or 0

    @property
    def data_dir(self) -> Path:
        return self.folder / str(yaml.safe_load((self.folder / "gateway.yaml").read_text())["data_dir"])

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the daemon and waits until it serves. DidNotStart."""
        ready_before = self._out.read_text().count("kurado ready") if self._out.exists() else 0
        with self._out.open("ab") as out, self._err.open("ab") as err:
            self.process = subprocess.Popen(
                [*self.command, "--config", str(self.folder / "gateway.yaml"), "serve"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self._environ(),
                cwd=self.folder,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while self._out.read_text().count("kurado ready") == ready_before:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise DidNotStart(self.log()[-4000:])
            time.sleep(0.02)
        urls = json.loads((self.data_dir / "run" / "addresses.json").read_text())
        self.base_url, self.desk_url, self.s3_url = urls["dav"], urls["desk"], urls.get("s3", "")

    def kill(self) -> None:
        """kill -9 of the supervisor and all its children at once."""
        self._signal_group(signal.SIGKILL)
        self._await_end(60)

    def stop(self) -> None:
        """SIGTERM to the supervisor; waits for the drain. Nothing happens when it has ended already."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"the gateway did not stop: {self.log()[-4000:]}") from None
        self._signal_group(signal.SIGKILL)
        self._await_end(60)

    def restart(self) -> None:
        """The same folder again, after ``kill`` or ``stop`` (or stopping it first); the port may be another."""
        self.stop()
        self.start()

    def __enter__(self) -> RunningGateway:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- operating it -------------------------------------------------------------------------------------------------

    def cli(
        self, *args: str, input: str | None = None, check: bool = True, timeout: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """``kurado --config <folder>/gateway.yaml args``; with ``check`` a failure is an AssertionError."""
        words = [str(program())] if self.command == COMMAND else self.command
        done = subprocess.run(
            [*words, "--config", str(self.folder / "gateway.yaml"), *args],
            input=input,
            capture_output=True,
            text=True,
            env=self._environ(),
            cwd=self.folder,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"kurado {' '.join(args)}: {done.stdout}{done.stderr}"
        return done

    def add_tenant(
        self,
        name: str,
        quota: str | None = None,
        *,
        login: str = LOGIN,
        password: str = PASSWORD,
        role: str = "owner",
    ) -> tuple[str, str, str]:
        """Adds a tenant with one user; returns its URL, login and password."""
        self.cli("tenant", "add", name, *(("--quota", quota) if quota else ()))
        self.add_user(name, login, password, role)
        return f"{self.base_url}/dav/{name}/", login, password

    def add_user(self, tenant: str, login: str, password: str = PASSWORD, role: str = "editor") -> None:
        self.cli("user", "add", tenant, login, "--role", role, "--password-stdin", input=password + "\n")

    def add_key(self, tenant: str = TENANT, login: str = LOGIN) -> tuple[str, str]:
        """An access key of a user: its id and its secret. Needs ``listen.s3`` in the configuration to be of use."""
        made = json.loads(self.cli("key", "create", tenant, login, "--json").stdout)
        return made["access_key"], made["secret_key"]

    def pids(self, role: str) -> list[int]:
        """The processes of a role: gate, steward or desk."""
        return [pid for pid, name in self._group() if name.startswith(f"kurado-{role}")]

    def log(self) -> str:
        """All that the daemon said."""
        return "".join(file.read_text(errors="replace") for file in (self._out, self._err) if file.exists())

    def log_lines(self) -> list[dict[str, Any]]:
        """The structured log lines."""
        lines = self._err.read_text(errors="replace").splitlines() if self._err.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{")]

    # -- inside -------------------------------------------------------------------------------------------------------

    @property
    def _out(self) -> Path:
        return self.folder / "serve.out"

    @property
    def _err(self) -> Path:
        return self.folder / "serve.err"

    def _environ(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("KURADO_")}
        return {**own, **self.env}

    def _signal_group(self, number: int) -> None:
        if self.process is not None:
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                return

    def _await_end(self, seconds: float) -> None:
        if self.process is None:
            return
        self.process.wait(seconds)
        deadline = time.monotonic() + seconds
        while self._group():
            assert time.monotonic() < deadline, f"processes outlived the kill: {self._group()}"
            time.sleep(0.01)
        self.process = None

    def _group(self) -> list[tuple[int, str]]:
        """Living processes of the daemon's group, with their names."""
        if self.process is None:
            return []
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            try:
                state, _parent, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
                name = (entry / "comm").read_text().rstrip("\n")
            except (OSError, ValueError):
                continue
            if int(group) == self.process.pid and state != "Z":
                found.append((int(entry.name), name))
        return found


def start_gateway(
    folder: Path,
    *,
    gates: int = 1,
    quota: str | None = None,
    plugins: Sequence[Plugin] | None = None,
    config: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
) -> RunningGateway:
    """A gateway in ``folder`` with the tenant TENANT and its owner LOGIN. ``config`` is laid over gateway.yaml; a
    gateway.yaml that is there already stays as it is. DidNotStart."""
    folder.mkdir(parents=True, exist_ok=True)
    gateway = RunningGateway(folder, env or {})
    file = folder / "gateway.yaml"
    if not file.exists():
        file.write_text(yaml.safe_dump(_configuration(gates, plugins, config or {}), sort_keys=False))
    if not (folder / "serve.out").exists():
        gateway.add_tenant(TENANT, quota)
    gateway.start()
    return gateway


def _configuration(gates: int, plugins: Sequence[Plugin] | None, config: Mapping[str, Any]) -> dict[str, Any]:
    listed = PLUGINS if plugins is None else plugins
    base = {
        "version": 1,
        "data_dir": "data",
        "storage": {"backend": "local"},
        "listen": {"dav": "127.0.0.1:0", "desk": "127.0.0.1:0"},
        "gates": gates,
        "plugins": [{"name": plugin} if isinstance(plugin, str) else dict(plugin) for plugin in listed],
    }
    return _merged(base, config)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
