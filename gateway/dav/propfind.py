"""PROPFIND, ours: answered a page of members at a time, with one listing query a page and none a member.

RFC 4918 section 9.1. The root element binds ``DAV:`` to a prefix, because Windows reads nothing else (CLIENTS 4).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gateway.dav.answers import MAX_BYTES, Answers
from gateway.dav.conditions import parse_depth
from gateway.dav.errors import XML_TYPE
from gateway.dav.get import look
from gateway.dav.properties import NAMESPACES, Query, Usage, View, usage_of
from gateway.dav.rendering import Rendering
from gateway.dav.request import DavRequest
from gateway.domain.entry import Entry, entry_of
from gateway.domain.errors import BadRequest, DepthNotAllowed, NotFound
from gateway.domain.lock import Lock
from gateway.domain.names import Path, name_key, sort_key
from gateway.domain.node import Node
from gateway.exchange import Exchange, Reply
from gateway.service.results import Found
from gateway.wire.markup import MAX_BODY, parse

PAGE = 1000
FIRST = 128
"""Members of the first page: a collection with fewer is answered in the event loop, well under a millisecond."""
MAX_NAMES = 256
"""Each is answered for each member: a small question may not have an endless answer."""
OPENING = f'<?xml version="1.0" encoding="utf-8"?>\n<D:multistatus {NAMESPACES}>'
CLOSING = "</D:multistatus>"
HEADERS = {"Content-Type": XML_TYPE, "Cache-Control": "no-cache"}
ALLPROP = Query("allprop")


async def propfind(request: DavRequest, answers: Answers) -> Reply:
    """207 with the properties of the node and, by Depth, of its members; 404 where nothing is (CLIENTS 3)."""
    depth = parse_depth(request.exchange, ("0", "1", "infinity"), "infinity")
    query = await read_query(request.exchange)
    conditions = request.conditions()
    mark = answers.mark()
    found = await request.read(lambda: look(request, conditions))
    assert found.node is not None
    if depth == "infinity" and found.node.is_collection:
        return Reply(207, HEADERS, await _tree(request, found, query))
    usage = await _usage(request) if found.node.is_collection and query.wants_usage else None
    with_members = depth == "1" and found.node.is_collection
    asked = _Asked(request, found, found.node, query, usage, with_members)
    key = (request.caller.tenant.root_id, request.base, request.path, with_members, query, usage)
    known = answers.find(mark, key)
    if known is not None:
        return Reply(207, HEADERS, known[0] if len(known) == 1 else _again(known))

    def keep(pieces: Sequence[bytes]) -> None:
        answers.keep(mark, key, pieces)

    return Reply(207, HEADERS, await _answer(asked, keep))


async def read_query(exchange: Exchange) -> Query:
    """What the body asks for; no body asks for all (CLIENTS 3). Raises BadRequest, TooLarge."""
    body = await exchange.body.read(MAX_BODY)
    return _known_query(body) if len(body) <= _SHORT else parse_query(body)


def parse_query(body: bytes) -> Query:
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


# a client sends the same few bodies all day
_SHORT = 4096
_known_query = lru_cache(maxsize=256)(parse_query)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question about a node and perhaps its members."""

    request: DavRequest
    found: Found
    node: Node
    query: Query
    usage: Usage | None
    with_members: bool

    def rendering(self) -> tuple[Rendering, bool]:
        """What writes the answer, and whether it is the same at any time: one with locks counts their seconds."""
        files = self.request.services.files
        locks = files.locks_for_listing(self.found, self.with_members) if self.query.wants_locks else {}
        locks = locks if any(locks.values()) else {}
        beside = files.beside(self.node) if self.with_members else frozenset[int]()
        view = _view(self.request, locks, self.usage, beside)
        return Rendering(self.query, view), not locks

    def page(self, after: bytes | None, limit: int) -> list[Entry]:
        files = self.request.services.files
        return files.listing(self.node, after, limit, with_facts=self.query.wants_facts)

    @property
    def url(self) -> str:
        return self.request.href(self.request.path, collection=self.node.is_collection)


def _view(
    request: DavRequest, locks: Mapping[int, Sequence[Lock]], usage: Usage | None, beside: frozenset[int]
) -> View:
    return View(request.href, request.services.clock(), locks, usage, request.caller.tenant.name, beside)


async def _usage(request: DavRequest) -> Usage:
    # the limits come from plugins, and a plugin may be slow
    ask = request.read if request.services.host.answers_at_once("quota_limit") else request.in_thread
    return await ask(lambda: usage_of(*request.services.files.usage(request.caller)))


Keep = Callable[[Sequence[bytes]], None]


async def _answer(asked: _Asked, keep: Keep) -> bytes | AsyncIterator[bytes]:
    """The first page is read before the answer begins, so that what can fail still fails with its status. A small
    collection is answered at once; a large one a page at a time, in threads."""
    request = asked.request
    first = await request.read(lambda: asked.page(None, FIRST) if asked.with_members else [])

    def begin() -> tuple[Rendering, bool, bytes]:
        rendering, is_lasting = asked.rendering()
        text = OPENING + rendering.response(asked.url, entry_of(asked.node)) + rendering.members(asked.url, first)
        return rendering, is_lasting, text.encode()

    if len(first) == FIRST:
        rendering, is_lasting, text = await request.in_thread(begin)
        return _pages(asked, rendering, first[-1], text, keep if is_lasting else None)
    _, is_lasting, text = await request.read(begin)
    body = text + CLOSING.encode()
    if is_lasting:
        keep((body,))
    return body


async def _pages(
    asked: _Asked, rendering: Rendering, last: Entry | None, text: bytes, keep: Keep | None
) -> AsyncIterator[bytes]:
    """What was sent is held on to only while it may still be kept: memory stays bounded however long the listing."""
    pieces, size = [text], len(text)
    yield text
    while last is not None:
        after = sort_key(last.name, collection=last.is_collection)

        def more(after: bytes = after) -> tuple[Entry | None, bytes]:
            entries = asked.page(after, PAGE)
            end = CLOSING if len(entries) < PAGE else ""
            return None if end else entries[-1], (rendering.members(asked.url, entries) + end).encode()

        last, text = await asked.request.in_thread(more)
        yield text
        size += len(text)
        if keep is not None and size <= MAX_BYTES:
            pieces.append(text)
        else:
            keep, pieces = None, []
    if keep is not None:
        keep(pieces)


async def _again(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _tree(request: DavRequest, found: Found, query: Query) -> AsyncIterator[bytes]:
    """The whole tree, if it is small enough. Raises DepthNotAllowed (``propfind-finite-depth``) above the limit.

    It is written before the answer begins, and kept packed: however slowly a client takes it, it holds neither nodes
    nor the text, which are megabytes for each such client (RESILIENCE 8). Few are written at a time."""
    limit = request.settings.tree_limit

    def collect() -> list[bytes]:
        files = request.services.files
        nodes, locks = files.tree_for_listing(found, limit + 1)
        if not nodes:
            raise NotFound("there is nothing at this path")  # it went while we were looking
        if len(nodes) > limit:
            raise DepthNotAllowed(f"Depth: infinity is answered up to {limit} members; use Depth: 1")
        usage = usage_of(*files.usage(request.caller)) if query.wants_usage else None
        taken = {(node.parent_id, name_key(node.name)) for node in nodes if node.is_collection}
        beside = frozenset(n.id for n in nodes if n.version and (n.parent_id, name_key(n.name)) in taken)
        view = _view(request, locks, usage, beside)
        return [zlib.compress(page.encode(), 1) for page in _tree_pages(request, query, view, nodes)]

    return _unpacked(await asyncio.get_running_loop().run_in_executor(request.settings.trees, collect))


def _tree_pages(request: DavRequest, query: Query, view: View, nodes: Sequence[Node]) -> Iterator[str]:
    rendering = Rendering(query, view)
    paths: dict[int, Path] = {nodes[0].id: request.path}
    for node in nodes[1:]:
        paths[node.id] = (*paths[node.parent_id or 0], view.shown(node))
    yield OPENING
    for start in range(0, len(nodes), PAGE):
        page = nodes[start : start + PAGE]
        urls = (request.href(paths[node.id], collection=node.is_collection) for node in page)
        yield "".join(map(rendering.response, urls, map(entry_of, page)))
    yield CLOSING


async def _unpacked(pages: Sequence[bytes]) -> AsyncIterator[bytes]:
    for page in pages:
        yield zlib.decompress(page)
