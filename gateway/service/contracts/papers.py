"""What the customer files in writing: changes, offers against renewal, renewal, cancellation (RULES CHG, TERM, END)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from gateway.domain.calendar import jst_date
from gateway.domain.contract.fees import plan_change
from gateway.domain.contract.records import Contract, agreed_data
from gateway.domain.contract.term import ContractTerms
from gateway.domain.contract.term import State as TermState
from gateway.domain.contract.values import Channel
from gateway.domain.errors import ActRefused
from gateway.domain.terms import Plans
from gateway.service.contracts.book import Actor, ContractBook, Decision, Paper, check_day, require
from gateway.service.contracts.intake import agreed
from gateway.service.policies import Policies
from gateway.service.unit_of_work import Tx

CUSTOMER_FIELDS = ("name", "address", "contact", "email", "postal_code", "phone", "language")


class Papers:
    """Each comes as a document in writing; days count from the provider's receipt of it (D-03)."""

    def __init__(self, book: ContractBook, policies: Policies) -> None:
        self._book = book
        self._policies = policies

    def request_change(
        self, name: str, actor: Actor, paper: Paper, *, plan: str, requested_on: date, change_fee: int | None = None
    ) -> Contract:
        """A change of the plan (CHG-01). One asked for too early is moved to receipt + 10 days; the new limits count
        from 00:00 JST of that day. ActRefused CHG-05 for a lower plan, CHG-08 after a notice of cancellation."""
        check_day(requested_on, "the change", "CHG-01")
        plans: Plans = self._policies.get("plans")
        new = agreed(plans.get(plan))
        received = jst_date(paper.received_at)

        def decide(contract: Contract, now: int) -> Decision:
            terms = _started(contract, now, self._book)
            current = contract.plan_on(date.max)
            assert current is not None
            values = self._book.values(contract, now)
            fee = values.change_fee if change_fee is None else change_fee
            granted = plan_change(
                terms.calendar,
                current.limits,
                new.limits,
                received,
                requested_on,
                fee,
                cancellation_pending=contract.is_ending(jst_date(now), values),
                values=values,
            )
            if granted.refusal == "CONTRACT_ENDING":
                raise ActRefused("a notice of cancellation is on file: no change is accepted any more", "CHG-08")
            if granted.refusal == "DOWNGRADE_NOT_ALLOWED":
                raise ActRefused(
                    f"{plan} has less than {current.plan}: cancel, then apply anew for the lower plan", "CHG-05"
                )
            assert granted.effective_on and granted.billed_from
            data = {
                "agreed": agreed_data(new),
                "change": str(granted.kind),
                "received_on": received.isoformat(),
                "requested_on": requested_on.isoformat(),
                "effective_on": granted.effective_on.isoformat(),
                "billed_from": granted.billed_from.isoformat(),
                "initial_fee_difference": granted.initial_fee_difference,
                "change_fee": fee,
            }
            return Decision("contract.plan_changed", "CHG-01", data=data)

        return self._book.act(name, actor, decide, party_act="change", paper=paper, paper_kind="change_request")

    def request_start_day(self, name: str, actor: Actor, paper: Paper, new_day: int) -> Contract:
        """Another first day of the billing month, approved today (CAL-03 to CAL-05). ActRefused CAL-04 while an
        approved change has not reached its first start day."""

        def decide(contract: Contract, now: int) -> Decision:
            require(contract.agreed is not None, "the contract is not accepted yet", "CAL-04")
            require(1 <= new_day <= 31, f"a billing month cannot start on day {new_day}: 1 to 31", "CAL-03")
            data = {"approved_on": jst_date(now).isoformat(), "new_day": new_day}
            return Decision("contract.start_day_approved", "CAL-04", data=data)

        return self._book.act(name, actor, decide, paper=paper, paper_kind="change_request")

    def offer_nonrenewal(self, name: str, actor: Actor, paper: Paper) -> Contract:
        """A customer's different offer: it stops the renewal at the end of the term that it is in time for; one that
        is late stops the next (TERM-03 to TERM-05)."""

        def decide(contract: Contract, now: int) -> Decision:
            _direct_terms(contract)
            _started(contract, now, self._book)
            data = {"by": "customer", "received_on": jst_date(paper.received_at).isoformat()}
            return Decision("contract.nonrenewal_offered", "TERM-03", data=data)

        return self._book.act(name, actor, decide, party_act="notice", paper=paper, paper_kind="nonrenewal")

    def provider_nonrenewal(self, name: str, actor: Actor, arrived_at: int) -> Contract:
        """The provider's offer, which counts from its arrival (TERM-04, NTC-03)."""
        self._book.check_past(arrived_at, "the arrival of the notice")

        def decide(contract: Contract, now: int) -> Decision:
            _direct_terms(contract)
            _started(contract, now, self._book)
            data = {"by": "provider", "received_on": jst_date(arrived_at).isoformat()}
            return Decision("contract.nonrenewal_offered", "TERM-04", data=data)

        return self._book.act(name, actor, decide)

    def renew(self, name: str, actor: Actor, paper: Paper) -> Contract:
        """A renewal application of a referral contract, received in the term that it renews (TERM-07); for others the
        new agreement after an offer against renewal, which then stops nothing any more (TERM-05)."""
        received = jst_date(paper.received_at)

        def decide(contract: Contract, now: int) -> Decision:
            if contract.route is not Channel.REFERRAL:
                return _agree_anew(contract, now, self._book, received)
            terms = _known_terms(contract, now, self._book)
            _open_for_renewal(contract, now, self._book)
            status = terms.status(received, contract.offers, contract.applications)
            require(
                status.state is TermState.ACTIVE,
                f"received on {received}, outside the term: a later one is a new application",
                "TERM-07",
            )
            return Decision("contract.renewal_applied", "TERM-07", data={"received_on": received.isoformat()})

        return self._book.act(name, actor, decide, party_act="notice", paper=paper, paper_kind="renewal_application")

    def cancel(self, name: str, actor: Actor, paper: Paper, wished_last_day: date | None = None) -> Contract:
        """A notice of cancellation (END-01). Too early a last day is moved to receipt + 30; before the minimum is over
        it ends the contract only if the lump sum is paid by that day, else it lapses (END-03, END-04)."""
        received = jst_date(paper.received_at)
        check_day(wished_last_day, "the last day", "END-01")

        def decide(contract: Contract, now: int) -> Decision:
            _started(contract, now, self._book)
            today = jst_date(now)
            is_ending = contract.is_ending(today, self._book.values(contract, now))
            require(not is_ending, "a notice of cancellation stands already", "END-01")
            last = contract.last_day(today, self._book.values(contract, now))
            require(last is None or today <= last, "the contract has ended", "END-07")
            data = {
                "received_on": received.isoformat(),
                "wished_last_day": wished_last_day and wished_last_day.isoformat(),
            }
            return Decision("contract.cancelled", "END-01", data=data)

        return self._book.act(name, actor, decide, party_act="cancellation", paper=paper, paper_kind="cancellation")

    def agree_in_writing(self, name: str, actor: Actor, paper: Paper, about: str, days: int = 0) -> Contract:
        """A side agreement. Only what the terms themselves give way to is taken: ``payment`` terms of a quotation, due
        ``days`` after the period's start (6③), and how ``notices`` work (15). ActRefused SVC-02 for all else."""

        def decide(_contract: Contract, _now: int) -> Decision:
            require(
                about in ("payment", "notices"),
                f"the terms outrank an arrangement on {about}: they give way on payment and notices only (D-04)",
                "SVC-02",
            )
            require(0 <= days <= 366, "payment is due 0 to 366 days after the start of the period", "FEE-03")
            return Decision("contract.agreed_in_writing", "SVC-02", data={"about": about, "days": days})

        return self._book.act(name, actor, decide, paper=paper, paper_kind="correspondence")

    def lump_sum_paid(self, name: str, actor: Actor, paid_on: date) -> Contract:
        """The lump sum of an early cancellation was paid on a day (END-03, END-04)."""

        def decide(contract: Contract, now: int) -> Decision:
            leaving = contract.cancelled(jst_date(now), self._book.values(contract, now))
            require(leaving is not None and leaving.lump_sum_months > 0, "no lump sum is due", "END-03")
            require(paid_on <= jst_date(now), "the payment lies in the future", "P-6")
            return Decision("contract.lump_sum_paid", "END-04", data={"paid_on": paid_on.isoformat()})

        return self._book.act(name, actor, decide)

    def change_customer(self, name: str, actor: Actor, paper: Paper, changes: Mapping[str, str]) -> Contract:
        """The change form: the old data stays in force until this is recorded, and is kept (CUS-01, NTC-01)."""
        unknown = set(changes) - set(CUSTOMER_FIELDS)
        require(not unknown, f"no customer data of the name {', '.join(sorted(unknown))}", "CUS-01")
        require(bool(changes), "nothing to change", "CUS-01")
        stored: dict[str, str] = {}

        def also(tx: Tx, contract: Contract) -> None:
            data = {**tx.documents.customer(contract.name), **changes}
            stored["customer"] = tx.documents.put_customer(contract.name, data, self._book.clock())

        def decide(_contract: Contract, _now: int) -> Decision:
            return Decision("contract.customer_changed", "CUS-01", data={"fields": sorted(changes)})

        return self._book.act(
            name, actor, decide, party_act="customer_info_change", paper=paper, paper_kind="customer_change", also=also
        )


def _known_terms(contract: Contract, now: int, book: ContractBook) -> ContractTerms:
    terms = contract.terms(book.values(contract, now))
    if terms is None:
        raise ActRefused(f"the contract is {contract.phase}: its start is not known yet", "APP-05")
    return terms


def _open_for_renewal(contract: Contract, now: int, book: ContractBook) -> None:
    """What counts is the receipt (D-03): an application that came in time may be recorded after the term, unless the
    contract ended in another way or its data is gone."""
    state = contract.state(now, book.values(contract, now))
    other = contract.discontinued_on is not None or contract.is_ending(jst_date(now), book.values(contract, now))
    lost = state in ("terminated", "stopped") or (state == "ended" and (other or contract.erased))
    require(not lost, f"the contract is {state}", "END-07")


def _started(contract: Contract, now: int, book: ContractBook) -> ContractTerms:
    """The terms of a contract that is in force or will be; ActRefused before the start notice and after the end."""
    terms = _known_terms(contract, now, book)
    state = contract.state(now, book.values(contract, now))
    require(state not in ("ended", "terminated", "stopped"), f"the contract is {state}", "END-07")
    return terms


def _agree_anew(contract: Contract, now: int, book: ContractBook, received: date) -> Decision:
    _started(contract, now, book)
    require(
        bool(contract.offers),
        "only a contract through a referral shop needs an application; others renew by themselves (TERM-03)",
        "TERM-07",
    )
    return Decision("contract.renewal_agreed", "TERM-05", data={"received_on": received.isoformat()})


def _direct_terms(contract: Contract) -> None:
    require(
        contract.route is not Channel.REFERRAL,
        "a contract through a referral shop does not renew by itself: there is nothing to stop",
        "TERM-07",
    )
