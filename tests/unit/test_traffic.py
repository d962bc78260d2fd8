"""The traffic meter: nothing is lost by a failed booking, nothing is booked twice under two names."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.domain.errors import BackendUnavailable
from gateway.hooks import TrafficSample
from gateway.service.traffic import HOUR, TrafficMeter


class Clock:
    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class Ledger:
    def __init__(self) -> None:
        self.booked: list[TrafficSample] = []
        self.down = False

    def __call__(self, samples: Sequence[TrafficSample]) -> None:
        if self.down:
            raise BackendUnavailable("no database")
        self.booked.extend(samples)


def test_counts_of_one_second_become_one_sample_for_each_tenant() -> None:
    ledger = Ledger()
    meter = TrafficMeter("boot", Clock(5 * HOUR), ledger)
    meter.count(1, "write", bytes_in=10)
    meter.count(1, None, bytes_in=5)
    meter.count(1, "read", bytes_out=7, refused=True)
    meter.count(2, "list")
    assert meter.flush() == 2
    first, second = ledger.booked
    assert (first.tenant_id, first.bytes_in, first.bytes_out, first.refusals) == (1, 15, 7, 1)
    assert first.requests == {"write": 1, "read": 1}
    assert (second.tenant_id, second.requests) == (2, {"list": 1})
    assert len({(one.boot_id, one.n) for one in ledger.booked}) == 2


def test_a_quiet_second_books_nothing() -> None:
    ledger = Ledger()
    assert TrafficMeter("boot", Clock(0), ledger).flush() == 0
    assert ledger.booked == []


def test_a_failed_booking_is_repeated_under_the_same_key_and_nothing_else_is_drained_meanwhile() -> None:
    ledger = Ledger()
    meter = TrafficMeter("boot", Clock(0), ledger)
    meter.count(1, "read", bytes_out=1)
    ledger.down = True
    with pytest.raises(BackendUnavailable):
        meter.flush()
    meter.count(1, "read", bytes_out=2)
    with pytest.raises(BackendUnavailable):
        meter.flush()
    ledger.down = False
    meter.flush()
    meter.flush()
    assert [(one.n, one.bytes_out) for one in ledger.booked] == [(1, 1), (2, 2)]


def test_traffic_of_an_outage_over_the_hour_is_booked_in_its_own_hour() -> None:
    ledger, clock = Ledger(), Clock(HOUR - 1)
    meter = TrafficMeter("boot", clock, ledger)
    meter.count(1, "read", bytes_out=1)
    clock.now = HOUR
    meter.count(1, "read", bytes_out=2)
    meter.flush()
    assert [(one.at // HOUR, one.bytes_out) for one in ledger.booked] == [(0, 1), (1, 2)]


def test_an_unknown_class_counts_as_other() -> None:
    meter = TrafficMeter("boot", Clock(0))
    meter.count(1, "dance")
    (sample,) = meter.drain()
    assert sample.requests == {"other": 1}
