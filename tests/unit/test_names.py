"""Names and paths: what a space can hold, and that a path survives the trip through a URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import InvalidName, NameTooLong
from gateway.domain.names import check_path, check_segment, href, name_key, parse_path, sort_key

segments = (
    st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/\ufffe\uffff"), min_size=1, max_size=60)
    .filter(lambda name: name not in (".", ".."))
    .filter(lambda name: len(name.encode()) <= 255 and len(name_key(name).encode()) <= 510)
)


@given(st.lists(segments, max_size=8))
def test_a_path_survives_the_trip_through_a_url(path: list[str]) -> None:
    assert parse_path(href(tuple(path))) == tuple(path)
    assert parse_path(href(tuple(path), collection=True)) == tuple(path)


@given(st.text(max_size=40))
def test_any_text_is_a_path_or_is_refused_with_a_reason(raw: str) -> None:
    try:
        path = parse_path("/" + raw)
    except InvalidName as error:
        assert error.message
    else:
        assert all(segment not in ("", ".", "..") and "/" not in segment for segment in path)


@pytest.mark.parametrize("name", ["q?.txt", "a;b", "50%", "#1", "ends. ", "が.psd", "ＡＢＣ", "🎨", "con", "a'b&c<d>"])
def test_names_of_real_clients_are_held(name: str) -> None:
    assert parse_path(href((name,))) == (name,)


@pytest.mark.parametrize(
    "raw", ["/a/../b", "/%2e%2e/b", "/a//b", "/./a", "/a%00b", "/a%1bb", "/a%2fb", "/%ff", "/a%7f", "a"]
)
def test_what_a_space_cannot_hold_is_refused(raw: str) -> None:
    with pytest.raises(InvalidName):
        parse_path(raw)


def test_limits_are_exact() -> None:
    assert check_segment("a" * 255)
    with pytest.raises(NameTooLong):
        check_segment("a" * 256)
    assert check_path(("d",) * 100)
    with pytest.raises(NameTooLong):
        check_path(("d",) * 101)


def test_decomposed_and_composed_spellings_have_one_key() -> None:
    assert name_key("\u304b\u3099") == name_key("\u304c") == "\u304c"


def test_the_sort_key_is_the_order_of_full_s3_keys() -> None:
    names = [("a", True), ("a.txt", False), ("a", False), ("a!", False), ("é", True)]
    keys = sorted(sort_key(name, collection=collection) for name, collection in names)
    assert keys == sorted((name + ("/" if collection else "")).encode() for name, collection in names)
