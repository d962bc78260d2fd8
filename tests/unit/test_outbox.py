"""What a failed delivery makes of a cursor."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import BackendUnavailable
from gateway.service.outbox import MAX_ATTEMPTS, MAX_PAUSE_MS, after_failure, pause_ms
from gateway.service.stored import Cursor


@given(st.integers(min_value=0, max_value=10_000))
def test_pauses_grow_and_never_pass_thirty_seconds(attempts: int) -> None:
    assert 0 < pause_ms(attempts) <= pause_ms(attempts + 1) <= MAX_PAUSE_MS


def test_our_own_trouble_is_waited_out_for_ever() -> None:
    cursor = Cursor("replication", 1, 5)
    for _ in range(100):
        cursor = after_failure(cursor, BackendUnavailable("replica down"), 1000)
    assert not cursor.parked
    assert cursor.retry_at == 1000 + MAX_PAUSE_MS


def test_any_other_failure_is_parked_at_the_tenth_time() -> None:
    cursor = Cursor("metering", 1, 5)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert not cursor.parked
        cursor = after_failure(cursor, KeyError("bug"), 0)
        assert cursor.attempts == attempt
    assert cursor.parked
    assert "KeyError" in cursor.error


def test_a_long_outage_does_not_park_the_first_failure_after_it() -> None:
    cursor = Cursor("replication", 1, 5)
    for _ in range(50):
        cursor = after_failure(cursor, BackendUnavailable("replica down"), 0)
    cursor = after_failure(cursor, KeyError("bug"), 0)
    assert (cursor.attempts, cursor.parked) == (1, False)
    cursor = after_failure(cursor, BackendUnavailable("replica down"), 0)
    assert cursor.attempts == 1
