"""The kinds of notices that the rules name: by which rule each is given, how it takes effect, what its text is told.

``sample`` holds every parameter that a template of the kind gets: templates, ours and an operator's, are tried with it.
Times are ms UTC, days ISO dates, money whole JPY.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_AT, _LATER, _DAY = 1_806_858_000_000, 1_806_872_400_000, "2027-04-05"


@dataclass(frozen=True, slots=True)
class NoticeKind:
    """``effect``: the kind in the words of NTC-02 and NTC-03, which decides whether it works by sending or on arrival.
    ``by_hand``: an operator may send it by a command."""

    name: str
    effect: str
    rule: str
    about: str
    sample: Mapping[str, Any] = field(default_factory=dict)
    by_hand: bool = False


def _kind(
    name: str, effect: str, rule: str, about: str, sample: Mapping[str, Any] | None = None, *, by_hand: bool = False
) -> NoticeKind:
    return NoticeKind(name, effect, rule, about, sample or {}, by_hand)


_TEXT = {"title_ja": "お知らせ", "title_en": "News", "text_ja": "本文です。", "text_en": "The text."}
_WINDOW = {"window": "M1", "start": _AT, "end": _LATER, "reason": "storage upgrade"}
_INCIDENT = {"incident": "INC-1", "recognised_at": _AT}

_ALL = (
    # -- contract, start to end
    _kind("start_notice", "start_notice", "APP-05", "registration complete, first day of use",
          {"start_date": _DAY}, by_hand=True),
    _kind("plan_change_approval", "plan_change_approval", "CHG-01", "a change of the plan is granted",
          {"plan": "standard", "requested_on": _DAY, "effective_on": _DAY, "billed_from": "2027-04-21",
           "initial_fee_difference": 1000, "change_fee": 500}),
    _kind("start_day_approval", "start_day_approval", "CAL-04", "another first day of the billing month is approved",
          {"new_day": 1, "approved_on": _DAY}),
    _kind("renewal_reminder", "information", "TERM-08", "the term ends; until when an offer against renewal counts",
          {"last_day": "2028-04-20", "deadline": "2028-03-21"}),
    _kind("referral_reminder", "information", "TERM-07", "the term ends unless a renewal is applied for",
          {"last_day": "2027-10-20"}),
    _kind("term_end_reminder", "information", "TERM-08", "the contract ends with its term", {"last_day": "2027-10-20"}),
    _kind("nonrenewal", "nonrenewal", "TERM-04", "the provider does not renew",
          {"last_day": "2028-04-20"}, by_hand=True),
    _kind("offer_received", "information", "TERM-03", "a customer's offer against renewal was received",
          {"received_on": _DAY}),
    _kind("renewal_received", "information", "TERM-07", "a renewal application was received", {"received_on": _DAY}),
    _kind("cancellation_received", "information", "END-01", "a notice of cancellation was received",
          {"received_on": _DAY, "last_day": "2027-05-05", "lump_sum": 120000, "lump_sum_months": 10,
           "payable_until": "2027-05-05"}),
    _kind("lump_sum_received", "information", "END-04", "the lump sum was paid",
          {"paid_on": _DAY, "last_day": "2027-05-05"}),
    _kind("contract_ended", "information", "END-07", "the contract has ended; until when data is kept",
          {"ended_on": _DAY, "kept_until": "2027-07-04"}),
    _kind("data_erased", "information", "END-07", "the data was erased after its retention",
          {"ended_on": _DAY, "erased_on": "2027-07-05", "retention_days": 90}),
    _kind("customer_changed", "information", "CUS-01", "changed customer data is registered", {"fields": ["email"]}),
    # -- demands, suspension, stop, termination
    _kind("payment_demand", "payment_demand", "END-05", "demand to pay an overdue claim",
          {"due_on": _DAY, "amount": 11000, "invoice": "KRD-000001", "grace_days": 15}, by_hand=True),
    _kind("correction_demand", "correction_demand", "LIM-03", "demand to correct an overload or another breach",
          {"case": "L1", "text": "毎秒 900 件のアクセス", "grace_days": 15}, by_hand=True),
    _kind("suspension", "suspension", "LIM-03", "the use is suspended on an overload case",
          {"case": "L1", "start": _AT, "end": _LATER, "reason": "overload"}),
    _kind("suspension_lifted", "information", "LIM-03", "the suspension is lifted", {"case": "L1", "at": _AT}),
    _kind("stopped", "suspension", "ANT-01", "the use is stopped on the ground of clause 24(2)", {"at": _AT}),
    _kind("termination", "termination", "END-05", "the provider terminates the contract",
          {"ground": "17(1)1", "reason": "arrears", "demand": "D1", "found_on": _DAY}, by_hand=True),
    # -- maintenance, interruption, incidents
    _kind("maintenance_regular", "maintenance", "OPS-02", "a regular maintenance window is coming",
          {"window": "regular-2027-04-05", "start": _AT, "end": _LATER}),
    _kind("maintenance_announced", "maintenance", "OPS-03", "ad-hoc maintenance is announced", _WINDOW),
    _kind("maintenance_extended", "maintenance", "SLA-MNT-02", "maintenance takes longer than announced", _WINDOW),
    _kind("maintenance_closed", "maintenance", "OPS-04", "maintenance ended early", {"window": "M1", "at": _AT}),
    _kind("interruption", "information", "INT-02", "the service is interrupted",
          {"window": "I1", "ground": "DISORDER", "start": _AT, "end": _LATER}),
    _kind("interruption_over", "information", "INT-02", "the interruption has ended", {"window": "I1", "at": _AT}),
    _kind("outage", "outage", "SLA-ON-01", "an outage was recognised", _INCIDENT),
    _kind("recovery", "recovery", "SLA-ON-01", "an outage has ended", _INCIDENT | {"recovered_at": _LATER}),
    _kind("cause_report", "information", "SLA-ON-01", "the cause of an outage",
          _INCIDENT | {"recovered_at": _LATER, "cause_ja": "電源装置の故障", "cause_en": "a power supply failed"}),
    _kind("claim_decided", "information", "CMP-07", "a claim to a service level credit was decided",
          {"claim": "C1", "accepted": True, "amount": 1000}),
    # -- content
    _kind("takedown_set", "information", "TKD-01", "the use of data is refused",
          {"takedown": "T1", "item": 2, "at": _AT, "files": 3, "bytes": 4096}),
    _kind("takedown_lifted", "information", "TKD-02", "the use of data is possible again",
          {"takedown": "T1", "at": _AT}),
    _kind("breakglass_opened", "information", "PRV-03", "content was opened to a person of the provider",
          {"request": "B1", "ground": "legal", "until": _LATER}),
    _kind("breakglass_read", "information", "PRV-03", "opened content was read",
          {"request": "B1", "ground": "legal", "at": _AT}),
    _kind("capacity", "information", "LIM-01", "the capacity is nearly used up",
          {"percent": 80, "used": 800 * 2**30, "limit": 1000 * 2**30}),
    # -- money
    _kind("invoice_issued", "invoice", "FEE-03", "an invoice was issued",
          {"invoice": "KRD-000001", "total": 11000, "due_on": _DAY, "method": "bank_debit"}),
    _kind("payment_failed", "information", "FEE-07", "a payment did not succeed",
          {"invoice": "KRD-000001", "total": 11000, "on": _DAY}),
    # -- to all: announcements
    _kind("information", "information", "NTC-02", "news for all customers", _TEXT),
    _kind("terms_revision", "terms_revision", "REV-02", "the terms of service are revised",
          _TEXT | {"version": "2027-06-01", "effective_on": _DAY}),
    _kind("price_revision", "service_condition_change", "REV-01", "prices or service conditions change",
          _TEXT | {"version": "2027-06-01", "effective_on": _DAY}),
    _kind("discontinuation", "discontinuation", "DSC-02", "the service, or a part, is discontinued",
          _TEXT | {"last_day": _DAY}),
    _kind("service_transfer", "service_transfer", "XFR-01", "the business is transferred",
          _TEXT | {"effective_on": _DAY}),
    # -- to the provider's own people
    _kind("operator_task", "information", "NTC-02", "something for an operator to do",
          {"subject_ja": "件名", "subject_en": "subject", "text_ja": "本文", "text_en": "text"}),
)  # fmt: skip

KINDS: Mapping[str, NoticeKind] = {one.name: one for one in _ALL}
