"""Notices that an operator decides about: checked before they are queued, so that none goes out that has no effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from gateway.domain.calendar import jst_date
from gateway.domain.contract.ending import GROUNDS, provider_termination
from gateway.domain.contract.records import Contract, Phase
from gateway.domain.contract.values import Channel
from gateway.domain.errors import BadRequest
from gateway.domain.notice import Notice
from gateway.domain.notice_kinds import KINDS
from gateway.service.contracts.book import Actor, ContractBook, require
from gateway.service.contracts.powers import CORRECTION, PAYMENT
from gateway.service.notices.book import Notices

Given = Mapping[str, Any]
_OVER = ("ended", "terminated", "stopped")


class Orders:
    def __init__(self, notices: Notices, contracts: ContractBook) -> None:
        self._notices = notices
        self._contracts = contracts
        self._made: Mapping[str, Callable[[Contract, date, Given], dict[str, Any]]] = {
            "start_notice": self._start,
            "nonrenewal": self._nonrenewal,
            "payment_demand": self._payment_demand,
            "correction_demand": self._correction_demand,
            "termination": self._termination,
        }

    def send(self, actor: Actor, name: str, kind: str, given: Given) -> Notice:
        """Queues a notice of a kind that is sent by hand. ActRefused names the rule that forbids it today."""
        made = self._made.get(kind)
        if made is None:
            raise BadRequest(f"no notice of the kind {kind!r} is sent by hand; these are: {', '.join(self._made)}")
        contract = self._contracts.get(name)
        waiting = [one.id for one in self._notices.all(name) if one.kind == kind and one.is_waiting]
        require(not waiting, f"{', '.join(waiting)} waits to be sent already", KINDS[kind].rule)
        params = made(contract, jst_date(self._contracts.clock()), given)
        return self._notices.send(actor, contract, kind, params)

    def _start(self, contract: Contract, today: date, given: Given) -> dict[str, Any]:
        start = _needed(given, "start_date")
        require(
            contract.phase is Phase.REGISTERED,
            f"the contract is {contract.phase}, this needs one that is registered",
            "APP-05",
        )
        require(date.fromisoformat(start) >= today, f"the start {start} is before today, {today}", "APP-05")
        return {"start_date": start}

    def _nonrenewal(self, contract: Contract, today: date, _given: Given) -> dict[str, Any]:
        self._in_force(contract)
        require(contract.route is not Channel.REFERRAL, "a contract through a referral shop ends by itself", "TERM-07")
        terms = contract.terms(self._contracts.values(contract))
        assert terms is not None
        status = terms.status(today, contract.offers, contract.applications)
        return {"last_day": status.term.last_day.isoformat()}

    def _payment_demand(self, contract: Contract, today: date, given: Given) -> dict[str, Any]:
        self._in_force(contract)
        due = _needed(given, "due_on")
        require(today > date.fromisoformat(due), f"the claim is not overdue before {due} is over", "END-05")
        days = self._contracts.values(contract).payment_grace_days
        return {
            "due_on": due, "amount": _needed(given, "amount"), "invoice": _needed(given, "invoice"), "grace_days": days,
        }  # fmt: skip

    def _correction_demand(self, contract: Contract, _today: date, given: Given) -> dict[str, Any]:
        self._in_force(contract)
        case = given.get("case")
        known = [one.id for one in contract.overloads]
        require(case is None or case in known, f"there is no overload case {case!r}", "LIM-03")
        days = self._contracts.values(contract).correction_grace_days
        return {"case": case, "text": _needed(given, "text"), "grace_days": days}

    def _termination(self, contract: Contract, today: date, given: Given) -> dict[str, Any]:
        """Whether the ground stands is looked at now, and again when the notice arrives."""
        self._in_force(contract)
        ground = _needed(given, "ground")
        require(ground in GROUNDS[:-1], f"the grounds are {', '.join(GROUNDS[:-1])}", "END-05")
        demand = next((one for one in contract.demands if one.id == given.get("demand")), None)
        if ground in (PAYMENT, CORRECTION):
            require(demand is not None and demand.ground == ground, f"{ground} needs a demand on that ground", "END-05")
        found = None if ground in (PAYMENT, CORRECTION) else date.fromisoformat(_needed(given, "found_on"))
        decided = provider_termination(
            ground,
            today,
            due_on=demand.due_on if demand else None,
            demand_sent=_day(demand.sent_at) if demand else None,
            demand_received=_day(demand.received_at) if demand else None,
            cured=demand.cured if demand else None,
            found=found,
            values=self._contracts.values(contract),
        )
        require(decided.terminable, f"the contract cannot be terminated before {decided.terminable_from}", "END-05")
        return {
            "ground": ground,
            "reason": given.get("text") or "",
            "demand": given.get("demand"),
            "found_on": found.isoformat() if found else None,
        }

    def _in_force(self, contract: Contract) -> None:
        state = contract.state(self._contracts.clock(), self._contracts.values(contract))
        require(contract.start_date is not None, f"the contract is {state}: it has not started", "SVC-01")
        require(state not in _OVER, f"the contract is {state}", "END-07")


def _needed(given: Given, key: str) -> Any:
    value = given.get(key)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise BadRequest(f"this notice needs --{key.replace('_', '-')}")
    return value


def _day(at: int | None) -> date | None:
    return None if at is None else jst_date(at)
