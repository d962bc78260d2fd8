"""Break-glass (RULES PRV-03): the only way in which a person of the provider sees a customer's content.

Every read is an act before the first byte is given out, and part of what the customer is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

from gateway.blobstore import BlobStore
from gateway.domain.acts import Act, ActorRole
from gateway.domain.contract.breakglass import PREFIX, BreakGlass, fold
from gateway.domain.contract.privacy import may_disclose
from gateway.domain.contract.values import SEED, ContractValues
from gateway.domain.errors import NotFound
from gateway.domain.names import Path
from gateway.domain.node import Node
from gateway.domain.tenant import Tenant
from gateway.service.accounts import operator_caller
from gateway.service.contracts.book import Actor, require
from gateway.service.guards import find
from gateway.service.unit_of_work import Database, Tx

_HOUR_MS = 3_600_000


class BreakGlassService:
    """``values`` are the constants of the terms: the grounds, and for how long it may be open at most (D-41)."""

    def __init__(
        self,
        db: Database,
        store: BlobStore,
        clock: Callable[[], int],
        values: Callable[[], ContractValues] = lambda: SEED,
    ) -> None:
        self._db = db
        self._store = store
        self._clock = clock
        self._values = values

    def all(self, tenant: Tenant | None = None) -> list[BreakGlass]:
        """All requests, the oldest first."""
        known = self._db.read(_fold).values()
        return [one for one in known if tenant is None or one.tenant_id == tenant.id]

    def reads(self, tenant: Tenant) -> list[Act]:
        """Everything that was asked, approved and read of a tenant: what it may see (PRV-03)."""
        return [act for act in self._db.read(lambda tx: tx.acts.of_prefix(PREFIX)) if act.tenant_id == tenant.id]

    def request(
        self, tenant: Tenant, objects: Sequence[Path], ground: str, reason: str, hours: int, actor: Actor
    ) -> BreakGlass:
        """Asks to open named objects. ActRefused PRV-03 for another ground, no reason, no object or too long."""
        values = self._values()
        grounds, most = values.content_grounds, values.breakglass_max_hours
        require(_is_ground(ground, values), f"content is opened on one of {', '.join(grounds)} only (§14)", "PRV-03")
        require(bool(reason.strip()), "a reason is needed", "PRV-03")
        require(bool(objects) and all(objects), "name the objects; a whole space is never opened", "PRV-03")
        require(1 <= hours <= most, f"for 1 to {most} hours", "PRV-03")

        def work(tx: Tx) -> BreakGlass:
            for path in objects:
                if find(tx, operator_caller(tenant), path).node is None:
                    raise NotFound("there is nothing at one of the paths")
            name = f"B{len(_fold(tx)) + 1}"
            data = {
                "tenant": tenant.name,
                "objects": [list(path) for path in objects],
                "reason": reason,
                "hours": hours,
            }
            self._record(tx, name, "breakglass.requested", actor, tenant.id, ground, "", "requested", data)
            return _fold(tx)[name]

        return self._db.write(work).result()

    def approve(self, name: str, actor: Actor) -> BreakGlass:
        """Opens it from now on. ActRefused PRV-03 when the same person asked for it."""
        now = self._clock()

        def work(tx: Tx) -> BreakGlass:
            one = _get(tx, name)
            require(one.expires_at is None, f"{name} was approved already", "PRV-03")
            require(one.requested_by != actor.name, f"{actor.name} asked for it: another person approves it", "PRV-03")
            data = {"expires_at": now + one.hours * _HOUR_MS}
            approver = Actor(actor.name, ActorRole.APPROVER)
            self._record(
                tx, name, "breakglass.approved", approver, one.tenant_id, one.ground, "requested", "open", data
            )
            return _get(tx, name)

        return self._db.write(work).result()

    def read(self, name: str, path: Path, actor: Actor) -> BinaryIO:
        """Opens one object, and records it before the first byte. ActRefused PRV-03 outside what was approved."""
        now = self._clock()

        def work(tx: Tx) -> Node:
            one = _get(tx, name)
            require(one.state(now) == "open", f"{name} is {one.state(now)}", "PRV-03")
            require(one.covers(path), "this object was not asked for", "PRV-03")
            tenant = tx.tenants.by_id(one.tenant_id)
            node = find(tx, operator_caller(tenant), path).node if tenant else None
            if node is None or node.version is None:
                raise NotFound("there is no file at this path")
            data = {"path": list(path), "node_id": node.id, "version_id": node.version.id, "size": node.size}
            self._record(tx, name, "breakglass.read", actor, one.tenant_id, one.ground, "open", "open", data)
            return node

        version = self._db.write(work).result().version
        assert version is not None
        if not version.blob_id:
            raise NotFound("the file is empty")
        return self._store.open(version.blob_id, 0, version.size)

    def _record(
        self,
        tx: Tx,
        name: str,
        kind: str,
        actor: Actor,
        tenant_id: int,
        ground: str,
        before: str,
        after: str,
        data: Mapping[str, object],
    ) -> None:
        act = Act(
            PREFIX + name, kind, self._clock(), actor.name, str(actor.role), "PRV-03", tenant_id, ground, before, after,
            data,
        )  # fmt: skip
        tx.acts.append(act)


def _is_ground(ground: str, values: ContractValues) -> bool:
    """§14, as the pure rule has it."""
    if ground.startswith("9-") and ground[2:].isdecimal():
        return may_disclose("registered_data", "prohibited_act", int(ground[2:]), values=values)
    return may_disclose("registered_data", ground, values=values)


def _fold(tx: Tx) -> dict[str, BreakGlass]:
    return dict(fold(tx.acts.of_prefix(PREFIX)))


def _get(tx: Tx, name: str) -> BreakGlass:
    one = _fold(tx).get(name)
    if one is None:
        raise NotFound(f"there is no request {name!r}")
    return one
