"""Contents that are remembered for seconds: the right bytes, few of them, and not for long."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

from hypothesis import given
from hypothesis import strategies as st

from gateway.service.recent import SMALL, Recent, read_file


def test_nothing_is_kept_where_nobody_turns() -> None:
    recent = Recent()
    recent.keep("a", b"content")
    assert recent.get("a") is None


def test_a_content_is_gone_after_two_turns_however_often_it_is_asked_for() -> None:
    recent = Recent(room=10_000)
    recent.keep("a", b"content")
    assert recent.get("a") == b"content"
    recent.turn()
    assert recent.get("a") == b"content"
    recent.turn()
    assert recent.get("a") is None


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, SMALL + 10)), max_size=60), st.integers(0, 100_000))
def test_never_more_is_kept_than_twice_the_room_and_never_other_bytes(puts: list[tuple[int, int]], room: int) -> None:
    recent = Recent(room)
    contents = {}
    for key, size in puts:
        content = contents.setdefault(str(key), bytes([key]) * size)
        recent.keep(str(key), content)
        kept = {name: data for name in contents if (data := recent.get(name)) is not None}
        assert sum(map(len, kept.values())) <= 2 * room
        assert all(data == contents[name] for name, data in kept.items())


def test_a_range_of_a_small_blob_reads_it_whole_once_and_a_large_one_is_streamed() -> None:
    asked: list[tuple[int, int]] = []

    def read(start: int, length: int) -> BinaryIO:
        asked.append((start, length))
        return io.BytesIO(b"0123456789"[start : start + length])

    recent = Recent(room=10_000)
    with recent.opened("a", 10, read)(3, 4) as stream:
        assert stream.read() == b"3456"
    assert recent.get("a") == b"0123456789"
    recent.opened("large", SMALL + 1, read)(3, 4)
    assert asked == [(0, 10), (3, 4)]


def test_a_blob_that_is_shorter_than_its_version_says_is_not_kept(tmp_path: Path) -> None:
    recent = Recent(room=10_000)
    with recent.opened("a", 11, lambda start, length: io.BytesIO(b"0123456789"))(0, 11) as stream:
        assert len(stream.read()) == 10
    assert recent.get("a") is None
    (tmp_path / "short").write_bytes(b"0123456789")
    assert read_file(tmp_path / "short", 11) is None
    assert read_file(tmp_path / "short", 9) is None
    assert read_file(tmp_path / "missing", 9) is None
    assert read_file(tmp_path / "short", 10) == b"0123456789"
