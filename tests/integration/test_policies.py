"""Policies over a real database: versions, assignments, and mistakes that change nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.config import ConfigError
from gateway.domain.errors import NotFound
from gateway.policyfiles import open_policies, packaged_documents
from gateway.service.policies import CHECK_EVERY, BadPolicy, Policies
from gateway.testing.space import Space, open_space

PLANS = """
currency: JPY
default: standard
plans:
  - {id: standard, capacity: %s, capacity_fee: 1}
"""


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path) as opened:
        yield opened


@pytest.fixture
def policies(space: Space) -> Policies:
    return space.services.policies


def capacity(policies: Policies, space: Space | None = None) -> int:
    found: int = policies.get("plans", space.caller.tenant if space else None).get("standard").capacity_bytes
    return found


def elsewhere(space: Space) -> Policies:
    """The policies as another process sees them."""
    return open_policies(space.services.db, {}, space.clock, Path("/nowhere"))


def test_the_first_start_stores_the_defaults_as_version_1(space: Space, policies: Policies) -> None:
    (first,) = policies.history("plans")
    text = packaged_documents()["plans"]
    assert (first.version, first.who, first.at, first.text) == (1, "kurado", space.clock.now, text)
    assert first.digest == hashlib.sha256(text.encode()).hexdigest()
    elsewhere(space)
    assert len(policies.history("plans")) == 1


def test_the_installations_own_documents_win_over_the_packaged_ones(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "plans.yaml").write_text(PLANS % 17)
    with open_space(tmp_path) as space:
        assert capacity(space.services.policies) == 17


def test_a_bad_document_in_the_folder_stops_the_first_start_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "plans.yaml").write_text(PLANS % "much")
    with pytest.raises(ConfigError, match=r"policies/plans\.yaml.*plans\[0\]\.capacity"), open_space(tmp_path):
        pass


def test_an_applied_version_is_in_force_here_at_once_and_elsewhere_within_a_second(
    space: Space, policies: Policies
) -> None:
    other = elsewhere(space)
    before = capacity(other)
    stored = policies.apply("plans", PLANS % 5, "ann")
    assert (stored.version, stored.who) == (2, "ann")
    assert capacity(policies) == 5
    assert capacity(other) == before
    space.clock.forward(CHECK_EVERY / 1000)
    assert capacity(other) == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PLANS % "much", r"plans\[0\]\.capacity"),
        ("a: [", "line"),
        ("", "no `key: value`"),
        ("- 1", "no `key: value`"),
        ("plans: []\nplans: []", "given twice"),
        (PLANS.replace("id: standard", "id: other").replace("default: standard", "default: other") % 1, "'studio'"),
    ],
)
def test_a_bad_document_is_refused_and_what_was_in_force_stays(
    space: Space, policies: Policies, text: str, words: str
) -> None:
    before = capacity(policies)
    with pytest.raises(BadPolicy, match=words):
        policies.apply("plans", text, "ann")
    assert capacity(policies) == before
    assert len(policies.history("plans")) == 1


def test_a_tenant_may_have_its_own_version_and_get_the_default_back(space: Space, policies: Policies) -> None:
    default = capacity(policies)
    policies.apply("plans", PLANS % 5, "ann", space.caller.tenant)
    other = space.tenant("agency")
    assert capacity(policies, space) == 5
    assert policies.get("plans", other.tenant).get("standard").capacity_bytes == default
    assert policies.version("plans", tenant=space.caller.tenant).version == 2
    policies.unassign("plans", space.caller.tenant, "ann")
    assert capacity(policies, space) == default


def test_a_stored_version_is_assigned_by_its_number(space: Space, policies: Policies) -> None:
    old = capacity(policies)
    policies.apply("plans", PLANS % 5, "ann")
    policies.assign("plans", 1, "bob", space.caller.tenant)
    assert (capacity(policies), capacity(policies, space)) == (5, old)
    with pytest.raises(NotFound):
        policies.assign("plans", 9, "bob")


def test_the_same_text_is_stored_once(policies: Policies) -> None:
    policies.apply("plans", PLANS % 5, "ann")
    policies.apply("plans", packaged_documents()["plans"], "ann")
    policies.apply("plans", PLANS % 5, "ann")
    assert [one.version for one in policies.history("plans")] == [1, 2]
    assert policies.version("plans").version == 2


def test_a_price_list_without_a_plan_in_use_is_taken_when_its_tenants_have_another(
    space: Space, policies: Policies
) -> None:
    without = PLANS.replace("standard", "other") % 1
    policies.assign("plans", 1, "ann", space.caller.tenant)
    policies.apply("plans", without, "ann")
    with pytest.raises(BadPolicy, match="'studio'"):
        policies.unassign("plans", space.caller.tenant, "ann")


@pytest.mark.parametrize(
    "call",
    [
        lambda policies: policies.get("nonsense"),
        lambda policies: policies.check("nonsense", ""),
        lambda policies: policies.history("nonsense"),
        lambda policies: policies.version("nonsense"),
    ],
)
def test_an_unknown_policy_is_not_found(policies: Policies, call: Callable[[Policies], object]) -> None:
    with pytest.raises(NotFound):
        call(policies)


def test_a_look_costs_no_query_between_two_checks(space: Space, policies: Policies) -> None:
    first = policies.get("plans", space.caller.tenant)
    policies._db = None  # type: ignore[assignment]
    assert policies.get("plans", space.caller.tenant) is first
