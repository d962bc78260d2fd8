"""Reads the chain of acts and queues the notices that follow (domain/notice_sources.py), each act once, in order.

The place up to which the chain was read is kept with what was queued, in one transaction; and a notice's id names its
act, so that even reading an act again queues nothing twice. After a restore from the replica, which has the acts but
not that place, it is found from the notices themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from gateway.domain.acts import Act
from gateway.domain.contract.records import Contract
from gateway.domain.notice import PREFIX
from gateway.domain.notice_sources import SOURCES, Params, Source, View, recipients
from gateway.service.notices.book import Notices
from gateway.service.notices.following import Following
from gateway.service.unit_of_work import Database, Tx

_CURSOR = "notices.cursor"
_BATCH, _AT_ONCE = 500, 100

log = logging.getLogger("kurado.notices")


class Deriving:
    """The steward's job. ``view`` tells what stands now; ``following`` does what follows from a sent notice."""

    def __init__(self, db: Database, notices: Notices, view: Callable[[], View], following: Following) -> None:
        self._db = db
        self._notices = notices
        self._view = view
        self._following = following
        self._seq: int | None = None

    def run(self) -> bool:
        """Handles up to a batch of acts; returns whether there may be more."""
        if self._seq is None:
            self._seq = self._db.read(kept_place)
        seq = self._seq
        acts = self._db.read(lambda tx: tx.acts.after(seq, _BATCH) if tx.acts.count() > seq else [])
        if not acts:
            return False
        for act in acts:
            if act.kind in SOURCES:
                self._tell(act)
            elif act.subject.startswith(PREFIX):
                self._following.after(act)
        last = acts[-1].seq
        self._db.write(lambda tx: tx.system.set_meta(_CURSOR, str(last))).result()
        self._seq = last
        return True

    def _tell(self, act: Act) -> None:
        """Queues what is told of an act: to many customers in several transactions, so that no writer is held up."""
        view = self._view()
        for source in SOURCES[act.kind]:
            params = source.params(act, view)
            if params is not None:
                self._queue(act, source, params, view)

    def _queue(self, act: Act, source: Source, params: Params, view: View) -> None:
        key = f"{act.seq}" if source.once is None else f"{source.kind}.{source.once(act)}"
        whom = recipients(source, act, view)
        if source.to_operators and not self._notices.letters.settings.operators:
            return
        for begin in range(0, len(whom), _AT_ONCE):
            some = whom[begin : begin + _AT_ONCE]

            def queue(tx: Tx, some: Sequence[Contract | None] = some) -> None:
                for contract in some:
                    self._notices.queue(tx, key, source.kind, contract, params, act.seq)

            self._db.write(queue).result()


def kept_place(tx: Tx) -> int:
    kept = tx.system.get_meta(_CURSOR)
    if kept is not None:
        return min(int(kept), tx.acts.count())
    causes = [act.data["cause"] for act in tx.acts.of_prefix(PREFIX) if act.kind == "notice.queued"]
    return max(max(causes, default=0) - 1, 0)
