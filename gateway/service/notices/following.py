"""What a sent or arrived notice does: it creates, changes or ends the use (RULES NTC-03), or starts a clock.

Everything here may be done again without harm: the contract's acts show whether it was done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import date

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date
from gateway.domain.contract.records import Phase
from gateway.domain.errors import KuradoError, Unavailable
from gateway.domain.notice import OPERATORS, PREFIX, Notice
from gateway.service.contracts import ContractServices
from gateway.service.contracts.book import SYSTEM
from gateway.service.contracts.powers import CORRECTION, PAYMENT
from gateway.service.notices.book import ALARM, Notices
from gateway.service.unit_of_work import Database

log = logging.getLogger("kurado.notices")


class Following:
    def __init__(self, db: Database, clock: Callable[[], int], notices: Notices, contracts: ContractServices) -> None:
        self._db = db
        self._clock = clock
        self._notices = notices
        self._contracts = contracts
        self._steps: Mapping[tuple[str, str], Callable[[Notice], None]] = {
            ("notice.sent", "start_notice"): self._start_sent,
            ("notice.arrived", "start_notice"): self._start_arrived,
            ("notice.arrived", "nonrenewal"): self._not_renewed,
            ("notice.sent", "payment_demand"): self._payment_demanded,
            ("notice.arrived", "correction_demand"): self._correction_demanded,
            ("notice.arrived", "termination"): self._terminated,
            ("notice.sent", "terms_revision"): self._revision_told,
            ("notice.arrived", "price_revision"): self._revision_told,
            ("notice.arrived", "terms_revision"): self._revision_told,
            ("notice.arrived", "discontinuation"): self._discontinuation_told,
            ("notice.sent", "service_transfer"): self._transfer_told,
            ("notice.arrived", "service_transfer"): self._transfer_told,
        }

    def after(self, act: Act) -> None:
        """Does what an act about a notice brings about. What the rules refuse becomes an operator's task."""
        if act.kind not in ("notice.sent", "notice.arrived"):
            return
        notice = self._notices.get(act.subject.removeprefix(PREFIX))
        step = self._steps.get((act.kind, notice.kind))
        if step is None or notice.contract == OPERATORS:
            return
        try:
            step(notice)
        except Unavailable:
            raise
        except KuradoError as error:
            text = f"the {notice.kind} to {notice.contract} has no effect: {error.message}"
            log.warning("a notice has no effect", extra={"notice": notice.id, "reason": error.message})
            now = self._clock()
            self._db.write(lambda tx: tx.system.alarm(ALARM, f"{notice.id}:effect", text, now)).result()

    def _start_sent(self, notice: Notice) -> None:
        """APP-05: registered → notified; it works on arrival."""
        if self._contracts.book.get(notice.contract).phase is not Phase.REGISTERED:
            return
        assert notice.sent_at is not None
        start = date.fromisoformat(notice.params["start_date"])
        self._contracts.intake.notify_start(notice.contract, SYSTEM, start_date=start, sent_at=notice.sent_at)

    def _start_arrived(self, notice: Notice) -> None:
        self._start_sent(notice)
        contract = self._contracts.book.get(notice.contract)
        assert notice.arrived_at is not None
        if contract.phase is Phase.NOTIFIED and contract.notice_arrived_at is None:
            self._contracts.intake.start_notice_arrived(notice.contract, SYSTEM, notice.arrived_at)

    def _not_renewed(self, notice: Notice) -> None:
        """TERM-04: the provider's offer counts from its arrival."""
        assert notice.arrived_at is not None
        if jst_date(notice.arrived_at) not in self._contracts.book.get(notice.contract).offers:
            self._contracts.papers.provider_nonrenewal(notice.contract, SYSTEM, notice.arrived_at)

    def _payment_demanded(self, notice: Notice) -> None:
        """END-05 ①: the clock runs from the day of sending."""
        known = self._contracts.book.get(notice.contract).demands
        if any(one.sent_at == notice.sent_at and one.ground == PAYMENT for one in known):
            return
        assert notice.sent_at is not None
        due = date.fromisoformat(notice.params["due_on"])
        self._contracts.powers.demand(notice.contract, SYSTEM, ground=PAYMENT, sent_at=notice.sent_at, due_on=due)

    def _correction_demanded(self, notice: Notice) -> None:
        """END-05 ②, LIM-03: the clock runs from the day of receipt."""
        known = self._contracts.book.get(notice.contract).demands
        if any(one.received_at == notice.arrived_at and one.ground == CORRECTION for one in known):
            return
        assert notice.sent_at is not None
        self._contracts.powers.demand(
            notice.contract,
            SYSTEM,
            ground=CORRECTION,
            sent_at=notice.sent_at,
            received_at=notice.arrived_at,
            case=notice.params.get("case"),
        )

    def _terminated(self, notice: Notice) -> None:
        """END-05: at once, on arrival. That the ground still stands on that day is checked there."""
        if self._contracts.book.get(notice.contract).terminated_at is not None:
            return
        params = notice.params
        assert notice.arrived_at is not None
        self._contracts.powers.terminate(
            notice.contract,
            SYSTEM,
            ground=params["ground"],
            arrived_at=notice.arrived_at,
            demand=params.get("demand"),
            found_on=date.fromisoformat(params["found_on"]) if params.get("found_on") else None,
            reason=params.get("reason", ""),
        )

    def _revision_told(self, notice: Notice) -> None:
        """REV-01, REV-02: since the notice took effect, by sending or on arrival (NTC-02 to NTC-04)."""
        since = notice.effect.at
        if since is not None and "revision" in notice.params:
            self._contracts.revisions.told(notice.params["revision"], notice.contract, SYSTEM, at=since)

    def _discontinuation_told(self, notice: Notice) -> None:
        """DSC-02: the e-mail's part of the two notices."""
        since = notice.effect.at
        if since is not None and "discontinuation" in notice.params:
            self._contracts.discontinuing.told(notice.params["discontinuation"], notice.contract, SYSTEM, at=since)

    def _transfer_told(self, notice: Notice) -> None:
        """XFR-01."""
        since = notice.effect.at
        if since is not None and "transfer" in notice.params:
            self._contracts.transfers.told(notice.params["transfer"], notice.contract, SYSTEM, at=since)
