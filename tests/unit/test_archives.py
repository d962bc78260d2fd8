"""Looking into archives: every size is counted, and nothing makes it run away."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins._archives import Archive, ArchiveLimits, examine

LIMITS = ArchiveLimits(member=1_000_000, expanded=3_000_000, depth=4, entries=50)
NOISE = random.Random(1).randbytes(50_000)


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return packed.getvalue()


def tarred(*members: tuple[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def look(data: bytes, limits: ArchiveLimits = LIMITS) -> Archive:
    return examine(io.BytesIO(data), limits)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "zip": lambda data: zipped(("a", data)),
    "tar": lambda data: tarred(("a", data)),
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("kind", PACKERS)
def test_every_kind_is_unpacked_and_counted(kind: str) -> None:
    found = look(PACKERS[kind](NOISE))
    assert (found.kind, found.entries, found.expanded, found.depth) == (kind, 1, len(NOISE), 1)
    assert (found.exceeded, found.broken, found.encrypted) == ("", "", False)


@pytest.mark.parametrize("outer", PACKERS)
@pytest.mark.parametrize("inner", PACKERS)
def test_archives_in_archives_count_at_each_level(outer: str, inner: str) -> None:
    packed = PACKERS[inner](NOISE)
    found = look(PACKERS[outer](packed))
    assert (found.kind, found.depth, found.expanded) == (outer, 2, len(packed) + len(NOISE))


@pytest.mark.parametrize("kind", PACKERS)
def test_a_member_of_exactly_the_limit_passes_and_one_byte_more_does_not(kind: str) -> None:
    assert look(PACKERS[kind](bytes(1_000_000))).exceeded == ""
    assert look(PACKERS[kind](bytes(1_000_001))).exceeded in ("bomb", "too-large")


def test_too_much_at_an_ordinary_ratio_is_large_and_at_an_absurd_one_a_bomb() -> None:
    assert look(zipped(*((f"{n}", NOISE * 15) for n in range(6)), method=zipfile.ZIP_STORED)).exceeded == "too-large"
    assert look(zipped(*((f"{n}", bytes(900_000)) for n in range(6)))).exceeded == "bomb"


@pytest.mark.parametrize("kind", ["zip", "gzip"])
def test_a_bomb_is_one_also_when_it_is_left_long_before_its_ratio_shows(kind: str) -> None:
    bomb = PACKERS[kind](bytes(60_000_000))
    assert len(bomb) > LIMITS.expanded / LIMITS.ratio
    assert look(bomb).exceeded == "bomb"
    assert look(zipped(("in", bomb), method=zipfile.ZIP_STORED)).exceeded == "bomb"


def test_too_deep_is_a_bomb() -> None:
    data = b"x"
    for _ in range(4):
        data = zipped(("in", data))
    assert look(data).exceeded == ""
    assert look(zipped(("in", data))).exceeded == "bomb"


def test_too_many_entries_stop_the_look() -> None:
    found = look(zipped(*((str(n), b"") for n in range(51))))
    assert (found.exceeded, "50 entries" in found.why) == ("too-large", True)
    assert look(tarred(*((str(n), b"") for n in range(51)))).exceeded == "too-large"


def test_a_claimed_size_is_not_believed() -> None:
    packed = bytearray(zipped(("a", bytes(2_000_000))))
    packed[22:26] = struct.pack("<I", 10)  # local head: uncompressed size
    at = packed.index(b"PK\x01\x02")
    packed[at + 24 : at + 28] = struct.pack("<I", 10)
    found = look(bytes(packed))
    assert found.exceeded or found.broken


def test_a_directory_that_claims_millions_of_entries_costs_no_memory() -> None:
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 65_535, 65_535, 8_000_000, 4, 0)
    data = b"PK\x01\x02" + bytes(8_000_000) + end
    tracemalloc.start()
    try:
        look(data)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_an_extended_head_of_any_length_costs_no_memory() -> None:
    head = tarfile.TarInfo("x")
    head.type, head.size = tarfile.XHDTYPE, 60_000_000
    data = io.BytesIO(head.tobuf(tarfile.USTAR_FORMAT) + bytes(60_000_000) + bytes(1024))
    tracemalloc.start()
    try:
        examine(data, LIMITS)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def with_size(size: bytes) -> bytes:
    """A tar whose only head claims another size, with a right checksum."""
    head = bytearray(tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT))
    head[124:136] = size.ljust(12, b"\0")
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + bytes(2_000_000)


@pytest.mark.parametrize("size", [b"-1000", b"-1", b"\xff" * 12, b"77777777777", b"\x80" + b"\xff" * 11])
def test_absurd_sizes_in_a_tar_are_an_end_not_a_loop(size: bytes) -> None:
    data = io.BytesIO(with_size(size))
    tracemalloc.start()
    try:
        found = examine(data, LIMITS)
        assert found.broken or found.exceeded
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_mark_within_the_end_record_does_not_hide_the_archive() -> None:
    packed = bytearray(zipped(("a", b"data")))
    packed[-14:-10] = b"PK\x05\x06"  # entries: the end record stands all the same
    assert look(b"MZ" + bytes(100) + bytes(packed)).kind in ("", "zip")
    commented = zipped(("a", b"data"))[:-2] + b"\x04\x00note"
    assert look(b"MZ" + bytes(100) + commented).entries == 1


def test_encrypted_members_are_told() -> None:
    packed = bytearray(zipped(("a", b"secret"), ("b", b"open")))
    packed[6] |= 1
    packed[packed.index(b"PK\x01\x02") + 8] |= 1
    found = look(bytes(packed))
    assert (found.encrypted, found.entries) == (True, 2)


@pytest.mark.parametrize("kind", PACKERS)
def test_what_is_cut_is_broken(kind: str) -> None:
    data = PACKERS[kind](NOISE)
    found = look(data[: len(data) // 2])
    assert found.broken
    assert found.kind == kind


def test_a_broken_member_does_not_hide_the_bomb_beside_it() -> None:
    bomb = [(str(number), bytes(900_000)) for number in range(6)]
    assert look(zipped(("broken.zip", zipped(("a", b"small"))[:-30]), *bomb)).exceeded == "bomb"


def test_a_zip_behind_a_program_is_found_from_its_end() -> None:
    found = look(b"MZ" + NOISE + zipped(("a", b"data")))
    assert (found.kind, found.entries) == ("zip", 1)


def test_long_names_and_sizes_of_pax_and_gnu_tars_are_obeyed() -> None:
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        found = look(tarred(("n" * 300, b"12345"), ("é" * 90, b"678"), form=form))
        assert found.broken == ""
        assert "12345" not in found.names
        assert found.largest >= 5


def test_ordinary_files_are_no_archives() -> None:
    for data in (b"", b"PK", b"hello", NOISE, b"BZh is a word", bytes(2000), b"x" * 257 + b"ustar" + b"y" * 300):
        assert look(data).kind == ""


@given(st.binary(max_size=400), st.sampled_from(sorted(PACKERS)), st.integers(0, 2**32), st.data())
@settings(max_examples=150, deadline=None)
def test_no_damage_makes_it_raise(content: bytes, kind: str, seed: int, data: st.DataObject) -> None:
    packed = bytearray(PACKERS[kind](content))
    for _ in range(data.draw(st.integers(1, 8))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    found = look(bytes(packed))
    assert found.expanded <= LIMITS.expanded + 1_000_000
