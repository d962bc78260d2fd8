"""Waiting for what a daemon, a thread or another program does by itself: for the event, never for a time.

The limit only ends a test that would hang: it measures nothing, and a busy machine may need much of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 120.0
"""Seconds."""


def until(happened: Callable[[], T], what: Callable[[], object] | str = "it", *, seconds: float = PATIENCE) -> T:
    """Asks until the answer is true, and returns it. AssertionError with ``what`` when it never was."""
    end = time.monotonic() + seconds
    while not (found := happened()):
        assert time.monotonic() < end, f"did not happen: {what if isinstance(what, str) else what()}"
        time.sleep(0.05)
    return found
