"""The way to a mail server: encrypted, with a login, and what goes over it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest

from gateway.notices.smtp import PLAIN, STARTTLS, SmtpMailer, SmtpServer
from gateway.service.notices.ports import MailConnection, MailDeferred, MailRefused, MailUnavailable
from gateway.testing.mailsink import MailSink
from gateway.testing.needs import need

LOGIN, SECRET = "kurado", "correct horse"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1, which is its own authority, and its key."""
    need("openssl")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


def mail(text: str = "本文") -> EmailMessage:
    message = EmailMessage(SMTP)
    message["From"], message["To"], message["Subject"] = "a@kurado.example", "b@acme.example", "件名"
    message.set_content(text)
    return message


@contextmanager
def connected(sink: MailSink, security: str = PLAIN, **settings: str) -> Iterator[MailConnection]:
    mailer = SmtpMailer(SmtpServer("127.0.0.1", sink.port, security, timeout=30, helo="kurado.example", **settings))
    with mailer.connect() as connection:
        yield connection


def send(connection: MailConnection, recipient: str = "b@acme.example") -> str:
    return connection.send("a@kurado.example", recipient, mail(), ask_delivery=False)


def test_login_and_mail_go_over_an_encrypted_line(tls: tuple[Path, Path]) -> None:
    with MailSink(tls=tls, login=(LOGIN, SECRET)) as sink:
        with connected(sink, STARTTLS, login=LOGIN, password=SECRET, ca=str(tls[0])) as connection:
            assert send(connection).startswith("2.0.0")
        assert sink.mails[0].subject == "件名"


def test_a_server_that_nobody_vouches_for_gets_neither_password_nor_mail(tls: tuple[Path, Path]) -> None:
    with MailSink(tls=tls, login=(LOGIN, SECRET)) as sink:
        with pytest.raises(MailUnavailable, match="certificate"), connected(sink, STARTTLS, login=LOGIN, password="x"):
            pass
        assert sink.mails == []


def test_a_server_without_encryption_gets_nothing_when_it_is_asked_for() -> None:
    with MailSink() as sink, pytest.raises(MailUnavailable, match="STARTTLS"), connected(sink, STARTTLS):
        pass


def test_a_wrong_password_is_no_fault_of_the_mail(tls: tuple[Path, Path]) -> None:
    wrong = {"login": LOGIN, "password": "wrong", "ca": str(tls[0])}
    with (
        MailSink(tls=tls, login=(LOGIN, SECRET)) as sink,
        pytest.raises(MailUnavailable, match="535"),
        connected(sink, STARTTLS, **wrong),
    ):
        pass


def test_the_password_is_in_no_representation() -> None:
    assert SECRET not in repr(SmtpServer("a", 25, password=SECRET))


def test_after_a_refusal_the_same_connection_takes_the_next_mail() -> None:
    with MailSink(refused={"gone@acme.example"}) as sink:
        with connected(sink) as connection:
            with pytest.raises(MailRefused, match="550"):
                send(connection, "gone@acme.example")
            assert connection.is_open
            send(connection)
        assert len(sink.mails) == 1 and sink.sessions == 1


def test_a_line_that_was_cut_is_not_used_again() -> None:
    with MailSink(mode="drop") as sink, connected(sink) as connection:
        with pytest.raises(MailDeferred):
            send(connection)
        assert not connection.is_open


def test_refusals_of_content_are_told_apart_from_those_for_now() -> None:
    with MailSink(mode="reject-data") as sink, connected(sink) as connection:
        with pytest.raises(MailRefused, match="554"):
            send(connection)
        sink.mode = "defer"
        with pytest.raises(MailDeferred, match="451"):
            send(connection)


def test_addresses_that_are_not_ascii_go_to_servers_that_take_them() -> None:
    with MailSink() as sink:
        with connected(sink) as connection:
            send(connection, "山田@acme.example")
        assert sink.mails[0].recipients == ("山田@acme.example",)


def test_a_dot_at_the_start_of_a_line_ends_no_mail() -> None:
    with MailSink() as sink:
        with connected(sink) as connection:
            message = EmailMessage(SMTP)
            message["Subject"] = "x"
            message.set_content("one\n.\nMAIL FROM:<x@y>\n..\nlast\n")
            connection.send("a@kurado.example", "b@acme.example", message, ask_delivery=False)
        assert sink.mails[0].text.replace("\r\n", "\n") == "one\n.\nMAIL FROM:<x@y>\n..\nlast\n"
