"""Kinds, templates, mails and reports of notices."""

from __future__ import annotations

import email
import re
from email import policy
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.acts import Act
from gateway.domain.contract.notices import BY_ARRIVAL, BY_SENDING
from gateway.domain.mailbox import BadAddress, one_line, parse_mailbox
from gateway.domain.notice import OPERATORS, Notice, after, fold
from gateway.domain.notice_kinds import KINDS
from gateway.domain.notice_sources import SOURCES, PublicIncident, View, recipients
from gateway.notices.rendering import FRAME, LANGUAGES, TemplateFault, Templates
from gateway.notices.reports import read_report
from gateway.service.notices.letters import Letters, message_id
from gateway.service.notices.ports import MailSettings

ROOT = Path(__file__).parents[2]
TEMPLATES = files("gateway.notices").joinpath("templates")
COMMON = {
    "notice": "1.acme", "contract": "acme", "customer": "Acme", "contact": "Ann", "sender": "kurado",
    "signature": "", "board_url": "",
}  # fmt: skip


# -- kinds and templates ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_has_a_text_and_every_text_is_of_a_kind(language: str) -> None:
    names = {file.name.removesuffix(".txt") for file in TEMPLATES.joinpath(language).iterdir()}
    assert names == {*KINDS, FRAME}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_text_says_all_that_its_kind_is_told(kind: str, language: str) -> None:
    sample = KINDS[kind].sample
    text = Templates().render(kind, language, {**COMMON, **sample})
    assert text.subject and len(text.subject) < 80 and "\n" not in text.subject
    source = text.source.partition("%%%%")[2]
    silent = {"termination": {"demand", "found_on"}, "maintenance_regular": {"window"}}.get(kind, set())
    other = silent | {key for key in sample if key.endswith("_ja" if language == "en" else "_en")}
    unused = {key for key in sample if key not in other and not re.search(rf"\b{key}\b", source)}
    assert not unused, f"{language}/{kind} says nothing of {unused}"
    assert "None" not in text.body and "{" not in text.body


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_takes_effect_by_a_rule_of_the_rule_book(kind: Any) -> None:
    assert kind.effect in BY_SENDING | BY_ARRIVAL
    assert f"**{kind.rule}" in (ROOT / "docs" / "rules.md").read_text("utf-8")


def test_an_operators_template_replaces_ours(tmp_path: Path) -> None:
    (tmp_path / "ja").mkdir()
    (tmp_path / "ja" / "outage.txt").write_text("Subject: 障害 {{ incident }}\r\n\r\n{{ customer }}様\r\n", "utf-8")
    templates = Templates(tmp_path)
    templates.check()
    text = templates.render("outage", "ja", {**COMMON, **KINDS["outage"].sample})
    assert text.subject == "障害 INC-1" and "Acme様" in text.body
    assert "outage of the service" in templates.render("outage", "en", {**COMMON, **KINDS["outage"].sample}).body


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("outage", "Subject: x\n\n{{ incidnet }}", "'incidnet' is undefined"),
        ("outage", "Subject: x\n\n{% if %}", "TemplateSyntaxError"),
        ("outage", "no subject", "begins with `Subject: …`"),
        ("outage", "Subject: x\n\n{{ ''.__class__.__mro__ }}", "SecurityError"),
        ("outages", "Subject: x\n\ny", "there is no notice of this name"),
    ],
)
def test_a_template_that_cannot_be_used_is_named(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / "ja").mkdir()
    file = tmp_path / "ja" / f"{name}.txt"
    file.write_text(content, "utf-8")
    with pytest.raises(TemplateFault, match=re.escape(says)) as fault:
        Templates(tmp_path).check()
    assert str(file) in str(fault.value)


def test_a_text_can_be_made_again_from_what_was_kept_of_it() -> None:
    values = {**COMMON, **KINDS["outage"].sample}
    first = Templates().render("outage", "ja", values)
    assert Templates().render_source(first.source, "ja", values) == first


# -- sources ----------------------------------------------------------------------------------------------------------

_AGREED = {"plan": "standard"}
_INCIDENT = PublicIncident("INC-1", 5, 9, frozenset())
ACTS: dict[str, dict[str, Any]] = {
    "contract.plan_changed": {
        "agreed": _AGREED, "requested_on": "2027-01-20", "effective_on": "2027-01-25", "billed_from": "2027-02-21",
        "initial_fee_difference": 5, "change_fee": 0,
    },
    "contract.start_day_approved": {"new_day": 1, "approved_on": "2027-01-20"},
    "contract.nonrenewal_offered": {"by": "customer", "received_on": "2027-01-20"},
    "contract.renewal_applied": {"received_on": "2027-01-20"},
    "contract.customer_changed": {"fields": ["email"]},
    "contract.suspended": {"case": "L1", "from": 5, "to": None, "reason": "overload"},
    "contract.resumed": {"case": "L1", "at": 5},
    "contract.stopped": {},
    "contract.erased": {"ended_on": "2027-01-20", "retention_days": 90},
    "maintenance.announced": {"start": 5, "end": 10**13, "reason": "work", "tenants": []},
    "maintenance.extended": {"start": 5, "end": 10**13, "reason": "work", "tenants": []},
    "maintenance.closed": {"at": 5},
    "interruption.opened": {"from": 5, "to": None, "tenants": []},
    "interruption.closed": {"at": 5},
    "incident.recognised": {},
    "incident.recovered": {},
    "incident.cause_reported": {"cause_text": {"ja": "原因"}},
    "takedown.set": {"files": 1, "bytes": 5},
    "takedown.lifted": {},
    "breakglass.approved": {"expires_at": 5},
    "breakglass.read": {},
    "announcement.made": {"by_mail": True, "params": KINDS["information"].sample},
    "revision.terms_announced": {"contracts": [], "params": KINDS["terms_revision"].sample},
    "revision.conditions_announced": {"contracts": [], "params": KINDS["price_revision"].sample},
    "discontinuation.announced": {"params": KINDS["discontinuation"].sample},
    "transfer.announced": {"params": KINDS["service_transfer"].sample},
    "invoice.issued": {"total": 5, "due_on": "2027-01-20", "method": "invoice", "collector": "provider"},
    "invoice.payment_failed": {"total": 5, "on": "2027-01-20"},
    "invoice.payment_returned": {"total": 5, "on": "2027-01-20"},
    "claim.granted": {"amount": 5},
    "claim.rejected": {},
}  # fmt: skip
BY_CONTRACT = {"contract.cancelled", "contract.lump_sum_paid", "contract.reminded"}
"""Those whose parameters come from a whole contract: tests/integration/test_notices.py."""


def test_no_source_is_left_untested() -> None:
    assert {*ACTS, *BY_CONTRACT} == set(SOURCES)


@pytest.mark.parametrize("kind", ACTS)
def test_every_act_gives_its_notice_all_that_the_text_needs(kind: str) -> None:
    ground = {"takedown.set": "9-2", "interruption.opened": "LINE"}.get(kind, "legal")
    act = Act(f"{kind.partition('.')[0]}:INC-1", kind, 5, "aoki", "operator", "X", ground=ground, data=ACTS[kind])
    view = View(10, {}, {}, lambda _contract, _day: pytest.fail("no terms are needed"), {"INC-1": _INCIDENT})
    assert all(recipients(source, act, view) == [None] for source in SOURCES[kind] if source.to_operators)
    for source in SOURCES[kind]:
        params = source.params(act, view)
        assert params is not None
        assert set(params) == set(KINDS[source.kind].sample)
        for language in LANGUAGES:
            assert Templates().render(source.kind, language, {**COMMON, **params}).body


def test_the_kinds_of_acts_in_the_table_are_those_that_services_record() -> None:
    code = "".join(file.read_text("utf-8") for file in (ROOT / "gateway").rglob("*.py") if "notice" not in file.name)
    made = {"revision.terms_announced", "discontinuation.announced", "transfer.announced", "invoice.payment_returned"}
    for kind in set(SOURCES) - made:
        assert f'"{kind}"' in code or f'"{kind.partition(".")[2]}"' in code, kind


def test_what_the_payment_agency_bills_is_not_billed_twice() -> None:
    act = Act("invoice:K-1", "invoice.issued", 5, "a", "system", "X", data={"collector": "payment_agency"})
    view = View(10, {}, {}, lambda _contract, _day: pytest.fail("not asked"))
    assert SOURCES["invoice.issued"][0].params(act, view) is None


# -- the fold ---------------------------------------------------------------------------------------------------------


def queued(kind: str = "outage", contract: str = "acme") -> Act:
    data = {
        "kind": kind, "contract": contract, "language": "ja", "customer": "d1", "params": dict(KINDS[kind].sample),
        "cause": 3,
    }  # fmt: skip
    return Act(f"notice:3.{contract}", "notice.queued", 10, "kurado", "system", KINDS[kind].rule, data=data)


def told(kind: str, **data: Any) -> Act:
    return Act("notice:3.acme", kind, 20, "kurado", "system", "X", data=data)


STORIES: list[tuple[list[Act], str, int | None]] = [
    ([], "queued", None),
    ([told("notice.sent", at=20)], "sent", 20),
    ([told("notice.sent", at=20), told("notice.bounced", at=30, reason="x")], "bounced", 20),
    ([told("notice.bounced", at=30, reason="x")], "refused", None),
    ([told("notice.sent", at=20), told("notice.arrived", at=30, how="ack")], "arrived", 20),
    ([told("notice.withdrawn", reason="x")], "withdrawn", None),
    ([told("notice.bounced", at=30, reason="x"), told("notice.requeued", customer="d2")], "queued", None),
    ([told("notice.sent", at=20), told("notice.requeued", customer="d2")], "queued", 20),
    ([told("notice.sent", at=20), told("notice.requeued", customer="d2"), told("notice.sent", at=50)], "sent", 20),
    ([told("notice.sent", at=20, via="document")], "sent", None),
    ([told("notice.sent", at=20, via="document"), told("notice.arrived", at=30, how="document")], "arrived", 30),
]


@pytest.mark.parametrize(("acts", "state", "effective"), STORIES)
def test_a_notice_is_what_its_acts_tell(acts: list[Act], state: str, effective: int | None) -> None:
    (notice,) = fold([queued(), *acts]).values()
    assert (notice.state, notice.effect.at) == (state, effective)


def test_what_works_on_arrival_does_nothing_when_it_is_sent() -> None:
    (notice,) = fold([queued("start_notice"), told("notice.sent", at=20)]).values()
    assert notice.effect.at is None
    arrived = after(notice, told("notice.arrived", at=30, how="ack"))
    assert arrived is not None and arrived.effect.at == 30


def test_an_agreement_in_writing_makes_every_kind_work_on_arrival() -> None:
    act = queued()
    one = fold([Act(**{**_fields(act), "data": {**act.data, "written_agreement": True}}), told("notice.sent", at=20)])
    assert one["3.acme"].effect.rule == "arrival"


def _fields(act: Act) -> dict[str, Any]:
    return {name: getattr(act, name) for name in Act.__slots__}


# -- mails ------------------------------------------------------------------------------------------------------------


class OneCustomer:
    """Stands for the database: one version of one customer's data."""

    def __init__(self, **customer: str) -> None:
        self.customer = customer

    def read(self, _work: object) -> dict[str, str]:
        return self.customer


def mails(notice: Notice, **customer: str) -> list[email.message.EmailMessage]:
    settings = MailSettings("notice@kurado.example", "蔵戸", operators=("ops@a.example", "night@b.example"))
    letters = Letters(OneCustomer(**customer), Templates(), settings)  # type: ignore[arg-type]
    made = [letter.message.as_bytes() for letter in letters.letter(notice, "t0ken")]
    return [email.message_from_bytes(raw, policy=policy.default) for raw in made]  # type: ignore[misc]


ANYTHING = st.text(st.characters(codec="utf-8"), max_size=200)
HEADERS = {
    "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Language", "X-Kurado-Notice",
    "Content-Type", "Content-Transfer-Encoding", "MIME-Version",
}  # fmt: skip


@given(ANYTHING, ANYTHING, ANYTHING)
def test_nothing_that_anybody_wrote_becomes_a_header_or_another_recipient(name: str, title: str, text: str) -> None:
    act = queued("information")
    params = {"title_ja": title, "title_en": title, "text_ja": text, "text_en": text}
    notice = fold([Act(**{**_fields(act), "data": {**act.data, "params": params}})])["3.acme"]
    (mail,) = mails(notice, name=name, contact=name, email="info@acme.example")
    assert set(mail.keys()) == HEADERS
    assert [one.addr_spec for one in mail["To"].addresses] == ["info@acme.example"]
    assert not set(mail["Subject"]) & set("\r\n\0")


BAD = [
    "", "acme", "a@", "@b", "a@b\r\nBcc: c@d", "a@b,c@d", "a b@c", "<a@b>", "a@b>", "a@b c@d", "a@-\0", "a@b.", "a@.b",
    "a..b@c", ".a@b", "x" * 250 + "@b.example", '"a b"@c', "a@b;c@d",
]  # fmt: skip


@pytest.mark.parametrize("address", BAD)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(BadAddress):
        parse_mailbox(address)


@given(st.text(max_size=60))
def test_no_address_that_is_taken_can_end_a_command(text: str) -> None:
    try:
        found = parse_mailbox(text)
    except BadAddress:
        return
    assert found.count("@") >= 1 and not re.search(r"[\s<>(),;:\\\x00-\x20]", found)


@pytest.mark.parametrize(
    ("given_", "taken"),
    [("info@acme.example", "info@acme.example"), (" info@例え.jp ", "info@xn--r8jz45g.jp"), ("山田@a.jp", "山田@a.jp")],
)
def test_addresses_of_the_world_are_taken(given_: str, taken: str) -> None:
    assert parse_mailbox(given_) == taken


def test_lines_of_texts_lose_their_breaks() -> None:
    assert one_line(" a\r\nBcc: b\u2028c\x07 ") == "a Bcc: b c"


def test_operators_get_each_a_mail_of_their_own() -> None:
    notice = fold([queued("operator_task", OPERATORS)])[f"3.{OPERATORS}"]
    found = mails(notice)
    assert [mail["To"] for mail in found] == ["ops@a.example", "night@b.example"]


def test_a_message_id_is_the_same_at_every_try_and_another_when_it_is_sent_anew() -> None:
    (notice,) = fold([queued()]).values()
    again = after(notice, told("notice.requeued", customer="d2"))
    assert again is not None
    assert message_id(notice, "n@k.example", "t") == "<3.acme.t@k.example>"
    assert message_id(again, "n@k.example", "t") == "<3.acme.2.t@k.example>"


# -- reports ----------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=400))
def test_no_mail_whatsoever_is_a_report_by_chance(raw: bytes) -> None:
    assert read_report(raw) is None


REPORT = """From: MAILER-DAEMON@mx.example
Date: Mon, 5 Apr 2027 09:00:00 +0900
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

It could not be delivered.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; info@acme.example
Action: {action}
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <info@acme.example>:
 no such user

--b
Content-Type: {kind}

From: notice@kurado.example
Message-ID: <3.acme.t@kurado.example>
X-Kurado-Notice: {number}

the text
--b--
"""


@pytest.mark.parametrize("kind", ["message/rfc822", "text/rfc822-headers"])
def test_a_report_names_its_notice_and_says_why(kind: str) -> None:
    report = read_report(REPORT.format(action="failed", kind=kind, number="3.acme").encode())
    assert report is not None
    assert (report.notice, report.message_id, report.action) == ("3.acme", "<3.acme.t@kurado.example>", "failed")
    assert report.words == "5.1.1 smtp; 550 5.1.1 <info@acme.example>: no such user"
    assert report.at == 1_806_883_200_000


@pytest.mark.parametrize(("action", "number"), [("exploded", "3.acme"), ("failed", "3.acme\0x"), ("failed", "../..")])
def test_a_report_that_makes_no_sense_is_none(action: str, number: str) -> None:
    report = read_report(REPORT.format(action=action, kind="message/rfc822", number=number).encode())
    assert report is None or report.notice == "../.."
