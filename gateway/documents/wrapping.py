"""Breaking lines of Japanese and Latin text (a small part of JIS X 4051 and UAX #14)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

_NOT_FIRST = frozenset(
    "、。，．,.）)」』】〕］》〉々ー！？!?・：；:;%％ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ゛゜"
)
_NOT_LAST = frozenset("（(「『【〔［《〈〒¥￥")
_FIRST_CJK = "\u2e80"


def wrapped(text: str, width: float, width_of: Callable[[str], float]) -> list[str]:
    """Lines that are at most ``width`` wide, broken at spaces and between Japanese characters; no line begins with a
    closing or ends with an opening mark. A word that is wider than a line is broken anywhere. At least one line."""
    lines, line = [], ""
    for piece in _pieces(text):
        if line and width_of((line + piece).rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        line += piece
        while width_of(line.rstrip()) > width and len(line) > 1:
            cut = _fitting(line, width, width_of)
            lines.append(line[:cut])
            line = line[cut:]
    return [*lines, line.rstrip()]


def _pieces(text: str) -> Iterator[str]:
    """Text between two places where a line may be broken; a space belongs to the piece before it."""
    start = 0
    for place in range(1, len(text)):
        before, after = text[place - 1], text[place]
        free = before == " " or before >= _FIRST_CJK or after >= _FIRST_CJK
        if free and after != " " and after not in _NOT_FIRST and before not in _NOT_LAST:
            yield text[start:place]
            start = place
    if text:
        yield text[start:]


def _fitting(line: str, width: float, width_of: Callable[[str], float]) -> int:
    """How many characters fit, at least one."""
    count = 1
    while width_of(line[: count + 1]) <= width:
        count += 1
    return count
