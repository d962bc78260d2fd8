"""What is remembered of answers is bounded, and gone with the next commit."""

from __future__ import annotations

from gateway.dav.answers import Answers


def test_an_answer_is_found_at_its_own_mark_only() -> None:
    answers = Answers(lambda: 1)
    answers.keep(1, "a", [b"x", b"y"])
    assert answers.find(1, "a") == (b"x", b"y")
    assert answers.find(2, "a") is None
    assert answers.find(1, "b") is None


def test_an_answer_that_was_begun_before_a_commit_drives_out_no_later_one_for_long() -> None:
    answers = Answers(lambda: 2)
    answers.keep(2, "a", [b"new"])
    answers.keep(1, "a", [b"old"])
    assert answers.find(2, "a") is None
    assert answers.find(1, "a") == (b"old",)


def test_a_database_that_tells_no_mark_has_nothing_remembered() -> None:
    answers = Answers(lambda: None)
    answers.keep(None, "a", [b"x"])
    assert answers.find(None, "a") is None


def test_the_oldest_make_room_and_what_is_too_large_is_not_kept() -> None:
    answers = Answers(lambda: 1, limit=10)
    answers.keep(1, "a", [b"1234"])
    answers.keep(1, "b", [b"1234"])
    answers.keep(1, "c", [b"123"])
    assert [answers.find(1, key) is not None for key in "abc"] == [False, True, True]
    answers.keep(1, "d", [b"x" * 11])
    assert answers.find(1, "d") is None
    assert answers.find(1, "c") == (b"123",)


def test_an_answer_kept_twice_counts_once() -> None:
    answers = Answers(lambda: 1, limit=10)
    for _ in range(5):
        answers.keep(1, "a", [b"123456"])
    answers.keep(1, "b", [b"1234"])
    assert answers.find(1, "a") == (b"123456",)
