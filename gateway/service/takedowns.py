"""Refusing a customer's use of data (RULES TKD-01 to TKD-04): a person judges, the bytes are kept outside the quota."""

from __future__ import annotations

from collections.abc import Callable

from gateway.domain.acts import Act
from gateway.domain.contract.privacy import may_refuse_data
from gateway.domain.contract.takedowns import PREFIX, Takedown, Takedowns
from gateway.domain.errors import NotFound
from gateway.domain.events import NODE_CHANGED
from gateway.domain.names import Path
from gateway.domain.node import Node
from gateway.domain.tenant import Tenant
from gateway.service.accounts import operator_caller
from gateway.service.contracts.book import Actor, require
from gateway.service.guards import find
from gateway.service.refused import fold
from gateway.service.settling import Settling
from gateway.service.standing import Standings
from gateway.service.unit_of_work import Database, Tx


class TakedownService:
    """``is_enforced`` tells whether anything on this gateway refuses the data that is taken down."""

    def __init__(self, db: Database, settling: Settling, standings: Standings, is_enforced: Callable[[], bool]) -> None:
        self._db = db
        self._settling = settling
        self._standings = standings
        self._is_enforced = is_enforced

    def all(self, tenant: Tenant | None = None) -> list[Takedown]:
        """All takedowns, lifted ones too, in the order in which they were set."""
        known = self._standings.now().takedowns.all.values()
        return [one for one in known if tenant is None or one.tenant_id == tenant.id]

    def set(self, tenant: Tenant, path: Path, item: int, reason: str, actor: Actor) -> Takedown:
        """Refuses an object, or a collection with all below it, on a ground of §9(1)②–⑦. Usage falls by its size.

        ActRefused TKD-01 for ① and without a reason; NotFound when there is nothing at the path.
        """
        require(
            self._is_enforced(),
            "no plugin of gateway.yaml refuses what is taken down: add `- name: contract_state` to plugins",
            "TKD-02",
        )
        require(1 <= item <= 7 and may_refuse_data(item), "data is refused on items 2 to 7 of §9(1) only", "TKD-01")
        require(bool(reason.strip()), "a takedown needs a reason", "TKD-01")
        require(bool(path), "only the data that is judged is touched, never a whole space", "TKD-02")

        def work(tx: Tx) -> Takedown:
            now = self._settling.clock()
            caller = operator_caller(tenant, actor.name)
            node = find(tx, caller, path).node
            if node is None:
                raise NotFound("there is nothing at this path")
            known = fold(tx)
            is_refused = any(one.node_id == node.id for one in known.standing(tenant.id))
            require(not is_refused, "it is taken down already", "TKD-01")
            name = f"T{len(known.all) + 1}"
            size, files = tx.takedowns.add(name, tenant.id, node.id)
            self._settling.record(tx, caller, NODE_CHANGED, _unchanged(node), now, bytes=-size, files=-files)
            data = {"node_id": node.id, "path": list(path), "reason": reason, "bytes": size, "files": files}
            act = Act(
                PREFIX + name, "takedown.set", now, actor.name, str(actor.role), "TKD-01", tenant.id, f"9-{item}",
                "served", "refused", data,
            )  # fmt: skip
            return known.after(tx.acts.append(act)).all[name]

        done = self._db.write(work, tenant.id).result()
        self._standings.forget()
        return done

    def lift(self, name: str, reason: str, actor: Actor) -> Takedown:
        """Gives the object back unchanged; its size counts again, even above the limit (D-33)."""
        require(bool(reason.strip()), "lifting needs a reason", "TKD-02")

        def work(tx: Tx) -> Takedown:
            now = self._settling.clock()
            known = fold(tx)
            one = known.all.get(name)
            if one is None:
                raise NotFound(f"there is no takedown {name!r}")
            require(one.lifted_at is None, f"{name} was lifted already", "TKD-02")
            self._count_again(tx, one, known, actor, now)
            act = Act(
                PREFIX + name, "takedown.lifted", now, actor.name, str(actor.role), "TKD-02", one.tenant_id, one.ground,
                "refused", "served", {"reason": reason},
            )  # fmt: skip
            return known.after(tx.acts.append(act)).all[name]

        done = self._db.write(work).result()
        self._standings.forget()
        return done

    def _count_again(self, tx: Tx, lifted: Takedown, known: Takedowns, actor: Actor, now: int) -> None:
        """What another takedown refuses as well stays out of the usage."""
        size, files = tx.takedowns.lift(lifted.id)
        for other in known.standing(lifted.tenant_id):
            if other.id != lifted.id and tx.nodes.get(other.node_id) is not None:
                more_size, more_files = tx.takedowns.add(other.id, other.tenant_id, other.node_id)
                size, files = size - more_size, files - more_files
        tenant, node = tx.tenants.by_id(lifted.tenant_id), tx.nodes.get(lifted.node_id)
        if tenant is None or node is None:
            return
        caller = operator_caller(tenant, actor.name)
        self._settling.record(tx, caller, NODE_CHANGED, _unchanged(node), now, bytes=size, files=files)


def _unchanged(node: Node) -> dict[str, object]:
    """An event that changes no property: it carries the new usage to meter and replica."""
    return {"node_id": node.id, "props": dict(node.props), "modified_at": node.modified_at, "mtime": None}
