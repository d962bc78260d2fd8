"""The table of kinds is that of the program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.domain.contract.notices import BY_ARRIVAL
from gateway.domain.notice_kinds import KINDS
from gateway.domain.notice_sources import SOURCES

PAGE = (Path(__file__).parents[2] / "docs" / "notices.md").read_text("utf-8")
ROWS = {match[1]: match[0] for match in re.finditer(r"^\| `(\w+)` \|.*\|$", PAGE, re.MULTILINE)}


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_has_its_row(kind: object) -> None:
    one = KINDS[getattr(kind, "name", "")]
    row = ROWS[one.name]
    assert f"| {one.rule} |" in row
    assert f"| {'arrival' if one.effect in BY_ARRIVAL else 'sending'} |" in row
    assert re.findall(r"`(\w+)`", row.rpartition("| ")[2] or row.split(" | ")[-1]) == list(one.sample)


def test_no_row_is_left_over() -> None:
    assert set(ROWS) == set(KINDS)


def test_every_act_that_is_told_stands_with_its_kind() -> None:
    for act, sources in SOURCES.items():
        for source in sources:
            assert f"`{act}`" in ROWS[source.kind], act
