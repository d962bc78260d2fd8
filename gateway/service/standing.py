"""What stands between a tenant and its data, as of now: contracts, windows and takedowns folded from the acts.

A request costs at most one tiny read, at most three times a second: whether an act was added. Only new acts are folded.
What was looked at longer ago is not believed, so that every gate has a new act within a second, and a database that
does not answer refuses rather than lets a stopped tenant live on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date

from gateway.domain.calendar import jst_date
from gateway.domain.contract.access import Call, Decision, Operation, Standing, access_decision
from gateway.domain.contract.records import PREFIX, Contract, after
from gateway.domain.contract.takedowns import Takedown, Takedowns
from gateway.domain.contract.values import SEED, ContractValues
from gateway.domain.contract.windows import Windows
from gateway.domain.names import Path
from gateway.domain.tenant import Tenant
from gateway.domain.terms import Plans
from gateway.service.refused import is_refused
from gateway.service.unit_of_work import Database, Tx

MAX_AGE = 300  # ms
_SERVED = Call(Operation.READ)
_IS_OPEN, _IS_CLOSED = Standing(start_date=date(1970, 1, 1)), Standing()
_BATCH = 5000


@dataclass(frozen=True)
class State:
    """Everything that the first ``seq`` acts say."""

    seq: int = 0
    contracts: dict[str, Contract] = field(default_factory=dict)
    of_tenant: dict[int, Contract] = field(default_factory=dict)
    windows: Windows = field(default_factory=Windows)
    takedowns: Takedowns = field(default_factory=Takedowns)


class Standings:
    """``required``: a tenant without a contract is served only if it is a demo tenant (SVC-01). ``values_of`` gives the
    constants of the terms for a contract on a day."""

    def __init__(
        self,
        db: Database,
        clock: Callable[[], int],
        *,
        required: bool = False,
        values_of: Callable[[Contract | None, date], ContractValues] = lambda _contract, _day: SEED,
    ) -> None:
        self._db = db
        self._clock = clock
        self.required = required
        self.values_of = values_of
        self._lock = threading.Lock()
        self._state = State()
        self._read_at = -(10**18)
        self._days: dict[int, tuple[Contract, date, Standing]] = {}

    def now(self) -> State:
        """The state, not older than ``MAX_AGE``. BackendUnavailable."""
        if not 0 <= self._clock() - self._read_at < MAX_AGE:
            self.refresh()
        return self._state

    def refresh(self) -> None:
        """Folds the acts that were added since the last look. BackendUnavailable."""
        with self._lock:
            asked_at, before = self._clock(), self._state
            while True:
                state = self._db.read(lambda tx, seq=self._state.seq: _newer(tx, self._state, seq))  # type: ignore[misc]
                if state.seq == self._state.seq:
                    break
                self._state = state
            if self._state is not before:
                self._days.clear()
            self._read_at = asked_at

    def forget(self) -> None:
        """This process recorded an act: the next question looks at once."""
        self._read_at = -(10**18)

    def contracts(self) -> list[Contract]:
        """All contracts, by name."""
        return sorted(self.now().contracts.values(), key=lambda one: one.name)

    def decide(self, tenant: Tenant, *, regular_maintenance: bool = False) -> Decision:
        """Whether a tenant's calls are served at all, by the order of ACC-01.

        ``regular_maintenance``: whether the regular windows (OPS-02) refuse calls of tenants under contract.
        """
        state, now = self.now(), self._clock()
        contract = state.of_tenant.get(tenant.id)
        standing = self._of_contract(tenant, contract, jst_date(now))
        maintenance, interruptions = state.windows.maintenance_of(tenant.id), state.windows.interruptions_of(tenant.id)
        if regular_maintenance and contract:
            maintenance += state.windows.regular_around(now)
        if maintenance or interruptions:
            standing = replace(standing, interruptions=interruptions, maintenance=maintenance)
        return access_decision(standing, _SERVED, now)

    def features(self, tenant: Tenant, plans: Plans) -> frozenset[str]:
        """The functions that the plan of its contract has today, without those that were discontinued (LIM-02, DSC-04);
        of a tenant without a contract, those of its plan in ``plans``."""
        contract = self.now().of_tenant.get(tenant.id)
        if contract is None:
            return frozenset(plans.get(tenant.plan).features)
        return self._of_contract(tenant, contract, jst_date(self._clock())).features

    def _of_contract(self, tenant: Tenant, contract: Contract | None, today: date) -> Standing:
        if contract is None:
            is_open = tenant.demo or not self.required
            return _IS_OPEN if is_open else _IS_CLOSED
        known = self._days.get(tenant.id)
        if known is None or known[0] is not contract or known[1] != today:
            known = self._days[tenant.id] = (contract, today, contract.standing(today, self.values_of(contract, today)))
        return known[2]

    # -- takedowns ----------------------------------------------------------------------------------------------------

    def takedowns(self, tenant: Tenant) -> tuple[Takedown, ...]:
        """Those that stand: nearly always none."""
        return self.now().takedowns.standing(tenant.id)

    def is_refused(self, tenant: Tenant, path: Path, *, with_members: bool = False) -> bool:
        """Whether what is at a path is refused data; ``with_members``: or anything below it (TKD-02)."""
        standing = self.takedowns(tenant)
        if not standing:
            return False
        return self._db.read(lambda tx: is_refused(tx, standing, path, with_members=with_members))

    def is_refused_node(self, tenant: Tenant, node_id: int) -> bool:
        """The same for a node, wherever it is."""
        if not self.takedowns(tenant):
            return False
        path = self._db.read(lambda tx: tx.nodes.path_of(node_id))
        return path is not None and self.is_refused(tenant, path)


def _newer(tx: Tx, state: State, seq: int) -> State:
    if tx.acts.count() == seq:
        return state
    contracts, of_tenant = dict(state.contracts), dict(state.of_tenant)
    windows, takedowns = state.windows, state.takedowns
    for act in tx.acts.after(seq, _BATCH):
        seq = act.seq
        windows, takedowns = windows.after(act), takedowns.after(act)
        if act.subject.startswith(PREFIX):
            name = act.subject.removeprefix(PREFIX)
            changed = after(contracts.get(name), act)
            if changed is not None:
                contracts[name] = changed
                if changed.tenant_id:
                    of_tenant[changed.tenant_id] = changed
    return State(seq, contracts, of_tenant, windows, takedowns)
