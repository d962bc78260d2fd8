"""The quota plugin: what fits, what is refused before the body, and when the operator is warned (LIM-01)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import QuotaExceeded
from gateway.domain.events import FILE_WRITTEN, TENANT_CHANGED, Event
from gateway.domain.tenant import Limits, Tenant
from gateway.testing.inspection import TENANT, make_context, make_upload
from plugins.quota import Quota, create

PLANS = SimpleNamespace(get=lambda plan: SimpleNamespace(capacity_bytes=1000, files=100))


def quota(
    tenant: Tenant | None = TENANT, settings: dict[str, Any] | None = None, plans: object = PLANS
) -> tuple[Quota, dict[tuple[str, str], str]]:
    services = SimpleNamespace(directory=SimpleNamespace(tenant=lambda name: tenant))
    context = make_context("quota", Path("/nowhere"), settings, policy=lambda name, tenant: plans, services=services)
    return create(context), context.alarm.active  # type: ignore[attr-defined]


def event(used: int, files: int = 0, kind: str = FILE_WRITTEN, **data: Any) -> Event:
    return Event(1, "acme", 1, 0, kind, "ann", used, files, data)


def test_quota_limit_is_the_plans_capacity_unless_the_tenant_has_its_own() -> None:
    plugin, _ = quota()
    assert plugin.quota_limit(tenant=make_upload().caller.tenant) == Limits(1000, 100)
    assert plugin.quota_limit(tenant=make_upload(quota_bytes=7).caller.tenant) == Limits(7, 100)
    assert plugin.quota_limit(tenant=make_upload(quota_files=0).caller.tenant) == Limits(1000, 0)


def test_exactly_full_is_allowed_and_one_byte_more_is_not() -> None:
    plugin, _ = quota()
    plugin.check_upload(upload=make_upload(length=300, used_bytes=700))
    with pytest.raises(QuotaExceeded) as refused:
        plugin.check_upload(upload=make_upload(length=301, used_bytes=700))
    assert (refused.value.used, refused.value.allowed) == (700, 1000)
    assert "700 of 1000 bytes" in refused.value.message


def test_what_is_replaced_counts_and_what_others_reserved_too() -> None:
    plugin, _ = quota()
    plugin.check_upload(upload=make_upload(length=400, replaces=100, used_bytes=700))
    with pytest.raises(QuotaExceeded):
        plugin.check_upload(upload=make_upload(length=300, used_bytes=700, reserved_bytes=1))


@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 3000))
def test_an_upload_is_refused_exactly_when_it_grows_the_space_above_its_limit(
    used: int, replaces: int, length: int
) -> None:
    plugin, _ = quota()
    upload = make_upload(length=length, replaces=replaces, used_bytes=used)
    if length > replaces and used - replaces + length > 1000:
        with pytest.raises(QuotaExceeded):
            plugin.check_upload(upload=upload)
    else:
        plugin.check_upload(upload=upload)


def test_a_body_of_unknown_length_is_admitted_even_when_full() -> None:
    plugin, _ = quota()
    plugin.check_upload(upload=make_upload(length=None, used_bytes=1000))


def test_a_plan_without_capacity_limit_refuses_nothing() -> None:
    unlimited = SimpleNamespace(get=lambda plan: SimpleNamespace(capacity_bytes=None, files=None))
    plugin, _ = quota(plans=unlimited)
    plugin.check_upload(upload=make_upload(length=2**60, used_bytes=2**60))


def test_on_event_warns_at_80_and_95_percent_and_takes_it_back() -> None:
    plugin, alarms = quota()
    seen = []
    for used in (799, 800, 949, 950, 2000, 900, 100):
        plugin.on_event(event=event(used))
        seen.append(sorted(kind for kind, subject in alarms if subject == "acme"))
    both = ["quota-80", "quota-95"]
    assert seen == [[], ["quota-80"], ["quota-80"], both, both, ["quota-80"], []]


def test_the_number_of_files_warns_as_well() -> None:
    plugin, alarms = quota()
    plugin.on_event(event=event(0, files=95))
    assert "95 of 100 files" in alarms["quota-95", "acme"]


def test_the_same_event_again_changes_nothing() -> None:
    plugin, alarms = quota()
    plugin.on_event(event=event(960))
    before = dict(alarms)
    plugin.on_event(event=event(960))
    assert alarms == before


def test_a_new_limit_is_taken_from_the_event_that_brings_it() -> None:
    plugin, alarms = quota()
    plugin.on_event(event=event(960))
    plugin.on_event(event=event(960, kind=TENANT_CHANGED, plan="standard", quota_bytes=5000, quota_files=None))
    assert alarms == {}


def test_a_removed_tenant_leaves_no_warning() -> None:
    plugin, alarms = quota(tenant=None)
    alarms["quota-95", "acme"] = "old"
    plugin.on_event(event=event(960))
    assert alarms == {}


@pytest.mark.parametrize("value", [[0], [101], ["80"], "80", [True]])
def test_a_bad_setting_is_named(value: object) -> None:
    with pytest.raises(ValueError, match="warn_at"):
        quota(settings={"warn_at": value})
