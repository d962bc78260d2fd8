"""Policy documents: validated, versioned with who, when and digest, in force for all tenants or for one.

A version never changes, so a parsed one is kept for good; which one is in force is looked up again when
``system.revision`` has moved, at most three times a second. A document that does not parse is refused and what was in
force stays in force.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from gateway.domain.acts import Act
from gateway.domain.calendar import jst_date
from gateway.domain.contract.policies import AGREED, KINDS, together
from gateway.domain.contract.records import Agreed, Contract
from gateway.domain.contract.values import ContractValues
from gateway.domain.errors import ActRefused, BackendUnavailable, BadRequest, NotFound
from gateway.domain.tenant import Tenant
from gateway.domain.terms import Plan, Plans
from gateway.hooks import PolicyKind
from gateway.service.stored import PolicyVersion
from gateway.service.unit_of_work import Database, Tx

CHECK_EVERY = 300  # ms
SEEDED_BY = "kurado"

log = logging.getLogger("kurado.policies")


class BadPolicy(BadRequest):
    """A document that cannot come into force; the message names key path and fix."""

    code = "bad-policy"


@dataclass(frozen=True)
class InForce:
    """``tenant_id`` None: for all that have no version of their own."""

    name: str
    tenant_id: int | None
    version: int


@dataclass
class _Table:
    revision: int
    versions: Mapping[tuple[str, int | None], int]
    resolved: dict[tuple[str, int | None], Any] = field(default_factory=dict)


class Policies:
    """``read`` turns text into a plain document (ValueError when it is none); ``defaults`` are texts by kind, stored as
    version 1 by the first start."""

    def __init__(
        self,
        db: Database,
        kinds: Mapping[str, PolicyKind],
        clock: Callable[[], int],
        read: Callable[[str], Any],
        defaults: Mapping[str, str],
    ) -> None:
        self.kinds = kinds
        self.defaults = defaults
        self._db = db
        self._clock = clock
        self._read = read
        self._lock = threading.Lock()
        self._table = _Table(-1, {})
        self._checked_at = -(10**18)
        self._parsed: dict[tuple[str, int], Any] = {}
        self._values: dict[tuple[int, ...], ContractValues] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self.contract_of: Callable[[Tenant], Contract | None] = lambda _tenant: None
        """The contract of a tenant; the composition root says it."""

    # -- reading ------------------------------------------------------------------------------------------------------

    def get(self, name: str, tenant: Tenant | None = None) -> Any:
        """The parsed document in force for a tenant, or the default. In the price list of a tenant under contract, its
        plan has the limits and fees that were agreed (REV-01).

        NotFound when there is no document of that kind; BadPolicy when the stored one does not parse any more.
        """
        value = self._in_force_value(name, tenant)
        contract = self.contract_of(tenant) if tenant and name == "plans" else None
        agreed = contract.plan_on(jst_date(self._clock())) if contract else None
        return value if agreed is None else with_agreed(value, agreed)

    def _in_force_value(self, name: str, tenant: Tenant | None) -> Any:
        table = self._current()
        key = (name, tenant.id if tenant else None)
        if key in table.resolved:
            return table.resolved[key]
        version = table.versions.get(key) or table.versions.get((name, None))
        if version is None:
            raise NotFound(f"there is no policy {name!r} in force")
        value = self._version(name, version)
        table.resolved[key] = value
        return value

    def values(self, tenant: Tenant | None = None, day: date | None = None) -> ContractValues:
        """The constants of the terms (RULES section 19) for a tenant on a JST day, by default today: of the versions
        that its contract is bound by then (REV-01 to REV-03), or that are in force for it. Without a tenant: those that
        a new customer would agree to."""
        contract = self.contract_of(tenant) if tenant else None
        if contract is None:
            return self._compose(self._versions_of(tenant.id if tenant else None))
        return self.values_of(contract, day)

    def values_of(self, contract: Contract | None, day: date | None = None) -> ContractValues:
        """The same for a contract at hand (None: a new customer); ``.at(day)`` of the result asks for another day."""
        versions = self._versions_of((contract.tenant_id or None) if contract else None)
        if contract is None or not contract.bound:
            return self._compose(versions)
        current = self._compose(versions | self._bound_on(contract, day or jst_date(self._clock())))
        if not contract.revised_on:
            return current
        days = (date.min, *contract.revised_on)
        return replace(
            current, history=tuple((one, self._compose(versions | self._bound_on(contract, one))) for one in days)
        )

    def agreed_documents(self) -> dict[str, str]:
        """Kind → SHA-256 of the documents that a customer who is accepted now agrees to."""
        versions = self._versions_of(None)
        return {kind: self.version(kind, versions[kind]).digest for kind in AGREED}

    def _versions_of(self, tenant_id: int | None) -> dict[str, int]:
        versions = self._current().versions
        found = {kind: versions.get((kind, tenant_id)) or versions.get((kind, None)) for kind in KINDS}
        missing = [kind for kind, version in found.items() if version is None]
        if missing:
            raise NotFound(f"there is no policy {missing[0]!r} in force")
        return {kind: version for kind, version in found.items() if version is not None}

    def _bound_on(self, contract: Contract, day: date) -> dict[str, int]:
        documents = {kind: contract.document_on(kind, day) for kind in AGREED}
        numbers = {kind: self._number(kind, digest) for kind, digest in documents.items() if digest is not None}
        return {kind: number for kind, number in numbers.items() if number is not None}

    def _number(self, kind: str, digest: str) -> int | None:
        """The version with that digest. None, and logged, if it is not stored: what is in force has to serve then."""
        if (kind, digest) not in self._numbers:
            for one in self._db.read(lambda tx: tx.policies.history(kind)):
                self._numbers[kind, one.digest] = one.version
        if (kind, digest) not in self._numbers:
            log.error("a document that a contract is bound by is not stored", extra={"kind": kind, "sha256": digest})
        return self._numbers.get((kind, digest))

    def _compose(self, versions: Mapping[str, int]) -> ContractValues:
        key = tuple(versions[kind] for kind in KINDS)
        if key not in self._values:
            self._values[key] = together({kind: self._version(kind, versions[kind]) for kind in KINDS}, versions)
        return self._values[key]

    def in_force(self) -> list[InForce]:
        """All assignments: by name, the default first."""
        listed = self._db.read(lambda tx: tx.policies.assignments())
        return sorted((InForce(*one) for one in listed), key=lambda one: (one.name, one.tenant_id or 0))

    def history(self, name: str | None = None) -> list[PolicyVersion]:
        """All stored versions, the oldest first."""
        if name is not None:
            self._kind(name)
        return self._db.read(lambda tx: tx.policies.history(name))

    def version(self, name: str, version: int | None = None, tenant: Tenant | None = None) -> PolicyVersion:
        """One stored version; without a number the one in force."""
        self._kind(name)
        if version is None:
            with self._lock:
                self._look()
            versions = self._table.versions
            version = versions.get((name, tenant.id if tenant else None)) or versions.get((name, None))
        wanted = version
        found = self._db.read(lambda tx: tx.policies.get(name, wanted)) if wanted is not None else None
        if found is None:
            raise NotFound(f"there is no version {wanted} of policy {name!r}" if wanted else f"no {name!r} in force")
        return found

    def _current(self) -> _Table:
        if not 0 <= self._clock() - self._checked_at < CHECK_EVERY:
            with self._lock:
                try:
                    self._look()
                except BackendUnavailable:
                    if self._table.revision < 0:
                        raise
                    log.warning("policies are used as last seen: the database does not answer")
                self._checked_at = self._clock()
        return self._table

    def _look(self) -> None:
        before = self._table

        def load(tx: Tx) -> _Table:
            revision = tx.system.revision()
            if revision == before.revision:
                return before
            return _Table(revision, {(name, tenant): version for name, tenant, version in tx.policies.assignments()})

        self._table = self._db.read(load)

    def _version(self, name: str, version: int) -> Any:
        if (name, version) not in self._parsed:
            stored = self._db.read(lambda tx: tx.policies.get(name, version))
            if stored is None:
                raise NotFound(f"there is no version {version} of policy {name!r}")
            self._parsed[name, version] = self.check(name, stored.text)
        return self._parsed[name, version]

    # -- changing -----------------------------------------------------------------------------------------------------

    def check(self, name: str, text: str) -> Any:
        """The parsed value of a document that is not in force. BadPolicy says what is wrong with it."""
        kind = self._kind(name)
        try:
            document = self._read(text)
            if not isinstance(document, Mapping):
                raise ValueError("holds no `key: value` lines")
            return kind.parse(document)
        except ValueError as error:
            raise BadPolicy(f"{name}: {error}") from error

    def apply(self, name: str, text: str, who: str, tenant: Tenant | None = None) -> PolicyVersion:
        """Stores a document and puts it in force, for one tenant or as the default. BadPolicy changes nothing.

        The text of a version that exists already is not stored again.
        """
        value = self.check(name, text)
        self._check_free(name, tenant)
        digest = hashlib.sha256(text.encode()).hexdigest()
        now = self._clock()

        def work(tx: Tx) -> PolicyVersion:
            _check_plans_in_use(tx, value, tenant)
            same = [one for one in tx.policies.history(name) if one.digest == digest]
            version = same[-1] if same else tx.policies.add(name, digest, who, now, text)
            tx.policies.assign(name, version.version, tenant.id if tenant else None, who, now)
            tx.acts.append(_act(version, "policy.assigned", who, now, tenant))
            tx.system.bump()
            return version

        stored = self._db.write(work).result()
        self._forget()
        return stored

    def store(self, name: str, text: str, who: str) -> PolicyVersion:
        """Stores a document without putting it in force. BadPolicy changes nothing."""
        self.check(name, text)
        digest, now = hashlib.sha256(text.encode()).hexdigest(), self._clock()

        def work(tx: Tx) -> PolicyVersion:
            same = [one for one in tx.policies.history(name) if one.digest == digest]
            if same:
                return same[-1]
            version = tx.policies.add(name, digest, who, now, text)
            tx.acts.append(_act(version, "policy.stored", who, now, None))
            return version

        return self._db.write(work).result()

    def _check_free(self, name: str, tenant: Tenant | None) -> None:
        """Whoever is under contract keeps what was agreed to until a revision (REV)."""
        if tenant is not None and name in (*AGREED, "plans") and self.contract_of(tenant) is not None:
            rule = "REV-01" if name == "plans" else "REV-02"
            raise ActRefused(
                f"{tenant.name} is under contract: other {name} bind it after notice only, kurado terms revise", rule
            )

    def assign(self, name: str, version: int, who: str, tenant: Tenant | None = None) -> PolicyVersion:
        """Puts a stored version in force, for one tenant or as the default."""
        self._check_free(name, tenant)
        stored = self.version(name, version)
        value = self.check(name, stored.text)
        now = self._clock()

        def work(tx: Tx) -> None:
            _check_plans_in_use(tx, value, tenant)
            tx.policies.assign(name, version, tenant.id if tenant else None, who, now)
            if (stored := tx.policies.get(name, version)) is not None:
                tx.acts.append(_act(stored, "policy.assigned", who, now, tenant))
            tx.system.bump()

        self._db.write(work).result()
        self._forget()
        return stored

    def unassign(self, name: str, tenant: Tenant, who: str) -> None:
        """Gives a tenant the default again."""
        self._kind(name)
        now = self._clock()

        def work(tx: Tx) -> None:
            default = {one: version for one, owner, version in tx.policies.assignments() if owner is None}[name]
            stored = tx.policies.get(name, default)
            assert stored is not None
            _check_plans_in_use(tx, self.check(name, stored.text), tenant)
            tx.policies.unassign(name, tenant.id)
            tx.acts.append(_act(stored, "policy.unassigned", who, now, tenant))
            tx.system.bump()

        self._db.write(work).result()
        self._forget()

    def seed(self) -> list[str]:
        """Stores the default of every kind that has no version yet; returns their names. BadPolicy."""
        stored = {one.name for one in self._db.read(lambda tx: tx.policies.history())}
        seeded = []
        for name in sorted(set(self.kinds) & set(self.defaults) - stored):
            text = self.defaults[name]
            self.check(name, text)
            self._db.write(lambda tx, name=name, text=text: _seed(tx, name, text, self._clock())).result()  # type: ignore[misc]
            seeded.append(name)
        if seeded:
            self._forget()
        return seeded

    def explain(self, file: Path, tenant: Tenant | None = None, values: Mapping[str, Any] | None = None) -> list[str]:
        """What the policies would say of a local file, line by line; ``values`` go before those in force."""
        lines: list[str] = []
        for name, kind in sorted(self.kinds.items()):
            if kind.explain is not None and (values is None or name in values):
                value = values[name] if values else self.get(name, tenant)
                lines += kind.explain(value, file)
        return lines

    def _forget(self) -> None:
        self._checked_at = -(10**18)

    def _kind(self, name: str) -> PolicyKind:
        kind = self.kinds.get(name)
        if kind is None:
            raise NotFound(f"there is no policy {name!r}; there are {', '.join(sorted(self.kinds))}")
        return kind


def with_agreed(plans: Plans, agreed: Agreed) -> Plans:
    """A price list in which the plan of a customer is as agreed."""
    listed = plans.plans.get(agreed.plan) or Plan(agreed.plan, agreed.plan, None, None, (), 0, 0)
    own = replace(
        listed,
        capacity_bytes=agreed.capacity,
        features=agreed.features,
        capacity_fee=agreed.capacity_fee,
        option_fee=agreed.option_fee,
        prices=listed.prices if agreed.prices is None else agreed.prices,
    )
    return replace(plans, plans={**plans.plans, agreed.plan: own})


def _act(version: PolicyVersion, kind: str, who: str, now: int, tenant: Tenant | None) -> Act:
    """For the audit log: which document came into force, for whom."""
    data = {"version": version.version, "digest": version.digest}
    subject, owner = f"policy:{version.name}", tenant.id if tenant else 0
    return Act(subject, kind, now, who, "operator", "REV-01", owner, data=data)


def _seed(tx: Tx, name: str, text: str, now: int) -> None:
    if tx.policies.history(name):  # another process was first
        return
    version = tx.policies.add(name, hashlib.sha256(text.encode()).hexdigest(), SEEDED_BY, now, text)
    tx.policies.assign(name, version.version, None, SEEDED_BY, now)
    tx.system.bump()


def _check_plans_in_use(tx: Tx, value: Any, tenant: Tenant | None) -> None:
    """A price list must hold the plans of the tenants that will live by it."""
    if not isinstance(value, Plans):
        return
    own = {owner for name, owner, _ in tx.policies.assignments() if name == "plans" and owner is not None}
    for one in tx.tenants.all():
        concerned = one.id == tenant.id if tenant else one.id not in own
        if concerned and one.plan not in value.plans:
            raise BadPolicy(f"plans: tenant {one.name!r} has the plan {one.plan!r}, which this price list has not")
