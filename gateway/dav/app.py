"""WebDAV's entrance: one table of methods, one funnel for errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from gateway.dav.answers import Answers
from gateway.dav.conditions import parse_depth
from gateway.dav.engine import METHODS, Engine, change
from gateway.dav.errors import ProtocolFault, error_reply, internal_error
from gateway.dav.get import get
from gateway.dav.listing import front_page
from gateway.dav.locking import lock, unlock
from gateway.dav.properties import PREFIXES, Query, propstat
from gateway.dav.propfind import CLOSING, HEADERS, OPENING, propfind, read_query
from gateway.dav.put import put
from gateway.dav.request import PREFIX, DavRequest, DavSettings
from gateway.domain.errors import DepthNotAllowed, KuradoError, NotFound, Unauthenticated
from gateway.domain.names import Path
from gateway.domain.tenant import Caller
from gateway.exchange import Exchange, Reply
from gateway.hooks import Request
from gateway.service.refusals import is_refusal
from gateway.service.services import Services
from gateway.wire.fields import iso_date
from gateway.wire.markup import empty, escape

log = logging.getLogger(__name__)
Handler = Callable[[DavRequest], Awaitable[Reply]]

_READS = ("OPTIONS", "GET", "HEAD", "PROPFIND")
_ON_FILE = (*_READS, "PUT", "DELETE", "COPY", "MOVE", "PROPPATCH", "LOCK", "UNLOCK")
_ON_COLLECTION = (*_READS, "DELETE", "COPY", "MOVE", "PROPPATCH", "LOCK", "UNLOCK")
_ON_NOTHING = ("OPTIONS", "PUT", "MKCOL", "LOCK")
_ALL = (*_ON_FILE, "MKCOL")

DAV_HEADERS = {
    "DAV": "1, 2, 3",  # "1" and "2" as items of their own (CLIENTS 9, 18)
    "MS-Author-Via": "DAV",
    "Accept-Ranges": "bytes",
}


class DavApp:
    """Answers every request for the spaces under ``/dav``; the gate has authenticated and framed it."""

    def __init__(self, services: Services, settings: DavSettings | None = None) -> None:
        self._services = services
        self._settings = settings or DavSettings()
        engine = Engine()

        async def by_engine(request: DavRequest) -> Reply:
            return await change(engine, request)

        answers = Answers(services.db.mark)

        async def by_listing(request: DavRequest) -> Reply:
            return await propfind(request, answers)

        self._handlers: Mapping[str, Handler] = {
            "OPTIONS": options,
            "GET": get,
            "HEAD": get,
            "PUT": put,
            "PROPFIND": by_listing,
            "LOCK": lock,
            "UNLOCK": unlock,
            **dict.fromkeys(METHODS, by_engine),
        }

    async def handle(self, exchange: Exchange, caller: Caller, path: Path, is_collection_url: bool) -> Reply:
        """One request for a path within the caller's space."""
        request = DavRequest(exchange, caller, path, is_collection_url, self._services, self._settings)
        return await self._guard(exchange, caller, path, self._dispatch(request))

    async def _dispatch(self, request: DavRequest) -> Reply:
        handler = self._handlers.get(request.exchange.method)
        if handler is None:
            raise ProtocolFault(405, "this method is not known here", code="method-not-allowed", allow=_ALL)
        await self._admit(request)
        return await handler(request)

    async def _guard(self, exchange: Exchange, caller: Caller | None, path: Path, answering: Awaitable[Reply]) -> Reply:
        try:
            return await answering
        except KuradoError as error:
            return await self.refuse(exchange, caller, path, error)
        except Exception:
            log.exception("request %s failed", exchange.request_id)
            return internal_error(exchange)

    async def _admit(self, request: DavRequest) -> None:
        """``check_request`` comes before anything else (DESIGN section 6)."""
        host = self._services.host
        if host.implements("check_request"):
            asked = Request(request.caller, request.path, writes=request.exchange.method not in _READS)
            ask = request.read if host.answers_at_once("check_request") else request.in_thread
            await ask(lambda: host.check("check_request", request=asked))

    async def refuse(self, exchange: Exchange, caller: Caller | None, path: Path, error: KuradoError) -> Reply:
        """The one funnel of errors: records what was refused by rule (invariant I6), then answers."""
        if caller is not None and is_refusal(error):
            await self._record(caller, path, error)
        reply = error_reply(error, exchange)
        if reply.status == 405 and "Allow" not in reply.headers:
            # MKCOL onto something, or PUT onto a collection
            allow = _ON_COLLECTION if exchange.method == "PUT" else _ON_FILE
            reply.headers = {**reply.headers, "Allow": ", ".join(allow)}
        return reply

    async def _record(self, caller: Caller, path: Path, error: KuradoError) -> None:
        def record() -> None:
            self._services.refusals.record(caller, path, error, error.digest)

        try:
            await asyncio.get_running_loop().run_in_executor(self._settings.work, record)
        except Exception:
            # the client is refused all the same; that the record failed must not be silent (invariant I5)
            log.exception("the refusal of request %s could not be recorded", caller.request_id)

    async def handle_root(self, exchange: Exchange, caller: Caller | None) -> Reply:
        """``/``, ``/dav`` and ``/dav/``: what Windows and macOS ask before they mount, and a page for people."""
        return await self._guard(exchange, None, (), self._root(exchange, caller))

    async def _root(self, exchange: Exchange, caller: Caller | None) -> Reply:
        if exchange.method == "OPTIONS":
            # also without a login: a 401 or 404 here stops the Windows client (CLIENTS 2)
            return Reply(200, {**DAV_HEADERS, "Allow": ", ".join(_ALL)})
        if exchange.method in ("GET", "HEAD"):
            return front_page(exchange, caller.tenant.name if caller else None)
        if exchange.method != "PROPFIND":
            raise ProtocolFault(405, "nothing can be changed here", code="method-not-allowed", allow=_READS)
        if caller is None:
            raise Unauthenticated("a login is needed")
        return await _root_listing(exchange, caller)


def _allowed(services: Services, caller: Caller, path: Path) -> tuple[str, ...]:
    """The methods that apply to what is at a path. Raises NotFound where not even a name could be made."""
    found = services.files.lookup(caller, path)
    if found.node is not None:
        return _ON_COLLECTION if found.node.is_collection else _ON_FILE
    if found.parent is None:
        raise NotFound("there is nothing at this path")
    return _ON_NOTHING


async def options(request: DavRequest) -> Reply:
    """OPTIONS (RFC 4918 section 10.1; CLIENTS 1, 9, 18)."""
    allowed = await request.read(lambda: _allowed(request.services, request.caller, request.path))
    return Reply(200, {**DAV_HEADERS, "Allow": ", ".join(allowed)})


async def _root_listing(exchange: Exchange, caller: Caller) -> Reply:
    """PROPFIND above the spaces: one collection in another, of which the caller sees its own only (invariant I7)."""
    depth = parse_depth(exchange, ("0", "1", "infinity"), "1")
    if depth == "infinity":
        raise DepthNotAllowed("use Depth: 0 or 1 here")
    query = await read_query(exchange)
    own = exchange.raw_path if exchange.raw_path.endswith("/") else exchange.raw_path + "/"
    urls = [own]
    if depth == "1":
        urls.append(f"{PREFIX}/" if own == "/" else f"{PREFIX}/{caller.tenant.name}/")
    entries = "".join(_root_entry(url, caller, query) for url in urls)
    return Reply(207, HEADERS, f"{OPENING}{entries}{CLOSING}".encode())


def _root_entry(url: str, caller: Caller, query: Query) -> str:
    name = url.rstrip("/").rpartition("/")[2] or "kurado"
    values = {
        "{DAV:}resourcetype": "<D:resourcetype><D:collection/></D:resourcetype>",
        "{DAV:}displayname": f"<D:displayname>{escape(name)}</D:displayname>",
        "{DAV:}creationdate": f"<D:creationdate>{iso_date(caller.tenant.created_at)}</D:creationdate>",
    }
    return plain_response(url, values, query)


def plain_response(url: str, values: Mapping[str, str], query: Query) -> str:
    """A DAV:response for a collection that is no node."""
    names = query.names if query.mode == "prop" else tuple(values)
    found = [values[name] if query.mode != "propname" else empty(name, PREFIXES) for name in names if name in values]
    missing = [empty(name, PREFIXES) for name in names if name not in values]
    stats = propstat("".join(found), "200 OK") if found or not missing else ""
    if missing:
        stats += propstat("".join(missing), "404 Not Found")
    return f"<D:response><D:href>{escape(url)}</D:href>{stats}</D:response>"
