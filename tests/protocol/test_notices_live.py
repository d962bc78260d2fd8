"""A running daemon tells its customers by mail and everybody by its board, whatever is killed or closed meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from gateway.testing.clockwork import lasting_today
from gateway.testing.mailsink import MailSink
from gateway.testing.rawhttp import ask, basic
from gateway.testing.server import PASSWORD, RunningGateway, start_gateway
from gateway.testing.waiting import until

LOGIN = "hanako"


@pytest.fixture(scope="module")
def sink() -> Iterator[MailSink]:
    with MailSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, sink: MailSink) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("gateway")
    mail = {**sink.settings(), "signature": "蔵戸 運用部"}
    with start_gateway(folder, plugins=["contract_state", "quota"], config={"mail": mail}) as running:
        apply = [
            "--customer",
            "株式会社アクメ",
            "--address",
            "Tokyo",
            "--contact",
            "山田",
            "--email",
            "info@acme.example",
        ]
        apply += ["--plan", "standard", "--payment", "invoice", "--terms-version", "2017-06-01"]
        yesterday = (lasting_today() - timedelta(days=1)).isoformat() + "T09:00+09:00"
        running.cli("contract", "apply", "works", *apply, "--privacy-version", "3", "--privacy-agreed-at", yesterday)
        running.cli("contract", "review", "works")
        running.cli("contract", "accept", "works", "--minimum-months", "1", "--reason", "complete")
        running.cli("contract", "register", "works", "--login", LOGIN, "--password-stdin", input=PASSWORD + "\n")
        yield running


def notices(gateway: RunningGateway) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(gateway.cli("notice", "list", "--json").stdout)
    return found


def get(url: str) -> tuple[int, str, dict[str, str]]:
    with urllib.request.urlopen(url, timeout=120) as answer:
        return answer.status, answer.read().decode(), dict(answer.headers)


def test_a_killed_steward_neither_loses_a_notice_nor_makes_two_of_it(gateway: RunningGateway, sink: MailSink) -> None:
    today = lasting_today().isoformat()
    sink.delay = 3.0
    sent = gateway.cli("notice", "send", "works", "start_notice", "--start-date", today).stdout
    number = sent.split()[1]
    until(lambda: sink.sessions)
    (steward,) = gateway.pids("steward")
    os.kill(steward, signal.SIGKILL)
    sink.delay = 0.0
    until(lambda: sink.mails)
    until(lambda: [one for one in notices(gateway) if one["state"] == "sent"])
    assert len({mail.message["Message-ID"] for mail in sink.mails}) == 1
    assert len({mail.raw for mail in sink.mails}) == 1
    assert "蔵戸 運用部" in sink.mails[0].text

    def state() -> str:
        return str(json.loads(gateway.cli("contract", "status", "works", "--json").stdout)["state"])

    until(lambda: state() == "notified")  # the contract follows the notice in a step of its own
    gateway.cli("notice", "arrived", number)
    head = b"OPTIONS /dav/works/ HTTP/1.1\r\nHost: a\r\n" + basic(LOGIN, PASSWORD) + b"\r\n"
    until(lambda: ask(gateway.address, head).status == 200)


def test_a_report_that_a_mail_server_pipes_in_is_recorded(gateway: RunningGateway, sink: MailSink) -> None:
    gateway.cli("board", "post", "--title-ja", "件名", "--title-en", "s", "--text-ja", "本文", "--text-en", "t")
    mail = until(lambda: [one for one in sink.mails if one.subject == "件名"])[0]
    head = mail.raw.partition(b"\r\n\r\n")[0].decode()
    report = (
        "From: MAILER-DAEMON@a.example\nMIME-Version: 1.0\nContent-Type: multipart/report; boundary=b\n\n"
        "--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; a.example\n\n"
        "Final-Recipient: rfc822; info@acme.example\nAction: failed\nStatus: 5.2.2\nDiagnostic-Code: smtp; full\n\n"
        f"--b\nContent-Type: text/rfc822-headers\n\n{head}\n\n--b--\n"
    )
    until(lambda: [one for one in notices(gateway) if one["kind"] == "information" and one["state"] == "sent"])
    assert "came back" in gateway.cli("notice", "import", "-", input=report).stdout
    (bounced,) = [one for one in notices(gateway) if one["state"] == "bounced"]
    assert bounced["reason"] == "5.2.2 smtp; full" and bounced["effective_on"]
    assert "本文" in gateway.cli("notice", "show", bounced["notice"]).stdout


def test_the_board_is_open_to_all_while_the_service_is_closed(gateway: RunningGateway) -> None:
    gateway.cli("interruption", "open", "--ground", "DISORDER", "--reason", "host db3 of works is on fire")
    pages = [f"{gateway.base_url}/status/", f"{gateway.desk_url}/status/"]
    for page in pages:  # its heading may be that of the outage that an interruption is as well (SLA)
        until(lambda page=page: "サービスの中断" in get(page)[1])
        status, text, headers = get(page + "en.html")
        assert status == 200 and "Interruption of the service" in text
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert not re.search("db3|works|acme|アクメ", text)
    assert json.loads(get(pages[0] + "status.json")[1])["state"] in ("interrupted", "outage")
    assert "interruption/I1" in get(pages[1] + "feed.xml")[1]
    gateway.cli("interruption", "close", "I1")
    until(lambda: "正常に稼働しています" in get(pages[0])[1])


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET /status", 308),
        ("HEAD /status/", 200),
        ("GET /status/nothing", 404),
        ("GET /status/../kurado.db", 404),
        ("GET /status/.index.html.part", 404),
        ("PUT /status/index.html", 405),
        ("PROPFIND /status/", 405),
    ],
)
def test_nothing_but_the_boards_own_files_is_there(gateway: RunningGateway, line: str, status: int) -> None:
    head = f"{line} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode()
    assert ask(gateway.address, head, head_only=line.startswith("HEAD")).status == status
