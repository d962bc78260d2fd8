"""Clients that read and write files of their own while something is done to the gateway: no request may fail."""

from __future__ import annotations

import hashlib
import http.client
import random
import threading
import time

from gateway.testing.storm import DavClient, Files, content


class Load(threading.Thread):
    """Every answer must be right until it is stopped. ``size``: bytes of what it writes; ``slowest`` is in seconds.
    ``reconnects``: a line that was closed while it was idle is no failed request (RFC 9112 section 9.3.1)."""

    def __init__(self, client: DavClient, seed: int, files: Files, size: int, *, reconnects: bool = False) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._random = random.Random(seed)
        self.files = files
        self._names = sorted(files)
        self._size = size
        self._reconnects = reconnects
        self._stopped = threading.Event()
        self.requests = 0
        self.slowest = 0.0
        self.wrong: list[str] = []

    def run(self) -> None:
        self._client.close()  # who has filled its files first has waited for the others, longer than keep-alive lasts
        try:
            while not self._stopped.wait(0.03):
                began = time.monotonic()
                self._one()
                self.slowest = max(self.slowest, time.monotonic() - began)
        except (OSError, http.client.HTTPException) as error:
            self.wrong.append(f"request {self.requests + 1}: {error!r}")
        finally:
            self._client.close()

    def _one(self) -> None:
        name = self._random.choice(self._names)
        if self._random.random() < 0.3:
            body = content(self._random.randrange(2**40), self._size)
            status, _ = self._ask("PUT", name, body)
            self.files[name] = hashlib.sha256(body).digest()
            if status not in (201, 204):
                self.wrong.append(f"PUT {name}: {status}")
        else:
            status, body = self._ask("GET", name)
            if status != 200 or hashlib.sha256(body).digest() != self.files[name]:
                self.wrong.append(f"GET {name}: {status}, {len(body)} bytes")
        self.requests += 1

    def _ask(self, verb: str, name: str, body: bytes = b"") -> tuple[int, bytes]:
        try:
            status, _, answer = self._client.request(verb, name, body=body)
        except (ConnectionError, http.client.RemoteDisconnected):
            if not self._reconnects:
                raise
            status, _, answer = self._client.request(verb, name, body=body)
        return status, answer

    def end(self) -> None:
        """Asks it to stop."""
        self._stopped.set()

    def stop(self) -> None:
        self.end()
        self.join(240)
        assert not self.is_alive()


def fill(client: DavClient, seed: int, sizes: list[int]) -> Files:
    """Stores a file of each size; returns what is there now."""
    files = {}
    for number, length in enumerate(sizes):
        body = content(seed * 1_000_000 + number, length)
        assert client.request("PUT", f"f{seed}-{number}", body=body)[0] == 201
        files[f"f{seed}-{number}"] = hashlib.sha256(body).digest()
    return files


def read_back(client: DavClient, files: Files) -> list[str]:
    """The names of the files that are not as they should be."""
    wrong = []
    for name, digest in files.items():
        status, _, body = client.request("GET", name)
        if status != 200 or hashlib.sha256(body).digest() != digest:
            wrong.append(f"{name}: {status}, {len(body)} bytes")
    return wrong
