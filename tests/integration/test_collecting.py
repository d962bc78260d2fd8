"""The exporters of invoices and collecting inside a real deployment, and raw usage by the real command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.domain.calendar import jst_midnight
from gateway.domain.collecting import DebitOrder, ReadsResults
from gateway.hooks import TrafficSample
from gateway.testing.invoices import invoice_document
from gateway.testing.space import Clock, Space, open_space

START = jst_midnight(date(2026, 3, 1))
ZENGIN = {
    "name": "zengin",
    "client_code": "12345",
    "client_name": "カ)クラドストレージ",
    "bank_code": "0184",
    "branch_code": "001",
    "account_number": "7654321",
}
PLUGINS = ["metering", "billing_export", "invoice_export", "payment_agency", "usage_events", ZENGIN]


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    """Three hours of use: a file, and a download in the first of them."""
    with open_space(tmp_path, plugins=PLUGINS, clock=Clock(START)) as opened:
        opened.put("a", b"x" * 10)
        tenant = opened.services.db.read(lambda tx: tx.tenants.all())[0]
        sample = TrafficSample("gate", 1, tenant.id, opened.clock.now, 5, 77, 0, {"read": 1})
        opened.services.db.write(lambda tx: opened.services.host.traffic([sample], tx.usage)).result()
        for subscriber in opened.services.outbox.subscribers():
            while opened.services.outbox.deliver(subscriber, 0):
                pass
        opened.clock.forward(3 * 3600)
        opened.services.db.write(lambda tx: tx.leases.remove(opened.deployment.boot_id)).result()
        opened.services.usage.record_due()
        yield opened


def _export(space: Space, format_: str) -> Result:
    words = ["billing", "export", "--period", "2026-03-10", "--format", format_]
    return CliRunner().invoke(cli, ["--config", str(space.deployment.config.file), *words])


def test_all_formats_are_there_and_those_with_results_read_them(space: Space) -> None:
    exporters = space.services.host.exporters()
    assert {"csv", "json", "focus", "invoices-csv", "invoices-focus", "zengin", "payment_agency"} <= set(exporters)
    assert {name for name, one in exporters.items() if isinstance(one, ReadsResults)} == {"zengin", "payment_agency"}
    assert b"KRD-000012" in exporters["invoices-focus"].render((invoice_document(),))


def test_raw_usage_is_exported_as_cloud_events(space: Space) -> None:
    result = _export(space, "cloudevents")
    assert result.exit_code == 0, result.output
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event for event in events if event["data"]["bytes_out"] == 77]
    assert {event["specversion"] for event in events} == {"1.0"}
    assert _export(space, "cloudevents").stdout == result.stdout


@pytest.mark.parametrize("format_", ["zengin", "payment_agency"])
def test_usage_is_not_mistaken_for_what_is_collected(format_: str, space: Space) -> None:
    result = _export(space, format_)
    assert result.exit_code == 1
    assert "no format for usage" in result.output
    assert "Traceback" not in result.output


def test_an_order_that_cannot_be_written_says_so(space: Space) -> None:
    with pytest.raises(Exception, match="1 to 999999 debits"):
        space.services.host.exporters()["zengin"].render(DebitOrder(date(2027, 5, 6), ()))
