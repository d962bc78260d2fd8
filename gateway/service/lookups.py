"""What paths led to, remembered while nothing has changed: most requests ask again what was asked just before."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
MAX_KNOWN = 4096
"""Paths that are remembered at most; a chain of nodes takes a kilobyte or two."""

Key = tuple[int, Hashable]
"""The root of a space and a path or key in it."""


@dataclass(frozen=True, slots=True)
class _Known(Generic[T]):
    mark: Hashable
    found: dict[Key, T] = field(default_factory=dict)


class Lookups(Generic[T]):
    """Answers of the database as of one ``mark`` (:meth:`Database.mark`): with the next commit, of whatever space or
    process, all are forgotten. So an answer is never older than the question. Safe to use from any thread."""

    def __init__(self, mark: Callable[[], Hashable | None]) -> None:
        self._mark = mark
        self._known: _Known[T] = _Known(object())

    def find(self, root_id: int, path: Hashable, ask: Callable[[], T]) -> T:
        """What the path leads to; ``ask`` reads it where it is not known."""
        mark = self._mark()
        if mark is None:
            return ask()
        known = self._known
        if known.mark != mark or len(known.found) >= MAX_KNOWN:
            known = self._known = _Known(mark)
        key = (root_id, path)
        found = known.found.get(key)
        if found is None:
            # the mark was taken before: what a commit changes meanwhile is forgotten with the next look at it
            found = known.found[key] = ask()
        return found
