"""What waits to be invoiced: told as a health fact, or issued by the steward when the policy says so.

A contract is looked at again only when an act about it, a policy or the day has changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from datetime import date, timedelta

from gateway.domain.calendar import CalendarError, Period, jst_date
from gateway.domain.contract.records import Contract
from gateway.domain.invoice import InvoiceError
from gateway.hooks import HealthFact
from gateway.service.billing.closing import Closing
from gateway.service.contracts.book import SYSTEM
from gateway.service.unit_of_work import Database, Tx

log = logging.getLogger("kurado.billing")

LATE_DAYS = 3
"""Days after which an ended period that is not closed is an alarm."""


class Waiting:
    def __init__(self, db: Database, clock: Callable[[], int], closing: Closing) -> None:
        self._db = db
        self._clock = clock
        self._closing = closing
        self._unclosed: dict[str, tuple[Hashable, Period | None]] = {}
        self._issued: dict[str, Hashable] = {}

    def overdue(self) -> list[tuple[str, Period]]:
        """Contracts of which an ended period is not closed: (name, the first such period)."""
        today, found = jst_date(self._clock()), []
        for contract, stamp in self._stamped(today):
            known = self._unclosed.get(contract.name)
            if known is None or known[0] != stamp:
                known = self._unclosed[contract.name] = stamp, self._first_unclosed(contract, today)
            if known[1] is not None:
                found.append((contract.name, known[1]))
        return found

    def health(self) -> HealthFact:
        """A period that has ended and that nobody closes: a warning, and an error (which raises an alarm) when it has
        waited for days."""
        waiting = self.overdue()
        if not waiting:
            return HealthFact("billing", "ok", "every ended period is closed", 0)
        name, period = min(waiting, key=lambda one: one[1].end)
        late = jst_date(self._clock()) - period.end > timedelta(days=LATE_DAYS)
        text = f"{len(waiting)} contracts have an ended period that is not closed, {name} since {period.end}: "
        command = f"kurado billing close --period {period.start}"
        return HealthFact("billing", "error" if late else "warning", text + command, len(waiting))

    def run(self) -> bool:
        """Issues all that is due, when the policy says that nobody has to (``closing: steward``)."""
        if not self._closing.invoicing().automatic:
            return False
        issued = 0
        for contract, stamp in self._stamped(jst_date(self._clock())):
            if self._issued.get(contract.name) == stamp:
                continue
            done = self._closing.issue_one(contract, SYSTEM)
            issued += len(done.invoices)
            if done.refused:
                log.warning("not invoiced", extra={"contract": contract.name, "reason": done.refused})
            elif not done.invoices:  # else the invoice itself is a new act: looked at once more
                self._issued[contract.name] = stamp
        return issued > 0

    def _stamped(self, today: date) -> list[tuple[Contract, Hashable]]:
        """All contracts that are billed, each with what decides whether it has to be looked at again."""

        def look(tx: Tx) -> tuple[dict[int, int], Hashable]:
            return dict(tx.acts.newest_by_tenant()), tuple(sorted(tx.policies.assignments(), key=str))

        newest, policies = self._db.read(look)
        return [(one, (newest.get(one.tenant_id), policies, today)) for one in self._closing.contracts()]

    def _first_unclosed(self, contract: Contract, today: date) -> Period | None:
        period = self._closing.newest_ended(contract, today)
        if period is None:
            return None
        try:
            waiting = self._closing.unissued(contract, period.end)
        except (CalendarError, InvoiceError):  # closing it will tell why it cannot be
            return period
        return (waiting[0].document.period or period) if waiting else None
