#!/usr/bin/env python3
"""Tables from the JSON that run.py wrote: report.py RESULT.json [...] [--reference NAME]"""

import json
import statistics
import sys

NOISE = 0.35  # share of a core that others used; rounds above it count only where there is no quieter one


def medians(results):
    """{case: {server: record with the median of every number}}; and the failures."""
    groups, failures = {}, {}
    for result in results:
        for row in result["rows"]:
            if "error" in row:
                failures[(row["workload"], row["server"])] = row["error"]
            else:
                groups.setdefault(row["case"], {}).setdefault(row["server"], []).append(row)
    out = {}
    for case, servers in groups.items():
        for server, rows in servers.items():
            quiet = [r for r in rows if r["other_cpu"] / max(r["wall"], 0.2) <= NOISE]
            disturbed = not quiet
            rows = quiet or rows
            merged = dict(rows[0])
            for key, value in rows[0].items():
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    merged[key] = statistics.median(r.get(key, value) for r in rows)
            values = [r["value"] for r in rows]
            merged["rounds"], merged["disturbed"] = len(rows), disturbed
            merged["spread"] = (max(values) - min(values)) / max(1e-9, merged["value"])
            out.setdefault(case, {})[server] = merged
    return out, failures


def ratio(record, reference):
    """How many times better than the reference (above 1: better)."""
    a, b = record["value"], reference["value"]
    return a / b if record["better"] == "high" else b / a


def per_cpu(record, which="server_cpu"):
    """Work done for one second of server CPU (or of another kind), where the case is a rate."""
    if record["better"] == "high" and record.get(which, 0) > 0.02:
        return record["value"] * record["wall"] / record[which]
    return None


def num(x):
    if x is None:
        return ""
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.3g}"


def put_into(page, name, text):
    """Replaces what stands between the lines <!-- name --> and <!-- /name --> of a page."""
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    with open(page) as f:
        before, begin, rest = f.read().partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise SystemExit(f"{page} has no lines {first} and {last}")
    with open(page, "w") as f:
        f.write(f"{before}{first}\n\n{text}\n\n{last}{after}")


def table(results, reference=None):
    cases, failures = medians(results)
    lines = [
        "| case | server | median | x best | x "
        + (reference or "-")
        + " | rounds | spread | per server CPU s | CPU s | client CPU s | peak RSS MiB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case, servers in cases.items():
        pick = max if next(iter(servers.values()))["better"] == "high" else min
        best = pick(servers.values(), key=lambda r: r["value"])
        for server, r in sorted(servers.items(), key=lambda kv: -ratio(kv[1], best)):
            against = f"{ratio(r, servers[reference]):.2f}" if reference in servers else ""
            lines.append(
                "| %s | %s | %s %s%s | %.2f | %s | %d | %.0f%% | %s | %s | %s | %.0f |"
                % (
                    case,
                    server,
                    num(r["value"]),
                    r["unit"],
                    "*" if r["disturbed"] else "",
                    ratio(r, best),
                    against,
                    r["rounds"],
                    100 * r["spread"],
                    num(per_cpu(r)),
                    num(r["server_cpu"]),
                    num(r["client_cpu"]),
                    r["peak_rss"],
                )
            )
    for (work, server), why in failures.items():
        lines.append("| {} | {} | failed: {} |".format(work, server, why[:120].replace("|", "/").replace("\n", " ")))
    return "\n".join(lines)


if __name__ == "__main__":
    args, ref = sys.argv[1:], None
    if "--reference" in args:
        at = args.index("--reference")
        ref = args[at + 1]
        del args[at : at + 2]
    print(table([json.load(open(a)) for a in args], ref))
