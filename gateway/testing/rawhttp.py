"""HTTP by hand: requests as exact bytes, answers parsed just far enough, and lines cut where a test wants them cut."""

from __future__ import annotations

import base64
import socket
import time
from dataclasses import dataclass, field
from types import TracebackType


@dataclass(frozen=True)
class Answer:
    """``headers`` by lower-case name, the last of several. ``body`` is decoded from chunks."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class LineClosed(Exception):
    """The server closed before an answer was complete; ``received`` is what came."""

    def __init__(self, received: bytes) -> None:
        super().__init__(f"closed after {received[:200]!r}")
        self.received = received


class RawLine:
    """One connection."""

    def __init__(self, address: tuple[str, int], timeout: float = 120.0) -> None:
        self.socket = socket.create_connection(address, timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._timeout = timeout
        self._buffer = b""

    def send(self, data: bytes) -> None:
        """OSError when the server does not take it any more."""
        self.socket.sendall(data)

    def try_send(self, data: bytes) -> bool:
        """Whether the server took it."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def end_sending(self) -> None:
        """Half-closes: the server sees the end, and can still answer."""
        self.socket.shutdown(socket.SHUT_WR)

    def answer(self, *, head_only: bool = False) -> Answer:
        """The next answer, also an interim one. LineClosed; TimeoutError."""
        head, _, self._buffer = self._until(b"\r\n\r\n").partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        pairs = [line.partition(":") for line in lines[1:]]
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if head_only or status < 200 or status in (204, 304):
            return Answer(status, headers)
        return Answer(status, headers, self._body(headers))

    def is_closed(self, seconds: float = 120.0) -> bool:
        """Whether the server closes within the time, sending nothing more."""
        if self._buffer:
            return False
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True
        finally:
            self.socket.settimeout(self._timeout)

    def close(self) -> None:
        self.socket.close()

    def break_off(self, how: str) -> None:
        """Ends a line in the middle of a request: it "closes", "resets", or "half-closes" and is told so (400)."""
        if how == "half-closes":
            self.end_sending()
            assert self.answer().status == 400
            assert self.is_closed()
        elif how == "resets":
            self.reset()
        else:
            self.close()

    def reset(self) -> None:
        """Closes with RST, as a crashed client's system does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def __enter__(self) -> RawLine:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            return self._chunks()
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        return self._to_end()

    def _chunks(self) -> bytes:
        parts = []
        while True:
            line, _, self._buffer = self._until(b"\r\n").partition(b"\r\n")
            size = int(line.partition(b";")[0], 16)
            parts.append(self._exactly(size))
            assert self._exactly(2) == b"\r\n"
            if not size:
                return b"".join(parts)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._receive()
        return self._buffer

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _to_end(self) -> bytes:
        try:
            while True:
                self._receive()
        except LineClosed:
            data, self._buffer = self._buffer, b""
            return data

    def _receive(self) -> None:
        try:
            data = self.socket.recv(256 * 1024)
        except ConnectionError:
            data = b""
        if not data:
            raise LineClosed(self._buffer)
        self._buffer += data


def basic(login: str, password: str) -> bytes:
    """The Authorization header line of a login."""
    return b"Authorization: Basic " + base64.b64encode(f"{login}:{password}".encode()) + b"\r\n"


def ask(address: tuple[str, int], request: bytes, timeout: float = 120.0, *, head_only: bool = False) -> Answer:
    """One request on a connection of its own. LineClosed; TimeoutError."""
    with RawLine(address, timeout) as line:
        line.try_send(request)
        return line.answer(head_only=head_only)


def seconds_of(address: tuple[str, int], request: bytes) -> float:
    """How long a good client waits for a 2xx answer, connection included."""
    began = time.monotonic()
    answer = ask(address, request)
    assert 200 <= answer.status < 300, answer
    return time.monotonic() - began
