"""The steward's daily round of backups: asks the plugins that keep them, attests each customer's once a JST day, and
opens an incident for the days without (RULES SLA-DP-02, D-59)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta

from gateway.domain.calendar import jst_date, jst_midnight
from gateway.domain.contract.incidents import IncidentKind
from gateway.domain.contract.records import Contract, ended_on
from gateway.service.attests import Attests
from gateway.service.contracts.book import SYSTEM
from gateway.service.incidents import Finding, Incidents, Scope
from gateway.service.standing import Standings
from gateway.service.unit_of_work import Database

JUDGED = "sla.backups_judged"
AGAIN_MS = 600_000
_DAY = timedelta(days=1)

BackupState = Callable[[], Mapping[int, str]]
"""What a plugin that keeps backups answers: tenant id → what shows that its backup is complete and was verified, for
those of which both is so now. Whatever it raises: none can be attested now."""

log = logging.getLogger("kurado.backups")


class Backups:
    """``sources`` gives the plugins that keep backups, by name."""

    def __init__(
        self,
        db: Database,
        clock: Callable[[], int],
        attests: Attests,
        incidents: Incidents,
        standings: Standings,
        sources: Callable[[], Mapping[str, BackupState]],
    ) -> None:
        self._db = db
        self._clock = clock
        self._attests = attests
        self._incidents = incidents
        self._standings = standings
        self._sources = sources
        self._nothing_left: tuple[date, int] | None = None
        self._asked: dict[str, tuple[date, int]] = {}

    def run(self) -> bool:
        """Attests what can be attested today, and judges the days that are over."""
        today = jst_date(self._clock())
        seen = today, self._standings.now().seq
        if seen != self._nothing_left:
            if not self._attest(today):
                self._nothing_left = seen
            self._judge(today)
        return False

    def _attest(self, today: date) -> set[int]:
        """Returns those whose backup cannot be attested yet."""
        waiting = self._customers(today) - self._attests.log().attested(today)
        for name, state in self._sources().items() if waiting else ():
            if not self._may_ask(name, today):
                continue
            try:
                found = state()
            except Exception as error:
                log.warning("a backup cannot be attested", extra={"plugin": name, "reason": str(error)})
                continue
            for evidence in sorted({found[one] for one in waiting & set(found)}):
                ids = {one for one in waiting if found.get(one) == evidence}
                self._attests.record(SYSTEM, today, ids, f"{name}: {evidence}")
                waiting -= ids
        return waiting

    def _may_ask(self, name: str, today: date) -> bool:
        """Whether it is time to ask a plugin, on a new day or again: its answer may have cost it much."""
        now = self._clock()
        day, at = self._asked.get(name, (date.min, 0))
        if day == today and 0 <= now - at < AGAIN_MS:
            return False
        self._asked[name] = today, now
        return True

    def _judge(self, today: date) -> None:
        """A day without a backup is an incident (D-59); days in a row for the same customers are one."""
        yesterday = today - _DAY
        text = self._db.read(lambda tx: tx.system.get_meta(JUDGED))
        if text is None:
            self._note(yesterday)  # what was before this gateway attested at all cannot be judged
            return
        day = date.fromisoformat(text) + _DAY
        if day > yesterday:
            return
        for first, last, missing in _in_a_row(self._missing(day, yesterday)):
            span = str(first) if first == last else f"{first} to {last}"
            finding = Finding(
                IncidentKind.BACKUP,
                f"no complete, verified backup on {span}",
                Scope(tenants=sorted(missing), components=["backup"], full_stop=False),
                source=f"backup.{first}",
                days=(first.isoformat(), last.isoformat()),
            )
            over_at = min(jst_midnight(last + _DAY), self._clock())
            self._incidents.began(finding, over_at)
            self._incidents.over(finding.source, over_at, recovers=True)
        self._note(yesterday)

    def _missing(self, day: date, last: date) -> Iterable[tuple[date, frozenset[int]]]:
        while day <= last:
            yield day, frozenset(self._customers(day) - self._attests.log().attested(day))
            day += _DAY

    def _customers(self, day: date) -> set[int]:
        return {one.tenant_id for one in self._standings.contracts() if self._in_use(one, day)}

    def _in_use(self, contract: Contract, day: date) -> bool:
        if not contract.tenant_id or contract.erased or contract.start_date is None or contract.start_date > day:
            return False
        return ended_on(contract, day, self._standings.values_of(contract, day)) is None

    def _note(self, day: date) -> None:
        self._db.write(lambda tx: tx.system.set_meta(JUDGED, day.isoformat())).result()


def _in_a_row(days: Iterable[tuple[date, frozenset[int]]]) -> Iterable[tuple[date, date, frozenset[int]]]:
    """First day, last day and who, of the days on which the same customers had no backup."""
    run: tuple[date, date, frozenset[int]] | None = None
    for day, missing in days:
        if run is not None and run[2] == missing:
            run = (run[0], day, missing)
            continue
        if run is not None and run[2]:
            yield run
        run = (day, day, missing)
    if run is not None and run[2]:
        yield run
