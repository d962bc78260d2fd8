"""Who may approve where two persons are needed (RULES PRV-03, ANT-01): another than the one who asked.

Where ``approvers`` is set in gateway.yaml only those may, each by a passphrase of their own, so that no account on this
machine can approve for two. Otherwise another login on this machine may.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.domain.acts import ActorRole
from gateway.domain.errors import ActRefused
from gateway.service.contracts.book import Actor, require
from gateway.service.passwords import verify


class Approvers:
    """``listed``: name → argon2id hash of the passphrase."""

    def __init__(self, listed: Mapping[str, str]) -> None:
        self._listed = dict(listed)

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are configured; empty: any other person."""
        return tuple(sorted(self._listed))

    def approver(self, login: str, name: str | None, passphrase: str | None, rule: str) -> Actor:
        """The person who approves: ``name``, proved by ``passphrase``, or the login where nobody is configured.

        ActRefused with ``rule`` for anybody else.
        """
        if not self._listed:
            require(name is None, "no approvers are configured: whoever approves uses a login of their own", rule)
            return Actor(login, ActorRole.APPROVER)
        if name is None:
            raise ActRefused(f"only {', '.join(self.names)} may approve: give --as NAME", rule)
        known = self._listed.get(name)
        if known is None or passphrase is None or not verify(passphrase, known):
            raise ActRefused(f"{name} may not approve, or the passphrase is wrong", rule)
        return Actor(name, ActorRole.APPROVER)
