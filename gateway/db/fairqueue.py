"""Work that waits for the writer, taken in turns from each tenant's own queue."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, eq=False)
class Item:
    """One mutation. ``work`` gets the transaction; ``key`` is its tenant, None what belongs to none; ``aside``: see
    ``Database.write``."""

    work: Callable[[Any], Any]
    key: int | None
    aside: bool = False
    future: Future[Any] = field(default_factory=Future)


class Closed(Exception):
    """The queue takes nothing any more."""


class FairQueue:
    def __init__(self) -> None:
        self._queues: OrderedDict[int | None, deque[Item]] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, *items: Item) -> None:
        """Queues each behind the items of the same tenant. Raises Closed."""
        with self._changed:
            if self._closed:
                raise Closed
            for item in items:
                self._queues.setdefault(item.key, deque()).append(item)
            self._changed.notify()

    def take(self, most: int) -> list[Item]:
        """Waits for work; up to ``most`` items, one of each tenant in turn. Empty only when closed and drained."""
        with self._changed:
            while not self._queues and not self._closed:
                self._changed.wait()
            return self._next(most)

    def take_more(self, most: int) -> list[Item]:
        """As ``take``, of what is there already."""
        with self._changed:
            return self._next(most)

    def _next(self, most: int) -> list[Item]:
        taken: list[Item] = []
        while self._queues and len(taken) < most:
            key, queue = self._queues.popitem(last=False)
            taken.append(queue.popleft())
            if queue:
                self._queues[key] = queue  # behind all others
        return taken

    def put_back(self, items: Sequence[Item]) -> None:
        """Returns what was taken and not done, in front of everything."""
        with self._changed:
            for item in reversed(items):
                self._queues.setdefault(item.key, deque()).appendleft(item)
                self._queues.move_to_end(item.key, last=False)

    def close(self) -> None:
        """Nothing more comes in; what is queued will still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
