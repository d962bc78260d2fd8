"""Lines of invoices are broken as readers of Japanese and English expect."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.documents.wrapping import wrapped

texts = st.text("aB1 、。（）「」ー漢字かなｶ-", max_size=40)


def _wide(text: str) -> float:
    """Japanese characters are twice as wide."""
    return sum(2 if char >= "\u2e80" else 1 for char in text)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("one two three", ["one two", "three"]),
        ("請求書の発行", ["請求書の", "発行"]),
        ("請求書発、行", ["請求書", "発、行"]),
        ("請求書（発行）", ["請求書", "（発行）"]),
        ("Standard 100 GB", ["Standard", "100 GB"]),
        ("abcdefghijkl", ["abcdefgh", "ijkl"]),
    ],
)
def test_lines_are_broken_where_they_may(text: str, lines: list[str]) -> None:
    assert wrapped(text, 8, _wide) == lines


@given(texts, st.integers(4, 20))
def test_nothing_is_lost_and_no_line_is_too_wide(text: str, width: int) -> None:
    lines = wrapped(text, width, _wide)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(_wide(line) <= width for line in lines)


@given(st.text("漢字かな、。」「", max_size=40), st.integers(8, 20))
def test_no_line_begins_with_a_closing_mark_unless_a_whole_line_is_of_marks(text: str, width: int) -> None:
    for before, line in zip(wrapped(text, width, _wide), wrapped(text, width, _wide)[1:], strict=False):
        if line[:1] in set("、。」"):
            assert _wide(before) > width - 2  # a run of marks that fills a line has to be broken somewhere
