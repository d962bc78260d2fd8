#!/usr/bin/env python3
"""What a request costs as files and tenants grow: CPU of the gates and median time, interleaved, as JSON and SVG.

growth.py --json growth.json --plots ../docs/performance [--files 1000,100000,1000000] [--tenants 1,100,10000]

For every size a daemon of its own in its default, durable configuration; all live side by side and are measured in
turn (A B C A B C ...). Files stand in folders of a hundred and are made by COPY on the server, except in the tenants
that requests go to where tenants are many (twenty of them at most). --dir DIR keeps the
filled folders for a next run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import growth_plot
import procstat
from client import Conn, Response, head
from peers.kurado import Kurado, command
from workloads_dav import ALLPROP

HERE = Path(__file__).resolve().parent
FOLDER = 100  # files in a folder
GROUP = 100  # folders in a group
ACTIVE = 20  # tenants that requests go to, at most
BODY = random.Random(3).randbytes(4096)
IDLE_SECONDS = 10.5  # the steward's slowest usual round is ten
LEAST = 15  # requests that a figure is made of


class Grown(Kurado):
    """A daemon with ``size`` files in the tenant ``bench``, or with ``size`` tenants."""

    def __init__(self, home: str, port: int, axis: str, size: int) -> None:
        super().__init__(os.path.join(home, f"{axis}-{size}"), port)
        self.name, self.axis, self.size = f"{axis} {size}", axis, size
        self.filled = Path(self.workdir) / "filled"
        self.conn = Conn(self.addr)
        self.serial = 0

    @property
    def tenants(self) -> list[str]:
        """Those that requests go to, spread over all that there are."""
        if self.axis == "files":
            return ["bench"]
        count = min(ACTIVE, self.size)
        return [f"t{number * self.size // count:05d}" for number in range(count)]

    def prepare(self) -> None:
        if self.filled.exists():
            listen = json.dumps(f"127.0.0.1:{self.port}"), json.dumps(f"127.0.0.1:{self.port + 1}")
            self.config = self.write("gateway.yaml", _relisten(Path(self.workdir, "gateway.yaml").read_text(), *listen))
            self.run("db", "upgrade")
            return
        super().prepare()
        self.run("tenant", "set", "bench", "--quota", "unlimited", "--files", "unlimited")
        if self.axis == "tenants":
            python = str(Path(command()).with_name("python"))
            subprocess.run([python, str(HERE / "fill_tenants.py"), self.config, str(self.size)], check=True)

    def ask(self, method: str, path: str, *headers: tuple[str, str], body: bytes = b"") -> Response:
        wants_length = bool(body) or method in ("COPY", "MKCOL", "PUT")
        text = head(method, path, self.host, [*self.headers(), *headers], len(body) if wants_length else None)
        got = self.conn.request(text, body)
        if not 200 <= got.status < 300:
            raise RuntimeError(f"{self.name}: {method} {path}: {got.status} {got.body[:200]!r}")
        return got

    def copy(self, source: str, target: str) -> None:
        self.ask("COPY", source, ("Destination", f"http://{self.host}{target}"), ("Depth", "infinity"))

    def unique(self) -> str:
        self.serial += 1
        return f"{os.getpid()}-{self.serial}"


def _relisten(config: str, dav: str, desk: str) -> str:
    lines = [line for line in config.splitlines() if not line.startswith("listen:")]
    return "\n".join([*lines, f"listen: {{dav: {dav}, desk: {desk}}}", ""])


# -- filling ----------------------------------------------------------------------------------------------------------


def folders(server: Grown) -> Iterator[str]:
    """The paths of all folders of a hundred files that requests go to."""
    if server.axis == "tenants":
        yield from (f"/dav/{tenant}/g00/d00" for tenant in server.tenants)
        return
    count = server.size // FOLDER
    yield from (f"/dav/bench/g{n // GROUP:02d}/d{n % GROUP:02d}" for n in range(count))


def fill(server: Grown) -> None:
    if server.filled.exists():
        return
    begun = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(_fill_folder, server, tenant) for tenant in server.tenants]:
            done.result()
    count = server.size // FOLDER if server.axis == "files" else 1
    for number in range(1, min(count, GROUP)):
        server.copy("/dav/bench/g00/d00/", f"/dav/bench/g00/d{number:02d}/")
    for number in range(1, count // GROUP):
        server.copy("/dav/bench/g00/", f"/dav/bench/g{number:02d}/")
    server.filled.touch()
    print(f"filled {server.name} in {time.monotonic() - begun:.0f} s", flush=True)


def _fill_folder(server: Grown, tenant: str) -> None:
    """The first folder of a tenant, over a connection of its own."""
    conn = Conn(server.addr)

    def send(method: str, path: str, body: bytes = b"") -> None:
        got = conn.request(head(method, path, server.host, server.headers(), len(body)), body)
        if got.status != 201:
            raise RuntimeError(f"{server.name}: {method} {path}: {got.status} {got.body[:200]!r}")

    for folder in ("g00", "g00/d00"):
        send("MKCOL", f"/dav/{tenant}/{folder}/")
    for number in range(FOLDER):
        send("PUT", f"/dav/{tenant}/g00/d00/f{number:02d}.jpg", BODY)
    conn.close()


# -- measuring --------------------------------------------------------------------------------------------------------

Step = Callable[[], object]


def step_get(server: Grown, places: list[str], rnd: random.Random) -> tuple[Step, Step]:
    return lambda: server.ask("GET", f"{rnd.choice(places)}/f{rnd.randrange(FOLDER):02d}.jpg"), _nothing


def step_propfind(server: Grown, places: list[str], rnd: random.Random) -> tuple[Step, Step]:
    header = ("Depth", "1")
    return lambda: server.ask("PROPFIND", rnd.choice(places) + "/", header, body=ALLPROP), _nothing


def step_put(server: Grown, _places: list[str], rnd: random.Random) -> tuple[Step, Step]:
    """New files of 4 KiB beside others, in one new folder of each tenant."""
    tops = [f"/dav/{tenant}/put-{server.unique()}/" for tenant in server.tenants]
    for top in tops:
        server.ask("MKCOL", top)
    serial = iter(range(1 << 30))
    return (
        lambda: server.ask("PUT", f"{rnd.choice(tops)}f{next(serial):06d}.jpg", body=BODY),
        lambda: [server.ask("DELETE", top) for top in tops],
    )


def step_copy(server: Grown, places: list[str], rnd: random.Random) -> tuple[Step, Step]:
    """A folder of 100 files, to a new name in its tenant."""
    tops = {tenant: f"/dav/{tenant}/copy-{server.unique()}/" for tenant in server.tenants}
    for top in tops.values():
        server.ask("MKCOL", top)
    serial = iter(range(1 << 30))

    def copy() -> None:
        source = rnd.choice(places)
        server.copy(source + "/", f"{tops[source.split('/')[2]]}c{next(serial):05d}/")

    return copy, lambda: [server.ask("DELETE", top) for top in tops.values()]


def _nothing() -> None:
    return None


STEPS = {"GET 4 KiB": step_get, "PUT 4 KiB": step_put, "PROPFIND of 100": step_propfind, "COPY of 100": step_copy}


def warm(server: Grown) -> None:
    """Every login that is to come was checked once by this connection's gate."""
    for tenant in server.tenants:
        server.ask("OPTIONS", f"/dav/{tenant}/")


def settle(server: Grown, busy: float) -> None:
    """Until what was put off (events, erasing) is done: the server is as idle as ever, 20 s at most."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        before = procstat.cpu_seconds(server.pids())
        time.sleep(0.5)
        if (procstat.cpu_seconds(server.pids()) - before) / 0.5 < busy + 0.1:
            return


def measure(server: Grown, operation: str, seconds: float, rnd: random.Random) -> dict[str, Any]:
    """CPU milliseconds of the processes that serve requests, and the median of the answers' times, per request."""
    places, fronts = list(folders(server)), server.front_pids()
    warm(server)
    one, clear = STEPS[operation](server, places, rnd)
    times: list[float] = []
    cpu, begun = procstat.cpu_seconds(fronts), time.perf_counter()
    while len(times) < LEAST or time.perf_counter() - begun < seconds:
        at = time.perf_counter()
        one()
        times.append(time.perf_counter() - at)
    cpu = procstat.cpu_seconds(fronts) - cpu
    clear()
    return {"cpu_ms": 1000 * cpu / len(times), "ms": 1000 * statistics.median(times), "requests": len(times)}


def idle(server: Grown, seconds: float) -> dict[str, Any]:
    """What the server (all its processes) costs while nobody asks: CPU milliseconds for each second."""
    before, begun = procstat.cpu_seconds(server.pids()), time.perf_counter()
    time.sleep(seconds)
    spent = procstat.cpu_seconds(server.pids()) - before
    return {"cpu_ms": 1000 * spent / (time.perf_counter() - begun), "ms": None, "requests": 0}


def database_size(server: Grown) -> dict[str, Any]:
    """Bytes of each table and index of the database, of a server that was stopped; and how many rows files take."""
    with sqlite3.connect(f"file:{server.workdir}/data/kurado.db?mode=ro", uri=True) as db:
        parts = dict(db.execute("SELECT name, SUM(pgsize) FROM dbstat GROUP BY name").fetchall())
        kinds = dict(db.execute("SELECT name, type FROM sqlite_schema").fetchall())
        counts = {
            table: db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            for table in ("nodes", "versions", "events", "tenants")
        }
    return {"bytes": sum(parts.values()), "parts": parts, "kinds": kinds, "rows": counts}


# -- the whole run -----------------------------------------------------------------------------------------------------


def options() -> argparse.Namespace:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--files", default="1000,100000,1000000")
    ap.add_argument("--tenants", default="1,100,10000")
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--seconds", type=float, default=1.5, help="of requests for one figure")
    ap.add_argument("--operations", default=",".join(STEPS))
    ap.add_argument("--port", type=int, default=18700)
    ap.add_argument("--dir", help="keeps the filled folders there (default: a temporary folder)")
    ap.add_argument("--json", default="growth.json")
    ap.add_argument("--plots", help="folder for the SVG files")
    return ap.parse_args()


def servers(opt: argparse.Namespace, home: str) -> list[Grown]:
    sizes = [(axis, int(size)) for axis in ("files", "tenants") for size in getattr(opt, axis).split(",") if size]
    return [Grown(home, opt.port + 2 * number, axis, size) for number, (axis, size) in enumerate(sizes)]


def run(opt: argparse.Namespace, running: list[Grown]) -> list[dict[str, Any]]:
    """All figures, round by round; the servers in turn."""
    points, rnd = [], random.Random(17)
    busy = {}
    for server in running:
        settle(server, 0)
        busy[server.name] = idle(server, IDLE_SECONDS)["cpu_ms"] / 1000
    for number in range(opt.rounds):
        for operation in [*opt.operations.split(","), "idle"]:
            for server in running:
                resting = busy[server.name]
                settle(server, resting)
                if operation == "idle":
                    figures = idle(server, IDLE_SECONDS)
                else:
                    figures = measure(server, operation, opt.seconds, rnd)
                points.append(
                    {"axis": server.axis, "size": server.size, "operation": operation, "round": number, **figures}
                )
                print("{round} {axis:8} {size:>8} {operation:16} cpu {cpu_ms:8.3f} ms".format(**points[-1]), flush=True)
                save(opt, points, {})
    return points


def save(opt: argparse.Namespace, points: list[dict[str, Any]], sizes: dict[str, Any]) -> dict[str, Any]:
    """Writes what there is so far: a run that is cut short keeps its figures."""
    machine = {"cores": os.cpu_count(), "kernel": platform.release()}
    result = {"when": time.strftime("%Y-%m-%d"), "machine": machine, "points": points, "databases": sizes}
    Path(opt.json).write_text(json.dumps(result, indent=1))
    return result


def main() -> int:
    opt = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    home = os.path.abspath(opt.dir) if opt.dir else tempfile.mkdtemp(prefix="growth-")
    running: list[Grown] = []
    sizes = {}
    try:
        for server in servers(opt, home):
            running.append(server)
            server.start()
            fill(server)
        points = run(opt, running)
        for server in running:
            server.stop()
            sizes[server.name] = database_size(server)
    finally:
        for server in running:
            server.stop()
        if not opt.dir:
            shutil.rmtree(home, ignore_errors=True)
    result = save(opt, points, sizes)
    if opt.plots:
        growth_plot.write(result, Path(opt.plots))
    print(growth_plot.table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
