"""Metering over a real database: exact figures from committed events, traffic once, periods that close and stay."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.calendar import jst_midnight
from gateway.domain.events import Event
from gateway.hooks import TrafficSample
from gateway.service.traffic import TrafficMeter
from gateway.service.usage import MARGIN_MS
from gateway.testing.postgres import PostgresMissing, PostgresServer
from gateway.testing.space import Clock, Space, open_space

HOUR = 3_600_000
DAY = 24 * HOUR
START = jst_midnight(date(2026, 10, 21)) + 90 * 60_000  # 01:30 JST on the first day of a billing month


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    try:
        server = PostgresServer()
    except PostgresMissing as missing:
        pytest.skip(str(missing))
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def space(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Space]:
    """A space with metering, on each of the databases."""
    plugins, clock = ["metering", "billing_export"], Clock(START)
    if request.param == "sqlite":
        with open_space(tmp_path, plugins=plugins, clock=clock) as opened:
            yield opened
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.new_database()
    with open_space(tmp_path, plugins=plugins, clock=clock, database=url) as opened:
        yield opened
    server.give_back(url)


def deliver(space: Space) -> None:
    for subscriber in space.services.outbox.subscribers():
        while space.services.outbox.deliver(subscriber, 0):
            pass


def forward(space: Space, seconds: float) -> None:
    """Time passes, and the gate keeps its lease."""
    space.clock.forward(seconds)
    space.deployment.leases.renew()


def statement(space: Space, day: date | None = None) -> Any:
    deliver(space)
    return space.services.usage.statement("studio", day)


def hour(space: Space, at: int) -> Any:
    tenant_id = space.caller.tenant.id
    (found,) = space.services.db.read(lambda tx: tx.usage.hours(tenant_id, at - at % HOUR, at - at % HOUR + HOUR))
    return found


def sample(space: Space, n: int, at: int, boot_id: str = "gate-a", **figures: int) -> TrafficSample:
    return TrafficSample(
        boot_id, n, space.caller.tenant.id, at, figures.get("bytes_in", 0), figures.get("bytes_out", 0),
        figures.get("refusals", 0), {"read": figures.get("read", 0)},
    )  # fmt: skip


def book(space: Space, *samples: TrafficSample) -> None:
    space.services.db.write(lambda tx: space.services.host.traffic(samples, tx.usage)).result()


def test_an_hour_integrates_used_bytes_over_its_time(space: Space) -> None:
    space.put("a", b"x" * 100)  # 01:30
    forward(space, 15 * 60)
    space.put("a", b"x" * 300)  # 01:45
    forward(space, 5 * 60)
    space.services.files.delete(space.caller, ("a",))  # 01:50
    deliver(space)
    found = hour(space, START)
    assert found.byte_ms == 100 * 15 * 60_000 + 300 * 5 * 60_000
    assert (found.peak_bytes, found.end_bytes, found.end_files) == (300, 0, 0)


def test_idle_hours_and_days_are_carried_without_rows_of_their_own(space: Space) -> None:
    space.put("a", b"x" * 10)
    forward(space, 3 * 24 * 3600)
    days = statement(space)["days"]
    assert [day["end_bytes"] for day in days] == [10] * 4
    assert [int(day["byte_ms"]) for day in days] == [
        10 * (DAY - 90 * 60_000), 10 * DAY, 10 * DAY, 10 * HOUR
    ]  # fmt: skip
    rows = space.services.db.read(lambda tx: tx.usage._s.scalar("SELECT COUNT(*) FROM usage_hours"))  # type: ignore[attr-defined]
    assert rows == 1


def test_days_are_jst_days(space: Space) -> None:
    forward(space, (jst_midnight(date(2026, 10, 22)) - 1 - START) / 1000)
    space.put("late", b"12345")
    forward(space, 0.001)
    space.put("early", b"1")
    first, second = statement(space)["days"]
    assert (first["date"], first["end_bytes"], first["end_files"]) == ("2026-10-21", 5, 1)
    assert (second["date"], second["end_bytes"], second["end_files"]) == ("2026-10-22", 6, 2)


def test_an_event_that_is_delivered_again_changes_nothing(space: Space) -> None:
    space.put("a", b"x" * 10)
    forward(space, 60)
    space.put("b", b"x")
    deliver(space)
    before = hour(space, START)
    tenant_id = space.caller.tenant.id
    events = space.services.db.read(lambda tx: tx.events.after(tenant_id, 0, 100))

    def again(tx: Any) -> None:
        for event in events:
            tx.usage.storage_event(event)

    space.services.db.write(again).result()
    assert hour(space, START) == before


def test_figures_above_64_bits_stay_exact(space: Space) -> None:
    deliver(space)
    tenant_id, huge = space.caller.tenant.id, 2**61

    def store(tx: Any) -> None:
        for seq, at in ((100, START), (101, START + HOUR)):
            tx.usage.storage_event(Event(tenant_id, "studio", seq, at, "file.written", "", huge, 1, {}))

    space.services.db.write(store).result()
    assert hour(space, START).byte_ms == huge * 30 * 60_000


def test_random_changes_give_the_integral_of_what_was_used_at_each_instant(space: Space) -> None:
    rng = random.Random(7)
    used, expected, at = 0, 0, START
    sizes: dict[str, int] = {}
    for _ in range(120):
        step = rng.choice([0, 1, 999, 60_000, 3 * HOUR])
        expected += used * step
        forward(space, step / 1000)
        at += step
        name = rng.choice("abcd")
        if name in sizes and rng.random() < 0.4:
            space.services.files.delete(space.caller, (name,))
            used -= sizes.pop(name)
        else:
            size = rng.randrange(2000)
            space.put(name, b"x" * size)
            used += size - sizes.get(name, 0)
            sizes[name] = size
    found = statement(space)
    if found["as_of"] == at + 1:  # else the last full hour is what was just reached
        expected += used
    else:
        assert found["as_of"] == at and at % HOUR == 0
    assert int(found["usage"]["byte_ms"]) == expected
    assert (found["usage"]["end_bytes"], found["usage"]["end_files"]) == space.used()


def test_traffic_samples_are_booked_once_and_by_the_hour(space: Space) -> None:
    one, two = sample(space, 1, START, bytes_in=7, read=1), sample(space, 2, START + HOUR, bytes_out=9, refusals=1)
    book(space, one)
    book(space, one, two)
    book(space, two)
    book(space, sample(space, 1, START, boot_id="gate-b", bytes_in=1))
    assert (hour(space, START).bytes_in, hour(space, START).requests["read"]) == (8, 1)
    assert (hour(space, START + HOUR).bytes_out, hour(space, START + HOUR).refusals) == (9, 1)
    totals = space.services.db.read(lambda tx: tx.usage.totals())[space.caller.tenant.id]
    assert (totals["bytes_in"], totals["bytes_out"], totals["requests.read"]) == (8, 9, 1)


def test_a_running_period_reaches_to_the_last_full_hour_or_the_last_thing_booked(space: Space) -> None:
    forward(space, 20 * 60)
    space.put("a", b"x")
    assert statement(space)["as_of"] == START + 20 * 60_000 + 1
    forward(space, 3600)
    assert statement(space)["as_of"] == START + 30 * 60_000
    assert not statement(space)["closed"]


def until_the_period_is_over(space: Space) -> int:
    end = jst_midnight(date(2026, 11, 21))
    space.clock.now = end + MARGIN_MS + 1000
    space.deployment.leases.renew()
    return end


def report(space: Space) -> None:
    """What an idle gate does each second."""
    meter = TrafficMeter(
        space.deployment.boot_id, space.clock,
        lambda samples: space.services.db.write(lambda tx: space.services.host.traffic(samples, tx.usage)).result(),
    )  # fmt: skip
    assert meter.flush() == 1


def test_a_period_closes_only_after_live_gates_reported_and_events_were_booked_past_its_end(space: Space) -> None:
    space.put("a", b"x" * 10)
    deliver(space)
    until_the_period_is_over(space)
    assert space.services.usage.close_due() == []  # the gate has not said that it has nothing more
    forward(space, -2 - MARGIN_MS / 1000)
    space.put("b", b"x" * 5)
    forward(space, 2 + MARGIN_MS / 1000)
    report(space)
    assert space.services.usage.close_due() == []  # an event of the period is not booked
    deliver(space)
    assert [(name, str(period.start)) for name, period in space.services.usage.close_due()] == [
        ("studio", "2026-10-21")
    ]
    assert space.services.usage.close_due() == []


def test_a_closed_period_stays_as_it_is_whatever_comes_later(space: Space) -> None:
    space.put("a", b"x" * 10)
    deliver(space)
    end = until_the_period_is_over(space)
    report(space)
    space.services.usage.close_due()
    closed = statement(space, date(2026, 11, 20))
    assert closed["closed"]
    assert closed["as_of"] == end
    book(space, sample(space, 1, end - 5, boot_id="gate-late", bytes_in=77))
    tenant_id = space.caller.tenant.id
    late = Event(tenant_id, "studio", 900, end - 9, "file.written", "", 999, 3, {})
    space.services.db.write(lambda tx: tx.usage.storage_event(late)).result()
    assert space.services.usage.statement("studio", date(2026, 11, 1)) == closed
    following = space.services.usage.statement("studio")
    assert following["usage"]["bytes_in"] == 77
    assert following["usage"]["peak_bytes"] == 999
    assert sum(int(one["byte_ms"]) for one in (closed["usage"], following["usage"])) == 10 * (end - START) + 999 * (
        following["as_of"] - end
    )


def test_records_are_cloudevents_written_once_for_each_hour(space: Space) -> None:
    space.put("a", b"x" * 10)
    book(space, sample(space, 1, START, bytes_in=10))
    deliver(space)
    forward(space, 3 * 3600)
    space.deployment.leases.renew()
    report(space)
    assert space.services.usage.record_due() == 3
    assert space.services.usage.record_due() == 0
    records = space.services.usage.records("studio")
    assert [one["time"] for one in records] == ["2026-10-20T16:00:00Z", "2026-10-20T17:00:00Z", "2026-10-20T18:00:00Z"]
    assert len({(one["source"], one["id"]) for one in records}) == 3
    for one in records:  # CloudEvents 1.0 section 3.1: required attributes
        assert one["specversion"] == "1.0"
        assert all(isinstance(one[name], str) and one[name] for name in ("id", "source", "type"))
    assert records[0]["data"]["bytes_in"] == 10
    json.dumps(records)


def test_the_table_and_the_chart_show_every_day(space: Space) -> None:
    from plugins.metering import render

    space.put("a", b"x" * 1024)
    forward(space, 48 * 3600)
    text = "\n".join(render(statement(space)))
    assert "2026-10-21" in text and "2026-10-23" in text
    assert "1 KB" in text
    assert "█" in text
    assert "monthly fee" in text or "Capacity and options" in text


def test_a_tenant_that_nobody_knows_and_a_day_before_the_service_are_refused(space: Space) -> None:
    from gateway.domain.errors import NotFound

    with pytest.raises(NotFound, match="no tenant"):
        space.services.usage.statement("nobody")
    with pytest.raises(NotFound, match="starts on 2026-10-21"):
        space.services.usage.statement("studio", date(2026, 10, 20))
