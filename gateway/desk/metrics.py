"""``/metrics``: the Prometheus text format (version 0.0.4). Tenants are labels, file and user names never are."""

from __future__ import annotations

import re

from gateway.desk import level_metrics
from gateway.desk.families import Family
from gateway.service.health import ERROR, OK, WARNING
from gateway.service.services import Services
from gateway.service.unit_of_work import Tx

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LEVELS = {OK: 0, WARNING: 1, ERROR: 2}


def render(services: Services, version: str) -> str:
    """All metrics, read from the database now; only health facts are as old as the steward's last round."""
    families = [
        _build(version),
        *_tenants(services),
        *_outbox(services),
        *_facts(services),
        _processes(services),
        *level_metrics.families(services),
    ]
    return "\n".join(line for family in families for line in family.lines()) + "\n"


def _build(version: str) -> Family:
    family = Family("kurado_build_info", "gauge", "The version that runs; always 1.")
    family.add(1, version=version)
    return family


def _tenants(services: Services) -> list[Family]:
    """Requests, bytes, refusals, used and quota of each tenant."""
    requests = Family("kurado_requests_total", "counter", "Requests by tenant and class.")
    bytes_in = Family("kurado_received_bytes_total", "counter", "Bytes received from clients.")
    bytes_out = Family("kurado_sent_bytes_total", "counter", "Bytes sent to clients.")
    refusals = Family("kurado_refusals_total", "counter", "Requests refused.")
    used = Family("kurado_used_bytes", "gauge", "Bytes stored: the figure of enforcement and of the bill.")
    files = Family("kurado_used_files", "gauge", "Files stored.")
    quota = Family("kurado_quota_bytes", "gauge", "Bytes that may be stored; absent when unlimited.")
    tenants, totals = services.db.read(lambda tx: (tx.tenants.all(), tx.usage.totals()))
    for tenant in tenants:
        counted = totals.get(tenant.id, {})
        for name, value in sorted(counted.items()):
            if name.startswith("requests."):
                requests.add(value, tenant=tenant.name, **{"class": name.removeprefix("requests.")})
        bytes_in.add(counted.get("bytes_in", 0), tenant=tenant.name)
        bytes_out.add(counted.get("bytes_out", 0), tenant=tenant.name)
        refusals.add(counted.get("refusals", 0), tenant=tenant.name)
        used.add(tenant.used_bytes, tenant=tenant.name)
        files.add(tenant.used_files, tenant=tenant.name)
        limit = services.host.limits(tenant).bytes
        if limit is not None:
            quota.add(limit, tenant=tenant.name)
    return [requests, bytes_in, bytes_out, refusals, used, files, quota]


def _outbox(services: Services) -> list[Family]:
    """The age of the oldest event that each subscriber has not handled: for the replica, its lag."""
    age = Family("kurado_outbox_age_seconds", "gauge", "Age of the oldest event not yet handled, by subscriber.")
    waiting = Family("kurado_outbox_events", "gauge", "Events not yet handled, by subscriber.")
    parked = Family("kurado_outbox_parked", "gauge", "Tenants whose log is parked, by subscriber.")
    now = services.clock()
    oldest: dict[str, float] = {one.name: 0.0 for one in services.outbox.subscribers()}
    counts: dict[str, int] = dict.fromkeys(oldest, 0)
    stuck: dict[str, int] = dict.fromkeys(oldest, 0)
    for line in services.outbox.backlog():
        name = line.subscriber
        seconds = max(0.0, (now - line.oldest_at) / 1000) if line.oldest_at is not None else 0.0
        oldest[name] = max(oldest.get(name, 0.0), seconds)
        counts[name] = counts.get(name, 0) + line.last_seq - line.seq
        stuck[name] = stuck.get(name, 0) + line.parked
    for name in sorted(oldest):
        age.add(oldest[name], subscriber=name)
        waiting.add(counts[name], subscriber=name)
        parked.add(stuck[name], subscriber=name)
    return [age, waiting, parked]


def _facts(services: Services) -> list[Family]:
    """Health facts: a level each (0 ok, 1 warning, 2 error), its age, and a metric of its own for each with a value
    (``replication.lag`` becomes ``kurado_replication_lag``)."""
    level = Family("kurado_health", "gauge", "Health facts: 0 ok, 1 warning, 2 error.")
    age = Family("kurado_health_age_seconds", "gauge", "How old each health fact is.")
    values = []
    now = services.clock()
    for fact, at in services.health.stored():
        level.add(_LEVELS.get(fact.level, 2), fact=fact.name)
        age.add(max(0.0, (now - at) / 1000), fact=fact.name)
        if fact.value is not None and not fact.name.startswith("outbox."):
            value = Family(f"kurado_{_metric_name(fact.name)}", "gauge", f"Health fact {fact.name}.")
            value.add(fact.value)
            values.append(value)
    alarms = Family("kurado_alarms", "gauge", "Alarms that nobody has cleared.")
    alarms.add(len(services.health.alarms()))
    return [level, age, alarms, *values]


def _processes(services: Services) -> Family:
    family = Family("kurado_processes", "gauge", "Live processes by role, over all machines.")
    now = services.clock()

    def count(tx: Tx) -> dict[str, int]:
        counts = {"gate": 0, "steward": 0, "desk": 0}
        for lease in tx.leases.live(now):
            counts[lease.role] = counts.get(lease.role, 0) + 1
        return counts

    for role, number in services.db.read(count).items():
        family.add(number, role=role)
    return family


def _metric_name(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)
