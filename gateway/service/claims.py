"""Claims for compensation: filed by the customer, decided by the provider, paid by deduction (RULES CMP-07, CMP-08)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date
from gateway.domain.contract.claims import CLAIM, KINDS, Claim, ClaimLog, ClaimState, log_of
from gateway.domain.contract.records import Contract
from gateway.domain.errors import NotFound
from gateway.service.contracts.book import Actor, check_actor, require
from gateway.service.folded import Folded
from gateway.service.slas import Case, LevelReport, ServiceLevels
from gateway.service.standing import Standings
from gateway.service.unit_of_work import Database, Tx

PARTY_ACT = "other_notice"
"""What a reseller or a referral shop carries when it passes a claim on (AGT-01, AGT-02)."""


@dataclass(frozen=True, slots=True)
class Filing:
    """What a customer claims: which billing period (any day of it), what of it (nothing named: all of it), and in its
    own words what happened. ``received_at`` in ms, None is now."""

    day: date
    statement: str
    kinds: Sequence[str] = ()
    refs: Sequence[str] = ()
    received_at: int | None = None


class Claims:
    """``changed`` is called when an act was recorded."""

    def __init__(
        self,
        db: Database,
        clock: Callable[[], int],
        standings: Standings,
        levels: ServiceLevels,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._standings = standings
        self._levels = levels
        self._changed = changed
        self._folded: Folded[ClaimLog] = Folded(db, ClaimLog(), ClaimLog.after, CLAIM)

    def log(self) -> ClaimLog:
        """All claims as they are now."""
        return self._folded.now()

    def get(self, name: str) -> Claim:
        """NotFound."""
        return _known(self.log(), name)

    def history(self, name: str) -> list[Act]:
        """All acts about a claim. NotFound."""
        self.get(name)
        return self._db.read(lambda tx: tx.acts.of_subject(CLAIM + name))

    def granted(self, contract: str) -> list[Claim]:
        """The granted claims of a contract, to be deducted from its invoices (FEE-10), in the order of the grants."""
        return sorted(self.log().granted(contract), key=lambda one: (one.accepted_on or date.min, one.id))

    # -- file ---------------------------------------------------------------------------------------------------------

    def file(self, actor: Actor, contract: Contract, filing: Filing) -> Claim:
        """Takes a claim. One made before the non-performance ended stands (CMP-07); one that comes after its last day
        is refused, as is one for what was compensated or is claimed already."""
        check_actor(actor, contract.route, PARTY_ACT, contract.partner)
        now = self._clock()
        received = now if filing.received_at is None else filing.received_at
        require(received <= now, "the receipt of a claim lies in the future", "P-6")
        require(bool(filing.statement.strip()), "a claim says what happened", "CMP-07")
        unknown = [kind for kind in filing.kinds if kind not in KINDS]
        require(not unknown, f"compensation is for {', '.join(KINDS)}", "CMP-07")
        report = self._levels.report(contract, filing.day)
        day = jst_date(received)

        def work(tx: Tx) -> Claim:
            log = fold(tx)
            claim = Claim(
                log.next_id(),
                contract.name,
                report.period.start,
                day,
                filing.statement,
                kinds=tuple(filing.kinds),
                refs=tuple(filing.refs),
            )
            self._check_filing(claim, report, log)
            data = {
                "contract": contract.name,
                "period": claim.period.isoformat(),
                "claimed_on": day.isoformat(),
                "statement": claim.statement,
                "kinds": list(claim.kinds),
                "refs": list(claim.refs),
            }
            return self._record(tx, actor, contract, claim, "claim.filed", "CMP-07", data)

        return self._write(work)

    def _check_filing(self, claim: Claim, report: LevelReport, log: ClaimLog) -> None:
        covered = [case for case in report.cases if claim.covers(case.item)]
        late = [case for case in covered if case.last_claim_day is not None and case.last_claim_day < claim.claimed_on]
        last = max((case.last_claim_day for case in late if case.last_claim_day), default=None)
        require(not covered or len(late) < len(covered), f"the last day of this claim was {last}", "CMP-07")
        fresh = [case for case in covered if not log.is_paid(claim.contract, case.item)]
        require(not covered or bool(fresh), "this is compensated already", "CMP-07")
        waiting = [one for one in log.of_contract(claim.contract, claim.period) if one.state is ClaimState.FILED]
        same = next((one for one in waiting if (one.kinds, one.refs) == (claim.kinds, claim.refs)), None)
        require(same is None, f"this is claimed already, as {same.id if same else ''}", "CMP-07")

    # -- decide -------------------------------------------------------------------------------------------------------

    def reject(self, actor: Actor, name: str, rule: str, reason: str) -> Claim:
        """Refuses a claim by a rule."""
        require(bool(reason.strip()), "say why", "P-6")
        contract = self._contract(self.get(name))

        def work(tx: Tx) -> Claim:
            claim = _waiting(fold(tx), name)
            data = {"contract": claim.contract, "period": claim.period.isoformat(), "reason": reason}
            return self._record(tx, actor, contract, claim, "claim.rejected", rule, data)

        return self._write(work)

    def grant(self, actor: Actor, name: str, rule: str = "", reason: str = "") -> Claim:
        """Grants what of a claim the rules compensate, computed now (CMP-02 to CMP-06); ``rule`` narrows it to what
        that rule compensates. ActRefused when that is nothing, or still lasts."""
        today = jst_date(self._clock())
        contract = self._contract(self.get(name))
        report = self._levels.report(contract, self.get(name).period)

        def work(tx: Tx) -> Claim:
            log = fold(tx)
            claim = _waiting(log, name)
            cases = self._payable(claim, report, log, rule)
            before = sum(one.amount for one in log.granted(claim.contract, claim.period))
            total = sum(case.amount for case in cases)
            amount = min(total, max(0, report.accounting.cap - before))
            require(amount > 0, f"the compensation for {claim.period} is used up or nothing", "CMP-06")
            rules = {case.rule for case in cases}
            data = {
                "claim": claim.id,
                "contract": claim.contract,
                "period": claim.period.isoformat(),
                "accepted_on": today.isoformat(),
                "amount": amount,
                "rule": rules.pop() if len(rules) == 1 and amount == total else "CMP-06",
                "reason": reason,
                "figures": _figures(report, cases, before, total),
            }
            return self._record(tx, actor, contract, claim, "claim.granted", str(data["rule"]), data)

        return self._write(work)

    def _payable(self, claim: Claim, report: LevelReport, log: ClaimLog, rule: str) -> list[Case]:
        covered = [case for case in report.cases if claim.covers(case.item) and (not rule or case.rule == rule)]
        by = f" by {rule}" if rule else ""
        require(bool(covered), f"the record of {claim.period} shows nothing to compensate{by}", "CMP-07")
        fresh = [case for case in covered if not log.is_paid(claim.contract, case.item)]
        require(bool(fresh), "this is compensated already", "CMP-07")
        lasting = [case.item.ref for case in fresh if case.item.kind == "availability" and case.ended_at is None]
        require(not lasting, f"the stop from {', '.join(lasting)} still lasts: its length is not known", "SLA-AV-07")
        in_time = [case for case in fresh if case.last_claim_day is None or claim.claimed_on <= case.last_claim_day]
        require(bool(in_time), "it was claimed after the last day", "CMP-07")
        return in_time

    # -- common -------------------------------------------------------------------------------------------------------

    def _contract(self, claim: Claim) -> Contract:
        return self._standings.now().contracts[claim.contract]

    def _write(self, work: Callable[[Tx], Claim]) -> Claim:
        done = self._db.write(work).result()
        self._changed()
        return done

    def _record(
        self, tx: Tx, actor: Actor, contract: Contract, claim: Claim, kind: str, rule: str, data: Mapping[str, Any]
    ) -> Claim:
        is_new = kind == "claim.filed"
        act = Act(
            CLAIM + claim.id,
            kind,
            self._clock(),
            actor.name,
            str(actor.role),
            rule,
            tenant_id=contract.tenant_id,
            before="" if is_new else str(claim.state),
            after=kind.removeprefix("claim."),
            data=data,
        )
        return ClaimLog({} if is_new else {claim.id: claim}).after(tx.acts.append(act)).all[claim.id]


def fold(tx: Tx) -> ClaimLog:
    """From the database itself, within the transaction: nothing is granted twice."""
    return log_of(tx.acts.of_prefix(CLAIM))


def _figures(report: LevelReport, cases: Sequence[Case], before: int, total: int) -> dict[str, Any]:
    """What the amount was computed from, for the invoice line and for whoever asks why."""
    return {
        "monthly_fee": report.monthly_fee,
        "cap": report.accounting.cap,
        "granted_before": before,
        "total": total,
        "items": [
            {
                "kind": case.item.kind,
                "ref": case.item.ref,
                "until": case.item.until,
                "amount": case.amount,
                "rule": case.rule,
                "ended_on": None if case.ended_at is None else jst_date(case.ended_at).isoformat(),
                "last_claim_day": case.last_claim_day.isoformat() if case.last_claim_day else None,
            }
            for case in cases
        ],
    }


def _known(log: ClaimLog, name: str) -> Claim:
    found = log.all.get(name)
    if found is None:
        raise NotFound(f"there is no claim {name!r}")
    return found


def _waiting(log: ClaimLog, name: str) -> Claim:
    claim = _known(log, name)
    require(claim.state is ClaimState.FILED, f"{name} is {claim.state} already", "CMP-07")
    return claim
