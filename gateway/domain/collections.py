"""Orders to collect, as their acts tell it: which invoices went to a bank or the agency, and what came back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from gateway.domain.acts import Act

PREFIX = "collection:"
ORDERED, IMPORTED = "collection.ordered", "collection.imported"


@dataclass(frozen=True, slots=True)
class Part:
    """What is collected from one customer: invoice number → JPY. ``customer`` is the digest of the customer's data with
    the bank account that was named to the bank."""

    customer_number: str
    contract: str
    customer: str
    invoices: Mapping[str, int]
    kind: str = "0"

    @property
    def amount(self) -> int:
        return sum(self.invoices.values())


@dataclass(frozen=True, slots=True)
class Order:
    """``on`` is the day of the debits, or that of the hand-over. ``results``: SHA-256 of the result files read."""

    id: str
    exporter: str
    on: date
    at: int
    parts: tuple[Part, ...]
    results: tuple[str, ...] = ()

    @property
    def amount(self) -> int:
        return sum(one.amount for one in self.parts)


def fold(acts: Iterable[Act]) -> dict[str, Order]:
    """All orders, by id, the oldest first."""
    found: dict[str, Order] = {}
    for act in acts:
        name = act.subject.removeprefix(PREFIX)
        if act.kind == ORDERED:
            found[name] = Order(
                name,
                act.data["exporter"],
                date.fromisoformat(act.data["on"]),
                act.at,
                tuple(Part(**one) for one in act.data["parts"]),
            )
        elif act.kind == IMPORTED and name in found:
            found[name] = replace(found[name], results=(*found[name].results, act.data["sha256"]))
    return found


def part_data(part: Part) -> dict[str, Any]:
    """For the data of an act: no name, address or account stands there."""
    return {
        "customer_number": part.customer_number,
        "contract": part.contract,
        "customer": part.customer,
        "invoices": dict(part.invoices),
        "kind": part.kind,
    }
