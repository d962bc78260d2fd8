"""Notices from act to mail, with a real mail server beside the real services."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from gateway.domain.contract.records import Phase
from gateway.domain.notice import Notice
from gateway.service.contracts import Actor, Paper
from gateway.service.contracts.intake import Application
from gateway.service.services import Services
from gateway.testing.mailsink import MailSink
from gateway.testing.space import Clock, open_space

OPERATOR = Actor("aoki")
DIGEST = "0" * 64


@dataclass
class Office:
    services: Services
    clock: Clock
    sink: MailSink

    def registered(self, name: str = "acme", language: str = "ja", email: str = "") -> None:
        """A contract up to its registration."""
        intake = self.services.contracts.intake
        customer = {
            "name": "株式会社アクメ",
            "address": "東京都千代田区1-1",
            "contact": "山田花子",
            "email": email or f"info@{name}.example",
            "language": language,
        }
        now = self.clock()
        intake.apply(
            name,
            Application(customer, "standard", "invoice", terms_version="2017-06-01", privacy_version="1",
                        privacy_agreed_at=now),
            OPERATOR,
        )  # fmt: skip
        intake.review(name, OPERATOR)
        intake.accept(name, OPERATOR, minimum_months=12, reason="good")
        intake.register(name, OPERATOR, login="owner", password="a long password")

    def started(self, name: str = "acme", language: str = "ja", email: str = "") -> None:
        """A contract in use."""
        self.registered(name, language, email)
        now = self.clock()
        self.services.contracts.intake.notify_start(
            name, OPERATOR, start_date=date(2027, 1, 15), sent_at=now, arrived_at=now
        )

    def work(self) -> None:
        """What the steward does, until nothing is left."""
        notices = self.services.notices
        for _ in range(20):
            if not (notices.deriving.run() | notices.sending.run()):
                return
        raise AssertionError("the notices never come to rest")

    def notices(self, kind: str | None = None) -> list[Notice]:
        return [one for one in self.services.notices.book.all() if kind is None or one.kind == kind]

    def one(self, kind: str) -> Notice:
        (found,) = self.notices(kind)
        return found

    def paper(self) -> Paper:
        return Paper(self.clock(), "post", DIGEST, "a letter")


@pytest.fixture
def sink() -> Iterator[MailSink]:
    with MailSink() as sink:
        yield sink


@pytest.fixture
def office(tmp_path: Path, sink: MailSink) -> Iterator[Office]:
    settings = {"mail": {**sink.settings(), "timeout": "2s", "operators": ["ops@kurado.example"]}}
    with open_space(tmp_path, plugins=["contract_state", "quota"], settings=settings) as space:
        yield Office(space.services, space.clock, sink)


def test_a_start_notice_that_the_product_sends_opens_the_contract_when_it_arrives(office: Office) -> None:
    office.registered()
    office.services.notices.orders.send(OPERATOR, "acme", "start_notice", {"start_date": "2027-01-16"})
    office.work()
    (mail,) = office.sink.mails
    assert mail.recipients == ("info@acme.example",)
    assert mail.subject == "【登録完了】ご利用開始日のお知らせ（契約 acme）"
    assert "2027年1月16日（土）" in mail.text and "山田花子 様" in mail.text
    contract = office.services.contracts.book.get("acme")
    assert contract.phase is Phase.NOTIFIED and contract.start_date is None
    notice = office.one("start_notice")
    assert (notice.state, notice.effect.rule, notice.effect.at) == ("sent", "arrival", None)

    office.clock.forward(3600)
    office.services.notices.book.arrived(OPERATOR, notice.id, office.clock())
    office.work()
    assert office.services.contracts.book.get("acme").start_date == date(2027, 1, 16)
    assert office.one("start_notice").effect.at == office.clock()
