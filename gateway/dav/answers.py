"""Answers of PROPFIND, remembered while nothing has changed: file managers ask for an open folder again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

MAX_BYTES = 16 << 20
"""Of remembered answers in all: a folder of ten thousand files has 9 MB."""


class Answers:
    """Bodies, in pieces, as of one ``mark`` (:meth:`Database.mark`): with the next commit, of whatever space or
    process, all are forgotten. The mark is taken before an answer is made, so that none is older than its question.

    What else an answer depends on belongs in its key; one that depends on the time is not to be kept. For one thread.
    """

    def __init__(self, mark: Callable[[], Hashable | None], limit: int = MAX_BYTES) -> None:
        self.mark = mark
        self._limit = limit
        self._as_of: Hashable | None = None
        self._size = 0
        self._bodies: OrderedDict[Hashable, tuple[bytes, ...]] = OrderedDict()

    def find(self, mark: Hashable | None, key: Hashable) -> tuple[bytes, ...] | None:
        """The answer that was kept at that mark."""
        if mark is None or mark != self._as_of:
            return None
        return self._bodies.get(key)

    def keep(self, mark: Hashable | None, key: Hashable, pieces: Sequence[bytes]) -> None:
        """Remembers an answer whose data were read after ``mark`` was taken. The oldest make room for it."""
        size = sum(map(len, pieces))
        if mark is None or size > self._limit:
            return
        if mark != self._as_of:
            self._bodies.clear()
            self._as_of, self._size = mark, 0
        self._drop(key)
        while self._size + size > self._limit:
            self._drop(next(iter(self._bodies)))
        self._bodies[key] = tuple(pieces)
        self._size += size

    def _drop(self, key: Hashable) -> None:
        self._size -= sum(map(len, self._bodies.pop(key, ())))
