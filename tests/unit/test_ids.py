"""Numbers for new things."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.ids import Ids


@given(st.lists(st.integers(0, 4_000_000_000_000), min_size=1, max_size=50))
def test_numbers_only_grow_whatever_the_clock_does(clock: list[int]) -> None:
    ids = Ids()
    numbers = [ids.new(now) for now in clock]
    assert numbers == sorted(set(numbers))
    assert all(0 < number < 2**63 for number in numbers)
