#!/usr/bin/env python3
"""The table of rows.py in Markdown, from the JSON that run.py wrote: issue_table.py OUT.json [--into PAGE.md]

--into writes it between the lines <!-- table --> and <!-- /table --> of a page.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from report import medians, num, per_cpu, put_into
from rows import COLUMNS, ROWS, Bar, Limit, Row

Record = dict[str, Any]
HEAD = "| # | workload | kurado | beside it | × | at least | reached | with scan | with replica |"


def figure(record: Record, row: Row, per_second: bool = False) -> float | None:
    return per_cpu(record, "front_cpu") if per_second else record.get(row.field)


def ratio(row: Row, own: Record, other: Record, per_second: bool = False) -> float | None:
    """How many times as good as the other."""
    a, b = figure(own, row, per_second), figure(other, row, per_second)
    if not a or not b:
        return None
    return a / b if own["better"] == "high" else b / a


def shown(record: Record | None, row: Row, per_second: bool = False) -> str:
    if record is None:
        return "–"
    value = figure(record, row, per_second)
    star = "\\*" if record["disturbed"] else ""
    return f"{num(value)} {row.unit or record['unit']}{star}" if value is not None else "–"


def line(number: int, row: Row, servers: dict[str, Record]) -> str:
    own = servers.get(row.server)
    per_second = any(isinstance(bar, Bar) and bar.per_cpu for bar in row.bars)
    beside, times, least, reached = [], [], [], []
    for bar in row.bars:
        if isinstance(bar, Limit):
            beside += [f"{peer} {shown(servers.get(peer), row)}" for peer in bar.shown]
            least.append(f"< {num(bar.below)} {row.unit or (own or {}).get('unit', '')}")
            value = own and figure(own, row)
            reached.append("–" if not value else "yes" if value < bar.below else "**no**")
            continue
        other = servers.get(bar.peer)
        beside.append(f"{bar.peer} {shown(other, row, bar.per_cpu)}")
        found = ratio(row, own, other, bar.per_cpu) if own and other else None
        times.append("–" if found is None else f"{found:.2f}")
        least.append(" ".join(f"{word}{value:g}" for word, value in (("", bar.least), ("aim ", bar.aim)) if value))
        reached.append(verdict(bar, found))
    columns = [column(row, servers, name) for name in COLUMNS]
    compared = ["<br>".join(cell) for cell in (beside, times, least, reached)]
    cells = [str(number), row.title, shown(own, row, per_second), *compared]
    return "| " + " | ".join([*cells, *columns]) + " |"


def verdict(bar: Bar, found: float | None) -> str:
    if found is None:
        return "–"
    if found < bar.least:
        return "**no**"
    if bar.aim is None:
        return "yes"
    if found >= bar.aim:
        return "yes, and the aim" if bar.least else "aim yes"
    return "yes, not the aim" if bar.least else "aim no"


def column(row: Row, servers: dict[str, Record], name: str) -> str:
    """The same with scan or replica on, and what part of the plain figure that is."""
    own, other = servers.get(row.server), servers.get(name)
    if not row.columns or own is None or other is None:
        return ""
    found = ratio(row, other, own)
    return shown(other, row) + (f" ({found:.2f})" if found else "")


def table(results: list[Any]) -> str:
    cases, failures = medians(results)
    lines = [HEAD, "|---" * (HEAD.count("|") - 1) + "|"]
    lines += [line(number, row, cases.get(row.case, {})) for number, row in enumerate(ROWS, 1)]
    lines += [f"\nFailed: {work} on {server}: {why[:200]}" for (work, server), why in failures.items()]
    first = results[0]
    machine = f"{first['machine']['cores']} cores, Linux {first['machine']['kernel']}"
    rounds = sum(result["rounds"] for result in results)
    return f"Of {first['when']}, {machine}, medians of {rounds} rounds, scale {first['scale']}.\n\n" + "\n".join(lines)


def main() -> int:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("results", nargs="+", type=Path)
    ap.add_argument("--into", type=Path)
    opt = ap.parse_args()
    text = table([json.loads(file.read_text()) for file in opt.results])
    print(text)
    if opt.into:
        put_into(opt.into, "table", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
