"""The one table from domain errors to S3's answers."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from multidict import CIMultiDict

from gateway.domain import errors
from gateway.domain.errors import KuradoError
from gateway.exchange import Exchange
from gateway.s3.errors import TABLE, error_reply
from gateway.testing.dav_client import FakeBody


def every_error() -> list[type[KuradoError]]:
    found = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, KuradoError)]
    return [one for one in found if one is not KuradoError]


def example(kind: type[KuradoError]) -> KuradoError:
    return kind(7) if kind is errors.RangeNotSatisfiable else kind("a <sentence> of \x00 ours")  # type: ignore[arg-type]


def answer(error: KuradoError) -> tuple[int, dict[str, str]]:
    exchange = Exchange("GET", "/b/k%00", "", CIMultiDict(), FakeBody(b""), "1f", "127.0.0.1", "http", "h")
    reply = error_reply(error, exchange)
    assert isinstance(reply.body, bytes)
    return reply.status, {one.tag: one.text or "" for one in ElementTree.fromstring(reply.body)}


@pytest.mark.parametrize("kind", every_error())
def test_every_error_of_the_domain_has_its_own_line_and_a_well_formed_body(kind: type[KuradoError]) -> None:
    assert kind in TABLE
    status, body = answer(example(kind))
    assert (status, body["Code"]) == TABLE[kind]
    assert body["RequestId"] == "1f"
    assert body["Message"]


@pytest.mark.parametrize("kind", [errors.TenantSuspended, errors.TakenDown])
def test_a_contract_state_and_a_takedown_name_no_ground(kind: type[KuradoError]) -> None:
    status, body = answer(kind("secret reason", policy="contract_state", clause="LIM-04"))
    assert (status, body["Code"], body["Message"]) == (403, "AccessDenied", "Access Denied")
    assert not {"Reason", "Policy", "Clause"} & body.keys()


def test_a_refusal_by_rule_names_the_rule_and_a_quota_the_figures() -> None:
    _, body = answer(errors.Infected("Eicar", policy="virus_scan", clause="PRO-01"))
    assert (body["Reason"], body["Policy"], body["Clause"]) == ("infected", "virus_scan", "PRO-01")
    status, body = answer(errors.QuotaExceeded(used=5, allowed=3))
    assert (status, body["Code"], body["Used"], body["Allowed"]) == (403, "QuotaExceeded", "5", "3")
