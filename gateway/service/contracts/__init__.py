"""The life of contracts: each act is checked against the rules, recorded, and refused with the rule that forbids it.

``book`` reads and records, ``intake`` brings a contract from application to start notice, ``papers`` takes what the
customer files in writing, ``powers`` holds what the provider may do, ``upkeep`` does what falls due by the calendar.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.service.contracts.book import Actor, ContractBook, Paper
from gateway.service.contracts.intake import Intake
from gateway.service.contracts.papers import Papers
from gateway.service.contracts.powers import Powers
from gateway.service.contracts.upkeep import Upkeep

__all__ = ["Actor", "ContractBook", "ContractServices", "Intake", "Paper", "Papers", "Powers", "Upkeep"]


@dataclass(frozen=True)
class ContractServices:
    book: ContractBook
    intake: Intake
    papers: Papers
    powers: Powers
    upkeep: Upkeep
