"""Raw usage as CloudEvents 1.0, one JSON object a line (the hourly records of metering), as an export format.

No settings. Each event keeps its id, so whoever reads the same period twice knows each event again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from gateway.domain.collecting import CannotExport
from gateway.hooks import Exporter, PluginContext, hookimpl
from plugins._collecting import no_other_settings

FORMAT = "cloudevents"
REQUIRED = ("specversion", "id", "source", "type")
"""CloudEvents 1.0, required context attributes."""

Record = Mapping[str, Any]
Records = Callable[[str, date], Iterable[Record]]
"""Tenant and first day of a period → its hourly records."""


def create(context: PluginContext) -> object:
    """The entry point."""
    no_other_settings(context.settings, "usage_events", "no settings")
    return UsageEvents(lambda tenant, day: context.services.usage.records(tenant, day))


class UsageEvents:
    def __init__(self, records: Records) -> None:
        self._records = records

    @hookimpl
    def register_exporters(self) -> Iterable[Exporter]:
        return [Exporter(FORMAT, self._render)]

    def _render(self, statements: Sequence[Mapping[str, Any]]) -> bytes:
        events: list[Record] = []
        for one in statements:
            events += self._records(one["tenant"], date.fromisoformat(one["period"]["start"]))
        return render(events)


def render(records: Iterable[Record]) -> bytes:
    """JSON lines (UTF-8, LF), by time and id; the same records give the same bytes. CannotExport."""
    lines, seen = [], set()
    for record in sorted(records, key=lambda one: (one.get("time", ""), one.get("source", ""), one.get("id", ""))):
        for name in REQUIRED:
            if not isinstance(record.get(name), str) or not record[name]:
                raise CannotExport(f"a usage record without {name}: {dict(record)!r}")
        key = (record["source"], record["id"])
        if key in seen:
            raise CannotExport(f"two usage records of {key[0]} are called {key[1]}")
        seen.add(key)
        lines.append(json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n")
    return "".join(lines).encode()
