"""The audit log: every privileged act in one chain that nothing can be taken from (RULES P-6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from gateway.domain.acts import Act, ChainFault, check_chain
from gateway.domain.tenant import Tenant
from gateway.service.contracts.book import Actor
from gateway.service.unit_of_work import Database

_BATCH = 2000


class Audit:
    def __init__(self, db: Database, clock: Callable[[], int]) -> None:
        self._db = db
        self._clock = clock

    def verify(self, head: str | None = None) -> tuple[int, str, ChainFault | None]:
        """(acts recorded, digest at the end, first fault). ``head`` is a digest noted earlier, elsewhere."""
        count = self._db.read(lambda tx: tx.acts.count())
        end, fault = check_chain(self._until(count), count, head)
        return count, end, fault

    def acts(self, tenant: Tenant | None = None, after: int = 0) -> Iterator[Act]:
        """All acts in order, or those about one tenant."""
        if tenant is not None:
            found = self._db.read(lambda tx: tx.acts.of_tenant(tenant.id))
            yield from (act for act in found if act.seq > after)
            return
        while batch := self._db.read(lambda tx, seq=after: tx.acts.after(seq, _BATCH)):  # type: ignore[misc]
            yield from batch
            after = batch[-1].seq

    def note(
        self,
        actor: Actor,
        kind: str,
        subject: str,
        rule: str,
        tenant: Tenant | None = None,
        data: Mapping[str, object] | None = None,
    ) -> Act:
        """Records a privileged act that has no service of its own, such as an export of the log (PRV-01)."""
        role, told = str(actor.role), dict(data or {})
        act = Act(subject, kind, self._clock(), actor.name, role, rule, tenant.id if tenant else 0, data=told)
        return self._db.write(lambda tx: tx.acts.append(act)).result()

    def _until(self, count: int) -> Iterator[Act]:
        """The acts up to one: those that are added meanwhile are left for the next look."""
        for act in self.acts():
            if act.seq > count:
                return
            yield act
