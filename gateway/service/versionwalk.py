"""Listing versions: the present ones of a walk of the tree and the kept ones of their index, merged by key.

Bounded as the walk is: both sides come a page at a time, and a common prefix is passed over on both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.domain.history import NULL, KeptVersion, id_of, public_id
from gateway.domain.node import Node
from gateway.service.keptfind import as_node
from gateway.service.keywalk import list_keys
from gateway.service.unit_of_work import Tx

_PAGE = 1000
_LAST = 2**63 - 1
_BEYOND = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """``version_id`` "": a common prefix. ``node`` None: that, or a delete marker of the time ``at``."""

    key: str
    version_id: str = ""
    is_latest: bool = False
    node: Node | None = None
    at: int = 0


@dataclass(frozen=True, slots=True)
class VersionPage:
    """``last``: the entry from which the next page goes on; None when this page is the last."""

    entries: list[VersionEntry]
    last: VersionEntry | None


def list_versions(
    tx: Tx, bucket: Node, prefix: str, delimiter: str, key_marker: str, id_marker: str, limit: int
) -> VersionPage:
    """The first ``limit`` versions after ``id_marker`` of ``key_marker`` ("": after all of that key), by key, the
    newest first."""
    entries: list[VersionEntry] = []
    if limit <= 0:
        return VersionPage([], None)
    for entry in _entries(tx, bucket, prefix, delimiter, key_marker, id_marker):
        if len(entries) == limit:
            return VersionPage(entries, entries[-1])
        entries.append(entry)
    return VersionPage(entries, None)


def _entries(
    tx: Tx, bucket: Node, prefix: str, delimiter: str, key_marker: str, id_marker: str
) -> Iterator[VersionEntry]:
    if key_marker and id_marker:
        yield from _rest_of_key(tx, bucket, key_marker, id_marker)
    after = key_marker
    if delimiter and after.startswith(prefix) and (end := after.find(delimiter, len(prefix))) >= 0:
        after = after[: end + len(delimiter)] + _BEYOND
    while True:
        for key, node, kept in _merged(tx, bucket, prefix, after):
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            if end >= 0:
                common = key[: end + len(delimiter)]
                yield VersionEntry(common)
                after = common + _BEYOND
                break  # the walk begins anew behind the prefix
            yield from _of_key(key, node, kept)
        else:
            return


def _of_key(key: str, node: Node | None, kept: list[KeptVersion]) -> Iterator[VersionEntry]:
    if node is not None:
        yield VersionEntry(key, id_of(node.version) if node.version else NULL, is_latest=True, node=node)
    for n, one in enumerate(kept):
        # without a file and without a marker before it nothing is the latest: WebDAV has moved the file away
        is_latest = node is None and n == 0 and one.version is None
        shown = as_node(one, None) if one.version else None
        yield VersionEntry(key, one.public_id, is_latest, shown, one.at)


def _rest_of_key(tx: Tx, bucket: Node, key: str, after_id: str) -> Iterator[VersionEntry]:
    """The kept versions of a key that come after the one of that id: all, where it is none of them, but the present
    one."""
    kept = [one for one in tx.kept.of_bucket(bucket.id, key, ("", _LAST), _PAGE) if one.key_text == key]
    at = next((n for n, one in enumerate(kept) if one.public_id == after_id), None)
    if at is None and after_id != NULL:
        kept = [one for one in kept if public_id(one.id) < after_id or not kept]
    elif at is not None:
        kept = kept[at + 1 :]
    for one in kept:
        yield VersionEntry(key, one.public_id, False, as_node(one, None) if one.version else None, one.at)


def _merged(tx: Tx, bucket: Node, prefix: str, after: str) -> Iterator[tuple[str, Node | None, list[KeptVersion]]]:
    """(key, present file or None, kept versions) of all keys after one, in the order of their bytes."""
    files, groups = _files(tx, bucket, prefix, after), _groups(tx, bucket, prefix, after)
    file, group = next(files, None), next(groups, None)
    while file is not None or group is not None:
        if group is None or (file is not None and file[0].encode() < group[0].encode()):
            assert file is not None
            yield file[0], file[1], []
            file = next(files, None)
        elif file is None or group[0] != file[0]:
            yield group[0], None, group[1]
            group = next(groups, None)
        else:
            yield file[0], file[1], group[1]
            file, group = next(files, None), next(groups, None)


def _files(tx: Tx, bucket: Node, prefix: str, after: str) -> Iterator[tuple[str, Node]]:
    last: bytes | None = _bytes(after)
    while last is not None:
        page = list_keys(tx, bucket, _bytes(prefix), b"", last, _PAGE)
        yield from ((one.key.decode(), one.node) for one in page.entries if one.node)
        last = page.last


def _groups(tx: Tx, bucket: Node, prefix: str, after: str) -> Iterator[tuple[str, list[KeptVersion]]]:
    group: list[KeptVersion] = []
    place = (after, 0)  # no id is below 0: nothing of the key itself
    while page := tx.kept.of_bucket(bucket.id, prefix, place, _PAGE):
        for one in page:
            if group and group[0].key != one.key:
                yield group[0].key_text, group
                group = []
            group.append(one)
        place = (page[-1].key_text, page[-1].id)
    if group:
        yield group[0].key_text, group


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
