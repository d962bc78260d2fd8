"""Byte ranges (RFC 9110 section 14), parsed under limits.

An unknown unit or a range set outside the grammar is ignored and the whole file sent; a set in which nothing can be
satisfied is 416. Overlapping or touching ranges are joined, and a set that asks for too many pieces or for more bytes
than the file has gets the whole file (section 14.2 allows both): a small request cannot make a large answer.
"""

from __future__ import annotations

import re

from gateway.domain.errors import RangeNotSatisfiable

MAX_RANGES = 32
_SPEC = re.compile(r"\s*(?:(\d{1,19})\s*-\s*(\d{1,19})?|-\s*(\d{1,19}))\s*", re.ASCII)


def parse_ranges(header: str | None, size: int) -> list[tuple[int, int]] | None:
    """(start, length) of each range to send, in the order asked for; None means: send the whole file.

    Raises RangeNotSatisfiable when no range has a byte of the file.
    """
    if header is None:
        return None
    unit, equals, specs = header.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    parts = [part for part in specs.split(",") if part.strip()]
    wanted = [_read(part, size) for part in parts]
    if not wanted or any(one is None for one in wanted):
        return None
    satisfiable = [one for one in wanted if one and one[1] > 0]
    if not satisfiable:
        raise RangeNotSatisfiable(size)
    joined = _join(satisfiable)
    if len(parts) > MAX_RANGES or sum(length for _, length in joined) > size:
        return None
    return joined


def _read(part: str, size: int) -> tuple[int, int] | None:
    """(start, length) of one range, length 0 if it lies outside the file, None if it is malformed."""
    match = _SPEC.fullmatch(part)
    if match is None:
        return None
    if match[3] is not None:
        length = min(int(match[3]), size)
        return size - length, length
    start = int(match[1])
    last = int(match[2]) if match[2] is not None else size - 1
    if match[2] is not None and last < start:
        return None
    return start, max(0, min(last, size - 1) - start + 1)


def _join(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Joins a range with one before it that it overlaps or touches; keeps the order of the rest."""
    joined: list[tuple[int, int]] = []
    for start, length in ranges:
        for index, (other, other_length) in enumerate(joined):
            if start <= other + other_length and other <= start + length:
                first = min(start, other)
                joined[index] = (first, max(start + length, other + other_length) - first)
                break
        else:
            joined.append((start, length))
    return joined
