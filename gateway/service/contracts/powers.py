"""What the provider may do to a contract, and when (RULES END-05, ANT-01, LIM-03): never more than a rule gives."""

from __future__ import annotations

from datetime import date

from gateway.domain.calendar import jst_date
from gateway.domain.contract.ending import GROUNDS, discontinuation, provider_termination
from gateway.domain.contract.records import Contract, Demand, OverloadCase
from gateway.domain.errors import ActRefused
from gateway.service.contracts.book import Actor, ContractBook, Decision, check_day, require

PAYMENT, CORRECTION = GROUNDS[:2]
STOP_GROUND = "24(2)"


class Powers:
    def __init__(self, book: ContractBook) -> None:
        self._book = book

    # -- demand, termination ------------------------------------------------------------------------------------------

    def demand(
        self,
        name: str,
        actor: Actor,
        *,
        ground: str,
        sent_at: int,
        received_at: int | None = None,
        due_on: date | None = None,
        case: str | None = None,
    ) -> Contract:
        """A demand to pay (17(1)1, from the day it was sent) or to correct (17(1)2, from the day it was received).

        ActRefused END-05 for a demand to pay that is not after the due date. ``case`` puts it on an overload case.
        """
        for at in filter(None, (sent_at, received_at)):
            self._book.check_past(at, "the demand")

        def decide(contract: Contract, now: int) -> Decision:
            _in_force(contract, now, self._book)
            require(ground in (PAYMENT, CORRECTION), f"a demand rests on {PAYMENT} or {CORRECTION}", "END-05")
            if ground == PAYMENT:
                if due_on is None:
                    raise ActRefused("a demand to pay names the day on which the claim was due", "END-05")
                require(jst_date(sent_at) > due_on, f"the claim is not overdue before {due_on} is over", "END-05")
            if case is not None:
                _case(contract, case)
            data = {
                "id": f"D{len(contract.demands) + 1}",
                "sent_at": sent_at,
                "received_at": received_at,
                "due_on": due_on and due_on.isoformat(),
                "case": case,
            }
            return Decision("contract.demanded", "LIM-03" if case else "END-05", ground, data)

        return self._book.act(name, actor, decide)

    def cure(self, name: str, actor: Actor, demand: str, cured_on: date) -> Contract:
        """The customer paid or corrected: the ground is gone, however late (D-51)."""

        def decide(contract: Contract, now: int) -> Decision:
            one = _demand(contract, demand)
            require(one.cured is None, f"demand {demand} is met already", "END-05")
            require(cured_on <= jst_date(now), "it lies in the future", "P-6")
            return Decision("contract.cured", "END-05", one.ground, {"id": demand, "cured_on": cured_on.isoformat()})

        return self._book.act(name, actor, decide)

    def terminate(
        self,
        name: str,
        actor: Actor,
        *,
        ground: str,
        arrived_at: int,
        demand: str | None = None,
        found_on: date | None = None,
        reason: str = "",
    ) -> Contract:
        """Ends the contract at the arrival of the notice (END-05, NTC-03). ActRefused END-05 names the first day on
        which it may be done."""
        self._book.check_past(arrived_at, "the arrival of the notice")

        def decide(contract: Contract, now: int) -> Decision:
            _in_force(contract, now, self._book)
            require(ground != STOP_GROUND, "§24(2) is a stop, with a second person: kurado contract stop", "ANT-01")
            require(ground in GROUNDS, f"the grounds are {', '.join(GROUNDS[:-1])}", "END-05")
            one = _demand(contract, demand) if demand else None
            if ground in (PAYMENT, CORRECTION):
                require(one is not None and one.ground == ground, f"{ground} needs a demand on that ground", "END-05")
            else:
                require(found_on is not None, f"{ground} needs the day on which it was found", "END-05")
            decided = provider_termination(
                ground,
                jst_date(arrived_at),
                due_on=one.due_on if one else None,
                demand_sent=_day(one.sent_at) if one else None,
                demand_received=_day(one.received_at) if one else None,
                cured=one.cured if one else None,
                found=found_on,
                values=self._book.values(contract, now),
            )
            since = decided.terminable_from
            require(
                decided.terminable,
                "the ground is gone: paid or corrected"
                if one and one.cured
                else f"not before {since}"
                if since
                else "the clock of the demand has not begun",
                "END-05",
            )
            data = {
                "at": arrived_at,
                "demand": demand,
                "found_on": found_on and found_on.isoformat(),
                "acceleration": decided.acceleration,
                "reason": reason,
            }
            return Decision("contract.terminated", "END-05", ground, data)

        return self._book.act(name, actor, decide)

    def discontinue(
        self, name: str, actor: Actor, *, last_day: date, email_arrived_at: int, web_posted_at: int, reason: str
    ) -> Contract:
        """Discontinues the whole service for a customer (DSC-02): 60 days after the later of the e-mail's arrival and
        the post on the web site. ActRefused DSC-02 names the earliest last day."""
        check_day(last_day, "the last day", "DSC-02")
        for at in (email_arrived_at, web_posted_at):
            self._book.check_past(at, "the notice")

        def decide(contract: Contract, now: int) -> Decision:
            _in_force(contract, now, self._book)
            email, web = jst_date(email_arrived_at), jst_date(web_posted_at)
            found = discontinuation(last_day, "all", True, email, web, (), self._book.values(contract, now))
            require(found.allowed, f"the earliest last day is {found.earliest_last_day}", "DSC-02")
            data = {
                "last_day": last_day.isoformat(),
                "notice_complete_on": found.notice_complete_on and found.notice_complete_on.isoformat(),
                "migration_support": found.migration_support,
                "reason": reason,
            }
            return Decision("contract.discontinued", "DSC-02", "10(4)", data)

        return self._book.act(name, actor, decide)

    # -- stop (ANT-01) ------------------------------------------------------------------------------------------------

    def request_stop(self, name: str, actor: Actor, reason: str) -> Contract:
        """Asks for a stop on the ground of §24(2). A second person approves it."""

        def decide(contract: Contract, _now: int) -> Decision:
            require(bool(reason.strip()), "a stop needs a reason", "ANT-01")
            require(not contract.stopped, "the contract is stopped already", "ANT-01")
            return Decision("contract.stop_requested", "ANT-01", STOP_GROUND, {"reason": reason})

        return self._book.act(name, actor, decide)

    def approve_stop(self, name: str, actor: Actor) -> Contract:
        """Stops the service for the tenant, without notice. ActRefused ANT-01 when the same person asked for it."""

        def decide(contract: Contract, _now: int) -> Decision:
            require(bool(contract.stop_requested_by), "nobody asked for a stop: kurado contract stop", "ANT-01")
            require(not contract.stopped, "the contract is stopped already", "ANT-01")
            require(
                contract.stop_requested_by != actor.name,
                f"{actor.name} asked for the stop: another person approves it",
                "ANT-01",
            )
            data = {"requested_by": contract.stop_requested_by, "reason": contract.stop_reason}
            return Decision("contract.stopped", "ANT-01", STOP_GROUND, data)

        return self._book.act(name, actor, decide)

    # -- overload (LIM-03) --------------------------------------------------------------------------------------------

    def open_overload(self, name: str, actor: Actor, evidence: str) -> Contract:
        """An overload case with its evidence: the only thing on which a suspension can rest (D-24)."""

        def decide(contract: Contract, now: int) -> Decision:
            _in_force(contract, now, self._book)
            require(bool(evidence.strip()), "an overload case needs evidence", "LIM-03")
            data = {"case": f"L{len(contract.overloads) + 1}", "evidence": evidence}
            return Decision("contract.overload_opened", "LIM-03", "7(2)", data)

        return self._book.act(name, actor, decide)

    def suspend(
        self, name: str, actor: Actor, *, case: str, reason: str, start: int | None = None, end: int | None = None
    ) -> Contract:
        """Suspends on an overload case, from ``start`` (now) to ``end`` (open). The clause lets the provider *demand*
        first, so a case whose demand has not arrived is refused (D-24, P-1)."""

        def decide(contract: Contract, now: int) -> Decision:
            _in_force(contract, now, self._book)
            found = _case(contract, case)
            require(bool(reason.strip()), "a suspension needs a reason", "LIM-03")
            require(
                found.demanded_at is not None,
                f"no demand for correction has arrived on case {case}: §7(2) lets the provider demand first",
                "LIM-03",
            )
            begin = now if start is None else start
            require(begin >= now, "a suspension cannot begin in the past", "P-6")
            require(end is None or end > begin, "a suspension ends after it begins", "LIM-03")
            data = {"case": case, "reason": reason, "from": begin, "to": end}
            return Decision("contract.suspended", "LIM-03", "7(2)", data)

        return self._book.act(name, actor, decide)

    def resume(self, name: str, actor: Actor) -> Contract:
        """Ends the suspension now."""

        def decide(contract: Contract, now: int) -> Decision:
            case = next((one for one in reversed(contract.overloads) if one.suspended), None)
            if case is None or case.suspended is None or (case.suspended.end or now + 1) <= now:
                raise ActRefused("the contract is not suspended", "LIM-03")
            return Decision("contract.resumed", "LIM-03", "7(2)", {"case": case.id, "at": now})

        return self._book.act(name, actor, decide)


def _in_force(contract: Contract, now: int, book: ContractBook) -> None:
    state = contract.state(now, book.values(contract, now))
    require(contract.start_date is not None, f"the contract is {state}: it has not started", "SVC-01")
    require(state not in ("ended", "terminated", "stopped"), f"the contract is {state}", "END-07")


def _demand(contract: Contract, demand: str) -> Demand:
    one = next((one for one in contract.demands if one.id == demand), None)
    if one is None:
        raise ActRefused(f"there is no demand {demand!r}", "END-05")
    return one


def _case(contract: Contract, case: str) -> OverloadCase:
    one = next((one for one in contract.overloads if one.id == case), None)
    if one is None:
        raise ActRefused(f"there is no overload case {case!r}: a suspension rests on one", "LIM-03")
    return one


def _day(at: int | None) -> date | None:
    return None if at is None else jst_date(at)
