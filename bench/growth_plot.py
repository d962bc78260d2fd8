"""The plots and tables of growth.py's figures: growth_plot.py growth.json FOLDER [--into PAGE.md]

--into writes the tables between the lines <!-- growth --> and <!-- /growth --> of a page.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from report import put_into

# Okabe and Ito: told apart by everyone, on white and on dark paper
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#767676")
WIDTH, HEIGHT = 380, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 34, 46
TITLES = {"files": "files in one tenant", "tenants": "tenants"}
NAMES = {"cpu_ms": "CPU of the gates per request, ms", "ms": "median time of an answer, ms"}

Curve = Sequence[tuple[float, float]]


def curves(result: dict[str, Any], axis: str, what: str) -> dict[str, Curve]:
    """Operation → (size, median over the rounds), by size."""
    found: dict[str, dict[int, list[float]]] = {}
    for point in result["points"]:
        if point["axis"] == axis and point[what] is not None and point["operation"] != "idle":
            found.setdefault(point["operation"], {}).setdefault(point["size"], []).append(point[what])
    return {
        operation: [(size, statistics.median(values)) for size, values in sorted(sizes.items())]
        for operation, sizes in found.items()
    }


def idle(result: dict[str, Any], axis: str) -> dict[int, float]:
    """CPU milliseconds a second while nobody asks, by size."""
    found: dict[int, list[float]] = {}
    for point in result["points"]:
        if point["axis"] == axis and point["operation"] == "idle":
            found.setdefault(point["size"], []).append(point["cpu_ms"])
    return {size: statistics.median(values) for size, values in sorted(found.items())}


def short(number: float) -> str:
    """1 000 000 as 10⁶, 0.5 as it is."""
    exponent = round(math.log10(number))
    if number >= 1000 and 10**exponent == number:
        return "10" + "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(exponent))
    return f"{number:g}"


class Panel:
    """One diagram with logarithmic axes: equal steps are equal factors, a flat line is a cost that does not grow."""

    def __init__(self, left: int, title: str, x_title: str, lines: dict[str, Curve]) -> None:
        self.left, self.title, self.x_title, self.lines = left, title, x_title, lines
        xs = sorted({x for line in lines.values() for x, _ in line})
        ys = [y for line in lines.values() for _, y in line if y > 0]
        self.xs = xs
        self.x_span = math.log10(xs[0]), math.log10(xs[-1]) + (len(xs) == 1)
        self.y_span = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)) + 1e-9)

    def x(self, value: float) -> float:
        low, high = self.x_span
        return self.left + LEFT + (math.log10(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_span
        share = (math.log10(max(value, 10**low)) - low) / (high - low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def draw(self) -> Iterable[str]:
        yield _text(self.left + LEFT, 18, self.title, "title")
        yield from self._grid()
        taken: dict[float, list[float]] = {}
        for (name, line), colour in zip(self.lines.items(), COLOURS, strict=False):
            spots = [(self.x(x), self.y(y)) for x, y in line]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
            yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            for (x, y), (_, value) in zip(spots, line, strict=True):
                title = f"<title>{name}: {value:.3g} ms</title>"
                yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}">{title}</circle>'
                if all(abs(y - 11 - other) > 9 for other in taken.get(x, [])):
                    anchor = "start" if x < self.left + LEFT + 9 else "end" if x > self.left + WIDTH - 40 else "middle"
                    yield _text(x, y - 7, f"{value:.3g}", "value", anchor)
                taken.setdefault(x, []).append(y - 11)

    def _grid(self) -> Iterable[str]:
        low, high = self.y_span
        right, floor = self.left + WIDTH - RIGHT, HEIGHT - BOTTOM
        for exponent in range(low, high + 1):
            y = self.y(10**exponent)
            yield f'<line x1="{self.left + LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
            yield _text(self.left + LEFT - 6, y + 4, f"{10**exponent:g}", "tick", "end")
        for value in self.xs:
            yield f'<line x1="{self.x(value):.1f}" x2="{self.x(value):.1f}" y1="{TOP}" y2="{floor}" class="grid"/>'
            yield _text(self.x(value), floor + 16, short(value), "tick", "middle")
        yield _text((self.left + LEFT + right) / 2, floor + 34, self.x_title, "tick", "middle")


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{text}</text>'


STYLE = """<style>
text { font: 11px system-ui, sans-serif; fill: #333 }
.title { font-weight: 600; font-size: 12.5px }
.value { font-size: 9.5px; fill: #555 }
.grid { stroke: #ddd; stroke-width: 1 }
</style>"""


def svg(result: dict[str, Any], axis: str) -> str:
    """Both panels of an axis, with one legend below."""
    panels = [
        Panel(number * WIDTH, NAMES[what], TITLES[axis], curves(result, axis, what))
        for number, what in enumerate(("cpu_ms", "ms"))
    ]
    width, height = 2 * WIDTH, HEIGHT + 26
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        STYLE,
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for panel in panels:
        parts.extend(panel.draw())
    for number, (name, colour) in enumerate(zip(panels[0].lines, COLOURS, strict=False)):
        x = LEFT + number * 160
        line = f'x1="{x}" x2="{x + 22}" y1="{HEIGHT + 8}" y2="{HEIGHT + 8}"'
        parts.append(f'<line {line} stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(x + 28, HEIGHT + 12, name, "tick"))
    return "\n".join([*parts, "</svg>", ""])


def table(result: dict[str, Any]) -> str:
    """All medians in Markdown."""
    lines = []
    for axis in TITLES:
        cpu, times, resting = curves(result, axis, "cpu_ms"), curves(result, axis, "ms"), idle(result, axis)
        if not cpu:
            continue
        sizes = sorted(resting)
        names = list(cpu)
        heads = " | ".join(f"{name}: CPU ms / median ms" for name in names)
        lines += [f"| {TITLES[axis]} | {heads} | idle, CPU ms a second |"]
        lines += ["|---" * (len(names) + 2) + "|"]
        for at, size in enumerate(sizes):
            cells = [f"{cpu[name][at][1]:.2f} / {times[name][at][1]:.2f}" for name in names]
            lines.append(f"| {size:,} | ".replace(",", " ") + " | ".join(cells) + f" | {resting[size]:.0f} |")
        lines.append("")
    machine = f"{result['machine']['cores']} cores, Linux {result['machine']['kernel']}"
    rounds = 1 + max(point["round"] for point in result["points"])
    head = f"Of {result['when']}, {machine}, medians of {rounds} round{'s' * (rounds > 1)}."
    return "\n".join([head, "", *lines, sizes_table(result)])


def sizes_table(result: dict[str, Any]) -> str:
    """What the largest tenant's database is made of, in bytes per file."""
    name = max((n for n in result["databases"] if n.startswith("files")), key=lambda n: int(n.split()[1]), default=None)
    if name is None:
        return ""
    found = result["databases"][name]
    files = found["rows"]["versions"]
    parts = sorted(found["parts"].items(), key=lambda part: -part[1])
    lines = [f"| {files:,} files | MiB | bytes per file |".replace(",", " "), "|---|---|---|"]
    kinds, least = found["kinds"], found["bytes"] / 200
    shown = [(f"{kinds.get(part, 'table')} `{part}`", size) for part, size in parts if size > least]
    rest = found["bytes"] - sum(size for _, size in shown)
    lasting = found["bytes"] - found["parts"].get("events", 0)
    sums = [("**the whole database**", found["bytes"]), ("**without `events`**", lasting)]
    for label, size in [*shown, ("all others", rest), *sums]:
        lines.append(f"| {label} | {size / 2**20:.1f} | {size / files:.0f} |")
    return "\n".join(lines)


def write(result: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for axis in TITLES:
        if curves(result, axis, "cpu_ms"):
            (folder / f"{axis}.svg").write_text(svg(result, axis))


def main() -> int:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("figures", type=Path)
    ap.add_argument("folder", type=Path)
    ap.add_argument("--into", type=Path)
    opt = ap.parse_args()
    figures = json.loads(opt.figures.read_text())
    write(figures, opt.folder)
    print(table(figures))
    if opt.into:
        put_into(opt.into, "growth", table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
