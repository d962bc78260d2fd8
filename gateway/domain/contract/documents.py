"""Documents in writing (RULES P-7, D-03): what counts is receipt by the provider, whoever carried it."""

from __future__ import annotations

from dataclasses import dataclass

CARRIERS = ("post", "fax", "hand", "signed_form", "reseller", "referral")
"""How it came. A bare e-mail is no document in writing."""

KINDS = (
    "application",
    "change_request",
    "nonrenewal",
    "renewal_application",
    "cancellation",
    "customer_change",
    "correspondence",
)


@dataclass(frozen=True, slots=True)
class Document:
    """``received_at`` is the provider's receipt, ms UTC; ``passed_on`` when a reseller or referral shop got it, which
    starts no clock (27(4)). ``digest`` is the SHA-256 of the scan."""

    id: int
    contract: str
    kind: str
    received_at: int
    carrier: str
    passed_on: int | None
    digest: str
    title: str
    registered_at: int
    registered_by: str
