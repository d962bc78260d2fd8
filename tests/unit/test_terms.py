"""The price list and the terms: what is valid, and errors that say where and what to do."""

from __future__ import annotations

import copy
import dataclasses
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.contract.policies import KINDS, parse, together
from gateway.domain.contract.values import SEED, ContractValues
from gateway.domain.errors import NotFound
from gateway.domain.fields import FieldError
from gateway.domain.servicedocuments import parse_documents
from gateway.domain.terms import Price, parse_plans
from gateway.domain.units import GB
from gateway.policyfiles import packaged_documents
from gateway.yamlfile import YamlError, load_yaml

PLANS: dict[str, Any] = {
    "currency": "JPY",
    "default": "a",
    "plans": [
        {"id": "a", "capacity": "1GB", "capacity_fee": 100},
        {"id": "b", "capacity": "unlimited", "files": 5, "capacity_fee": 200, "option_fee": 50, "features": ["x"]},
    ],
}


def test_the_packaged_price_list_is_valid_and_sells_gigabytes_of_1024_cubed() -> None:
    plans = parse_plans(load_yaml(packaged_documents()["plans"]))
    assert plans.get("standard").capacity_bytes == 100 * 1024**3
    assert plans.get(plans.default).capacity_fee > 0


def packaged() -> ContractValues:
    documents = packaged_documents()
    return together({kind: parse(kind, load_yaml(documents[kind])) for kind in KINDS}, {})


def test_the_packaged_policies_say_every_value_and_they_are_the_defaults_of_the_domain() -> None:
    values = packaged()
    assert values == SEED
    written = {f"{kind}.{path}" for kind, keys in KINDS.items() for path in keys}
    assert set(values.clauses) == written
    named = {name for keys in KINDS.values() for name, _ in keys.values()}
    assert named == {one.name for one in dataclasses.fields(ContractValues) if one.compare}


def test_the_packaged_policies_are_those_of_the_rules() -> None:
    values = packaged()
    assert (values.start_day, values.initial_fee_months, values.stub_charge) == (21, 1, "none")
    assert values.av_definition_max_age_hours == 24
    assert values.tax_rates[0].since == date(2019, 10, 1)
    assert values.clauses["terms.billing.start_day"] == "§3"


def test_an_operator_runs_other_terms_by_another_file() -> None:
    document = load_yaml(packaged_documents()["terms"])
    document["billing"]["start_day"]["value"] = 1
    document["term"]["renewal_length"]["value"] = 6
    del document["cancel"]
    values = together({"terms": parse("terms", document)}, {"terms": 2})
    assert (values.start_day, values.renewal_months, values.cancel_notice_days) == (1, 6, 30)


@pytest.mark.parametrize(
    ("kind", "path", "value", "words"),
    [
        ("terms", "billing.start_day", 32, "not between"),
        ("terms", "billing.stub_charge", "half", "none, prorata, full"),
        ("sla", "outage_channels", ["fax"], "status_site, email"),
        ("maintenance", "regular.weekday", "someday", "monday"),
        ("maintenance", "regular.end_hour", 2, "after start_hour"),
        ("privacy", "content_grounds", ["9-1"], "9-2"),
        ("tax", "rates", [], "basis_points"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_at_its_place(kind: str, path: str, value: Any, words: str) -> None:
    document = load_yaml(packaged_documents()[kind])
    at = document
    for step in path.split("."):
        at = at[step]
    at["value"] = value
    with pytest.raises(FieldError, match=words) as caught:
        parse(kind, document)
    assert caught.value.path.startswith(path)


days = st.dates(date(2020, 1, 1), date(2035, 1, 1))


@given(st.lists(days, max_size=5), days)
def test_what_holds_on_a_day_is_the_last_that_came_into_force(changes: list[date], day: date) -> None:
    dates = [date.min, *sorted(set(changes))]
    history = tuple((since, ContractValues(start_day=number + 1)) for number, since in enumerate(dates))
    values = dataclasses.replace(history[-1][1], history=history)
    assert values.at(day).start_day == sum(since <= day for since in dates)
    assert SEED.at(day) is SEED


def test_fees_and_limits_come_out_as_written() -> None:
    plan = parse_plans(PLANS).get("b")
    assert (plan.capacity_bytes, plan.files, plan.monthly_fee, plan.features) == (None, 5, 250, ("x",))


def test_an_unknown_plan_is_not_found_and_the_others_are_named() -> None:
    with pytest.raises(NotFound, match="a, b"):
        parse_plans(PLANS).get("c")


def broken(path: str, value: Any) -> dict[str, Any]:
    """PLANS with the value at a dotted path replaced."""
    document = copy.deepcopy(PLANS)
    at: Any = document
    *steps, last = path.split(".")
    for step in steps:
        at = at[int(step) if step.isdecimal() else step]
    at[int(last) if last.isdecimal() else last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "place", "words"),
    [
        ("currency", "EUR", "currency", "JPY"),
        ("default", "z", "default", "no plan 'z'"),
        ("plans.0.capacity", "1XB", "plans[0].capacity", "no size"),
        ("plans.0.capacity_fee", 1.5, "plans[0].capacity_fee", "no whole number"),
        ("plans.0.capacity_fee", -1, "plans[0].capacity_fee", "not between"),
        ("plans.0.capacty", "1GB", "plans[0].capacty", "did you mean 'capacity'"),
        ("plans.1.id", "a", "plans[1].id", "given twice"),
        ("plans.0.id", "A b", "plans[0].id", "no id"),
        ("plans", {}, "plans", "instead of a list"),
        ("plans.0", "a", "plans[0]", "instead of a mapping"),
        ("plans.0.prices", [{"code": "x", "meter": "bytes_out", "per": 0, "amount": 1}], "plans[0].prices[0].per", "1"),
        ("plans.0.prices", [{"code": "x", "meter": "views", "per": 1, "amount": 1}], "plans[0].prices[0].meter", "one"),
    ],
)
def test_a_mistake_in_the_price_list_names_its_place_and_the_fix(path: str, value: Any, place: str, words: str) -> None:
    with pytest.raises(FieldError) as caught:
        parse_plans(broken(path, value))
    assert caught.value.path == place
    assert words in str(caught.value)


def test_a_value_of_the_terms_without_its_clause_is_refused() -> None:
    document = load_yaml(packaged_documents()["terms"])
    del document["billing"]["start_day"]["clause"]
    with pytest.raises(FieldError) as caught:
        parse("terms", document)
    assert caught.value.path == "billing.start_day.clause"


@given(st.integers(0, 2**50), st.integers(0, 10**6), st.integers(1, 2**40), st.integers(0, 2**50))
def test_a_charge_is_cut_once_and_never_negative(quantity: int, amount: int, per: int, included: int) -> None:
    charge = Price("x", "bytes_out", per, amount, included).charge(quantity)
    over = max(0, quantity - included)
    assert charge * per <= over * amount < (charge + 1) * per


def test_the_included_quantity_is_free() -> None:
    price = Price("egress", "bytes_out", GB, 10, included=100 * GB)
    assert [price.charge(n * GB) for n in (0, 100, 101)] == [0, 0, 10]


def test_a_key_given_twice_is_an_error_with_its_line() -> None:
    with pytest.raises(YamlError, match=r"line 2.*'a' is given twice"):
        load_yaml("a: 1\na: 2\n")


@pytest.mark.parametrize(
    "text", ["a: &x [1]\nb: *x\n", "a: !!python/object:os.system x\n", "a: [\n", "\t- a", "[" * 5000]
)
def test_yaml_that_is_more_than_data_is_refused(text: str) -> None:
    with pytest.raises(YamlError):
        load_yaml(text)


def test_the_packaged_documents_name_the_versions_of_the_rule_book() -> None:
    known = parse_documents(load_yaml(packaged_documents()["documents"]))
    assert [known.version(name) for name in ("terms", "sla", "operation")] == ["2017-06-01", "2012-02-01", "2007-07-26"]
    assert known.version("privacy") is None


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"term": {}}, "term"),
        ({"terms": {"title_ja": "x", "title_en": "x"}}, "terms.version"),
        ({"terms": {"version": "1", "title_ja": "x", "title_en": "x", "sha256": "abc"}}, "terms.sha256"),
    ],
)
def test_a_mistake_in_the_list_of_documents_names_its_place(document: dict[str, Any], place: str) -> None:
    with pytest.raises(FieldError) as caught:
        parse_documents(document)
    assert caught.value.path == place
