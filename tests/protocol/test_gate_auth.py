"""Who may come in: Basic logins, their throttle, tenants apart, proxies that are believed (RESILIENCE 17, 20)."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.testing.rawhttp import Answer, ask, basic
from gateway.testing.server import LOGIN, PASSWORD, RunningGateway, start_gateway
from gateway.testing.waiting import until

LOGIN_LINE = basic(LOGIN, PASSWORD)
CHALLENGE = 'Basic realm="kurado", charset="UTF-8"'


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    config = {"http": {"trusted_proxies": ["127.0.0.0/8"]}, "log": {"requests": True}}
    with start_gateway(tmp_path_factory.mktemp("gateway"), config=config) as running:
        running.add_tenant("other", login="oda", password="another password")
        running.add_user("acme", "おだ", "パスワード")
        yield running


def request(gateway: RunningGateway, fields: bytes, verb: bytes = b"OPTIONS", path: bytes = b"/dav/acme/") -> Answer:
    return ask(gateway.address, verb + b" " + path + b" HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")


def authorization(token: bytes) -> bytes:
    return b"Authorization: " + token + b"\r\n"


def from_address(address: str) -> bytes:
    """Every test of wrong logins has an address of its own: they are throttled."""
    return f"X-Forwarded-For: {address}\r\nX-Forwarded-Proto: https\r\n".encode()


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        authorization(b"Digest username=x"),
        authorization(b"Bearer abc"),
        basic(LOGIN, "wrong") + from_address("10.0.0.1"),
        basic("nobody", PASSWORD) + from_address("10.0.0.1"),
        basic("", "") + from_address("10.0.0.1"),
    ],
)
def test_without_a_right_login_the_answer_is_a_challenge(gateway: RunningGateway, fields: bytes) -> None:
    answer = request(gateway, fields)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == CHALLENGE


@pytest.mark.parametrize(
    "token",
    [
        b"Basic",
        b"Basic ",
        b"Basic !!!",
        b"Basic YQ",
        b"Basic " + base64.b64encode(b"no colon"),
        b"Basic " + base64.b64encode(b"a\x00b:c"),
        b"Basic YTpi YTpi",
        b"Basic \xff\xfe",
        b"Basic " + b"A" * 9000,
        b"Basic " + base64.b64encode(b"\xff\xfe:\xff"),
        b"Basic " + base64.b64encode(b"alice:" + b"x" * 5000),
    ],
)
def test_a_malformed_authorization_is_refused(gateway: RunningGateway, token: bytes) -> None:
    assert request(gateway, authorization(token) + from_address("10.0.0.2")).status in (400, 401)


def test_two_authorizations_are_refused(gateway: RunningGateway) -> None:
    assert request(gateway, LOGIN_LINE + basic("oda", "another password")).status == 400


@pytest.mark.parametrize(
    "fields",
    [
        LOGIN_LINE,
        basic(f"DOMAIN\\{LOGIN}", PASSWORD),
        LOGIN_LINE.replace(b"Basic ", b"basic  "),
        basic("おだ", "パスワード"),
    ],
)
def test_right_logins_are_let_in(gateway: RunningGateway, fields: bytes) -> None:
    assert request(gateway, fields).status == 200


def test_another_tenant_looks_the_same_whether_or_not_it_exists(gateway: RunningGateway) -> None:
    def masked(answer: Answer) -> tuple[int, dict[str, str], bytes]:
        request_id = answer.headers["x-request-id"]
        headers = {name: value for name, value in answer.headers.items() if name not in ("date", "x-request-id")}
        return answer.status, headers, answer.body.replace(request_id.encode(), b"-")

    for number, verb in enumerate((b"GET", b"PROPFIND", b"PUT", b"DELETE", b"MKCOL", b"LOCK", b"OPTIONS")):
        fields = LOGIN_LINE + b"Content-Length: 0\r\n" + from_address(f"10.1.0.{number}")
        there, absent, root = (
            masked(request(gateway, fields, verb, path)) for path in (b"/dav/other/", b"/dav/others/", b"/dav/%6fther/")
        )
        assert there == absent == root
        assert there[0] == 401


def test_wrong_logins_are_throttled_by_user_and_address(gateway: RunningGateway) -> None:
    here, elsewhere = from_address("10.2.0.1"), from_address("10.2.0.2")
    statuses = [request(gateway, basic("oda", f"guess {n}") + here, path=b"/dav/other/").status for n in range(14)]
    assert statuses[:9] == [401] * 9
    assert statuses[-1] == 429
    throttled = request(gateway, basic("oda", "one more") + here, path=b"/dav/other/")
    assert throttled.status == 429
    assert int(throttled.headers["retry-after"]) > 0
    right = basic("oda", "another password")
    assert request(gateway, right + elsewhere, path=b"/dav/other/").status == 200


def test_a_flood_of_wrong_logins_keeps_nobody_waiting_who_is_logged_in(gateway: RunningGateway) -> None:
    assert request(gateway, LOGIN_LINE).status == 200
    statuses: list[int] = []

    def guess(number: int) -> None:
        fields = basic(f"user-{number}", "guess") + from_address(f"10.3.{number // 250}.{number % 250}")
        statuses.append(request(gateway, fields).status)

    guessing = [threading.Thread(target=guess, args=(number,)) for number in range(60)]
    for thread in guessing:
        thread.start()
    answered = 0
    while any(thread.is_alive() for thread in guessing):
        assert request(gateway, LOGIN_LINE).status == 200
        answered += 1
    for thread in guessing:
        thread.join()
    assert answered > 3
    assert set(statuses) <= {401, 429}


def test_a_suspended_tenant_and_a_disabled_user_are_out_within_a_second(gateway: RunningGateway) -> None:
    gateway.add_tenant("gone", login="gon", password="a third password")
    fields = basic("gon", "a third password")
    assert request(gateway, fields, path=b"/dav/gone/").status == 200
    gateway.cli("tenant", "suspend", "gone")
    until(lambda: request(gateway, fields, path=b"/dav/gone/").status == 403, seconds=1)
    refused = request(gateway, fields, path=b"/dav/gone/")
    assert b"suspend" not in refused.body.lower()
    gateway.cli("tenant", "resume", "gone")
    until(lambda: request(gateway, fields, path=b"/dav/gone/").status == 200, seconds=1)
    gateway.cli("user", "disable", "gone", "gon")
    until(lambda: request(gateway, fields, path=b"/dav/gone/").status == 401, seconds=1)
    recorded = json.loads(gateway.cli("refusals", "list", "--json").stdout)
    assert any(one["tenant"] == "gone" and one["code"] == "access-denied" for one in recorded)


# -- the roots --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [b"/", b"/dav", b"/dav/"])
def test_options_of_the_roots_need_no_login(gateway: RunningGateway, path: bytes) -> None:
    answer = request(gateway, b"", path=path)
    assert answer.status == 200
    assert {"1", "2"} <= {item.strip() for item in answer.headers["dav"].split(",")}
    assert answer.headers["ms-author-via"] == "DAV"


@pytest.mark.parametrize("path", [b"/", b"/dav", b"/dav/"])
def test_a_listing_of_the_roots_shows_only_the_callers_own_tenant(gateway: RunningGateway, path: bytes) -> None:
    assert request(gateway, b"Depth: 1\r\n", b"PROPFIND", path).status == 401
    answer = request(gateway, LOGIN_LINE + b"Depth: 1\r\n", b"PROPFIND", path)
    assert answer.status == 207
    assert b"other" not in answer.body


def test_the_front_page_is_for_everybody_and_nothing_else_is(gateway: RunningGateway) -> None:
    assert request(gateway, b"", b"GET", b"/").status == 200
    assert request(gateway, b"", b"GET", b"/favicon.ico").status == 404
    assert request(gateway, b"", b"GET", b"/dav/").status == 401


# -- proxies, and passwords in the clear ------------------------------------------------------------------------------


def test_a_login_that_came_in_the_clear_through_a_proxy_is_refused(gateway: RunningGateway) -> None:
    plain = b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\n"
    assert request(gateway, LOGIN_LINE + plain).status == 403
    assert request(gateway, LOGIN_LINE + from_address("203.0.113.9")).status == 200
    assert request(gateway, LOGIN_LINE + b"X-Forwarded-For: 203.0.113.9\r\n").status == 403


def accesses(gateway: RunningGateway) -> list[dict[str, Any]]:
    """The access log once it has a line: it is written when the answer is sent, so a client may be faster."""
    return until(lambda: [one for one in gateway.log_lines() if one.get("logger") == "kurado.access"], gateway.log)


def test_only_declared_proxies_are_believed(shared_gateway: RunningGateway) -> None:
    claimed = b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\n"
    assert request(shared_gateway, LOGIN_LINE + claimed).status == 200
    assert {line["remote"] for line in accesses(shared_gateway)} == {"127.0.0.1"}


# -- what the log says ------------------------------------------------------------------------------------------------


def test_the_access_log_names_who_and_what_but_no_file_and_no_password(gateway: RunningGateway) -> None:
    put = b"Content-Length: 5\r\n" + from_address("10.9.9.9")
    fields = LOGIN_LINE + put + b"\r\nhello"
    ask(gateway.address, b"PUT /dav/acme/verysecretname.txt HTTP/1.1\r\nHost: a\r\n" + fields)
    request(gateway, basic(LOGIN, "mistypedpassword") + from_address("10.9.9.8"))
    line = until(lambda: [one for one in accesses(gateway) if one["remote"] == "10.9.9.9"])[0]
    assert {line[key] for key in ("tenant", "user", "verb")} == {"acme", LOGIN, "PUT"}
    assert (line["status"], line["bytes_in"]) == (201, 5)
    assert line["ms"] >= 0 and line["request_id"]
    for secret in ("verysecretname", "mistypedpassword", PASSWORD, base64.b64encode(b"alice:" + PASSWORD.encode())):
        assert str(secret) not in gateway.log()
