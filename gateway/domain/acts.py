"""Acts: what somebody of the provider, the customer or a partner did, each a record that is never changed (RULES P-6).

All acts of an installation are one chain: the digest of each covers the digest of the one before, so that nothing can
be changed, taken out or put in later without a trace. What a contract, a takedown or a window is *now* is never
stored: it is folded from its acts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

GENESIS = "0" * 64
"""Stands for the digest before the first act."""


class ActorRole(StrEnum):
    """In whose place somebody acts (RULES section 0, "Roles")."""

    OPERATOR = "operator"
    APPROVER = "approver"
    SYSTEM = "system"
    CUSTOMER = "tenant-admin"
    RESELLER = "reseller"
    REFERRAL_SHOP = "referral-shop"


@dataclass(frozen=True, slots=True)
class Act:
    """One act. ``subject`` is what it is about (``contract:acme``), ``rule`` the id that allows it, ``ground`` the
    clause or ground code it rests on, ``before`` and ``after`` the state of the subject. ``at`` is when it was
    recorded, ms UTC; days that count for a rule (a receipt) are in ``data``. ``tenant_id`` 0: of no single tenant.

    ``seq``, ``previous`` and ``digest`` are given when it is stored (:func:`chained`).
    """

    subject: str
    kind: str
    at: int
    actor: str
    role: str
    rule: str
    tenant_id: int = 0
    ground: str = ""
    before: str = ""
    after: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0
    previous: str = ""
    digest: str = ""


def chained(act: Act, seq: int, previous: str) -> Act:
    """The act in its place of the chain."""
    placed = replace(act, seq=seq, previous=previous, digest="")
    return replace(placed, digest=digest_of(placed))


def digest_of(act: Act) -> str:
    """SHA-256 over all other fields, as JSON with sorted keys."""
    content = asdict(act)
    del content["digest"]
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ChainFault:
    """Where the chain does not hold. ``seq`` is the number expected there."""

    seq: int
    what: str


def check_chain(acts: Iterable[Act], count: int, head: str | None = None) -> tuple[str, ChainFault | None]:
    """The digest at the end of the chain, and its first fault.

    ``count`` is how many acts there must be; ``head`` a digest that was noted elsewhere and must be among them: only
    that shows that the whole chain was not written anew.
    """
    seq, previous, head_seen = 0, GENESIS, head is None or head == GENESIS
    for act in acts:
        seq += 1
        fault = chain_fault(act, seq, previous)
        if fault:
            return previous, ChainFault(seq, fault)
        previous = act.digest
        head_seen = head_seen or act.digest == head
    if seq != count:
        return previous, ChainFault(seq + 1, f"{count} acts were recorded, {seq} are there")
    if not head_seen:
        return previous, ChainFault(seq, "the noted digest is not among the acts")
    return previous, None


def chain_fault(act: Act, seq: int, previous: str) -> str | None:
    """Why an act does not stand at a place, after the act with the digest ``previous``; None when it does."""
    if act.seq != seq:
        return f"act {seq} is missing"
    if act.previous != previous:
        return "it does not follow the act before it"
    if digest_of(act) != act.digest:
        return "it was changed"
    return None
