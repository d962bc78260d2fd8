"""Who may see what on which ground, and who may act for whom (RULES PRV, CUS, ACCT-04, TKD-01, AGT)."""

from __future__ import annotations

from gateway.domain.contract.values import SEED, ContractValues, RuleError

PROHIBITED_ITEMS = range(1, 8)
"""The items of §9(1)."""

_PROHIBITED = "prohibited_act"
_STATISTICS = "anonymised_statistics"
_TRANSFER = "service_transfer"


def _grounds(info: str, values: ContractValues) -> frozenset[str]:
    """Grounds on which information may be given out; an item of §9(1) stands as ``9-2``."""
    legal = frozenset(("legal",))
    known = {
        "account_info": frozenset(values.account_grounds),  # §5(4): ⑦ is not in this list
        "registered_data": frozenset(values.content_grounds),  # §14
        "customer_info": frozenset(values.customer_grounds) | {_TRANSFER},  # §20(2), §11
        "access_log": legal,  # §12, D-43; statistics: §12(2)
        "traffic_record": legal,  # §12(1), D-43
    }
    if info not in known:
        raise RuleError("INFO_UNKNOWN", f"there is no information {info!r}")
    return known[info]


_RESELLER = frozenset(
    ("onboarding", "fees", "change", "notice", "cancellation", "customer_info_change", "other_notice")
)
ACTS = _RESELLER | {"view_data", "takedown", "terminate", "represent_provider"}
_SCOPES = {"reseller": _RESELLER, "referral": _RESELLER - {"fees"}}


def may_disclose(
    info: str, ground: str, item: int | None = None, *, identifiable: bool = True, values: ContractValues = SEED
) -> bool:
    """Whether information may be given out on a ground. RuleError INFO_UNKNOWN; an unknown ground is a no.

    ``item`` is that of §9(1) for the ground of a prohibited act.
    """
    grounds = _grounds(info, values)
    if ground == _PROHIBITED:
        return _is_item(item) and f"9-{item}" in grounds
    if ground == _STATISTICS:
        return info == "access_log" and not identifiable  # PRV-02
    return ground in grounds and not ground.startswith("9-")


def may_use(purpose: str, values: ContractValues = SEED) -> bool:
    """Whether application data may be used for a purpose (CUS-02)."""
    return purpose in values.purposes


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
