"""Notices that no act makes: what comes, what has ended, what fills up, and what operators must look at."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from gateway.domain.contract.records import Contract, ended_on, erasable_from
from gateway.domain.contract.windows import ServiceWindow
from gateway.domain.notice import OPERATORS
from gateway.domain.notice_sources import View, is_in_use
from gateway.domain.tenant import Limits, Tenant
from gateway.service.notices.book import ALARM as NOTICE_ALARM
from gateway.service.notices.book import Notices
from gateway.service.notices.sending import ALARM as MAIL_ALARM
from gateway.service.stored import Alarm
from gateway.service.unit_of_work import Database

DAY_MS = 86_400_000
MAINTENANCE_LEAD_DAYS = 7
"""Days before a regular window at which customers are told by mail; on the board it stands for a month (OPS-02)."""

CAPACITY_PERCENT = (95, 80)
EVERY_MS = 20_000


@dataclass(frozen=True, slots=True)
class _Due:
    """A notice that is due: ``key`` as in :meth:`Notices.queue`; ``contract`` None: to the operators."""

    key: str
    kind: str
    contract: Contract | None
    params: Mapping[str, Any]


class Timely:
    """The steward's job. ``retention_days`` of the data of a contract that ended; ``limits`` of a tenant."""

    def __init__(
        self,
        db: Database,
        clock: Callable[[], int],
        notices: Notices,
        view: Callable[[], View],
        regular: Callable[[], Mapping[str, ServiceWindow]],
        limits: Callable[[Tenant], Limits],
        retention_days: Callable[[Contract], int],
    ) -> None:
        self._db = db
        self._clock = clock
        self._notices = notices
        self._view = view
        self._regular = regular
        self._limits = limits
        self._retention_days = retention_days
        self._known: set[tuple[str, str]] = set()
        self._looked_at = -(10**18)

    def run(self) -> bool:
        """Queues what is due and was not queued before."""
        now = self._clock()
        if 0 <= now - self._looked_at < EVERY_MS:
            return False
        view = self._view()
        for due in (*self._maintenance(view), *self._ended(view), *self._capacity(view), *self._alarms()):
            self._queue(due)
        self._looked_at = now
        return False

    def _queue(self, due: _Due) -> None:
        whom = due.contract.name if due.contract else ""
        if (due.key, whom) in self._known:
            return
        if not self._db.read(lambda tx: self._notices.is_queued(tx, due.key, due.contract)):
            self._db.write(lambda tx: self._notices.queue(tx, due.key, due.kind, due.contract, due.params)).result()
        self._known.add((due.key, whom))

    def _maintenance(self, view: View) -> list[_Due]:
        """OPS-02, INT-02 (D-35): mail besides the board."""
        found = []
        for one in self._regular().values():
            if one.closed or one.end is None or not view.now < one.start <= view.now + MAINTENANCE_LEAD_DAYS * DAY_MS:
                continue
            params = {"window": one.id, "start": one.start, "end": one.end}
            found += [
                _Due(f"maintenance_regular.{one.id}", "maintenance_regular", contract, params)
                for contract in view.contracts.values()
                if is_in_use(contract, view)
            ]
        return found

    def _ended(self, view: View) -> list[_Due]:
        """END-07 (D-53): the contract is over, its data is kept for a while."""
        found = []
        for contract in view.contracts.values():
            if contract.erased or not contract.tenant_id:
                continue
            ended = ended_on(contract, view.today, view.values(contract))
            # what ended long ago (a restore, a first start with notices) is not told any more
            if ended is None or view.today - ended > timedelta(days=30):
                continue
            kept = erasable_from(ended, self._retention_days(contract)) - timedelta(days=1)
            params = {"ended_on": ended.isoformat(), "kept_until": kept.isoformat()}
            found.append(_Due(f"contract_ended.{ended}", "contract_ended", contract, params))
        return found

    def _capacity(self, view: View) -> list[_Due]:
        """LIM-01: once a month for each mark, the higher one only."""
        found = []
        for tenant in self._db.read(lambda tx: tx.tenants.all()):
            contract = view.of_tenant.get(tenant.id)
            limit = self._limits(tenant).bytes if contract else None
            if contract is None or not limit or not is_in_use(contract, view):
                continue
            percent = next((mark for mark in CAPACITY_PERCENT if tenant.used_bytes * 100 >= limit * mark), None)
            if percent is None:
                continue
            params = {"percent": percent, "used": tenant.used_bytes, "limit": limit}
            found.append(_Due(f"capacity.{percent}.{view.today:%Y-%m}", "capacity", contract, params))
        return found

    # -- operators ----------------------------------------------------------------------------------------------------

    def _alarms(self) -> list[_Due]:
        """Each alarm once, to the operators. That the mail server is away cannot be told by mail."""
        if not self._notices.letters.settings.operators:
            return []
        alarms = self._db.read(lambda tx: tx.system.alarms())
        return [_task(one) for one in alarms if one.kind != MAIL_ALARM and not _is_about_operators(one)]


def _task(alarm: Alarm) -> _Due:
    mark = hashlib.sha256(f"{alarm.kind}\n{alarm.subject}\n{alarm.raised_at}".encode()).hexdigest()[:16]
    params = {
        "subject_ja": f"確認が必要です：{alarm.kind} {alarm.subject}",
        "subject_en": f"please look: {alarm.kind} {alarm.subject}",
        "text_ja": alarm.message,
        "text_en": alarm.message,
    }
    return _Due(f"alarm.{mark}", "operator_task", None, params)


def _is_about_operators(alarm: Alarm) -> bool:
    """A mail to the operators that came back is not told by another one."""
    return alarm.kind == NOTICE_ALARM and alarm.subject.endswith(OPERATORS)
