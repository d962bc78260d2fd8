"""Small contents are rows, committed with their version; to all who read, move, sweep and check they are blobs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from gateway import config
from gateway.blobstore import BlobStore
from gateway.config import ConfigError
from gateway.daemon import check_database_is_the_one, open_deployment, wall_clock
from gateway.domain.errors import BackendUnavailable, NotFound, QuotaExceeded
from gateway.domain.ids import SMALL_BYTES, is_small, new_blob_id, small_blob_id
from gateway.domain.upload import NO_CONDITIONS, Declared
from gateway.service import migration as migrating
from gateway.service.smallblobs import Rows, SmallBlobs
from gateway.service.sweeper import READ_GRACE_MS
from gateway.testing.blobstore_contract import BlobStoreContract
from gateway.testing.space import START, Clock, Space, open_space
from storage_backends.local import LocalStore

SEALED = {"backend": "sealed", "of": {"backend": "local", "path": "sealed"}}
SMALL = b"small bytes"


def blob_id(space: Space, path: str) -> str:
    version = space.services.files.get(space.caller, tuple(path.split("/"))).version
    assert version is not None
    return version.blob_id


def files_below(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and "seal" not in file.name]


def rows(space: Space) -> list[str]:
    return [info.key for info in Rows(space.services.db, space.clock).list()]


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path) as opened:
        yield opened


class TestRows(BlobStoreContract):
    early_ends = (BackendUnavailable,)

    @pytest.fixture(params=["rows", "over a local storage"])
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
        with open_space(tmp_path / "gateway") as opened:
            if request.param == "rows":
                yield Rows(opened.services.db, wall_clock)
            else:
                yield SmallBlobs(LocalStore(tmp_path / "store"), opened.services.db, wall_clock)


def test_only_the_id_tells_a_small_blob() -> None:
    assert is_small(small_blob_id("ab" * 6, 17, 3))
    assert not is_small(new_blob_id("ab" * 6, 0xFF, 3))


def test_a_small_content_is_one_transaction_and_no_file(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = []
    write = space.services.db.write

    def counted(*given: Any) -> Any:
        writes.append(given)
        return write(*given)

    monkeypatch.setattr(space.services.db, "write", counted)
    space.put("a", SMALL)
    assert len(writes) == 1
    assert space.read("a") == SMALL
    assert files_below(space.deployment.data_dir / "blobs") == []
    assert rows(space) == [blob_id(space, "a")]


@pytest.mark.parametrize(("size", "is_row"), [(SMALL_BYTES, True), (SMALL_BYTES + 1, False)])
@pytest.mark.parametrize("known", [True, False], ids=["declared", "chunked"])
def test_the_size_decides_also_when_it_shows_at_the_end_only(
    space: Space, size: int, is_row: bool, known: bool
) -> None:
    content = bytes(index % 251 for index in range(size))
    upload = space.services.uploads.open(space.caller, ("a",), Declared(size if known else None), NO_CONDITIONS)
    for start in range(0, size, 1000):
        upload.feed(content[start : start + 1000])
    upload.finish()
    assert space.read("a") == content
    assert is_small(blob_id(space, "a")) is is_row
    assert bool(rows(space)) is is_row
    assert list(space.services.fsck.run(deep=True)) == []


@pytest.mark.parametrize("storage", [SEALED, {"backend": "memory"}], ids=["sealed", "memory"])
def test_where_bytes_do_not_lie_in_plain_files_they_are_no_rows_either(tmp_path: Path, storage: Any) -> None:
    with open_space(tmp_path, settings={"storage": storage}) as space:
        space.put("a", SMALL)
        assert space.read("a") == SMALL
        assert not is_small(blob_id(space, "a")) and rows(space) == []
    assert SMALL not in b"".join(file.read_bytes() for file in files_below(tmp_path))


@pytest.mark.parametrize(
    ("content", "at_once"),
    [
        (b"text", True),
        (bytes(range(256)), True),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), False),
        (b"PK\x03\x04" + bytes(100), False),
        (b"#!/bin/sh\n" + bytes(100) + b"PK\x05\x06" + bytes(18), False),
    ],
    ids=["text", "octets", "image", "zip", "zip behind a script"],
)
def test_the_loop_inspects_what_no_plugin_takes_apart(tmp_path: Path, content: bytes, at_once: bool) -> None:
    with open_space(tmp_path, plugins=["contract_state", "quota", "content_policy", "metering"]) as space:
        assert space.services.uploads.takes_at_once(content) is at_once


@pytest.mark.parametrize("slow", ["virus_scan", {"name": "quota", "timeout": 5}], ids=["scan", "deadline"])
def test_what_may_wait_is_never_asked_by_the_loop(tmp_path: Path, slow: Any) -> None:
    with open_space(tmp_path, plugins=["content_policy", slow]) as space:
        assert not space.services.uploads.takes_at_once(b"text")


@pytest.mark.parametrize("content", [SMALL, b""], ids=["small", "empty"])
def test_who_brings_a_whole_body_does_not_wait_for_its_commit(
    space: Space, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    never: Future[Any] = Future()
    monkeypatch.setattr(space.services.db, "write", lambda *_: never)
    upload = space.services.uploads.open(space.caller, ("a",), Declared(len(content)), NO_CONDITIONS)
    assert upload.finish_with(content) is never


def test_a_refused_content_leaves_no_row(tmp_path: Path) -> None:
    with open_space(tmp_path, plugins=["quota"], quota_bytes=15) as space:
        space.put("a", SMALL)
        with pytest.raises(QuotaExceeded):
            space.put("b", SMALL)
        assert rows(space) == [blob_id(space, "a")]
        assert space.used() == (len(SMALL), 1)


def test_uploads_that_race_for_the_last_bytes_never_overshoot(tmp_path: Path) -> None:
    with open_space(tmp_path, plugins=["quota"], quota_bytes=100) as space:
        refused = []

        def put(number: int) -> None:
            try:
                space.put(f"f{number}", SMALL)
            except QuotaExceeded:
                refused.append(number)

        threads = [threading.Thread(target=put, args=(number,)) for number in range(16)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert len(refused) == 16 - 9
        assert space.used() == (99, 9)
        assert len(rows(space)) == 9


def test_what_is_replaced_and_deleted_frees_its_row_and_a_copy_keeps_it(space: Space) -> None:
    space.put("a", SMALL)
    space.services.files.copy(space.caller, ("a",), ("b",), overwrite=False, infinite=True, conditions=NO_CONDITIONS)
    space.put("a", b"other")
    space.clock.forward(READ_GRACE_MS / 1000)
    space.services.sweeper.sweep_released()
    assert space.read("b") == SMALL and len(rows(space)) == 2
    space.services.files.delete(space.caller, ("b",), NO_CONDITIONS)
    space.clock.forward(READ_GRACE_MS / 1000)
    assert space.services.sweeper.sweep_released() == 1
    assert rows(space) == [blob_id(space, "a")]


def test_fsck_compares_rows_both_ways_and_by_their_digest(space: Space) -> None:
    db = space.services.db
    for name in ("gone", "short", "changed"):
        space.put(name, SMALL)
    gone, short, changed = (blob_id(space, name) for name in ("gone", "short", "changed"))
    stray = small_blob_id("ab" * 6, 1, 1)

    def damage(tx: Any) -> None:
        tx.small.remove(gone)
        tx.small.put(short, SMALL[:3], START)
        tx.small.put(changed, SMALL.upper(), START)
        tx.small.put(stray, b"nobody's", START)

    db.write(damage).result()
    found = {one.subject: one.kind for one in space.services.fsck.run(deep=True)}
    assert found == {
        gone: "missing-blob",
        short: "wrong-size",
        changed: "wrong-digest",
        stray: "unreferenced-blob",
    }
    list(space.services.fsck.run(repair=True))
    assert stray not in rows(space)


def test_a_content_whose_row_is_gone_is_reported(space: Space) -> None:
    space.put("a", SMALL)
    space.services.db.write(lambda tx: tx.small.remove(blob_id(space, "a"))).result()
    with pytest.raises(NotFound):
        space.read("a")
    assert [alarm.subject for alarm in space.services.health.alarms()] == [blob_id(space, "a")]


def open_two(folder: Path) -> Any:
    return open_space(folder, settings={"storage": {"backend": "local"}, "storages": {"sealed": SEALED}})


def test_a_move_to_another_storage_takes_the_rows_along_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "FOLLOW_SECONDS", 0.0)
    large = SMALL * 3000
    with open_two(tmp_path) as space:
        space.put("a", SMALL)
        space.put("large", large)
        done = space.services.migration.run("sealed", grace=0)
        assert (done.blobs, done.released, done.finished) == (2, 2, True)
        assert rows(space) == [] and is_small(blob_id(space, "a"))
        space.put("b", b"written after")
        assert rows(space) == []
        assert (space.read("a"), space.read("large"), space.read("b")) == (SMALL, large, b"written after")
        assert list(space.services.fsck.run(deep=True)) == []
        assert space.services.migration.run("storage", grace=0).finished
        assert (space.read("a"), space.read("large"), space.read("b")) == (SMALL, large, b"written after")
        assert files_below(tmp_path / "data" / "sealed") == []
        space.services.files.delete(space.caller, ("a",), NO_CONDITIONS)
        space.clock.forward(READ_GRACE_MS / 1000)
        assert space.services.sweeper.sweep_released() == 1
        assert list(space.services.fsck.run(deep=True)) == []


def test_between_two_local_storages_rows_stay_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrating, "FOLLOW_SECONDS", 0.0)
    second = {"second": {"backend": "local", "path": str(tmp_path / "second")}}
    with open_space(tmp_path, settings={"storage": {"backend": "local"}, "storages": second}) as space:
        space.put("a", SMALL)
        assert space.services.migration.run("second", grace=0).finished
        assert rows(space) == [blob_id(space, "a")] and space.read("a") == SMALL


def test_a_lost_database_is_noticed_though_all_contents_were_in_it(tmp_path: Path) -> None:
    clock = Clock()
    with open_space(tmp_path, clock=clock) as space:
        space.put("a", SMALL)
    for file in (tmp_path / "data").glob("kurado.db*"):
        file.unlink()
    with (
        open_deployment(config.load(tmp_path / "gateway.yaml", {}), role="cli", clock=clock) as deployment,
        pytest.raises(ConfigError, match="the database was lost"),
    ):
        check_database_is_the_one(deployment)
