"""Whom the gate believes about a client (RESILIENCE 17: never about the host)."""

from __future__ import annotations

from typing import cast

import pytest
from multidict import CIMultiDict

from gateway.exchange import Headers
from gateway.gate.proxies import UNKNOWN, Proxies

PROXIES = Proxies(["10.0.0.0/8", "::1/128"])


def headers(**fields: str) -> Headers:
    return cast(Headers, CIMultiDict({name.replace("_", "-"): value for name, value in fields.items()}))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.1", "198.51.100.7", "203.0.113.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "127.0.0.1x", UNKNOWN),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("::1", "", "::1"),
    ],
)
def test_the_client_is_the_last_address_that_no_trusted_proxy_has(peer: str, forwarded: str, client: str) -> None:
    assert PROXIES.client(peer, headers(X_Forwarded_For=forwarded)) == client


@pytest.mark.parametrize(
    ("peer", "said", "scheme"),
    [
        ("10.0.0.1", "https", "https"),
        ("10.0.0.1", "http, https", "https"),
        ("10.0.0.1", "https, http", "http"),
        ("10.0.0.1", "gopher", "http"),
        ("203.0.113.1", "https", "http"),
    ],
)
def test_the_scheme_is_what_a_trusted_proxy_says_last(peer: str, said: str, scheme: str) -> None:
    assert PROXIES.scheme(peer, headers(X_Forwarded_Proto=said), "http") == scheme


def test_our_own_tls_is_never_talked_away() -> None:
    assert PROXIES.scheme("10.0.0.1", headers(X_Forwarded_Proto="http"), "https") == "https"


def test_a_client_behind_a_proxy_on_this_machine_is_not_of_this_machine() -> None:
    nothing = headers()
    assert Proxies([]).is_local("127.0.0.1", nothing)
    assert PROXIES.is_local("::1", nothing)
    assert not PROXIES.is_local("::1", headers(X_Forwarded_Proto="http"))
    assert not PROXIES.is_local("::1", headers(X_Forwarded_For="198.51.100.7"))
    assert not PROXIES.is_local("::1", headers(X_Forwarded_For="nobody"))
    assert not PROXIES.is_local("203.0.113.1", headers(X_Forwarded_For="127.0.0.1"))
