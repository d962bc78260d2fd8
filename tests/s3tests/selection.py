"""A plugin for the run of ceph/s3-tests: leaves out what ``left_out.txt`` names, and writes down how the rest went.

``KURADO_LEFT_OUT`` names the list, ``KURADO_RESULTS`` the file to write: JSON, name of a case → outcome.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from fnmatch import fnmatchcase
from pathlib import Path

import pytest


def read_list(file: Path) -> list[tuple[str, str]]:
    """(pattern, reason) of each line ``pattern: reason``; a pattern is a name of a case, or a marker behind an @."""
    lines = [line.strip() for line in file.read_text().splitlines()]
    pairs = [line.partition(": ") for line in lines if line and not line.startswith("#")]
    return [(pattern, reason) for pattern, _, reason in pairs]


def reason_of(name: str, markers: set[str], left_out: list[tuple[str, str]]) -> str | None:
    """Why a case is left out; None for one that is run."""
    for pattern, reason in left_out:
        if pattern.removeprefix("@") in markers if pattern.startswith("@") else fnmatchcase(name, pattern):
            return reason
    return None


class Selection:
    def __init__(self) -> None:
        self.left_out = read_list(Path(os.environ["KURADO_LEFT_OUT"]))
        self.outcomes: dict[str, str] = {}
        self.reasons: Counter[str] = Counter()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        kept, dropped = [], []
        for item in items:
            why = reason_of(item.name.partition("[")[0], {one.name for one in item.iter_markers()}, self.left_out)
            (kept if why is None else dropped).append(item)
            if why is not None:
                self.reasons[why] += 1
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or report.when == "call":
            self.outcomes.setdefault(report.nodeid.partition("::")[2], report.outcome)
        if report.failed:
            self.outcomes[report.nodeid.partition("::")[2]] = "failed"

    def pytest_sessionfinish(self) -> None:
        text = json.dumps({"outcomes": self.outcomes, "left_out": self.reasons}, indent=1)
        Path(os.environ["KURADO_RESULTS"]).write_text(text)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Selection())
