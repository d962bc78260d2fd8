"""A writer that is kept busy, for tests of what its next batch does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gateway.service.unit_of_work import Database


@contextmanager
def writer_busy(db: Database, tenant_id: int | None = None) -> Iterator[None]:
    """The writer is kept inside a batch of its own, so that what is queued meanwhile becomes the next batch."""
    entered, leave = threading.Event(), threading.Event()

    def wait(_: Any) -> None:
        entered.set()
        leave.wait(30)

    future = db.write(wait, tenant_id)
    entered.wait(30)
    try:
        yield
    finally:
        leave.set()
    future.result(30)
