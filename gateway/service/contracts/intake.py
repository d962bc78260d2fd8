"""From the application to the start notice (RULES APP-01 to APP-06): no data is served before (SVC-01)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date
from gateway.domain.contract.notices import notice_effect
from gateway.domain.contract.records import PREFIX, Agreed, Contract, Phase, agreed_data, fold
from gateway.domain.contract.values import Channel
from gateway.domain.errors import ActRefused, AlreadyExists, BadRequest
from gateway.domain.servicedocuments import ServiceDocuments
from gateway.domain.tenant import Role, check_tenant_name
from gateway.domain.terms import Plan, Plans
from gateway.service.accounts import Accounts
from gateway.service.contracts.book import Actor, ContractBook, Decision, check_actor, check_day, found, require
from gateway.service.policies import Policies
from gateway.service.unit_of_work import Tx

PAYMENT_METHODS = ("bank_debit", "invoice")
MAX_MINIMUM = 1200
"""Billing months, a hundred years: more is a slip of the hand."""
_CUSTOMER = ("name", "address", "contact", "email")


@dataclass(frozen=True, slots=True)
class Application:
    """APP-01. ``customer`` has name, address, contact, email. ``terms_version`` and ``privacy_version`` are what was
    agreed to, ``privacy_agreed_at`` when (APP-02). ``follows`` is the contract in whose place this one is to come: a
    lower plan is a new contract (CHG-07). ``partner``: the reseller or referral shop, by name (AGT-03)."""

    customer: Mapping[str, str]
    plan: str
    payment_method: str
    route: str = "direct"
    wished_start: date | None = None
    terms_version: str = ""
    privacy_version: str = ""
    privacy_agreed_at: int | None = None
    follows: str = ""
    partner: str = ""


class Intake:
    """``is_enforced`` tells whether anything on this gateway keeps a tenant out before its start."""

    def __init__(
        self, book: ContractBook, accounts: Accounts, policies: Policies, is_enforced: Callable[[], bool]
    ) -> None:
        self._book = book
        self._accounts = accounts
        self._policies = policies
        self._is_enforced = is_enforced

    def apply(self, name: str, application: Application, actor: Actor) -> Contract:
        """Files an application under ``name``, by which the contract (and its tenant) is called from then on.

        ActRefused APP-02 without consent to the privacy policy, APP-01 when something is missing. AlreadyExists.
        """
        check_tenant_name(name)
        check_day(application.wished_start, "the wished start", "APP-01")
        self._check(application)
        route = Channel(application.route)
        partner = application.partner or actor.partner
        check_actor(actor, route, "onboarding", partner)
        require(not partner or route is not Channel.DIRECT, "a direct customer came through no partner", "APP-01")
        plans: Plans = self._policies.get("plans")
        plan = plans.get(application.plan)

        def work(tx: Tx) -> Contract:
            now = self._book.clock()
            if tx.acts.of_subject(PREFIX + name):
                raise AlreadyExists(f"there is an application {name!r} already; a new one is a new contract (CHG-07)")
            if application.follows:
                found(tx, application.follows)
            digest = tx.documents.put_customer(name, application.customer, now)
            data = {
                "route": str(route),
                "plan": plan.id,
                "payment_method": application.payment_method,
                "wished_start": application.wished_start and application.wished_start.isoformat(),
                "terms_version": application.terms_version,
                "privacy_version": application.privacy_version,
                "privacy_agreed_at": application.privacy_agreed_at,
                "customer": digest,
                "follows": application.follows,
                "partner": partner,
            }
            subject, role = PREFIX + name, str(actor.role)
            act = Act(subject, "contract.applied", now, actor.name, role, "APP-01", after="applied", data=data)
            applied = fold([tx.acts.append(act)])
            assert applied is not None
            return applied

        done = self._book.db.write(work).result()
        self._book.changed()
        return done

    def _check(self, application: Application) -> None:
        require(
            bool(application.privacy_version) and application.privacy_agreed_at is not None,
            "the privacy policy must be shown and agreed to before the application is filed",
            "APP-02",
        )
        assert application.privacy_agreed_at is not None
        self._book.check_past(application.privacy_agreed_at, "the consent to the privacy policy")
        missing = [key for key in _CUSTOMER if not application.customer.get(key, "").strip()]
        require(not missing, f"the application lacks {', '.join(missing)}", "APP-01")
        require(bool(application.terms_version), "the application names no version of the terms", "APP-01")
        known: ServiceDocuments = self._policies.get("documents")
        _same_version(known, "terms", application.terms_version, "APP-01")
        _same_version(known, "privacy", application.privacy_version, "APP-02")
        methods = self._policies.values().payment_methods
        if application.payment_method not in methods:
            raise ActRefused(f"payment is by {' or '.join(methods)}", "FEE-07")
        if application.route not in tuple(Channel):
            raise ActRefused(f"the route is one of {', '.join(Channel)}", "APP-01")

    def review(self, name: str, actor: Actor) -> Contract:
        """applied → under_review (APP-03)."""

        def decide(contract: Contract, _now: int) -> Decision:
            _require_phase(contract, Phase.APPLIED, "APP-03")
            return Decision("contract.review_begun", "APP-03")

        return self._book.act(name, actor, decide)

    def accept(
        self, name: str, actor: Actor, *, minimum_months: int, reason: str, start_day: int | None = None
    ) -> Contract:
        """under_review → accepted (APP-03). The minimum is fixed here (TERM-01), and the plan with its prices of today.

        A ``start_day`` other than that of the terms is an approval of CAL-04.
        """
        _require_reason(reason)
        plans: Plans = self._policies.get("plans")
        documents = self._policies.agreed_documents()
        values = self._policies.values()

        def decide(contract: Contract, _now: int) -> Decision:
            _require_phase(contract, Phase.UNDER_REVIEW, "APP-03")
            require(1 <= minimum_months <= MAX_MINIMUM, f"the minimum is 1 to {MAX_MINIMUM} billing months", "TERM-01")
            day = values.start_day if start_day is None else start_day
            require(1 <= day <= 31, f"a billing month cannot start on day {day}: 1 to 31", "CAL-03")
            data = {
                "minimum_months": minimum_months,
                "start_day": day,
                "reason": reason,
                "agreed": agreed_data(agreed(plans.get(contract.plan))),
                "documents": documents,
            }
            return Decision("contract.accepted", "APP-03", data=data)

        return self._book.act(name, actor, decide)

    def reject(self, name: str, actor: Actor, reason: str) -> Contract:
        """under_review → rejected, with a reason (APP-03)."""
        _require_reason(reason)

        def decide(contract: Contract, _now: int) -> Decision:
            _require_phase(contract, Phase.UNDER_REVIEW, "APP-03")
            return Decision("contract.rejected", "APP-03", data={"reason": reason})

        return self._book.act(name, actor, decide)

    def register(self, name: str, actor: Actor, *, login: str, password: str) -> Contract:
        """accepted → registered: tenant, space and first account come to be, all or none (APP-04). No access yet."""
        require(
            self._is_enforced(),
            "no plugin of gateway.yaml enforces contracts, so the space would be open before its start: add "
            "`- name: contract_state` to plugins",
            "APP-04",
        )
        plan = self._book.get(name).plan
        tenant, add_tenant = self._accounts.tenant_to_add(name, plan, who=actor.name)
        add_user = self._accounts.user_to_add(tenant.name, login, password, Role.OWNER, who=actor.name)

        def decide(contract: Contract, _now: int) -> Decision:
            _require_phase(contract, Phase.ACCEPTED, "SVC-01")
            return Decision("contract.registered", "APP-04", data={"tenant": name, "login": login}, tenant_id=tenant.id)

        def also(tx: Tx, _contract: Contract) -> None:
            add_tenant(tx)
            add_user(tx)

        return self._book.act(name, actor, decide, also=also)

    def notify_start(
        self, name: str, actor: Actor, *, start_date: date, sent_at: int, arrived_at: int | None = None
    ) -> Contract:
        """registered → notified (APP-05). The notice works on arrival; before that and before 00:00 JST of the start
        every call is NOT_STARTED. ActRefused APP-05 for a start before the day of sending (D-05)."""
        check_day(start_date, "the start", "APP-05")

        def decide(contract: Contract, _now: int) -> Decision:
            _require_phase(contract, Phase.REGISTERED, "APP-05")
            require(
                start_date >= jst_date(sent_at),
                f"the start {start_date} is before the notice was sent, {jst_date(sent_at)}",
                "APP-05",
            )
            _check_arrival(sent_at, arrived_at)
            effect = notice_effect("start_notice", sent_at, arrived_at)
            data = {"start_date": start_date.isoformat(), "sent_at": sent_at, "arrived_at": effect.at}
            return Decision("contract.start_notified", "APP-05", data=data)

        for at in filter(None, (sent_at, arrived_at)):
            self._book.check_past(at, "the start notice")
        return self._book.act(name, actor, decide)

    def start_notice_arrived(self, name: str, actor: Actor, arrived_at: int) -> Contract:
        """The start notice reached the customer, or the customer acknowledged it (NTC-03, D-46)."""
        self._book.check_past(arrived_at, "the arrival of the start notice")

        def decide(contract: Contract, _now: int) -> Decision:
            _require_phase(contract, Phase.NOTIFIED, "APP-05")
            require(contract.notice_arrived_at is None, "the start notice has arrived already", "NTC-03")
            return Decision("contract.start_notice_arrived", "NTC-03", data={"arrived_at": arrived_at})

        return self._book.act(name, actor, decide)


def agreed(plan: Plan) -> Agreed:
    """A plan of the price list at its conditions of now."""
    return Agreed(plan.id, plan.capacity_fee, plan.option_fee, plan.capacity_bytes, plan.features, plan.prices)


def _same_version(known: ServiceDocuments, name: str, agreed_to: str, rule: str) -> None:
    """What was agreed to is what is in force, where the operator says which that is (SVC-03)."""
    version = known.version(name)
    require(version in (None, agreed_to), f"the version of {name} in force is {version}, not {agreed_to}", rule)


def _check_arrival(sent_at: int, arrived_at: int | None) -> None:
    if arrived_at is not None and arrived_at < sent_at:
        raise BadRequest("a notice cannot arrive before it is sent")


def _require_phase(contract: Contract, phase: Phase, rule: str) -> None:
    require(contract.phase is phase, f"the contract is {contract.phase}, this needs one that is {phase}", rule)


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise ActRefused("a reason is stored with every decision", "APP-03")
