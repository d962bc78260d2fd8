"""On which JST days the backup of which tenant was complete and verified (RULES SLA-DP-02, D-59): a pure fold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from gateway.domain.acts import Act

BACKUP = "backup:"


@dataclass(frozen=True)
class BackupLog:
    """``days``: JST day → ids of the tenants whose backup was attested on it."""

    days: Mapping[date, frozenset[int]] = field(default_factory=dict)

    def after(self, act: Act) -> BackupLog:
        """The days after one more act; other acts change nothing."""
        if act.kind != "backup.attested":
            return self
        day = date.fromisoformat(act.data["day"])
        return replace(self, days={**self.days, day: self.attested(day) | frozenset(act.data["tenants"])})

    def attested(self, day: date) -> frozenset[int]:
        return self.days.get(day, frozenset())

    def missing(self, tenant_id: int, first: date, last: date) -> Iterator[date]:
        """The days of first…last without a backup of a tenant."""
        while first <= last:
            if tenant_id not in self.attested(first):
                yield first
            first += timedelta(days=1)
