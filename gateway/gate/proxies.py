"""Whom we believe what the request says about its client (X-Forwarded-*)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from gateway.exchange import Headers


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
        """The client's address: the last one in X-Forwarded-For that is no trusted proxy."""
        address = peer
        hops = ",".join(headers.getall("X-Forwarded-For", [])).split(",")
        while hops and self.trusts(address):
            hop = hops.pop().strip()
            if _parse(hop) is None:
                break
            address = hop
        return address

    def scheme(self, peer: str, headers: Headers, own: str) -> str:
        """The scheme that the client used, as a trusted proxy says."""
        if own == "https" or not self.trusts(peer):
            return own
        said = headers.getall("X-Forwarded-Proto", [])
        word = said[-1].rpartition(",")[2].strip().lower() if said else ""
        return word if word in ("http", "https") else own


def is_loopback(address: str) -> bool:
    parsed = _parse(address)
    return parsed is None or parsed.is_loopback  # no address: a unix socket


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0].strip("[]"))
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        return parsed.ipv4_mapped
    return parsed
