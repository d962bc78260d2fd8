"""Raw usage as CloudEvents, one a line."""

from __future__ import annotations

import json
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.domain.collecting import CannotExport
from plugins.usage_events import UsageEvents, create, render


def _record(n: int, **change: Any) -> dict[str, Any]:
    record = {
        "specversion": "1.0",
        "id": f"acme-{n}",
        "source": "/kurado/tenants/acme",
        "type": "kurado.usage.hour",
        "subject": "acme",
        "time": f"2027-04-21T{n:02}:00:00Z",
        "datacontenttype": "application/json",
        "data": {"bytes_out": n},
    }
    return {**record, **change}


def test_events_stand_one_a_line_in_their_order_and_as_they_are() -> None:
    lines = render([_record(2), _record(1)]).decode().splitlines()
    assert [json.loads(line) for line in lines] == [_record(1), _record(2)]
    assert render([_record(1), _record(2)]) == render([_record(2), _record(1)])
    assert render([]) == b""


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_what_is_no_cloud_event_is_refused(name: str) -> None:
    with pytest.raises(CannotExport, match=f"without {name}"):
        render([_record(1), _record(2, **{name: ""})])


def test_an_event_is_never_written_twice() -> None:
    with pytest.raises(CannotExport, match="acme-1"):
        render([_record(1), _record(1)])


def test_the_exporter_asks_for_the_records_of_each_statement() -> None:
    asked = []

    def records(tenant: str, day: date) -> list[dict[str, Any]]:
        asked.append((tenant, day))
        return [_record(1, source=f"/kurado/tenants/{tenant}")]

    (exporter,) = UsageEvents(records).register_exporters()
    content = exporter.render([{"tenant": name, "period": {"start": "2027-04-21"}} for name in ("acme", "beta")])
    assert asked == [("acme", date(2027, 4, 21)), ("beta", date(2027, 4, 21))]
    assert len(content.splitlines()) == 2


def test_it_has_no_settings() -> None:
    context: Any = SimpleNamespace(settings={"x": 1}, services=None)
    with pytest.raises(ValueError, match="x: unknown setting"):
        create(context)
