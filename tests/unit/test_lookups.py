"""Remembered paths are never older than the question."""

from __future__ import annotations

from gateway.service.lookups import MAX_KNOWN, Lookups
from gateway.service.results import Found


class Tree:
    """Answers with a new object each time, and counts."""

    def __init__(self) -> None:
        self.mark: int | None = 1
        self.asked = 0

    def ask(self) -> Found:
        self.asked += 1
        return Found((), None, None)


def test_a_path_is_asked_for_once_while_nothing_changes() -> None:
    tree = Tree()
    lookups = Lookups(lambda: tree.mark)
    first = lookups.find(7, ("a",), tree.ask)
    assert lookups.find(7, ("a",), tree.ask) is first
    assert tree.asked == 1


def test_the_same_path_of_another_space_is_another_one() -> None:
    tree = Tree()
    lookups = Lookups(lambda: tree.mark)
    assert lookups.find(7, ("a",), tree.ask) is not lookups.find(8, ("a",), tree.ask)


def test_after_a_commit_everything_is_asked_again() -> None:
    tree = Tree()
    lookups = Lookups(lambda: tree.mark)
    lookups.find(7, ("a",), tree.ask)
    tree.mark = 2
    lookups.find(7, ("a",), tree.ask)
    assert tree.asked == 2


def test_an_answer_that_a_commit_overtook_is_not_used_again() -> None:
    tree = Tree()
    lookups = Lookups(lambda: tree.mark)

    def overtaken() -> Found:
        tree.mark = 2
        return tree.ask()

    lookups.find(7, ("a",), overtaken)
    lookups.find(7, ("a",), tree.ask)
    assert tree.asked == 2


def test_without_a_mark_nothing_is_remembered() -> None:
    tree = Tree()
    tree.mark = None
    lookups = Lookups(lambda: tree.mark)
    lookups.find(7, ("a",), tree.ask)
    lookups.find(7, ("a",), tree.ask)
    assert tree.asked == 2


def test_what_is_remembered_is_bounded() -> None:
    tree = Tree()
    lookups = Lookups(lambda: tree.mark)
    for number in range(3 * MAX_KNOWN):
        lookups.find(7, (str(number),), tree.ask)
    assert len(lookups._known.found) <= MAX_KNOWN
