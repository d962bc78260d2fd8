"""DAV:response elements, ten thousand a second and more: what a query finds on entries of one shape is worked out once.

Which properties an entry has, which of the asked ones it lacks, and in which order both are written depends on little:
whether it is a file, and the names of its dead properties and facts. So each such shape is made a :class:`Form`, a text
with places for values, and an entry costs its values only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from gateway.dav.properties import (
    DISPLAY_NAME,
    LIVE,
    OURS,
    PREFIXES,
    QUOTAS,
    WIN32,
    WIN32_MODIFIED,
    Z_BINDING,
    Query,
    Value,
    View,
    modified,
    propstat,
)
from gateway.domain.entry import Entry
from gateway.domain.names import BESIDE, escape_segment
from gateway.wire.markup import empty, escape, is_local_name, split_clark

_REMEMBERED = 4096
"""Characters of names up to which a form is kept: what clients ask in turn is shorter."""


class Shape(NamedTuple):
    """``dead``: names of dead properties; ``facts``: names of what is known of the content; ``quotas``: those
    properties of RFC 4331 that the answer has for collections."""

    is_collection: bool
    dead: tuple[str, ...]
    facts: tuple[str, ...]
    quotas: tuple[str, ...]


class Form(NamedTuple):
    """A DAV:response with a place for its URL and one for each of ``values``."""

    text: str
    values: tuple[Value, ...]


class Rendering:
    """Writes the entries of one answer."""

    def __init__(self, query: Query, view: View) -> None:
        self._query = query
        self._view = view
        self._quotas = view.quotas
        self._plain = (self._form(Shape(False, (), (), ())), self._form(Shape(True, (), (), self._quotas)))

    def response(self, url: str, entry: Entry) -> str:
        """The element of one entry; ``url`` is percent-encoded."""
        if entry.props or (entry.facts and self._query.wants_facts):
            text, values = self._form(
                Shape(entry.etag is None, tuple(entry.props or ()), tuple(entry.facts or ()), self._quotas)
            )
        else:
            text, values = self._plain[entry.etag is None]
        view = self._view
        return text % (url, *[value(entry, view) for value in values])

    def members(self, url: str, entries: Iterable[Entry]) -> str:
        """The elements of members of the collection at ``url``, which ends with a slash."""
        beside, response, parts = self._view.beside, self.response, []
        for entry in entries:
            name = entry.name + BESIDE if entry.id in beside else entry.name
            end = "/" if entry.etag is None else ""
            parts.append(response(f"{url}{escape_segment(name)}{end}", entry))
        return "".join(parts)

    def _form(self, shape: Shape) -> Form:
        length = sum(map(len, (*self._query.names, *shape.dead, *shape.facts)))
        return (_known_form if length <= _REMEMBERED else make_form)(self._query, shape)


def make_form(query: Query, shape: Shape) -> Form:
    """What the query finds and misses on entries of that shape (RFC 4918 section 9.1)."""
    found: list[str] = []
    values: list[Value] = []
    missing: list[str] = []
    for name in _names(query, shape):
        element, value = _element(name, shape)
        if element is not None and query.mode == "propname":
            found.append(_literal(empty(name, PREFIXES)))
        elif element is not None:
            found.append(element)
            values += [value] if value else []
        elif query.mode == "prop" or name in query.names:
            missing.append(_literal(empty(name, PREFIXES)))
    stats = propstat("".join(found), "200 OK") if found or not missing else ""
    if missing:
        stats += propstat("".join(missing), "404 Not Found")
    return Form(f"<D:response><D:href>%s</D:href>{stats}</D:response>", tuple(values))


_known_form = lru_cache(maxsize=256)(make_form)


def _names(query: Query, shape: Shape) -> Sequence[str]:
    """The properties that the query asks of such an entry, in the order of the answer."""
    if query.mode == "prop":
        return query.names
    wanted = dict.fromkeys(LIVE)
    if query.mode == "propname":
        return [*wanted, *QUOTAS, *(OURS + fact for fact in shape.facts), *_others(shape.dead, wanted)]
    wanted.update(dict.fromkeys(shape.dead))
    if WIN32_MODIFIED in wanted and DISPLAY_NAME not in shape.dead:
        # Windows saved it: four properties more, and a folder of which it takes 1 000 000 bytes (CLIENTS 7).
        # It shows the name from the URL; who wants displayname still gets it by asking for it
        del wanted[DISPLAY_NAME]
    return [*wanted, *_others(query.names, wanted)]


def _others(names: Iterable[str], than: Iterable[str]) -> list[str]:
    return [name for name in names if name not in than]


def _element(name: str, shape: Shape) -> tuple[str | None, Value | None]:
    """The element of a property, with a place for the value if there is one; None where such an entry has none."""
    if name == WIN32_MODIFIED and name in shape.dead and not shape.is_collection:
        # Explorer shows this rather than getlastmodified; it must not go stale when others save the file
        return "<Z:Win32LastModifiedTime>%s</Z:Win32LastModifiedTime>", modified
    if name in shape.dead:
        return "%s", _dead(name)
    live = LIVE.get(name) or (QUOTAS[name] if name in shape.quotas else None)
    if live is not None:
        element = live.collection if shape.is_collection else live.file
        return element, live.value if element else None
    local = split_clark(name)[1]
    if name.startswith(OURS) and local in shape.facts and is_local_name(local):
        return f"<K:{local}>%s</K:{local}>", lambda entry, _: escape((entry.facts or {})[local])
    return None, None


def _dead(name: str) -> Value:
    if name in WIN32:
        # bound on the multistatus already: Windows drops a folder whose listing grows too long (CLIENTS 7)
        return lambda entry, _: (entry.props or {})[name].replace(Z_BINDING, "", 1)
    return lambda entry, _: (entry.props or {})[name]


def _literal(text: str) -> str:
    return text.replace("%", "%%")
