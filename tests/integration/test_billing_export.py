"""The export over a real database and the real command: valid, equal to ``usage show``, the same bytes each time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.domain.calendar import jst_midnight
from gateway.domain.units import GB
from gateway.hooks import TrafficSample
from gateway.testing.space import Clock, Space, open_space

START = jst_midnight(date(2026, 3, 1)) + 3_600_000
FIRST_MONTH = date(2026, 3, 21)


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    plugins = ["metering", {"name": "billing_export", "provider": "Example KK"}]
    with open_space(tmp_path, plugins=plugins, clock=Clock(START)) as opened:
        yield opened


def run(space: Space, *arguments: str) -> Result:
    file = space.deployment.config.file
    return CliRunner().invoke(cli, ["--config", str(file), *arguments])


def export(space: Space, form: str, day: date, *more: str) -> bytes:
    result = run(space, "billing", "export", "--period", str(day), "--format", form, *more)
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


def show(space: Space, tenant: str, day: date) -> Any:
    result = run(space, "usage", "show", tenant, "--period", str(day), "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def months_go_by(space: Space, until: date) -> None:
    """Usage in each month, and what the steward does."""
    for tenant in ("demo", "late"):
        space.services.accounts.add_tenant(tenant, plan="standard", demo=tenant == "demo")
    months_go_on(space, until)


def months_go_on(space: Space, until: date) -> None:
    n = space.clock.now // 1000
    while space.clock.now < jst_midnight(until):
        n += 1
        space.deployment.leases.renew()
        space.put(f"file-{n % 5}", b"x" * 100_000)
        tenants = space.services.db.read(lambda tx: tx.tenants.all())
        samples = [
            TrafficSample("gate", n * 10 + number, tenant.id, space.clock.now, 5, 40 * GB, 1, {"read": 3, "write": 1})
            for number, tenant in enumerate(tenants)
        ]
        space.services.db.write(lambda tx: space.services.host.traffic(samples, tx.usage)).result()  # noqa: B023
        deliver(space)
        space.clock.forward(5 * 24 * 3600 + 61)
        space.services.db.write(lambda tx: tx.leases.remove(space.deployment.boot_id)).result()
        space.services.usage.close_due()
        space.deployment.leases.lease = None
        space.deployment.leases.grant()


def deliver(space: Space) -> None:
    for subscriber in space.services.outbox.subscribers():
        while space.services.outbox.deliver(subscriber, 0):
            pass


def test_a_closed_month_is_exported_with_the_same_bytes_whatever_happens_later(space: Space) -> None:
    months_go_by(space, date(2026, 5, 1))
    before = {form: export(space, form, FIRST_MONTH) for form in ("csv", "json", "focus")}
    assert all(one["closed"] for one in json.loads(before["json"]))
    space.put("more", b"y" * 10**6)
    plans = space.services.db.read(lambda tx: tx.policies.history("plans"))[-1].text
    space.services.policies.apply("plans", plans.replace("amount: 10", "amount: 99"), "boss")
    deliver(space)
    space.clock.forward(9 * 24 * 3600)
    assert {form: export(space, form, FIRST_MONTH) for form in ("csv", "json", "focus")} == before


def test_the_sums_of_the_export_are_those_of_usage_show(space: Space) -> None:
    months_go_by(space, date(2026, 5, 1))
    for day in (FIRST_MONTH, date(2026, 4, 30)):
        exported = rows(export(space, "focus", day))
        for tenant in ("studio", "demo", "late"):
            shown = show(space, tenant, day)
            own = [row for row in exported if row["BillingAccountName"] == tenant]
            assert sum(int(row["BilledCost"]) for row in own) == shown["total"]

            def consumed(meter: str, own: list[dict[str, str]] = own) -> Decimal:
                return sum((Decimal(row["ConsumedQuantity"]) for row in own if row["SkuMeter"] == meter), Decimal(0))

            assert consumed("bytes_out") * GB == shown["usage"]["bytes_out"]
            assert consumed("requests") == sum(shown["usage"]["requests"].values())
            assert abs(consumed("byte_hours") * GB - Decimal(shown["usage"]["byte_hours"])) < 1


def test_a_paying_tenant_pays_its_plan_and_what_it_used_beyond_it_and_a_demo_tenant_nothing(space: Space) -> None:
    months_go_by(space, date(2026, 5, 1))
    used = show(space, "studio", FIRST_MONTH)["usage"]["bytes_out"]
    assert used > 100 * GB
    assert show(space, "studio", FIRST_MONTH)["total"] == 30_000 + (used - 100 * GB) * 10 // GB
    assert show(space, "demo", FIRST_MONTH)["total"] == 0
    demo = [row for row in rows(export(space, "focus", FIRST_MONTH)) if row["BillingAccountName"] == "demo"]
    assert sum(Decimal(row["ListCost"]) for row in demo) == 30_000 + (used - 100 * GB) * 10 // GB
    assert {row["BilledCost"] for row in demo} == {"0"}


def test_a_running_period_is_exported_with_the_same_bytes_until_something_is_booked(space: Space) -> None:
    space.put("a", b"x" * 1000)
    deliver(space)
    today = date(2026, 3, 1)
    first = export(space, "focus", today)
    assert export(space, "focus", today) == first
    assert rows(first)[0]["x_Closed"] == "false"


def test_the_name_of_a_month_finds_the_stub_of_a_tenant_that_joined_in_it(space: Space) -> None:
    space.put("a", b"x")
    deliver(space)
    found = rows(export(space, "csv", date(2026, 2, 21)))
    assert {(row["period_kind"], row["period_start"], row["period_end"]) for row in found} == {
        ("stub", "2026-03-01", "2026-03-20")
    }
    assert rows(export(space, "csv", date(2026, 2, 20))) == []


def test_one_tenant_is_written_to_a_file_whole_or_not_at_all(space: Space, tmp_path: Path) -> None:
    space.services.accounts.add_tenant("other", plan="light")
    deliver(space)
    target = tmp_path / "out.json"
    export(space, "json", date(2026, 3, 1), "--tenant", "other", "-o", str(target))
    assert [one["tenant"] for one in json.loads(target.read_text())] == ["other"]
    assert [file.name for file in tmp_path.glob("out*")] == ["out.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--period", "2026-02-30"), "is no date"),
        (("--period", "2026-03-01", "--format", "xml"), "csv, focus, json"),
        (("--period", "2026-03-01", "--tenant", "nobody"), "no tenant 'nobody'"),
        (("--period", "2025-03-01", "--tenant", "studio"), "starts on 2026-03-01"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_words(space: Space, arguments: tuple[str, ...], message: str) -> None:
    result = run(space, "billing", "export", *arguments)
    assert result.exit_code != 0
    assert message in result.output


def test_a_stub_closes_like_a_month(space: Space) -> None:
    months_go_by(space, date(2026, 3, 25))
    assert show(space, "studio", date(2026, 3, 1))["closed"]
    assert show(space, "studio", date(2026, 3, 1))["period"]["kind"] == "stub"


def test_a_removed_tenant_is_billed_for_the_month_of_its_removal_and_no_later(space: Space) -> None:
    months_go_by(space, date(2026, 4, 10))
    space.services.accounts.remove("late")
    months_go_on(space, date(2026, 6, 25))
    names = [
        sorted({row["tenant"] for row in rows(export(space, "csv", day))}) for day in (FIRST_MONTH, date(2026, 5, 1))
    ]
    assert names == [["demo", "late", "studio"], ["demo", "studio"]]
    assert show(space, "late", FIRST_MONTH)["closed"]
    refused = run(space, "usage", "show", "late", "--period", "2026-05-01")
    assert "was removed on 2026-04-1" in refused.output
