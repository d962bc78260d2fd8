"""What the provider discontinues for everybody, and to whom the business passes (RULES DSC, XFR): pure folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from gateway.domain.acts import Act

PREFIX, TRANSFER = "discontinuation:", "transfer:"


@dataclass(frozen=True, slots=True)
class Discontinuing:
    """``function`` is empty when all of the service ends. ``trouble``: on the ground of §10(3), prolonged trouble or an
    unforeseen event, which sets no lead time (DSC-01). ``told``: contract → when the e-mail arrived, ``posted_at`` when
    it stood on the web site; both are needed (D-38)."""

    id: str
    function: str
    last_day: date
    trouble: bool
    convenience: bool
    reason: str
    announced_at: int
    posted_at: int | None
    told: Mapping[str, int]

    @property
    def scope(self) -> str:
        return "part" if self.function else "all"


def fold(acts: Iterable[Act]) -> Mapping[str, Discontinuing]:
    """All of them by id."""
    found: dict[str, Discontinuing] = {}
    for act in acts:
        name, data = act.subject.removeprefix(PREFIX), act.data
        if act.kind == "discontinuation.announced":
            found[name] = Discontinuing(
                name, data["function"], date.fromisoformat(data["last_day"]), data["trouble"], data["convenience"],
                data["reason"], act.at, None, {},
            )  # fmt: skip
        elif act.kind == "discontinuation.posted":
            found[name] = replace(found[name], posted_at=data["at"])
        elif act.kind == "discontinuation.told":
            found[name] = replace(found[name], told={**found[name].told, data["contract"]: data["at"]})
    return found


@dataclass(frozen=True, slots=True)
class Transfer:
    """The provider's place passes to another (XFR-01). ``told``: contract → when the notice was sent; ``done_at`` when
    it was recorded as carried out."""

    id: str
    old_party: str
    new_party: str
    effective_on: date
    announced_at: int
    told: Mapping[str, int]
    done_at: int | None = None


def fold_transfers(acts: Iterable[Act]) -> Mapping[str, Transfer]:
    """All of them by id."""
    found: dict[str, Transfer] = {}
    for act in acts:
        name, data = act.subject.removeprefix(TRANSFER), act.data
        if act.kind == "transfer.announced":
            day = date.fromisoformat(data["effective_on"])
            found[name] = Transfer(name, data["old_party"], data["new_party"], day, act.at, {})
        elif act.kind == "transfer.told":
            found[name] = replace(found[name], told={**found[name].told, data["contract"]: data["at"]})
        elif act.kind == "transfer.done":
            found[name] = replace(found[name], done_at=act.at)
    return found
