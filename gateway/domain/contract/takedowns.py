"""Refused data as its acts tell it (RULES TKD-01 to TKD-04, D-33): a pure fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gateway.domain.acts import Act

PREFIX = "takedown:"


@dataclass(frozen=True, slots=True)
class Takedown:
    """``node_id`` is the object, or the collection with all below it, that was refused; ``path`` where it was then."""

    id: str
    tenant_id: int
    node_id: int
    path: tuple[str, ...]
    ground: str
    reason: str
    set_at: int
    set_by: str
    lifted_at: int | None = None


@dataclass(frozen=True)
class Takedowns:
    """All takedowns ever, by id."""

    all: Mapping[str, Takedown] = field(default_factory=dict)

    def after(self, act: Act) -> Takedowns:
        if not act.subject.startswith(PREFIX):
            return self
        name, data = act.subject.removeprefix(PREFIX), act.data
        if act.kind == "takedown.lifted":
            one = replace(self.all[name], lifted_at=act.at)
        else:
            path = tuple(data["path"])
            one = Takedown(name, act.tenant_id, data["node_id"], path, act.ground, data["reason"], act.at, act.actor)
        return Takedowns({**self.all, name: one})

    def standing(self, tenant_id: int) -> tuple[Takedown, ...]:
        """Those of a tenant that were not lifted."""
        if not self.all:
            return ()
        return tuple(one for one in self.all.values() if one.tenant_id == tenant_id and one.lifted_at is None)
