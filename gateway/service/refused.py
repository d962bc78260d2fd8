"""Data under a takedown, asked inside the transaction that would move, copy or erase it (RULES TKD-02, D-33).

``check_change`` hooks are asked before a transaction: a takedown that is set meanwhile would be overtaken, and its
bytes be erased, or copied to where nothing refuses them.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.domain.contract.takedowns import PREFIX, Takedown, Takedowns
from gateway.domain.errors import TakenDown
from gateway.domain.names import Path, name_key
from gateway.domain.tenant import Tenant
from gateway.service.unit_of_work import Tx


def fold(tx: Tx) -> Takedowns:
    """All takedowns, as their acts tell them."""
    takedowns = Takedowns()
    for act in tx.acts.of_prefix(PREFIX):
        takedowns = takedowns.after(act)
    return takedowns


def is_refused(tx: Tx, standing: Iterable[Takedown], path: Path, *, with_members: bool) -> bool:
    """Whether what is at a path is refused data; ``with_members``: or anything below it."""
    asked = _keys(path)
    for one in standing:
        refused = tx.nodes.path_of(one.node_id)
        if refused is None:
            continue
        root = _keys(refused)
        if asked[: len(root)] == root or (with_members and root[: len(asked)] == asked):
            return True
    return False


class RefusedData:
    """The takedowns as a transaction sees them; folded again only when acts were added: one tiny read otherwise."""

    def __init__(self) -> None:
        self._known = (0, Takedowns())

    def check(self, tx: Tx, tenant: Tenant, *paths: Path) -> None:
        """Raises TakenDown when refused data lies at one of the paths, above or below it."""
        acts, takedowns = self._known
        if (count := tx.acts.count()) != acts:
            takedowns = fold(tx)
            self._known = (count, takedowns)
        standing = takedowns.standing(tenant.id)
        if standing and any(is_refused(tx, standing, path, with_members=True) for path in paths):
            raise TakenDown(clause="TKD-02")


def _keys(path: Path) -> Path:
    return tuple(name_key(segment) for segment in path)
