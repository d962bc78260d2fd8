"""What metering keeps: storage figures that derive from committed events alone, and traffic booked once per sample.

An hour has a row only if an event fell into it: what lies between is carried from the row before, so an idle tenant
costs nothing and a crash can lose nothing that the events do not bring back. Integrals are exact; they pass 64 bits
(3 TB for an hour in byte-milliseconds), so they are stored as decimal text and added here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, String, Table, Text

from gateway.db.metadata import Big, metadata
from gateway.db.session import Row, Session
from gateway.domain.events import Event
from gateway.hooks import TrafficSample, UsageLedger
from gateway.service.stored import HourUsage

HOUR = 3_600_000
CLASSES = ("read", "write", "list", "lock", "other")

usage_state = Table(
    "usage_state",
    metadata,
    Column("tenant_id", Big, primary_key=True, autoincrement=False),
    Column("seq", Big, nullable=False),
    Column("at", Big, nullable=False),
    Column("used_bytes", Big, nullable=False),
    Column("used_files", Big, nullable=False),
    # Nothing is booked before this instant: a closed period never changes
    Column("closed_until", Big, nullable=False),
    # Hours that start before this instant were looked at for records, those without any usage left none
    Column("recorded_until", Big, nullable=False),
)

usage_hours = Table(
    "usage_hours",
    metadata,
    Column("tenant_id", Big, primary_key=True, autoincrement=False),
    Column("hour", Big, primary_key=True, autoincrement=False),
    Column("byte_ms", String(40), nullable=False),  # from the hour's start to last_at
    Column("last_at", Big, nullable=False),
    Column("peak_bytes", Big, nullable=False),
    Column("end_bytes", Big, nullable=False),
    Column("end_files", Big, nullable=False),
    sqlite_with_rowid=False,
)

usage_traffic = Table(
    "usage_traffic",
    metadata,
    Column("tenant_id", Big, primary_key=True, autoincrement=False),
    Column("hour", Big, primary_key=True, autoincrement=False),
    Column("last_at", Big, nullable=False),
    Column("bytes_in", Big, nullable=False),
    Column("bytes_out", Big, nullable=False),
    Column("refusals", Big, nullable=False),
    *(Column(f"requests_{name}", Big, nullable=False) for name in CLASSES),
    sqlite_with_rowid=False,
)

# The same figures since ever, for counters that only grow
usage_totals = Table(
    "usage_totals",
    metadata,
    Column("tenant_id", Big, primary_key=True, autoincrement=False),
    Column("bytes_in", Big, nullable=False),
    Column("bytes_out", Big, nullable=False),
    Column("refusals", Big, nullable=False),
    *(Column(f"requests_{name}", Big, nullable=False) for name in CLASSES),
)

# A process numbers its samples and books them in order, so its highest number says which are known already
usage_boots = Table(
    "usage_boots",
    metadata,
    Column("boot_id", String(32), primary_key=True),
    Column("n", Big, nullable=False),
    Column("reported_until", Big, nullable=False),
)

# CloudEvents 1.0: source and id together name a record for ever (section 3.1.1), so a second insert is the same one
usage_records = Table(
    "usage_records",
    metadata,
    Column("source", String(120), primary_key=True),
    Column("id", String(120), primary_key=True),
    Column("tenant_id", Big, nullable=False, index=True),
    Column("type", String(100), nullable=False),
    Column("time", Big, nullable=False),
    Column("data", Text, nullable=False),
)

usage_statements = Table(
    "usage_statements",
    metadata,
    Column("tenant_id", Big, primary_key=True, autoincrement=False),
    Column("period_start", Big, primary_key=True, autoincrement=False),
    Column("closed_at", Big, nullable=False),
    Column("text", Text, nullable=False),
)

_TRAFFIC = ("bytes_in", "bytes_out", "refusals", *(f"requests_{name}" for name in CLASSES))
_MARKS = ", ".join("?" * len(_TRAFFIC))
_NAMES = ", ".join(_TRAFFIC)

_BOOK_HOUR = f"""
INSERT INTO usage_traffic (tenant_id, hour, last_at, {_NAMES}) VALUES (?, ?, ?, {_MARKS})
ON CONFLICT (tenant_id, hour) DO UPDATE SET
last_at = CASE WHEN excluded.last_at > usage_traffic.last_at THEN excluded.last_at ELSE usage_traffic.last_at END,
{", ".join(f"{name} = usage_traffic.{name} + excluded.{name}" for name in _TRAFFIC)}"""

_BOOK_TOTAL = f"""
INSERT INTO usage_totals (tenant_id, {_NAMES}) VALUES (?, {_MARKS})
ON CONFLICT (tenant_id) DO UPDATE SET {", ".join(f"{n} = usage_totals.{n} + excluded.{n}" for n in _TRAFFIC)}"""

_HOUR = "hour, byte_ms, last_at, peak_bytes, end_bytes, end_files"
_PUT_HOUR = f"""
INSERT INTO usage_hours (tenant_id, {_HOUR}) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant_id, hour) DO UPDATE SET byte_ms = excluded.byte_ms, last_at = excluded.last_at,
peak_bytes = excluded.peak_bytes, end_bytes = excluded.end_bytes, end_files = excluded.end_files"""

_PUT_STATE = """
INSERT INTO usage_state (tenant_id, seq, at, used_bytes, used_files, closed_until, recorded_until)
VALUES (?, ?, ?, ?, ?, 0, ?)
ON CONFLICT (tenant_id) DO UPDATE SET seq = excluded.seq, at = excluded.at, used_bytes = excluded.used_bytes,
used_files = excluded.used_files"""


class UsageRepository:
    """Implements ``gateway.service.unit_of_work.UsageRepository``."""

    def __init__(self, session: Session) -> None:
        self._s = session

    # -- booking ------------------------------------------------------------------------------------------------------

    def storage_event(self, event: Event) -> None:
        with self.together() as ledger:
            ledger.storage_event(event)

    @contextmanager
    def together(self) -> Iterator[UsageLedger]:
        """A ledger for many events: what they come to is read once and stored once, at the end of the block."""
        ledger = _Together(self._s, self)
        yield ledger
        ledger.store()

    def traffic(self, samples: Sequence[TrafficSample]) -> None:
        for boot_id in sorted({sample.boot_id for sample in samples}):
            self._book_boot(boot_id, sorted((s for s in samples if s.boot_id == boot_id), key=lambda s: s.n))

    def _book_boot(self, boot_id: str, samples: Sequence[TrafficSample]) -> None:
        known = self._s.scalar("SELECT n FROM usage_boots WHERE boot_id = ?", boot_id) or 0
        new = [sample for sample in samples if sample.n > known]
        if not new:
            return
        for sample in new:
            if sample.tenant_id:  # 0: a gate that had nothing to report says so
                self._book_sample(sample)
        self._s.run(
            "INSERT INTO usage_boots (boot_id, n, reported_until) VALUES (?, ?, ?) ON CONFLICT (boot_id) DO UPDATE "
            "SET n = excluded.n, reported_until = excluded.reported_until",
            boot_id, new[-1].n, max(sample.at for sample in new),
        )  # fmt: skip

    def _book_sample(self, sample: TrafficSample) -> None:
        closed_until = self._s.scalar("SELECT closed_until FROM usage_state WHERE tenant_id = ?", sample.tenant_id)
        at = max(sample.at, closed_until or 0)
        figures = [sample.bytes_in, sample.bytes_out, sample.refusals]
        other = sum(count for name, count in sample.requests.items() if name not in CLASSES)
        figures += [sample.requests.get(name, 0) + (other if name == "other" else 0) for name in CLASSES]
        self._s.run(_BOOK_HOUR, sample.tenant_id, at - at % HOUR, at, *figures)
        self._s.run(_BOOK_TOTAL, sample.tenant_id, *figures)

    def reported_until(self, now: int) -> int:
        rows = self._s.rows(
            "SELECT COALESCE(b.reported_until, l.started_at) FROM leases l LEFT JOIN usage_boots b "
            "ON b.boot_id = l.boot_id WHERE l.role = 'gate' AND l.expires_at > ?",
            now,
        )
        return min((row[0] for row in rows), default=now)

    def booked(self, tenant_id: int) -> tuple[int, int]:
        row = self._s.row("SELECT seq, at FROM usage_state WHERE tenant_id = ?", tenant_id)
        seq, at = row or (0, 0)
        last = self._s.scalar("SELECT MAX(last_at) FROM usage_traffic WHERE tenant_id = ?", tenant_id)
        return seq, max(at, last or 0)

    # -- reading ------------------------------------------------------------------------------------------------------

    def hours(self, tenant_id: int, start: int, end: int) -> list[HourUsage]:
        traffic = {
            row[0]: row[1:]
            for row in self._s.rows(
                f"SELECT hour, {_NAMES} FROM usage_traffic WHERE tenant_id = ? AND hour >= ? AND hour < ?",
                tenant_id, start, end,
            )
        }  # fmt: skip
        return [_hour(tenant_id, storage, traffic.get(storage[0])) for storage in self._storage(tenant_id, start, end)]

    def _storage(self, tenant_id: int, start: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
        """(hour, byte_ms, peak, end_bytes, end_files) of each hour, those without a row carried from the one before."""
        sql = f"SELECT {_HOUR} FROM usage_hours WHERE tenant_id = ? AND hour"
        before = self._s.row(f"{sql} < ? ORDER BY hour DESC LIMIT 1", tenant_id, start)
        rows = {row[0]: row for row in self._s.rows(f"{sql} >= ? AND hour < ?", tenant_id, start, end)}
        used, files = (before[4], before[5]) if before else (0, 0)
        for hour in range(start, end, HOUR):
            until = min(hour + HOUR, end)
            row = rows.get(hour)
            if row is None:
                yield hour, used * (until - hour), used, used, files
                continue
            _, byte_ms, last_at, peak, used, files = row
            yield hour, int(byte_ms) + used * max(0, until - last_at), peak, used, files

    def totals(self) -> Mapping[int, Mapping[str, int]]:
        names = [name.replace("requests_", "requests.") for name in _TRAFFIC]
        rows = self._s.rows(f"SELECT tenant_id, {_NAMES} FROM usage_totals")
        return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}

    def metered(self) -> list[int]:
        return [row[0] for row in self._s.rows("SELECT tenant_id FROM usage_state ORDER BY tenant_id")]

    # -- closed periods and records -----------------------------------------------------------------------------------

    def statement(self, tenant_id: int, period_start: int) -> Mapping[str, Any] | None:
        sql = "SELECT text FROM usage_statements WHERE tenant_id = ? AND period_start = ?"
        text = self._s.scalar(sql, tenant_id, period_start)
        return json.loads(text) if text else None

    def close_period(self, tenant_id: int, period_start: int, statement: Mapping[str, Any], now: int) -> None:
        self._s.run(
            "INSERT INTO usage_statements (tenant_id, period_start, closed_at, text) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (tenant_id, period_start) DO NOTHING",
            tenant_id, period_start, now, json.dumps(statement, ensure_ascii=False, sort_keys=True),
        )  # fmt: skip
        self._s.run(
            "UPDATE usage_state SET closed_until = ? WHERE tenant_id = ? AND closed_until < ?",
            statement["ends_at"], tenant_id, statement["ends_at"],
        )  # fmt: skip

    def closed_until(self, tenant_id: int) -> int:
        return int(self._s.scalar("SELECT closed_until FROM usage_state WHERE tenant_id = ?", tenant_id) or 0)

    def recorded_until(self, tenant_id: int) -> int | None:
        found: int | None = self._s.scalar("SELECT recorded_until FROM usage_state WHERE tenant_id = ?", tenant_id)
        return found

    def add_records(self, tenant_id: int, records: Sequence[Mapping[str, Any]], until: int) -> None:
        if records:
            self._s.run_many(
                "INSERT INTO usage_records (source, id, tenant_id, type, time, data) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (source, id) DO NOTHING",
                [
                    (
                        one["source"],
                        one["id"],
                        tenant_id,
                        one["type"],
                        one["at"],
                        json.dumps(one["data"], sort_keys=True),
                    )
                    for one in records
                ],
            )
        self._s.run("UPDATE usage_state SET recorded_until = ? WHERE tenant_id = ?", until, tenant_id)

    def records(self, tenant_id: int, start: int, end: int) -> list[Mapping[str, Any]]:
        rows = self._s.rows(
            "SELECT source, id, type, time, data FROM usage_records WHERE tenant_id = ? AND time >= ? AND time < ? "
            "ORDER BY time, id",
            tenant_id, start, end,
        )  # fmt: skip
        return [
            {"source": row[0], "id": row[1], "type": row[2], "at": row[3], "data": json.loads(row[4])} for row in rows
        ]


@dataclass(slots=True)
class _Booked:
    """A tenant's state, as in ``usage_state``, and its last hour, as in ``usage_hours``."""

    seq: int
    at: int
    used_bytes: int
    used_files: int
    closed_until: int
    first_hour: int = -1
    hour: int = -1
    byte_ms: int = 0
    peak: int = 0


class _Together:
    """Implements ``UsageLedger``. Events of a tenant come in their order."""

    def __init__(self, session: Session, usage: UsageRepository) -> None:
        self._s = session
        self._tenants: dict[int, _Booked] = {}
        self.traffic = usage.traffic

    def storage_event(self, event: Event) -> None:
        tenant = self._tenants.get(event.tenant_id) or self._known(event)
        if event.seq <= tenant.seq:
            return
        at = max(event.at, tenant.at, tenant.closed_until)
        hour, since = at - at % HOUR, tenant.at
        if hour != tenant.hour:
            self._store_hour(event.tenant_id, tenant)
            since = self._begin_hour(event.tenant_id, tenant, hour)
        tenant.byte_ms += tenant.used_bytes * (at - since)
        tenant.peak = max(tenant.peak, event.used_bytes)
        tenant.seq, tenant.at = event.seq, at
        tenant.used_bytes, tenant.used_files = event.used_bytes, event.used_files

    def store(self) -> None:
        for tenant_id, one in self._tenants.items():
            if one.hour >= 0:
                self._store_hour(tenant_id, one)
                self._s.run(_PUT_STATE, tenant_id, one.seq, one.at, one.used_bytes, one.used_files, one.first_hour)

    def _known(self, event: Event) -> _Booked:
        sql = "SELECT seq, at, used_bytes, used_files, closed_until FROM usage_state WHERE tenant_id = ?"
        row = self._s.row(sql, event.tenant_id) or (0, event.at, 0, 0, 0)
        known = self._tenants[event.tenant_id] = _Booked(*row)
        return known

    def _begin_hour(self, tenant_id: int, tenant: _Booked, hour: int) -> int:
        """Goes on with an hour, from the instant that is returned."""
        sql = "SELECT byte_ms, last_at, peak_bytes FROM usage_hours WHERE tenant_id = ? AND hour = ?"
        row = self._s.row(sql, tenant_id, hour)
        tenant.hour, tenant.first_hour = hour, hour if tenant.first_hour < 0 else tenant.first_hour
        tenant.byte_ms, tenant.peak = (int(row[0]), row[2]) if row else (0, tenant.used_bytes)
        return row[1] if row else hour

    def _store_hour(self, tenant_id: int, one: _Booked) -> None:
        if one.hour >= 0:
            self._s.run(
                _PUT_HOUR, tenant_id, one.hour, str(one.byte_ms), one.at, one.peak, one.used_bytes, one.used_files
            )


def _hour(tenant_id: int, storage: tuple[int, int, int, int, int], traffic: Row | None) -> HourUsage:
    hour, byte_ms, peak, end_bytes, end_files = storage
    bytes_in, bytes_out, refusals, *requests = traffic or (0,) * len(_TRAFFIC)
    return HourUsage(
        tenant_id=tenant_id,
        hour=hour,
        byte_ms=byte_ms,
        peak_bytes=peak,
        end_bytes=end_bytes,
        end_files=end_files,
        bytes_in=bytes_in,
        bytes_out=bytes_out,
        refusals=refusals,
        requests=dict(zip(CLASSES, requests, strict=True)),
    )
