"""The sealed backend: every range reads right, no changed bit goes unseen, nothing readable is left without its key."""

from __future__ import annotations

import random
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.blobstore import BlobStore, BlobWriter, Rewrapped, open_named
from gateway.domain.errors import BackendUnavailable, DamagedBlob, NotFound
from gateway.masterkey import KeyRing, MasterKey, WrongKey
from gateway.testing.blobstore_contract import MIB, pattern, put, read
from storage_backends._sealed_keys import DataKeys
from storage_backends._sealing import HEADER_BYTES, SEALED_SEGMENT, SEGMENT, last_segment, plain_size
from storage_backends.memory import MemoryStore
from storage_backends.sealed import SealedStore

OWNED = "b00t-1.a1"
"""A blob of the owner a1."""

THREE = pattern(3 * SEGMENT)


def sealed(folder: Path, inner: dict[str, Any] | None = None, **more: Any) -> SealedStore:
    settings = {"backend": "sealed", "of": inner or {"backend": "memory"}, **more}
    store = open_named(settings, folder)
    assert isinstance(store, SealedStore)
    return store


def raw(store: SealedStore) -> MemoryStore:
    assert isinstance(store.inner, MemoryStore)
    return store.inner


def stored(store: SealedStore, key: str = OWNED) -> bytearray:
    return bytearray(read(store.inner, key))


# -- ranges -----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10 * SEGMENT), st.integers(-3, 3))
def test_sizes_are_known_without_opening(segments: int, off: int) -> None:
    size = max(0, segments + off)
    whole = HEADER_BYTES + size + 16 * (last_segment(size) + 1)
    assert plain_size(whole) == size


@pytest.mark.parametrize("size", [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 2 * SEGMENT + 1])
def test_every_range_around_every_edge_is_right(tmp_path: Path, size: int) -> None:
    store, content = sealed(tmp_path), pattern(size)
    put(store, OWNED, content)
    assert store.stat(OWNED).size == size
    edges = sorted({max(0, edge + off) for edge in (0, SEGMENT, 2 * SEGMENT, size) for off in (-1, 0, 1, 2)})
    for start in edges:
        for length in [
            None,
            0,
            1,
            2,
            SEGMENT - 1,
            SEGMENT,
            SEGMENT + 1,
            *(end - start for end in edges if end > start),
        ]:
            end = None if length is None else start + length
            assert read(store, OWNED, start, length) == content[start:end], (start, length)


def test_every_range_of_64_mib_in_a_real_store_is_right(tmp_path: Path, s3_settings: dict[str, Any]) -> None:
    prefix = f"{s3_settings.get('prefix', '')}/{secrets.token_hex(6)}"
    store = sealed(tmp_path, {"backend": "s3", **s3_settings, "prefix": prefix})
    block = random.Random(64).randbytes(MIB)
    content = b"".join(number.to_bytes(8, "big") + block[8:] for number in range(64))
    put(store, OWNED, content, MIB)
    assert read(store, OWNED) == content
    chance = random.Random(1)
    for _ in range(120):
        start = chance.choice([chance.randrange(64 * MIB), chance.randrange(1024) * SEGMENT - chance.randrange(-2, 3)])
        start = max(0, start)
        length = chance.choice([1, 17, SEGMENT, chance.randrange(300_000)])
        assert read(store, OWNED, start, length) == content[start : start + length], (start, length)
    store.delete(OWNED)
    for info in list(store.inner.list()):
        store.inner.delete(info.key)
    store.close()


# -- changed bits -----------------------------------------------------------------------------------------------------


def seen_as_damaged(store: BlobStore, key: str = OWNED) -> bool:
    try:
        read(store, key)
    except DamagedBlob:
        return True
    return False


@settings(max_examples=150)
@given(st.data())
def test_no_changed_bit_goes_unseen(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    store = STORES.setdefault("bits", sealed(tmp_path_factory.mktemp("bits")))
    content = THREE[: 2 * SEGMENT + 100]
    put(store, OWNED, content)
    changed = stored(store)
    special = [*range(HEADER_BYTES), *range(HEADER_BYTES + SEGMENT, HEADER_BYTES + SEALED_SEGMENT), len(changed) - 1]
    at = data.draw(st.one_of(st.sampled_from(special), st.integers(0, len(changed) - 1)))
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    raw(store).put(OWNED, bytes(changed))
    assert seen_as_damaged(store)
    # ranges that do not touch the segment may be read; none gives a wrong byte
    start = data.draw(st.integers(0, len(content)))
    with suppress(DamagedBlob):
        assert read(store, OWNED, start, 5000) == content[start : start + 5000]


CUTS = [max(0, HEADER_BYTES + n * SEALED_SEGMENT + off) for n in range(4) for off in (-16, -1, 0, 1, 16)]
STORES: dict[str, SealedStore] = {}


@settings(max_examples=100)
@given(st.one_of(st.sampled_from(CUTS), st.integers(0, 3 * SEALED_SEGMENT)))
def test_no_cut_end_goes_unseen(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    store = STORES.setdefault("cuts", sealed(tmp_path_factory.mktemp("cuts")))
    put(store, OWNED, THREE)
    whole = stored(store)
    raw(store).put(OWNED, bytes(whole[: min(cut, len(whole) - 1)]))
    assert seen_as_damaged(store)
    for start in (0, SEGMENT, 2 * SEGMENT, 3 * SEGMENT - 1, 3 * SEGMENT, 4 * SEGMENT):
        try:
            assert read(store, OWNED, start) == THREE[start:]
        except DamagedBlob:
            continue
        raise AssertionError(f"from {start} a cut blob is read as if it ended there")


def test_segments_and_blobs_cannot_change_places(tmp_path: Path) -> None:
    store = sealed(tmp_path)
    content = pattern(3 * SEGMENT)
    put(store, OWNED, content)
    put(store, "b00t-2.a1", content)
    put(store, "b00t-3.b2", content)
    whole = bytes(stored(store))
    head, body = whole[:HEADER_BYTES], whole[HEADER_BYTES:]
    one, two, three = (body[n * SEALED_SEGMENT : (n + 1) * SEALED_SEGMENT] for n in range(3))
    for other in (head + two + one + three, head + one + three, head + one + one + two + three, head + three):
        raw(store).put(OWNED, other)
        assert seen_as_damaged(store)
    for elsewhere in ("b00t-2.a1", "b00t-3.b2"):
        raw(store).put(OWNED, bytes(stored(store, elsewhere)))
        assert seen_as_damaged(store)
    raw(store).put(OWNED, whole)
    assert read(store, OWNED) == content


def test_a_blob_that_is_stored_anew_is_read_although_its_header_was_known(tmp_path: Path) -> None:
    store, content = sealed(tmp_path), pattern(3 * SEGMENT)
    put(store, OWNED, content)
    assert read(store, OWNED, SEGMENT, 10) == content[SEGMENT : SEGMENT + 10]
    other = SealedStore(store.inner, store.keys._ring, 60)
    put(other, OWNED, content)
    assert read(store, OWNED, SEGMENT, 10) == content[SEGMENT : SEGMENT + 10]


# -- keys -------------------------------------------------------------------------------------------------------------


def test_without_its_key_an_owner_is_unreadable_and_others_are_not(tmp_path: Path) -> None:
    store = sealed(tmp_path)
    for key in (OWNED, "b00t-9.a1", "b00t-2.b2", "b/b00t-3.a1", "t/acme/log/1"):
        put(store, key, b"bytes")
    store.forget_owner("a1")
    for key in (OWNED, "b00t-9.a1", "b/b00t-3.a1"):
        with pytest.raises(NotFound):
            store.open(key)
        assert store.stat(key).size == 5
    assert read(store, "b00t-2.b2") == read(store, "t/acme/log/1") == b"bytes"
    store.forget_owner("acme")
    with pytest.raises(NotFound):
        store.open("t/acme/log/1")
    store.forget_owner("a1")


def test_a_removed_key_stops_working_in_other_processes_too(tmp_path: Path) -> None:
    store = sealed(tmp_path, key_check="0s")
    put(store, OWNED, b"bytes")
    other = SealedStore(store.inner, store.keys._ring, 0)
    assert read(other, OWNED) == b"bytes"
    store.forget_owner("a1")
    with pytest.raises(NotFound):
        other.open(OWNED)


def test_the_damage_of_one_copy_of_a_key_harms_nothing(tmp_path: Path) -> None:
    store = sealed(tmp_path, key_check="0s")
    put(store, OWNED, b"bytes")
    keys = [info.key for info in store.inner.list(".seal/") if "witness" not in info.key]
    assert len(keys) == 2
    for key in keys:
        good = read(store.inner, key)
        raw(store).put(key, b"x" + good[1:])
        assert read(store, OWNED) == b"bytes"
        raw(store).put(key, good)
    for key in keys:
        raw(store).put(key, b"x")
    assert seen_as_damaged(store)
    put(store, "b00t-7.a1", b"new bytes")  # under a new key
    assert read(store, "b00t-7.a1") == b"new bytes"


def test_another_master_key_neither_reads_nor_writes_and_calls_nothing_damaged(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("11" * 32)
    (tmp_path / "two").write_text("22" * 32)
    place = {"backend": "local", "path": str(tmp_path / "blobs")}
    store = sealed(tmp_path, place, master_key={"file": "one"})
    put(store, OWNED, b"bytes")
    other = sealed(tmp_path, place, master_key={"file": "two"})
    for ask in (lambda: other.open(OWNED), lambda: put(other, "b00t-2.a1", b"x"), other.check):
        with pytest.raises(BackendUnavailable, match="another master key") as refusal:
            ask()
        assert not isinstance(refusal.value, DamagedBlob)
    assert read(sealed(tmp_path, place, master_key={"file": "one"}), OWNED) == b"bytes"


def test_its_own_keys_are_no_blobs(tmp_path: Path) -> None:
    store = sealed(tmp_path)
    put(store, OWNED, b"bytes")
    name = next(info.key for info in store.inner.list(".seal/"))
    for ask in (store.open, store.stat, store.delete, store.writer):
        with pytest.raises(ValueError, match="of the sealed storage itself"):
            ask(name)
    assert [info.key for info in store.list()] == [OWNED]
    with pytest.raises(ValueError, match="master_key"):
        sealed(tmp_path, master_key={"file": "nowhere"})


def test_a_real_store_holds_no_byte_of_what_it_was_given(
    tmp_path: Path, s3_settings: dict[str, Any], s3_folder: Path
) -> None:
    secret = b"the quick brown fox signs the agreement; " * 300
    store = sealed(tmp_path, {"backend": "s3", **s3_settings, "prefix": secrets.token_hex(6)})
    put(store, OWNED, secret)
    put(store, "b00t-2.a1", secret * 500)
    put(store, "t/acme/log/000000000000001-000000000000002.jsonl", b'{"name":"agreement.docx"}' * 50)
    assert read(store, OWNED) == secret
    store.close()
    found = [file for file in s3_folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in found) > 500 * len(secret)
    for file in found:
        content = file.read_bytes()
        for word in (b"quick brown", b"agreement", b"docx", b"text/plain"):
            assert word not in content, (file, word)


# -- another master key -----------------------------------------------------------------------------------------------

OLD, NEW = KeyRing(MasterKey(bytes(32))), KeyRing(MasterKey(b"n" * 32))
BOTH = KeyRing(NEW.current, OLD.current)
OWNERS = [f"b00t-{number}.a{number}" for number in range(1, 6)]


class Dying(MemoryStore):
    """A store whose user is killed before its n-th change."""

    left = 10**9

    def writer(self, key: str) -> BlobWriter:
        self._live()
        return super().writer(key)

    def delete(self, key: str) -> None:
        self._live()
        super().delete(key)

    def _live(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


class Killed(BaseException):
    pass


def opens(inner: BlobStore, ring: KeyRing, key: str) -> bytes | None:
    """What a process that begins now reads; None where its master keys open nothing."""
    try:
        return read(SealedStore(inner, ring, 0), key)
    except BackendUnavailable as error:
        assert "another master key" in str(error)
        return None


def filled() -> Dying:
    inner = Dying(None)
    store = SealedStore(inner, OLD, 0)
    for owner in OWNERS:
        put(store, owner, owner.encode())
    return inner


def test_a_master_key_is_changed_while_both_are_known_and_the_old_one_opens_nothing_afterwards() -> None:
    inner = filled()
    running = SealedStore(inner, BOTH, 0)
    assert read(running, OWNERS[0]) == OWNERS[0].encode()
    before = {info.key for info in inner.list() if not info.key.startswith(".seal")}
    told: list[Rewrapped] = []
    assert SealedStore(inner, BOTH, 0).rewrap_keys(told.append) == Rewrapped(wrapped=5) == told[-1]
    assert {info.key for info in inner.list() if not info.key.startswith(".seal")} == before
    for ring in (NEW, BOTH):
        assert [opens(inner, ring, owner) for owner in OWNERS] == [owner.encode() for owner in OWNERS]
    assert [opens(inner, OLD, owner) for owner in OWNERS] == [None] * 5
    for info in inner.list(".seal/"):  # nor by itself, whatever the store says of it
        wrapped = read(inner, info.key)
        assert wrapped != OLD.current.fingerprint()
        with pytest.raises(WrongKey):
            folder, name = info.key.removeprefix(".seal/").partition("/")[::2]
            OLD.unwrap(wrapped, f"data key {folder} {name.partition('.')[0]}")
    for owner in OWNERS:
        assert read(running, owner) == owner.encode()
        put(running, "c" + owner, b"new")
    put(running, "b00t-9.a99", b"of a new owner")
    assert opens(inner, NEW, "b00t-9.a99") == b"of a new owner"
    assert SealedStore(inner, BOTH, 0).rewrap_keys(told.append) == Rewrapped(kept=6)


def test_a_process_that_knows_only_the_old_key_takes_nothing_for_damaged_and_writes_nothing() -> None:
    inner = filled()
    late = SealedStore(inner, OLD, 0)
    assert read(late, OWNERS[0]) == OWNERS[0].encode()
    SealedStore(inner, BOTH, 0).rewrap_keys(lambda _: None)
    with pytest.raises(BackendUnavailable, match="another master key") as refused:
        read(late, OWNERS[0])
    assert not isinstance(refused.value, DamagedBlob)
    late = SealedStore(inner, OLD, 0)
    with pytest.raises(BackendUnavailable, match="another master key"):
        put(late, "b00t-9.a99", b"x")


@pytest.mark.parametrize("changes", range(26))
def test_a_change_that_was_killed_anywhere_is_continued(changes: int) -> None:
    """Two witnesses, five keys with their copies, the old ones, and the old witness with its own: 24 changes."""
    inner = filled()
    inner.left = changes
    killed = False
    try:
        SealedStore(inner, BOTH, 0).rewrap_keys(lambda _: None)
    except Killed:
        killed = True
    assert killed is (changes < 24)
    inner.left = 10**9
    assert [opens(inner, BOTH, owner) for owner in OWNERS] == [owner.encode() for owner in OWNERS]
    put(SealedStore(inner, BOTH, 0), "b00t-9.a99", b"made between")
    done = SealedStore(inner, BOTH, 0).rewrap_keys(lambda _: None)
    assert (done.wrapped + done.kept, done.lost) == (6, 0)
    for owner in OWNERS:
        assert opens(inner, NEW, owner) == owner.encode()
        assert opens(inner, OLD, owner) is None
    assert len(list(inner.list(".seal/"))) == 2 + 2 * 6


def test_a_key_that_is_made_while_the_master_key_changes_is_wrapped_by_the_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inner = filled()
    maker, write = SealedStore(inner, BOTH, 0), DataKeys._write

    def change_first(keys: DataKeys, key: str, content: bytes) -> None:
        monkeypatch.setattr(DataKeys, "_write", write)
        SealedStore(inner, BOTH, 0).rewrap_keys(lambda _: None)
        write(keys, key, content)  # as it was made before: the pass did not see it

    monkeypatch.setattr(DataKeys, "_write", change_first)
    put(maker, "b00t-9.a99", b"made meanwhile")
    assert opens(inner, NEW, "b00t-9.a99") == b"made meanwhile"
    assert SealedStore(inner, BOTH, 0).rewrap_keys(lambda _: None) == Rewrapped(kept=6)


def test_an_owner_who_is_forgotten_while_the_master_key_changes_does_not_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inner = filled()
    keep = DataKeys._keep

    def forget_then(keys: DataKeys, place: str, *words: Any) -> None:
        keep(keys, place, *words)
        for info in list(inner.list(place.rpartition("/")[0])):  # what a process deletes that listed before
            if not info.key.startswith(place):
                inner.delete(info.key)

    monkeypatch.setattr(DataKeys, "_keep", forget_then)
    SealedStore(inner, BOTH, 0).rewrap_keys(lambda _: None)
    for owner in OWNERS:
        with pytest.raises(NotFound):
            read(SealedStore(inner, NEW, 0), owner)


def test_a_key_that_no_master_key_opens_is_told_and_left_alone() -> None:
    inner = filled()
    (first, *_) = sorted(info.key for info in inner.list(".seal/") if info.key.count("/") == 2)
    for name in (first, first + ".copy"):
        inner.delete(name)
        put(inner, name, b"noise")
    assert SealedStore(inner, BOTH, 0).rewrap_keys(lambda _: None) == Rewrapped(wrapped=4, lost=1)
    assert read(inner, first) == b"noise"


def test_the_master_key_can_be_changed_again_and_back() -> None:
    inner = filled()
    third = KeyRing(MasterKey(b"t" * 32))
    for ring in (BOTH, KeyRing(third.current, NEW.current), KeyRing(OLD.current, third.current)):
        assert SealedStore(inner, ring, 0).rewrap_keys(lambda _: None) == Rewrapped(wrapped=5)
    assert [opens(inner, OLD, owner) for owner in OWNERS] == [owner.encode() for owner in OWNERS]
    assert opens(inner, NEW, OWNERS[0]) is opens(inner, third, OWNERS[0]) is None
