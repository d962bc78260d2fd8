"""The properties of a node as XML text (RFC 4918 section 15, RFC 4331, and facts of our own in ``urn:kurado``).

Text is put together by hand: a listing of 10 000 members is built and sent a page at a time, and each value is either
ours or was written by ``markup.write``. Prefixes D, K and Z are declared on the multistatus element.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.dav.errors import KURADO
from gateway.domain.lock import Lock, Scope
from gateway.domain.names import BESIDE, Path
from gateway.domain.node import Node, Version
from gateway.domain.tenant import Limits, Tenant
from gateway.wire.fields import http_date, iso_date
from gateway.wire.markup import empty, escape, is_local_name, split_clark
from gateway.wire.media import media_type

DAV = "{DAV:}"
OURS = f"{{{KURADO}}}"
MICROSOFT = "{urn:schemas-microsoft-com:}"
WIN32_MODIFIED = f"{MICROSOFT}Win32LastModifiedTime"
WIN32_TIMES = (f"{MICROSOFT}Win32CreationTime", f"{MICROSOFT}Win32LastAccessTime", WIN32_MODIFIED)
WIN32 = (*WIN32_TIMES, f"{MICROSOFT}Win32FileAttributes")

PREFIXES = {"DAV:": "D", KURADO: "K", "urn:schemas-microsoft-com:": "Z"}
NAMESPACES = " ".join(f'xmlns:{prefix}="{namespace}"' for namespace, prefix in PREFIXES.items())
_Z_BINDING = ' xmlns:Z="urn:schemas-microsoft-com:"'
QUOTA = (f"{DAV}quota-available-bytes", f"{DAV}quota-used-bytes")
_DISPLAY_NAME = f"{DAV}displayname"
WRITABLE_DAV = (_DISPLAY_NAME, f"{DAV}getcontentlanguage")
"""RFC 4918 sections 15.2 and 15.3: these should not be protected; they are kept as dead properties."""

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

    def shown(self, node: Node) -> str:
        """The name of a member in URLs and for people."""
        return node.name + BESIDE if node.id in self.beside else node.name

    def locks_of(self, node: Node) -> Sequence[Lock]:
        return self.locks.get(node.id, self.locks.get(0, ()))


_Value = Callable[[Node, View], str | None]


def _file(element: str, value: Callable[[Node], str]) -> _Value:
    return lambda node, _: f"<D:{element}>{value(node)}</D:{element}>" if node.version else None


def _modified(node: Node) -> str:
    return http_date(node.version.mtime if node.version else node.modified_at)


def _etag(node: Node) -> str:
    return escape(node.version.etag) if node.version else ""


def _resource_type(node: Node, _: View) -> str:
    return "<D:resourcetype><D:collection/></D:resourcetype>" if node.is_collection else "<D:resourcetype/>"


def _display_name(node: Node, view: View) -> str:
    return f"<D:displayname>{escape(view.shown(node) or view.root_name)}</D:displayname>"


def _lock_discovery(node: Node, view: View) -> str:
    return lock_discovery(view.locks_of(node), view.href, view.now)


def _available(node: Node, view: View) -> str | None:
    if not node.is_collection or view.usage is None or view.usage.available is None:
        return None
    return f"<D:quota-available-bytes>{view.usage.available}</D:quota-available-bytes>"


def _used(node: Node, view: View) -> str | None:
    if not node.is_collection or view.usage is None:
        return None
    return f"<D:quota-used-bytes>{view.usage.used}</D:quota-used-bytes>"


LIVE: Mapping[str, _Value] = {
    f"{DAV}creationdate": lambda node, _: f"<D:creationdate>{iso_date(node.created_at)}</D:creationdate>",
    _DISPLAY_NAME: _display_name,
    f"{DAV}getcontentlength": _file("getcontentlength", lambda node: str(node.size)),
    f"{DAV}getcontenttype": _file("getcontenttype", lambda node: media_type(node.name)),
    f"{DAV}getetag": _file("getetag", _etag),
    f"{DAV}getlastmodified": lambda node, _: f"<D:getlastmodified>{_modified(node)}</D:getlastmodified>",
    f"{DAV}resourcetype": _resource_type,
    f"{DAV}supportedlock": lambda *_: _SUPPORTED_LOCK,
    f"{DAV}lockdiscovery": _lock_discovery,
}
"""Those that allprop answers: what RFC 4918 defines."""

_NAMED: Mapping[str, _Value] = {QUOTA[0]: _available, QUOTA[1]: _used}
"""RFC 4331 section 3: not in allprop."""


def lock_discovery(locks: Sequence[Lock], href: Callable[[Path], str], now: int) -> str:
    """DAV:lockdiscovery of the given locks (RFC 4918 section 15.8)."""
    if not locks:
        return "<D:lockdiscovery/>"
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


def value_of(name: str, node: Node, view: View) -> str | None:
    """The property as an element, or None where the node has none of that name."""
    if name == WIN32_MODIFIED and node.version and name in node.props:
        # Explorer shows this rather than getlastmodified; it must not go stale when others save the file
        return f"<Z:Win32LastModifiedTime>{_modified(node)}</Z:Win32LastModifiedTime>"
    dead = node.props.get(name)
    if dead is not None:
        # bound on the multistatus already: Windows drops a folder whose listing grows too long (CLIENTS 7)
        return dead.replace(_Z_BINDING, "", 1) if name in WIN32 else dead
    live = LIVE.get(name) or _NAMED.get(name)
    if live is not None:
        return live(node, view)
    return _fact(name, node) if name.startswith(OURS) else None


_OF_VERSION: Mapping[str, Callable[[Version], str | None]] = {
    "state": lambda version: str(version.state),
    "sha256": lambda version: version.sha256,
    # what a client said of it, as S3 tells it; what is sent to browsers is getcontenttype (RESILIENCE 22)
    "content-type": lambda version: version.content_type or None,
}


def _fact(name: str, node: Node) -> str | None:
    """What hooks found out about the content, its state and its digest."""
    version = node.version
    if version is None:
        return None
    local = split_clark(name)[1]
    value = _OF_VERSION[local](version) if local in _OF_VERSION else version.facts.get(local)
    return f"<K:{local}>{escape(value)}</K:{local}>" if value is not None and is_local_name(local) else None


def names_of(node: Node, view: View) -> list[str]:
    """All property names of a node, for propname (RFC 4918 section 9.1)."""
    names = [*LIVE, *_NAMED]
    if node.version:
        names += [f"{OURS}{fact}" for fact in (*_OF_VERSION, *node.version.facts)]
    present = [name for name in names if value_of(name, node, view) is not None]
    return [*present, *(name for name in node.props if name not in present)]


@dataclass(frozen=True, slots=True)
class Query:
    """What a PROPFIND asks: ``mode`` is allprop (``names`` are from DAV:include), propname or prop."""

    mode: str
    names: tuple[str, ...] = ()

    @property
    def wants_usage(self) -> bool:
        return self.mode == "propname" or any(name in self.names for name in QUOTA)

    @property
    def wants_locks(self) -> bool:
        return self.mode != "prop" or f"{DAV}lockdiscovery" in self.names


def response(url: str, node: Node, view: View, query: Query) -> str:
    """One DAV:response element."""
    if query.mode == "propname":
        text = "".join(empty(name, PREFIXES) for name in names_of(node, view))
        return f"<D:response><D:href>{escape(url)}</D:href>{propstat(text, '200 OK')}</D:response>"
    names: Sequence[str] = query.names
    if query.mode == "allprop":
        wanted = dict.fromkeys((*LIVE, *node.props))
        if WIN32_MODIFIED in wanted and _DISPLAY_NAME not in node.props:
            # Windows saved it: four properties more, and a folder of which it takes 1 000 000 bytes (CLIENTS 7).
            # It shows the name from the URL; who wants displayname still gets it by asking for it
            del wanted[_DISPLAY_NAME]
        names = [*wanted, *(name for name in query.names if name not in wanted)]
    found: list[str] = []
    missing: list[str] = []
    for name in names:
        value = value_of(name, node, view)
        if value is not None:
            found.append(value)
        elif query.mode == "prop" or name in query.names:
            missing.append(empty(name, PREFIXES))
    stats = propstat("".join(found), "200 OK") if found or not missing else ""
    if missing:
        stats += propstat("".join(missing), "404 Not Found")
    return f"<D:response><D:href>{escape(url)}</D:href>{stats}</D:response>"


def propstat(text: str, status: str) -> str:
    return f"<D:propstat><D:prop>{text}</D:prop><D:status>HTTP/1.1 {status}</D:status></D:propstat>"
