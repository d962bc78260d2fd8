"""Figures that are released show no single customer (PRV-02, D-40)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.contract.values import ContractValues
from gateway.domain.tenant import Tenant, TenantState
from gateway.service.statistics import ALL, Statistics
from gateway.service.stored import HourUsage

LEAST = 3


class Ledger:
    """Tenants by plan, each with the requests of one hour; a stand-in for the three repositories that are read."""

    def __init__(self, plans: dict[str, list[int]]) -> None:
        self.tenants = self.usage = self
        owners = [(plan, count) for plan, counts in plans.items() for count in counts]
        self._plans = {number: plan for number, (plan, _) in enumerate(owners, 1)}
        self._counts = {number: count for number, (_, count) in enumerate(owners, 1)}

    def metered(self) -> list[int]:
        return list(self._plans)

    def by_id(self, tenant_id: int) -> Tenant:
        name, plan = f"t{tenant_id}", self._plans[tenant_id]
        return Tenant(tenant_id, name, plan, TenantState.ACTIVE, None, None, False, tenant_id, 0)

    def hours(self, tenant_id: int, start: int, _end: int) -> list[HourUsage]:
        requests = {"read": self._counts[tenant_id]}
        return [HourUsage(tenant_id, start, 0, 0, 0, 0, 0, 10, 0, requests)]

    def read(self, work: Callable[[Any], Any]) -> Any:
        return work(self)


def released(plans: dict[str, list[int]]) -> dict[str, Any]:
    service = Statistics(Ledger(plans), lambda: ContractValues(stats_min_customers=LEAST))  # type: ignore[arg-type]
    return {cell.plan: cell for cell in service.release(date(2027, 4, 1), date(2027, 4, 30))}


plans = st.dictionaries(st.sampled_from(["light", "standard", "pro"]), st.lists(st.integers(0, 9), max_size=6))


@given(plans)
def test_no_figure_stands_for_fewer_customers_than_the_policy_says_not_even_by_a_difference(
    plans: dict[str, list[int]],
) -> None:
    cells = released(plans)
    assert all(cell.customers >= LEAST for cell in cells.values())
    everybody = cells.pop(ALL, None)
    if everybody is not None:
        left_out = everybody.customers - sum(cell.customers for cell in cells.values())
        assert left_out == 0 or left_out >= LEAST


@given(plans)
def test_who_asked_for_nothing_is_no_customer_of_a_figure(plans: dict[str, list[int]]) -> None:
    for plan, cell in released(plans).items():
        asked = [n for name, counts in plans.items() if plan in (name, ALL) for n in counts if n]
        assert (cell.customers, cell.requests["read"]) == (len(asked), sum(asked))
