"""Whom we believe what the request says about its client (X-Forwarded-*)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from gateway.exchange import Headers

UNKNOWN = "unknown"


class Proxies:
    """Only declared proxies are believed, and never about the host: Destination is decided by configuration."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]

    def trusts(self, address: str) -> bool:
        if not self._networks:
            return False
        parsed = _parse(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def client(self, peer: str, headers: Headers) -> str:
        """The client's address: the last one in X-Forwarded-For that is no trusted proxy; UNKNOWN when a proxy that we
        trust names something else than an address."""
        if not self._networks:
            return peer
        address = peer
        hops = ",".join(headers.getall("X-Forwarded-For", [])).split(",")
        while hops and self.trusts(address):
            address = _without_port(hops.pop().strip()) or address
            if _parse(address) is None:
                return UNKNOWN
        return address

    def scheme(self, peer: str, headers: Headers, own: str) -> str:
        """The scheme that the client used, as a trusted proxy says."""
        if own == "https" or not self.trusts(peer):
            return own
        said = headers.getall("X-Forwarded-Proto", [])
        word = said[-1].rpartition(",")[2].strip().lower() if said else ""
        return word if word in ("http", "https") else own

    def is_local(self, peer: str, headers: Headers) -> bool:
        """Whether the client is a program of this machine; not when a proxy says which scheme it forwards."""
        if self.trusts(peer) and "X-Forwarded-Proto" in headers:
            return False
        return _is_loopback(self.client(peer, headers))


@lru_cache(maxsize=1024)
def _is_loopback(address: str) -> bool:
    parsed = _parse(address)
    return parsed is not None and parsed.is_loopback


def _without_port(hop: str) -> str:
    """``192.0.2.1:1234`` and ``[2001:db8::1]:1234`` are what some proxies write."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


@lru_cache(maxsize=1024)
def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0].strip("[]"))
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        return parsed.ipv4_mapped
    return parsed
