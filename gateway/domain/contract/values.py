"""The constants of the terms (RULES section 19) as frozen values, and the words that the rules share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from gateway.domain.calendar import CalendarError
from gateway.domain.terms import TaxRate


class RuleError(CalendarError):
    """A request that the rules refuse; ``code`` is the name of the refusal."""


class Channel(StrEnum):
    """The route by which a contract came (APP-01)."""

    DIRECT = "direct"
    RESELLER = "reseller"
    REFERRAL = "referral"


_PROHIBITED = tuple(f"9-{item}" for item in range(2, 8))
_ALWAYS = ("legal", "system_management_company")


@dataclass(frozen=True, slots=True)
class ContractValues:
    """What the policies say, for one contract on one day. Lengths in billing months, days, hours or seconds as their
    names say, money in JPY.

    The defaults are what the packaged policies say (a test compares them): the terms of 2017-06-01, the SLA of
    2012-02-01, the operating standard of 2007-07-26, and the decisions where these are silent. Which key of which file
    a value comes from is in :mod:`gateway.domain.contract.policies`, its clause in the file.
    """

    # terms.yaml
    start_day: int = 21
    end_day: str = "eve_of_start_day"
    initial_fee_months: int = 1
    payment_due: str = "period_start"
    payment_methods: tuple[str, ...] = ("bank_debit", "invoice")
    collectors: tuple[str, ...] = ("provider", "reseller", "payment_agency")
    payment_agency: str = "Net Protections (ネットプロテクションズ)"
    stub_charge: str = "none"
    bridge_charge: str = "none"
    prorata_days: int = 30
    invoice_lead_days: int = 10
    minimum_months: int = 12
    renewal_months: int = 12
    referral_months: int = 6
    nonrenewal_notice_days: int = 30
    reminder_lead_days: tuple[int, ...] = (60, 30, 7)
    change_notice_days: int = 10
    change_billed_from: str = "next_billing_month"
    change_fee: int = 0
    downgrade_notice_days: int = 30
    cancel_notice_days: int = 30
    payment_grace_days: int = 15
    correction_grace_days: int = 15
    discontinue_notice_days: int = 60
    discontinue_refund: str = "unexpired_billing_months"
    liability_cap_months: int = 1
    retention_after_end_days: int = 90
    terms_dates: tuple[date, date] = (date(2006, 4, 21), date(2017, 6, 1))
    court: str = "Tokyo District Court"
    # sla.yaml
    backup_per_day: int = 1
    availability_target_seconds: int = 3_600
    availability_breach_seconds: int = 86_400
    notice_limit_seconds: int = 3_600
    notice_min_stop_seconds: int = 3_600
    board_channel: str = "system_information"
    outage_channels: tuple[str, ...] = ("status_site", "email")
    credit_divisor_days: int = 30
    credit_data_loss_months: int = 1
    credit_cap_months: int = 1
    claim_months: int = 3
    sla_dates: tuple[date, date] = (date(2007, 8, 21), date(2012, 2, 1))
    # maintenance.yaml
    maintenance_weeks: tuple[int, ...] = (1, 3)
    maintenance_weekday: int = 0
    maintenance_start_hour: int = 2
    maintenance_end_hour: int = 6
    hours: str = "24 h, 365 days"
    support: str = "0120-043-411, Mon-Fri 09:00-17:30 JST, no holidays"
    operation_dates: tuple[date, date] = (date(2006, 4, 21), date(2007, 7, 26))
    # tax.yaml
    tax_rates: tuple[TaxRate, ...] = (TaxRate(date(2019, 10, 1), 1000),)
    early_termination_taxable: bool = False
    # privacy.yaml
    purposes: tuple[str, ...] = ("SETUP", "ADMIN", "SUPPORT", "IMPROVEMENT", "BILLING")
    content_grounds: tuple[str, ...] = (*_ALWAYS, *_PROHIBITED)
    account_grounds: tuple[str, ...] = (*_ALWAYS, *_PROHIBITED[:-1])
    customer_grounds: tuple[str, ...] = (*_ALWAYS, *_PROHIBITED, "payment_agency_billing")
    stats_min_customers: int = 5
    breakglass_max_hours: int = 8
    # security.yaml
    av_definition_max_age_hours: int = 24

    clauses: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Key path (``terms.cancel.notice``) → clause."""

    versions: Mapping[str, int] = field(default_factory=dict, compare=False)
    """Kind of policy → the version that these values are of."""

    history: tuple[tuple[date, ContractValues], ...] = field(default=(), compare=False)
    """The values of the same contract by the day from which they hold, if they ever changed (REV)."""

    def at(self, day: date) -> ContractValues:
        """The values for the same contract on another day."""
        found = self
        for number, (since, values) in enumerate(self.history):
            if number == 0 or since <= day:
                found = values
        return found


SEED = ContractValues()


@dataclass(frozen=True, slots=True)
class PlanFees:
    """JPY a billing month without tax (FEE-02)."""

    capacity_fee: int
    option_fee: int = 0

    @property
    def monthly(self) -> int:
        return self.capacity_fee + self.option_fee

    def initial(self, values: ContractValues = SEED) -> int:
        """FEE-01 (D-16): a month of the capacity, without options."""
        return self.capacity_fee * values.initial_fee_months
