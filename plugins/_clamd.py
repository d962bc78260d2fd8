"""Our side of a conversation with clamd: commands, and INSTREAM where only an explicit answer counts.

pyclamd speaks PING and VERSION here, over sockets of ours. It does not scan for us: it writes with ``send`` and drops
what the kernel did not take, a connection that closes without an answer parses as no finding, and its time-outs are
multiplied by its retries. See clamd(8) for the protocol.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pyclamd

MAX_ANSWER = 4096
KNOWN_SOCKETS = ("/run/clamav/clamd.ctl", "/run/clamd.scan/clamd.sock", "/tmp/clamd.socket")
DEFAULT_PORT = 3310
BLOCK = 256 * 1024
_PING_EVERY = 5.0
# what a scan may take: the largest archive allowed takes clamd about 2 s, a picture made to be slow about 7 s
_SCAN_BASE = 20.0
_SCAN_RATE = 1024 * 1024


class ScannerFault(Exception):
    """clamd cannot be reached, is slow, cut the line or said something else than an answer. Never means clean."""


class ScannerSlow(ScannerFault):
    """A deadline passed: asking again would only make the client wait twice."""


class ScannerDown(ScannerFault):
    """No connection, or known to be down since a moment ago."""


class StreamTooLong(Exception):
    """clamd's StreamMaxLength is below our ``max_size``: the content was not scanned whole."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """In seconds. ``connect``: until a line stands or a command is answered; ``silence``: how long clamd may take
    nothing, or not answer PING while it scans; ``scan``: until the answer after the last byte, less for less content
    (20 s and one for each MiB)."""

    connect: float = 5.0
    silence: float = 15.0
    scan: float = 120.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where clamd listens: ``unix`` path, or ``host`` and ``port``. Both empty: look at the usual places each time."""

    unix: str = ""
    host: str = ""
    port: int = DEFAULT_PORT

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Reads ``auto``, ``unix:/path``, ``/path``, ``host``, ``host:port`` or ``[v6]:port``; ValueError otherwise."""
        if text == "auto":
            return cls()
        path = text.removeprefix("unix:")
        if path.startswith("/"):
            return cls(unix=path)
        host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
        if not colon:
            host, port = text, str(DEFAULT_PORT)
        if not host or not port.isdigit() or not 0 < int(port) < 65536 or "/" in host:
            raise ValueError(f"{text!r} is no address of a clamd: unix:/path, host:port or auto")
        return cls(host=host.strip("[]"), port=int(port))

    def connect(self, timeout: float) -> socket.socket:
        """A connected socket whose operations time out after ``timeout`` seconds; ScannerDown otherwise."""
        try:
            unix = self.unix or (next((p for p in KNOWN_SOCKETS if Path(p).exists()), "") if not self.host else "")
            if not unix:
                return socket.create_connection((self.host or "127.0.0.1", self.port), timeout)
            line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                line.settimeout(timeout)
                line.connect(unix)
            except BaseException:
                line.close()
                raise
            return line
        except OSError as error:
            raise ScannerDown(f"clamd cannot be reached: {error}") from None


class _Commands(pyclamd.ClamdUnixSocket):  # type: ignore[misc]
    """pyclamd's commands; connection and reading are ours (one deadline, any address, the line always closed)."""

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        # the constructor of pyclamd is left out: it opens a connection and drops it unclosed when that fails
        self._endpoint = endpoint
        self._timeout = timeout

    def _init_socket(self) -> None:
        self.clamd_socket = self._endpoint.connect(self._timeout)

    def _recv_response(self) -> str:
        return _read_answer(self.clamd_socket, b"\n", time.monotonic() + self._timeout)

    def close(self) -> None:
        if getattr(self, "clamd_socket", None) is not None:
            self.clamd_socket.close()


def ping(endpoint: Endpoint, timeout: float) -> None:
    """Returns if clamd answers PONG; ScannerFault otherwise."""
    _command(endpoint, timeout, lambda commands: commands.ping())


@dataclass(frozen=True, slots=True)
class Version:
    """``text`` is the whole answer and names engine and definitions; ``defined_at`` ms UTC, None when not said."""

    text: str
    defined_at: int | None


def version(endpoint: Endpoint, timeout: float) -> Version:
    """Asks VERSION; ScannerFault when there is no proper answer."""
    return parse_version(str(_command(endpoint, timeout, lambda commands: commands.version())))


def parse_version(text: str) -> Version:
    """Reads ``ClamAV 1.4.3/27482/Wed Nov 20 09:41:02 2024``. clamd writes the local time of its own host, taken here
    for ours. ScannerFault for what is no version."""
    if not text.startswith("ClamAV "):
        raise ScannerFault(f"clamd answered {text[:80]!r} to VERSION")
    parts = text.split("/", 2)
    try:
        defined = datetime.strptime(parts[2].strip(), "%a %b %d %H:%M:%S %Y") if len(parts) == 3 else None  # noqa: DTZ007
    except ValueError:
        defined = None
    return Version(text, int(defined.timestamp() * 1000) if defined else None)


@dataclass(frozen=True, slots=True)
class Answer:
    """What clamd said of a stream: ``signature`` is None only after an explicit ``stream: OK``."""

    signature: str | None


@dataclass
class Stream:
    """One INSTREAM conversation. ``send`` blocks while clamd takes nothing; ``finish`` waits for the answer.

    Any failure raises ScannerFault or StreamTooLong and closes the line. Memory: none beyond the block given.
    """

    endpoint: Endpoint
    deadlines: Deadlines = field(default_factory=Deadlines)
    sent: int = 0
    _line: socket.socket | None = None

    def open(self) -> Stream:
        self._line = self.endpoint.connect(self.deadlines.connect)
        self._line.settimeout(self.deadlines.silence)
        self._put(b"zINSTREAM\0")
        return self

    def send(self, data: bytes | memoryview) -> None:
        """Sends one chunk (clamd(8): 4 bytes of length, big-endian, then the data)."""
        view = memoryview(data)
        for start in range(0, len(view), BLOCK):
            part = view[start : start + BLOCK]
            self._put(struct.pack(">I", len(part)))
            self._put(part)
            self.sent += len(part)

    def finish(self) -> Answer:
        """Ends the stream and gives the answer."""
        self._put(b"\0\0\0\0")
        assert self._line is not None
        try:
            self._await_answer(self._line)
            return parse_answer(self._read())
        finally:
            self.close()

    def close(self) -> None:
        """Drops the line; no error when there is none."""
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _put(self, data: bytes | memoryview) -> None:
        if self._line is None:
            raise ScannerFault("the conversation with clamd is over")
        try:
            if _readable(self._line, 0):
                raise self._spoke_early()
            self._line.sendall(data)
        except TimeoutError:
            self.close()
            raise ScannerSlow(f"clamd took nothing for {self.deadlines.silence:g} s") from None
        except OSError:
            # the kernel keeps what clamd said before it closed: it may be the reason
            try:
                raise self._spoke_early() from None
            finally:
                self.close()

    def _spoke_early(self) -> Exception:
        """clamd answers before the end only to say that it will not go on."""
        try:
            parse_answer(self._read())
        except (ScannerFault, StreamTooLong) as error:
            return error
        finally:
            self.close()
        return ScannerFault("clamd answered before it had the whole content")

    def _read(self) -> str:
        assert self._line is not None
        return _read_answer(self._line, b"\0", time.monotonic() + self.deadlines.silence)

    def _await_answer(self, line: socket.socket) -> None:
        """A long scan goes on while clamd answers PING on another line; silence is not waited for."""
        limit = min(self.deadlines.scan, _SCAN_BASE + self.sent / _SCAN_RATE)
        end = time.monotonic() + limit
        patience = time.monotonic() + self.deadlines.silence
        while True:
            left = min(end, patience) - time.monotonic()
            if _readable(line, max(0.0, min(_PING_EVERY, left))):
                return
            now = time.monotonic()
            if now >= end:
                raise ScannerSlow(f"clamd did not answer within {limit:.0f} s")
            if now >= patience:
                raise ScannerSlow(f"clamd was silent for {self.deadlines.silence:g} s")
            with contextlib.suppress(ScannerFault):
                ping(self.endpoint, min(self.deadlines.connect, patience - now))
                patience = time.monotonic() + self.deadlines.silence


def parse_answer(text: str) -> Answer:
    """Reads the answer to INSTREAM. Only ``stream: OK`` is clean; whatever is neither that nor a finding is a fault."""
    if text == "stream: OK":
        return Answer(None)
    if text.startswith("stream: ") and text.endswith(" FOUND"):
        name = text[len("stream: ") : -len(" FOUND")].strip()
        if name:
            return Answer(name)
    if "size limit exceeded" in text:
        raise StreamTooLong("the content is longer than clamd's StreamMaxLength")
    raise ScannerFault(f"clamd answered {text[:120]!r}" if text else "clamd closed the line without an answer")


def _readable(line: socket.socket, seconds: float) -> bool:
    """Whether there is something to read. poll, not select: a gate has more than 1024 descriptors."""
    poller = select.poll()
    poller.register(line, select.POLLIN)
    return bool(poller.poll(seconds * 1000))


def _read_answer(line: socket.socket, end: bytes, deadline: float) -> str:
    """Reads up to ``end``; an answer without it is whatever came before the line was closed."""
    answer = b""
    while end not in answer and len(answer) < MAX_ANSWER:
        left = deadline - time.monotonic()
        if left <= 0:
            raise ScannerSlow("clamd did not end its answer in time")
        line.settimeout(left)
        try:
            data = line.recv(MAX_ANSWER)
        except TimeoutError:
            raise ScannerSlow("clamd did not answer in time") from None
        except OSError as error:
            raise ScannerFault(f"the line to clamd broke: {error}") from None
        if not data:
            if answer:
                raise ScannerFault(f"clamd closed the line within an answer: {answer[:80]!r}")
            break
        answer += data
    return answer.split(end, 1)[0].decode(errors="replace").strip()


def _command(endpoint: Endpoint, timeout: float, ask: Callable[[_Commands], object]) -> object:
    commands = _Commands(endpoint, timeout)
    try:
        return ask(commands)
    except OSError as error:
        raise ScannerFault(str(error)) from None
    finally:
        commands.close()
