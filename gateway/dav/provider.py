"""A caller's space as wsgidav's provider: what the engine asks of a resource, answered by our services.

Every resource implements ``handle_copy``, ``handle_move`` and ``handle_delete``, so that wsgidav never walks a tree
itself: its per-member loop checks locks member by member, leaves half a tree behind, and deletes a file when asked to
rename it from NFC to NFD. Whatever that loop would call raises :class:`PerMemberLoop`.

Paths that wsgidav sees are percent-encoded (``names.href``): it unquotes a Destination and then splits it like a URL,
which cuts names at ``?`` and ``;`` unless these still are encoded then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any
from xml.etree.ElementTree import Element

from wsgidav.dav_error import (
    HTTP_FORBIDDEN,
    HTTP_LOCKED,
    DAVError,
    DAVErrorCondition,
    PRECONDITION_CODE_ProtectedProperty,
)
from wsgidav.dav_provider import DAVCollection, DAVNonCollection, DAVProvider

from gateway.dav.properties import LIVE, OURS, QUOTA, WIN32_MODIFIED, WRITABLE_DAV
from gateway.dav.proppatch import MAX_PROPS
from gateway.dav.request import DavRequest
from gateway.domain.errors import Locked, StorageFull
from gateway.domain.names import Path, href, name_key, parse_path
from gateway.domain.node import Node
from gateway.domain.upload import Conditions
from gateway.service.results import Found, Placed

WORK = "kurado.work"


class PerMemberLoop(AssertionError):
    """wsgidav tried to change a tree member by member: a fault of ours, never of a client."""


@dataclass
class Work:
    """What one request carries through the engine: in, the request and its headers parsed by us; out, what came of it.

    ``error`` and ``placed`` are how our services' results pass through wsgidav, which knows statuses only.
    """

    request: DavRequest
    conditions: Conditions
    overwrite: bool = True
    destination: Path = ()
    error: Exception | None = None
    placed: Placed | None = None
    changes: dict[str, str | None] = field(default_factory=dict)
    mtime: int | None = None
    refused: bool = False
    size: int | None = None
    """Characters of the properties that the node will have, as far as the update was read."""
    _found: dict[str, Found] = field(default_factory=dict)

    def find(self, path: str) -> Found:
        """The nodes along a path, looked up once a request; the services look again in their transactions."""
        key = path.rstrip("/")
        if key not in self._found:
            request = self.request
            self._found[key] = request.services.files.lookup(request.caller, parse_path(path))
        return self._found[key]

    def run(self, action: Callable[[], Placed | None]) -> bool | list[tuple[str, DAVError]]:
        """Runs a change of a tree for wsgidav: True, or the members that stood in the way for its 207."""
        try:
            self.placed = action()
        except Locked as error:
            below = [one for one in error.paths if self._is_member(one)]
            if below:
                return [(self.request.href(one), DAVError(HTTP_LOCKED)) for one in below]
            self.error = error
        except Exception as error:
            # of whatever else happens wsgidav would make a page with its repr
            self.error = error
        return True

    def _is_member(self, path: Path) -> bool:
        """Whether a locked path lies below what the request names, so that a 423 alone would not say where."""
        for root in (self.request.path, self.destination):
            if root and len(path) > len(root) and _keys(path[: len(root)]) == _keys(root):
                return True
        return False

    def save_properties(self) -> None:
        """Commits what PROPPATCH's dry run let pass: all in one transaction."""
        request = self.request
        request.services.files.set_props(request.caller, request.path, self.changes, self.conditions, mtime=self.mtime)


class SpaceProvider(DAVProvider):  # type: ignore[misc]
    """One for all tenants: whose space it is, is in the request."""

    def __init__(self) -> None:
        super().__init__()
        self.mount_path = self.share_path = ""

    def is_readonly(self) -> bool:
        return False

    def get_resource_inst(self, path: str | None, environ: dict[str, Any]) -> SpaceCollection | SpaceFile | None:
        node = environ[WORK].find(path).node if path else None
        if path is None or node is None:
            return None
        kind = SpaceCollection if node.is_collection else SpaceFile
        return kind(path, node, environ)


class _Resource:
    """What a file and a collection have in common."""

    environ: dict[str, Any]
    path: str
    is_collection: bool

    def _attach(self, node: Node, environ: dict[str, Any]) -> None:
        self.node = node
        self.work: Work = environ[WORK]

    def get_href(self) -> str:
        return self.work.request.href(parse_path(self.path), collection=self.is_collection)

    def get_ref_url(self) -> str:
        return self.path

    # -- trees --------------------------------------------------------------------------------------------------------

    def handle_delete(self) -> bool | list[tuple[str, DAVError]]:
        work = self.work
        request = work.request
        return work.run(lambda: request.services.files.delete(request.caller, request.path, work.conditions))

    def handle_copy(self, dest_path: str, *, depth_infinity: bool) -> bool | list[tuple[str, DAVError]]:  # noqa: ARG002
        work = self.work
        request = work.request
        return work.run(
            lambda: request.services.files.copy(
                request.caller,
                request.path,
                work.destination,
                overwrite=work.overwrite,
                infinite=depth_infinity,
                conditions=work.conditions,
            )
        )

    def handle_move(self, dest_path: str) -> bool | list[tuple[str, DAVError]]:  # noqa: ARG002
        work = self.work
        request = work.request
        return work.run(
            lambda: request.services.files.move(
                request.caller,
                request.path,
                work.destination,
                overwrite=work.overwrite,
                conditions=work.conditions,
            )
        )

    def _loop(self, *_: object, **__: object) -> Any:
        raise PerMemberLoop("wsgidav must not walk a tree")

    get_descendants = get_member_list = get_member_names = get_member = _loop
    delete = copy_move_single = move_recursive = begin_write = end_write = get_content = _loop

    def support_recursive_delete(self) -> bool:
        return False

    def support_recursive_move(self, dest_path: str) -> bool:  # noqa: ARG002
        return False

    # -- properties ---------------------------------------------------------------------------------------------------

    def set_property_value(self, name: str, value: Element | None, *, dry_run: bool = False) -> None:
        """Called twice by wsgidav for each property: the dry run judges and collects, and when all of it passed the
        engine commits the whole at once; the second call has nothing left to do."""
        if not dry_run:
            return
        if is_protected(name):
            self.work.refused = True
            raise DAVError(HTTP_FORBIDDEN, err_condition=DAVErrorCondition(PRECONDITION_CODE_ProtectedProperty))
        text = None if value is None else value.text or ""
        changes = self.work.changes
        self._check_size(name, changes.pop(name, self.node.props.get(name)), text)
        changes[name] = text
        if name == WIN32_MODIFIED and value is not None:
            self.work.mtime = win32_time(value.text or "")

    def _check_size(self, name: str, before: str | None, after: str | None) -> None:
        """Counts on, property by property: an update may name thousands."""
        work = self.work
        if work.size is None:
            work.size = sum(_size(*one) for one in self.node.props.items())
        work.size += _size(name, after) - _size(name, before)
        if work.size > MAX_PROPS:
            work.refused = True
            work.error = StorageFull(f"a node may carry {MAX_PROPS} characters of properties")
            raise DAVError(507)


def _size(name: str, text: str | None) -> int:
    return 0 if text is None else len(name) + len(text)


def _keys(path: Path) -> list[str]:
    return [name_key(segment) for segment in path]


def is_protected(name: str) -> bool:
    """Live properties are the gateway's to say; so is all of DAV: and of our own namespace."""
    if name in WRITABLE_DAV:
        return False
    return name in LIVE or name in QUOTA or name.startswith(("{DAV:}", OURS))


def win32_time(text: str) -> int | None:
    """The time in a Win32LastModifiedTime element (an HTTP date), ms UTC; None when it cannot be read."""
    inner = unescape(text.partition(">")[2].rpartition("<")[0]).strip()
    try:
        return int(parsedate_to_datetime(inner).timestamp()) * 1000
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


class SpaceCollection(_Resource, DAVCollection):  # type: ignore[misc]
    def __init__(self, path: str, node: Node, environ: dict[str, Any]) -> None:
        DAVCollection.__init__(self, path, environ)
        self._attach(node, environ)

    def create_collection(self, name: str) -> None:  # noqa: ARG002
        """MKCOL; the name is the last segment of the request."""
        request = self.work.request
        request.services.files.make_collection(request.caller, request.path, self.work.conditions)

    create_empty_resource = _Resource._loop


class SpaceFile(_Resource, DAVNonCollection):  # type: ignore[misc]
    def __init__(self, path: str, node: Node, environ: dict[str, Any]) -> None:
        DAVNonCollection.__init__(self, path, environ)
        self._attach(node, environ)

    def get_content_length(self) -> int:
        return self.node.size

    def get_etag(self) -> str | None:
        return self.node.version.etag.strip('"') if self.node.version else None

    def support_etag(self) -> bool:
        return True


def engine_path(path: Path, *, slash: bool) -> str:
    """A path as wsgidav gets it."""
    return href(path, collection=slash)
