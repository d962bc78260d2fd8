"""Blobs move from one storage to another while the space is used: nothing is lost, all is verified, it resumes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.blobstore import BlobStore, open_named
from gateway.config import ConfigError
from gateway.domain.errors import ActRefused, BackendUnavailable, NotFound
from gateway.service import migration as migrating
from gateway.service.damages import DAMAGED
from gateway.service.switching import MOVED, MOVING, Switching, first_that
from gateway.testing.space import Space, open_space

FILES = {f"file-{number}": f"content {number} ".encode() * (2000 + number * 300) for number in range(12)}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process alone has nobody to wait for."""
    monkeypatch.setattr(migrating, "FOLLOW_SECONDS", 0.0)


@contextmanager
def open_two(folder: Path, main: Any = None, /, **named: Any) -> Iterator[Space]:
    named = named or {"second": {"backend": "local", "path": str(folder / "second")}}
    settings = {"storage": main or {"backend": "local"}, "storages": named}
    with open_space(folder, settings=settings) as space:
        yield space


def at(folder: Path) -> BlobStore:
    return open_named({"backend": "local", "path": str(folder)}, folder)


def keys(folder: Path) -> set[str]:
    return {info.key for info in at(folder).list()}


def fill(space: Space) -> None:
    for name, content in FILES.items():
        space.put(name, content)


def test_all_blobs_move_and_are_read_as_before(tmp_path: Path) -> None:
    with open_two(tmp_path) as space:
        fill(space)
        assert len(keys(tmp_path / "data" / "blobs")) == len(FILES)
        done = space.services.migration.run("second", grace=0)
        assert (done.blobs, done.released, done.finished, done.failed) == (len(FILES), len(FILES), True, {})
        assert done.bytes == sum(map(len, FILES.values()))
        assert keys(tmp_path / "data" / "blobs") == set()
        assert {name: space.read(name) for name in FILES} == FILES
        space.put("new", b"new bytes" * 2000)
        assert len(keys(tmp_path / "second")) == len(FILES) + 1
        assert list(space.services.fsck.run(deep=True)) == []
    with open_two(tmp_path) as space:  # the route outlives the process
        assert space.services.migration.route().phase == MOVED
        assert space.read("file-3") == FILES["file-3"]
        space.put("newer", b"newer bytes" * 2000)
        assert len(keys(tmp_path / "second")) == len(FILES) + 2
        assert [one.level for one in space.services.health.examine() if one.name == "storage.route"] == ["warning"]


def test_the_new_storage_is_then_the_only_one(tmp_path: Path) -> None:
    with open_two(tmp_path) as space:
        fill(space)
        space.services.migration.run("second", grace=0)
    second = {"backend": "local", "path": str(tmp_path / "second")}
    with open_two(tmp_path, "second", second=second) as space:
        assert {name: space.read(name) for name in FILES} == FILES
        assert [one.level for one in space.services.health.examine() if one.name == "storage.route"] == ["ok"]
    with pytest.raises(ConfigError, match="'second', which holds blobs"), open_space(tmp_path):
        pass


def test_a_move_that_was_broken_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_two(tmp_path) as space:
        fill(space)
        moves = space.services.migration
        calls = 0
        put = migrating._put

        def failing(store: BlobStore, key: str, blocks: Any) -> None:
            nonlocal calls
            calls += 1
            if calls > 6:
                raise BackendUnavailable("the target went away")
            put(store, key, blocks)

        monkeypatch.setattr(migrating, "_put", failing)
        with pytest.raises(BackendUnavailable):
            moves.run("second", grace=0, workers=1)
        monkeypatch.setattr(migrating, "_put", put)
        assert moves.route().phase == MOVING
        assert {name: space.read(name) for name in FILES} == FILES
        space.put("between", b"between")
        assert len(keys(tmp_path / "data" / "blobs")) >= len(FILES) - 6
    with open_two(tmp_path) as space:
        assert space.services.migration.run("second", grace=0).finished
        assert {name: space.read(name) for name in FILES} == FILES
        assert space.read("between") == b"between"
        assert list(space.services.fsck.run(deep=True)) == []


def test_blobs_move_back(tmp_path: Path) -> None:
    with open_two(tmp_path) as space:
        fill(space)
        assert space.services.migration.run("second", grace=0).finished
        assert space.services.migration.run("storage", grace=0).finished
        assert keys(tmp_path / "second") == set()
        assert {name: space.read(name) for name in FILES} == FILES
        again = space.services.migration.run("storage", grace=0)
        assert again.finished and again.blobs == 0


def test_a_blob_that_is_not_as_it_was_committed_stays_and_is_reported(tmp_path: Path) -> None:
    with open_two(tmp_path) as space:
        fill(space)
        bad = space.put("bad", b"good bytes" * 2000).node.version.blob_id
        file = at(tmp_path / "data" / "blobs").local_path(bad)  # type: ignore[attr-defined]
        file.write_bytes(b"evil bytes" * 2000)
        done = space.services.migration.run("second", grace=0)
        assert not done.finished and list(done.failed) == [bad]
        assert keys(tmp_path / "data" / "blobs") == {bad} and bad not in keys(tmp_path / "second")
        assert [(alarm.kind, alarm.subject) for alarm in space.services.health.alarms()] == [(DAMAGED, bad)]
        file.write_bytes(b"good bytes" * 2000)
        assert space.services.migration.run("second", grace=0).finished
        assert space.read("bad") == b"good bytes" * 2000


def test_nothing_is_released_that_the_target_does_not_give_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_two(tmp_path) as space:
        fill(space)
        put = migrating._put

        def lying(store: BlobStore, key: str, blocks: Any) -> None:
            put(store, key, [bytes(len(block)) for block in blocks])

        monkeypatch.setattr(migrating, "_put", lying)
        with pytest.raises(BackendUnavailable, match="other bytes"):
            space.services.migration.run("second", grace=0, workers=1)
        assert len(keys(tmp_path / "data" / "blobs")) == len(FILES)
        monkeypatch.setattr(migrating, "_put", put)
        assert space.services.migration.run("second", grace=0).finished
        assert {name: space.read(name) for name in FILES} == FILES


def test_what_is_deleted_while_it_is_copied_does_not_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_two(tmp_path) as space:
        writer = space.services.store.writer(f"{'ab' * 6}-1.1")
        writer.write(b"nobody names this")
        writer.commit()
        put = migrating._put

        def deleted_meanwhile(store: BlobStore, key: str, blocks: Any) -> None:
            put(store, key, blocks)
            if "-" in key:
                at(tmp_path / "data" / "blobs").delete(key)

        monkeypatch.setattr(migrating, "_put", deleted_meanwhile)
        assert space.services.migration.run("second", grace=0).blobs == 0
        assert keys(tmp_path / "second") == set()


def test_a_stream_goes_on_in_the_other_storage(tmp_path: Path) -> None:
    content = bytes(range(256)) * 20_000
    with open_two(tmp_path) as space:
        node = space.put("large", content).node
        moves = space.services.migration
        moves.begin("second")
        found = space.services.files.content(space.caller, node)
        assert found.find_file() is None  # the file may go before it is opened
        stream = found.open(0, len(content))
        head = stream.read(1000)
        assert moves.run("second", grace=0).finished
        with stream:
            assert head + stream.read() == content
        local = space.services.files.content(space.caller, node).find_file()
        assert local is not None and local.read_bytes() == content


def test_places_that_cannot_be_the_target_change_nothing(tmp_path: Path) -> None:
    replica = at(tmp_path / "replica")
    writer = replica.writer("kurado/owner.0123")
    writer.commit()
    same = {"backend": "local", "path": str(tmp_path / "data" / "blobs")}
    where = {"backend": "local", "path": str(tmp_path / "replica")}
    gone = {
        "backend": "s3",
        "bucket": "bucket",
        "endpoint": "http://127.0.0.1:9",
        "access_key": "a",
        "secret_key": "s",
        "attempts": 1,
    }
    with open_two(tmp_path, same=same, replica=where, gone=gone) as space:
        fill(space)
        moves = space.services.migration
        with pytest.raises(ActRefused, match="same place"):
            moves.run("same")
        with pytest.raises(ActRefused, match="replica"):
            moves.run("replica")
        with pytest.raises(BackendUnavailable):
            moves.run("gone")
        with pytest.raises(NotFound, match="names no storage"):
            moves.run("elsewhere")
        assert moves.route() is None
        assert {name: space.read(name) for name in FILES} == FILES
    with open_space(tmp_path) as space, pytest.raises(NotFound, match="names no storage"):
        space.services.migration.run("second")


def test_one_storage_that_cannot_be_reached_makes_nothing_look_lost() -> None:
    class Down:
        def stat(self, key: str) -> Any:
            raise BackendUnavailable("down")

    class Empty:
        def stat(self, key: str) -> Any:
            raise NotFound("nothing here")

    for places in ([Down(), Empty()], [Empty(), Down()]):
        with pytest.raises(BackendUnavailable):
            first_that(places, lambda store: store.stat("x"))  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        first_that([Empty(), Empty()], lambda store: store.stat("x"))  # type: ignore[list-item]


def test_a_storage_is_named_or_described(tmp_path: Path) -> None:
    for storage, named, why in [
        ("second", {"first": {"backend": "local"}}, "no storage 'second'"),
        ({"backend": "local"}, {"storage": {"backend": "local"}}, "another name"),
        ({"backend": "local"}, {"other": {"backend": "loca"}}, "no storage backend 'loca'"),
    ]:
        with pytest.raises(ConfigError, match=why), open_two(tmp_path, storage, **named):
            pass


def test_uploads_that_wait_on_another_disk_are_copied(tmp_path: Path) -> None:
    """Nothing can be renamed into a store that only takes bytes."""
    with open_two(tmp_path, memory={"backend": "memory"}) as space:
        space.services.migration.begin("memory")
        space.put("file", b"bytes")
        store = space.deployment.store.inner
        assert isinstance(store, Switching)
        assert len(list(store.stores["memory"].list())) == 1
        assert space.read("file") == b"bytes"
