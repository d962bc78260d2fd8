"""Interruptions (INT-01) and maintenance (OPS-02 to OPS-04): opened, announced, extended and closed, each as an act."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date
from gateway.domain.contract.maintenance import regular_windows
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
from gateway.service.contracts.book import Actor, require
from gateway.service.standing import Standings
from gateway.service.unit_of_work import Database, Tx

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RegularWindow:
    """A regular window to come, and when it was opened again early."""

    id: str
    start: int
    end: int
    closed_at: int | None


class ServiceWindows:
    """``is_enforced`` tells whether anything on this gateway refuses calls in a window."""

    def __init__(
        self, db: Database, clock: Callable[[], int], standings: Standings, is_enforced: Callable[[], bool]
    ) -> None:
        self._db = db
        self._clock = clock
        self._standings = standings
        self._is_enforced = is_enforced

    def all(self) -> Windows:
        return self._standings.now().windows

    def regular(self, days: int = 45) -> list[RegularWindow]:
        """The regular windows from today on (OPS-02: posted at least one month ahead)."""
        today = jst_date(self._clock())
        closed = self.all().closed_regular
        found = regular_windows(today, today + timedelta(days=days), self._standings.values_of(None, today))
        return [RegularWindow(regular_id(one), one.start, one.end, closed.get(regular_id(one))) for one in found]

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
            if name.startswith(REGULAR):
                window = next((one for one in self.regular(1) if one.id == name), None)
                require(window is not None and window.start <= now < window.end, f"{name} is not under way", "OPS-04")
            else:
                old = _window(_fold(tx).maintenance, name)
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
