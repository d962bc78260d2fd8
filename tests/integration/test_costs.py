"""What requests may cost, counted: a change that makes one dearer fails here, on any machine, however busy it is.

Whoever makes something cheaper lowers its bound in the same commit: a bound is what was reached, not what is allowed.
``kurado``'s speed itself is measured by bench/ and stands in docs/performance.md.
"""

from __future__ import annotations

import functools
import hashlib
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.testing.clamd import Clamd, find_clamd
from gateway.testing.costs import PLUGINS, Cost, CountedGate, counted_gate
from gateway.testing.dav_client import lock_body, propfind_body, proppatch_body

SMALL = bytes(range(256)) * 16
MIB = 1 << 20
LARGE = 8 * MIB
LITTLE = 256 * 1024  # bytes of the database and of heads beside a large body
REPEATED = 3  # the cheapest of so many counts: a checkpoint of the database may fall into one

BOUNDS = {
    # at most: statements (one of each commit moves the mark), commits, flushes of files, steps of SQLite
    "OPTIONS": Cost(2, steps=300),
    "HEAD": Cost(2, steps=300),
    "GET 4 KiB": Cost(3, steps=300),
    "GET 4 KiB again": Cost(1, steps=50),
    "PROPFIND depth 0": Cost(3, steps=300),
    "PROPFIND depth 1 of 1 000": Cost(8, steps=30_000),
    "PUT 4 KiB": Cost(12, commits=1, steps=900),
    "PUT 4 KiB over another": Cost(17, commits=1, steps=900),
    "PUT 8 MiB": Cost(12, commits=1, flushes=2, steps=900),
    "MKCOL": Cost(9, commits=1, steps=650),
    "PROPPATCH": Cost(8, commits=1, steps=625),
    "LOCK": Cost(6, commits=1, steps=525),
    "UNLOCK": Cost(4, commits=1, steps=300),
    "MOVE of a file": Cost(19, commits=1, steps=1_100),
    "MOVE of 1 000": Cost(21, commits=1, steps=8_000),
    "COPY of 1 000": Cost(22, commits=1, steps=275_000),
    "DELETE of a file": Cost(19, commits=1, steps=1_000),
    "DELETE of 1 000": Cost(22, commits=1, steps=270_000),
    "S3 GET 4 KiB": Cost(3, steps=300),
    "S3 GET 4 KiB again": Cost(1, steps=50),
    "S3 PUT 4 KiB": Cost(12, commits=1, steps=1_050),
    "S3 list of 1 000": Cost(3, steps=20_000),
    "S3 delete of 1 000": Cost(60, commits=5, steps=355_000),
}

Request = Callable[[], object]


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CountedGate]:
    """``many/`` has 1 000 files."""
    with counted_gate(tmp_path_factory.mktemp("costs")) as one:
        one.space.mkcol("many")
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(lambda n: one.space.put(f"many/f{n:04d}.jpg", b"%d" % n), range(1000)))
        yield one


class Operations:
    """Each method makes its place ready and returns the request that is counted. ``n`` tells repetitions apart."""

    def __init__(self, gate: CountedGate) -> None:
        self.gate = gate
        self.ask, self.space = gate.ask, gate.space

    def options(self, n: int) -> Request:
        return lambda: self.ask("OPTIONS", "many/f0000.jpg")

    def head(self, n: int) -> Request:
        self._file(f"head{n}")
        return lambda: self.ask("HEAD", f"head{n}")

    def get(self, n: int) -> Request:
        self._file(f"get{n}")
        return lambda: self.ask("GET", f"get{n}")

    def propfind(self, n: int) -> Request:
        self._file(f"find{n}")
        return lambda: self.ask("PROPFIND", f"find{n}", propfind_body("D:getetag"), {"Depth": "0"})

    def propfind_many(self, n: int) -> Request:
        self._file(f"find{n}")
        return lambda: self.ask("PROPFIND", "many/", None, {"Depth": "1"})

    def put(self, n: int) -> Request:
        self.space.mkcol(f"put{n}")
        return lambda: self.ask("PUT", f"put{n}/new", SMALL)

    def put_over(self, n: int) -> Request:
        self._file(f"over{n}")
        return lambda: self.ask("PUT", f"over{n}", SMALL)

    def put_large(self, n: int) -> Request:
        self.space.mkcol(f"large{n}")
        return lambda: self.ask("PUT", f"large{n}/new", bytes(LARGE))

    def mkcol(self, n: int) -> Request:
        return lambda: self.ask("MKCOL", f"made{n}/")

    def proppatch(self, n: int) -> Request:
        self._file(f"patch{n}")
        body = proppatch_body("<D:set><D:prop><X:label>final</X:label></D:prop></D:set>")
        return lambda: self.ask("PROPPATCH", f"patch{n}", body)

    def lock(self, n: int) -> Request:
        self._file(f"lock{n}")
        return lambda: self.ask("LOCK", f"lock{n}", lock_body(), {"Depth": "0", "Timeout": "Second-60"})

    def unlock(self, n: int) -> Request:
        self._file(f"unlock{n}")
        token = self.ask("LOCK", f"unlock{n}", lock_body(), {"Depth": "0"}).headers["Lock-Token"]
        return lambda: self.ask("UNLOCK", f"unlock{n}", None, {"Lock-Token": token})

    def move(self, n: int) -> Request:
        self._file(f"from{n}")
        return lambda: self.ask("MOVE", f"from{n}", None, {"Destination": self.gate.url(f"to{n}")})

    def move_many(self, n: int) -> Request:
        self._copy(f"move{n}/")
        return lambda: self.ask("MOVE", f"move{n}/", None, {"Destination": self.gate.url(f"moved{n}/")})

    def copy_many(self, n: int) -> Request:
        return lambda: self._copy(f"copy{n}/")

    def delete(self, n: int) -> Request:
        self._file(f"gone{n}")
        return lambda: self.ask("DELETE", f"gone{n}")

    def delete_many(self, n: int) -> Request:
        self._copy(f"delete{n}/")
        return lambda: self.ask("DELETE", f"delete{n}/")

    def s3_get(self, n: int) -> Request:
        self.gate.signed("PUT", f"get{n}", body=SMALL)
        return lambda: self.gate.signed("GET", f"get{n}")

    def s3_put(self, n: int) -> Request:
        self.gate.signed("PUT", f"put{n}/first", body=SMALL)
        return lambda: self.gate.signed("PUT", f"put{n}/new", body=SMALL)

    def s3_list(self, n: int) -> Request:
        self._copy(f"studio/list{n}/")
        return lambda: self.gate.signed("GET", query={"list-type": "2", "prefix": f"list{n}/"})

    def s3_delete(self, n: int) -> Request:
        self._copy(f"studio/delete{n}/")
        keys = "".join(f"<Object><Key>delete{n}/f{number:04d}.jpg</Key></Object>" for number in range(1000))
        body = f"<Delete><Quiet>true</Quiet>{keys}</Delete>".encode()
        headers = {"Content-MD5": b64encode(hashlib.md5(body).digest()).decode()}
        return lambda: self.gate.signed("POST", query={"delete": ""}, body=body, headers=headers)

    def _file(self, name: str) -> None:
        self.space.put(name, SMALL)

    def _copy(self, target: str) -> None:
        self.ask("COPY", "many/", None, {"Destination": self.gate.url(target)})


OPERATIONS: dict[str, Callable[[Operations, int], Request]] = {
    "OPTIONS": Operations.options,
    "HEAD": Operations.head,
    "GET 4 KiB": Operations.get,
    "GET 4 KiB again": Operations.get,
    "PROPFIND depth 0": Operations.propfind,
    "PROPFIND depth 1 of 1 000": Operations.propfind_many,
    "PUT 4 KiB": Operations.put,
    "PUT 4 KiB over another": Operations.put_over,
    "PUT 8 MiB": Operations.put_large,
    "MKCOL": Operations.mkcol,
    "PROPPATCH": Operations.proppatch,
    "LOCK": Operations.lock,
    "UNLOCK": Operations.unlock,
    "MOVE of a file": Operations.move,
    "MOVE of 1 000": Operations.move_many,
    "COPY of 1 000": Operations.copy_many,
    "DELETE of a file": Operations.delete,
    "DELETE of 1 000": Operations.delete_many,
    "S3 GET 4 KiB": Operations.s3_get,
    "S3 GET 4 KiB again": Operations.s3_get,
    "S3 PUT 4 KiB": Operations.s3_put,
    "S3 list of 1 000": Operations.s3_list,
    "S3 delete of 1 000": Operations.s3_delete,
}


@pytest.mark.parametrize("operation", BOUNDS)
def test_a_request_costs_no_more_than_its_bound(gate: CountedGate, operation: str) -> None:
    cost, texts = _cheapest(gate, operation)
    bound = BOUNDS[operation]
    print(f'    "{operation}": {cost},')  # shown by -s or -rP: what the bound could be now
    dearer = any(mine > most for mine, most in zip(cost.figures, bound.figures, strict=True))
    assert not dearer, f"{operation} costs {cost}, at most {bound}; its statements:\n{_listed(texts)}"


def _cheapest(gate: CountedGate, operation: str) -> tuple[Cost, list[str]]:
    costs, texts = [], []
    for n in range(REPEATED):
        request = OPERATIONS[operation](Operations(gate), n)
        costs.append(gate.cost(request, first=request if operation.endswith(" again") else None))
        texts.append(list(gate.counting.texts))
    return functools.reduce(Cost.least, costs), min(texts, key=len)


def _listed(texts: list[str]) -> str:
    return "\n".join(f"{count:5} x {text[:200]}" for text, count in Counter(texts).items())


# -- growth ------------------------------------------------------------------------------------------------------------

GROWING = {
    "GET": lambda gate, n: gate.ask("GET", f"hundred/f{n:02d}"),
    "PUT": lambda gate, n: gate.ask("PUT", f"hundred/new{n}", SMALL),
    "PROPFIND of 100": lambda gate, _: gate.ask("PROPFIND", "hundred/", None, {"Depth": "1"}),
    "COPY of 100": lambda gate, n: gate.ask("COPY", "hundred/", None, {"Destination": gate.url(f"copy{n}/")}),
    "S3 list of 100": lambda gate, _: gate.signed("GET", query={"list-type": "2", "prefix": "hundred/"}),
    "LOCK": lambda gate, n: gate.ask("LOCK", f"hundred/f{n:02d}", lock_body(), {"Depth": "0"}),
}
ROOM = 1.1  # beside a shape of trees that is another


def test_costs_do_not_grow_with_the_files_and_tenants_beside(tmp_path: Path) -> None:
    with counted_gate(tmp_path) as gate:
        for top in ("hundred", "studio/hundred"):
            gate.space.mkcol(top)
            for number in range(100):
                gate.space.put(f"{top}/f{number:02d}", b"%d" % number)
        before = {name: _grown(gate, request, range(3)) for name, request in GROWING.items()}
        for number in range(30):
            gate.ask("COPY", "hundred/", None, {"Destination": gate.url(f"beside{number}/")})
        for number in range(200):
            gate.space.services.accounts.add_tenant(f"beside{number}", plan="standard")
        after = {name: _grown(gate, request, range(3, 6)) for name, request in GROWING.items()}
    for name, small in before.items():
        large = after[name]
        assert large.statements <= small.statements, (name, small, large)
        assert large.steps <= ROOM * small.steps + 200, (name, small, large)


def _grown(gate: CountedGate, request: Callable[[CountedGate, int], object], numbers: range) -> Cost:
    return functools.reduce(Cost.least, [gate.cost(functools.partial(request, gate, n)) for n in numbers])


# -- bytes -------------------------------------------------------------------------------------------------------------


def test_a_body_is_read_from_the_line_and_written_once(gate: CountedGate) -> None:
    read, written = _file_bytes(gate, "bytes", bytes(LARGE))
    assert read <= LARGE + LITTLE, "the bytes that came are read again"
    assert written <= LARGE + LITTLE


def test_a_scanned_body_is_not_read_again(tmp_path: Path) -> None:
    find_clamd()
    (tmp_path / "clamd").mkdir()
    with Clamd(tmp_path / "clamd") as clamd:
        scan = {"name": "virus_scan", "address": clamd.tcp}
        with counted_gate(tmp_path / "space", (*PLUGINS, scan)) as gate:
            read, written = _file_bytes(gate, "scanned", bytes(LARGE))
    assert read <= LARGE + LITTLE
    assert written <= LARGE + LITTLE


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_copy_and_move_touch_no_content(gate: CountedGate, method: str) -> None:
    gate.ask("PUT", f"{method}0", bytes(LARGE))
    found = []
    for number in range(REPEATED):
        target = {"Destination": gate.url(f"{method}{number + 1}")}
        gate.cost(functools.partial(gate.ask, method, f"{method}{number}", None, target))
        found.append(max(gate.counting.file_bytes))
    assert min(found) < LITTLE


def _file_bytes(gate: CountedGate, name: str, body: bytes) -> tuple[int, int]:
    """Bytes read and written for one PUT, the lowest of a few: the database may begin its journal anew in one."""
    found = []
    for number in range(REPEATED):
        gate.cost(functools.partial(gate.ask, "PUT", f"{name}{number}", body))
        found.append(gate.counting.file_bytes)
    return min(read for read, _ in found), min(written for _, written in found)
