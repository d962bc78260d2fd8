"""The constants of the terms (RULES section 19) as frozen values, and the words that the rules share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.calendar import CalendarError


class RuleError(CalendarError):
    """A request that the rules refuse; ``code`` is the name of the refusal."""


class Channel(StrEnum):
    """The route by which a contract came (APP-01)."""

    DIRECT = "direct"
    RESELLER = "reseller"
    REFERRAL = "referral"


@dataclass(frozen=True, slots=True)
class ContractValues:
    """Lengths in billing months or days as their names say. Each default is the value of the seed, with its clause."""

    initial_fee_months: int = 1  # §6
    renewal_months: int = 12  # §4(3): one year
    referral_months: int = 6  # §27(3)
    nonrenewal_notice_days: int = 30  # §4(3)
    change_notice_days: int = 10  # §8(1)
    downgrade_notice_days: int = 30  # §8(3)
    cancel_notice_days: int = 30  # §16(1)
    discontinue_notice_days: int = 60  # §10(4)
    payment_grace_days: int = 15  # §17(1)①
    correction_grace_days: int = 15  # §17(1)②
    prorata_days: int = 30  # D-18
    availability_target_seconds: int = 3_600  # SLA 可用性
    availability_breach_seconds: int = 86_400  # SLA 可用性 補償
    notice_limit_seconds: int = 3_600  # SLA 障害告知
    notice_min_stop_seconds: int = 3_600  # SLA 障害告知
    credit_divisor_days: int = 30  # SLA 補償
    claim_months: int = 3  # SLA 補償
    maintenance_weeks: tuple[int, ...] = (1, 3)  # 運用基準①: 1st and 3rd Monday
    maintenance_weekday: int = 0
    maintenance_start_hour: int = 2
    maintenance_end_hour: int = 6
    board_channel: str = "system_information"  # SLA メンテナンス告知②
    outage_channels: tuple[str, ...] = ("status_site", "email")  # SLA 障害告知①


SEED = ContractValues()
"""The terms of 2017-06-01, the SLA of 2012-02-01 and the operating standard of 2007-07-26."""


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
