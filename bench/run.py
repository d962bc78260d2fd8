#!/usr/bin/env python3
"""Run chosen servers and workloads side by side, interleaved, and compare them. See README.md."""

import argparse
import contextlib
import fcntl
import itertools
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import issue_table
import peers
import procstat
import report
import rows
import workloads
import workloads_dav  # noqa: F401  (registers)
import workloads_s3  # noqa: F401


@contextlib.contextmanager
def held(path):
    """Hold an advisory lock while measuring, where several jobs share the machine."""
    if not path:
        yield
        return
    with open(path, "a") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def options():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--servers", help="comma list; 'list' prints the names (default with --rows: all that they need)")
    ap.add_argument("--workloads", help="comma list (default: all of the protocol)")
    ap.add_argument(
        "--rows", action="store_true", help="each workload on the servers that rows.py compares in it, no others"
    )
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--scale", choices=["full", "quick"], default="full")
    ap.add_argument("--reference", help="server the ratios are against (default: the best of each case)")
    ap.add_argument("--driver", action="append", default=[], help="a further driver module, e.g. mine.server")
    ap.add_argument(
        "--port",
        type=int,
        default=18100,
        help="first port; each server takes as many as it says (`ports`), then a spare set follows",
    )
    ap.add_argument("--dir", help="where servers keep their files (default: a new temporary folder, removed after)")
    ap.add_argument("--json", help="write every record there")
    ap.add_argument("--lock", help="file to flock around each measurement")
    ap.add_argument(
        "--noise",
        type=float,
        default=0.25,
        help="run a measurement again (once) when others used more than this share of a core",
    )
    opt = ap.parse_args()
    if not opt.servers and not opt.rows:
        ap.error("say --servers or --rows")
    return opt


def needed(opt, classes):
    """The servers to start, the workloads in their order, and whether a workload is wanted of a server."""
    plan = rows.plan() if opt.rows else {}
    wanted = opt.workloads.split(",") if opt.workloads else list(dict.fromkeys(w for _p, w in workloads.ALL))
    if opt.servers:
        names = opt.servers.split(",")
    else:
        used = set().union(*(plan.get(work, ()) for work in wanted))
        names = [name for name in classes if name in used]
    return names, wanted, lambda work, name: not plan or name in plan.get(work, ())


def measure(fn, ctx, opt):
    """One run of one workload on one server; repeated when other work on the machine disturbed it."""
    best = None
    for _ in range(2):
        with held(opt.lock):
            procstat.wait_quiet(opt.noise)
            ctx.conn.close()
            records = fn(ctx)
        records = records if isinstance(records, list) else [records]
        noise = max(r["other_cpu"] / max(r["wall"], 0.2) for r in records)
        if best is None or noise < best[0]:
            best = noise, records
        if noise <= opt.noise:
            break
    return best[1]


def save(opt, records):
    """Write what there is so far: a long run that is cut short keeps its figures."""
    result = {
        "when": time.strftime("%Y-%m-%d"),
        "machine": {"cores": os.cpu_count(), "kernel": platform.release()},
        "scale": opt.scale,
        "rounds": opt.rounds,
        "rows": records,
    }
    if opt.json:
        with open(opt.json + ".part", "w") as f:
            json.dump(result, f, indent=1)
        os.replace(opt.json + ".part", opt.json)
    return result


def main():
    opt = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    classes = peers.load(opt.driver)
    if opt.servers == "list":
        print("\n".join("%-18s %s" % (n, c.protocol) for n, c in classes.items()))
        return 0
    names, wanted, is_needed = needed(opt, classes)
    home = os.path.abspath(opt.dir) if opt.dir else tempfile.mkdtemp(prefix="bench-")
    os.makedirs(home, exist_ok=True)
    os.chmod(home, 0o755)
    sizes, contexts, records = workloads.Sizes(opt.scale), {}, []
    try:
        port = opt.port
        spare = port + sum(classes[n].ports for n in names)
        for name in names:
            server = classes[name](os.path.join(home, name), port)
            server.spare_port = spare
            port += server.ports
            try:
                contexts[name] = workloads.Context(server.start(), sizes, home)
                print("started %-16s %.0f ms" % (name, server.startup_seconds * 1000), flush=True)
            except Exception as e:
                print(f"NOT STARTED {name}: {e}", flush=True)
        failed = set()
        for round_no, work, name in itertools.product(range(opt.rounds), wanted, contexts):
            ctx = contexts[name]
            fn = workloads.ALL.get((ctx.server.protocol, work))
            if fn is None or work in ctx.server.skip or (work, name) in failed or not is_needed(work, name):
                continue
            try:
                for record in measure(fn, ctx, opt):
                    record.update(server=name, workload=work, round=round_no)
                    records.append(record)
                    print(
                        "%-10s %d %-16s %-22s %12.1f %-9s cpu %.2f client %.2f other %.2f"
                        % (
                            work,
                            round_no,
                            name,
                            record["case"],
                            record["value"],
                            record["unit"],
                            record["server_cpu"],
                            record["client_cpu"],
                            record["other_cpu"],
                        ),
                        flush=True,
                    )
            except Exception as e:
                failed.add((work, name))
                records.append({"server": name, "workload": work, "error": f"{type(e).__name__}: {e}"})
                print("%-10s %d %-16s FAILED %s" % (work, round_no, name, str(e)[:300]), flush=True)
            save(opt, records)
    finally:
        for ctx in contexts.values():
            ctx.server.stop()
        if not opt.dir:
            shutil.rmtree(home, ignore_errors=True)
    result = save(opt, records)
    print()
    print(report.table([result], opt.reference))
    if opt.rows:
        print()
        print(issue_table.table([result]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
