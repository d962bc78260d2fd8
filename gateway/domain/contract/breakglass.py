"""Opening a customer's content to a person (RULES PRV-03, D-41): two persons, a ground, named objects, a short time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from gateway.domain.acts import Act

PREFIX = "breakglass:"
GROUNDS = ("legal", "system_management_company", *(f"9-{item}" for item in range(2, 8)))
"""§14 ①, ②, and ③: the items of §9(1)②–⑦ as in the takedowns that they prepare (TKD-04)."""


@dataclass(frozen=True, slots=True)
class BreakGlass:
    """``expires_at`` is None until it was approved. ``reads`` counts what was opened."""

    id: str
    tenant_id: int
    tenant: str
    ground: str
    reason: str
    objects: tuple[tuple[str, ...], ...]
    hours: int
    requested_by: str
    requested_at: int
    approved_by: str = ""
    expires_at: int | None = None
    reads: int = 0

    def state(self, now: int) -> str:
        if self.expires_at is None:
            return "requested"
        return "open" if now < self.expires_at else "expired"

    def covers(self, path: tuple[str, ...]) -> bool:
        """Whether a path is one of the objects, or below one that is a collection."""
        return any(path[: len(one)] == one for one in self.objects)


def fold(acts: Iterable[Act]) -> Mapping[str, BreakGlass]:
    """All requests by id, as their acts tell them."""
    found: dict[str, BreakGlass] = {}
    for act in acts:
        name, data = act.subject.removeprefix(PREFIX), act.data
        if act.kind == "breakglass.requested":
            objects = tuple(tuple(path) for path in data["objects"])
            found[name] = BreakGlass(
                name, act.tenant_id, data["tenant"], act.ground, data["reason"], objects, data["hours"], act.actor,
                act.at,
            )  # fmt: skip
        elif act.kind == "breakglass.approved":
            found[name] = replace(found[name], approved_by=act.actor, expires_at=data["expires_at"])
        elif act.kind == "breakglass.read":
            found[name] = replace(found[name], reads=found[name].reads + 1)
    return found
