"""Many keys deleted at once: as if each had been deleted alone, only cheaper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.domain.errors import Forbidden, Locked
from gateway.domain.history import PROPERTY, Versioning
from gateway.domain.lock import Scope
from gateway.domain.tenant import Role
from gateway.domain.upload import NO_CONDITIONS, Declared
from gateway.service.objects import Key
from gateway.service.placing import BY_KEY
from gateway.testing.space import Space, open_space, segments


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path, plugins=[{"name": "quota"}, {"name": "metering"}]) as opened:
        yield opened


def put(space: Space, *keys: str, body: bytes = b"12345") -> None:
    for key in keys:
        upload = space.services.uploads.open(space.caller, segments(key), Declared(len(body)), NO_CONDITIONS, BY_KEY)
        upload.feed(body)
        upload.finish()


def keys_of(space: Space, bucket: str = "b") -> list[str]:
    page = space.services.buckets.keys(space.caller, bucket, b"", b"", b"", 1000)
    return [one.key.decode() for one in page.entries]


def events(space: Space) -> list[tuple[int, str, int, int]]:
    tenant_id = space.caller.tenant.id
    found = space.services.db.read(lambda tx: tx.events.after(tenant_id, 0, 10_000))
    return [(one.seq, one.kind, one.used_bytes, one.used_files) for one in found]


def test_what_is_cleared_is_gone_with_its_bytes_and_the_folders_that_it_implied(space: Space) -> None:
    space.services.buckets.create(space.caller, "b")
    many = [f"b/x/y/{n}" for n in range(600)]
    put(space, *many[:4], "b/x/one", "b/stays/here", "b/top")
    left = space.services.objects.clear(space.caller, [segments(one) for one in (*many, "b/x/one", "b/top", "b/no")])
    assert left == {}
    assert keys_of(space) == ["stays/here"]
    assert space.names("b") == ["stays/"], "x/ and x/y/ were only implied"
    assert space.used() == (5, 1)


def test_the_log_tells_of_each_file_and_of_the_usage_after_it(space: Space) -> None:
    space.services.buckets.create(space.caller, "b")
    put(space, "b/1", body=b"1")
    put(space, "b/2", body=b"22")
    put(space, "b/3", body=b"333")
    before = events(space)
    space.services.objects.clear(space.caller, [segments("b/1"), segments("b/3"), segments("b/2")])
    seq = before[-1][0]
    after = events(space)[len(before) :]
    assert [one[:2] for one in after] == [
        (seq + 1, "node.deleted"),
        (seq + 2, "node.deleted"),
        (seq + 3, "node.deleted"),
    ]
    assert after[-1][2:] == (0, 0)
    assert [one[3] for one in after] == [2, 1, 0]
    growth = [one[2] - two[2] for one, two in zip(after, [before[-1], *after], strict=False)]
    assert sorted(growth) == [-3, -2, -1]


def test_a_lock_a_kept_version_and_a_name_in_other_bytes_are_left_to_be_asked_one_by_one(space: Space) -> None:
    space.services.buckets.create(space.caller, "b")
    put(space, "b/locked", "b/free", "b/caf\u00e9")
    space.services.locks.take(space.caller, segments("b/locked"), Scope.EXCLUSIVE, False, "", None, NO_CONDITIONS)
    paths = [segments(one) for one in ("b/locked", "b/free", "b/cafe\u0301")]
    assert dict(space.services.objects.clear(space.caller, paths)) == dict.fromkeys(paths)
    assert keys_of(space) == ["caf\u00e9", "free", "locked"]
    with pytest.raises(Locked):
        space.services.objects.delete(space.caller, Key(paths[0])).result()
    assert space.services.objects.clear(space.caller, paths[1:]) == {}, "what has no such name is deleted already"
    assert keys_of(space) == ["caf\u00e9", "locked"]


def test_a_bucket_with_versions_clears_nothing_together_not_even_what_is_not_there(space: Space) -> None:
    space.services.buckets.create(space.caller, "b")
    put(space, "b/1")
    enabled = {PROPERTY: f'<M:versioning xmlns:M="urn:kurado:s3">{Versioning.ENABLED}</M:versioning>'}
    space.services.buckets.change(space.caller, "b", lambda props: {**props, **enabled})
    paths = [segments("b/1"), segments("b/no")]
    assert dict(space.services.objects.clear(space.caller, paths)) == dict.fromkeys(paths)
    assert dict(space.services.objects.clear(space.caller, paths[1:])) == {paths[1]: None}
    assert keys_of(space) == ["1"]


def test_who_may_only_read_clears_nothing(space: Space) -> None:
    space.services.buckets.create(space.caller, "b")
    put(space, "b/1")
    with pytest.raises(Forbidden):
        space.services.objects.clear(space.user("eve", Role.VIEWER), [segments("b/1")])
    assert keys_of(space) == ["1"]
