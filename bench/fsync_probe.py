#!/usr/bin/env python3
"""Does a server make a PUT durable before it answers? strace of its processes over one PUT.

fsync_probe.py --servers a,b [--size BYTES]: prints the sync calls seen until the answer, and within 1 s after it.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import peers
from client import Conn
from procstat import tree
from workloads_dav import make

CALLS = "fsync,fdatasync,sync_file_range,syncfs,sync,msync,openat,open,rename,renameat,renameat2,link,linkat"
SYNCS = re.compile(r"\b(fsync|fdatasync|syncfs|sync|msync|sync_file_range)\(")


def probe(server, size):
    body = os.urandom(size)

    def request(name):
        if server.protocol == "dav":
            return make(type("C", (), {"server": server}), "PUT", "/" + name, length=size)
        return server.signed(
            "PUT", f"/{server.bucket}/{name}", length=size, payload_sha256=hashlib.sha256(body).hexdigest()
        )

    Conn(server.addr).request(request("warm.bin"), body)  # volumes, lock databases and the like are made here
    log = os.path.join(server.workdir, "strace")
    argv = ["strace", "-f", "-ttt", "-y", "-e", "trace=" + CALLS, "-o", log]
    for pid in tree(server.pids()):
        argv += ["-p", str(pid)]
    tracer = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    time.sleep(1.5)
    start = time.time()
    got = Conn(server.addr).request(request("probe.bin"), body)
    answered = time.time()
    time.sleep(1)
    tracer.terminate()
    tracer.wait()
    before, after, opens, renames = [], [], [], 0
    for line in open(log, errors="replace"):
        found = re.match(r"\d+\s+([\d.]+) (.*)", line)
        if not found or float(found.group(1)) < start:
            continue
        when, call = float(found.group(1)), found.group(2)
        if SYNCS.search(call):
            (before if when < answered else after).append(call[:100])
        elif when < answered and ("O_SYNC" in call or "O_DSYNC" in call):
            opens.append(call[:100])
        elif when < answered and call.startswith(("rename", "link")):
            renames += 1
    return got.status, before, after, opens, renames


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--servers", required=True)
    ap.add_argument("--size", type=int, default=1 << 20)
    ap.add_argument("--port", type=int, default=18180)
    ap.add_argument("--driver", action="append", default=[])
    opt = ap.parse_args()
    classes = peers.load(opt.driver)
    with tempfile.TemporaryDirectory() as home:
        os.chmod(home, 0o755)
        for name in opt.servers.split(","):
            server = classes[name](os.path.join(home, name), opt.port)
            try:
                server.start()
                status, before, after, opens, renames = probe(server, opt.size)
                print(
                    "%-16s status %d; before the answer: %d sync calls, %d O_SYNC opens, %d renames; after it: %d"
                    % (name, status, len(before), len(opens), renames, len(after))
                )
                for line in (before + after)[:4]:
                    print("    " + line)
            except Exception as e:
                print("%-16s FAILED %s" % (name, e))
            finally:
                server.stop()


if __name__ == "__main__":
    main()
