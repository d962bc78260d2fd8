"""Numbers for new things."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.ids import Ids


@given(st.lists(st.integers(0, 4_000_000_000_000), min_size=1, max_size=50))
def test_numbers_only_grow_whatever_the_clock_does(clock: list[int]) -> None:
    ids = Ids()
    numbers = [ids.new(now) for now in clock]
    assert numbers == sorted(set(numbers))
    assert all(0 < number < 2**63 for number in numbers)


@given(st.lists(st.tuples(st.integers(0, 4_000_000_000_000), st.integers(1, 5000)), min_size=1, max_size=20))
def test_blocks_of_numbers_have_none_in_common(asked: list[tuple[int, int]]) -> None:
    ids = Ids()
    blocks = [ids.block(now, count) for now, count in asked]
    assert [len(block) for block in blocks] == [count for _, count in asked]
    assert all(first.stop <= second.start for first, second in itertools.pairwise(blocks))
