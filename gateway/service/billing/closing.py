"""Issuing invoices: by the calendar of each contract, each once, with numbers that have no gap (FEE-03, CAL)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from gateway.domain.acts import Act
from gateway.domain.calendar import CalendarError, Period, jst_date
from gateway.domain.contract.records import Contract, ended_on
from gateway.domain.contract.values import ContractValues
from gateway.domain.errors import ActRefused, NotFound
from gateway.domain.invoice import InvoiceDocument, InvoiceError
from gateway.domain.invoice_records import ISSUED, PREFIX
from gateway.domain.issuer import Invoicing
from gateway.domain.tenant import Tenant
from gateway.domain.terms import Plans
from gateway.service.billing.ledger import Ledger, ledger_of
from gateway.service.billing.lookup import digest_of, document_of, kept
from gateway.service.billing.preparing import Preparation, Prepared, next_place
from gateway.service.contracts.book import Actor
from gateway.service.policies import Policies
from gateway.service.standing import Standings
from gateway.service.unit_of_work import Database, Tx
from gateway.service.usage import UsageService

MOST = 240
"""Invoices of one contract in one go: a contract that was left alone for 20 years."""


@dataclass(frozen=True)
class Closed:
    """What became of one contract: its invoices, or why there is nothing. ``rule`` is that of a refusal."""

    contract: str
    period: Period | None
    invoices: tuple[InvoiceDocument, ...] = ()
    refused: str = ""
    rule: str = ""


class Closing:
    """``is_metered`` tells whether anything on this gateway books usage."""

    def __init__(
        self,
        db: Database,
        clock: Callable[[], int],
        policies: Policies,
        usage: UsageService,
        standings: Standings,
        is_metered: Callable[[], bool],
    ) -> None:
        self._is_metered = is_metered
        self._db = db
        self._clock = clock
        self._policies = policies
        self._usage = usage
        self._standings = standings

    def invoicing(self) -> Invoicing:
        """Who issues, and under which series."""
        found: Invoicing = self._policies.get("issuer")
        return found

    # -- what an operator asks ----------------------------------------------------------------------------------------

    def close(self, day: date, actor: Actor, tenant: str | None = None, *, dry_run: bool = False) -> Iterator[Closed]:
        """Closes the billing period that holds a day, contract by contract: issues everything that is dated up to its
        end. Doing it again issues nothing. Each result is yielded when it is done.

        ActRefused CAL-01 when no period is over, SVC-01 for a tenant that is never billed, NotFound.
        """
        contracts = self._contracts(tenant)
        periods = {one.name: self._period(one, day) for one in contracts}
        today = jst_date(self._clock())
        known = [one for one in periods.values() if one]
        if known and all(one.end >= today for one in known):
            raise ActRefused(f"{_not_over(known[0])}; what is due is issued by `kurado billing issue`", "CAL-01")
        for contract in contracts:
            period = periods[contract.name]
            if period is not None and period.end >= today:
                yield Closed(contract.name, period, refused=_not_over(period), rule="CAL-01")
            elif period is not None:
                yield self._issue(contract, period, period.end, actor, dry_run)

    def issue(
        self, until: date | None, actor: Actor, tenant: str | None = None, *, dry_run: bool = False
    ) -> Iterator[Closed]:
        """Issues what is due without waiting for the end of a period: each invoice is dated on the first day of its
        period (FEE-03), a closing invoice on the receipt of the notice (END-04). By default up to today; at most
        ``invoice_lead_days`` ahead. ActRefused FEE-03."""
        today = jst_date(self._clock())
        for contract in self._contracts(tenant):
            lead = self._values(contract).invoice_lead_days
            if until is not None and until > today + timedelta(days=lead):
                raise ActRefused(f"an invoice is prepared at most {lead} days before its date", "FEE-03")
            yield self._issue(contract, None, until or today, actor, dry_run)

    def documents(self, day: date, tenant: str | None = None, *, invoiced_only: bool = False) -> list[InvoiceDocument]:
        """The invoices that are dated in the billing period of each contract that holds a day. ``invoiced_only``: none
        for a tenant that is never billed, instead of ActRefused."""
        found: list[InvoiceDocument] = []
        try:
            contracts = self._contracts(tenant)
        except ActRefused:
            if not invoiced_only:
                raise
            contracts = []
        for contract in contracts:
            period = self._period(contract, day)
            if period is not None:
                found += self._db.read(lambda tx, name=contract.name, period=period: _dated_in(tx, name, period))  # type: ignore[misc]
        return sorted(found, key=lambda one: one.number)

    def unissued(self, contract: Contract, until: date) -> list[Prepared]:
        """What would be issued now, dated up to a day. RuleError, InvoiceError."""
        return self._db.read(lambda tx: self._prepare(tx, contract.name, until))

    def newest_ended(self, contract: Contract, today: date) -> Period | None:
        """The newest period that is over on a day."""
        terms = contract.terms(self._values(contract))
        if terms is None or terms.calendar.start_date > today:
            return None
        ended = [one for one in terms.calendar.until(today) if one.end < today]
        return ended[-1] if ended else None

    def contracts(self) -> list[Contract]:
        """Those that are billed."""
        return self._contracts(None)

    def issue_one(self, contract: Contract, actor: Actor) -> Closed:
        """Issues what is due for one contract."""
        return self._issue(contract, None, jst_date(self._clock()), actor, dry_run=False)

    # -- one contract -------------------------------------------------------------------------------------------------

    def _issue(self, contract: Contract, period: Period | None, until: date, actor: Actor, dry_run: bool) -> Closed:
        try:
            self._settle_usage(contract)
            if dry_run:
                prepared = self.unissued(contract, until)
            else:
                prepared = self._db.write(lambda tx: self._record(tx, contract.name, until, actor)).result()
        except (CalendarError, InvoiceError) as error:
            return Closed(contract.name, period, refused=f"{error} ({error.code})", rule=_rule(error.code))
        except ActRefused as error:
            return Closed(contract.name, period, refused=error.message, rule=error.clause or "")
        if prepared and not dry_run:
            self._standings.forget()
        return Closed(contract.name, period, tuple(one.document for one in prepared))

    def _prepare(self, tx: Tx, name: str, until: date) -> list[Prepared]:
        invoicing, today = self.invoicing(), jst_date(self._clock())
        ledger = ledger_of(tx, name, today)
        values = self._values(ledger.contract)
        preparation = Preparation(tx, ledger, values, invoicing, self._plan_names(), today)
        return preparation.prepare(until, next_place(tx, invoicing.series))[:MOST]

    def _record(self, tx: Tx, name: str, until: date, actor: Actor) -> list[Prepared]:
        """In one transaction: what is still to be issued is looked up and numbered where nobody else can."""
        prepared = self._prepare(tx, name, until)
        ledger = ledger_of(tx, name, jst_date(self._clock())) if prepared else None
        for one in prepared:
            assert ledger is not None
            tx.acts.append(_act(one, ledger, tx.documents.customer_digest(name), actor, self._clock()))
        return prepared

    def _settle_usage(self, contract: Contract) -> None:
        """Freezes the figures of ended periods that are billed by usage. ActRefused while something could still come
        in."""
        tenant = self._tenant(contract)
        if tenant is None or not self._is_metered():
            return
        for period in self._usage.ended(tenant):
            self._usage.close(tenant, period)
        today = jst_date(self._clock())
        last = self.newest_ended(contract, min(today, (ended_on(contract, today, self._values(contract)) or today)))
        if last is None or not self._prices(contract, last):
            return
        if self._db.read(lambda tx: tx.usage.booked(tenant.id)) == (0, 0):
            return  # nothing was ever served: a gateway that does not run
        if self._db.read(lambda tx: tx.usage.closed_until(tenant.id)) < last.ends_at:
            raise ActRefused(
                f"the usage of {last.start} to {last.end} is not final yet: metering is asked again each minute",
                "FEE-02",
            )

    def _prices(self, contract: Contract, period: Period) -> bool:
        """Whether usage of a period has a price."""
        terms = contract.terms(self._values(contract))
        agreed = contract.billed_plan(terms.calendar.priced_from(period) if terms else period.start)
        listed = self._plans().plans.get(agreed.plan)
        return bool((listed.prices if listed else ()) if agreed.prices is None else agreed.prices)

    def _contracts(self, tenant: str | None) -> list[Contract]:
        """Contracts that have started or will; demo tenants have none and are never billed (SVC-01)."""
        found = [one for one in self._standings.contracts() if one.tenant_id and one.start_date is not None]
        if tenant is None:
            return found
        named = [one for one in found if tenant in (one.name, one.tenant)]
        if named:
            return named
        one = self._db.read(lambda tx: tx.tenants.get(tenant))
        if one is not None and one.demo:
            raise ActRefused(f"{tenant} is a demo tenant: it is never billed", "SVC-01")
        if one is None and not any(each.name == tenant for each in self._standings.contracts()):
            raise NotFound(f"there is no tenant {tenant!r}")
        raise ActRefused(f"{tenant} is under no contract that has a start: it is not billed", "SVC-01")

    def _period(self, contract: Contract, day: date) -> Period | None:
        terms = contract.terms(self._values(contract))
        if terms is None or day < terms.calendar.start_date:
            return None
        return terms.calendar.period_of(day)

    def _values(self, contract: Contract) -> ContractValues:
        return self._policies.values_of(contract)

    def _plans(self) -> Plans:
        plans: Plans = self._policies.get("plans")
        return plans

    def _plan_names(self) -> Mapping[str, str]:
        return {plan.id: plan.name for plan in self._plans().plans.values()}

    def _tenant(self, contract: Contract) -> Tenant | None:
        return self._db.read(lambda tx: tx.tenants.by_id(contract.tenant_id))


def _act(one: Prepared, ledger: Ledger, customer: str, actor: Actor, now: int) -> Act:
    document = one.document
    return Act(
        subject=PREFIX + document.number,
        kind=ISSUED,
        at=now,
        actor=actor.name,
        role=str(actor.role),
        rule=one.rule,
        tenant_id=ledger.contract.tenant_id,
        after="issued",
        data={
            "contract": ledger.contract.name,
            "kind": str(one.kind),
            "total": document.total,
            "dated": str(document.dated),
            "due_on": str(document.due),
            "method": document.method,
            "collector": "provider",
            "customer": customer,
            "sha256": digest_of(document),
            "credits": [{"claim": use.claim, "amount": use.amount} for use in one.credits],
            "usage_of": list(one.usage_of),
            "corrected": list(one.corrected),
            "document": kept(document),
        },
    )


def _rule(code: str) -> str:
    """The rule behind a refusal of the pure rules or of a document."""
    known = {"TAX": "TAX-01", "CUSTOMER": "APP-01", "NOTICE": "END-01", "CHANGE": "CHG-01", "START": "CAL-04"}
    return known.get(code.partition("_")[0], "FEE-09")


def _not_over(period: Period) -> str:
    return f"the billing period {period.start} to {period.end} is not over"


def _dated_in(tx: Tx, name: str, period: Period) -> list[InvoiceDocument]:
    invoices = ledger_of(tx, name, period.end).invoices
    return [document_of(tx, one) for one in invoices if period.start <= one.dated <= period.end]
