"""Names, sizes and lists of uploads by parts."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.blobstore import check_key, owner_of
from gateway.domain.ids import new_blob_id
from gateway.domain.multipart import (
    MIN_PART_BYTES,
    Part,
    composed_blob_id,
    etag_of_parts,
    is_composed,
    parse_public_id,
    sizes_from_text,
    sizes_to_text,
)
from gateway.s3.completing import Listed, choose
from gateway.s3.errors import S3Fault

IDS = st.integers(min_value=0, max_value=2**63 - 1)


@given(st.lists(st.integers(min_value=0, max_value=2**40), max_size=50))
def test_sizes_of_parts_are_told_and_read_again(sizes: list[int]) -> None:
    assert sizes_from_text(sizes_to_text(sizes)) == sizes


def test_ten_thousand_equal_parts_are_told_in_a_few_bytes() -> None:
    assert sizes_to_text([8388608] * 9999 + [1]) == "8388608*9999,1"


@given(IDS, IDS)
def test_the_name_of_a_composed_blob_tells_what_it_is_and_whose(number: int, tenant: int) -> None:
    name = composed_blob_id("ab" * 6, number, tenant)
    assert is_composed(check_key(name)) and owner_of(name) == f"{tenant:x}"
    assert not is_composed(new_blob_id("ab" * 6, number, tenant))


@given(IDS)
def test_the_id_that_clients_know_is_read_again(number: int) -> None:
    assert parse_public_id(f"{number:016x}") == number


@pytest.mark.parametrize("text", ["", "x" * 16, "0" * 15, "+" + "0" * 15, "0_" * 8, "٠" * 16])
def test_other_ids_are_none(text: str) -> None:
    assert parse_public_id(text) is None


def test_the_etag_is_the_md5_of_md5s() -> None:
    digests = [hashlib.md5(body).hexdigest() for body in (b"a", b"b")]
    whole = hashlib.md5(b"".join(bytes.fromhex(one) for one in digests)).hexdigest()
    assert etag_of_parts(digests) == f'"{whole}-2"'


def part(number: int, size: int = MIN_PART_BYTES) -> Part:
    return Part(number, 1, number, f"blob{number}", size, f"{number:032x}", "", "", 0)


def listed(number: int) -> Listed:
    return Listed(number, f"{number:032x}", {})


@pytest.mark.parametrize(
    ("numbers", "code"),
    [((2, 1), "InvalidPartOrder"), ((1, 9), "InvalidPart"), ((3, 4), "EntityTooSmall")],
)
def test_a_wrong_list_of_parts_is_refused(numbers: tuple[int, ...], code: str) -> None:
    known = [part(1), part(2), part(3, MIN_PART_BYTES - 1), part(4, 1)]
    with pytest.raises(S3Fault) as caught:
        choose([listed(number) for number in numbers], known)
    assert caught.value.s3_code == code


def test_of_a_part_that_is_listed_twice_the_last_counts() -> None:
    stale = Listed(1, "f" * 32, {})
    assert [one.number for one in choose([stale, listed(1), listed(2)], [part(1), part(2)])] == [1, 2]


def test_the_last_part_may_be_of_any_size_and_parts_may_be_left_out() -> None:
    known = [part(1), part(2), part(4, 0)]
    assert [one.number for one in choose([listed(1), listed(4)], known)] == [1, 4]
