"""The life of contracts: each act is checked against the rules, recorded, and refused with the rule that forbids it.

``book`` reads and records, ``intake`` brings a contract from application to start notice, ``papers`` takes what the
customer files in writing, ``powers`` holds what the provider may do, ``revisions`` what it may change for all,
``upkeep`` does what falls due by the calendar.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.ids import Ids
from gateway.service.accounts import Accounts
from gateway.service.contracts.book import Actor, ContractBook, Paper
from gateway.service.contracts.disclosures import Disclosures
from gateway.service.contracts.discontinuing import DiscontinuingService
from gateway.service.contracts.intake import Intake
from gateway.service.contracts.papers import Papers
from gateway.service.contracts.powers import Powers
from gateway.service.contracts.revisions import Revisions
from gateway.service.contracts.transfers import Transfers
from gateway.service.contracts.upkeep import Upkeep
from gateway.service.explaining import Explaining
from gateway.service.policies import Policies
from gateway.service.standing import Standings
from gateway.service.statistics import Statistics
from gateway.service.unit_of_work import Database

__all__ = [
    "Actor",
    "ContractBook",
    "ContractServices",
    "Disclosures",
    "DiscontinuingService",
    "Intake",
    "Paper",
    "Papers",
    "Powers",
    "Revisions",
    "Transfers",
    "Upkeep",
    "contract_services",
]


@dataclass(frozen=True)
class ContractServices:
    book: ContractBook
    intake: Intake
    papers: Papers
    powers: Powers
    revisions: Revisions
    discontinuing: DiscontinuingService
    transfers: Transfers
    disclosures: Disclosures
    upkeep: Upkeep
    explaining: Explaining
    statistics: Statistics


def contract_services(
    db: Database,
    clock: Callable[[], int],
    ids: Ids,
    accounts: Accounts,
    policies: Policies,
    standings: Standings,
    is_enforced: Callable[[], bool],
) -> ContractServices:
    """All of them, over one book. ``is_enforced``: whether anything on this gateway keeps a tenant out."""
    book = ContractBook(db, ids, clock, policies.values_of, standings.forget)
    revisions = Revisions(book, policies)
    return ContractServices(
        book=book,
        intake=Intake(book, accounts, policies, is_enforced),
        papers=Papers(book, policies),
        powers=Powers(book),
        revisions=revisions,
        discontinuing=DiscontinuingService(book),
        transfers=Transfers(book),
        disclosures=Disclosures(book),
        upkeep=Upkeep(book, accounts, revisions, standings.contracts),
        explaining=Explaining(db, policies),
        statistics=Statistics(db, policies.values),
    )
