"""The audit chain in the replica, and all that stands on it: contracts, papers, windows, takedowns, policies."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import load
from gateway.daemon import open_deployment
from gateway.domain import replicalog as layout
from gateway.domain.acts import Act
from gateway.domain.calendar import parse_time
from gateway.domain.errors import AlreadyExists, BackendUnavailable, KuradoError, TakenDown, TenantSuspended
from gateway.domain.events import RECORD_CHANGED
from gateway.domain.tenant import Caller, Tenant
from gateway.hooks import Request
from gateway.service import recordsets, restore, snapshots
from gateway.service.accounts import operator_caller
from gateway.service.contracts import Actor, Paper
from gateway.service.contracts.intake import Application
from gateway.service.recordsets import RecordSet
from gateway.service.services import Services
from gateway.testing.replicas import SUBSCRIBER, Replicated, open_replicated, open_restored, picture
from gateway.testing.space import Clock, Space
from plugins import _replica_checks as checks
from plugins._replica_acts import ALARM
from plugins._replica_commands import loss, status_of

ANN, BOB = Actor("ann"), Actor("bob")
CUSTOMER = {"name": "ACME", "address": "Tokyo", "contact": "花子", "email": "acme@example.jp"}
MARCH = parse_time("2027-03-10T10:00+09:00")
PLUGINS = ("contract_state", "quota")
HOUR = 3_600_000


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[Replicated]:
    with open_replicated(tmp_path, plugins=PLUGINS, clock=Clock(MARCH)) as opened:
        yield opened


def keys(replicated: Replicated, prefix: str = "") -> list[str]:
    return sorted(info.key for info in replicated.store.list(prefix))


def content(replicated: Replicated, prefix: str) -> str:
    """Everything in the objects below a prefix."""
    return "".join(replicated.store.open(key).read().decode() for key in keys(replicated, prefix))


def objects(replicated: Replicated, key: str) -> Path:
    """The file of an object."""
    (found,) = replicated.place.rglob(key.replace("/", "+"))
    return found


def verify(replicated: Replicated) -> list[str]:
    plugin = replicated.plugin
    return checks.verify(plugin._context, plugin._replica()).problems


def resync(replicated: Replicated) -> checks.Repairs:
    plugin = replicated.plugin
    return checks.resync(plugin._context, plugin._replica(), plugin._keeper, say=lambda _: None)


def run(services: Services, sql: str) -> None:
    """What the service of an erasure would do."""

    def work(tx: Any) -> None:
        tx.session.run(sql)

    services.db.write(work).result()


def paper(space: Space) -> Paper:
    return Paper(space.clock.now, "post", "0" * 64, "手紙")


def apply(space: Space, name: str) -> None:
    filed = Application(CUSTOMER, "standard", "invoice", "direct", None, "2017-06-01", "privacy-3", space.clock.now - 1)
    space.services.contracts.intake.apply(name, filed, ANN)


def live(space: Space, name: str) -> None:
    """From the application to the start notice; the service starts today."""
    apply(space, name)
    intake, now = space.services.contracts.intake, space.clock.now
    intake.review(name, ANN)
    intake.accept(name, ANN, minimum_months=3, reason="complete")
    intake.register(name, ANN, login="hanako", password="correct horse")
    intake.notify_start(name, ANN, start_date=date(2027, 3, 10), sent_at=now, arrived_at=now)


def everything(services: Services) -> dict[str, Any]:
    """What the acts and their papers are, and what follows from them."""

    def look(tx: Any) -> dict[str, Any]:
        return {
            "acts": tx.acts.after(0),
            "papers": {name: tx.archive.papers(name) for name in tx.archive.contracts()},
            "policies": tx.archive.policies(),
        }

    services.standings.forget()
    state = services.standings.now()
    return {
        **services.db.read(look),
        "state": (state.contracts, state.windows, state.takedowns.all),
        "break-glass": services.breakglass.all(),
        "chain": services.audit.verify(),
    }


# -- copying ----------------------------------------------------------------------------------------------------------


def test_acts_and_papers_arrive_without_any_event_and_the_status_tells_what_waits(replicated: Replicated) -> None:
    replicated.deliver()
    apply(replicated.space, "acme")
    replicated.space.clock.forward(30)
    plugin = replicated.plugin
    status = status_of(plugin._context, plugin._replica)
    assert (status["acts"]["behind"], status["acts"]["age_seconds"], status["lag_seconds"]) == (1, 30, 30)
    assert plugin._lag().value == 30
    replicated.job("acts")
    status = status_of(plugin._context, plugin._replica)
    assert (status["acts"]["behind"], status["lag_seconds"]) == (0, 0)
    assert plugin._lag().value == 0
    assert "花子" in content(replicated, "kurado/papers/acme.")
    assert "花子" not in content(replicated, "kurado/acts/")
    assert verify(replicated) == []


def test_no_event_is_in_the_replica_before_the_acts_that_were_committed_with_it(
    replicated: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    replicated.deliver()
    before = keys(replicated, "t/studio/log/")
    store = replicated.plugin._replica().store
    writer = store.writer

    def fail(key: str) -> Any:
        if key.startswith("kurado/acts/"):
            raise BackendUnavailable("the replica is away")
        return writer(key)

    with monkeypatch.context() as patch:
        patch.setattr(store, "writer", fail)
        replicated.space.services.accounts.suspend("studio")
        replicated.deliver()
        assert keys(replicated, "t/studio/log/") == before
    replicated.space.clock.forward(60)
    replicated.deliver()
    assert len(keys(replicated, "t/studio/log/")) == len(before) + 1
    assert "suspended" in content(replicated, "kurado/acts/")


def fail(*_: object) -> Any:
    raise BackendUnavailable("the replica is away")


def test_the_source_acts_on_while_the_replica_is_away(replicated: Replicated, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(replicated.plugin._replica().store, "writer", fail)
        live(replicated.space, "acme")
        with pytest.raises(BackendUnavailable):
            replicated.job("acts")
    replicated.job("acts")
    assert replicated.plugin._context.services.snapshots.acts_progress(SUBSCRIBER).oldest_at is None


def test_papers_that_a_rule_had_erased_leave_the_replica(replicated: Replicated) -> None:
    for name in ("acme", "other"):
        apply(replicated.space, name)
    changes = {"address": "Osaka"}
    services = replicated.space.services
    services.contracts.papers.change_customer("acme", ANN, paper(replicated.space), changes)
    replicated.job("acts")
    assert content(replicated, "kurado/papers/acme.").count("Osaka") == 1
    run(services, "UPDATE customers SET data = '{}' WHERE contract = 'acme'")
    assert verify(replicated) == ["papers/acme: the replica has others than the source"]
    replicated.job("tidy")
    assert "花子" not in content(replicated, "kurado/papers/acme.")
    run(services, "DELETE FROM customers WHERE contract = 'acme'")
    run(services, "DELETE FROM documents WHERE contract = 'acme'")
    replicated.job("tidy")
    assert keys(replicated, "kurado/papers/acme.") == []
    assert len(keys(replicated, "kurado/papers/other.")) == 1
    assert verify(replicated) == []


def test_many_small_objects_of_acts_are_merged(replicated: Replicated) -> None:
    for number in range(55):
        replicated.space.services.windows.announce(ANN, MARCH + HOUR, MARCH + 2 * HOUR, f"disks {number}")
        replicated.job("acts")
    assert len(keys(replicated, "kurado/acts/")) > 50
    replicated.job("tidy")
    assert len(keys(replicated, "kurado/acts/")) == 1
    assert verify(replicated) == []
    replicated.space.services.windows.close_maintenance(ANN, "M1")
    replicated.job("acts")
    assert verify(replicated) == []


def test_acts_that_somebody_took_away_are_copied_again(replicated: Replicated, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two", "three"):
        apply(replicated.space, name)
        replicated.job("acts")
    gone = keys(replicated, "kurado/acts/")[-2]
    objects(replicated, gone).unlink()
    objects(replicated, keys(replicated, "kurado/papers/two.")[0]).unlink()
    assert any("acts" in problem for problem in verify(replicated))
    with monkeypatch.context() as patch:
        patch.setattr(replicated.plugin._replica().store, "writer", fail)
        patch.setattr(replicated.plugin._acts, "keep_all_papers", lambda _: None)
        with pytest.raises(BackendUnavailable):
            replicated.job("tidy")
    assert status_of(replicated.plugin._context, replicated.plugin._replica)["acts"]["behind"] == 2
    replicated.job("tidy")
    assert verify(replicated) == []


def test_a_changed_act_is_found_and_resync_brings_the_source_s_own(replicated: Replicated) -> None:
    for name in ("one", "two"):
        apply(replicated.space, name)
        replicated.job("acts")
    key = layout.parse_key(keys(replicated, "kurado/acts/")[-1])
    assert isinstance(key, layout.ActsKey)
    (act,) = replicated.plugin._replica().read_acts(key)
    forged, bytes_ = layout.acts_object([replace(act, actor="nobody")])
    objects(replicated, forged.key).write_bytes(bytes_)
    assert verify(replicated)
    assert resync(replicated).acts == 1
    assert verify(replicated) == []


def test_a_database_that_was_put_back_is_noticed_and_nothing_is_deleted_before_resync(tmp_path: Path) -> None:
    clock = Clock(MARCH)
    with open_replicated(tmp_path, plugins=PLUGINS, clock=clock) as replicated:
        apply(replicated.space, "one")
        replicated.deliver()
    saved = {file: file.read_bytes() for file in (tmp_path / "data").glob("kurado.db*")}
    with open_replicated(tmp_path, plugins=PLUGINS, clock=clock) as replicated:
        apply(replicated.space, "two")
        replicated.job("acts")
        theirs = keys(replicated, "kurado/acts/")
    for file in (tmp_path / "data").glob("kurado.db*"):
        file.unlink()
    for file, content_ in saved.items():
        file.write_bytes(content_)
    with open_replicated(tmp_path, plugins=PLUGINS, clock=clock) as replicated:
        apply(replicated.space, "three")
        replicated.job("acts")
        alarms = replicated.space.services.health.alarms
        assert [alarm.kind for alarm in alarms()] == [ALARM]
        assert set(theirs) <= set(keys(replicated, "kurado/acts/"))
        resync(replicated)
        assert alarms() == []
        assert verify(replicated) == []


# -- restoring --------------------------------------------------------------------------------------------------------


def act(space: Space, rng: random.Random) -> None:
    """One random act, by whatever rule; refused ones change nothing."""
    services, now, tenant = space.services, space.clock.now, space.caller.tenant
    contracts, name = services.contracts, rng.choice(["acme", "bolt", "coda"])
    path, case = (rng.choice("abc"),), rng.choice(["L1", "L2"])
    plans = services.db.read(lambda tx: tx.policies.history("plans"))[0].text
    actions: list[Any] = [
        lambda: live(space, name),
        lambda: apply(space, name),
        lambda: contracts.papers.request_change(name, ANN, paper(space), plan="pro", requested_on=date(2027, 4, 1)),
        lambda: contracts.papers.change_customer(name, ANN, paper(space), {"contact": f"次郎{rng.random()}"}),
        lambda: contracts.papers.cancel(name, ANN, paper(space)),
        lambda: contracts.powers.open_overload(name, ANN, "900 requests a second"),
        lambda: contracts.powers.demand(name, ANN, ground="17(1)2", sent_at=now, received_at=now, case=case),
        lambda: contracts.powers.request_stop(name, ANN, "§24"),
        lambda: contracts.powers.approve_stop(name, BOB),
        lambda: services.windows.announce(ANN, now + HOUR, now + 2 * HOUR, "disks"),
        lambda: services.windows.close_maintenance(ANN, f"M{rng.randrange(3)}"),
        lambda: services.windows.interrupt(ANN, "DISORDER", "power", tenants=rng.choice([(), ("studio",)])),
        lambda: services.windows.close_interruption(ANN, f"I{rng.randrange(3)}"),
        lambda: services.takedowns.set(tenant, path, rng.randint(2, 7), "a complaint", ANN),
        lambda: services.takedowns.set(tenant, path, rng.randint(2, 7), "a complaint", ANN),
        lambda: services.takedowns.lift(f"T{rng.randint(1, 3)}", "settled", ANN),
        lambda: services.breakglass.request(tenant, [path], "9-4", "a court", 2, ANN),
        lambda: services.breakglass.approve("B1", BOB),
        lambda: services.policies.apply("plans", plans.replace("30000", str(30000 + rng.randrange(3))), "boss"),
        lambda: space.mkcol(rng.choice("abc")),
        lambda: space.put(rng.choice("abc") + rng.choice(["", "/x", "/y"]), rng.randbytes(rng.randrange(50))),
        lambda: services.files.delete(space.caller, path),
        lambda: services.files.move(space.caller, path, (rng.choice("abc"), "moved")),
    ]
    try:
        rng.choice(actions)()
    except KuradoError:
        return


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), acts=st.integers(1, 60))
def test_whatever_was_done_a_restore_gives_the_same_chain_and_all_that_follows_from_it(
    tmp_path_factory: pytest.TempPathFactory, seed: int, acts: int
) -> None:
    folder, rng = tmp_path_factory.mktemp("acts"), random.Random(seed)
    with open_replicated(folder, plugins=PLUGINS, clock=Clock(MARCH)) as replicated:
        for _ in range(acts):
            act(replicated.space, rng)
            replicated.space.clock.forward(rng.choice([0, 0.001, 1]))
            replicated.space.deployment.leases.renew()
            if rng.random() < 0.2:
                replicated.job(rng.choice(["acts", "keep", "tidy"]))
            if rng.random() < 0.1:
                replicated.deliver()
        replicated.deliver()
        replicated.job("acts")
        replicated.job("keep")
        assert verify(replicated) == []
        source, space = everything(replicated.space.services), picture(replicated.space.services)
        clock, place = replicated.space.clock, replicated.place
    with open_restored(folder / "new", place, clock, PLUGINS) as (services, report):
        assert (report.warnings, report.lost, report.acts.missing) == ([], [], 0)
        restored = everything(services)
        last = restored["acts"].pop()
        assert (last.kind, last.previous, last.data["missing_acts"]) == ("replica.restored", report.acts.head, 0)
        assert {**restored, "chain": source["chain"]} == source
        assert (report.acts.count, report.acts.head, None) == source["chain"]
        assert picture(services) == space
        assert list(services.fsck.run(deep=True)) == []
        services.windows.announce(ANN, clock.now + HOUR, clock.now + 2 * HOUR, "disks")
        count, _, fault = services.audit.verify(head=report.acts.head)
        assert (count, fault) == (report.acts.count + 2, None)


def test_who_was_refused_before_is_refused_after(tmp_path: Path) -> None:
    with open_replicated(tmp_path, plugins=PLUGINS, clock=Clock(MARCH)) as replicated:
        space = replicated.space
        live(space, "shady")
        space.services.contracts.powers.request_stop("shady", ANN, "§24(1)①")
        space.services.contracts.powers.approve_stop("shady", BOB)
        space.put("bad", b"12345")
        space.put("good", b"1")
        space.services.takedowns.set(space.caller.tenant, ("bad",), 4, "a complaint", ANN)
        replicated.deliver()
        clock, place, caller = space.clock, replicated.place, space.caller
    with open_restored(tmp_path / "new", place, clock, PLUGINS) as (services, _):
        assert services.snapshots.acts_progress(SUBSCRIBER).seq == services.snapshots.acts_count() - 1
        shady = services.accounts.tenant("shady")
        user = services.db.read(lambda tx: tx.users.find(shady.id, "hanako"))
        assert user is not None
        with pytest.raises(TenantSuspended):
            services.host.check("check_request", request=Request(Caller(shady, user), (), False))
        with pytest.raises(TakenDown):
            services.files.content(caller, services.files.get(caller, ("bad",)))
        assert services.accounts.tenant("studio").used_bytes == 1
        services.takedowns.lift("T1", "settled", ANN)
        assert services.accounts.tenant("studio").used_bytes == 6


def test_what_the_acts_had_not_replicated_is_in_the_report(tmp_path: Path) -> None:
    with open_replicated(tmp_path, plugins=PLUGINS, clock=Clock(MARCH)) as replicated:
        replicated.deliver()
        apply(replicated.space, "one")
        apply(replicated.space, "two")
        replicated.job("keep")
        clock, place = replicated.space.clock, replicated.place
    with open_restored(tmp_path / "new", place, clock, PLUGINS) as (services, report):
        assert report.acts.missing == 2
        assert "2 acts" in loss(report)
        assert services.standings.contracts() == []


def test_a_contract_whose_space_was_not_replicated_is_named(tmp_path: Path) -> None:
    with open_replicated(tmp_path, plugins=PLUGINS, clock=Clock(MARCH)) as replicated:
        replicated.deliver()
        live(replicated.space, "acme")
        replicated.job("acts")
        clock, place = replicated.space.clock, replicated.place
    with open_restored(tmp_path / "new", place, clock, PLUGINS) as (services, report):
        assert [warning.partition(";")[0] for warning in report.warnings] == [
            "contract:acme: its space was not replicated"
        ]
        assert services.contracts.upkeep.run() is False


def test_a_damaged_act_ends_the_chain_before_it_and_is_named(tmp_path: Path) -> None:
    with open_replicated(tmp_path, plugins=PLUGINS, clock=Clock(MARCH)) as replicated:
        for name in ("one", "two", "three"):
            apply(replicated.space, name)
            replicated.job("acts")
        replicated.job("keep")
        file = objects(replicated, keys(replicated, "kurado/acts/")[-2])
        file.write_bytes(file.read_bytes().replace(b"ann", b"bob"))
        count = replicated.space.services.snapshots.acts_count()
        clock, place = replicated.space.clock, replicated.place
    with open_restored(tmp_path / "new", place, clock, PLUGINS) as (services, report):
        assert (report.acts.count, report.acts.missing) == (count - 2, 2)
        assert any("the rest was not restored" in warning for warning in report.warnings)
        assert services.audit.verify()[2] is None


def test_a_database_with_an_audit_log_is_no_place_for_a_restore(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("version: 1\nstorage: {backend: local}\nplugins: []\n")
    begun = Act("contract:x", "contract.applied", 1, "ann", "operator", "APP-01")
    with (
        open_replicated(tmp_path / "a", plugins=PLUGINS, clock=Clock(MARCH)) as replicated,
        open_deployment(load(tmp_path / "gateway.yaml", {}), role="gate", clock=Clock(MARCH)) as deployment,
    ):
        replicated.deliver()
        deployment.services.db.write(lambda tx: tx.acts.append(begun)).result()
        with pytest.raises(AlreadyExists, match="audit log"):
            deployment.services.restoring.run(replicated.store)


# -- records of tenants -----------------------------------------------------------------------------------------------


def test_a_set_of_records_comes_back_from_log_and_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As access keys would be: here they are kept in ``meta``."""

    def dump(tx: Any, tenant: Tenant) -> dict[str, Any]:
        return {name: {"of": tenant.name} for name in (tx.system.get_meta("pets") or "").split()}

    def load(tx: Any, tenant: Tenant, record_id: str, record: Any) -> None:
        assert record == {"of": tenant.name}
        tx.system.set_meta("pets", f"{tx.system.get_meta('pets') or ''} {record_id}".strip())

    for module in (recordsets, snapshots, restore):
        monkeypatch.setattr(module, "RECORD_SETS", (RecordSet("pets", dump, load),))

    def add(space: Space, record_id: str) -> None:
        def work(tx: Any) -> None:
            load(tx, space.caller.tenant, record_id, {"of": "studio"})
            data = {"set": "pets", "id": record_id, "record": {"of": "studio"}}
            settling = space.services.space.settling
            settling.record(tx, operator_caller(space.caller.tenant), RECORD_CHANGED, data, space.clock.now)

        space.services.db.write(work).result()

    with open_replicated(tmp_path, {"checkpoint_events": 3}) as replicated:
        add(replicated.space, "cat")
        replicated.deliver()
        replicated.job("keep")
        replicated.job("keep")
        assert '"cat"' in content(replicated, "t/studio/checkpoint/")
        add(replicated.space, "dog")
        replicated.deliver()
        assert verify(replicated) == []
        clock, place = replicated.space.clock, replicated.place
    with open_restored(tmp_path / "new", place, clock) as (services, report):
        assert report.warnings == []
        assert services.db.read(lambda tx: tx.system.get_meta("pets")) == "cat dog"
