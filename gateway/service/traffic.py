"""Traffic of this process, counted in memory and booked as append-only samples keyed (boot id, n).

At most one second of counting is lost with the process (DESIGN section 4, usage): the gate calls ``flush`` each second,
also while a transfer runs. A sample whose booking had an unknown outcome is booked again under the same key, which the
ledger takes once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.hooks import TrafficSample

CLASSES = frozenset({"read", "write", "list", "lock", "other"})
HOUR = 3_600_000
REPORT_EVERY_MS = 10_000
"""How often an idle process says that it has nothing to book: a billing period waits for all live gates to have said
so past its end."""

Book = Callable[[Sequence[TrafficSample]], None]


@dataclass(slots=True)
class _Count:
    at: int
    bytes_in: int = 0
    bytes_out: int = 0
    refusals: int = 0
    requests: dict[str, int] = field(default_factory=dict)


class TrafficMeter:
    """Counts for all tenants; ``book`` stores samples and raises when it could not (or may not have)."""

    def __init__(self, boot_id: str, clock: Callable[[], int], book: Book | None = None) -> None:
        self._boot_id = boot_id
        self._clock = clock
        self._book = book
        self._counts: dict[tuple[int, int], _Count] = {}
        self._unbooked: list[TrafficSample] = []
        self._n = 0
        self._reported_at = 0
        self._counting = threading.Lock()
        self._booking = threading.Lock()

    def count(
        self, tenant_id: int, cls: str | None, bytes_in: int = 0, bytes_out: int = 0, refused: bool = False
    ) -> None:
        """Adds to the figures of a tenant. ``cls`` is one of CLASSES, or None for bytes of a request that is counted
        elsewhere (a transfer under way)."""
        now = self._clock()
        key = (tenant_id, now // HOUR)
        with self._counting:
            count = self._counts.get(key)
            if count is None:
                count = self._counts[key] = _Count(now)
            if now > count.at:
                count.at = now
            count.bytes_in += bytes_in
            count.bytes_out += bytes_out
            count.refusals += refused
            if cls is not None:
                requests = count.requests
                cls = cls if cls in CLASSES else "other"
                requests[cls] = requests.get(cls, 0) + 1

    def drain(self) -> list[TrafficSample]:
        """What was counted since the last call, one sample for each tenant and hour, each with a number of its own."""
        with self._counting:
            counts, self._counts = self._counts, {}
            samples = []
            for (tenant_id, _), count in sorted(counts.items()):
                self._n += 1
                samples.append(
                    TrafficSample(
                        boot_id=self._boot_id,
                        n=self._n,
                        tenant_id=tenant_id,
                        at=count.at,
                        bytes_in=count.bytes_in,
                        bytes_out=count.bytes_out,
                        refusals=count.refusals,
                        requests=dict(count.requests),
                    )
                )
            return samples

    def flush(self) -> int:
        """Books what was counted; returns how many samples. Samples that could not be booked are kept, and until they
        are booked nothing more is drained: an outage costs memory by tenants, not by its length."""
        if self._book is None:
            raise ValueError("this meter has no ledger to book in")
        with self._booking:
            if not self._unbooked:
                self._unbooked = self.drain() or self._report()
            samples = self._unbooked
            if samples:
                self._book(samples)
                self._reported_at = max(sample.at for sample in samples)
            self._unbooked = []
            return len(samples)

    def _report(self) -> list[TrafficSample]:
        """Now and then, a sample of no tenant."""
        now = self._clock()
        if now - self._reported_at < REPORT_EVERY_MS:
            return []
        with self._counting:
            self._n += 1
            return [TrafficSample(self._boot_id, self._n, 0, now, 0, 0, 0, {})]
