"""A TCP line to a real server that can be made to fail in one way at a time, for tests of what depends on it."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time

_BLOCK = 64 * 1024


class FaultLine:
    """Listens on ``port`` and passes everything to ``target``. ``fault`` may be changed at any time:

    - ``""``: passes all through
    - ``refuse``: cuts every connection at once
    - ``silent``: takes connections and bytes, and answers nothing
    - ``cut-request:N``, ``cut-answer:N``: cuts each connection after N bytes from the client, or to it
    - ``flip-request:N``, ``flip-answer:N``: changes a bit of byte N of each connection
    - ``slow:N``: N bytes a second each way
    """

    def __init__(self, target: int) -> None:
        self.fault = ""
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Cuts what is connected now."""
        for line in list(self._open):
            _reset(line)

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def __enter__(self) -> FaultLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        self._open.add(line)
        try:
            if self.fault == "refuse":
                _reset(line)
                return
            with socket.create_connection(("127.0.0.1", self._target), 10) as server:
                self._pass(line, server)
        except OSError:
            _reset(line)
        finally:
            self._open.discard(line)
            line.close()

    def _pass(self, line: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as waiting:
            for end in (line, server):
                waiting.register(end, selectors.EVENT_READ)
            self._pass_on(line, server, waiting)

    def _pass_on(self, line: socket.socket, server: socket.socket, waiting: selectors.BaseSelector) -> None:
        passed = {line: 0, server: 0}
        while True:
            for source in [key.fileobj for key, _ in waiting.select(30)]:
                assert isinstance(source, socket.socket)
                data = bytearray(source.recv(_BLOCK))
                if not data:
                    return
                kind, _, number = self.fault.partition(":")
                side = "request" if source is line else "answer"
                limit = int(number or 0)
                if kind in ("refuse", "silent"):
                    if kind == "refuse":
                        raise ConnectionResetError
                    continue
                if kind == f"cut-{side}" and passed[source] + len(data) > limit:
                    data = data[: max(0, limit - passed[source])]
                    self._send(line if source is server else server, data)
                    raise ConnectionResetError
                if kind == f"flip-{side}" and passed[source] <= limit < passed[source] + len(data):
                    data[limit - passed[source]] ^= 1
                if kind == "slow":
                    time.sleep(len(data) / limit)
                passed[source] += len(data)
                self._send(server if source is line else line, data)

    def _send(self, line: socket.socket, data: bytes | bytearray) -> None:
        line.sendall(data)


def _reset(line: socket.socket) -> None:
    """As a machine that fell over: no orderly end."""
    with contextlib.suppress(OSError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.shutdown(socket.SHUT_RDWR)
