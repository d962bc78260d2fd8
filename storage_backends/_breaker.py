"""A circuit breaker: while a store is known to be down it is not asked, and callers learn so at once.

Our own, of forty lines: pybreaker holds one lock during each call, which would make all requests wait for each other,
and botocore's retry quota limits retries but never refuses a first try.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gateway.domain.errors import BackendUnavailable

FAILURES = 4
"""So many in a row, each after its own retries, mean that the store is down."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 15.0
"""Seconds between tries while it is down: it is found well again within the longest."""


class Breaker:
    """Call ``enter`` before each request, then ``succeeded`` or ``failed``. ``timer`` gives seconds and never goes
    back."""

    def __init__(self, name: str, timer: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._timer = timer
        self._lock = threading.Lock()
        self._failures = 0
        self._pause = 0.0
        self._closed_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether requests are refused just now, but for a try now and then."""
        return self._failures >= FAILURES

    @property
    def is_doubtful(self) -> bool:
        """Whether the last request had no answer: what need not be asked now should not be."""
        return self._failures > 0

    def enter(self) -> None:
        """BackendUnavailable while the store is known to be down; every pause one caller is let through to try."""
        if not self.is_open:
            return
        with self._lock:
            now = self._timer()
            if self._failures >= FAILURES and now < self._closed_until:
                wait = max(1, round(self._closed_until - now))
                raise BackendUnavailable(f"{self._name} does not answer and is tried again soon", retry_after=wait)
            self._closed_until = now + self._pause

    def succeeded(self) -> None:
        """The store answered, whatever it said."""
        if self._failures:
            with self._lock:
                self._failures, self._pause = 0, 0.0

    def failed(self) -> None:
        """The store did not answer, or said that it is in trouble."""
        with self._lock:
            self._failures += 1
            if self._failures >= FAILURES:
                self._pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, self._pause * 2))
                self._closed_until = self._timer() + self._pause
