"""Which constants of the terms stand behind a rule: what an explanation shows beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.domain.contract.policies import KINDS
from gateway.domain.contract.values import ContractValues

USED_BY: Mapping[str, tuple[str, ...]] = {
    "CAL-01": ("terms.billing.start_day",),
    "CAL-02": ("terms.billing.start_day",),
    "TERM-01": ("terms.term.minimum_months",),
    "TERM-03": ("terms.term.renewal_length", "terms.term.nonrenewal_notice"),
    "TERM-04": ("terms.term.nonrenewal_notice",),
    "TERM-07": ("terms.term.referral_length",),
    "TERM-08": ("terms.term.reminder_lead_days",),
    "FEE-01": ("terms.billing.initial_fee_months",),
    "FEE-03": ("terms.billing.payment_due", "terms.billing.invoice_lead_days"),
    "FEE-04": ("terms.billing.stub_charge", "terms.billing.bridge_charge", "terms.billing.prorata_days"),
    "FEE-07": ("terms.billing.payment_methods", "terms.billing.collectors", "terms.billing.payment_agency"),
    "TAX-01": ("tax.rates",),
    "TAX-02": ("tax.early_termination_taxable",),
    "CHG-01": ("terms.change.notice",),
    "CHG-03": ("terms.change.billed_from",),
    "CHG-04": ("terms.change.fee",),
    "CHG-05": ("terms.downgrade.notice",),
    "END-01": ("terms.cancel.notice",),
    "END-05": ("terms.terminate.payment_grace", "terms.terminate.correction_grace"),
    "END-07": ("terms.data.retention_after_end_days",),
    "DSC-02": ("terms.discontinue.notice",),
    "DSC-05": ("terms.discontinue.refund",),
    "LIA-03": ("terms.liability.cap_months",),
    "PRV-02": ("privacy.stats_min_customers",),
    "PRV-03": ("privacy.content_grounds", "privacy.breakglass_max_hours"),
    "ACCT-04": ("privacy.account_grounds",),
    "CUS-02": ("privacy.purposes",),
    "CUS-03": ("privacy.customer_grounds",),
    "SLA-DP-02": ("sla.backup_per_day_min",),
    "SLA-AV-01": ("sla.availability_target",),
    "SLA-AV-06": ("sla.availability_breach",),
    "SLA-MNT-01": ("sla.maintenance_channel",),
    "SLA-ON-01": ("sla.outage_notice_limit", "sla.outage_channels"),
    "SLA-ON-02": ("sla.outage_notice_min_stop",),
    "SLA-SC-01": ("security.av_definition_max_age_hours",),
    "CMP-02": ("sla.availability_breach", "sla.credit_divisor"),
    "CMP-03": ("sla.credit_data_loss",),
    "CMP-04": ("sla.credit_divisor",),
    "CMP-05": ("sla.credit_divisor",),
    "CMP-06": ("sla.credit_cap",),
    "CMP-07": ("sla.claim_window",),
    "OPS-01": ("maintenance.hours",),
    "OPS-02": ("maintenance.regular.weeks", "maintenance.regular.weekday", "maintenance.regular.start_hour",
               "maintenance.regular.end_hour"),
    "OPS-04": ("maintenance.regular.start_hour", "maintenance.regular.end_hour"),
}  # fmt: skip
"""Rule → key paths (kind and path in its document)."""


def values_behind(rule: str, values: ContractValues) -> dict[str, tuple[Any, str]]:
    """Key path → (value, clause)."""
    found = {}
    for path in USED_BY.get(rule, ()):
        kind, _, key = path.partition(".")
        found[path] = getattr(values, KINDS[kind][key][0]), values.clauses.get(path, "")
    return found
