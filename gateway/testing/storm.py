"""Clients that write without pause and remember what was acknowledged, for tests that kill the gateway under them.

Each client works in a collection of its own, so that after any crash its files must be exactly those acknowledged, with
the one operation that was under way either wholly done or not at all (RESILIENCE 1, 2, 4).
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from gateway.testing.waiting import until

Files = dict[str, bytes]
"""name → SHA-256 of the content."""

_OPERATIONS = ("put", "put", "put", "overwrite", "overwrite", "move", "move_over", "copy", "copy_over", "delete")


def content(seed: int, size: int) -> bytes:
    """Reproducible bytes that do not compress."""
    return random.Random(seed).randbytes(size)


@dataclass
class Operation:
    """What a client asked for, and what its files are if it was done. ``None`` in ``after`` cannot occur: operations
    are chosen so that they succeed."""

    verb: str
    name: str
    after: Files
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class DavClient:
    """A minimal WebDAV client on one connection. ``base`` is the URL of a collection, with its slash."""

    def __init__(self, base: str, login: str, password: str, timeout: float = 120) -> None:
        parts = urlsplit(base)
        assert parts.hostname and parts.port
        self.base = base
        self._path = parts.path
        self._address = (parts.hostname, parts.port)
        self._timeout = timeout
        self.headers = {"Authorization": "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()}
        self._connection: http.client.HTTPConnection | None = None

    def request(
        self, verb: str, name: str = "", headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Sends one request; OSError or HTTPException when the line breaks."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=self._timeout)
        try:
            self._connection.request(verb, self._path + quote(name), body, {**self.headers, **(headers or {})})
            answer = self._connection.getresponse()
            return answer.status, dict(answer.headers), answer.read()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def names(self) -> list[str]:
        """The names of the files of the collection."""
        status, _, body = self.request("PROPFIND", headers={"Depth": "1"})
        assert status == 207, (status, body)
        hrefs = [unquote(one) for one in re.findall(rb"<D:href>([^<]*)</D:href>", body) for one in [one.decode()]]
        return [one.removeprefix(self._path) for one in hrefs if not one.endswith("/")]

    def used(self) -> int:
        """quota-used-bytes of the collection."""
        asked = b'<propfind xmlns="DAV:"><prop><quota-used-bytes/></prop></propfind>'
        status, _, body = self.request("PROPFIND", headers={"Depth": "0"}, body=asked)
        found = re.search(rb"quota-used-bytes>(\d+)<", body)
        assert status == 207 and found, (status, body)
        return int(found[1])

    def files(self) -> Files:
        """What is really there: every file read back whole."""
        found: Files = {}
        for name in self.names():
            status, _, body = self.request("GET", name)
            assert status == 200, (name, status)
            found[name] = hashlib.sha256(body).digest()
        return found


class StormClient(threading.Thread):
    """Does random operations until stopped or cut off. ``files`` is acknowledged, ``pending`` was under way."""

    def __init__(self, client: DavClient, seed: int, known: Files, max_size: int = 200_000) -> None:
        super().__init__(name=f"storm-{seed}", daemon=True)
        self.client = client
        self.files = dict(known)
        self.pending: Operation | None = None
        self.acknowledged = 0
        self.unexpected: list[str] = []
        self._random = random.Random(seed)
        self._max_size = max_size
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        try:
            self._work()
        finally:
            self.client.close()

    def _work(self) -> None:
        while not self._stopped.is_set():
            operation = self.pending = self._choose()
            try:
                status, _, body = self.client.request(operation.verb, operation.name, operation.headers, operation.body)
            except (OSError, http.client.HTTPException):
                return
            if status >= 500:
                return  # the ground was pulled from under the gateway; this operation is undecided
            if status >= 300:
                self.unexpected.append(f"{operation.verb} {operation.name}: {status} {body[:200]!r}")
                return
            self.files = operation.after
            self.pending = None
            self.acknowledged += 1

    def allowed(self) -> list[Files]:
        """The states that a reader may find now."""
        return [self.files] + ([self.pending.after] if self.pending else [])

    def _choose(self) -> Operation:
        kind = self._random.choice(_OPERATIONS) if len(self.files) >= 3 else "put"
        new = f"{self._random.randrange(10**9):09d}.bin"
        return getattr(self, f"plan_{kind}")(new)  # type: ignore[no-any-return]

    def _known(self) -> str:
        return self._random.choice(sorted(self.files))

    def plan_put(self, name: str) -> Operation:
        size = self._random.choice([0, 1, 4096, self._random.randrange(self._max_size)])
        body = content(self._random.randrange(2**60), size)
        return Operation("PUT", name, {**self.files, name: hashlib.sha256(body).digest()}, body=body)

    def plan_overwrite(self, _new: str) -> Operation:
        return self.plan_put(self._known())

    def _transfer(self, verb: str, source: str, target: str) -> Operation:
        after = {**self.files, target: self.files[source]}
        if verb == "MOVE" and source != target:
            del after[source]
        headers = {"Destination": self.client.base + quote(target), "Overwrite": "T"}
        return Operation(verb, source, after, headers)

    def plan_move(self, new: str) -> Operation:
        return self._transfer("MOVE", self._known(), new)

    def plan_copy(self, new: str) -> Operation:
        return self._transfer("COPY", self._known(), new)

    def _two(self) -> tuple[str, str]:
        first, second = self._random.sample(sorted(self.files), 2)
        return first, second

    def plan_move_over(self, _new: str) -> Operation:
        return self._transfer("MOVE", *self._two())

    def plan_copy_over(self, _new: str) -> Operation:
        return self._transfer("COPY", *self._two())

    def plan_delete(self, _new: str) -> Operation:
        name = self._known()
        return Operation("DELETE", name, {key: value for key, value in self.files.items() if key != name})


def run_storm(
    make_client: Callable[[int], DavClient],
    known: Mapping[int, Files],
    seed: int,
    seconds: float,
    cut: Callable[[], None],
) -> list[StormClient]:
    """Lets one client per key of ``known`` work for so long, and until each has had two answers, then until ``cut`` has
    pulled the plug; returns the clients. Nobody may break off before: the gateway lived so far."""
    clients = [StormClient(make_client(n), seed * 1000 + n, files) for n, files in known.items()]
    for client in clients:
        client.start()
    time.sleep(seconds)  # the storm's length is the load, nothing is measured against it
    until(lambda: all(client.acknowledged >= 2 or not client.is_alive() for client in clients), "two answers to each")
    dead = [client.name for client in clients if not client.is_alive()]
    assert not dead, f"broke off before the cut: {dead}, {[client.unexpected for client in clients]}"
    cut()
    for client in clients:
        client.stop()
        client.join(240)
        assert not client.is_alive(), f"{client.name} hangs"
        assert not client.unexpected, client.unexpected
    return clients


def settle(make_client: Callable[[int], DavClient], clients: list[StormClient]) -> dict[int, Files]:
    """Reads back what every client has and checks that it is a state that may be; returns it."""
    known: dict[int, Files] = {}
    for n, client in enumerate(clients):
        reader = make_client(n)
        actual = reader.files()
        reader.close()
        if actual not in client.allowed():
            pending = client.pending and (client.pending.verb, client.pending.name)
            lost = {name for name in client.files if actual.get(name) != client.files[name]}
            more = set(actual) - set(client.files)
            raise AssertionError(f"client {n}, under way {pending}: differs at {lost}, not known {more}")
        known[n] = actual
    return known
