"""The If header and lock timeouts, without storage."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import BadRequest
from gateway.domain.lock import Scope, State, grant_timeout, holds, new_token, parse_if, parse_timeout


class _State:
    def __init__(self, etag: str | None, tokens: Iterable[str]) -> None:
        self._etag, self._tokens = etag, tuple(tokens)

    def etag(self) -> str | None:
        return self._etag

    def tokens(self) -> Iterable[str]:
        return self._tokens


def _evaluate(header: str, **states: State | None) -> bool:
    named = {tag.replace("_", "/"): state for tag, state in states.items() if tag != "own"}
    return holds(parse_if(header), lambda tag: states.get("own") if tag is None else named.get(tag))


def test_an_untagged_list_speaks_of_the_request_itself() -> None:
    assert _evaluate('(<urn:t> ["1"])', own=_State('"1"', ["urn:t"]))
    assert not _evaluate('(<urn:t> ["2"])', own=_State('"1"', ["urn:t"]))


def test_one_true_list_of_several_is_enough() -> None:
    assert _evaluate('(<urn:no>) (["1"])', own=_State('"1"', []))


def test_not_turns_a_condition_round() -> None:
    assert _evaluate("(Not <DAV:no-lock>)", own=_State('"1"', []))
    assert not _evaluate("(<urn:t> Not <urn:t>)", own=_State('"1"', ["urn:t"]))


def test_a_token_tagged_to_another_resource_opens_nothing_here() -> None:
    assert not _evaluate("</b> (<urn:t>)", own=_State('"1"', ["urn:t"]), _b=_State('"2"', []))
    assert _evaluate("</b> (<urn:t>)", own=None, _b=_State('"2"', ["urn:t"]))


def test_a_wrong_etag_beside_a_right_token_fails() -> None:
    assert not _evaluate('</b> (<urn:t> ["9"])', _b=_State('"2"', ["urn:t"]))


def test_a_weak_tag_never_matches_ours() -> None:
    assert not _evaluate('([W/"1"])', own=_State('"1"', []))


def test_submitted_tokens_are_those_without_not() -> None:
    assert parse_if("(<urn:a> Not <urn:b>) (<urn:c>)").tokens == {"urn:a", "urn:c"}


@pytest.mark.parametrize(
    "header",
    ["", "()", "(<u:t>", "<u:t>", "(Not)", "(Not Not <u:t>)", "(<a b>)", "(<u:t>) <x> (<u:t>)", "<x> <y> (<u:t>)", "x"],
)
def test_a_malformed_header_is_refused(header: str) -> None:
    with pytest.raises(BadRequest):
        parse_if(header)


@given(st.text('()<>[]"Not W/:ab ', max_size=40))
def test_no_text_makes_the_parser_fail_otherwise(header: str) -> None:
    try:
        assert parse_if(header).lists
    except BadRequest as error:
        assert error.message


@given(st.integers(0, 10**12))
def test_a_granted_timeout_is_never_shorter_than_finder_needs(wanted: int) -> None:
    assert 600 <= grant_timeout(wanted) <= 86_400


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("Second-3600", 3600), ("Infinite, Second-10", None), ("nonsense, Second-7", 7), (None, None), ("Second-x", None)],
)
def test_the_first_usable_timeout_counts(header: str | None, seconds: int | None) -> None:
    assert parse_timeout(header) == seconds


def test_tokens_are_new_each_time() -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert Scope("shared") is Scope.SHARED
