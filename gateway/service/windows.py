"""Interruptions (INT-01) and maintenance (OPS-02 to OPS-04): opened, announced, extended and closed, each as an act."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date, jst_midnight
from gateway.domain.contract.windows import (
    INTERRUPTION,
    INTERRUPTION_GROUNDS,
    MAINTENANCE,
    REGULAR,
    ServiceWindow,
    Windows,
    regular_id,
)
from gateway.domain.errors import ActRefused, NotFound
from gateway.service.contracts.book import SYSTEM, Actor, require
from gateway.service.standing import Standings
from gateway.service.unit_of_work import Database, Tx

T = TypeVar("T")


POST_AHEAD_DAYS = 45
"""How far ahead regular windows are posted: OPS-02 asks for one month at least."""


class ServiceWindows:
    """``is_enforced`` tells whether anything on this gateway refuses calls in a window, ``keeps_regular`` whether also
    in the regular ones."""

    def __init__(
        self,
        db: Database,
        clock: Callable[[], int],
        standings: Standings,
        is_enforced: Callable[[], bool],
        keeps_regular: Callable[[], bool] = lambda: True,
    ) -> None:
        self._db = db
        self._clock = clock
        self._standings = standings
        self._is_enforced = is_enforced
        self.keeps_regular = keeps_regular

    def all(self) -> Windows:
        return self._standings.now().windows

    # -- regular maintenance ------------------------------------------------------------------------------------------

    def regular(self) -> list[ServiceWindow]:
        """The regular windows from today on that were posted (OPS-02)."""
        today = jst_midnight(jst_date(self._clock()))
        return [one for one in self.all().regular.values() if one.start >= today]

    def post_regular(self) -> bool:
        """Posts the regular windows of the next weeks on the board, where they are kept (OPS-02). Returns whether there
        were any to post. For the steward."""
        if not (self._is_enforced() and self.keeps_regular()):
            return False
        now = self._clock()
        values = self._standings.values_of(None, jst_date(now))
        if not self.all().unposted(now, POST_AHEAD_DAYS, values):
            return False

        def work(tx: Tx) -> bool:
            waiting = _fold(tx).unposted(now, POST_AHEAD_DAYS, values)
            for one in waiting:
                data = {"start": one.start, "end": one.end, "reason": "regular maintenance", "channel": _BOARD}
                subject = MAINTENANCE + regular_id(one)
                act = Act(subject, "maintenance.posted", now, SYSTEM.name, str(SYSTEM.role), "OPS-02", data=data)
                tx.acts.append(act)
            return bool(waiting)

        return self._write(work)

    # -- maintenance --------------------------------------------------------------------------------------------------

    def announce(self, actor: Actor, start: int, end: int, reason: str, tenants: Sequence[str] = ()) -> ServiceWindow:
        """Posts an ad-hoc window on the board and enforces it from ``start`` to ``end`` (OPS-03, OPS-04).

        A post after the start is void for the SLA (SLA-MNT-02); a window in the past is refused.
        """
        self._check_enforced()
        require(end > start, "a window ends after it begins", "OPS-04")
        require(end > self._clock(), "the window is over already", "SLA-MNT-02")

        def work(tx: Tx) -> ServiceWindow:
            name = f"M{len(_fold(tx).maintenance) + 1}"
            data = {"start": start, "end": end, "reason": reason, "tenants": _ids(tx, tenants), "channel": _BOARD}
            windows = self._record(tx, actor, MAINTENANCE + name, "maintenance.announced", "OPS-03", data)
            return windows.maintenance[name]

        return self._write(work)

    def extend(self, actor: Actor, name: str, end: int) -> ServiceWindow:
        """Posts a later end. After the start it counts as unannounced time (SLA-MNT-02, SLA-MNT-04)."""

        def work(tx: Tx) -> ServiceWindow:
            old = _window(_fold(tx).maintenance, name)
            require(not old.closed, f"{name} is closed", "OPS-04")
            require(old.end is not None and end > old.end, "an extension ends later than before", "OPS-04")
            tenants = sorted(old.tenants)
            data = {"start": old.start, "end": end, "reason": old.reason, "tenants": tenants, "channel": _BOARD}
            windows = self._record(tx, actor, MAINTENANCE + name, "maintenance.extended", "SLA-MNT-02", data)
            return windows.maintenance[name]

        return self._write(work)

    def close_maintenance(self, actor: Actor, name: str) -> None:
        """Opens the service early, for a regular window too (OPS-04)."""
        now = self._clock()

        def work(tx: Tx) -> None:
            known = _fold(tx)
            old = _window(known.regular if name.startswith(REGULAR) else known.maintenance, name)
            require(not old.closed and (old.end or now) >= now, f"{name} is over already", "OPS-04")
            self._record(tx, actor, MAINTENANCE + name, "maintenance.closed", "OPS-04", {"at": now})

        self._write(work)

    # -- interruption -------------------------------------------------------------------------------------------------

    def interrupt(
        self,
        actor: Actor,
        ground: str,
        reason: str,
        start: int | None = None,
        end: int | None = None,
        tenants: Sequence[str] = (),
    ) -> ServiceWindow:
        """Interrupts the service for all or some tenants, without prior notice, on a ground of §10(1) (INT-01)."""
        self._check_enforced()
        now = self._clock()
        begin = now if start is None else start
        require(ground in INTERRUPTION_GROUNDS, f"the grounds are {', '.join(INTERRUPTION_GROUNDS)}", "INT-01")
        require(begin >= now, "an interruption cannot begin in the past", "P-6")
        require(end is None or end > begin, "an interruption ends after it begins", "INT-01")

        def work(tx: Tx) -> ServiceWindow:
            name = f"I{len(_fold(tx).interruptions) + 1}"
            data = {"from": begin, "to": end, "reason": reason, "tenants": _ids(tx, tenants)}
            windows = self._record(tx, actor, INTERRUPTION + name, "interruption.opened", "INT-01", data, ground)
            return windows.interruptions[name]

        return self._write(work)

    def close_interruption(self, actor: Actor, name: str) -> ServiceWindow:
        """Ends an interruption now."""
        now = self._clock()

        def work(tx: Tx) -> ServiceWindow:
            old = _window(_fold(tx).interruptions, name)
            require(not old.closed and (old.end is None or old.end > now), f"{name} is over already", "INT-01")
            windows = self._record(
                tx, actor, INTERRUPTION + name, "interruption.closed", "INT-01", {"at": max(now, old.start)}, old.ground
            )
            return windows.interruptions[name]

        return self._write(work)

    # -- common -------------------------------------------------------------------------------------------------------

    def _write(self, work: Callable[[Tx], T]) -> T:
        done = self._db.write(work).result()
        self._standings.forget()
        return done

    def _record(
        self, tx: Tx, actor: Actor, subject: str, kind: str, rule: str, data: Mapping[str, object], ground: str = ""
    ) -> Windows:
        windows = _fold(tx)
        stored = tx.acts.append(
            Act(subject, kind, self._clock(), actor.name, str(actor.role), rule, ground=ground, data=data)
        )
        return windows.after(stored)

    def _check_enforced(self) -> None:
        require(
            self._is_enforced(),
            "no plugin of gateway.yaml refuses calls in a window: add `- name: contract_state` to plugins",
            "OPS-04",
        )


_BOARD = "system_information"


def _fold(tx: Tx) -> Windows:
    """From the database itself, within the transaction: two operators cannot take the same number."""
    windows = Windows()
    for act in _all(tx):
        windows = windows.after(act)
    return windows


def _all(tx: Tx) -> Iterable[Act]:
    for prefix in (MAINTENANCE, INTERRUPTION):
        yield from tx.acts.of_prefix(prefix)


def _window(windows: Mapping[str, ServiceWindow], name: str) -> ServiceWindow:
    found = windows.get(name)
    if found is None:
        raise NotFound(f"there is no window {name!r}")
    return found


def _ids(tx: Tx, names: Sequence[str]) -> list[int]:
    ids = []
    for name in names:
        tenant = tx.tenants.get(name)
        if tenant is None:
            raise ActRefused(f"there is no tenant {name!r}", "INT-01")
        ids.append(tenant.id)
    return sorted(ids)
