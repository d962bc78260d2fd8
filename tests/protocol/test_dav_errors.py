"""The one table from domain errors to WebDAV's answers, and the one funnel through which they go."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from multidict import CIMultiDict

from gateway.dav.errors import STATUS, error_reply, status_of
from gateway.domain import errors
from gateway.domain.errors import BackendUnavailable, KuradoError
from gateway.domain.upload import Outcome, Verdict
from gateway.exchange import Exchange
from gateway.testing.dav_client import DavClient, FakeBody, open_dav


@pytest.fixture
def dav(tmp_path: Path) -> Iterator[DavClient]:
    with open_dav(tmp_path, backend="memory", plugins=["quota"], quota_bytes=100) as client:
        yield client


def every_error() -> list[type[KuradoError]]:
    return [
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, KuradoError) and one is not KuradoError
    ]


def example(kind: type[KuradoError]) -> KuradoError:
    return kind(7) if kind is errors.RangeNotSatisfiable else kind("a sentence")  # type: ignore[arg-type]


def exchange() -> Exchange:
    return Exchange("PUT", "/dav/t/a", "", CIMultiDict(), FakeBody(b""), "id-7", "-", "http", "h")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_of_the_domain_has_its_own_line(kind: type[KuradoError]) -> None:
    assert kind in STATUS
    assert status_of(example(kind)) == STATUS[kind]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_becomes_a_well_formed_body_with_condition_code_and_id(kind: type[KuradoError]) -> None:
    reply = error_reply(example(kind), exchange())
    assert isinstance(reply.body, bytes)
    root = ElementTree.fromstring(reply.body)
    assert root.tag == "{DAV:}error"
    assert root[0].tag.startswith(("{DAV:}", "{urn:kurado}"))
    assert root.findtext("{urn:kurado}code") == kind.code
    assert root.findtext("{urn:kurado}request-id") == "id-7"


@pytest.mark.parametrize("kind", [errors.TenantSuspended, errors.TakenDown])
def test_a_contract_state_names_no_ground(kind: type[KuradoError]) -> None:
    """ACC-02, TKD-02: code and request id, nothing else."""
    reply = error_reply(kind("unpaid since May", policy="contract", clause="§9"), exchange())
    assert isinstance(reply.body, bytes)
    assert not [word for word in (b"unpaid", b"contract", "§9".encode()) if word in reply.body]


def test_a_message_cannot_break_the_body() -> None:
    reply = error_reply(errors.Disallowed('<x> & "\x00\x1b\ud800', policy="a<b"), exchange())
    assert isinstance(reply.body, bytes)
    root = ElementTree.fromstring(reply.body)
    assert (root.findtext("{urn:kurado}message") or "").startswith('<x> & "')


def test_trouble_of_ours_says_when_to_come_back() -> None:
    assert error_reply(errors.InspectorUnavailable(), exchange()).headers["Retry-After"] == "10"
    assert error_reply(errors.RateLimited("slow down", retry_after=3), exchange()).headers["Retry-After"] == "3"


def test_a_locked_answer_names_the_lock_in_the_way(dav: DavClient) -> None:
    dav.mkcol("/c/")
    dav.lock("/c/", Depth="infinity")
    answer = dav.put("/c/new", b"x")
    assert (answer.status, answer.condition()) == (423, "{DAV:}lock-token-submitted")
    assert answer.xml.findtext("{DAV:}lock-token-submitted/{DAV:}href") == "/dav/studio/c"
    answer = dav.lock("/c/")
    assert (answer.status, answer.condition()) == (423, "{DAV:}no-conflicting-lock")


def test_every_refusal_by_rule_is_recorded_with_policy_clause_and_request(dav: DavClient) -> None:
    answer = dav.put("/a", b"x" * 101)
    recorded = dav.space.services.refusals.recent(dav.caller.tenant.id)
    assert [(one.verb, one.path, one.code, one.policy, one.clause) for one in recorded] == [
        ("PUT", "/a", "quota-not-exceeded", "quota", "LIM-01")
    ]
    assert recorded[0].request_id == answer.fact("request-id")


def test_what_is_no_refusal_by_rule_is_not_recorded(dav: DavClient) -> None:
    dav.get("/none")
    dav.put("/no/such", b"x")
    dav.put("/a", b"x", If_Match="*")
    assert dav.space.services.refusals.recent() == []


def test_a_refusal_that_cannot_be_recorded_is_still_refused_and_logged(
    dav: DavClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object, **__: object) -> None:
        raise BackendUnavailable("the database does not answer")

    monkeypatch.setattr(type(dav.space.services.refusals), "record", away)
    with caplog.at_level(logging.ERROR):
        assert dav.put("/a", b"x" * 101).status == 507
    assert "could not be recorded" in caplog.text


def test_an_unknown_failure_is_500_with_its_trace_in_the_log_only(
    dav: DavClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(type(dav.space.services.files), "lookup", broken)
    answer = dav.get("/a")
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert answer.fact("request-id") in caplog.text
    assert "secret" in caplog.text


def test_quota_figures_are_told_to_the_client(dav: DavClient) -> None:
    dav.put("/a", b"x" * 60)
    for answer in (dav.put("/b", b"x" * 41), dav.copy("/a", "/c")):
        assert answer.status == 507
        assert answer.condition() == "{DAV:}quota-not-exceeded"
        assert (answer.fact("used"), answer.fact("allowed"), answer.fact("unit")) == ("60", "100", "bytes")
    assert dav.space.used() == (60, 1)


def test_check_request_comes_before_everything(dav: DavClient, monkeypatch: pytest.MonkeyPatch) -> None:
    host = dav.space.services.host
    asked: list[bool] = []

    def check(hook: str, **named: object) -> None:
        if hook == "check_request":
            asked.append(named["request"].writes)  # type: ignore[attr-defined]
            raise errors.Maintenance("until four", retry_after=60, policy="maintenance")

    monkeypatch.setattr(host, "implements", lambda hook: hook == "check_request")
    monkeypatch.setattr(host, "check", check)
    body = FakeBody(b"x")
    answers = [dav.put("/a", body), dav.get("/none"), dav.delete("/none")]
    assert [one.status for one in answers] == [503] * 3
    assert answers[0].headers["Retry-After"] == "60"
    assert body.taken == 0
    assert asked == [True, False, True]


def test_a_cancelled_request_is_not_answered(dav: DavClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def cancelled(*_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(type(dav.space.services.files), "lookup", cancelled)
    with pytest.raises(asyncio.CancelledError):
        dav.get("/a")


# -- verdicts ---------------------------------------------------------------------------------------------------------


def judge(dav: DavClient, monkeypatch: pytest.MonkeyPatch, verdict: Verdict) -> None:
    monkeypatch.setattr(dav.space.services.host, "content_verdicts", lambda *_: [verdict])


@pytest.mark.parametrize(
    ("error", "status"), [("infected", 403), ("disallowed", 403), ("type-refused", 415), ("unscannable", 403)]
)
def test_refused_content_names_condition_policy_and_clause_and_is_recorded(
    dav: DavClient, monkeypatch: pytest.MonkeyPatch, error: str, status: int
) -> None:
    dav.put("/a", b"old")
    judge(dav, monkeypatch, Verdict(Outcome.REFUSE, "virus_scan", "SEC-02", "Eicar-Test-Signature", error))
    answer = dav.put("/a", b"bad")
    assert answer.status == status
    assert answer.condition() == f"{{urn:kurado}}{error}"
    assert [answer.fact(name) for name in ("policy", "clause", "message")] == [
        "virus_scan",
        "SEC-02",
        "Eicar-Test-Signature",
    ]
    recorded = dav.space.services.refusals.recent()[0]
    assert (recorded.code, recorded.policy, recorded.clause) == (error, "virus_scan", "SEC-02")
    assert recorded.digest == hashlib.sha256(b"bad").hexdigest()
    assert dav.get("/a").body == b"old"


def test_held_content_is_listed_and_neither_read_nor_copied(dav: DavClient, monkeypatch: pytest.MonkeyPatch) -> None:
    judge(dav, monkeypatch, Verdict(Outcome.HOLD, "virus_scan", "", "the scanner is away"))
    etag = dav.put("/a", b"wait").headers["ETag"]
    found = dav.propfind("/a", "0", "D:getetag", "D:getcontentlength", "K:state").props()
    assert [one.text for one in found.values()] == [etag, "4", "held"]
    for answer in (dav.get("/a"), dav.copy("/a", "/b")):
        assert (answer.status, answer.condition()) == (403, "{urn:kurado}held")
    assert dav.send("HEAD", "/a").status == 403
    assert dav.move("/a", "/c").status == 201
    assert dav.get("/c").status == 403


def test_facts_of_the_content_are_live_properties(dav: DavClient, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"image.width": "640", "camera": "<X & Y>", "not a name": "x"}
    monkeypatch.setattr(dav.space.services.host, "describe", lambda *_: facts)
    dav.put("/a.png", b"x")
    found = dav.propfind("/a.png", "0", "K:image.width", "K:camera").props()
    assert [one.text for one in found.values()] == ["640", "<X & Y>"]
    names = dav.send("PROPFIND", "/a.png", b'<propfind xmlns="DAV:"><propname/></propfind>', Depth="0").props()
    assert {"{urn:kurado}image.width", "{urn:kurado}camera"} <= set(names)
    assert "{urn:kurado}not a name" not in names
