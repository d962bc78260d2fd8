"""A private, real clamd for tests: its own signatures, its own sockets in one folder, no freshclam.

It detects EICAR (also inside archives) and the harmless marker ``MARKER`` anywhere in a file. Its definitions carry a
date, so that their age can be judged: clamd reads it from the head of ``daily.cud``.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import shutil
import socket
import subprocess
import tarfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from gateway.testing.programs import Program, claim_port

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
class Clamd(Program):
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

    def start(self, wait: float = 180) -> Clamd:
        """Starts it and returns when it answers PING; RuntimeError with its log when it does not."""
        program = find_clamd()
        self.port = self.port or claim_port()
        self._write_files()
        self.socket_path.unlink(missing_ok=True)
        words = [program, f"--config-file={self.folder / 'clamd.conf'}"]
        self.launch(words, self.folder / "clamd.out", self._answers, wait)
        return self

    def __enter__(self) -> Clamd:
        return self.start()

    def __exit__(self, *_: object) -> None:
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


# -- faults -----------------------------------------------------------------------------------------------------------


class FaultyClamd:
    """A TCP proxy before a real clamd that spoils conversations in one way at a time.

    ``fault``: "" passes all through; "cut-after:N" closes after N bytes of a stream; "cut-answer" closes instead of
    answering; "half-answer" sends ``stream: O`` and closes; "nonsense" answers something else; "silent" never answers
    a stream, nor PING; "blind" says OK to everything; "deaf" takes nothing after the command; "version:TEXT" answers
    VERSION with TEXT.
    """

    def __init__(self, port: int, fault: str = "") -> None:
        self.fault = fault
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.streams = 0
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def tcp(self) -> str:
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        """Closes all lines."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in list(self._open):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def __enter__(self) -> FaultyClamd:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(line)
            thread = threading.Thread(target=self._serve, args=(line, self.fault), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, line: socket.socket, fault: str) -> None:
        with line, contextlib.suppress(OSError):
            command = b""
            while not command.endswith((b"\0", b"\n")):
                data = line.recv(1)
                if not data:
                    return
                command += data
            streams = command.strip(b"zn\0\n") == b"INSTREAM"
            self.streams += streams
            if fault.startswith("version:") and command.startswith(b"nVERSION"):
                line.sendall(fault.removeprefix("version:").encode() + b"\n")
            elif fault in ("silent", "deaf") and (streams or fault == "silent"):
                while fault == "silent" and line.recv(65_536):
                    pass
                self._wait(line)
            else:
                self._relay(line, command, fault if streams else "")

    def _wait(self, line: socket.socket) -> None:
        """Until the other side gives up, without reading."""
        poller = select.poll()
        poller.register(line, select.POLLRDHUP)
        poller.poll(60_000)

    def _relay(self, line: socket.socket, command: bytes, fault: str) -> None:
        left = int(fault.removeprefix("cut-after:")) if fault.startswith("cut-after:") else None
        with socket.create_connection(("127.0.0.1", self._target), 10) as clamd:
            clamd.sendall(command)
            poller = select.poll()
            poller.register(line, select.POLLIN)
            poller.register(clamd, select.POLLIN)
            while True:
                for fd, _ in poller.poll():
                    source, target = (line, clamd) if fd == line.fileno() else (clamd, line)
                    data = source.recv(65_536)
                    if not data:
                        return
                    if source is line and left is not None:
                        left -= len(data)
                        if left <= 0:
                            return
                    if source is clamd and fault == "cut-answer":
                        return
                    if source is clamd and fault == "half-answer":
                        data = b"stream: O"
                    if source is clamd and fault == "blind":
                        data = b"stream: OK\0"
                    if source is clamd and fault == "nonsense":
                        data = b"hello, I am a printer\0"
                    target.sendall(data)
                    if source is clamd and fault == "half-answer":
                        return
