"""Wrong logins cost time: buckets that fill with each wrong try and leak (RESILIENCE 20)."""

from __future__ import annotations

import ipaddress
import math
import threading
from dataclasses import dataclass

from gateway.domain.errors import RateLimited
from gateway.service.tally import OwnTally, Tally

_GOOD_FOR = 24 * 3600 * 1000  # ms for which an address that logged a user in is known as that user's


@dataclass(frozen=True)
class Rule:
    """``limit`` wrong tries at once; one is forgiven every ``leak`` ms."""

    limit: int
    leak: int


PAIR = Rule(10, 15_000)
"""One user from one address: from the eleventh wrong try on, one more every 15 s."""
ADDRESS = Rule(40, 4_000)
"""One address with whatever users: guessing names, or one password for many."""
USER = Rule(200, 2_000)
"""One user from everywhere. Never a refusal by itself: above it an address that is not known as this user's has one try
every 15 s, so that many attackers together are slow and the right user still comes in from a new place."""


class _Buckets:
    """Levels by key, of one rule."""

    def __init__(self, tally: Tally, name: str, rule: Rule) -> None:
        self.rule = rule
        self._tally = tally
        self._name = name

    def level(self, key: tuple[str, ...], now: int) -> float:
        level, at = self._tally.get((self._name, *key)) or (0.0, now)
        return max(0.0, level - max(0, now - at) / self.rule.leak)

    def add(self, key: tuple[str, ...], now: int) -> None:
        self._tally.put((self._name, *key), min(self.level(key, now), self.rule.limit) + 1, now)

    def clear(self, key: tuple[str, ...]) -> None:
        self._tally.drop((self._name, *key))

    def wait(self, key: tuple[str, ...], now: int, limit: int) -> float:
        """Seconds until another try is allowed."""
        over = self.level(key, now) - (limit - 1)
        return over * self.rule.leak / 1000 if over > 0 else 0.0


class Throttle:
    """Counts together with the other processes that were given the same ``tally``: a client's connections are spread
    over all gates. ``account`` is (tenant, login), whether it exists or not."""

    def __init__(self, tally: Tally | None = None) -> None:
        self._tally = tally or OwnTally()
        self._pairs = _Buckets(self._tally, "pair", PAIR)
        self._addresses = _Buckets(self._tally, "address", ADDRESS)
        self._users = _Buckets(self._tally, "user", USER)
        self._lock = threading.Lock()

    def close(self) -> None:
        self._tally.close()

    def check(self, account: tuple[str, str], remote: str, now: int) -> None:
        """Raises RateLimited with ``retry_after`` while this address has to wait."""
        address = network_of(remote)
        pair = (*account, address)
        with self._lock, self._tally.held():
            good = self._tally.get(("good", *pair))
            known = good is not None and now - good[1] < _GOOD_FOR
            hunted = self._users.level(account, now) >= USER.limit
            wait = self._pairs.wait(pair, now, 1 if hunted and not known else PAIR.limit)
            if not known:
                wait = max(wait, self._addresses.wait((address,), now, ADDRESS.limit))
        if wait > 0:
            raise RateLimited("too many wrong logins", retry_after=max(1, math.ceil(wait)))

    def failed(self, account: tuple[str, str], remote: str, now: int) -> None:
        """Counts a wrong try."""
        address = network_of(remote)
        with self._lock, self._tally.held():
            self._pairs.add((*account, address), now)
            self._addresses.add((address,), now)
            self._users.add(account, now)

    def succeeded(self, account: tuple[str, str], remote: str, now: int) -> None:
        """Forgives this user's wrong tries from this address and remembers it as the user's."""
        pair = (*account, network_of(remote))
        with self._lock, self._tally.held():
            self._pairs.clear(pair)
            self._tally.put(("good", *pair), 0.0, now)


def network_of(remote: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 that one IPv6 customer has."""
    try:
        address = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return remote
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
