"""Revisions of the terms, the service level, the operating standard and the price list (RULES REV): a pure fold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from gateway.domain.acts import Act

PREFIX = "revision:"
BY_SENDING = ("terms",)
"""Policies whose revision works when its notice is sent (REV-02); that of the others works on arrival (REV-01, REV-03,
D-55: service conditions)."""

RULES = {"terms": "REV-02", "plans": "REV-01", "sla": "REV-03", "maintenance": "REV-03"}


@dataclass(frozen=True, slots=True)
class AnnouncedRevision:
    """A stored document that is to come into force. ``contracts`` are those to be told; ``to_all``: new customers agree
    to it from ``effective_on`` on. ``applied`` says that it is the default by now."""

    id: str
    policy: str
    version: int
    document: str
    label: str
    effective_on: date
    announced_at: int
    contracts: tuple[str, ...]
    to_all: bool
    applied: bool = False
    withdrawn: bool = False

    @property
    def rule(self) -> str:
        return RULES[self.policy]

    @property
    def works_on(self) -> str:
        """sending or arrival of the notice."""
        return "sending" if self.policy in BY_SENDING else "arrival"


def fold(acts: Iterable[Act]) -> Mapping[str, AnnouncedRevision]:
    """All revisions by id, as their acts tell them. One that is announced again is so to more contracts."""
    found: dict[str, AnnouncedRevision] = {}
    for act in acts:
        name, data = act.subject.removeprefix(PREFIX), act.data
        if act.kind in ("revision.terms_announced", "revision.conditions_announced"):
            known = found[name].contracts if name in found else ()
            found[name] = AnnouncedRevision(
                name, data["policy"], data["version"], data["digest"], data["params"]["version"],
                date.fromisoformat(data["effective_on"]), act.at, (*known, *data["contracts"]), data["to_all"],
            )  # fmt: skip
        elif act.kind == "revision.applied":
            found[name] = replace(found[name], applied=True)
        elif act.kind == "revision.withdrawn":
            found[name] = replace(found[name], withdrawn=True)
    return found
