"""Replication: blobs before events, events before cursors, for ever until done; and repair of either side."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.domain import replicalog as layout
from gateway.domain.errors import BackendUnavailable, StorageFull
from gateway.domain.events import Event
from gateway.domain.replicalog import LogKey
from gateway.service.settling import Settling
from gateway.testing.replicas import SUBSCRIBER, Replicated, open_replicated
from plugins import _replica_checks as checks


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[Replicated]:
    with open_replicated(tmp_path, {"checkpoint_events": 5, "keep": "1h"}) as opened:
        yield opened


def keys(replicated: Replicated, prefix: str = "") -> list[str]:
    return sorted(info.key for info in replicated.store.list(prefix))


def cursor(replicated: Replicated) -> int:
    (one,) = replicated.space.services.snapshots.progress(SUBSCRIBER)
    return one.seq


def events_after(replicated: Replicated, seq: int) -> list[Event]:
    tenant_id = replicated.space.caller.tenant.id
    return replicated.space.services.db.read(lambda tx: tx.events.after(tenant_id, seq, 100))


def verify(replicated: Replicated) -> checks.Findings:
    plugin = replicated.plugin
    return checks.verify(plugin._context, plugin._replica())


def resync(replicated: Replicated, **options: Any) -> checks.Repairs:
    plugin = replicated.plugin
    return checks.resync(plugin._context, plugin._replica(), plugin._keeper, say=lambda _: None, **options)


def blob_file(folder: Path, key: str) -> Path:
    (found,) = folder.rglob(key.replace("/", "+"))
    return found


def test_blobs_and_events_arrive_in_order_and_can_be_read_back(replicated: Replicated) -> None:
    blob_id = replicated.space.put("a", b"some bytes").node.version.blob_id  # type: ignore[union-attr]
    replicated.space.mkcol("folder")
    replicated.deliver()
    with replicated.store.open(f"b/{blob_id}") as stream:
        assert stream.read() == b"some bytes"
    reader = replicated.space.services.restoring.reader(replicated.store)
    kinds = [event.kind for events in reader.events("studio", 0) for event in events]
    assert kinds == ["tenant.changed", "user.changed", "file.written", "node.created"]
    assert verify(replicated).problems == []


def test_delivering_again_writes_the_same_objects(replicated: Replicated) -> None:
    replicated.space.put("a", b"some bytes")
    replicated.deliver()
    before = {key: blob_file(replicated.place, key).read_bytes() for key in keys(replicated)}
    tenant_id = replicated.space.caller.tenant.id
    for event in replicated.space.services.db.read(lambda tx: tx.events.after(tenant_id, 0, 100)):
        replicated.plugin.on_event(event=event)
    assert {key: blob_file(replicated.place, key).read_bytes() for key in keys(replicated)} == before


def test_the_event_is_not_logged_before_its_blob_is_durable(
    replicated: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    replicated.deliver()
    replicated.space.put("a", b"some bytes")
    before, done = keys(replicated), cursor(replicated)

    def fail(*_: object, **__: object) -> Any:
        raise BackendUnavailable("the replica is away")

    with monkeypatch.context() as patch:
        patch.setattr(replicated.plugin._replica().store, "writer", fail)
        replicated.deliver()
    assert (keys(replicated), cursor(replicated)) == (before, done)
    replicated.space.clock.forward(60)
    replicated.deliver()
    assert cursor(replicated) == done + 1
    assert verify(replicated).problems == []


def test_a_full_replica_is_waited_out_and_the_source_goes_on(
    replicated: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Any:
        raise StorageFull("no room")

    with monkeypatch.context() as patch:
        patch.setattr(replicated.plugin._replica().store, "writer", full)
        for _ in range(15):
            replicated.space.put("a", b"bytes")
            replicated.space.clock.forward(2)
            replicated.space.deployment.leases.renew()
            replicated.deliver()
    (waiting,) = [one for one in replicated.space.services.outbox.backlog() if one.subscriber == SUBSCRIBER]
    assert not waiting.parked
    lag = next(fact for fact in (check() for check in replicated.plugin.register_health()) if "lag" in fact.name)
    assert lag.value == 30
    replicated.space.clock.forward(60)
    replicated.deliver()
    assert verify(replicated).problems == []


def test_a_blob_that_the_source_lost_is_alarmed_and_does_not_stop_the_log(replicated: Replicated) -> None:
    blob_id = replicated.space.put("a", b"some bytes").node.version.blob_id  # type: ignore[union-attr]
    replicated.space.services.store.delete(blob_id)
    replicated.space.put("b", b"others")
    replicated.deliver()
    alarms = replicated.space.services.db.read(lambda tx: tx.system.alarms())
    assert [alarm.kind for alarm in alarms] == ["replication.lost"]
    assert cursor(replicated) == replicated.space.services.db.read(lambda tx: tx.tenants.all())[0].seq
    assert any(blob_id in problem for problem in verify(replicated).problems)


def test_bytes_that_changed_at_the_source_are_never_copied(replicated: Replicated) -> None:
    blob_id = replicated.space.put("a", b"some bytes" * 2000).node.version.blob_id  # type: ignore[union-attr]
    replicated.space.services.store.local_path(blob_id).write_bytes(b"SOME BYTES")  # type: ignore[attr-defined]
    replicated.deliver()
    assert keys(replicated, "b/") == []


def test_checkpoints_follow_and_old_ones_go(replicated: Replicated) -> None:
    for round_ in range(4):
        for number in range(5):
            replicated.space.put(f"{round_}-{number}", b"x")
        replicated.deliver()
        replicated.job("keep")
        replicated.space.clock.forward(1)
        replicated.space.deployment.leases.renew()
        replicated.job("keep")
    assert len(keys(replicated, "t/studio/checkpoint/")) == 2
    assert len(keys(replicated, "kurado/policies.")) == 1
    assert len(keys(replicated, "kurado/seen.")) == 1
    assert verify(replicated).problems == []


def test_a_checkpoint_waits_until_the_replica_has_every_event_up_to_it(replicated: Replicated) -> None:
    for number in range(8):
        replicated.space.put(str(number), b"x")
    replicated.job("keep")
    replicated.job("keep")
    assert keys(replicated, "t/studio/checkpoint/") == []
    replicated.deliver()
    replicated.job("keep")
    assert len(keys(replicated, "t/studio/checkpoint/")) == 1


def test_a_gap_that_is_noticed_while_an_earlier_one_is_closed_is_closed_too(
    replicated: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    replicated.space.put("a", b"x")
    replicated.deliver()
    replicated.job("keep")
    keeper, (event,) = replicated.plugin._keeper, events_after(replicated, 2)
    seeds: list[int] = []

    def seed(*_: object) -> None:
        seeds.append(len(seeds))
        if len(seeds) == 1:
            raise BackendUnavailable("the replica is away")
        if len(seeds) == 2:  # the outbox goes on in its own thread
            keeper.saw(replace(event, seq=event.seq + 5))

    monkeypatch.setattr(keeper, "seed", seed)
    keeper.saw(replace(event, seq=event.seq + 2))
    with pytest.raises(BackendUnavailable):
        replicated.job("keep")
    for _ in range(3):
        replicated.job("keep")
    assert len(seeds) == 3


def test_small_log_objects_are_merged_without_losing_an_event(replicated: Replicated) -> None:
    for number in range(60):
        replicated.space.put(f"f{number % 7}", b"x" * number)
    replicated.deliver()
    before = replicated.space.services.restoring.reader(replicated.store).space("studio")
    replicated.job("tidy")
    logs = [layout.parse_key(key) for key in keys(replicated, "t/studio/log/")]
    assert logs == [LogKey("studio", 1, 62)]
    after = replicated.space.services.restoring.reader(replicated.store).space("studio")
    assert before is not None
    assert after is not None
    assert list(after.reachable()) == list(before.reachable())
    replicated.space.put("later", b"y")
    replicated.deliver()
    assert verify(replicated).problems == []


def test_released_blobs_leave_the_replica_after_the_keep_time_and_not_before(replicated: Replicated) -> None:
    replicated.space.put("a", b"first")
    replicated.space.put("a", b"second")
    replicated.deliver()
    replicated.job("tidy")
    replicated.space.clock.forward(1800)
    replicated.job("tidy")
    assert len(keys(replicated, "b/")) == 2
    replicated.space.clock.forward(1801)
    replicated.job("tidy")
    assert len(keys(replicated, "b/")) == 1
    assert verify(replicated).problems == []


def test_a_released_blob_stays_while_the_replica_has_not_seen_its_release(
    replicated: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    replicated.space.put("a", b"first")
    replicated.deliver()
    replicated.space.put("a", b"second")
    replicated.job("tidy")
    replicated.space.clock.forward(7200)
    replicated.job("tidy")
    assert len(keys(replicated, "b/")) == 1  # what a restore of the replicated state needs


def test_a_lost_replica_is_made_again_by_resync(replicated: Replicated) -> None:
    for number in range(9):
        replicated.space.put(f"f{number}", bytes([number]) * 100)
    replicated.deliver()
    for folder in replicated.place.iterdir():
        for file in folder.rglob("*"):
            if file.is_file():
                file.unlink()
    assert len(verify(replicated).problems) >= 9
    repairs = resync(replicated)
    assert (repairs.copied, repairs.fetched, repairs.lost) == (9, 0, [])
    assert verify(replicated).problems == []
    replicated.space.put("later", b"y")
    replicated.deliver()
    assert verify(replicated).problems == []


def test_damaged_bytes_in_the_replica_are_found_and_repaired(replicated: Replicated) -> None:
    blob_id = replicated.space.put("a", b"some bytes").node.version.blob_id  # type: ignore[union-attr]
    replicated.deliver()
    blob_file(replicated.place, f"b/{blob_id}").write_bytes(b"SOME BYTES")
    assert [problem for problem in verify(replicated).problems if blob_id in problem]
    assert resync(replicated).copied == 1
    assert verify(replicated).problems == []


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_blob_lost_or_damaged_at_the_source_comes_back_from_the_replica(replicated: Replicated, damage: str) -> None:
    blob_id = replicated.space.put("a", b"some bytes" * 2000).node.version.blob_id  # type: ignore[union-attr]
    replicated.deliver()
    file: Path = replicated.space.services.store.local_path(blob_id)  # type: ignore[attr-defined]
    file.unlink() if damage == "gone" else file.write_bytes(b"SOME BYTES")
    repairs = resync(replicated)
    assert (repairs.copied, repairs.fetched, repairs.lost) == (0, 1, [])
    assert replicated.space.read("a") == b"some bytes" * 2000


def test_a_blob_lost_on_both_sides_is_said_to_be_lost(replicated: Replicated) -> None:
    blob_id = replicated.space.put("a", b"some bytes").node.version.blob_id  # type: ignore[union-attr]
    replicated.deliver()
    replicated.store.delete(f"b/{blob_id}")
    replicated.space.services.store.delete(blob_id)
    assert resync(replicated).lost == [blob_id]


def test_an_event_that_was_skipped_is_made_good_by_the_next_checkpoint(replicated: Replicated) -> None:
    replicated.space.put("a", b"1")
    replicated.deliver()
    replicated.job("keep")
    replicated.space.put("b", b"2")
    replicated.space.services.outbox.skip(SUBSCRIBER, "studio")
    replicated.space.put("c", b"3")
    replicated.deliver()
    assert verify(replicated).problems
    replicated.job("keep")
    assert verify(replicated).problems == []


def test_an_empty_database_does_not_write_over_the_replica_of_the_one_it_replaced(tmp_path: Path) -> None:
    with open_replicated(tmp_path) as first:
        first.space.put("a", b"precious")
        first.space.tenant("theirs")
        first.deliver()
        before = keys(first)
    shutil.rmtree(tmp_path / "data")
    with open_replicated(tmp_path) as second:
        second.space.put("b", b"new")
        second.deliver()
        assert keys(second) == before
        facts = [check() for check in second.plugin.register_health()]
        assert "another installation" in next(fact.message for fact in facts if "reachable" in fact.name)
        assert resync(second, adopt=True).copied == 1
        second.space.clock.forward(60)
        second.deliver()
        assert verify(second).problems == []
        assert second.space.services.restoring.reader(second.store).tenants() == ["studio"]


def test_a_replica_that_is_down_at_start_is_used_when_it_is_there(tmp_path: Path) -> None:
    place = tmp_path / "replica"
    place.write_text("not a folder yet")
    with open_replicated(tmp_path) as replicated:
        replicated.space.put("a", b"1")
        replicated.deliver()
        assert not any(one.parked for one in replicated.space.services.outbox.backlog())
        place.unlink()
        replicated.space.clock.forward(60)
        replicated.deliver()
        assert cursor(replicated) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"to": "local"}, "to: "),
        ({"keep": "soon"}, "keep: "),
        ({"too": 1}, "too"),
        ({"checkpoint_events": 0}, "events"),
    ],
)
def test_bad_settings_are_refused_by_name(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    from gateway.pluginhost import PluginError

    with pytest.raises(PluginError, match=message), open_replicated(tmp_path, settings):
        pass


def test_copies_moves_and_deletes_of_large_trees_replicate(
    replicated: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.service import files, trees

    for module in (files, trees):
        monkeypatch.setattr(module, "BATCH", 6)
    space, services = replicated.space, replicated.space.services
    space.mkcol("big")
    for number in range(15):
        space.put(f"big/{number}", b"x" * number)
    services.files.copy(space.caller, ("big",), ("copy",))
    services.files.move(space.caller, ("copy",), ("moved",))
    services.files.delete(space.caller, ("big",))
    while services.trees.erase_detached():
        pass
    replicated.deliver()
    replicated.job("keep")
    assert verify(replicated).problems == []
    assert space.used()[1] == 15


def test_a_checkpoint_in_the_middle_of_a_large_copy_knows_the_hidden_tree(
    replicated: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.service import files, trees

    for module in (files, trees):
        monkeypatch.setattr(module, "BATCH", 4)
    space, services = replicated.space, replicated.space.services
    space.mkcol("big")
    for number in range(13):
        space.put(f"big/{number}", b"x")
    real = trees.Trees._store_batch
    done: list[int] = []

    def store(self: trees.Trees, *arguments: Any) -> None:
        real(self, *arguments)
        done.append(1)

    monkeypatch.setattr(trees.Trees, "_store_batch", store)
    attach = Settling.record
    taken: list[int] = []

    def record(self: Settling, tx: Any, caller: Any, kind: str, data: Any, *rest: Any, **options: Any) -> Any:
        if kind == "tree.copied" and data["attached"] and not taken:
            taken.append(1)
        return attach(self, tx, caller, kind, data, *rest, **options)

    monkeypatch.setattr(Settling, "record", record)
    original = services.db.write
    middle: list[Any] = []

    def write(work: Any, tenant_id: int | None = None) -> Any:
        if len(done) == 2 and not middle:
            middle.append(replicated.plugin._keeper.snapshot(space.caller.tenant.id))
        return original(work, tenant_id)

    monkeypatch.setattr(services.db, "write", write)
    services.files.copy(space.caller, ("big",), ("copy",))
    replicated.deliver()
    ((key, file),) = middle
    replicated.plugin._keeper.store_checkpoint(replicated.plugin._replica(), [], key, file)
    last = services.db.read(lambda tx: tx.tenants.all())[0].seq
    assert key.seq < last
    assert verify(replicated).problems == []


def test_a_foreign_object_in_the_place_disturbs_nothing(replicated: Replicated) -> None:
    writer = replicated.store.writer("something/else")
    writer.write(b"?")
    writer.commit()
    replicated.space.put("a", b"1")
    replicated.deliver()
    replicated.job("tidy")
    assert verify(replicated).problems == []
