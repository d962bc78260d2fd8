"""The examples of the documentation: fenced blocks whose info string ends in ``run``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """``language`` as on the fence; ``line`` of the fence; ``runs`` when the example is to be run."""

    file: Path
    line: int
    language: str
    runs: bool
    text: str

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line}"


def examples(file: Path) -> list[Example]:
    """All fenced blocks of a page, in order."""
    page = file.read_text("utf-8")
    found = []
    for match in _FENCE.finditer(page):
        line = page.count("\n", 0, match.start()) + 1
        found.append(Example(file, line, match[1], "run" in match[2].split(), match[3]))
    return found
