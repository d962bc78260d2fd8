"""Half-open intervals of time, in ms UTC."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True, slots=True)
class Interval:
    """[start, end)."""

    start: int
    end: int


def merge(parts: Iterable[Interval]) -> list[Interval]:
    """The same time in as few intervals as possible, in order: those that overlap or touch are one. Empty ones go."""
    merged: list[Interval] = []
    for part in sorted(part for part in parts if part.end > part.start):
        if merged and part.start <= merged[-1].end:
            merged[-1] = Interval(merged[-1].start, max(merged[-1].end, part.end))
        else:
            merged.append(part)
    return merged


def cut(parts: Iterable[Interval], holes: Iterable[Interval]) -> list[Interval]:
    """What of the parts lies in no hole, in order."""
    left = list(parts)
    for hole in holes:
        left = [
            piece
            for part in left
            for piece in (
                Interval(part.start, min(part.end, hole.start)),
                Interval(max(part.start, hole.end), part.end),
            )
            if piece.end > piece.start
        ]
    return sorted(left)
