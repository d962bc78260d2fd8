"""An S3 store that is stopped, slow, cut, full, or lies: nothing acknowledged is lost, nothing half-done shows.

A real SeaweedFS behind a line that can be made to fail (acceptance 5 of the S3 backend, RESILIENCE 12, 14).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.blobstore import BlobStore, BlobWriter, open_named
from gateway.domain.errors import BackendUnavailable, DamagedBlob, NotFound, StorageFull
from gateway.testing.blobstore_contract import MIB, pattern, put, read
from gateway.testing.faultline import FaultLine
from gateway.testing.needs import need
from gateway.testing.seaweed import Seaweed
from storage_backends.s3 import S3Store

QUICK = {"connect_timeout": "3s", "timeout": "3s", "attempts": 2, "part_size": "5MB"}
LARGE = 11 * MIB


@pytest.fixture(scope="module")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    need("weed")
    with Seaweed(tmp_path_factory.mktemp("seaweed")) as running:
        yield running


@pytest.fixture
def line(seaweed: Seaweed) -> Iterator[FaultLine]:
    with FaultLine(seaweed.port) as line:
        yield line


def open_store(seaweed: Seaweed, line: FaultLine, folder: Path, **more: Any) -> BlobStore:
    settings = seaweed.settings(endpoint=line.endpoint, bucket="kurado-faults", prefix=folder.name.lower())
    store = open_named({"backend": "s3", **settings, **QUICK, **more}, folder)
    store.check()
    return store


@pytest.fixture
def store(seaweed: Seaweed, line: FaultLine, tmp_path: Path) -> Iterator[BlobStore]:
    store = open_store(seaweed, line, tmp_path)
    yield store
    store.close()


def until_it_works(store: BlobStore, seconds: float = 60) -> None:
    """RESILIENCE 12: working again by itself within 60 s."""
    end = time.monotonic() + seconds
    while True:
        try:
            store.check()
            return
        except BackendUnavailable:
            assert time.monotonic() < end, "it does not recover"
            time.sleep(0.1)


def test_no_silence_is_waited_for_longer_than_twenty_seconds(seaweed: Seaweed, line: FaultLine, tmp_path: Path) -> None:
    """With the settings that are the default: a small write, one by parts, and a read that is under way."""
    defaults = {"connect_timeout": "2s", "timeout": "5s", "attempts": 3}
    stores = [open_store(seaweed, line, tmp_path, **defaults) for _ in range(3)]
    put(stores[2], "t/read", pattern(MIB) * 24)
    stream = stores[2].open("t/read")
    stream.read(1000)
    large = stores[1].writer("t/large")
    large.write(pattern(LARGE))
    line.fault = "silent"

    def write(writer: BlobWriter, content: bytes) -> float:
        started = time.monotonic()
        with pytest.raises(BackendUnavailable):
            writer.write(content)
            writer.commit()
        writer.abort()
        return time.monotonic() - started

    def go_on() -> float:
        moved = time.monotonic()
        with pytest.raises(BackendUnavailable):
            while stream.read(MIB):
                moved = time.monotonic()
        stream.close()
        return time.monotonic() - moved

    with ThreadPoolExecutor(3) as pool:
        small = pool.submit(write, stores[0].writer("t/small"), b"x")
        silences = [small, pool.submit(write, large, pattern(LARGE)), pool.submit(go_on)]
        assert max(one.result() for one in silences) < 20
    for store in stores:
        store.close()


def unfinished(store: Any) -> int:
    dropped: int = store.drop_unfinished()
    return dropped


# -- reading ----------------------------------------------------------------------------------------------------------


def test_an_answer_that_is_cut_again_and_again_is_read_whole(store: BlobStore, line: FaultLine) -> None:
    content = pattern(3 * MIB)
    put(store, "t/cut", content)
    line.fault = "cut-answer:400000"
    line.cut()
    assert read(store, "t/cut") == content
    assert read(store, "t/cut", 1_000_000, 1_500_000) == content[1_000_000:2_500_000]


def test_an_answer_that_never_comes_is_an_error_and_no_short_read(store: BlobStore, line: FaultLine) -> None:
    """More than the sockets on the way can hold (tcp_rmem and tcp_wmem go up to 6 and 4 MiB): what a kernel has
    already taken is read, cut or not."""
    content = pattern(MIB) * 24
    put(store, "t/none", content)
    with store.open("t/none") as stream:
        given = bytearray(stream.read(1000))
        line.fault = "refuse"
        line.cut()
        with pytest.raises(BackendUnavailable):
            while block := stream.read(100_000):
                given += block
    assert content.startswith(given)
    line.fault = ""
    until_it_works(store)
    assert read(store, "t/none") == content


@pytest.mark.parametrize("cut", [16, 30, 80, 150, 220, 290, 350, 420, 500, 700])
def test_an_answer_that_is_cut_in_its_head_is_never_taken_for_a_whole_one(
    store: BlobStore, line: FaultLine, cut: int
) -> None:
    put(store, "t/one", pattern(1000))
    put(store, "t/two", pattern(1000))
    line.fault = f"cut-answer:{cut}"
    for ask, right in [
        (lambda: len(list(store.list("t/"))), 2),
        (lambda: store.stat("t/one").size, 1000),
        (lambda: len(read(store, "t/one")), 1000),
        (lambda: len(read(store, "t/one", 10, 900)), 900),
    ]:
        line.cut()
        with suppress(BackendUnavailable):
            assert ask() == right
    line.fault = ""


@pytest.mark.parametrize("size", [300_000, LARGE])
def test_a_bit_that_flips_on_the_way_back_is_noticed_before_the_last_byte(
    store: BlobStore, line: FaultLine, size: int
) -> None:
    put(store, "t/flip", pattern(size))
    line.fault = "flip-answer:200000"
    line.cut()
    given = b""
    with pytest.raises(DamagedBlob), store.open("t/flip") as stream:
        while block := stream.read(65_536):
            given += block
    assert len(given) < size
    line.fault = ""
    line.cut()
    assert read(store, "t/flip") == pattern(size)


# -- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [900_000, LARGE])
@pytest.mark.parametrize("fault", ["cut-request:600000", "cut-answer:30", "refuse", "silent", "flip-request:300000"])
def test_a_write_that_goes_wrong_is_an_error_and_shows_nothing_torn(
    store: BlobStore, line: FaultLine, size: int, fault: str
) -> None:
    content = pattern(size)
    put(store, "t/before", b"stays")
    line.fault = fault
    line.cut()
    started = time.monotonic()
    with pytest.raises(BackendUnavailable):
        put(store, "t/wrong", content)
    assert time.monotonic() - started < 20  # no dependency is waited for in silence longer
    line.fault = ""
    line.cut()
    until_it_works(store)
    try:
        # an answer that was lost on its way may have been to a write that was done; half of one never is
        assert fault != "flip-request:300000"
        assert read(store, "t/wrong") == content
    except (NotFound, AssertionError):
        with pytest.raises(NotFound):
            store.stat("t/wrong")
    assert read(store, "t/before") == b"stays"
    put(store, "t/wrong", content)
    assert read(store, "t/wrong") == content
    unfinished(store)
    assert unfinished(store) == 0


def test_a_slow_line_is_waited_for_as_long_as_bytes_flow(seaweed: Seaweed, line: FaultLine, tmp_path: Path) -> None:
    store = open_store(seaweed, line, tmp_path, timeout="5s")
    line.fault = "slow:400000"
    content = pattern(900_000)
    put(store, "t/slow", content)
    assert read(store, "t/slow") == content
    store.close()


def test_what_is_known_to_be_down_is_refused_at_once(seaweed: Seaweed, line: FaultLine, tmp_path: Path) -> None:
    store = open_store(seaweed, line, tmp_path, attempts=1)
    line.fault = "silent"
    line.cut()
    for _ in range(5):
        with pytest.raises(BackendUnavailable):
            store.stat("t/x")
    breaker = cast(S3Store, store)._connection.breaker
    breaker._timer = lambda: breaker._closed_until - 0.5  # before its next try, however slow the machine is
    with pytest.raises(BackendUnavailable, match="is tried again soon") as refusal:
        store.stat("t/x")
    assert refusal.value.retry_after and refusal.value.retry_after <= 15
    breaker._timer = time.monotonic
    line.fault = ""
    line.cut()
    until_it_works(store)
    store.close()


def test_a_wrapper_that_retries_hides_short_trouble(seaweed: Seaweed, line: FaultLine, tmp_path: Path) -> None:
    inner = open_store(seaweed, line, tmp_path)
    settings = {
        "backend": "retrying",
        "pause": "300ms",
        "attempts": 8,
        "of": {"backend": "s3", **seaweed.settings(endpoint=line.endpoint, bucket="kurado-faults"), **QUICK},
    }
    store = open_named(settings, tmp_path)
    content = pattern(LARGE)
    put(store, "t/retried", content)
    line.fault = "refuse"
    line.cut()
    threading.Timer(1.5, lambda: setattr(line, "fault", "")).start()
    assert read(store, "t/retried") == content
    store.delete("t/retried")
    store.close()
    inner.close()


# -- the store itself -------------------------------------------------------------------------------------------------


def test_a_full_store_takes_nothing_and_gives_everything(seaweed: Seaweed, line: FaultLine, tmp_path: Path) -> None:
    store = open_store(seaweed, line, tmp_path, bucket="kurado-full")
    for number in range(4):
        put(store, f"t/{number}", pattern(MIB, number))
    seaweed.fill("kurado-full")
    for size in (1000, LARGE):
        with pytest.raises(StorageFull):
            put(store, "t/more", pattern(size))
    with pytest.raises(StorageFull):
        store.check()
    assert read(store, "t/2") == pattern(MIB, 2)
    assert len(list(store.list("t/"))) == 4
    store.delete("t/3")
    with pytest.raises(NotFound):
        store.stat("t/more")
    seaweed.make_room("kurado-full")
    put(store, "t/more", pattern(LARGE))
    assert read(store, "t/more") == pattern(LARGE)
    store.close()


def test_a_bucket_that_is_gone_is_no_loss_of_blobs(seaweed: Seaweed, line: FaultLine, tmp_path: Path) -> None:
    store = open_store(seaweed, line, tmp_path, bucket="kurado-gone")
    put(store, "t/there", b"bytes")
    seaweed.shell("s3.bucket.delete -name=kurado-gone")
    for ask in (store.stat, store.open):
        with pytest.raises(BackendUnavailable):
            ask("t/there")
    with pytest.raises(BackendUnavailable):
        list(store.list())
    store.close()


def test_a_store_that_was_killed_has_everything_when_it_is_back(tmp_path: Path) -> None:
    need("weed")
    seaweed = Seaweed(tmp_path / "weed").start()
    try:
        store = open_named({"backend": "s3", **seaweed.settings(), **QUICK}, tmp_path)
        contents = {f"t/{number}": pattern(50_000 + 400_000 * (number % 3), number) for number in range(12)}
        contents["t/large"] = pattern(LARGE)
        for key, content in contents.items():
            put(store, key, content)
        seaweed.kill()
        with pytest.raises(BackendUnavailable):
            store.stat("t/1")
        seaweed.start()
        until_it_works(store)
        for key, content in contents.items():
            assert read(store, key) == content
        store.close()
    finally:
        seaweed.kill()
