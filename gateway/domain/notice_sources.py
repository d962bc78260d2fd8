"""Which act makes which notice, for whom, and with which parameters: the one table that services never branch on.

An act that is not in ``SOURCES`` is told to nobody. A function that returns None has nothing to tell any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date
from gateway.domain.contract.ending import Outcome
from gateway.domain.contract.records import PREFIX, Contract
from gateway.domain.contract.values import ContractValues

Params = Mapping[str, Any]
INCIDENT = "incident:"


@dataclass(frozen=True, slots=True)
class PublicIncident:
    """An outage as the public may know it. ``tenants`` empty: it concerns all."""

    id: str
    recognised_at: int
    recovered_at: int | None
    tenants: frozenset[int]


@dataclass(frozen=True)
class View:
    """What stands when a notice is made. ``incidents`` are outages by id."""

    now: int
    contracts: Mapping[str, Contract]
    of_tenant: Mapping[int, Contract]
    values_of: Callable[[Contract | None, date], ContractValues]
    incidents: Mapping[str, PublicIncident] = field(default_factory=dict)

    @property
    def today(self) -> date:
        """In Japan."""
        return jst_date(self.now)

    def values(self, contract: Contract | None) -> ContractValues:
        return self.values_of(contract, self.today)

    def incident(self, act: Act) -> PublicIncident | None:
        """The outage that an act is about."""
        return self.incidents.get(act.subject.removeprefix(INCIDENT)) if act.subject.startswith(INCIDENT) else None

    def contract(self, act: Act) -> Contract | None:
        """The contract that an act is about, by its subject, its data or its tenant."""
        if act.subject.startswith(PREFIX):
            return self.contracts.get(act.subject.removeprefix(PREFIX))
        named = act.data.get("contract")
        return self.contracts.get(named) if isinstance(named, str) else self.of_tenant.get(act.tenant_id)


@dataclass(frozen=True, slots=True)
class Source:
    """``kind`` of the notice. ``to_all``: to every customer in use, or to those that ``tenants`` of the act names.
    ``to_operators``: to the provider's own people.
    ``once``: what stands in the notice's id instead of the act, for acts of which only the first is told."""

    kind: str
    params: Callable[[Act, View], Params | None]
    to_all: bool = False
    to_operators: bool = False
    once: Callable[[Act], str] | None = None


def recipients(source: Source, act: Act, view: View) -> Sequence[Contract | None]:
    """The contracts to whom an act is told, by name: those that it lists, else the one it is about, else all that are
    in use (of the tenants that it names). None is the operators."""
    if source.to_operators:
        return [None]
    listed = act.data.get("contracts")
    if isinstance(listed, list):
        return [view.contracts[name] for name in sorted(listed) if name in view.contracts]
    if not source.to_all:
        one = view.contract(act)
        return [] if one is None else [one]
    incident = view.incident(act)
    tenants = set(incident.tenants if incident else act.data.get("tenants") or ())
    found = [one for one in view.contracts.values() if is_in_use(one, view)]
    return sorted((one for one in found if not tenants or one.tenant_id in tenants), key=lambda one: one.name)


def is_in_use(contract: Contract, view: View) -> bool:
    """Registered and not over: who is told of what concerns everybody."""
    if not contract.tenant_id or contract.erased:
        return False
    return contract.state(view.now, view.values(contract)) not in ("stopped", "terminated", "ended")


# -- parameters -------------------------------------------------------------------------------------------------------


def _taken(*keys: str) -> Callable[[Act, View], Params | None]:
    """These keys of the act's data as they are; None where the act has none."""
    return lambda act, _view: {key: act.data.get(key) for key in keys}


def _name(act: Act) -> str:
    return act.subject.partition(":")[2]


def _plan_changed(act: Act, _view: View) -> Params:
    keys = ("requested_on", "effective_on", "billed_from", "initial_fee_difference", "change_fee")
    return {"plan": act.data["agreed"]["plan"], **{key: act.data[key] for key in keys}}


def _offer(act: Act, _view: View) -> Params | None:
    """The provider's own offer was told when it was made."""
    return {"received_on": act.data["received_on"]} if act.data.get("by") == "customer" else None


def _cancelled(act: Act, view: View) -> Params | None:
    contract = view.contract(act)
    leaving = contract.cancelled(jst_date(act.at), view.values(contract)) if contract else None
    if leaving is None:
        return None
    early = leaving.outcome is not Outcome.ENDS
    return {
        "received_on": act.data["received_on"],
        "last_day": leaving.granted_last_day.isoformat(),
        "lump_sum": leaving.lump_sum if early else 0,
        "lump_sum_months": leaving.lump_sum_months if early else 0,
        "payable_until": leaving.granted_last_day.isoformat() if early else None,
    }


def _lump_sum_paid(act: Act, view: View) -> Params | None:
    contract = view.contract(act)
    last = contract.last_day(view.today, view.values(contract)) if contract else None
    return {"paid_on": act.data["paid_on"], "last_day": last.isoformat()} if last else None


def _suspended(act: Act, _view: View) -> Params:
    data = act.data
    return {"case": data["case"], "start": data["from"], "end": data.get("to"), "reason": data["reason"]}


def _erased(act: Act, _view: View) -> Params:
    return {
        "ended_on": act.data["ended_on"],
        "erased_on": jst_date(act.at).isoformat(),
        "retention_days": act.data["retention_days"],
    }


def _maintenance(act: Act, view: View) -> Params | None:
    data = act.data
    if data["end"] <= view.now:
        return None
    return {"window": _name(act), "start": data["start"], "end": data["end"], "reason": data.get("reason", "")}


def _window_closed(act: Act, _view: View) -> Params:
    """A window that was closed before it began is told too: customers had planned around it."""
    return {"window": _name(act), "at": act.data["at"]}


def _interrupted(act: Act, view: View) -> Params | None:
    start, end = act.data["from"], act.data.get("to")
    if end is not None and end <= view.now:
        return None
    return {"window": _name(act), "ground": act.ground, "start": start, "end": end}


def _incident(*keys: str) -> Callable[[Act, View], Params | None]:
    """Of an outage only: other incidents (a loss of data, a scanner that is out of date) are no stop to be told of."""

    def params(act: Act, view: View) -> Params | None:
        one = view.incident(act)
        return {"incident": one.id, **{key: getattr(one, key) for key in keys}} if one else None

    return params


def _cause(act: Act, view: View) -> Params | None:
    one, text = view.incident(act), act.data.get("cause_text") or {}
    if one is None or not any(text.values()):
        return None
    return {
        "incident": one.id,
        "recognised_at": one.recognised_at,
        "recovered_at": one.recovered_at,
        "cause_ja": text.get("ja") or text.get("en"),
        "cause_en": text.get("en") or text.get("ja"),
    }


def _taken_down(act: Act, _view: View) -> Params:
    item = int(act.ground.removeprefix("9-"))
    return {
        "takedown": _name(act), "item": item, "at": act.at, "files": act.data["files"], "bytes": act.data["bytes"],
    }  # fmt: skip


def _opened(act: Act, _view: View) -> Params:
    return {"request": _name(act), "ground": act.ground, "until": act.data["expires_at"]}


def _invoice(act: Act, _view: View) -> Params | None:
    """What the payment agency bills, it tells itself: no second bill by the provider (PAY-01)."""
    data = act.data
    if data.get("collector", "provider") != "provider":
        return None
    method = data.get("method", "invoice")
    return {"invoice": _name(act), "total": data["total"], "due_on": data["due_on"], "method": method}


def _payment_failed(act: Act, _view: View) -> Params:
    return {"invoice": _name(act), "total": act.data["total"], "on": act.data["on"]}


def _claim(*, accepted: bool) -> Callable[[Act, View], Params | None]:
    return lambda act, _view: {"claim": _name(act), "accepted": accepted, "amount": act.data.get("amount", 0)}


def _announced(act: Act, _view: View) -> Params | None:
    params: Params = act.data["params"]
    return params if act.data.get("by_mail", True) else None


def _task(ja: str, en: str) -> Callable[[Act, View], Params | None]:
    """What a person has to look at, in words with the contract and the act's data."""

    def params(act: Act, _view: View) -> Params:
        words = {**act.data, "contract": _name(act)}
        return {
            "subject_ja": ja.partition("：")[0].format(**words) + f"（{_name(act)}）",
            "subject_en": en.partition(":")[0].format(**words) + f" ({_name(act)})",
            "text_ja": ja.format(**words),
            "text_en": en.format(**words),
        }

    return params


_DEADLINE = _task(
    "期限が近づいています：契約 {contract}、{deadline}、期限 {by}、期間満了 {last_day}",
    "A deadline is near: contract {contract}, {deadline}, until {by}, the term ends on {last_day}",
)
_OFFER = _task(
    "延長に対する申入れを受領しました：契約 {contract}、受領日 {received_on}。新たな合意がなければ満了で終了します。",
    "An offer against renewal was received: contract {contract}, on {received_on}. Without a new agreement it ends.",
)


def _reminded(deadline: str) -> Callable[[Act, View], Params | None]:
    def params(act: Act, _view: View) -> Params | None:
        data = act.data
        return {"last_day": data["last_day"], "deadline": data["by"]} if data["deadline"] == deadline else None

    return params


# -- the table --------------------------------------------------------------------------------------------------------

_TABLE: Mapping[str, Source | tuple[Source, ...]] = {
    "contract.plan_changed": Source("plan_change_approval", _plan_changed),
    "contract.start_day_approved": Source("start_day_approval", _taken("new_day", "approved_on")),
    "contract.nonrenewal_offered": (
        Source("offer_received", _offer),
        Source("operator_task", _OFFER, to_operators=True),
    ),
    "contract.renewal_applied": Source("renewal_received", _taken("received_on")),
    "contract.cancelled": Source("cancellation_received", _cancelled),
    "contract.lump_sum_paid": Source("lump_sum_received", _lump_sum_paid),
    "contract.customer_changed": Source("customer_changed", _taken("fields")),
    "contract.suspended": Source("suspension", _suspended),
    "contract.resumed": Source("suspension_lifted", _taken("case", "at")),
    "contract.stopped": Source("stopped", lambda act, _view: {"at": act.at}),
    "contract.erased": Source("data_erased", _erased),
    "contract.reminded": (
        Source("renewal_reminder", _reminded("nonrenewal")),
        Source("referral_reminder", _reminded("renewal_application")),
        Source("term_end_reminder", _reminded("term_end")),
        Source("operator_task", _DEADLINE, to_operators=True),
    ),
    "revision.terms_announced": Source("terms_revision", _announced),
    "revision.conditions_announced": Source("price_revision", _announced),
    "discontinuation.announced": Source("discontinuation", _announced, to_all=True),
    "transfer.announced": Source("service_transfer", _announced, to_all=True),
    "maintenance.announced": Source("maintenance_announced", _maintenance, to_all=True),
    "maintenance.extended": Source("maintenance_extended", _maintenance, to_all=True),
    "maintenance.closed": Source("maintenance_closed", _window_closed, to_all=True),
    "interruption.opened": Source("interruption", _interrupted, to_all=True),
    "interruption.closed": Source("interruption_over", _window_closed, to_all=True),
    "incident.recognised": Source("outage", _incident("recognised_at"), to_all=True),
    "incident.recovered": Source("recovery", _incident("recognised_at", "recovered_at"), to_all=True),
    "incident.cause_reported": Source("cause_report", _cause, to_all=True),
    "takedown.set": Source("takedown_set", _taken_down),
    "takedown.lifted": Source("takedown_lifted", lambda act, _view: {"takedown": _name(act), "at": act.at}),
    "breakglass.approved": Source("breakglass_opened", _opened),
    "breakglass.read": Source(
        "breakglass_read", lambda act, _view: {"request": _name(act), "ground": act.ground, "at": act.at}, once=_name
    ),
    "announcement.made": Source("information", _announced, to_all=True),
    "invoice.issued": Source("invoice_issued", _invoice),
    "invoice.payment_failed": Source("payment_failed", _payment_failed),
    "invoice.payment_returned": Source("payment_failed", _payment_failed),
    "claim.granted": Source("claim_decided", _claim(accepted=True)),
    "claim.rejected": Source("claim_decided", _claim(accepted=False)),
}

SOURCES: Mapping[str, tuple[Source, ...]] = {
    kind: made if isinstance(made, tuple) else (made,) for kind, made in _TABLE.items()
}
"""Kind of act → the notices that it makes."""
