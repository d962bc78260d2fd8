"""Money: invoices issued by the calendar of each contract, paid, assigned, corrected, collected by debit or agency.

``ledger`` reads what is known of a contract's money, ``preparing`` makes what would be issued, ``closing`` issues it,
``payments`` records what becomes of an invoice, ``collecting`` sends orders out and reads results back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.domain.ids import Ids
from gateway.service.billing.accounts import BankAccounts
from gateway.service.billing.closing import Closed, Closing
from gateway.service.billing.collecting import Collecting
from gateway.service.billing.damages import Damages
from gateway.service.billing.ledger import Ledger
from gateway.service.billing.payments import Invoices
from gateway.service.billing.refunds import Refunds
from gateway.service.billing.waiting import Waiting
from gateway.service.contracts.book import ContractBook
from gateway.service.policies import Policies
from gateway.service.standing import Standings
from gateway.service.unit_of_work import Database
from gateway.service.usage import UsageService

if TYPE_CHECKING:
    from gateway.hooks import Exporter

__all__ = ["BillingServices", "Closed", "Closing", "Collecting", "Invoices", "Ledger", "open_billing"]


@dataclass(frozen=True)
class BillingServices:
    closing: Closing
    waiting: Waiting
    invoices: Invoices
    collecting: Collecting
    accounts: BankAccounts
    refunds: Refunds
    damages: Damages

    def ledger(self, contract: str) -> Ledger:
        """All money of a contract. NotFound."""
        return self.invoices.ledger(contract)


def open_billing(
    db: Database,
    clock: Callable[[], int],
    ids: Ids,
    policies: Policies,
    usage: UsageService,
    standings: Standings,
    exporters: Callable[[], Mapping[str, Exporter]],
    is_metered: Callable[[], bool],
) -> BillingServices:
    """All of it over one database."""
    closing = Closing(db, clock, policies, usage, standings, is_metered)
    return BillingServices(
        closing=closing,
        waiting=Waiting(db, clock, closing),
        invoices=Invoices(db, clock, standings.forget),
        collecting=Collecting(db, clock, exporters, standings.forget),
        refunds=Refunds(db, clock, policies.values_of, standings.forget),
        damages=Damages(db, clock, policies.values_of, standings.forget),
        accounts=BankAccounts(ContractBook(db, ids, clock, policies.values_of, standings.forget), standings.contracts),
    )
