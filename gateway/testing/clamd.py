"""A private, real clamd for tests: its own signatures, its own sockets in one folder, no freshclam.

It detects EICAR (also inside archives) and the harmless marker ``MARKER`` anywhere in a file. Its definitions carry a
date, so that their age can be judged: clamd reads it from the head of ``daily.cud``.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

# Built from two halves, so that no scanner takes this file for the test virus.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
MARKER = b"KURADO-TEST-" + b"MALWARE-0001"
EICAR_NAME = "Eicar-Test-Signature.UNOFFICIAL"
MARKER_NAME = "Kurado.Test.Marker.UNOFFICIAL"


class ClamdMissing(RuntimeError):
    """No clamd on this machine (Debian: clamav-daemon)."""


def find_clamd() -> str:
    """The path of the program; ClamdMissing when there is none."""
    found = shutil.which("clamd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise ClamdMissing("no clamd found; install Debian's clamav-daemon")
    return found


@dataclass
class Clamd:
    """A clamd that is started in ``folder`` (which may hold one that was stopped). ``options`` go to clamd.conf."""

    folder: Path
    options: Mapping[str, str] = field(default_factory=dict)
    defined_at: datetime | None = None
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket_path(self) -> Path:
        return self.folder / "clamd.sock"

    @property
    def tcp(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def unix(self) -> str:
        return f"unix:{self.socket_path}"

    def start(self, wait: float = 60) -> Clamd:
        """Starts it and returns when it answers PING; RuntimeError with its log when it does not."""
        program = find_clamd()
        self.port = self.port or free_port()
        self._write_files()
        self.socket_path.unlink(missing_ok=True)
        with (self.folder / "clamd.out").open("wb") as out:
            command = [program, f"--config-file={self.folder / 'clamd.conf'}"]
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        end = time.monotonic() + wait
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError("clamd did not start:\n" + (self.folder / "clamd.out").read_text(errors="replace"))
            time.sleep(0.05)
        return self

    def stop(self, sig: int = signal.SIGTERM) -> None:
        """Ends it; no error when it does not run."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(sig)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def pause(self) -> None:
        """Freezes it: connections are still taken, nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Clamd:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
        self.stop()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as line:
                line.sendall(b"nPING\n")
                return line.recv(16) == b"PONG\n"
        except OSError:
            return False

    def _write_files(self) -> None:
        (self.folder / "db").mkdir(parents=True, exist_ok=True)
        (self.folder / "tmp").mkdir(exist_ok=True)
        signatures = f"Eicar-Test-Signature:0:0:{EICAR.hex()}\nKurado.Test.Marker:0:*:{MARKER.hex()}\n"
        (self.folder / "db" / "test.ndb").write_text(signatures)
        daily = self.folder / "db" / "daily.cud"
        daily.unlink(missing_ok=True)
        if self.defined_at is not None:
            daily.write_bytes(dated_definitions(self.defined_at))
        (self.folder / "clamd.conf").write_text(self._configuration())

    def _configuration(self) -> str:
        values = {
            "DatabaseDirectory": self.folder / "db",
            "OfficialDatabaseOnly": "no",
            "TemporaryDirectory": self.folder / "tmp",
            "LogFile": self.folder / "clamd.log",
            "LocalSocket": self.socket_path,
            "FixStaleSocket": "yes",
            "TCPSocket": self.port,
            "TCPAddr": "127.0.0.1",
            "Foreground": "yes",
            "SelfCheck": "86400",
            "ConcurrentDatabaseReload": "no",
            "StreamMaxLength": "25M",
            "MaxFileSize": "25M",
            "MaxScanSize": "100M",
            "MaxRecursion": "17",
            "MaxFiles": "10000",
            "AlertExceedsMax": "yes",
            "AlertEncrypted": "yes",
            **self.options,
        }
        return "".join(f"{name} {value}\n" for name, value in values.items())


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def dated_definitions(at: datetime) -> bytes:
    """An unsigned container of definitions (CUD: head of 512 bytes, then a tar) with one harmless signature.

    clamd insists that ``daily.info`` repeats the head, and lists size and SHA-256 of the members.
    """
    stamp = at.astimezone(UTC).strftime("%d %b %Y %H-%M +0000")
    head = f"ClamAV-VDB:{stamp}:27000:1:90:{'0' * 32}:x:kurado:{int(at.timestamp())}"
    signature = b"00000000000000000000000000000000:1:Kurado.Test.Nothing\n"
    info = f"{head}\ndaily.hdb:{len(signature)}:{sha256(signature).hexdigest()}\n".encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in (("COPYING", b"test data\n"), ("daily.info", info), ("daily.hdb", signature)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return head.ljust(512).encode() + packed.getvalue()
