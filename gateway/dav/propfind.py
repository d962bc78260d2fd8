"""PROPFIND, ours: answered a page of members at a time, with one listing query a page and none a member.

RFC 4918 section 9.1. The root element binds ``DAV:`` to a prefix, because Windows reads nothing else (CLIENTS 4).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from gateway.dav.conditions import parse_depth
from gateway.dav.errors import XML_TYPE
from gateway.dav.get import look
from gateway.dav.properties import NAMESPACES, Query, View, response, usage_of
from gateway.dav.request import DavRequest
from gateway.domain.errors import BadRequest, DepthNotAllowed, NotFound
from gateway.domain.names import Path, name_key, sort_key
from gateway.domain.node import Node
from gateway.exchange import Exchange, Reply
from gateway.service.results import Found
from gateway.wire.markup import MAX_BODY, parse

PAGE = 1000
MAX_NAMES = 256
"""Each is answered for each member: a small question may not have an endless answer."""
OPENING = f'<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus {NAMESPACES}>'
CLOSING = "</D:multistatus>"
HEADERS = {"Content-Type": XML_TYPE, "Cache-Control": "no-cache"}
ALLPROP = Query("allprop")


async def propfind(request: DavRequest) -> Reply:
    """207 with the properties of the node and, by Depth, of its members; 404 where nothing is (CLIENTS 3)."""
    depth = parse_depth(request.exchange, ("0", "1", "infinity"), "infinity")
    query = await read_query(request.exchange)
    conditions = request.conditions()
    found = await request.read(lambda: look(request, conditions))
    assert found.node is not None
    node = found.node
    if depth == "0" or not node.is_collection:
        text = await _one(request, found, query)
        return Reply(207, HEADERS, f"{OPENING}{text}{CLOSING}".encode())
    if depth == "infinity":
        return Reply(207, HEADERS, await _tree(request, found, query))
    return Reply(207, HEADERS, await _members(request, found, query))


async def read_query(exchange: Exchange) -> Query:
    """What the body asks for; no body asks for all (CLIENTS 3). Raises BadRequest, TooLarge."""
    body = await exchange.body.read(MAX_BODY)
    if not body.strip():
        return ALLPROP
    root = parse(body)
    if root.name != "{DAV:}propfind":
        raise BadRequest("the body of PROPFIND is a DAV:propfind element")
    asked = [one for one in root.children if one.name in ("{DAV:}allprop", "{DAV:}propname", "{DAV:}prop")]
    if len(asked) != 1:
        raise BadRequest("DAV:propfind holds one of DAV:allprop, DAV:propname and DAV:prop")
    names = tuple(dict.fromkeys(one.name for one in asked[0].children))
    mode = asked[0].name.removeprefix("{DAV:}")
    if mode == "allprop":
        included = [one for one in root.children if one.name == "{DAV:}include"]
        names = tuple(dict.fromkeys(one.name for parent in included for one in parent.children))
    if len(names) > MAX_NAMES:
        raise BadRequest(f"more than {MAX_NAMES} properties are asked for")
    return Query(mode, names if mode != "propname" else ())


async def _one(request: DavRequest, found: Found, query: Query) -> str:
    def work() -> str:
        view = _view(request, found, query, with_children=False)
        return _response(request, request.path, found.node, view, query)

    # the limits behind the quota properties come from plugins, and a plugin may be slow
    return await (request.in_thread(work) if query.wants_usage else request.read(work))


def _view(request: DavRequest, found: Found, query: Query, *, with_children: bool) -> View:
    files = request.services.files
    locks = files.locks_for_listing(found, with_children) if query.wants_locks else {}
    usage = usage_of(*files.usage(request.caller)) if query.wants_usage else None
    beside = files.beside(found.node) if with_children and found.node else frozenset[int]()
    return View(request.href, request.services.clock(), locks, usage, request.caller.tenant.name, beside)


def _response(request: DavRequest, path: Path, node: Node | None, view: View, query: Query) -> str:
    assert node is not None
    return response(request.href(path, collection=node.is_collection), node, view, query)


async def _members(request: DavRequest, found: Found, query: Query) -> AsyncIterator[bytes]:
    """The first page is read before the answer begins, so that what can fail still fails with its status."""
    node = found.node
    assert node is not None

    def first() -> tuple[View, list[Node], bytes]:
        view = _view(request, found, query, with_children=True)
        children = request.services.files.children(node, None, PAGE)
        own = _response(request, request.path, node, view, query)
        return view, children, (OPENING + own + _page(request, children, view, query)).encode()

    view, children, opening = await request.in_thread(first)
    return _rest(request, node, view, query, children, opening)


async def _rest(
    request: DavRequest, node: Node, view: View, query: Query, page: list[Node], opening: bytes
) -> AsyncIterator[bytes]:
    yield opening
    while len(page) == PAGE:
        after = sort_key(page[-1].name, collection=page[-1].is_collection)

        def more(after: bytes = after) -> tuple[list[Node], bytes]:
            children = request.services.files.children(node, after, PAGE)
            return children, _page(request, children, view, query).encode()

        page, text = await request.in_thread(more)
        yield text
    yield CLOSING.encode()


def _page(request: DavRequest, children: Sequence[Node], view: View, query: Query) -> str:
    path = request.path
    return "".join(_response(request, (*path, view.shown(child)), child, view, query) for child in children)


async def _tree(request: DavRequest, found: Found, query: Query) -> AsyncIterator[bytes]:
    """The whole tree, if it is small enough. Raises DepthNotAllowed (``propfind-finite-depth``) above the limit."""
    limit = request.settings.tree_limit

    def collect() -> tuple[View, list[tuple[Path, Node]]]:
        files = request.services.files
        nodes, locks = files.tree_for_listing(found, limit + 1)
        if not nodes:
            raise NotFound("there is nothing at this path")  # it went while we were looking
        if len(nodes) > limit:
            raise DepthNotAllowed(f"Depth: infinity is answered up to {limit} members; use Depth: 1")
        usage = usage_of(*files.usage(request.caller)) if query.wants_usage else None
        taken = {(node.parent_id, name_key(node.name)) for node in nodes if node.is_collection}
        beside = frozenset(n.id for n in nodes if n.version and (n.parent_id, name_key(n.name)) in taken)
        view = View(request.href, request.services.clock(), locks, usage, request.caller.tenant.name, beside)
        paths: dict[int, Path] = {nodes[0].id: request.path}
        for node in nodes[1:]:
            paths[node.id] = (*paths[node.parent_id or 0], view.shown(node))
        return view, [(paths[node.id], node) for node in nodes]

    view, entries = await request.in_thread(collect)
    return _tree_body(request, view, query, entries)


async def _tree_body(
    request: DavRequest, view: View, query: Query, entries: list[tuple[Path, Node]]
) -> AsyncIterator[bytes]:
    yield OPENING.encode()
    for start in range(0, len(entries), PAGE):
        page = entries[start : start + PAGE]

        def render(page: list[tuple[Path, Node]] = page) -> bytes:
            return "".join(_response(request, path, node, view, query) for path, node in page).encode()

        yield await request.in_thread(render)
    yield CLOSING.encode()
