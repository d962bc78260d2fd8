"""What every storage backend, and every wrapper of one, must do: subclass and give a ``store`` fixture.

    class TestMyBackend(BlobStoreContract):
        @pytest.fixture
        def store(self): ...

The fixture ``clean`` fails a test that leaves anything behind: blobs that the test did not name as its own, or files in
the staging folder of a store that has one.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from gateway.blobstore import Adopting, BlobInfo, BlobStore, LocalPaths
from gateway.domain.errors import NotFound

MIB = 1024 * 1024


def put(store: BlobStore, key: str, content: bytes, block: int = 64 * 1024) -> BlobInfo:
    """Stores a blob in blocks."""
    writer = store.writer(key)
    try:
        for start in range(0, len(content), block):
            writer.write(content[start : start + block])
        return writer.commit()
    except BaseException:
        writer.abort()
        raise


def read(store: BlobStore, key: str, start: int = 0, length: int | None = None) -> bytes:
    """The bytes of a range."""
    with store.open(key, start, length) as stream:
        return stream.read()


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes that differ at each place and for each seed."""
    out = bytearray()
    while len(out) < size:
        out += hashlib.sha256(f"{seed}:{len(out)}".encode()).digest()
    return bytes(out[:size])


class BlobStoreContract:
    """Each test may use keys below ``t/``; they are deleted after it, and then nothing may be left."""

    @pytest.fixture
    def store(self) -> Iterator[BlobStore]:
        raise NotImplementedError("give a store")

    @pytest.fixture(autouse=True)
    def clean(self, store: BlobStore) -> Iterator[None]:
        assert [info.key for info in store.list()] == []
        yield
        for info in list(store.list("t/")):
            store.delete(info.key)
        assert [info.key for info in store.list()] == []
        if isinstance(store, Adopting):
            assert list(store.staging.iterdir()) == []

    # -- writing and reading ------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("size", [0, 1, 4095, 4096, 65_537, 3 * MIB + 1])
    def test_a_blob_is_given_back_byte_for_byte(self, store: BlobStore, size: int) -> None:
        content = pattern(size)
        info = put(store, "t/whole", content)
        assert (info.key, info.size) == ("t/whole", size)
        assert read(store, "t/whole") == content

    def test_blocks_of_any_size_are_put_together_in_order(self, store: BlobStore) -> None:
        content = pattern(100_000)
        writer, at = store.writer("t/blocks"), 0
        for size in (0, 1, 7, 4096, 0, 50_000, 45_896):
            writer.write(content[at : at + size])
            at += size
        assert at == len(content)
        writer.commit()
        assert read(store, "t/blocks") == content

    def test_a_mutable_block_may_be_used_again_by_the_caller(self, store: BlobStore) -> None:
        block = bytearray(b"first")
        writer = store.writer("t/mutable")
        writer.write(bytes(block))
        block[:] = b"other"
        writer.write(bytes(block))
        writer.commit()
        assert read(store, "t/mutable") == b"firstother"

    @pytest.mark.parametrize(
        ("start", "length", "expected"),
        [
            (0, None, slice(0, None)),
            (0, 1, slice(0, 1)),
            (1, 5, slice(1, 6)),
            (99_999, 1, slice(99_999, None)),
            (99_990, 100, slice(99_990, None)),
            (5, 0, slice(0, 0)),
            (100_000, None, slice(0, 0)),
            (200_000, 5, slice(0, 0)),
            (50_000, None, slice(50_000, None)),
        ],
    )
    def test_ranges_are_cut_at_the_end_of_the_blob(
        self, store: BlobStore, start: int, length: int | None, expected: slice
    ) -> None:
        content = pattern(100_000)
        put(store, "t/range", content)
        assert read(store, "t/range", start, length) == content[expected]

    def test_a_stream_is_read_in_pieces(self, store: BlobStore) -> None:
        content = pattern(300_000)
        put(store, "t/pieces", content)
        with store.open("t/pieces", 1000, 250_000) as stream:
            pieces = list(iter(lambda: stream.read(70_000), b""))
        assert b"".join(pieces) == content[1000:251_000]
        assert all(len(piece) == 70_000 for piece in pieces[:-1])

    def test_negative_ranges_are_errors_of_the_caller(self, store: BlobStore) -> None:
        put(store, "t/negative", b"x")
        with pytest.raises(ValueError):
            store.open("t/negative", -1)
        with pytest.raises(ValueError):
            store.open("t/negative", 0, -1)

    # -- commit and abort ---------------------------------------------------------------------------------------------

    def test_nothing_is_readable_before_commit(self, store: BlobStore) -> None:
        writer = store.writer("t/early")
        writer.write(pattern(200_000))
        with pytest.raises(NotFound):
            store.open("t/early")
        with pytest.raises(NotFound):
            store.stat("t/early")
        assert list(store.list("t/")) == []
        writer.commit()
        assert store.stat("t/early").size == 200_000

    def test_an_aborted_blob_leaves_nothing(self, store: BlobStore) -> None:
        writer = store.writer("t/aborted")
        writer.write(pattern(200_000))
        writer.abort()
        writer.abort()
        with pytest.raises(NotFound):
            store.stat("t/aborted")

    def test_abort_after_commit_changes_nothing(self, store: BlobStore) -> None:
        writer = store.writer("t/kept")
        writer.write(b"kept")
        first = writer.commit()
        writer.abort()
        assert writer.commit() == first
        assert read(store, "t/kept") == b"kept"

    def test_an_ended_writer_takes_no_more_bytes(self, store: BlobStore) -> None:
        writer = store.writer("t/ended")
        writer.abort()
        with pytest.raises(ValueError):
            writer.write(b"more")
        with pytest.raises(ValueError):
            writer.commit()

    def test_the_same_bytes_may_be_stored_again_under_their_key(self, store: BlobStore) -> None:
        put(store, "t/again", b"same")
        put(store, "t/again", b"same")
        assert read(store, "t/again") == b"same"
        assert len(list(store.list("t/again"))) == 1

    # -- stat, list, delete -------------------------------------------------------------------------------------------

    def test_stat_and_list_agree_with_commit(self, store: BlobStore) -> None:
        before = time.time_ns() // 1_000_000
        info = put(store, "t/stat", pattern(12_345))
        assert store.stat("t/stat") == info
        assert list(store.list("t/stat")) == [info]
        assert before - 5_000 <= info.modified_at <= time.time_ns() // 1_000_000 + 5_000

    def test_list_gives_each_blob_of_the_prefix_once(self, store: BlobStore) -> None:
        keys = {f"t/{a}/{b}" for a in ("one", "one.more", "two") for b in range(40)}
        for key in keys:
            put(store, key, b"x")
        assert sorted(info.key for info in store.list()) == sorted(keys)
        assert sorted(info.key for info in store.list("t/one/")) == sorted(k for k in keys if k.startswith("t/one/"))
        assert sorted(info.key for info in store.list("t/on")) == sorted(k for k in keys if k.startswith("t/on"))
        assert list(store.list("t/none")) == []

    def test_a_deleted_blob_is_gone_and_its_key_free_of_error(self, store: BlobStore) -> None:
        put(store, "t/gone", b"x")
        store.delete("t/gone")
        store.delete("t/gone")
        store.delete("t/never")
        for ask in (store.open, store.stat):
            with pytest.raises(NotFound):
                ask("t/gone")
        assert list(store.list("t/")) == []

    def test_a_stream_that_was_opened_is_whole_although_the_blob_is_deleted(self, store: BlobStore) -> None:
        content = pattern(1 * MIB)
        put(store, "t/reading", content)
        with store.open("t/reading") as stream:
            head = stream.read(1000)
            store.delete("t/reading")
            try:
                rest = stream.read()
            except Exception as error:
                assert isinstance(error, self.early_ends), error
            else:
                assert head + rest == content

    early_ends: tuple[type[Exception], ...] = ()
    """What a stream may raise whose blob was deleted meanwhile; a store on files raises nothing."""

    # -- keys ---------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "key", ["", "/", "a/", "/a", "a//b", ".", "..", "a/../b", "a/./b", "A", "a b", "ä", "a\0", "a+b", "x" * 201]
    )
    def test_what_is_no_key_is_refused(self, store: BlobStore, key: str) -> None:
        for ask in (store.writer, store.open, store.stat, store.delete):
            with pytest.raises(ValueError):
                ask(key)

    @pytest.mark.parametrize(
        "key", ["t/" + "x" * 198, "t/.hidden", "t/a..b", "t/-", "t/_", "t/...", "t/" + "a/" * 90 + "b"]
    )
    def test_unusual_keys_are_kept_apart(self, store: BlobStore, key: str) -> None:
        put(store, key, key.encode())
        assert read(store, key) == key.encode()
        assert [info.key for info in store.list("t/")] == [key]

    def test_keys_that_look_alike_are_different_blobs(self, store: BlobStore) -> None:
        keys = ["t/a", "t/a/b", "t/a.b", "t/a-b", "t/a_b", "t/a.b/c"]
        for key in keys:
            put(store, key, key.encode())
        assert {info.key: read(store, info.key).decode() for info in store.list("t/")} == {key: key for key in keys}

    # -- several at once ----------------------------------------------------------------------------------------------

    def test_many_threads_write_and_read_at_once(self, store: BlobStore) -> None:
        def one(number: int) -> None:
            content = pattern(50_000 + number, number)
            put(store, f"t/thread/{number}", content, 8192)
            for _ in range(3):
                assert read(store, f"t/thread/{number}") == content
            if number % 2:
                store.delete(f"t/thread/{number}")

        with ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(one, number) for number in range(40)]:
                done.result()
        assert len(list(store.list("t/thread/"))) == 20

    def test_two_writers_of_one_key_leave_one_whole_blob(self, store: BlobStore) -> None:
        content = pattern(100_000)
        barrier = threading.Barrier(2)

        def one() -> None:
            writer = store.writer("t/twice")
            writer.write(content)
            barrier.wait(120)
            writer.commit()

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(one), pool.submit(one)]:
                done.result()
        assert read(store, "t/twice") == content
        assert len(list(store.list("t/"))) == 1

    def test_a_reader_sees_all_or_nothing_of_a_blob_that_is_being_stored(self, store: BlobStore) -> None:
        content = pattern(200_000)
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(0.001):
                with suppress(NotFound):
                    assert read(store, "t/torn") == content

        with ThreadPoolExecutor(1) as pool:
            looking = pool.submit(look)
            put(store, "t/torn", content, 1000)
            stop.set()
            looking.result()

    # -- abilities and state ------------------------------------------------------------------------------------------

    def test_check_passes_and_leaves_nothing(self, store: BlobStore) -> None:
        store.check()
        assert list(store.list()) == []

    def test_a_finished_file_is_adopted(self, store: BlobStore) -> None:
        if not isinstance(store, Adopting):
            return
        file = store.staging / "0123456789ab-upload"
        file.write_bytes(pattern(70_000))
        info = store.adopt(file, "t/adopted")
        assert not file.exists()
        assert info == store.stat("t/adopted")
        assert read(store, "t/adopted") == pattern(70_000)

    def test_a_local_path_holds_the_bytes_of_the_blob(self, store: BlobStore) -> None:
        if not isinstance(store, LocalPaths):
            return
        put(store, "t/sent", pattern(70_000))
        path = store.local_path("t/sent")
        assert path is not None
        assert path.read_bytes() == pattern(70_000)
