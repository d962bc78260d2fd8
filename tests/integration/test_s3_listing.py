"""Listing keys: whatever the tree, the pages of a bucket are the sorted list of its keys."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.node import Kind, Node, Version, webdav_etag
from gateway.domain.upload import NO_CONDITIONS, Declared, PropertyChange
from gateway.service.keywalk import Page
from gateway.service.objects import Key
from gateway.service.placing import BY_KEY
from gateway.testing.space import Space, open_space

_numbers = itertools.count()


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    with open_space(tmp_path_factory.mktemp("space"), settings={"durability": "relaxed"}) as opened:
        yield opened


def put(space: Space, bucket: str, key: str) -> None:
    path = (bucket, *key.removesuffix("/").split("/"))
    if key.endswith("/"):
        space.services.objects.put_folder(space.caller, Key(path, True), PropertyChange(), NO_CONDITIONS)
    else:
        space.services.uploads.open(space.caller, path, Declared(0), NO_CONDITIONS, BY_KEY).finish()


def page(space: Space, bucket: str, prefix: str, delimiter: str, after: bytes, limit: int) -> Page:
    return space.services.buckets.keys(space.caller, bucket, prefix.encode(), delimiter.encode(), after, limit)


def listed(space: Space, bucket: str, prefix: str = "", delimiter: str = "", limit: int = 1000) -> list[str]:
    found: list[str] = []
    after = b""
    while True:
        one = page(space, bucket, prefix, delimiter, after, limit)
        assert len(one.entries) <= limit
        found += [entry.key.decode() for entry in one.entries]
        if one.last is None:
            return found
        after = one.last


def reference(keys: list[str], prefix: str, delimiter: str) -> list[str]:
    """By the published description of ListObjectsV2."""
    shown = set()
    for key in keys:
        if key.startswith(prefix):
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            shown.add(key if end < 0 else key[: end + len(delimiter)])
    return sorted(shown, key=str.encode)


NAMES = st.text("ab!-.0é~", min_size=1, max_size=3).filter(lambda name: name not in (".", ".."))
KEYS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
KEY_SETS = st.lists(st.tuples(KEYS, st.booleans()).map(lambda pair: pair[0] + "/" * pair[1]), max_size=14, unique=True)
PREFIXES = st.one_of(st.just(""), KEYS, KEYS.map(lambda key: key + "/"), st.text("ab/-.0\xff", max_size=4))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(KEY_SETS, st.lists(PREFIXES, min_size=3, max_size=3), st.sampled_from(["", "/", "-", "a", "é", "b/"]))
def test_pages_of_any_size_are_the_sorted_keys(
    space: Space, keys: list[str], prefixes: list[str], delimiter: str
) -> None:
    bucket = f"any-{next(_numbers)}"
    space.services.buckets.create(space.caller, bucket)
    for key in keys:
        put(space, bucket, key)
    for prefix in ["", *prefixes]:
        for limit in (1, 2, 1000):
            assert listed(space, bucket, prefix, delimiter, limit) == reference(keys, prefix, delimiter)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(KEY_SETS, KEYS, st.booleans())
def test_a_listing_begins_after_any_key_that_there_is_or_is_not(
    space: Space, keys: list[str], after: str, slash: bool
) -> None:
    bucket = f"any-{next(_numbers)}"
    space.services.buckets.create(space.caller, bucket)
    for key in keys:
        put(space, bucket, key)
    start = after.encode() + b"/" * slash
    shown = [entry.key for entry in page(space, bucket, "", "", start, 1000).entries]
    assert shown == sorted(key.encode() for key in keys if key.encode() > start)


def test_what_webdav_leaves_of_implied_folders_is_no_key_and_in_nobodys_way(space: Space) -> None:
    space.services.buckets.create(space.caller, "left")
    put(space, "left", "a/b/c")
    space.services.files.delete(space.caller, ("left", "a", "b", "c"))
    assert space.names("left/a") == ["b/"]
    assert listed(space, "left") == listed(space, "left", "", "/") == []
    space.services.buckets.delete(space.caller, "left")


# -- a large bucket ---------------------------------------------------------------------------------------------------

FILES = 100_000


def fill(space: Space, bucket: str) -> list[str]:
    """Rows of a bucket with 100 000 keys in 2 000 folders of three levels, and one folder of 40 000."""
    now, ids, tenant = space.clock(), space.services.ids, space.caller.tenant
    top = space.services.buckets.create(space.caller, bucket)
    keys: list[str] = []
    nodes: list[Node] = []

    def folder(parent: int, name: str) -> int:
        nodes.append(Node(ids.new(now), tenant.id, parent, Kind.COLLECTION, name, now, now, explicit=False))
        return nodes[-1].id

    def file(parent: int, name: str, key: str) -> None:
        number = ids.new(now)
        version = Version(ids.new(now), "", 0, webdav_etag(number), "", "0" * 64, now, now)
        nodes.append(Node(number, tenant.id, parent, Kind.FILE, name, now, now, version=version))
        keys.append(key)

    for first in range(20):
        outer = folder(top.id, f"f{first}")
        for second in range(100):
            inner = folder(outer, f"{second:03d}")
            for third in range(30):
                file(inner, f"n{third}", f"f{first}/{second:03d}/n{third}")
    flat = folder(top.id, "flat")
    for number in range(FILES - len(keys)):
        file(flat, f"{number}", f"flat/{number}")
    for start in range(0, len(nodes), 5000):
        batch = nodes[start : start + 5000]
        space.services.db.write(lambda tx, batch=batch: tx.nodes.insert_many(batch), tenant.id).result()  # type: ignore[misc]
    return sorted(keys, key=str.encode)


def test_a_hundred_thousand_keys_page_by_page(space: Space) -> None:
    """Equal to a sorted reference, and no page costs more than another, however far into the bucket it is."""
    keys = fill(space, "large")
    after, found, reads = b"", [], []
    while True:
        counted = Counting(space)
        one = counted.page("large", after)
        reads.append(counted.rows)
        found += [entry.key.decode() for entry in one.entries]
        if one.last is None:
            break
        after = one.last
    assert found == keys
    assert len(reads) == FILES // 1000
    # a page of small folders reads a few rows for each, a page of the flat one a thousand ahead: no trend to the end
    assert max(reads[-20:]) <= 2 * max(reads[:20])
    assert max(reads) < 8000
    assert listed(space, "large", "", "/") == [*sorted((f"f{n}/" for n in range(20)), key=str.encode), "flat/"]
    counted = Counting(space)
    assert len(counted.page("large", b"", b"f7/05").entries) == 300
    assert counted.rows < 1000, "only what the prefix names is looked at"
    for start in random.Random(4).sample(keys, 20):
        rest = page(space, "large", "", "", start.encode(), 3)
        assert [entry.key.decode() for entry in rest.entries] == keys[keys.index(start) + 1 :][:3]


class Counting:
    """Counts the rows that a page reads."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self.rows = 0

    def page(self, bucket: str, after: bytes, prefix: bytes = b"") -> Page:
        from gateway.service.keywalk import list_keys
        from gateway.service.placing import find_bucket

        def work(tx: object) -> Page:
            top = find_bucket(tx, self._space.caller, bucket)  # type: ignore[arg-type]
            return list_keys(_Counted(tx, self), top, prefix, b"", after, 1000)  # type: ignore[arg-type]

        return self._space.services.db.read(work)  # type: ignore[arg-type]


class _Counted:
    """A transaction whose nodes are counted as they are read."""

    def __init__(self, tx: object, counting: Counting) -> None:
        self._nodes = tx.nodes  # type: ignore[attr-defined]
        self._counting = counting
        self.nodes = self

    def children(self, parent_id: int, after: bytes | None, limit: int) -> list[Node]:
        found: list[Node] = self._nodes.children(parent_id, after, limit)
        self._counting.rows += len(found) + 1
        return found

    def named(self, parent_id: int, name: str) -> list[Node]:
        found: list[Node] = self._nodes.named(parent_id, name)
        self._counting.rows += len(found)
        return found

    def has_keys(self, node_id: int) -> bool:
        return bool(self._nodes.has_keys(node_id))
