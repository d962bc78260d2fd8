"""The price list and the terms: what is valid, and errors that say where and what to do."""

from __future__ import annotations

import copy
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import NotFound
from gateway.domain.fields import FieldError
from gateway.domain.terms import Price, parse_plans, parse_terms
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


def test_the_packaged_terms_are_those_of_the_rules() -> None:
    terms = parse_terms(load_yaml(packaged_documents()["terms"]))
    assert (terms.start_day, terms.initial_fee_months, terms.stub_charge) == (21, 1, "none")
    assert terms.av_definition_max_age_hours == 24
    assert terms.tax_rates[0].since == date(2019, 10, 1)
    assert terms.clauses["billing.start_day"] == "§3"


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
        parse_terms(document)
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
