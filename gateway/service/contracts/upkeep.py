"""What falls due by the calendar: granted plans and revisions come into force, deadlines are reminded of, data is
erased after its retention (CHG-01, REV, TERM-08, D-53)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, timedelta

from gateway.domain.calendar import jst_date
from gateway.domain.contract.deadlines import next_deadline
from gateway.domain.contract.records import Contract, ended_on, erasable_from
from gateway.domain.errors import NotFound
from gateway.domain.tenant import Tenant, TenantState
from gateway.service.accounts import Accounts
from gateway.service.contracts.book import SYSTEM, ContractBook, Decision
from gateway.service.contracts.revisions import Revisions

log = logging.getLogger("kurado.contracts")


class Upkeep:
    """``contracts`` gives all contracts as they are now."""

    def __init__(
        self, book: ContractBook, accounts: Accounts, revisions: Revisions, contracts: Callable[[], list[Contract]]
    ) -> None:
        self._book = book
        self._revisions = revisions
        self._seen: dict[str, tuple[Contract, date]] = {}
        self._accounts = accounts
        self._contracts = contracts

    def run(self) -> bool:
        """Does what is due; returns whether it did anything. Each step may be done again without harm."""
        contracts, today = self._contracts(), jst_date(self._book.clock())
        done = False
        for contract in contracts:
            seen = (contract, today)
            if self._seen.get(contract.name) == seen or not contract.tenant_id or contract.erased:
                continue
            if self._plan(contract) or self._remind(contract) or self._erase(contract):
                done = True
            else:  # nothing more falls due today, unless an act changes the contract
                self._seen[contract.name] = seen
        done = self._revisions.extend_due(contracts, SYSTEM) or done
        return self._revisions.apply_due(SYSTEM) or done

    def _remind(self, contract: Contract) -> bool:
        """One reminder for each of the days that the terms name before a deadline, the nearest where several passed."""
        now = self._book.clock()
        today = jst_date(now)
        values = self._book.values(contract, now)
        deadline = next_deadline(contract, today, values)
        if deadline is None or contract.state(now, values) not in ("active", "suspended"):
            return False
        reached = [lead for lead in values.reminder_lead_days if deadline.by - timedelta(days=lead) <= today]
        if not reached or (deadline.by.isoformat(), min(reached)) in contract.reminders:
            return False
        data = {
            "deadline": deadline.kind,
            "by": deadline.by.isoformat(),
            "last_day": deadline.last_day.isoformat(),
            "lead_days": min(reached),
        }
        self._book.act(
            contract.name, SYSTEM, lambda _contract, _now: Decision("contract.reminded", "TERM-08", data=data)
        )
        return True

    def _plan(self, contract: Contract) -> bool:
        plan = contract.plan_on(jst_date(self._book.clock()))
        tenant = self._tenant(contract)
        if plan is None or tenant is None or tenant.plan == plan.plan:
            return False
        self._accounts.set_plan(contract.tenant, plan=plan.plan, who=SYSTEM.name)
        log.info("a plan came into force", extra={"contract": contract.name, "plan": plan.plan})
        return True

    def _erase(self, contract: Contract) -> bool:
        now = self._book.clock()
        ended = ended_on(contract, jst_date(now), self._book.values(contract, now))
        if ended is None:
            return False
        tenant = self._tenant(contract)
        kept = self._book.values(contract, now).retention_after_end_days
        if jst_date(now) < erasable_from(ended, kept):
            return False
        if tenant is not None:
            self._accounts.remove(contract.tenant, who=SYSTEM.name)
        data = {"ended_on": ended.isoformat(), "retention_days": kept}
        self._book.act(contract.name, SYSTEM, lambda _contract, _now: Decision("contract.erased", "END-07", data=data))
        log.warning("the data of an ended contract is erased", extra={"contract": contract.name})
        return True

    def _tenant(self, contract: Contract) -> Tenant | None:
        try:
            tenant = self._accounts.tenant(contract.tenant)
        except NotFound:
            return None
        return None if tenant.state is TenantState.REMOVED else tenant
