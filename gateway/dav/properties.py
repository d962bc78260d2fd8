"""The properties of a node as XML text (RFC 4918 section 15, RFC 4331, and facts of our own in ``urn:kurado``).

Text is put together by hand: a listing of 10 000 members is built and sent a page at a time, and each value is either
ours or was written by ``markup.write``. Prefixes D, K and Z are declared on the multistatus element.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.dav.errors import KURADO
from gateway.domain.entry import Entry
from gateway.domain.lock import Lock, Scope
from gateway.domain.names import BESIDE, Path
from gateway.domain.node import Node
from gateway.domain.tenant import Limits, Tenant
from gateway.wire.fields import http_date, iso_date
from gateway.wire.markup import escape
from gateway.wire.media import media_type

DAV = "{DAV:}"
OURS = f"{{{KURADO}}}"
MICROSOFT = "{urn:schemas-microsoft-com:}"
WIN32_MODIFIED = f"{MICROSOFT}Win32LastModifiedTime"
WIN32_TIMES = (f"{MICROSOFT}Win32CreationTime", f"{MICROSOFT}Win32LastAccessTime", WIN32_MODIFIED)
WIN32 = (*WIN32_TIMES, f"{MICROSOFT}Win32FileAttributes")

PREFIXES = {"DAV:": "D", KURADO: "K", "urn:schemas-microsoft-com:": "Z"}
NAMESPACES = " ".join(f'xmlns:{prefix}="{namespace}"' for namespace, prefix in PREFIXES.items())
Z_BINDING = ' xmlns:Z="urn:schemas-microsoft-com:"'
QUOTA = (f"{DAV}quota-available-bytes", f"{DAV}quota-used-bytes")
DISPLAY_NAME = f"{DAV}displayname"
WRITABLE_DAV = (DISPLAY_NAME, f"{DAV}getcontentlanguage")
"""RFC 4918 sections 15.2 and 15.3: these should not be protected; they are kept as dead properties."""

_NO_LOCKS = "<D:lockdiscovery/>"
_MAX_64 = 2**63 - 1
_ENTRY = "<D:lockentry><D:lockscope><D:{0}/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>"
_SUPPORTED_LOCK = f"<D:supportedlock>{_ENTRY.format('exclusive')}{_ENTRY.format('shared')}</D:supportedlock>"


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes for RFC 4331; ``available`` None is unlimited and then no property (a made-up figure would overflow the
    sum that Finder builds, CLIENTS 13)."""

    used: int
    available: int | None


def usage_of(tenant: Tenant, limits: Limits) -> Usage:
    """The same figures by which writes are refused (invariant I4)."""
    used = min(max(0, tenant.used_bytes), _MAX_64)
    if limits.bytes is None:
        return Usage(used, None)
    free = max(0, limits.bytes - tenant.used_bytes - tenant.reserved_bytes)
    return Usage(used, min(free, _MAX_64 - used))


@dataclass(frozen=True, slots=True)
class View:
    """What the values of one answer are made from: ``href`` names a path of the space for clients, ``now`` in ms."""

    href: Callable[[Path], str]
    now: int
    locks: Mapping[int, Sequence[Lock]]
    usage: Usage | None = None
    root_name: str = ""
    beside: frozenset[int] = frozenset()
    """Files that share their name with a collection."""

    def shown(self, entry: Entry | Node) -> str:
        """The name of a member in URLs and for people."""
        return entry.name + BESIDE if entry.id in self.beside else entry.name

    def locks_of(self, node_id: int) -> Sequence[Lock]:
        return self.locks.get(node_id, self.locks.get(0, ()))

    @property
    def quotas(self) -> tuple[str, ...]:
        """The properties of RFC 4331 that collections have in this answer."""
        if self.usage is None:
            return ()
        return QUOTA[1:] if self.usage.available is None else QUOTA


Value = Callable[[Entry, View], object]


class Live(NamedTuple):
    """A live property: its element on files and on collections, None where these have none, with ``%s`` for the
    ``value`` of an entry."""

    file: str | None
    collection: str | None
    value: Value | None = None


def _both(element: str, value: Value | None = None) -> Live:
    return Live(element, element, value)


def modified(entry: Entry, _: View) -> str:
    return http_date(entry.modified_at)


def _display_name(entry: Entry, view: View) -> str:
    return escape(view.shown(entry) or view.root_name)


def _lock_discovery(entry: Entry, view: View) -> str:
    return lock_discovery(view.locks_of(entry.id), view.href, view.now) if view.locks else _NO_LOCKS


LIVE: Mapping[str, Live] = {
    f"{DAV}creationdate": _both("<D:creationdate>%s</D:creationdate>", lambda entry, _: iso_date(entry.created_at)),
    DISPLAY_NAME: _both("<D:displayname>%s</D:displayname>", _display_name),
    f"{DAV}getcontentlength": Live("<D:getcontentlength>%s</D:getcontentlength>", None, lambda entry, _: entry.size),
    f"{DAV}getcontenttype": Live(
        "<D:getcontenttype>%s</D:getcontenttype>", None, lambda entry, _: media_type(entry.name)
    ),
    f"{DAV}getetag": Live("<D:getetag>%s</D:getetag>", None, lambda entry, _: escape(entry.etag or "")),
    f"{DAV}getlastmodified": _both("<D:getlastmodified>%s</D:getlastmodified>", modified),
    f"{DAV}resourcetype": Live("<D:resourcetype/>", "<D:resourcetype><D:collection/></D:resourcetype>"),
    f"{DAV}supportedlock": _both(_SUPPORTED_LOCK),
    f"{DAV}lockdiscovery": _both("%s", _lock_discovery),
}
"""Those that allprop answers: what RFC 4918 defines."""

QUOTAS: Mapping[str, Live] = {
    QUOTA[0]: Live(
        None,
        "<D:quota-available-bytes>%s</D:quota-available-bytes>",
        lambda _, view: view.usage and view.usage.available,
    ),
    QUOTA[1]: Live(None, "<D:quota-used-bytes>%s</D:quota-used-bytes>", lambda _, view: view.usage and view.usage.used),
}
"""RFC 4331 section 3: not in allprop."""


def lock_discovery(locks: Sequence[Lock], href: Callable[[Path], str], now: int) -> str:
    """DAV:lockdiscovery of the given locks (RFC 4918 section 15.8)."""
    if not locks:
        return _NO_LOCKS
    return f"<D:lockdiscovery>{''.join(_active_lock(one, href, now) for one in locks)}</D:lockdiscovery>"


def _active_lock(lock: Lock, href: Callable[[Path], str], now: int) -> str:
    scope = "exclusive" if lock.scope is Scope.EXCLUSIVE else "shared"
    left = max(0, (lock.expires_at - now + 999) // 1000)
    root = href(lock.root)
    if lock.infinite and not root.endswith("/"):
        root += "/"  # only collections are locked with what they hold
    owner = f"<D:owner>{lock.owner}</D:owner>" if lock.owner else ""
    return (
        f"<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:{scope}/></D:lockscope>"
        f"<D:depth>{'infinity' if lock.infinite else '0'}</D:depth>{owner}<D:timeout>Second-{left}</D:timeout>"
        f"<D:locktoken><D:href>{escape(lock.token)}</D:href></D:locktoken>"
        f"<D:lockroot><D:href>{escape(root)}</D:href></D:lockroot></D:activelock>"
    )


@dataclass(frozen=True, slots=True)
class Query:
    """What a PROPFIND asks: ``mode`` is allprop (``names`` are from DAV:include), propname or prop."""

    mode: str
    names: tuple[str, ...] = ()

    @property
    def wants_usage(self) -> bool:
        return self.mode == "propname" or any(name in self.names for name in QUOTA)

    @property
    def wants_facts(self) -> bool:
        return self.mode == "propname" or any(name.startswith(OURS) for name in self.names)

    @property
    def wants_locks(self) -> bool:
        return self.mode != "prop" or f"{DAV}lockdiscovery" in self.names


def propstat(text: str, status: str) -> str:
    return f"<D:propstat><D:prop>{text}</D:prop><D:status>HTTP/1.1 {status}</D:status></D:propstat>"
