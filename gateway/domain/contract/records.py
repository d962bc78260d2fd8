"""A contract as its acts tell it (RULES APP, TERM, CHG, END, ANT): a pure fold, and what follows from it on a day.

The stored phase goes as far as the papers go; whether a notified contract is active, and an old one ended, follows from
the day that is asked about, and is never stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum

from gateway.domain.acts import Act
from gateway.domain.calendar import BillingCalendar, StartDayChange, jst_date, jst_midnight
from gateway.domain.contract.access import Standing, Window
from gateway.domain.contract.ending import Cancellation, Outcome, cancellation
from gateway.domain.contract.fees import FeeHistory
from gateway.domain.contract.notices import Revision, terms_in_force
from gateway.domain.contract.parts import (
    Agreed,
    Bound,
    CancellationNotice,
    Demand,
    OverloadCase,
    PlanChange,
    PriceRevision,
    agreed_data,
    agreed_from,
)
from gateway.domain.contract.term import ContractTerms
from gateway.domain.contract.term import State as TermState
from gateway.domain.contract.values import SEED, Channel, ContractValues

PREFIX = "contract:"

__all__ = [
    "PREFIX", "Agreed", "Bound", "CancellationNotice", "Contract", "Demand", "OverloadCase", "Phase", "PlanChange",
    "PriceRevision", "after", "agreed_data", "agreed_from", "closes_at", "ended_on", "erasable_from", "fold",
    "opens_at",
]  # fmt: skip


class Phase(StrEnum):
    """How far the papers are (APP-01 to APP-05)."""

    APPLIED = "applied"
    UNDER_REVIEW = "under_review"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    REGISTERED = "registered"
    NOTIFIED = "notified"


@dataclass(frozen=True)
class Contract:
    """A contract after its acts. ``start_day`` is that of the terms at acceptance (CAL-03)."""

    name: str
    phase: Phase
    route: Channel
    plan: str
    wished_start: date | None = None
    agreed: Agreed | None = None
    minimum_months: int = 0
    start_day: int = 21
    tenant_id: int = 0
    tenant: str = ""
    named_start: date | None = None
    notice_arrived_at: int | None = None
    start_day_changes: tuple[StartDayChange, ...] = ()
    changes: tuple[PlanChange, ...] = ()
    offers: tuple[date, ...] = ()
    applications: tuple[date, ...] = ()
    cancellations: tuple[CancellationNotice, ...] = ()
    demands: tuple[Demand, ...] = ()
    overloads: tuple[OverloadCase, ...] = ()
    terminated_at: int | None = None
    termination_ground: str = ""
    stop_requested_by: str = ""
    stop_reason: str = ""
    stopped: bool = False
    erased: bool = False
    bound: tuple[Bound, ...] = ()
    price_revisions: tuple[PriceRevision, ...] = ()
    has_bank_account: bool = False
    """Whether the customer lets its bank be debited (FEE-07); the account itself is in no act."""
    withdrawn_features: tuple[tuple[date, str], ...] = ()
    """(last day, function) of functions that the provider discontinued for all (DSC-04)."""
    reminders: frozenset[tuple[str, int]] = frozenset()
    """(ISO day of the deadline, days before it) of the reminders that were given (TERM-08)."""
    agreements: Mapping[str, int] = field(default_factory=dict)
    """What the terms let a written agreement say (SVC-02): ``payment`` → days after the period's start on which its
    invoice is due (FEE-03), ``notices`` → notices of every kind work on arrival (NTC-04)."""
    partner: str = ""
    """The reseller or referral shop through which the customer came, if it was named (AGT-03)."""
    follows: str = ""
    """The contract in whose place this one came (CHG-07)."""
    discontinued_on: date | None = None
    """The last day of a service that the provider discontinues (DSC-02)."""
    discontinued_for_convenience: bool = False
    """Whether it does so for its own reasons, so that paid months go back (DSC-05)."""

    # -- what follows on a day ----------------------------------------------------------------------------------------

    @property
    def start_date(self) -> date | None:
        """The first day of use, known once the start notice has arrived (APP-05, NTC-03). A notice that arrives after
        the day it names starts the use on its arrival: nothing is charged for days without use (P-1)."""
        if self.named_start is None or self.notice_arrived_at is None:
            return None
        return max(self.named_start, jst_date(self.notice_arrived_at))

    def document_on(self, kind: str, day: date) -> str | None:
        """The SHA-256 of the policy document of a kind that binds on a day; None if none was ever agreed to."""
        revisions = [one.revision for one in self.bound if one.kind == kind]
        return terms_in_force(revisions, day)[0].version if revisions else None

    @property
    def revised_on(self) -> tuple[date, ...]:
        """The days on which a revision came, or will come, into force."""
        days = {one.revision.in_force_from for one in self.bound if not one.revision.original}
        return tuple(sorted(day for day in days if day is not None))

    def terms(self, values: ContractValues = SEED) -> ContractTerms | None:
        """The calendar and terms; None until the start is known."""
        if self.start_date is None:
            return None
        calendar = BillingCalendar(self.start_date, self.start_day, self.start_day_changes)
        return ContractTerms(calendar, self.route, self.minimum_months, values)

    @property
    def fees(self) -> FeeHistory:
        assert self.agreed is not None
        return FeeHistory(self.agreed.fees, [one.billed for one in self.plans()])

    def plans(self) -> list[PlanChange]:
        """What came in place of the first plan, by day: the customer's changes, and the plan of that day at the prices
        and limits of a revision (REV-01)."""
        by_day: list[PlanChange | PriceRevision] = [*self.changes, *self.price_revisions]
        found, current = [], self.agreed
        for one in sorted(by_day, key=lambda one: one.effective_on):
            if isinstance(one, PlanChange):
                found.append(one)
            elif current is not None and current.plan in one.plans:
                found.append(PlanChange(one.effective_on, one.plans[current.plan], revised=True))
            current = found[-1].agreed if found else current
        return found

    def billed_plan(self, start: date) -> Agreed:
        """The plan that is billed in the month that starts on a day (CHG-03, REV-01); for any other period the day is
        :meth:`BillingCalendar.priced_from`."""
        assert self.agreed is not None
        current = self.agreed
        for one in self.plans():
            if one.billed.is_billed(start):
                current = one.agreed
        return current

    def plan_on(self, day: date) -> Agreed | None:
        """The plan whose limits count on a day, without the functions that are discontinued by then (DSC-04)."""
        current = self.agreed
        for change in self.plans():
            if change.effective_on <= day:
                current = change.agreed
        gone = {feature for last, feature in self.withdrawn_features if last < day}
        if current is None or not gone.intersection(current.features):
            return current
        return replace(current, features=tuple(one for one in current.features if one not in gone))

    def cancelled(self, on: date, values: ContractValues = SEED) -> Cancellation | None:
        """The newest cancellation as it stands on a day (END-01 to END-04)."""
        terms = self.terms(values)
        if terms is None or not self.cancellations:
            return None
        newest = self.cancellations[-1]
        return cancellation(terms, self.fees, newest.received, newest.wished, newest.paid_on, on)

    def last_day(self, on: date, values: ContractValues = SEED) -> date | None:
        """The last day of use as it is known on a day; None while the contract goes on. Earliest of: the day granted to
        a cancellation that has not lapsed, the end of a term that is not renewed (TERM-03, TERM-07), and the day on
        which the provider discontinues the service (DSC-02)."""
        terms = self.terms(values)
        if terms is None:
            return None
        ends = [self.discontinued_on] if self.discontinued_on else []
        leaving = self.cancelled(on, values)
        if leaving and leaving.outcome is not Outcome.LAPSED:
            ends.append(leaving.granted_last_day)
        status = terms.status(on, self.offers, self.applications)
        if status.state is TermState.ENDED or status.will_renew is False or self._open_referral(status.will_renew):
            ends.append(status.term.last_day)
        return min(ends, default=None)

    def _open_referral(self, will_renew: bool | None) -> bool:
        return self.route is Channel.REFERRAL and will_renew is None

    def is_ending(self, on: date, values: ContractValues = SEED) -> bool:
        """Whether a notice of cancellation stands: no change is accepted then (CHG-08)."""
        leaving = self.cancelled(on, values)
        return leaving is not None and leaving.outcome is not Outcome.LAPSED

    def suspension(self) -> Window | None:
        """The newest suspension of an overload case."""
        return next((case.suspended for case in reversed(self.overloads) if case.suspended), None)

    def standing(self, on: date, values: ContractValues = SEED) -> Standing:
        """What of this contract stands between the tenant and its data on a day."""
        plan = self.plan_on(on)
        return Standing(
            start_date=self.start_date,
            last_day=self.last_day(on, values),
            terminated_at=self.terminated_at,
            stopped=self.stopped,
            suspended=self.suspension(),
            features=frozenset(plan.features if plan else ()),
        )

    def state(self, now: int, values: ContractValues = SEED) -> str:
        """One word for people: the phase, or stopped, terminated, ended, suspended, active."""
        today = jst_date(now)
        standing = self.standing(today, values)
        if self.stopped:
            return "stopped"
        if self.terminated_at is not None and self.terminated_at <= now:
            return "terminated"
        if standing.start_date is None or today < standing.start_date:
            return str(self.phase)
        if standing.last_day is not None and today > standing.last_day:
            return "ended"
        return "suspended" if standing.suspended and standing.suspended.holds(now) else "active"


def opens_at(contract: Contract) -> int | None:
    """The instant from which the space can be used: 00:00 JST of the start, and not before the notice arrived."""
    if contract.start_date is None or contract.notice_arrived_at is None:
        return None
    return max(jst_midnight(contract.start_date), contract.notice_arrived_at)


# -- the fold ---------------------------------------------------------------------------------------------------------


def fold(acts: Iterable[Act]) -> Contract | None:
    """The contract after its acts, in their order; None before the application."""
    contract: Contract | None = None
    for act in acts:
        contract = after(contract, act)
    return contract


def after(contract: Contract | None, act: Act) -> Contract | None:
    """The contract after one more act. Kinds that change nothing (a note, a document) are passed over."""
    if act.kind == "contract.applied":
        data = act.data
        return Contract(
            name=act.subject.removeprefix(PREFIX),
            phase=Phase.APPLIED,
            route=Channel(data["route"]),
            plan=data["plan"],
            follows=data.get("follows", ""),
            partner=data.get("partner", ""),
            wished_start=_day(data.get("wished_start")),
        )
    step = _STEPS.get(act.kind)
    return step(contract, act) if step and contract else contract


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _accepted(contract: Contract, act: Act) -> Contract:
    return replace(
        contract,
        phase=Phase.ACCEPTED,
        agreed=agreed_from(act.data["agreed"]),
        minimum_months=act.data["minimum_months"],
        start_day=act.data["start_day"],
        bound=(
            *(
                Bound(kind, Revision(digest, date.min, None, original=True))
                for kind, digest in sorted(act.data.get("documents", {}).items())
            ),
            *contract.bound,
        ),
    )


def _registered(contract: Contract, act: Act) -> Contract:
    return replace(contract, phase=Phase.REGISTERED, tenant_id=act.tenant_id, tenant=act.data["tenant"])


def _notified(contract: Contract, act: Act) -> Contract:
    return replace(
        contract,
        phase=Phase.NOTIFIED,
        named_start=_day(act.data["start_date"]),
        notice_arrived_at=act.data.get("arrived_at"),
    )


def _revision_told(contract: Contract, act: Act) -> Contract:
    """REV-01 to REV-03: it binds from its day, never before the day after the notice took effect (D-54)."""
    data = act.data
    told = Revision(data["document"], date.fromisoformat(data["effective_on"]), date.fromisoformat(data["told_on"]))
    bound = (*contract.bound, Bound(data["policy"], told, data["revision"]))
    since = told.in_force_from
    if "plans" not in data or since is None:
        return replace(contract, bound=bound)
    plans = {name: agreed_from(one) for name, one in data["plans"].items()}
    return replace(contract, bound=bound, price_revisions=(*contract.price_revisions, PriceRevision(since, plans)))


def _reminded(contract: Contract, act: Act) -> Contract:
    given = (act.data["by"], act.data["lead_days"])
    return replace(contract, reminders=contract.reminders | {given})


def _changed(contract: Contract, act: Act) -> Contract:
    change = PlanChange(
        date.fromisoformat(act.data["effective_on"]), agreed_from(act.data["agreed"]), act.data["change_fee"]
    )
    return replace(contract, changes=(*contract.changes, change))


def _start_day(contract: Contract, act: Act) -> Contract:
    change = StartDayChange(date.fromisoformat(act.data["approved_on"]), act.data["new_day"])
    return replace(contract, start_day_changes=(*contract.start_day_changes, change))


def _cancelled(contract: Contract, act: Act) -> Contract:
    notice = CancellationNotice(date.fromisoformat(act.data["received_on"]), _day(act.data.get("wished_last_day")))
    return replace(contract, cancellations=(*contract.cancellations, notice))


def _settled(contract: Contract, act: Act) -> Contract:
    paid = replace(contract.cancellations[-1], paid_on=_day(act.data["paid_on"]))
    return replace(contract, cancellations=(*contract.cancellations[:-1], paid))


def _demanded(contract: Contract, act: Act) -> Contract:
    data = act.data
    demand = Demand(data["id"], act.ground, _day(data.get("due_on")), data.get("sent_at"), data.get("received_at"))
    cases = tuple(
        replace(case, demanded_at=data.get("received_at")) if case.id == data.get("case") else case
        for case in contract.overloads
    )
    return replace(contract, demands=(*contract.demands, demand), overloads=cases)


def _cured(contract: Contract, act: Act) -> Contract:
    cured = tuple(
        replace(one, cured=_day(act.data["cured_on"])) if one.id == act.data["id"] else one for one in contract.demands
    )
    return replace(contract, demands=cured)


def _suspended(contract: Contract, act: Act) -> Contract:
    window = Window(act.data["from"], act.data.get("to"))
    return _with_suspension(contract, act.data["case"], window)


def _resumed(contract: Contract, act: Act) -> Contract:
    case = next(one for one in contract.overloads if one.id == act.data["case"])
    if case.suspended is None:
        return contract
    return _with_suspension(contract, case.id, Window(case.suspended.start, act.data["at"]))


def _with_suspension(contract: Contract, case: str, window: Window) -> Contract:
    cases = tuple(replace(one, suspended=window) if one.id == case else one for one in contract.overloads)
    return replace(contract, overloads=cases)


_STEPS: Mapping[str, Callable[[Contract, Act], Contract]] = {
    "contract.review_begun": lambda contract, _: replace(contract, phase=Phase.UNDER_REVIEW),
    "contract.accepted": _accepted,
    "contract.rejected": lambda contract, _: replace(contract, phase=Phase.REJECTED),
    "contract.registered": _registered,
    "contract.start_notified": _notified,
    "contract.start_notice_arrived": lambda contract, act: replace(contract, notice_arrived_at=act.data["arrived_at"]),
    "contract.plan_changed": _changed,
    "contract.renewal_agreed": lambda contract, _: replace(contract, offers=()),
    "contract.agreed_in_writing": lambda contract, act: replace(
        contract, agreements={**contract.agreements, act.data["about"]: act.data.get("days", 0)}
    ),
    "contract.revision_told": _revision_told,
    "contract.reminded": _reminded,
    "contract.function_discontinued": lambda contract, act: replace(
        contract,
        withdrawn_features=(
            *contract.withdrawn_features,
            (date.fromisoformat(act.data["last_day"]), act.data["function"]),
        ),
    ),
    "contract.start_day_approved": _start_day,
    "contract.nonrenewal_offered": lambda contract, act: replace(
        contract, offers=(*contract.offers, date.fromisoformat(act.data["received_on"]))
    ),
    "contract.renewal_applied": lambda contract, act: replace(
        contract, applications=(*contract.applications, date.fromisoformat(act.data["received_on"]))
    ),
    "contract.cancelled": _cancelled,
    "contract.lump_sum_paid": _settled,
    "contract.demanded": _demanded,
    "contract.cured": _cured,
    "contract.overload_opened": lambda contract, act: replace(
        contract, overloads=(*contract.overloads, OverloadCase(act.data["case"], act.data["evidence"]))
    ),
    "contract.suspended": _suspended,
    "contract.resumed": _resumed,
    "contract.terminated": lambda contract, act: replace(
        contract, terminated_at=act.data["at"], termination_ground=act.ground
    ),
    "contract.discontinued": lambda contract, act: replace(
        contract,
        discontinued_on=_day(act.data["last_day"]),
        discontinued_for_convenience=act.data.get("convenience", True),
    ),
    "contract.stop_requested": lambda contract, act: replace(
        contract, stop_requested_by=act.actor, stop_reason=act.data["reason"]
    ),
    "contract.bank_account_set": lambda contract, _: replace(contract, has_bank_account=True),
    "contract.bank_account_removed": lambda contract, _: replace(contract, has_bank_account=False),
    "contract.erased": lambda contract, _: replace(contract, erased=True),
    "contract.stopped": lambda contract, _: replace(contract, stopped=True),
}
"""Kind → what it does. Every kind that a service records is here; a test says so."""


def ended_on(contract: Contract, on: date, values: ContractValues = SEED) -> date | None:
    """The day after which the data is only kept (END-07, D-53), if it has passed."""
    if contract.terminated_at is not None and jst_date(contract.terminated_at) <= on:
        return jst_date(contract.terminated_at)
    last = contract.last_day(on, values)
    return last if last is not None and on > last else None


def closes_at(contract: Contract, on: date, values: ContractValues = SEED) -> int | None:
    """The first instant in which the service is no longer owed, if it is known on a day and has come (END-07)."""
    if contract.terminated_at is not None:
        return contract.terminated_at
    ended = ended_on(contract, on, values)
    return None if ended is None else jst_midnight(ended + timedelta(days=1))


def erasable_from(ended: date, retention_days: int) -> date:
    """D-53 and P-4: after the days have passed, the first not counted."""
    return ended + timedelta(days=retention_days + 1)
