"""contract_state: what stands between a tenant and its data is enforced on every call (ACC-01, ACC-02, TKD-02).

Contracts, interruptions, maintenance windows and takedowns live in the core (``kurado contract``, ``interruption``,
``maintenance``, ``takedown``); this plugin asks what they say now and answers with it. Without it in gateway.yaml no
contract can be registered. Setting: ``regular_maintenance``.
"""

from __future__ import annotations

from typing import Any

from gateway.domain.errors import Interrupted, KuradoError, Maintenance, TakenDown, TenantSuspended
from gateway.domain.fields import Fields, boolean
from gateway.domain.node import Node
from gateway.domain.tenant import Caller
from gateway.hooks import Change, PluginContext, Request, hookimpl

_WHOLE = ("move", "copy", "delete")
"""Changes that touch everything below a collection."""

_RULES = {
    "STOPPED": "ANT-01",
    "NOT_STARTED": "APP-05",
    "ENDED": "END-07",
    "SUSPENDED": "LIM-04",
    "INTERRUPTED": "INT-01",
    "MAINTENANCE": "OPS-04",
}


def create(context: PluginContext) -> ContractState:
    """The entry point. ``regular_maintenance``: whether the 1st and 3rd Monday 02:00–06:00 JST (OPS-02) refuse calls of
    tenants under contract. Only those do that were posted before they began, which the steward does by itself."""
    keys = Fields(context.settings)
    regular = keys.take("regular_maintenance", boolean, True)
    keys.done()
    return ContractState(context, regular)


class ContractState:
    enforces_contracts = True
    answers_at_once = True

    def __init__(self, context: PluginContext, regular_maintenance: bool) -> None:
        self._context = context
        self.keeps_regular = regular_maintenance

    @hookimpl
    def check_request(self, request: Request) -> None:
        """The first reason of ACC-01 that concerns the tenant as a whole."""
        decision = self._standings().decide(request.caller.tenant, regular_maintenance=self.keeps_regular)
        if decision.reason is not None:
            raise self._answer(decision.reason, decision.retry_at)

    @hookimpl
    def check_change(self, change: Change) -> None:
        """Refused data is neither written, moved, copied nor deleted, nor is anything put among it (TKD-02)."""
        tenant = change.caller.tenant
        refused = self._standings().is_refused(tenant, change.path, with_members=change.verb in _WHOLE)
        if change.destination is not None:
            refused = refused or self._standings().is_refused(tenant, change.destination, with_members=True)
        if refused:
            raise TakenDown(policy=self._context.name, clause="TKD-02")

    @hookimpl
    def check_download(self, caller: Caller, node: Node) -> None:
        if self._standings().is_refused_node(caller.tenant, node.id):
            raise TakenDown(policy=self._context.name, clause="TKD-02")

    def _standings(self) -> Any:
        # a function: plugins are made, and their attributes looked at, before the services are there
        return self._context.services.standings

    def _answer(self, reason: str, retry_at: int | None) -> KuradoError:
        """ACC-02. The message is the same for all grounds; the record of refusals has the rule."""
        clause = _RULES[reason]
        if reason not in ("INTERRUPTED", "MAINTENANCE"):
            return TenantSuspended("access is not possible", policy=self._context.name, clause=clause)
        kind = Interrupted if reason == "INTERRUPTED" else Maintenance
        error = kind("the service cannot be used now", policy=self._context.name)
        error.clause = clause
        error.retry_after = None if retry_at is None else max(1, -((self._context.clock() - retry_at) // 1000))
        return error
