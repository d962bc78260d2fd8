"""The policy documents that hold the constants of the terms (RULES section 19): one kind a file, each value with its
clause.

A key that a document leaves out has the value of the packaged one, so that documents of an older version stay valid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

from gateway.domain.contract.values import ContractValues
from gateway.domain.fields import FieldError, Fields, boolean, integer, one_of, text, texts
from gateway.domain.terms import MAX_YEN, as_date, tax_rates

_DAYS, _MONTHS = integer(0, 3_650), integer(1, 600)
_GROUNDS = ("legal", "system_management_company", "payment_agency_billing", *(f"9-{item}" for item in range(2, 8)))


def _words(*known: str) -> Callable[[Any], tuple[str, ...]]:
    word = one_of(*known)
    return lambda value: tuple(word(one) for one in texts(value))


def _numbers(low: int, high: int) -> Callable[[Any], tuple[int, ...]]:
    number = integer(low, high)

    def parse(value: Any) -> tuple[int, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError("write a list of whole numbers")
        return tuple(number(one) for one in value)

    return parse


def _times(unit: int, high: int) -> Callable[[Any], int]:
    number = integer(1, high)
    return lambda value: number(value) * unit


def _dates(value: Any) -> tuple[date, date]:
    both = Fields(value)
    found = both.take("first", as_date), both.take("revised", as_date)
    both.done()
    return found


def _weekday(value: Any) -> int:
    return _WEEKDAYS.index(one_of(*_WEEKDAYS)(value))


_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CHARGE = one_of("none", "prorata", "full")

KINDS: Mapping[str, Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "terms": {
        "billing.start_day": ("start_day", integer(1, 31)),
        "billing.end_day": ("end_day", one_of("eve_of_start_day")),
        "billing.initial_fee_months": ("initial_fee_months", integer(0, 12)),
        "billing.payment_due": ("payment_due", one_of("period_start")),
        "billing.payment_methods": ("payment_methods", _words("bank_debit", "invoice")),
        "billing.collectors": ("collectors", _words("provider", "reseller", "payment_agency")),
        "billing.payment_agency": ("payment_agency", text),
        "billing.stub_charge": ("stub_charge", _CHARGE),
        "billing.bridge_charge": ("bridge_charge", _CHARGE),
        "billing.prorata_days": ("prorata_days", integer(1, 31)),
        "billing.invoice_lead_days": ("invoice_lead_days", integer(0, 365)),
        "term.minimum_months": ("minimum_months", _MONTHS),
        "term.renewal_length": ("renewal_months", _MONTHS),
        "term.referral_length": ("referral_months", _MONTHS),
        "term.nonrenewal_notice": ("nonrenewal_notice_days", _DAYS),
        "term.reminder_lead_days": ("reminder_lead_days", _numbers(0, 3_650)),
        "change.notice": ("change_notice_days", _DAYS),
        "change.billed_from": ("change_billed_from", one_of("next_billing_month")),
        "change.fee": ("change_fee", integer(0, MAX_YEN)),
        "downgrade.notice": ("downgrade_notice_days", _DAYS),
        "cancel.notice": ("cancel_notice_days", _DAYS),
        "terminate.payment_grace": ("payment_grace_days", _DAYS),
        "terminate.correction_grace": ("correction_grace_days", _DAYS),
        "discontinue.notice": ("discontinue_notice_days", _DAYS),
        "discontinue.refund": ("discontinue_refund", one_of("unexpired_billing_months")),
        "liability.cap_months": ("liability_cap_months", integer(0, 600)),
        "data.retention_after_end_days": ("retention_after_end_days", integer(0, 36_500)),
        "documents.terms": ("terms_dates", _dates),
        "court": ("court", text),
    },
    "sla": {
        "backup_per_day_min": ("backup_per_day", integer(1, 1_440)),
        "availability_target": ("availability_target_seconds", _times(60, 44_640)),
        "availability_breach": ("availability_breach_seconds", _times(3_600, 744)),
        "outage_notice_limit": ("notice_limit_seconds", _times(60, 44_640)),
        "outage_notice_min_stop": ("notice_min_stop_seconds", _times(60, 44_640)),
        "maintenance_channel": ("board_channel", one_of("system_information")),
        "outage_channels": ("outage_channels", _words("status_site", "email")),
        "credit_divisor": ("credit_divisor_days", integer(1, 366)),
        "credit_data_loss": ("credit_data_loss_months", integer(0, 120)),
        "credit_cap": ("credit_cap_months", integer(0, 120)),
        "claim_window": ("claim_months", _MONTHS),
        "documents.sla": ("sla_dates", _dates),
    },
    "maintenance": {
        "regular.weeks": ("maintenance_weeks", _numbers(1, 5)),
        "regular.weekday": ("maintenance_weekday", _weekday),
        "regular.start_hour": ("maintenance_start_hour", integer(0, 23)),
        "regular.end_hour": ("maintenance_end_hour", integer(1, 24)),
        "hours": ("hours", text),
        "support": ("support", text),
        "documents.operation": ("operation_dates", _dates),
    },
    "tax": {
        "rates": ("tax_rates", tax_rates),
        "early_termination_taxable": ("early_termination_taxable", boolean),
    },
    "privacy": {
        "purposes": ("purposes", _words("SETUP", "ADMIN", "SUPPORT", "IMPROVEMENT", "BILLING")),
        "content_grounds": ("content_grounds", _words(*_GROUNDS)),
        "account_grounds": ("account_grounds", _words(*_GROUNDS)),
        "customer_grounds": ("customer_grounds", _words(*_GROUNDS)),
        "stats_min_customers": ("stats_min_customers", integer(2, 10_000)),
        "breakglass_max_hours": ("breakglass_max_hours", integer(1, 168)),
    },
    "security": {
        "av_definition_max_age_hours": ("av_definition_max_age_hours", integer(1, 24 * 365)),
    },
}
"""Kind → key path in its document → (field of ContractValues, parser)."""

_MOVED = (("terms", "tax"), ("terms", "security"))
"""Sections that stood in another document once; those stored then stay valid, and the documents of now count."""

AGREED = ("terms", "sla", "maintenance")
"""What a customer agreed to and is bound by until a revision came into force (REV-01 to REV-03). The others are the
provider's own or the law's, and hold for everybody from the day on which they are applied."""


@dataclass(frozen=True)
class Part:
    """One document: field → value, key path → clause."""

    kind: str
    values: Mapping[str, Any]
    clauses: Mapping[str, str]


def parser(kind: str) -> Callable[[Mapping[str, Any]], Part]:
    """What reads the documents of a kind: ``{value: …, clause: …}`` at each key. FieldError."""
    return lambda document: parse(kind, document)


def parse(kind: str, document: Mapping[str, Any]) -> Part:
    """One document of a kind. FieldError names key path and fix."""
    values: dict[str, Any] = {}
    clauses: dict[str, str] = {}
    top = Fields({key: value for key, value in document.items() if (kind, key) not in _MOVED})
    sections: dict[str, Fields] = {}
    for path, (name, read) in KINDS[kind].items():
        section, _, key = path.rpartition(".")
        if section and section not in sections:
            sections[section] = top.section(section)
        place = sections[section] if section else top
        found = place.take(key, _with_clause(place.at(key), read), None)
        if found is not None:
            values[name], clauses[f"{kind}.{path}"] = found
    for fields_ in (*sections.values(), top):
        fields_.done()
    if kind == "maintenance" and not _start(values, "start") < _start(values, "end"):
        raise FieldError("regular.end_hour", "is not after start_hour", "a window ends on the day on which it begins")
    return Part(kind, values, clauses)


def _start(values: Mapping[str, Any], which: str) -> int:
    name = f"maintenance_{which}_hour"
    default = next(one.default for one in fields(ContractValues) if one.name == name)
    return int(values.get(name, default))


def _with_clause(path: str, read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, str] | None]:
    def parse_both(item: Any) -> tuple[Any, str]:
        both = Fields(item, path)
        found = both.take("value", read), both.take("clause", text)
        both.take("unit", text, "")
        both.done()
        return found

    return parse_both


def together(parts: Mapping[str, Part], versions: Mapping[str, int]) -> ContractValues:
    """The values of one document of each kind."""
    values = {name: value for part in parts.values() for name, value in part.values.items()}
    clauses = {path: clause for part in parts.values() for path, clause in part.clauses.items()}
    return ContractValues(**values, clauses=clauses, versions=dict(versions))
