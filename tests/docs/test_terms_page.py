"""Every rule of the rule book has its row: in what state it is, where it is implemented, where it is tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULE = r"(?:[A-Z]+-)+\d+"
STATES = ("yes", "part", "function", "not yet", "no code")


def rules() -> list[str]:
    """The ids that the rule book defines, in its order; decisions (D-…) belong to them."""
    found = re.findall(rf"\*\*({RULE})\b", (ROOT / "docs" / "rules.md").read_text("utf-8"))
    return [rule for rule in dict.fromkeys(found) if not rule.startswith("D-")]


def rows() -> dict[str, list[str]]:
    """Rule → state, implemented in, tested in, note."""
    lines = (ROOT / "docs" / "terms.md").read_text("utf-8").splitlines()
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| `")]
    return {cells[0].split("`")[1]: cells[1:] for cells in table}


def test_every_rule_has_a_row_in_the_order_of_the_book() -> None:
    assert len(rules()) == 148
    assert list(rows()) == rules()


@pytest.mark.parametrize("rule", rules())
def test_a_row_names_files_that_exist_and_what_is_done_is_tested(rule: str) -> None:
    state, implemented, tested, note = rows()[rule]
    assert state in STATES
    for name in re.findall(r"`([^`]+)`", implemented):
        assert (ROOT / name).is_file() or (ROOT / "gateway" / "domain" / "contract" / name).is_file(), name
    for name in re.findall(r"`([^`]+)`", tested):
        assert (ROOT / name).is_file(), name
    assert state not in ("yes", "part", "function") or (implemented and tested)
    assert state != "part" or note


def test_clauses_of_refusals_are_rules_of_the_book() -> None:
    known = set(rules())
    sources = [*(ROOT / "gateway" / "service").rglob("*.py"), ROOT / "plugins" / "contract_state.py"]
    for source in sources:
        for rule in re.findall(rf'"({RULE})"', source.read_text("utf-8")):
            assert rule in known, (source.name, rule)
