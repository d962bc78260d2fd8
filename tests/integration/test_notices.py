"""Notices from act to mail, with a real mail server beside the real services."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from gateway.domain.calendar import jst_midnight
from gateway.domain.contract.records import Phase
from gateway.domain.errors import ActRefused, BackendUnavailable, BadRequest
from gateway.domain.notice import Notice
from gateway.domain.tenant import Caller
from gateway.domain.upload import NO_CONDITIONS, Declared
from gateway.notices.rendering import Templates
from gateway.notices.reports import read_report
from gateway.service.contracts import Actor, Paper
from gateway.service.contracts.intake import Application
from gateway.service.notices import Notices
from gateway.service.notices.deriving import kept_place
from gateway.service.notices.sending import Pause
from gateway.service.services import Services
from gateway.service.unit_of_work import Tx
from gateway.testing.mailsink import Captured, MailSink
from gateway.testing.space import Clock, open_space

OPERATOR = Actor("aoki")
DIGEST = "0" * 64


@dataclass
class Office:
    services: Services
    clock: Clock
    sink: MailSink
    renew: Callable[[], None]

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
        """What the steward does, until nothing is left to do at once."""
        notices = self.services.notices
        notices.timely.run()
        for _ in range(20):
            if not (notices.deriving.run() | notices.sending.run()):
                return
        raise AssertionError("the notices never come to rest")

    def announce(self, hours: int = 24, reason: str = "storage") -> None:
        """A maintenance window, told to everybody in use."""
        start = self.clock() + hours * 3_600_000
        self.services.windows.announce(OPERATOR, start, start + 3_600_000, reason)

    def alarms(self) -> dict[str, str]:
        """Subject → message of those that nobody cleared."""
        return {one.subject: one.message for one in self.services.health.alarms()}

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
    settings = {"mail": {**sink.settings(), "timeout": "10s", "operators": ["ops@kurado.example"]}}
    with open_space(tmp_path, plugins=["contract_state", "quota"], settings=settings) as space:
        yield Office(space.services, space.clock, sink, space.deployment.leases.renew)


def test_a_start_notice_that_the_product_sends_opens_the_contract_when_it_arrives(office: Office) -> None:
    office.registered()
    office.services.notices.orders.send(OPERATOR, "acme", "start_notice", {"start_date": "2027-01-16"})
    office.work()
    (mail,) = office.sink.mails
    assert mail.rcpt_options == ("NOTIFY=SUCCESS,FAILURE",), "what works on arrival asks for a report of it"
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


# -- what is told to whom ---------------------------------------------------------------------------------------------


def test_maintenance_is_told_to_every_customer_in_use_in_its_own_language(office: Office) -> None:
    office.started("acme", "ja")
    office.started("globex", "en")
    office.registered("initech")
    office.services.contracts.intake.apply(
        "newcomer",
        Application(
            {"name": "N", "address": "A", "contact": "C", "email": "n@n.example"}, "standard", "invoice",
            terms_version="2017-06-01", privacy_version="1", privacy_agreed_at=office.clock(),
        ),
        OPERATOR,
    )  # fmt: skip
    office.announce()
    office.work()
    mails = {mail.recipients[0]: mail for mail in office.sink.mails}
    assert set(mails) == {"info@acme.example", "info@globex.example", "info@initech.example"}
    japanese, english = mails["info@acme.example"], mails["info@globex.example"]
    assert japanese.subject == "臨時メンテナンスのお知らせ（2027年1月16日（土）17:00）"
    assert "株式会社アクメ" in japanese.text
    assert english.subject == "Maintenance, Saturday, 16 January 2027, 17:00 JST"
    assert english.message["Content-Language"] == "en"


def test_a_mail_is_what_mail_servers_and_people_expect(office: Office) -> None:
    office.started()
    office.announce()
    office.work()
    (mail,) = office.sink.mails
    message, notice = mail.message, office.one("maintenance_announced")
    assert mail.raw.isascii(), "RFC 2047 and a transfer encoding: no server has to take 8 bits"
    assert message["From"].addresses[0].display_name == "蔵戸"
    assert mail.sender == "notice@kurado.example"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Kurado-Notice"] == notice.id
    assert message["Message-ID"] == notice.message_id
    assert message["Date"] and message["Message-ID"].endswith("@kurado.example>")
    assert message.get_content_type() == "text/plain" and message.get_content_charset() == "utf-8"
    assert not mail.rcpt_options, "what works by sending needs no report of the delivery"


def test_only_those_whom_it_concerns_are_told(office: Office) -> None:
    office.started("acme")
    office.started("globex")
    office.services.windows.interrupt(OPERATOR, "DISORDER", "a broken disk on host db3", tenants=["globex"])
    office.work()
    (mail,) = office.sink.mails
    assert mail.recipients == ("info@globex.example",)
    assert "システムの障害" in mail.text and "db3" not in mail.text


def test_each_act_is_told_once_however_often_the_chain_is_read(office: Office) -> None:
    office.started()
    office.announce()
    office.work()
    # a restore from the replica brings back the acts, not how far the steward had read
    office.services.db.write(lambda tx: tx.system.set_meta("notices.cursor", "0")).result()
    office.services.notices.deriving._seq = None
    office.work()
    assert len(office.sink.mails) == len(office.notices()) == 1


def test_after_a_restore_the_place_in_the_chain_is_found_from_the_notices(office: Office) -> None:
    office.started()
    office.announce()
    office.work()
    act = office.one("maintenance_announced").cause

    def gone(tx: Tx) -> int:
        tx.system.get_meta = lambda _key: None  # type: ignore[method-assign]
        return kept_place(tx)

    assert office.services.db.read(gone) == act - 1


# -- what a notice does -----------------------------------------------------------------------------------------------


def test_a_start_notice_that_waited_past_its_day_is_not_sent(office: Office) -> None:
    office.registered()
    office.sink.mode = "defer"
    office.services.notices.orders.send(OPERATOR, "acme", "start_notice", {"start_date": "2027-01-15"})
    office.work()
    office.sink.mode = "accept"
    office.clock.forward(24 * 3600)
    office.work()
    notice = office.one("start_notice")
    assert (notice.state, office.sink.mails) == ("withdrawn", [])
    assert "D-05" in office.alarms()[notice.id]
    assert office.services.contracts.book.get("acme").phase is Phase.REGISTERED


def test_a_start_before_today_is_refused_by_its_rule(office: Office) -> None:
    office.registered()
    with pytest.raises(ActRefused, match="before today") as refused:
        office.services.notices.orders.send(OPERATOR, "acme", "start_notice", {"start_date": "2027-01-14"})
    assert refused.value.clause == "APP-05"


def test_demands_start_their_clocks_by_sending_and_by_receipt(office: Office) -> None:
    office.started()
    orders, book = office.services.notices.orders, office.services.contracts.book
    due = {"due_on": "2027-01-14", "amount": 11000, "invoice": "KRD-000001"}
    orders.send(OPERATOR, "acme", "payment_demand", due)
    orders.send(OPERATOR, "acme", "correction_demand", {"text": "too many requests"})
    office.work()
    assert [(one.ground, one.sent_at) for one in book.get("acme").demands] == [("17(1)1", office.clock())]
    office.clock.forward(2 * 3600)
    office.services.notices.book.arrived(OPERATOR, office.one("correction_demand").id, office.clock())
    office.work()
    assert [(one.ground, one.received_at) for one in book.get("acme").demands][1:] == [("17(1)2", office.clock())]


def test_a_termination_goes_out_only_when_its_ground_stands_and_ends_the_contract_on_arrival(office: Office) -> None:
    office.started()
    orders, book = office.services.notices.orders, office.services.contracts.book
    orders.send(OPERATOR, "acme", "payment_demand", {"due_on": "2027-01-14", "amount": 11000, "invoice": "KRD-000001"})
    office.work()
    given = {"ground": "17(1)1", "demand": "D1", "text": "arrears"}
    office.clock.forward(15 * 86400)
    with pytest.raises(ActRefused, match="before 2027-01-31"):
        orders.send(OPERATOR, "acme", "termination", given)
    office.clock.forward(86400)
    notice = orders.send(OPERATOR, "acme", "termination", given)
    office.work()
    assert book.get("acme").terminated_at is None
    office.services.notices.book.arrived(OPERATOR, notice.id, office.clock())
    office.work()
    assert book.get("acme").terminated_at == office.clock()


def test_what_the_rules_refuse_at_the_arrival_becomes_an_operators_task(office: Office) -> None:
    office.started()
    notice = office.services.notices.orders.send(
        OPERATOR, "acme", "termination", {"ground": "17(1)3", "found_on": "2027-01-15", "text": "breach"}
    )
    office.work()
    office.services.contracts.powers.request_stop("acme", OPERATOR, "24(2)")
    office.services.contracts.powers.approve_stop("acme", Actor("second"))
    office.services.notices.book.arrived(OPERATOR, notice.id, office.clock())
    office.work()
    assert "has no effect" in office.alarms()[f"{notice.id}:effect"]


def test_a_provider_that_does_not_renew_is_told_by_mail(office: Office) -> None:
    office.started()
    notice = office.services.notices.orders.send(OPERATOR, "acme", "nonrenewal", {})
    office.work()
    office.services.notices.book.arrived(OPERATOR, notice.id, office.clock())
    office.work()
    assert office.services.contracts.book.get("acme").offers == (date(2027, 1, 15),)


WORDS = {"title_ja": "改定", "title_en": "Change", "text_ja": "本文です。", "text_en": "The text."}


def test_revisions_bind_by_their_notices(office: Office) -> None:
    """REV-01 on arrival, REV-02 on sending."""
    office.started()
    revisions, policies = office.services.contracts.revisions, office.services.policies
    in_force = {name: policies.version(name, 1).text for name in ("terms", "plans")}
    day = date(2027, 3, 1)
    terms = revisions.announce("terms", in_force["terms"], OPERATOR, effective_on=day, label="2027-03", notice=WORDS)
    prices = revisions.announce("plans", in_force["plans"], OPERATOR, effective_on=day, label="2027-03", notice=WORDS)
    office.work()
    subjects = {mail.subject for mail in office.sink.mails}
    assert subjects == {
        "利用規約改定のお知らせ（2027年3月1日（月））", "料金・サービス内容改定のお知らせ（2027年3月1日（月））",
    }  # fmt: skip
    today = date(2027, 1, 15)
    assert [one.told_on for one in revisions.told_to(terms.id)] == [today]
    assert [one.told_on for one in revisions.told_to(prices.id)] == [None]
    office.services.notices.book.arrived(OPERATOR, office.one("price_revision").id, office.clock())
    office.work()
    assert [one.told_on for one in revisions.told_to(prices.id)] == [today]


def test_the_end_of_the_service_needs_the_mail_to_arrive_and_the_web_post(office: Office) -> None:
    """DSC-02 (D-38)."""
    office.started()
    discontinuing = office.services.contracts.discontinuing
    discontinuing.announce(OPERATOR, last_day=date(2027, 6, 30), reason="sold out", notice=WORDS)
    office.work()
    office.services.notices.book.arrived(OPERATOR, office.one("discontinuation").id, office.clock())
    office.work()
    assert office.services.contracts.book.get("acme").discontinued_on is None
    office.services.board.run()
    assert office.services.contracts.book.get("acme").discontinued_on == date(2027, 6, 30)


def test_a_transfer_of_the_business_is_told_by_sending(office: Office) -> None:
    office.started()
    transfers = office.services.contracts.transfers
    transfers.announce(OPERATOR, old_party="A", new_party="B", effective_on=date(2027, 4, 1), notice=WORDS)
    office.work()
    (one,) = transfers.all()
    assert "事業譲渡" in office.sink.mails[0].subject and "acme" in one.told


def test_deadlines_are_reminded_of(office: Office) -> None:
    """TERM-08."""
    office.started()
    office.clock.now = jst_midnight(date(2027, 12, 15))
    while office.services.contracts.upkeep.run():
        pass
    office.work()
    mail = next(one for one in office.sink.mails if one.recipients == ("info@acme.example",))
    assert mail.subject == "ご契約期間満了と自動延長のお知らせ（契約 acme）"
    assert "2027年12月21日" in mail.text and "2028年1月20日" in mail.text
    assert [one.recipients for one in office.sink.mails if "期限が近づいて" in one.subject] == [("ops@kurado.example",)]


# -- a mail server that does not do its work --------------------------------------------------------------------------


def test_while_the_mail_server_is_away_nothing_is_lost_and_nothing_else_waits(office: Office) -> None:
    office.started()
    office.sink.stop()
    office.announce()
    office.work()
    assert office.one("maintenance_announced").state == "queued"
    assert "the mail server cannot be used" in office.alarms()["server"]
    office.announce(48)
    office.work()
    assert [one.state for one in office.notices()] == ["queued", "queued"]
    office.sink.start()
    office.work()
    assert office.sink.mails == [], "it pauses first"
    office.clock.forward(3600)
    office.work()
    assert [one.state for one in office.notices()] == ["sent", "sent"]
    assert len(office.sink.mails) == 2 and "server" not in office.alarms()


def test_pauses_grow_up_to_a_quarter_of_an_hour(office: Office) -> None:
    pause, pauses = Pause(), []
    for _ in range(12):
        pause.failed(0)
        pauses.append(pause.until // 1000)
    assert pauses[:4] == [5, 10, 20, 40] and pauses[-1] == 900
    assert office.sink.sessions == 0


def test_a_refused_recipient_is_an_operators_task_and_a_new_address_is_tried_anew(office: Office) -> None:
    office.started()
    office.sink.refused = {"info@acme.example"}
    office.announce()
    office.work()
    notice = office.one("maintenance_announced")
    assert (notice.state, notice.sent_at, notice.effect.at) == ("refused", None, None)
    assert "no such user" in notice.bounce and "no such user" in office.alarms()[notice.id]
    task = (
        next(mail for mail in office.sink.mails if mail.recipients == ("ops@kurado.example",))
        if (office.clock.forward(60), office.work())
        else None
    )
    assert task is not None and "no such user" in task.text

    office.services.contracts.papers.change_customer("acme", OPERATOR, office.paper(), {"email": "new@acme.example"})
    office.services.notices.book.resend(OPERATOR, notice.id)
    office.work()
    again = office.services.notices.book.get(notice.id)
    assert (again.state, again.round) == ("sent", 2)
    mail = next(one for one in office.sink.mails if one.message["X-Kurado-Notice"] == notice.id)
    assert mail.recipients == ("new@acme.example",) and ".2." in mail.message["Message-ID"]
    assert notice.id not in office.alarms()


def test_a_mail_that_no_server_takes_holds_up_no_other(office: Office) -> None:
    office.started("acme")
    office.sink.mode = "drop"
    office.announce()
    office.work()
    assert office.one("maintenance_announced").state == "queued" and office.sink.sessions == 1
    office.sink.mode = "accept"
    office.started("globex")
    office.announce(48)
    office.clock.forward(6)
    office.work()
    assert len(office.sink.mails) == 3


def test_a_mail_cut_off_is_sent_again_with_the_same_message_id(office: Office) -> None:
    office.started()
    office.sink.mode = "drop-after"
    office.announce()
    office.work()
    assert office.one("maintenance_announced").state == "queued", "whether it was taken is not known"
    office.sink.mode = "accept"
    office.clock.forward(60)
    office.work()
    first, second = office.sink.mails
    assert first.message["Message-ID"] == second.message["Message-ID"]
    assert first.raw == second.raw


def test_a_steward_that_ends_between_acceptance_and_record_sends_the_same_mail_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.started()
    office.announce()
    with monkeypatch.context() as patch:
        patch.setattr(Notices, "record", lambda *_: (_ for _ in ()).throw(BackendUnavailable("killed here")))
        with pytest.raises(BackendUnavailable):
            office.work()
    office.work()
    first, second = office.sink.mails
    assert first.raw == second.raw
    assert office.one("maintenance_announced").state == "sent"


def test_a_full_server_is_left_in_peace(office: Office) -> None:
    office.started()
    office.sink.mode = "busy"
    office.announce()
    for _ in range(3):
        office.work()
    assert office.sink.sessions == 1
    assert "421" in office.alarms()["server"]


def test_a_slow_server_gets_its_time_and_one_that_hangs_does_not(office: Office) -> None:
    office.started()
    office.sink.delay = 0.5
    office.announce()
    office.work()
    assert office.one("maintenance_announced").state == "sent"
    office.sink.delay = 30
    office.announce(48)
    office.work()
    assert office.notices()[1].state == "queued"


# -- what comes back --------------------------------------------------------------------------------------------------


def test_reports_of_mail_servers_are_arrivals_and_bounces(office: Office) -> None:
    office.started("acme")
    office.started("globex")
    book = office.services.notices.book
    office.services.notices.orders.send(OPERATOR, "acme", "nonrenewal", {})
    office.services.notices.orders.send(OPERATOR, "globex", "nonrenewal", {})
    office.work()
    reports = [read_report(delivery_report(mail, action)) for mail, action in
               zip(office.sink.mails, ("delivered", "failed"), strict=True)]  # fmt: skip
    for report in reports:
        assert report is not None
        book.reported(OPERATOR, report)
        book.reported(OPERATOR, report)
    office.work()
    arrived, bounced = office.notices("nonrenewal")
    assert (arrived.state, bounced.state) == ("arrived", "bounced")
    assert bounced.effect.at is None and "5.1.1" in bounced.bounce
    assert office.services.contracts.book.get("acme").offers and not office.services.contracts.book.get("globex").offers


def test_a_bounce_takes_nothing_back_from_what_works_by_sending(office: Office) -> None:
    office.started()
    office.announce()
    office.work()
    sent = office.one("maintenance_announced")
    report = read_report(delivery_report(office.sink.mails[0], "failed"))
    assert report is not None
    office.services.notices.book.reported(OPERATOR, report)
    bounced = office.one("maintenance_announced")
    assert (bounced.state, bounced.effect) == ("bounced", sent.effect)


def test_a_forged_report_is_refused(office: Office) -> None:
    office.started()
    office.announce()
    office.work()
    forged = delivery_report(office.sink.mails[0], "failed").replace(
        office.one("maintenance_announced").message_id.encode(), b"<guessed@kurado.example>"
    )
    report = read_report(forged)
    assert report is not None
    with pytest.raises(BadRequest, match="another mail"):
        office.services.notices.book.reported(OPERATOR, report)


def test_a_letter_works_on_arrival_whatever_its_kind(office: Office) -> None:
    office.started()
    office.sink.stop()
    office.announce()
    office.work()
    notice = office.one("maintenance_announced")
    carried = office.services.notices.book.carried(OPERATOR, notice.id, "document", office.clock())
    assert (carried.state, carried.effect.rule, carried.effect.at) == ("sent", "arrival", None)
    office.clock.forward(86400)
    arrived = office.services.notices.book.arrived(OPERATOR, notice.id, office.clock())
    assert arrived.effect.at == office.clock()
    office.sink.start()
    office.work()
    assert office.sink.mails == []


def test_an_invoice_comes_with_its_pdf(office: Office) -> None:
    office.started()
    list(office.services.billing.closing.issue(None, OPERATOR))
    office.work()
    mail = next(one for one in office.sink.mails if one.subject.startswith("ご請求書"))
    number = office.one("invoice_issued").params["invoice"]
    (pdf,) = mail.message.iter_attachments()
    assert (pdf.get_filename(), pdf.get_content_type()) == (f"{number}.pdf", "application/pdf")
    assert pdf.get_content().startswith(b"%PDF") and number in mail.text
    again = office.services.notices.book.letters.letter(office.one("invoice_issued"), "t")
    assert (
        again[0].message.as_bytes()
        == office.services.notices.book.letters.letter(office.one("invoice_issued"), "t")[0].message.as_bytes()
    )


def test_operators_are_told_what_waits_for_a_person(office: Office) -> None:
    office.started()
    office.services.contracts.papers.offer_nonrenewal("acme", OPERATOR, office.paper())
    office.work()
    to = {mail.recipients[0]: mail.subject for mail in office.sink.mails}
    assert to["ops@kurado.example"].startswith("[蔵戸] 延長に対する申入れ")
    assert to["info@acme.example"].startswith("お申し入れを受領しました")


# -- on record --------------------------------------------------------------------------------------------------------


def test_the_text_is_shown_as_it_was_sent_though_templates_and_address_changed(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.started()
    office.announce()
    office.work()
    sent = office.sink.mails[0]
    office.services.contracts.papers.change_customer("acme", OPERATOR, office.paper(), {"name": "新しい名前"})
    monkeypatch.setattr(Templates, "render", lambda *_: pytest.fail("rendered from the templates of now"))
    shown = office.services.notices.book.show(office.one("maintenance_announced").id)
    assert shown.is_as_sent and shown.text.body.strip() == sent.text.replace("\r\n", "\n").strip()


def test_no_address_and_no_text_stands_in_the_chain(office: Office) -> None:
    office.started()
    office.announce()
    office.work()
    everything = "".join(
        str(dict(act.data)) for act in office.services.audit.acts() if act.subject.startswith("notice:")
    )
    assert "info@acme.example" not in everything and "アクメ" not in everything
    assert office.services.audit.verify()[2] is None


def test_what_nobody_did_is_told_by_the_calendar(office: Office) -> None:
    office.started()
    services = office.services
    services.windows.post_regular()
    office.clock.forward(60)
    office.work()
    (mail,) = office.sink.mails
    assert "定期メンテナンス" in mail.subject and "1月18日（月）02:00" in mail.subject
    office.clock.forward(3600)
    office.work()
    assert len(office.sink.mails) == 1


def test_a_space_that_fills_up_is_told_at_80_and_at_95_percent(office: Office) -> None:
    office.started()
    services = office.services
    services.accounts.set_plan("acme", quota_bytes=1000)
    tenant = services.accounts.tenant("acme")
    (user,) = services.accounts.users("acme")
    for size, percents in ((500, []), (800, [80]), (850, [80]), (990, [80, 95])):
        body = bytes(size)
        office.renew()
        services.uploads.put(Caller(tenant, user), ("film.mov",), Declared(size), NO_CONDITIONS, body)
        office.clock.forward(60)
        office.work()
        assert [one.params["percent"] for one in office.notices("capacity")] == percents


def delivery_report(mail: Captured, action: str) -> bytes:
    """As a mail server writes it (RFC 3464)."""
    status = {"failed": "5.1.1", "delivered": "2.0.0"}[action]
    parts = [
        ("text/plain; charset=us-ascii", "This is what became of your mail.\r\n"),
        (
            "message/delivery-status",
            f"Reporting-MTA: dns; sink.test\r\n\r\nFinal-Recipient: rfc822; {mail.recipients[0]}\r\n"
            f"Action: {action}\r\nStatus: {status}\r\nDiagnostic-Code: smtp; {status} as tested\r\n",
        ),
        ("text/rfc822-headers", mail.raw.partition(b"\r\n\r\n")[0].decode() + "\r\n"),
    ]
    head = (
        f"From: MAILER-DAEMON@sink.test\r\nTo: {mail.sender}\r\nSubject: Delivery Status Notification\r\n"
        "Date: Fri, 15 Jan 2027 08:00:00 +0000\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="edge"\r\n\r\n'
    )
    body = "".join(f"--edge\r\nContent-Type: {kind}\r\n\r\n{text}\r\n" for kind, text in parts)
    return f"{head}{body}--edge--\r\n".encode()
