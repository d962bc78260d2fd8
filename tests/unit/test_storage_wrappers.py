"""The parts of the wrapper backends that need no store: breaker, flow, slots, retries, digests, nesting."""

from __future__ import annotations

import hashlib
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.blobstore import open_named, owner_of
from gateway.domain.errors import BackendUnavailable, DamagedBlob, NotFound, StorageFull
from gateway.testing.blobstore_contract import pattern, put, read
from storage_backends._breaker import FAILURES, LONGEST_PAUSE, Breaker
from storage_backends._s3_digest import EtagDigest, etag_of_parts
from storage_backends.limited import Flow, LimitedStore, Slots
from storage_backends.memory import MemoryStore
from storage_backends.retrying import RetryingStore


class Watch:
    """Seconds that pass when told to, or when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


# -- breaker ----------------------------------------------------------------------------------------------------------


def test_a_breaker_refuses_after_failures_in_a_row_and_lets_one_try_through() -> None:
    watch = Watch()
    breaker = Breaker("the storage", watch)
    for _ in range(FAILURES):
        breaker.enter()
        breaker.failed()
    with pytest.raises(BackendUnavailable) as refusal:
        breaker.enter()
    assert refusal.value.retry_after == 1
    watch.now += 1
    breaker.enter()  # the one that tries
    with pytest.raises(BackendUnavailable):
        breaker.enter()
    breaker.succeeded()
    breaker.enter()
    breaker.enter()


def test_a_breaker_tries_within_its_longest_pause_for_ever() -> None:
    watch = Watch()
    breaker = Breaker("the storage", watch)
    for _ in range(20):
        breaker.failed()
    for _ in range(5):
        with pytest.raises(BackendUnavailable):
            breaker.enter()
        watch.now += LONGEST_PAUSE
        breaker.enter()
        breaker.failed()


def test_one_success_among_failures_keeps_a_breaker_closed() -> None:
    breaker = Breaker("the storage", Watch())
    for _ in range(5 * FAILURES):
        breaker.failed()
        breaker.succeeded()
        breaker.enter()


# -- limited ----------------------------------------------------------------------------------------------------------


def test_bytes_flow_at_their_rate_and_who_comes_later_waits() -> None:
    watch = Watch()
    flow = Flow(1000, watch, watch.sleep)
    for _ in range(10):
        flow.take(500)
    assert watch.now == pytest.approx(100 + 9 * 0.5)
    watch.now += 60  # what was not used is not saved up
    flow.take(500)
    flow.take(500)
    assert watch.slept[-1] == pytest.approx(0.5)


def test_uploads_and_downloads_pass_their_own_flow() -> None:
    up, down = Watch(), Watch()
    flows = Flow(100_000, up, up.sleep), Flow(50_000, down, down.sleep)
    store = LimitedStore(MemoryStore(), *flows, Slots(None, 0))
    put(store, "t/a", pattern(300_000))
    assert read(store, "t/a") == pattern(300_000)
    assert up.now - 100 == pytest.approx(3, abs=0.8)
    assert down.now - 100 == pytest.approx(6, abs=1.4)


def test_no_more_calls_at_once_than_allowed_and_none_waits_for_ever() -> None:
    slots, inside, most = Slots(3, 5), [0], [0]
    lock = threading.Lock()

    def one() -> None:
        with slots.one():
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            threading.Event().wait(0.005)
            with lock:
                inside[0] -= 1

    with ThreadPoolExecutor(12) as pool:
        for done in [pool.submit(one) for _ in range(40)]:
            done.result()
    assert most == [3]
    taken = Slots(1, 0)
    with taken.one(), pytest.raises(BackendUnavailable), taken.one():
        pass
    with taken.one():
        pass


# -- retrying ---------------------------------------------------------------------------------------------------------


class Flaky(MemoryStore):
    """Fails so many times before each success."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        super().__init__()
        self.failures = failures
        self._left = failures
        self._error = error or BackendUnavailable("flaky")

    def trip(self) -> None:
        if self._left > 0:
            self._left -= 1
            raise self._error
        self._left = self.failures

    def open(self, key: str, start: int = 0, length: int | None = None) -> Any:
        self.trip()
        stream = super().open(key, start, length)
        return _Cut(stream.read(), self)

    def put(self, key: str, content: bytes) -> Any:
        self.trip()
        return super().put(key, content)

    def stat(self, key: str) -> Any:
        self.trip()
        return super().stat(key)

    def list(self, prefix: str = "") -> Any:
        for number, info in enumerate(super().list(prefix)):
            if number:
                self.trip()
            yield info


class _Cut(io.BytesIO):
    """Every second read fails."""

    def __init__(self, content: bytes, store: Flaky) -> None:
        super().__init__(content)
        self._reads, self._store = 0, store

    def read(self, size: int | None = -1) -> bytes:
        self._reads += 1
        if self._reads % 2 == 0 and self._store.failures:
            raise BackendUnavailable("cut")
        return super().read(min(size or -1, 10_000) if size != -1 else -1)


def test_short_trouble_is_hidden_and_long_trouble_is_not(tmp_path: Path) -> None:
    content = pattern(60_000)
    store = RetryingStore(Flaky(2), tmp_path, attempts=4, pause=0, deadline=10)
    put(store, "t/a", content)
    put(store, "t/b", content)
    assert read(store, "t/a") == content
    assert read(store, "t/a", 5_000, 30_000) == content[5_000:35_000]
    assert store.stat("t/a").size == 60_000
    assert sorted(info.key for info in store.list()) == ["t/a", "t/b"]
    store = RetryingStore(Flaky(3), tmp_path, attempts=3, pause=0, deadline=10)
    with pytest.raises(BackendUnavailable):
        put(store, "t/a", content)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [StorageFull("full"), NotFound("gone"), DamagedBlob("damaged")])
def test_what_another_try_cannot_change_is_not_tried_again(tmp_path: Path, error: Exception) -> None:
    flaky = Flaky(1, error)
    store = RetryingStore(flaky, tmp_path, attempts=5, pause=0, deadline=10)
    with pytest.raises(type(error)):
        store.stat("t/a")
    assert flaky._left == 0


def test_no_try_begins_after_the_deadline(tmp_path: Path) -> None:
    store = RetryingStore(Flaky(1), tmp_path, attempts=5, pause=5, deadline=1)
    with pytest.raises(BackendUnavailable):
        store.stat("t/a")


# -- small parts ------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.integers(1, 90), st.lists(st.integers(0, 50), max_size=12))
def test_the_etag_of_parts_is_that_of_s3_however_the_bytes_come(content: bytes, part: int, cuts: list[int]) -> None:
    digest, at = EtagDigest(part), 0
    for cut in [*cuts, len(content)]:
        digest.update(content[at : at + cut])
        at += cut
    parts = [hashlib.md5(content[start : start + part]).digest() for start in range(0, len(content), part)]
    assert digest.etag() == etag_of_parts(parts)


@pytest.mark.parametrize(
    ("key", "owner"),
    [
        ("0123456789ab-1f.2a", "2a"),
        ("b/0123456789ab-1f.2a", "2a"),
        ("t/acme.corp/log/000000000000001-000000000000001.jsonl", "acme.corp"),
        ("0123456789ab-1f", ""),
        ("kurado/owner.0123", ""),
        ("kurado/papers/acme.000000000000001.0123456789abcdef", ""),
        ("t/x", ""),
    ],
)
def test_whose_bytes_a_key_names(key: str, owner: str) -> None:
    assert owner_of(key) == owner


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"backend": "sealed"}, "of: is missing"),
        ({"backend": "limited", "of": {"path": "x"}}, "of: name the backend"),
        ({"backend": "retrying", "of": {"backend": "locl"}}, "did you mean 'local'"),
        ({"backend": "limited", "of": {"backend": "sealed", "of": {"backend": "s3"}}}, r"of\.of\.bucket: is missing"),
        ({"backend": "limited", "upload": "0", "of": {"backend": "memory"}}, "upload"),
        ({"backend": "retrying", "attempts": 0, "of": {"backend": "memory"}}, "attempts"),
        ({"backend": "sealed", "master_key": {"env": "NO_SUCH_KEY"}, "of": {"backend": "memory"}}, "NO_SUCH_KEY"),
        ({"backend": "s3", "bucket": "x"}, "is no bucket"),
        ({"backend": "s3", "bucket": "bucket", "access_key": "a"}, "both"),
        ({"backend": "s3", "bucket": "bucket", "part_size": "1MB"}, "between 5MB and 1GB"),
        ({"backend": "s3", "bucket": "bucket", "endpoint": "localhost:9000"}, "no URL"),
        ({"backend": "s3", "bucket": "bucket", "secret_key_file": "nowhere"}, "No such file"),
    ],
)
def test_a_bad_setting_of_any_depth_is_named(settings: dict[str, Any], why: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=why):
        open_named(settings, tmp_path)
