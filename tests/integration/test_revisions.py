"""Changes that the provider makes (REV): announced, told to each customer, in force by the rules and never before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.acts import ActorRole
from gateway.domain.calendar import DAY_MS, jst_date, jst_midnight, parse_time
from gateway.domain.contract.records import Contract
from gateway.domain.errors import ActRefused
from gateway.policyfiles import packaged_documents
from gateway.service.contracts import Actor, ContractServices, Paper
from gateway.service.contracts.intake import Application
from gateway.testing.space import Space, open_space

ANN = Actor("ann", ActorRole.OPERATOR)
START = date(2027, 3, 21)
NOTICE = {"title_ja": "改定", "title_en": "Revision", "text_ja": "内容", "text_en": "contents"}


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path, plugins=[{"name": "contract_state"}, {"name": "quota"}]) as one:
        one.clock.now = parse_time("2027-03-15T12:00:00+09:00")
        yield one


@pytest.fixture
def contracts(space: Space) -> ContractServices:
    return space.services.contracts


def started(space: Space, name: str = "acme", plan: str = "standard") -> Contract:
    intake, now = space.services.contracts.intake, space.clock.now
    customer = {"name": "ACME K.K.", "address": "Tokyo", "contact": "Sato", "email": f"{name}@example.jp"}
    intake.apply(
        name,
        Application(customer, plan, "invoice", terms_version="2017-06-01", privacy_version="1", privacy_agreed_at=now),
        ANN,
    )
    intake.review(name, ANN)
    intake.accept(name, ANN, minimum_months=3, reason="complete")
    intake.register(name, ANN, login="hanako", password="correct horse")
    start = max(START, jst_day(space))
    return intake.notify_start(name, ANN, start_date=start, sent_at=now, arrived_at=now)


def jst_day(space: Space) -> date:
    return jst_date(space.clock.now)


def on(space: Space, day: date, hour: int = 12) -> int:
    space.clock.now = jst_midnight(day) + hour * 3_600_000
    return space.clock.now


def changed(kind: str, old: str, new: str) -> str:
    text = packaged_documents()[kind]
    assert old in text
    return text.replace(old, new, 1)


RENEWAL_6 = changed("terms", "renewal_length: {value: 12", "renewal_length: {value: 6")
CHEAPER_NOTICE = changed("terms", "cancel:\n  notice: {value: 30", "cancel:\n  notice: {value: 40")
DEARER = changed("plans", "capacity_fee: 30000", "capacity_fee: 36000")


def announce(contracts: ContractServices, policy: str, text: str, day: date, **more: Any) -> str:
    return contracts.revisions.announce(policy, text, ANN, effective_on=day, label=str(day), notice=NOTICE, **more).id


def test_a_customer_is_bound_by_the_version_it_agreed_to_whatever_is_applied_for_new_ones(space: Space) -> None:
    old = started(space)
    space.services.policies.apply("terms", RENEWAL_6, "ann")
    new = started(space, "newer")
    policies = space.services.policies
    assert [policies.values_of(one).renewal_months for one in (old, new)] == [12, 6]
    assert policies.values(space.services.accounts.tenant("acme")).renewal_months == 12
    assert policies.values().renewal_months == 6
    terms = [one.terms(policies.values_of(one)) for one in (old, new)]
    lengths = []
    for one in terms:
        assert one is not None
        first, second = (term for _, term in zip(range(2), one.terms(), strict=False))
        lengths.append((second.last_day - first.last_day).days)
    assert lengths == [366, 183]


def test_other_terms_for_one_customer_under_contract_need_a_revision(space: Space) -> None:
    started(space)
    tenant, policies = space.services.accounts.tenant("acme"), space.services.policies
    for name, text, rule in (("terms", RENEWAL_6, "REV-02"), ("plans", DEARER, "REV-01")):
        with pytest.raises(ActRefused) as refused:
            policies.apply(name, text, "ann", tenant)
        assert refused.value.clause == rule
    policies.apply("tax", packaged_documents()["tax"], "ann", tenant)


def test_revised_terms_bind_from_their_day_and_never_before_the_day_after_the_notice_was_sent(
    space: Space, contracts: ContractServices
) -> None:
    started(space)
    started(space, "late")
    on(space, date(2027, 4, 1))
    revision = announce(contracts, "terms", CHEAPER_NOTICE, date(2027, 5, 1))
    sent = on(space, date(2027, 4, 2))
    contracts.revisions.told(revision, "acme", ANN, at=sent)
    sent = on(space, date(2027, 5, 10))
    contracts.revisions.told(revision, "late", ANN, at=sent)
    told = {one.contract: one.in_force_from for one in contracts.revisions.told_to(revision)}
    assert told == {"acme": date(2027, 5, 1), "late": date(2027, 5, 11)}
    values = {name: contracts.book.values(contracts.book.get(name)) for name in told}
    for name, since in told.items():
        assert since is not None
        assert values[name].at(since - timedelta(days=1)).cancel_notice_days == 30
        assert values[name].at(since).cancel_notice_days == 40


def test_a_cancellation_counts_by_the_terms_of_the_day_of_its_receipt(
    space: Space, contracts: ContractServices
) -> None:
    started(space)
    on(space, date(2027, 4, 1))
    revision = announce(contracts, "terms", CHEAPER_NOTICE, date(2027, 8, 1))
    contracts.revisions.told(revision, "acme", ANN, at=space.clock.now)
    now = on(space, date(2027, 7, 31))
    contracts.papers.cancel("acme", ANN, Paper(now, "post", "0" * 64, "letter"))
    on(space, date(2027, 8, 2))
    contract = contracts.book.get("acme")
    assert contract.last_day(date(2027, 8, 2), contracts.book.values(contract)) == date(2027, 8, 30)


def test_a_new_price_holds_for_months_that_start_on_its_day_or_later_without_a_change_fee(
    space: Space, contracts: ContractServices
) -> None:
    started(space)
    arrived = on(space, date(2027, 4, 1))
    revision = announce(contracts, "plans", DEARER, date(2027, 5, 21))
    assert contracts.book.get("acme").fees.of_month(date(2027, 6, 21)).monthly == 30_000
    contracts.revisions.told(revision, "acme", ANN, at=arrived)
    fees = contracts.book.get("acme").fees
    months = {month: fees.of_month(date(2027, month, 21)).monthly for month in (4, 5, 6)}
    assert months == {4: 30_000, 5: 36_000, 6: 36_000}


def test_a_price_list_that_is_applied_changes_nothing_of_what_a_customer_agreed_to(space: Space) -> None:
    started(space)
    small = changed("plans", "capacity: 100GB", "capacity: 1GB").replace("capacity_fee: 30000", "capacity_fee: 1")
    policies = space.services.policies
    policies.apply("plans", small, "ann")
    plan = policies.get("plans", space.services.accounts.tenant("acme")).get("standard")
    assert (plan.capacity_bytes, plan.capacity_fee) == (100 * 1024**3, 30_000)
    assert policies.get("plans").get("standard").capacity_fee == 1


def test_new_customers_agree_to_it_from_its_day_and_those_in_between_are_told(
    space: Space, contracts: ContractServices
) -> None:
    started(space)
    on(space, date(2027, 4, 1))
    announce(contracts, "terms", RENEWAL_6, date(2027, 5, 1))
    started(space, "between")
    assert contracts.upkeep.run()
    assert contracts.revisions.get("R1").contracts == ("acme", "between")
    assert not contracts.upkeep.run()
    on(space, date(2027, 5, 1), hour=0)
    assert space.services.policies.values().renewal_months == 12
    assert contracts.upkeep.run()
    assert space.services.policies.values().renewal_months == 6
    assert not contracts.upkeep.run()
    assert contracts.revisions.get("R1").contracts == ("acme", "between")


@pytest.mark.parametrize(("policy", "text", "rule"), [("terms", RENEWAL_6, "REV-02"), ("plans", DEARER, "REV-01")])
def test_a_revision_without_notice_is_refused(
    space: Space, contracts: ContractServices, policy: str, text: str, rule: str
) -> None:
    started(space)
    with pytest.raises(ActRefused) as refused:
        announce(contracts, policy, text, jst_day(space))
    assert refused.value.clause == rule


def test_a_price_list_that_lacks_a_plan_in_use_is_refused(space: Space, contracts: ContractServices) -> None:
    started(space, plan="light")
    without = packaged_documents()["plans"].replace("id: light", "id: lightest")
    with pytest.raises(ActRefused, match="light"):
        announce(contracts, "plans", without, date(2027, 6, 1))


def test_an_announcement_is_withdrawn_only_before_anybody_was_told(space: Space, contracts: ContractServices) -> None:
    started(space)
    first = announce(contracts, "terms", RENEWAL_6, date(2027, 6, 1))
    contracts.revisions.withdraw(first, ANN, "a mistake")
    with pytest.raises(ActRefused, match="withdrawn"):
        contracts.revisions.told(first, "acme", ANN, at=space.clock.now)
    second = announce(contracts, "terms", RENEWAL_6, date(2027, 6, 1))
    contracts.revisions.told(second, "acme", ANN, at=space.clock.now)
    with pytest.raises(ActRefused, match="acme was told"):
        contracts.revisions.withdraw(second, ANN, "too late")


def test_operators_are_reminded_once_for_each_day_that_the_terms_name(
    space: Space, contracts: ContractServices
) -> None:
    started(space)  # minimum 3 months from 21 March: term to 20 June, an offer counts until 21 May
    given = []
    for day in range(120):
        space.clock.now = jst_midnight(date(2027, 3, 21)) + day * DAY_MS
        while contracts.upkeep.run():
            pass
    for act in contracts.book.history("acme"):
        if act.kind == "contract.reminded":
            given.append((act.data["by"], act.data["lead_days"], jst_date_of(act.at)))
    assert given == [
        ("2027-05-21", 60, "2027-03-22"),
        ("2027-05-21", 30, "2027-04-21"),
        ("2027-05-21", 7, "2027-05-14"),
    ]


def jst_date_of(at: int) -> str:
    return jst_date(at).isoformat()


def test_an_offer_opens_a_task_until_a_new_agreement_is_recorded(space: Space, contracts: ContractServices) -> None:
    from gateway.domain.contract.deadlines import tasks

    started(space)
    now = on(space, date(2027, 4, 10))
    paper = Paper(now, "post", "0" * 64, "letter")
    contracts.papers.offer_nonrenewal("acme", ANN, paper)
    contract = contracts.book.get("acme")
    waiting = [(task.rule, task.by) for task in tasks(contract, now, contracts.book.values(contract))]
    assert waiting == [("TERM-05", date(2027, 6, 20))]
    contract = contracts.papers.renew("acme", ANN, paper)
    assert contract.last_day(date(2027, 4, 10), contracts.book.values(contract)) is None
    with pytest.raises(ActRefused):
        contracts.papers.renew("acme", ANN, paper)


def test_a_side_agreement_on_anything_but_payment_and_notices_is_refused(
    space: Space, contracts: ContractServices
) -> None:
    started(space)
    paper = Paper(space.clock.now, "post", "0" * 64, "letter")
    with pytest.raises(ActRefused) as refused:
        contracts.papers.agree_in_writing("acme", ANN, paper, "minimum")
    assert refused.value.clause == "SVC-02"
    contracts.papers.agree_in_writing("acme", ANN, paper, "payment", 30)
    assert contracts.book.get("acme").agreements == {"payment": 30}


def test_a_document_that_was_lost_leaves_the_customer_under_what_is_in_force(space: Space) -> None:
    contract = started(space)
    lost = replace(contract.bound[0], revision=replace(contract.bound[0].revision, version="0" * 64))
    values = space.services.policies.values_of(replace(contract, bound=(lost, *contract.bound[1:])))
    assert values.cancel_notice_days == 30
