"""Why something is as it is: an invoice line, a refusal, an act, with the rule behind it and the figures used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date
from gateway.domain.contract.records import PREFIX, Contract, fold
from gateway.domain.contract.windows import Windows
from gateway.domain.errors import NotFound
from gateway.service.policies import Policies
from gateway.service.stored import Refusal
from gateway.service.unit_of_work import Database, Tx

INVOICE = "invoice:"


@dataclass(frozen=True)
class Explained:
    """``rules`` as they stand in the record (ids, or a clause that names some), ``figures`` what was used, ``contract``
    and ``day`` by which the constants are looked up."""

    what: str
    rules: str
    figures: Mapping[str, Any]
    contract: Contract | None = None
    day: date | None = None
    parts: tuple[Explained, ...] = field(default=())


class Explaining:
    def __init__(self, db: Database, policies: Policies) -> None:
        self._db = db
        self._policies = policies

    def invoice(self, number: str, line: int | None = None) -> Explained:
        """An invoice, or one of its lines (from 1). NotFound."""
        acts = self._db.read(lambda tx: tx.acts.of_subject(INVOICE + number))
        issued = next((act for act in acts if act.kind == "invoice.issued"), None)
        if issued is None:
            raise NotFound(f"there is no invoice {number!r}")
        contract = self._db.read(lambda tx: _contract(tx, str(issued.data.get("contract", ""))))
        document = issued.data["document"]
        day = date.fromisoformat(document["dated"])
        lines = [self._line(number, n, one, contract, day) for n, one in enumerate(document["lines"], 1)]
        if line is not None:
            if not 1 <= line <= len(lines):
                raise NotFound(f"invoice {number} has the lines 1 to {len(lines)}")
            return lines[line - 1]
        lines += [self._tax(number, one, contract, day) for one in document["rates"]]
        figures = {key: document.get(key) for key in ("dated", "due", "net", "tax", "total")}
        return Explained(f"invoice {number}", issued.rule, figures, contract, day, tuple(lines))

    def _line(self, number: str, n: int, line: Mapping[str, Any], contract: Contract | None, day: date) -> Explained:
        what = f"invoice {number} line {n}: {line['code']}, {line['amount']} JPY"
        figures = {"amount": line["amount"], **dict(line.get("figures") or {})}
        return Explained(what, line["rule"], figures, contract, day)

    def _tax(self, number: str, rate: Mapping[str, Any], contract: Contract | None, day: date) -> Explained:
        return Explained(f"invoice {number}: consumption tax", "TAX-01", rate, contract, day)

    def refusal(self, number: int) -> Explained:
        """A refusal by the number in ``refusals list``. NotFound."""
        return self._db.read(lambda tx: self._refusal(tx, number))

    def _refusal(self, tx: Tx, number: int) -> Explained:
        one = tx.refusals.get(number)
        if one is None:
            raise NotFound(f"there is no refusal {number}")
        tenant = tx.tenants.by_id(one.tenant_id)
        acts = [act for act in tx.acts.of_tenant(one.tenant_id) if act.at <= one.at]
        contract = fold(act for act in acts if act.subject.startswith(PREFIX))
        if contract is None and tenant is not None:
            # acts before the registration have no tenant yet
            contract = _contract(tx, tenant.name, one.at)
        figures: dict[str, Any] = {
            "reason": one.reason,
            "code": one.code,
            "policy": one.policy,
            "tenant": tenant.name if tenant else None,
            "user": one.user,
            "verb": one.verb,
            "at": one.at,
            "plan": tenant.plan if tenant else None,
            "sha256": one.digest or None,
        }
        if tenant is not None:
            contract = _contract(tx, tenant.name, one.at) or contract
        figures |= _standing(contract, one, self._policies) | _windows(tx, one)
        return Explained(f"refusal {number}: {one.code}", one.clause, _given(figures), contract, jst_date(one.at))

    def act(self, seq: int) -> Explained:
        """An act by its number. NotFound."""
        found = self._db.read(lambda tx: tx.acts.after(seq - 1, 1))
        if not found or found[0].seq != seq:
            raise NotFound(f"there is no act {seq}")
        return self._act(found[0])

    def _act(self, act: Act) -> Explained:
        name = act.subject.removeprefix(PREFIX) if act.subject.startswith(PREFIX) else str(act.data.get("contract", ""))
        contract = self._db.read(lambda tx: _contract(tx, name, act.at))
        figures = {"actor": f"{act.actor} ({act.role})", "ground": act.ground, "before": act.before, "after": act.after}
        data = {key: value for key, value in act.data.items() if key not in ("document", "params")}
        return Explained(f"act {act.seq}: {act.kind} on {act.subject}", act.rule, _given({**figures, **data}), contract,
                         jst_date(act.at))  # fmt: skip


def _standing(contract: Contract | None, one: Refusal, policies: Policies) -> dict[str, Any]:
    """What the contract said at the time of a refusal."""
    if contract is None or one.policy != "contract_state":
        return {}
    values = policies.values_of(contract, jst_date(one.at))
    last = contract.last_day(jst_date(one.at), values)
    suspension = contract.suspension()
    return {
        "contract": contract.name,
        "state": contract.state(one.at, values),
        "start_date": contract.start_date and contract.start_date.isoformat(),
        "last_day": last and last.isoformat(),
        "terminated_at": contract.terminated_at,
        "termination_ground": contract.termination_ground or None,
        "suspended_from": suspension.start if suspension else None,
        "suspended_to": suspension.end if suspension else None,
    }


def _windows(tx: Tx, one: Refusal) -> dict[str, Any]:
    """The windows that held at the time of a refusal for one of them."""
    if one.clause not in ("INT-01", "OPS-04"):
        return {}
    windows = Windows()
    for prefix in ("maintenance:", "interruption:"):
        for act in tx.acts.of_prefix(prefix):
            if act.at <= one.at:
                windows = windows.after(act)
    held = [
        window
        for window in (*windows.maintenance.values(), *windows.interruptions.values())
        if window.concerns(one.tenant_id) and window.window.holds(one.at)
    ]
    told = ("start", "end", "ground", "reason")
    return {f"window {window.id}": {key: getattr(window, key) for key in told} for window in held}


def _contract(tx: Tx, name: str, until: int | None = None) -> Contract | None:
    return fold(act for act in tx.acts.of_subject(PREFIX + name) if until is None or act.at <= until) if name else None


def _given(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in figures.items() if value not in (None, "", [], {})}
