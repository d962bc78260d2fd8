"""Who may write where: roles, locks and preconditions, checked inside the transaction that they protect.

RFC 4918 section 7: a lock protects the state of the node (content, properties), and on a collection also its
membership; a depth-infinity lock protects everything below. RFC 9110 section 13 has the order of preconditions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from gateway.domain.errors import Forbidden, InvalidName, Locked, PreconditionFailed
from gateway.domain.lock import Lock, holds
from gateway.domain.names import BESIDE, Path, parse_path
from gateway.domain.node import Node
from gateway.domain.tenant import Caller
from gateway.domain.upload import Conditions
from gateway.service.results import Found, found
from gateway.service.unit_of_work import Tx


def require_writer(caller: Caller) -> None:
    """Raises Forbidden for viewers."""
    if not caller.user.may_write:
        raise Forbidden("this login may only read")


def as_now(tx: Tx, caller: Caller) -> Caller:
    """The caller with its tenant as it is now: a gate's own picture of it is some tenths of a second old."""
    return replace(caller, tenant=tx.tenants.by_id(caller.tenant.id) or caller.tenant)


def find(tx: Tx, caller: Caller, path: Path) -> Found:
    """Resolves a path in the caller's own space, by name: a collection hides the file of its name, which is found with
    ``names.BESIDE`` behind it unless something has that very name."""
    at = found(tx.nodes.chain(caller.tenant.root_id, path), len(path))
    if at.node is None and at.parent is not None and path[-1].endswith(BESIDE):
        same = tx.nodes.named(at.parent.id, path[-1].removesuffix(BESIDE))
        if len(same) == 2:
            return Found((*at.chain, same[1]), same[1], at.parent)
    return at


# -- locks ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """A place that a write touches. ``membership``: a name appears or goes, so the parent's lock counts;
    ``tree``: everything below is touched as well."""

    at: Found
    membership: bool = False
    tree: bool = False


def covering(locks: Iterable[Lock], chain: Sequence[Node]) -> list[Lock]:
    """Those of the locks in whose scope the last node of ``chain`` lies (given locks rooted along the chain)."""
    own = chain[-1].id
    ids = {node.id for node in chain}
    return [one for one in locks if one.node_id == own or (one.infinite and one.node_id in ids)]


def check_locks(tx: Tx, caller: Caller, now: int, conditions: Conditions, targets: Sequence[Target]) -> None:
    """Raises Locked unless the caller submitted a token of its own for each lock in the way.

    One token of several shared locks is enough (RFC 4918 section 7.2). Members below a touched tree that are locked
    are named in ``Locked.paths``.
    """
    tokens = conditions.if_header.tokens if conditions.if_header else frozenset[str]()
    nodes = {node.id for target in targets for node in target.at.chain}
    locks = tx.locks.on_nodes(sorted(nodes), now)
    if not locks and not any(target.tree for target in targets):
        return

    def satisfied(group: Sequence[Lock]) -> bool:
        return not group or any(one.token in tokens and one.user_id == caller.user.id for one in group)

    for target in targets:
        chain = target.at.chain
        groups = [covering(locks, chain)] if target.at.node else []
        if target.membership and (parent_chain := chain[:-1] if target.at.node else chain):
            groups.append(covering(locks, parent_chain))
        for group in groups:
            if not satisfied(group):
                raise Locked(paths=[group[0].root])
        if target.tree and target.at.node and target.at.node.is_collection:
            _check_below(tx.locks.below(target.at.node.id, now), satisfied)


def _check_below(locks: Sequence[Lock], satisfied: Callable[[Sequence[Lock]], bool]) -> None:
    groups: dict[int, list[Lock]] = {}
    for lock in locks:
        groups.setdefault(lock.node_id, []).append(lock)
    blocked = [group[0].root for group in groups.values() if not satisfied(group)]
    if blocked:
        raise Locked("a member is locked", paths=blocked)


# -- preconditions ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _ResourceState:
    """What an If header may ask about one resource (:class:`gateway.domain.lock.State`)."""

    tx: Tx
    at: Found
    now: int

    def etag(self) -> str | None:
        node = self.at.node
        return node.version.etag if node and node.version else None

    def tokens(self) -> list[str]:
        chain = self.at.chain
        locks = self.tx.locks.on_nodes([node.id for node in chain], self.now)
        if self.at.node:
            return [one.token for one in covering(locks, chain)]
        # a name that does not exist yet: the locks under which it would be created (RFC 4918 section 7.5)
        return [one.token for one in covering(locks, chain)] if self.at.parent else []


def check_conditions(tx: Tx, caller: Caller, now: int, conditions: Conditions, at: Found) -> None:
    """Raises PreconditionFailed unless all preconditions hold for the resource and, in If, for those it names."""
    if conditions.if_header:

        def state_of(tag: str | None) -> _ResourceState | None:
            if tag is None:
                return _ResourceState(tx, at, now)
            try:
                return _ResourceState(tx, find(tx, caller, parse_path(tag)), now) if tag else None
            except InvalidName:
                return None

        if not holds(conditions.if_header, state_of):
            raise PreconditionFailed("no list of the If header holds")
    check_validators(conditions, at.node)


def check_validators(conditions: Conditions, node: Node | None) -> None:
    """If-Match, If-Unmodified-Since and If-None-Match of a write, in the order of RFC 9110 section 13.2.2."""
    etag = node.version.etag if node and node.version else None
    if conditions.if_match is not None:
        if node is None or not (conditions.if_match == ("*",) or etag in conditions.if_match):
            raise PreconditionFailed("If-Match does not hold")
    elif conditions.if_unmodified_since is not None and node and _seconds(node) > conditions.if_unmodified_since:
        raise PreconditionFailed("If-Unmodified-Since does not hold")
    if conditions.if_none_match is not None and node and none_match_fails(conditions, etag):
        raise PreconditionFailed("If-None-Match does not hold")


def none_match_fails(conditions: Conditions, etag: str | None) -> bool:
    """Whether If-None-Match names the given tag (weak comparison) or is ``*``; the node exists."""
    wanted = conditions.if_none_match or ()
    return wanted == ("*",) or (etag is not None and etag in {one.removeprefix("W/") for one in wanted})


def not_modified(conditions: Conditions, node: Node) -> bool:
    """Whether a GET or HEAD is answered with 304 (RFC 9110 section 13.2.2)."""
    etag = node.version.etag if node.version else None
    if conditions.if_none_match is not None:
        return none_match_fails(conditions, etag)
    return conditions.if_modified_since is not None and _seconds(node) <= conditions.if_modified_since


def _seconds(node: Node) -> int:
    """Last-Modified as a client sees it: whole seconds, in ms."""
    at = node.version.mtime if node.version else node.modified_at
    return at // 1000 * 1000
