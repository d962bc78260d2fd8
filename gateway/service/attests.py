"""Daily attests that every customer's backup is complete and verified (RULES SLA-DP-02, D-59), each as an act."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date
from gateway.domain.contract.backups import BACKUP, BackupLog
from gateway.domain.errors import NotFound
from gateway.service.contracts.book import Actor, require
from gateway.service.folded import Folded
from gateway.service.unit_of_work import Database, Tx


class Attests:
    def __init__(self, db: Database, clock: Callable[[], int]) -> None:
        self._db = db
        self._clock = clock
        self._folded: Folded[BackupLog] = Folded(db, BackupLog(), BackupLog.after, BACKUP)

    def log(self) -> BackupLog:
        """On which JST days whose backup was attested."""
        return self._folded.now()

    def by_hand(self, actor: Actor, day: date, tenants: Sequence[str], evidence: str) -> int:
        """Attests a backup that was made by other means than a plugin, of these tenants or of all; returns of how many
        it was not attested yet."""
        require(day <= jst_date(self._clock()), "the day of a backup lies in the future", "P-6")
        require(bool(evidence.strip()), "say what shows that the backup is complete and verified", "SLA-DP-02")

        def work(tx: Tx) -> int:
            known = {one.name: one.id for one in tx.tenants.all()}
            missing = [name for name in tenants if name not in known]
            if missing:
                raise NotFound(f"there is no tenant {missing[0]!r}")
            return _record(tx, actor, self._clock(), day, {known[name] for name in tenants or known}, evidence)

        return self._db.write(work).result()

    def record(self, actor: Actor, day: date, tenants: set[int], evidence: str) -> int:
        """The same by tenant ids, for the steward."""
        return self._db.write(lambda tx: _record(tx, actor, self._clock(), day, tenants, evidence)).result()


def _record(tx: Tx, actor: Actor, now: int, day: date, tenants: set[int], evidence: str) -> int:
    """Attests the backup of those that are not attested on that day yet; returns of how many."""
    log = BackupLog()
    for act in tx.acts.of_subject(f"{BACKUP}{day.isoformat()}"):
        log = log.after(act)
    fresh = sorted(tenants - log.attested(day))
    if fresh:
        tx.acts.append(
            Act(
                f"{BACKUP}{day.isoformat()}",
                "backup.attested",
                now,
                actor.name,
                str(actor.role),
                "SLA-DP-02",
                tenant_id=fresh[0] if len(fresh) == 1 else 0,
                data={"day": day.isoformat(), "tenants": fresh, "evidence": evidence},
            )
        )
    return len(fresh)
