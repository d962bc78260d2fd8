"""What becomes of each table after a restore is decided, and said."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.db.metadata import metadata
from gateway.db.schema import define_tables

PAGE = Path(__file__).parents[2] / "docs" / "operating.md"


def test_the_page_says_of_every_table_what_a_restore_makes_of_it() -> None:
    section = PAGE.read_text("utf-8").partition("What becomes of each table of the database:")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    define_tables()
    assert sorted(named) == sorted(metadata.tables)
