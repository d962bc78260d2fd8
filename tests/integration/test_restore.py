"""A restore from the replica alone: everything back, byte for byte, and an honest word about what is not."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import ConfigError, load
from gateway.daemon import check_database_is_the_one, open_deployment
from gateway.domain.errors import AlreadyExists, BackendUnavailable, KuradoError, NotFound
from gateway.domain.history import PROPERTY
from gateway.domain.node import VersionState
from gateway.domain.tenant import Caller, Role
from gateway.domain.upload import Outcome, Verdict
from gateway.service.replicareader import ReplicaReader
from gateway.testing.replicas import Replicated, open_replicated, open_restored, picture
from gateway.testing.space import Clock, Space

STATES = ("Enabled", "Enabled", "Suspended")
NAMES = ("a", "b", "写真", "e\u0301", "x y")


def step(space: Space, rng: random.Random) -> None:
    """One random change of the space, or of its accounts; refused ones change nothing."""
    services, caller = space.services, space.caller
    folders, files = there(space)
    free = (*rng.choice(folders), rng.choice(NAMES))
    path = rng.choice(folders + files * 2)
    other = rng.choice([free, free, *files, *folders])
    file = rng.choice([free, *files])
    actions: list[Any] = [
        lambda: services.files.make_collection(caller, free),
        lambda: space.put("/".join(free), rng.randbytes(rng.choice([0, 1, 100, 5000]))),
        lambda: space.put("/".join(file), rng.randbytes(10)),
        lambda: services.files.delete(caller, path),
        lambda: services.files.move(caller, path, other),
        lambda: services.files.copy(caller, path, other),
        lambda: services.files.copy(caller, path, other, infinite=False),
        lambda: services.files.set_props(
            caller, path, {"{x:}p": f"<p>{rng.random()}</p>"}, mtime=rng.randrange(10**12)
        ),
        lambda: services.files.set_props(caller, (), {"{x:}root": "<root/>"}),
        lambda: services.buckets.change(caller, "a", lambda props: {**props, PROPERTY: f"<v>{rng.choice(STATES)}</v>"}),
        lambda: services.accounts.add_user("studio", f"user{rng.randrange(5)}", "a long password"),
        lambda: services.accounts.set_disabled("studio", f"user{rng.randrange(5)}", rng.random() < 0.5),
        lambda: services.accounts.set_role("studio", f"user{rng.randrange(5)}", rng.choice(list(Role))),
        lambda: services.accounts.set_plan("studio", quota_bytes=rng.choice([None, 10**9])),
        lambda: hold(space, file, rng),
        lambda: hold(space, file, rng),
        lambda: judge(space, rng),
    ]
    try:
        rng.choice(actions)()
    except KuradoError:
        return


def there(space: Space) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Paths of all collections (the root first, and at most three levels) and of all files."""

    def look(tx: Any) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
        nodes = tx.nodes.subtree(space.caller.tenant.root_id)
        paths = [(node, tx.nodes.path_of(node.id)) for node in nodes]
        return (
            [path for node, path in paths if node.is_collection and len(path) < 3],
            [path for node, path in paths if not node.is_collection],
        )

    return space.services.db.read(look)


def hold(space: Space, path: tuple[str, ...], rng: random.Random) -> None:
    """An upload whose verdict is still out."""
    host = space.services.host
    verdict = Verdict(Outcome.HOLD, policy="test", reason="waits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "content_verdicts", lambda *_: [verdict])
        space.put("/".join(path), rng.randbytes(20))


def judge(space: Space, rng: random.Random) -> None:
    for node in space.services.holds.pending():
        if rng.random() < 0.5:
            space.services.holds.release(node, rng.choice([VersionState.CLEAN, VersionState.MARKED]))
        else:
            space.services.holds.reject(node, Verdict(Outcome.REFUSE, policy="test", reason="bad", error="infected"))


def same(source: dict[str, Any], restored: dict[str, Any]) -> None:
    """Compares what was with what came back; reservations of uploads under way are none of it."""
    assert set(source) == set(restored)
    for name, was in source.items():
        tenant = replace(was["tenant"], reserved_bytes=0)
        assert restored[name]["tenant"] == tenant
        assert restored[name]["users"] == was["users"]
        assert restored[name]["nodes"] == was["nodes"]
        assert restored[name]["kept"] == was["kept"]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), changes=st.integers(1, 90), checkpoint=st.sampled_from([3, 17, 1000]))
def test_whatever_happened_at_the_source_a_restore_gives_the_same_spaces(
    tmp_path_factory: pytest.TempPathFactory, seed: int, changes: int, checkpoint: int
) -> None:
    folder, rng = tmp_path_factory.mktemp("restore"), random.Random(seed)
    with open_replicated(folder, {"checkpoint_events": checkpoint}) as replicated:
        replicated.space.tenant("other", quota_bytes=12345)
        for _ in range(changes):
            step(replicated.space, rng)
            replicated.space.clock.forward(rng.choice([0, 0.001, 1]))
            replicated.space.deployment.leases.renew()
            if rng.random() < 0.3:
                replicated.deliver()
            if rng.random() < 0.2:
                replicated.job(rng.choice(["keep", "tidy"]))
        replicated.deliver()
        replicated.job("keep")
        source = picture(replicated.space.services)
        with open_restored(folder / "new", replicated.place, replicated.space.clock) as (services, report):
            assert (report.lost, report.warnings) == ([], [])
            same(source, picture(services))
            assert list(services.fsck.run(deep=True)) == []
    shutil.rmtree(folder)


def test_held_versions_and_those_before_them_come_back_through_every_verdict(tmp_path: Path) -> None:
    rng = random.Random(3)
    with open_replicated(tmp_path) as replicated:
        space, holds = replicated.space, replicated.space.services.holds
        for name in ("held", "twice", "released", "marked", "rejected", "overwritten"):
            space.put(name, rng.randbytes(50))
            hold(space, (name,), rng)
        for name in ("twice", "new", "refused"):
            hold(space, (name,), rng)
        space.put("overwritten", b"clean again")
        node = {node.name: node for node in holds.pending()}
        assert len(node) == 7
        bad = Verdict(Outcome.REFUSE, policy="test", reason="bad", error="infected")
        assert holds.release(node["released"])
        assert holds.release(node["marked"], VersionState.MARKED, "odd")
        assert holds.reject(node["rejected"], bad)
        assert holds.reject(node["refused"], bad)
        replicated.deliver()
        replicated.job("keep")
        source = picture(space.services)
        kept = {name: one[1] for name, one in source["studio"]["nodes"].items()}
        assert [name for name, previous in kept.items() if previous] == ["held", "twice"]
        with open_restored(tmp_path / "new", replicated.place, space.clock) as (services, report):
            assert (report.lost, report.warnings) == ([], [])
            same(source, picture(services))
            restored = {node.name: node for node in services.holds.pending()}
            assert services.holds.reject(restored["twice"], bad)
            current = services.db.read(lambda tx: tx.nodes.get(restored["twice"].id))
            assert current is not None
            assert source["studio"]["nodes"]["twice"][1] == current.version


def test_what_a_bucket_keeps_comes_back_with_its_bytes(tmp_path: Path) -> None:
    with open_replicated(tmp_path, {"checkpoint_events": 6}) as replicated:
        space, services = replicated.space, replicated.space.services
        services.files.make_collection(space.caller, ("a",))
        services.buckets.change(space.caller, "a", lambda props: {**props, PROPERTY: "<v>Enabled</v>"})
        for body in (b"first", b"second"):
            space.put("a/file", body)
        replicated.deliver()
        replicated.job("keep")
        replicated.job("keep")
        services.files.delete(space.caller, ("a", "file"))
        space.put("a/other", b"1")
        space.put("a/other", b"22")
        replicated.deliver()
        source, used = picture(services), space.used()
        assert [content for *_, content in source["studio"]["kept"]] == [b"first", b"second", None, b"1"]
        with open_restored(tmp_path / "new", replicated.place, space.clock) as (restored, report):
            assert (report.lost, report.warnings) == ([], [])
            same(source, picture(restored))
            tenant = restored.accounts.tenant("studio")
            assert (tenant.used_bytes, tenant.used_files) == used
            assert list(restored.fsck.run(deep=True)) == []


def test_a_restored_gateway_goes_on_serving_metering_and_replicating(tmp_path: Path) -> None:
    with open_replicated(tmp_path) as replicated:
        replicated.space.put("a", b"x" * 1000)
        replicated.space.clock.forward(5)
        replicated.space.put("b", b"y")
        replicated.deliver()
        clock, place = replicated.space.clock, replicated.place
        before = replicated.space.services.usage.statement("studio")
    with open_restored(tmp_path / "new", place, clock) as (services, _):
        assert services.usage.statement("studio") == before
        tenant = services.db.read(lambda tx: tx.tenants.get("studio"))
        assert tenant is not None
        found = services.db.read(lambda tx: tx.users.find(tenant.id, "ann"))
        assert found is not None
        node = services.files.make_collection(Caller(tenant, found), ("later",))
        assert services.outbox.backlog()
        for subscriber in services.outbox.subscribers():
            services.outbox.deliver(subscriber, 0)
        assert services.outbox.backlog() == []
        space = services.restoring.reader(_open(services, place)).space("studio")
        assert space is not None
        assert node.id in {kept.node.id for kept in space.reachable()}


def _open(services: Any, place: Path) -> Any:
    plugin = next(one.impl for one in services.host.plugins if one.name == "replication")
    return plugin._context.backend({"backend": "local", "path": str(place)})


def test_policies_and_assignments_come_back_with_their_history(tmp_path: Path) -> None:
    with open_replicated(tmp_path) as replicated:
        services = replicated.space.services
        plans = services.db.read(lambda tx: tx.policies.history("plans"))[0].text
        dear = plans.replace("capacity_fee: 30000", "capacity_fee: 31000")
        version = services.policies.apply("plans", dear, "boss").version
        dearer = services.policies.apply("plans", plans.replace("30000", "32000"), "boss").version
        services.policies.assign("plans", version, "boss", replicated.space.caller.tenant)
        replicated.deliver()
        replicated.job("keep")
        clock, place = replicated.space.clock, replicated.place
        assert dearer == version + 1
    with open_restored(tmp_path / "new", place, clock) as (restored, _):
        tenant = restored.db.read(lambda tx: tx.tenants.get("studio"))
        assert restored.policies.get("plans", tenant).get("standard").capacity_fee == 31000
        assert restored.policies.get("plans", None).get("standard").capacity_fee == 32000


def test_what_was_not_replicated_is_lost_and_the_report_says_how_much(tmp_path: Path) -> None:
    with open_replicated(tmp_path) as replicated:
        replicated.space.put("a", b"kept")
        replicated.deliver()
        replicated.space.put("b", b"gone")
        replicated.space.put("c", b"gone")
        replicated.job("keep")
        clock, place = replicated.space.clock, replicated.place
        (lag,) = replicated.space.services.snapshots.progress("replication")
        assert lag.last_seq - lag.seq == 2
    with open_restored(tmp_path / "new", place, clock) as (services, report):
        (tenant,) = report.tenants
        assert (tenant.missing, report.seen_at) == (2, clock.now)
        assert list(picture(services)["studio"]["nodes"]) == ["", "a"]
        from plugins._replica_commands import loss

        assert loss(report).startswith(
            "lost at most: 2 events of studio that the source had at 2027-01-15 08:00:00 UTC, and what it committed "
        )
        nothing = replace(report, tenants=[replace(tenant, missing=0)], acts=replace(report.acts, missing=0))
        known = "lost at most: what the source committed after 2027-01-15 08:00:00 UTC without replicating it"
        assert loss(nothing) == known


def test_a_deleted_database_is_restored_in_place_without_copying_what_the_storage_still_has(tmp_path: Path) -> None:
    with open_replicated(tmp_path) as replicated:
        replicated.space.put("a", b"kept")
        replicated.deliver()
        source, clock, place = picture(replicated.space.services), replicated.space.clock, replicated.place
    for file in (tmp_path / "data").glob("kurado.db*"):
        file.unlink()
    blobs = {file: file.stat().st_mtime_ns for file in (tmp_path / "data" / "blobs").rglob("*") if file.is_file()}
    with open_restored(tmp_path, place, clock) as (services, report):
        assert report.lost == []
        same(source, picture(services))
    assert all(file.stat().st_mtime_ns == at for file, at in blobs.items())


def test_a_file_whose_bytes_are_gone_everywhere_is_named_and_left_out(tmp_path: Path) -> None:
    with open_replicated(tmp_path) as replicated:
        replicated.space.mkcol("c")
        lost = replicated.space.put("c/lost", b"12345").node.version
        replicated.space.put("c/kept", b"1")
        replicated.deliver()
        assert lost is not None
        replicated.store.delete(f"b/{lost.blob_id}")
        clock, place = replicated.space.clock, replicated.place
    with open_restored(tmp_path / "new", place, clock) as (services, report):
        assert report.lost == ["studio/c/lost"]
        assert (report.tenants[0].bytes, report.tenants[0].files) == (1, 1)
        assert list(services.fsck.run(deep=True)) == []


def damage(replicated: Replicated, key: str) -> None:
    (file,) = replicated.place.rglob(key.replace("/", "+"))
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] + b"?" + content[len(content) // 2 + 1 :])


def test_a_damaged_checkpoint_is_not_believed_and_the_one_before_it_is_used(tmp_path: Path) -> None:
    with open_replicated(tmp_path, {"checkpoint_events": 4}) as replicated:
        for number in range(12):
            replicated.space.put(str(number), b"x")
            replicated.deliver()
            replicated.job("keep")
            replicated.job("keep")
        newest = max(info.key for info in replicated.store.list("t/studio/checkpoint/"))
        damage(replicated, newest)
        source, clock = picture(replicated.space.services), replicated.space.clock
        with open_restored(tmp_path / "new", replicated.place, clock) as (services, report):
            assert [newest in warning for warning in report.warnings] == [True]
            same(source, picture(services))


def test_a_damaged_event_ends_the_restore_of_its_tenant_before_it_and_is_named(tmp_path: Path) -> None:
    with open_replicated(tmp_path) as replicated:
        for number in range(5):
            replicated.space.put(str(number), b"x")
        replicated.deliver()
        damage(replicated, "t/studio/log/000000000000004-000000000000004.jsonl")
        with open_restored(tmp_path / "new", replicated.place, replicated.space.clock) as (services, report):
            assert report.tenants[0].seq == 3
            assert any("000004" in warning for warning in report.warnings)
            assert any("gap after event 3" in warning for warning in report.warnings)
            assert list(picture(services)["studio"]["nodes"]) == ["", "0"]


def test_a_restore_into_a_database_with_tenants_and_from_an_empty_place_are_refused(tmp_path: Path) -> None:
    with open_replicated(tmp_path) as replicated:
        replicated.deliver()
        with pytest.raises(AlreadyExists, match="has tenants"):
            replicated.space.services.restoring.run(replicated.store)
    with pytest.raises(NotFound, match="no replica"), open_restored(tmp_path / "new", tmp_path / "empty", Clock()):
        pass


def test_half_a_restored_database_is_neither_served_nor_restored_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Any:
        raise BackendUnavailable("the replica is away")

    with open_replicated(tmp_path) as replicated:
        replicated.space.put("a", b"x")
        replicated.deliver()
        place, clock = replicated.place, replicated.space.clock
    with monkeypatch.context() as patch:
        patch.setattr(ReplicaReader, "acts", fail)
        with pytest.raises(BackendUnavailable), open_restored(tmp_path / "new", place, clock):
            pass
    with open_deployment(load(tmp_path / "new" / "gateway.yaml", {}), role="start", clock=clock) as deployment:
        with pytest.raises(ConfigError, match="did not finish"):
            check_database_is_the_one(deployment)
        with pytest.raises(AlreadyExists, match="did not finish"):
            deployment.services.restoring.run(deployment.store)


def test_a_removed_tenant_keeps_its_name_and_gives_nothing_back(tmp_path: Path) -> None:
    with open_replicated(tmp_path) as replicated:
        services = replicated.space.services
        replicated.space.put("a", b"x")
        services.accounts.remove("studio")
        while services.trees.erase_detached():
            pass
        replicated.deliver()
        with open_restored(tmp_path / "new", replicated.place, replicated.space.clock) as (restored, _):
            tenant = restored.db.read(lambda tx: tx.tenants.get("studio"))
            assert tenant is not None
            assert (tenant.state, tenant.used_bytes) == ("removed", 0)
            with pytest.raises(AlreadyExists):
                restored.accounts.add_tenant("studio", "standard")


def test_a_space_on_postgresql_is_restored_into_sqlite(tmp_path: Path) -> None:
    from gateway.testing.postgres import PostgresMissing, PostgresServer

    try:
        server = PostgresServer()
    except PostgresMissing as missing:
        pytest.skip(str(missing))
    try:
        rng = random.Random(5)
        with open_replicated(tmp_path, {"checkpoint_events": 10}, database=server.new_database()) as replicated:
            for _ in range(60):
                step(replicated.space, rng)
                replicated.deliver()
                replicated.job("keep")
            source = picture(replicated.space.services)
            with open_restored(tmp_path / "new", replicated.place, replicated.space.clock) as (services, report):
                assert (report.lost, report.warnings) == ([], [])
                same(source, picture(services))
    finally:
        server.close()
