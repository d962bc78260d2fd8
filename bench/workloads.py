"""The registry of workloads, the context they run in, and what both protocols share.

A workload is a function of a Context that returns one record (a dict) or a list of them:
  {"case", "value", "unit", "better": "high"|"low", "wall", "server_cpu", "client_cpu", "other_cpu", "peak_rss", ...}
"""

import os
import random

from client import Conn, head, replay
from procstat import Meter, pss_mib, rss_mib

MIB = 1 << 20
ALL = {}  # name -> (protocols, function)


def workload(name, *protocols):
    def add(fn):
        for protocol in protocols:
            ALL[(protocol, name)] = fn
        return fn

    return add


class Sizes:
    """What --scale changes: full figures, or a quick look."""

    def __init__(self, scale):
        full = scale == "full"
        self.seconds = 2 if full else 1
        self.big = 1024 * MIB if full else 64 * MIB
        self.quarter = self.big // 4
        self.object = 64 * MIB if full else 16 * MIB
        self.flats = (100, 1000, 10000) if full else (100, 1000)
        self.tree = (10, 100) if full else (4, 25)  # folders x files
        self.keys = 10000 if full else 1000
        self.temp = 20 * MIB if full else 2 * MIB
        self.cycles = 8 if full else 3
        self.idle = 200


class Context:
    def __init__(self, server, sizes, scratch):
        self.server, self.sizes, self.scratch = server, sizes, scratch
        self.made = set()
        self.conn = Conn(server.addr)
        self.serial = 0

    def unique(self):
        self.serial += 1
        return "%s-%d" % (self.server.name, self.serial)

    def source(self, size):
        """A file of `size` incompressible bytes, made once for all servers. Returns its path."""
        path = os.path.join(self.scratch, "source-%d" % size)
        if not os.path.exists(path):
            block = random.Random(7).randbytes(MIB)
            with open(path, "wb") as f:
                for i in range(size // MIB):
                    f.write(i.to_bytes(8, "big") + block[8:])
        return path

    def meter(self):
        return Meter(self.server.pids(), self.server.helper_pids(), self.server.front_pids())

    def record(self, meter, case, value, unit, better="high", **more):
        out = {
            "case": case,
            "value": value,
            "unit": unit,
            "better": better,
            "wall": meter.wall,
            "server_cpu": meter.server_cpu,
            "helper_cpu": meter.helper_cpu,
            "front_cpu": meter.front_cpu,
            "client_cpu": meter.client_cpu,
            "other_cpu": meter.other_cpu,
            "peak_rss": meter.peak_rss,
        }
        out.update(more)
        return out

    def rate(self, case, heads, body=b"", conns=1, no_body=False, unit="req/s", factor=1):
        """Replay `heads` for the set time and report requests a second."""
        with self.meter() as m:
            got = replay(self.server.addr, heads, body, conns, self.sizes.seconds, no_body)
        if got["errors"] > got["requests"] * 0.001:
            raise RuntimeError("%d of %d requests failed" % (got["errors"], got["requests"]))
        return self.record(
            m,
            case,
            factor * got["requests"] / got["seconds"],
            unit,
            ops=got["requests"],
            p50_us=got["p50_us"],
            p99_us=got["p99_us"],
            client=got["client"],
        )

    def expect(self, response, *statuses):
        if response.status not in statuses:
            raise RuntimeError("status %d, wanted %s: %s" % (response.status, statuses, response.body[:300]))
        return response


@workload("process", "dav", "s3")
def process(ctx):
    """W11, W10: time from launch to the first authorised 2xx on an empty folder; memory then, and with 200 idle
    keep-alive connections."""
    old, out, conns = ctx.server, [], []
    fresh = type(old)(os.path.join(old.workdir, "..", "fresh-" + ctx.unique()), old.spare_port)
    with Meter([]) as m:
        fresh.start()
        try:
            roots = fresh.pids()
            before = rss_mib(roots), pss_mib(roots)
            for _ in range(ctx.sizes.idle):
                conn = Conn(fresh.addr, 30)
                ctx.expect(conn.request(fresh.probe(head)), 200, 207)
                conns.append(conn)
            after = rss_mib(roots), pss_mib(roots)
        finally:
            for c in conns:
                c.close()
            fresh.stop()
    out.append(ctx.record(m, "startup", fresh.startup_seconds * 1000, "ms", "low"))
    out.append(ctx.record(m, "idle-rss", before[0], "MiB", "low", pss=before[1]))
    out.append(ctx.record(m, "idle-rss-200conn", after[0], "MiB", "low", pss=after[1]))
    return out
