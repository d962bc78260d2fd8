"""Figures of all customers together that may be released (RULES PRV-02, D-40): from access logs only, and only where
enough distinct customers stand behind each of them that none can be told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from gateway.domain.calendar import jst_midnight
from gateway.domain.contract.values import ContractValues
from gateway.domain.tenant import Tenant
from gateway.service.stored import HourUsage
from gateway.service.unit_of_work import Database, Tx

ALL = "all plans"


@dataclass(frozen=True, slots=True)
class Cell:
    """Of the customers of a plan. Nobody is named, and nothing that is stored is counted: only what was asked for."""

    plan: str
    customers: int
    requests: Mapping[str, int]
    bytes_in: int
    bytes_out: int

    def to_json(self) -> dict[str, Any]:
        return {
            "plan": self.plan,
            "customers": self.customers,
            "requests": dict(self.requests),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
        }


class Statistics:
    def __init__(self, db: Database, values: Callable[[], ContractValues]) -> None:
        self._db = db
        self._values = values

    def release(self, first: date, last: date) -> list[Cell]:
        """Cells by plan over JST days, those with too few customers left out; the sum of all stands there only where
        it gives no left-out cell away."""
        found = self._db.read(lambda tx: _traffic(tx, jst_midnight(first), jst_midnight(last + timedelta(days=1))))
        least = self._values().stats_min_customers
        cells = [_cell(plan, found[plan]) for plan in sorted(found)]
        shown = [cell for cell in cells if cell.customers >= least]
        hidden = sum(cell.customers for cell in cells if cell.customers < least)
        everybody = _cell(ALL, [one for tenants in found.values() for one in tenants])
        if everybody.customers >= least and (hidden == 0 or hidden >= least):
            shown.append(everybody)
        return shown


def _traffic(tx: Tx, start: int, end: int) -> dict[str, list[list[HourUsage]]]:
    """Plan → hours of each customer that asked for anything; demo tenants are no customers (SVC-01)."""
    found: dict[str, list[list[HourUsage]]] = {}
    for tenant in _customers(tx):
        hours = [hour for hour in tx.usage.hours(tenant.id, start, end) if any(hour.requests.values())]
        if hours:
            found.setdefault(tenant.plan, []).append(hours)
    return found


def _customers(tx: Tx) -> Iterable[Tenant]:
    for tenant_id in tx.usage.metered():
        tenant = tx.tenants.by_id(tenant_id)
        if tenant is not None and not tenant.demo:
            yield tenant


def _cell(plan: str, customers: list[list[HourUsage]]) -> Cell:
    hours = [hour for one in customers for hour in one]
    classes = sorted({name for hour in hours for name in hour.requests})
    return Cell(
        plan,
        len(customers),
        {name: sum(hour.requests.get(name, 0) for hour in hours) for name in classes},
        sum(hour.bytes_in for hour in hours),
        sum(hour.bytes_out for hour in hours),
    )
