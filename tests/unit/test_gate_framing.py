"""Request heads as the gate judges them, attacked at random."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.gate.framing import Malformed, Target, check, explain_error


@dataclass
class Head:
    method: str = "PUT"
    path: str = "/dav/acme/x"
    version: tuple[int, int] = (1, 1)
    raw_headers: list[tuple[bytes, bytes]] = field(default_factory=lambda: [(b"Host", b"A.example:80")])


def with_fields(*fields: tuple[bytes, bytes]) -> Head:
    return Head(raw_headers=[(b"Host", b"a"), *fields])


def test_a_plain_head_is_taken_apart() -> None:
    head = Head(path="/dav/a%20b?c=%3F&d")
    head.raw_headers += [(b"content-length", b"007"), (b"EXPECT", b"100-Continue")]
    assert check(head) == Target(head.method, "/dav/a%20b", "c=%3F&d", "a.example:80", 7, True)


def test_without_length_and_coding_there_is_no_body() -> None:
    assert check(Head()).length == 0


def test_a_chunked_body_has_no_length() -> None:
    assert check(with_fields((b"Transfer-Encoding", b"Chunked"))).length is None


def test_http_1_0_expects_nothing() -> None:
    assert not check(Head(version=(1, 0), raw_headers=[(b"Expect", b"100-continue")])).expects


@given(st.binary(max_size=30))
def test_a_length_is_digits_below_two_to_the_63_or_refused(value: bytes) -> None:
    try:
        length = check(with_fields((b"Content-Length", value))).length
    except Malformed as malformed:
        assert malformed.status == 400
        return
    assert value.isdigit()
    assert length == int(value) < 2**63


@given(st.binary(max_size=20))
def test_a_coding_is_chunked_or_refused(value: bytes) -> None:
    try:
        check(with_fields((b"Transfer-Encoding", value)))
    except Malformed:
        return
    assert value.lower() == b"chunked"


@given(st.text(max_size=60), st.sampled_from(["GET", "OPTIONS", "CONNECT"]))
def test_a_target_is_a_path_without_strange_characters_or_refused(text: str, method: str) -> None:
    with contextlib.suppress(Malformed):
        target = check(Head(method=method, path=text))
        assert target.path == "*" or target.path.startswith("/")
        assert target.path.isascii() and target.path.isprintable()
        assert "#" not in target.path and "?" not in target.path


@given(st.binary(max_size=200), st.text(max_size=40))
def test_whatever_the_parser_gave_up_on_has_an_answer(raw: bytes, message: str) -> None:
    assert explain_error(raw, message).status in (400, 414, 431, 501, 505)


@pytest.mark.parametrize("value", [b"", b"a b", b"a,b", b"a/b", b"u@a", b"a:b", b"[::1", b"a\xff", b"a:123456"])
def test_a_host_that_names_no_host_is_refused(value: bytes) -> None:
    with pytest.raises(Malformed):
        check(Head(raw_headers=[(b"Host", value)]))
