"""contract_state: what stands between a tenant and its data is enforced on every call (ACC-01, ACC-02, TKD-02).

Contracts, interruptions, maintenance windows and takedowns live in the core (``kurado contract``, ``interruption``,
``maintenance``, ``takedown``); this plugin asks what they say now and answers with it. Without it in gateway.yaml no
contract can be registered. Settings: ``regular_maintenance``, ``functions``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from gateway.domain.contract.access import Call, Operation, Standing, access_decision
from gateway.domain.errors import Interrupted, KuradoError, Maintenance, TakenDown, TenantSuspended
from gateway.domain.fields import Fields, boolean, one_of, texts
from gateway.domain.node import Node
from gateway.domain.tenant import Caller, Tenant
from gateway.hooks import Change, PluginContext, Request, hookimpl

_WHOLE = ("move", "copy", "delete")
"""Changes that touch everything below a collection."""

FUNCTIONS: Mapping[str, Callable[[str], bool]] = {
    "locks": lambda verb: verb == "LOCK",
    "s3": lambda verb: not verb.isupper(),  # operations of S3 are named GetObject, methods of WebDAV GET
}
"""Functions that can be made features of plans → whether a call by that verb uses it."""

_RULES = {
    "STOPPED": "ANT-01",
    "NOT_STARTED": "APP-05",
    "ENDED": "END-07",
    "SUSPENDED": "LIM-04",
    "INTERRUPTED": "INT-01",
    "MAINTENANCE": "OPS-04",
    "FUNCTION_LIMIT": "LIM-02",
}


def create(context: PluginContext) -> ContractState:
    """The entry point. ``regular_maintenance``: whether the 1st and 3rd Monday 02:00–06:00 JST (OPS-02) refuse calls of
    tenants under contract; only those do that were posted before they began, which the steward does by itself.
    ``functions``: those of FUNCTIONS that only plans with the feature of that name have (LIM-02)."""
    keys = Fields(context.settings)
    regular = keys.take("regular_maintenance", boolean, True)
    none: tuple[str, ...] = ()
    functions = keys.take("functions", _functions, none)
    keys.done()
    return ContractState(context, regular, functions)


def _functions(value: object) -> tuple[str, ...]:
    known = one_of(*FUNCTIONS)
    return tuple(known(one) for one in texts(value))


class ContractState:
    enforces_contracts = True
    answers_at_once = True

    def __init__(self, context: PluginContext, regular_maintenance: bool, functions: tuple[str, ...] = ()) -> None:
        self._context = context
        self._functions = functions
        self.keeps_regular = regular_maintenance

    @hookimpl
    def check_request(self, request: Request) -> None:
        """The first reason of ACC-01 that concerns the tenant as a whole."""
        decision = self._standings().decide(request.caller.tenant, regular_maintenance=self.keeps_regular)
        if decision.reason is not None:
            raise self._answer(decision.reason, decision.retry_at)
        for function in self._functions:
            if FUNCTIONS[function](request.caller.verb):
                self._check_function(request.caller.tenant, function)

    def _check_function(self, tenant: Tenant, function: str) -> None:
        """LIM-02: a function is a feature of the plan, or is refused."""
        features = self._standings().features(tenant, self._context.policy("plans", tenant))
        open_to_all = Standing(start_date=date.min, features=features)
        call = Call(Operation.READ, feature=function)
        decision = access_decision(open_to_all, call, self._context.clock())
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
