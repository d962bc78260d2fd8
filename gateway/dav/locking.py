"""LOCK and UNLOCK, on our own lock service.

wsgidav's lock manager keeps locks beside the tree and grants an exclusive lock twice when two processes share a store
(DESIGN section 5); only its method flow would be left of it, and that is shorter written out than overridden.
"""

from __future__ import annotations

from gateway.dav.conditions import parse_depth
from gateway.dav.errors import XML_TYPE
from gateway.dav.multistatus import multistatus_reply
from gateway.dav.properties import lock_discovery
from gateway.dav.request import DavRequest
from gateway.domain.errors import BadRequest, LockConflict
from gateway.domain.lock import Lock, Scope, parse_timeout
from gateway.domain.names import Path
from gateway.exchange import Reply
from gateway.wire.markup import MAX_BODY, Element, escape, parse, write

MAX_OWNER = 4096


async def lock(request: DavRequest) -> Reply:
    """LOCK: a new lock (RFC 4918 section 9.10.1), on a new name with an empty file for it (9.10.4), or a refresh
    (9.10.2) when there is no body."""
    body = await request.exchange.body.read(MAX_BODY)
    timeout = parse_timeout(request.header("Timeout"))
    conditions = request.conditions()
    locks, caller, path = request.services.locks, request.caller, request.path
    if not body.strip():
        renewed = await request.in_thread(lambda: locks.refresh(caller, path, conditions, timeout))
        return _answer(request, renewed, 200, {})
    scope, owner = read_lockinfo(body)
    infinite = parse_depth(request.exchange, ("0", "infinity"), "infinity") == "infinity"
    try:
        granted, created, node = await request.in_thread(
            lambda: locks.take(caller, path, scope, infinite, owner, timeout, conditions)
        )
    except LockConflict as conflict:
        members = [one for one in conflict.paths if _is_below(path, one)]
        if not members:
            raise
        statuses = {request.href(one): 423 for one in members}
        return multistatus_reply({**statuses, request.href(path, collection=True): 424})
    headers = {"Lock-Token": f"<{granted.token}>"}
    if node.version:
        headers["ETag"] = node.version.etag
    return _answer(request, granted, 201 if created else 200, headers)


def _is_below(path: Path, member: Path) -> bool:
    return len(member) > len(path)


def _answer(request: DavRequest, lock: Lock, status: int, headers: dict[str, str]) -> Reply:
    discovery = lock_discovery([lock], request.href, request.services.clock())
    body = f'<?xml version="1.0" encoding="utf-8"?>\n<D:prop xmlns:D="DAV:">{discovery}</D:prop>'
    return Reply(status, {"Content-Type": XML_TYPE, "Cache-Control": "no-cache", **headers}, body.encode())


def read_lockinfo(body: bytes) -> tuple[Scope, str]:
    """The scope, and the owner as XML text, of a DAV:lockinfo. Raises BadRequest."""
    root = parse(body)
    if root.name != "{DAV:}lockinfo":
        raise BadRequest("the body of LOCK is a DAV:lockinfo element")
    parts = {one.name: one for one in root.children}
    scopes = _names(parts.get("{DAV:}lockscope"))
    if _names(parts.get("{DAV:}locktype")) != ["{DAV:}write"]:
        raise BadRequest("only write locks exist")
    if scopes not in (["{DAV:}exclusive"], ["{DAV:}shared"]):
        raise BadRequest("a lock is exclusive or shared")
    owner = _inner(parts.get("{DAV:}owner"))
    if len(owner) > MAX_OWNER:
        raise BadRequest(f"the owner of a lock may have {MAX_OWNER} characters")
    return (Scope.EXCLUSIVE if scopes == ["{DAV:}exclusive"] else Scope.SHARED), owner


def _names(element: Element | None) -> list[str]:
    return [one.name for one in element.children] if element else []


def _inner(element: Element | None) -> str:
    if element is None:
        return ""
    return "".join(escape(one) if isinstance(one, str) else write(one, lang=False) for one in element.content).strip()


async def unlock(request: DavRequest) -> Reply:
    """UNLOCK (RFC 4918 section 9.11). The token may come without its angle brackets (CLIENTS 24)."""
    await request.exchange.body.read(MAX_BODY)
    header = (request.header("Lock-Token") or "").strip()
    token = header.removeprefix("<").removesuffix(">").strip()
    if not token:
        raise BadRequest("UNLOCK needs a Lock-Token header")
    locks, caller, path = request.services.locks, request.caller, request.path
    await request.in_thread(lambda: locks.release(caller, path, token))
    return Reply(204)
