"""Sizes and durations as operators write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.units import GB, MB, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0", 0),
        (17, 17),
        ("17", 17),
        ("17 B", 17),
        ("1k", 1024),
        ("500MB", 500 * MB),
        ("500 mib", 500 * MB),
        ("1GB", 1024**3),
        ("1.5G", GB + GB // 2),
        ("2TB", 2 * 1024**4),
        ("0.1KB", 102),
    ],
)
def test_a_size_is_read_in_units_of_1024(written: object, meant: int) -> None:
    assert parse_size(written) == meant


@pytest.mark.parametrize("nonsense", ["", "GB", "-1", -1, "1 XB", "1e3", "1,5GB", True, None, 1.5, "1GB x", 2**70])
def test_what_is_no_size_is_refused(nonsense: object) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(nonsense)


@given(st.integers(0, 2**62))
def test_whole_bytes_are_read_exactly(size: int) -> None:
    assert parse_size(str(size)) == parse_size(f"{size}B") == size


@given(st.integers(0, 2**60))
def test_a_formatted_size_reads_back_within_half_a_percent(size: int) -> None:
    back = parse_size(format_size(size))
    assert abs(back - size) <= max(1, size // 150)


@given(st.integers(0, 10**6), st.integers(0, 999_999_999))
def test_a_fraction_of_a_unit_is_cut_once_and_exactly(whole: int, billionths: int) -> None:
    assert parse_size(f"{whole}.{billionths:09}GB") == (whole * 10**9 + billionths) * GB // 10**9


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(20, 20.0), ("20", 20.0), ("20s", 20.0), ("500ms", 0.5), ("5m", 300.0), ("1.5h", 5400.0), ("2d", 172_800.0)],
)
def test_a_duration_is_read_in_seconds(written: object, seconds: float) -> None:
    assert parse_duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize("nonsense", ["", "s", "-1s", -1, "1 week", True, None, float("nan"), float("inf")])
def test_what_is_no_duration_is_refused(nonsense: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(nonsense)
