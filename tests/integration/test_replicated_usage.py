"""Metered figures and closed statements come back from the replica: what was billed stays as it was billed."""

from __future__ import annotations

import random
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.calendar import jst_midnight
from gateway.domain.errors import AlreadyExists
from gateway.domain.units import GB
from gateway.hooks import TrafficSample
from gateway.service.services import Services
from gateway.testing.contracts import ANN, ISSUER, begin, on
from gateway.testing.replicas import Replicated, open_replicated, open_restored
from gateway.testing.space import Clock

START = jst_midnight(date(2026, 10, 21)) + 90 * 60_000


def read_traffic(replicated: Replicated, n: int, **figures: int) -> None:
    space = replicated.space
    tenant_id, requests = space.caller.tenant.id, {"read": figures.get("read", 1)}
    sample = TrafficSample("gate", n, tenant_id, space.clock.now, figures.get("bytes_in", 7), 9, 1, requests)
    space.services.db.write(lambda tx: space.services.host.traffic([sample], tx.usage)).result()


def live(replicated: Replicated, days: int, rng: random.Random) -> None:
    """Files come and go, traffic flows, and periods are closed and recorded as the steward does it."""
    space = replicated.space
    for _ in range(days):
        space.deployment.leases.renew()
        for _ in range(3):
            space.put(f"f{rng.randrange(4)}", rng.randbytes(rng.randrange(500)))
            space.clock.forward(600 * rng.random())
            space.deployment.leases.renew()
        read_traffic(replicated, space.clock.now, bytes_in=rng.randrange(1000), read=rng.randrange(5))
        replicated.deliver()
        if rng.random() < 0.7:
            replicated.job("keep")
        space.clock.forward(86_400 * rng.random() * 2)
        space.services.db.write(lambda tx: tx.leases.remove(space.deployment.boot_id)).result()
        space.services.usage.close_due()
        space.services.usage.record_due()
        space.deployment.leases.lease = None
        space.deployment.leases.grant()


def figures(services: Services) -> dict[str, Any]:
    """All months, the hourly records, and the counters."""
    while services.usage.record_due():
        pass
    days = [date(2026, 10, 21), date(2026, 11, 21), date(2026, 12, 21), date(2027, 1, 21)]
    statements, records = {}, {}
    for day in days:
        if jst_midnight(day) <= services.clock():
            statements[day] = services.usage.statement("studio", day)
            records[day] = services.usage.records("studio", day)
    return {
        "statements": statements,
        "records": records,
        "totals": services.db.read(lambda tx: tx.usage.totals()),
    }


def test_statements_traffic_and_records_of_months_come_back_and_periods_close_once(tmp_path: Path) -> None:
    with open_replicated(tmp_path, clock=Clock(START)) as replicated:
        live(replicated, 36, random.Random(1))
        replicated.space.clock.forward(600)
        replicated.space.deployment.leases.renew()
        replicated.deliver()
        replicated.job("keep")
        replicated.job("keep")
        source = figures(replicated.space.services)
        assert any(one["closed"] for one in source["statements"].values())
        assert len(list(replicated.store.list("kurado/usage/studio/"))) > 5
        clock, place = replicated.space.clock, replicated.place
    with open_restored(tmp_path / "new", place, clock) as (services, report):
        assert report.warnings == []
        assert figures(services) == source
        assert services.usage.close_due() == []


def test_figures_wait_until_the_replica_has_every_event_that_is_in_them(tmp_path: Path) -> None:
    with open_replicated(tmp_path, clock=Clock(START)) as replicated:
        space, outbox = replicated.space, replicated.space.services.outbox
        space.put("a", b"12345")
        (metering,) = [one for one in outbox.subscribers() if one.name == "metering"]
        while outbox.deliver(metering, 0):
            pass
        replicated.job("keep")
        assert list(replicated.store.list("kurado/usage/")) == []
        replicated.deliver()
        replicated.job("keep")
        assert len(list(replicated.store.list("kurado/usage/"))) == 1


def test_without_figures_storage_is_counted_from_the_events(tmp_path: Path) -> None:
    with open_replicated(tmp_path, clock=Clock(START)) as replicated:
        replicated.space.put("a", b"12345")
        replicated.space.clock.forward(3600)
        replicated.space.deployment.leases.renew()
        replicated.space.put("b", b"1")
        replicated.deliver()
        source = replicated.space.services.usage.statement("studio")
        clock, place = replicated.space.clock, replicated.place
    with open_restored(tmp_path / "new", place, clock) as (services, _):
        assert services.usage.statement("studio") == source


def test_a_log_that_ends_before_the_figures_takes_them_from_its_events(tmp_path: Path) -> None:
    with open_replicated(tmp_path, clock=Clock(START)) as replicated:
        for number in range(4):
            replicated.space.put(str(number), b"12345")
        replicated.deliver()
        read_traffic(replicated, 1)
        replicated.job("keep")
        for info in list(replicated.store.list("t/studio/log/")):
            if info.key.endswith("5.jsonl"):
                replicated.store.delete(info.key)
        clock, place = replicated.space.clock, replicated.place
    with open_restored(tmp_path / "new", place, clock) as (services, report):
        assert any("gap after event 4" in warning for warning in report.warnings)
        tenant = services.accounts.tenant("studio")
        assert services.db.read(lambda tx: tx.usage.booked(tenant.id))[0] == 4
        usage = services.usage.statement("studio")["usage"]
        assert (usage["end_bytes"], usage["bytes_in"]) == (10, 7)


def test_with_damaged_figures_storage_is_counted_from_the_events_and_the_damage_is_named(tmp_path: Path) -> None:
    with open_replicated(tmp_path, clock=Clock(START)) as replicated:
        live(replicated, 10, random.Random(4))
        replicated.deliver()
        newest = max(info.key for info in replicated.store.list("kurado/usage/"))
        (file,) = replicated.place.rglob(newest.replace("/", "+"))
        file.write_bytes(file.read_bytes()[:-9])
        source = replicated.space.services.usage.statement("studio")["usage"]
        clock, place = replicated.space.clock, replicated.place
    with open_restored(tmp_path / "new", place, clock) as (services, report):
        assert [newest in warning for warning in report.warnings] == [True]
        usage = services.usage.statement("studio")["usage"]
        assert usage["byte_ms"] == source["byte_ms"]
        assert 0 < usage["bytes_in"] < source["bytes_in"]


def test_a_removed_tenant_leaves_its_figures_and_its_name_and_no_name_of_a_file(tmp_path: Path) -> None:
    with open_replicated(tmp_path, clock=Clock(START)) as replicated:
        space = replicated.space
        space.put("love-letter.txt", b"12345")
        read_traffic(replicated, 1)
        space.clock.forward(3600)
        space.deployment.leases.renew()
        replicated.deliver()
        replicated.job("keep")
        space.services.accounts.remove("studio")
        while space.services.trees.erase_detached():
            pass
        assert "love-letter" in everything_about(replicated, "studio")
        replicated.deliver()
        replicated.job("keep")
        assert "love-letter" not in everything_about(replicated, "studio")
        assert [info.key.split("/")[2] for info in replicated.store.list("t/studio/")] == ["checkpoint"]
        source, clock, place = space.services.usage.statement("studio"), space.clock, replicated.place
    with open_restored(tmp_path / "new", place, clock) as (services, report):
        assert report.warnings == []
        assert services.usage.statement("studio") == source
        assert source["usage"]["peak_bytes"] == 5
        with pytest.raises(AlreadyExists):
            services.accounts.add_tenant("studio", "standard")


def everything_about(replicated: Replicated, tenant: str) -> str:
    return "".join(replicated.store.open(info.key).read().decode() for info in replicated.store.list(f"t/{tenant}/"))


def test_resync_writes_damaged_figures_anew(tmp_path: Path) -> None:
    from plugins import _replica_checks as checks

    with open_replicated(tmp_path, clock=Clock(START)) as replicated:
        live(replicated, 10, random.Random(3))
        replicated.deliver()
        plugin = replicated.plugin
        oldest = min(info.key for info in replicated.store.list("kurado/usage/"))
        (file,) = replicated.place.rglob(oldest.replace("/", "+"))
        file.write_bytes(file.read_bytes()[:-9])
        (problem,) = checks.verify(plugin._context, plugin._replica()).problems
        assert oldest in problem
        done = checks.resync(plugin._context, plugin._replica(), plugin._keeper, say=lambda _: None)
        assert done.acts == 1
        assert checks.verify(plugin._context, plugin._replica()).problems == []
        source, clock, place = figures(replicated.space.services), replicated.space.clock, replicated.place
    with open_restored(tmp_path / "new", place, clock) as (services, _):
        assert figures(services) == source


def test_invoices_come_back_as_issued_and_the_next_is_what_it_would_have_been(tmp_path: Path) -> None:
    start, second, third = date(2027, 4, 21), date(2027, 5, 21), date(2027, 6, 21)
    plugins = ("quota", "contract_state")
    with open_replicated(tmp_path, plugins=plugins, clock=Clock(jst_midnight(start))) as replicated:
        space, services = replicated.space, replicated.space.services
        services.policies.apply("issuer", ISSUER, "ann")
        begin(space, "acme", start)
        acme = services.accounts.tenant("acme").id
        for n, day in enumerate((start, second), 1):
            on(space, day, hour=10)
            sample = TrafficSample("gate", n, acme, space.clock.now, 0, (150 + n) * GB, 0, {"read": 1})
            services.db.write(lambda tx, sample=sample: services.host.traffic([sample], tx.usage)).result()  # type: ignore[misc]
        replicated.deliver()
        services.db.write(lambda tx: tx.leases.remove(space.deployment.boot_id)).result()
        services.usage.close_due()
        (issued,) = services.billing.closing.close(start, ANN)
        replicated.deliver()
        replicated.job("acts")
        replicated.job("keep")
        number = issued.invoices[0].number
        known = services.billing.invoices.document(number)
        with open_restored(tmp_path / "new", replicated.place, space.clock, plugins) as (restored, report):
            assert report.warnings == []
            assert restored.billing.invoices.document(number) == known
            assert known[1]
            restored.db.write(lambda tx: tx.leases.remove(restored.boot_id)).result()
            on(space, third)
            totals = []
            for one in (services, restored):
                (following,) = one.billing.closing.close(second, ANN)
                (document,) = following.invoices
                totals.append((document.number, document.total, [line.amount for line in document.lines]))
            assert totals[0] == totals[1]
            assert any(amount == 520 for amount in totals[0][2])  # 52 GB beyond the plan's 100, of the traffic
