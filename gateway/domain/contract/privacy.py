"""Who may see what on which ground, and who may act for whom (RULES PRV, CUS, ACCT-04, TKD-01, AGT)."""

from __future__ import annotations

from gateway.domain.contract.values import RuleError

PROHIBITED_ITEMS = range(1, 8)
"""The items of §9(1)."""

_PROHIBITED = "prohibited_act"
_ANY = frozenset(("legal", "system_management_company"))

# info → (grounds, items of §9(1) for the ground of a prohibited act)
_DISCLOSURE: dict[str, tuple[frozenset[str], range]] = {
    "account_info": (_ANY, range(2, 7)),  # §5(4): ⑦ is not in this list
    "registered_data": (_ANY, range(2, 8)),  # §14
    "customer_info": (_ANY | {"payment_agency_billing", "service_transfer"}, range(2, 8)),  # §20(2), §11
    "access_log": (frozenset(("legal",)), range(0)),  # §12, D-43; statistics: §12(2)
    "traffic_record": (frozenset(("legal",)), range(0)),  # §12(1), D-43
}

_RESELLER = frozenset(
    ("onboarding", "fees", "change", "notice", "cancellation", "customer_info_change", "other_notice")
)
ACTS = _RESELLER | {"view_data", "takedown", "terminate", "represent_provider"}
_SCOPES = {"reseller": _RESELLER, "referral": _RESELLER - {"fees"}}


def may_disclose(info: str, ground: str, item: int | None = None, *, identifiable: bool = True) -> bool:
    """Whether information may be given out on a ground. RuleError INFO_UNKNOWN; an unknown ground is a no."""
    if info not in _DISCLOSURE:
        raise RuleError("INFO_UNKNOWN", f"there is no information {info!r}")
    grounds, items = _DISCLOSURE[info]
    if ground == _PROHIBITED:
        return _is_item(item) and item in items
    if ground == "anonymised_statistics":
        return info == "access_log" and not identifiable  # PRV-02
    return ground in grounds


def may_refuse_data(item: int) -> bool:
    """TKD-01: ② to ⑦ of §9(1), without any notice. RuleError ITEM_UNKNOWN."""
    if not _is_item(item) or item not in PROHIBITED_ITEMS:
        raise RuleError("ITEM_UNKNOWN", f"§9(1) has no item {item!r}")
    return item != 1


def may_act(party: str, act: str) -> bool:
    """AGT-01 to AGT-03: what a reseller or referral shop may carry. RuleError ACT_UNKNOWN."""
    if act not in ACTS:
        raise RuleError("ACT_UNKNOWN", f"there is no act {act!r}")
    return act in _SCOPES.get(party, frozenset())


def _is_item(item: object) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)
