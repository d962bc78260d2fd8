"""What a bucket with versioning keeps when others than S3 change it: holds, folders, takedown of the bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.domain.errors import Forbidden
from gateway.domain.history import PROPERTY
from gateway.domain.upload import Outcome, Verdict
from gateway.service import history
from gateway.service.versionwalk import VersionEntry
from gateway.testing.space import Space, open_space


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path) as space:
        space.mkcol("bucket")
        space.services.buckets.change(space.caller, "bucket", lambda props: {**props, PROPERTY: "<v>Enabled</v>"})
        yield space


def versions(space: Space, prefix: str = "") -> list[VersionEntry]:
    return space.services.versions.page(space.caller, "bucket", prefix, "", "", "", 1000).entries


def sizes(space: Space, prefix: str = "") -> list[int | None]:
    """Of all versions, the newest first; None for a delete marker."""
    return [one.node.size if one.node else None for one in versions(space, prefix)]


def put_held(space: Space, path: str, body: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(space.services.host, "content_verdicts", lambda *_: [Verdict(Outcome.HOLD, policy="test")])
        space.put(path, body)


def test_what_a_held_version_replaces_is_kept_when_the_verdict_is_good(space: Space) -> None:
    space.put("bucket/a", b"1")
    put_held(space, "bucket/a", b"22")
    assert sizes(space) == [2]
    (held,) = space.services.holds.pending()
    assert space.services.holds.release(held)
    assert (sizes(space), space.used()) == ([2, 1], (3, 1))


def test_what_a_held_version_replaces_comes_back_when_the_verdict_is_bad(space: Space) -> None:
    space.put("bucket/a", b"1")
    put_held(space, "bucket/a", b"22")
    (held,) = space.services.holds.pending()
    assert space.services.holds.reject(held, Verdict(Outcome.REFUSE, policy="test", error="infected"))
    assert (sizes(space), space.used()) == ([1], (1, 1))


def test_content_without_a_verdict_is_not_kept(space: Space) -> None:
    put_held(space, "bucket/a", b"22")
    space.put("bucket/a", b"1")
    assert (sizes(space), space.used()) == ([1], (1, 1))


def test_a_folder_that_goes_leaves_its_files_versions_and_a_marker_each(space: Space) -> None:
    space.mkcol("bucket/d")
    for name in ("x", "y"):
        space.put(f"bucket/d/{name}", b"1")
    space.services.files.delete(space.caller, ("bucket", "d"))
    assert (sizes(space), space.used()) == ([None, 1, None, 1], (2, 0))


def test_a_large_folder_of_a_versioned_bucket_goes_in_parts_only(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_TREE", 2)
    space.mkcol("bucket/d")
    for name in ("x", "y"):
        space.put(f"bucket/d/{name}", b"1")
    with pytest.raises(Forbidden, match="at once"):
        space.services.files.delete(space.caller, ("bucket", "d"))
    space.services.files.delete(space.caller, ("bucket", "d", "x"))
    space.services.files.delete(space.caller, ("bucket", "d"))
    assert space.used() == (2, 0)


def test_a_copy_and_a_move_onto_a_file_keep_what_they_replace(space: Space) -> None:
    for name, body in (("a", b"1"), ("b", b"22"), ("c", b"333")):
        space.put(f"bucket/{name}", body)
    space.services.files.copy(space.caller, ("bucket", "a"), ("bucket", "b"))
    assert sizes(space, "b") == [1, 2]
    space.services.files.move(space.caller, ("bucket", "c"), ("bucket", "b"))
    assert (sizes(space, "b"), sizes(space, "c")) == ([3, 1, 2], [])
    space.put("bucket/b", b"4444")
    space.services.files.move(space.caller, ("bucket", "b"), ("bucket", "c"))
    assert sizes(space, "b") == [None, 1, 3, 2]  # by when they were written
    assert space.used() == (1 + 4 + 3 + 1 + 2, 2)


def test_what_a_bucket_kept_goes_when_it_is_removed(space: Space) -> None:
    space.put("bucket/a", b"1")
    space.put("bucket/a", b"22")
    space.services.files.delete(space.caller, ("bucket",))
    space.services.trees.erase_detached()
    assert space.services.versions.forget_orphans() == 1
    assert space.used() == (0, 0)
    assert list(space.services.fsck.run()) == []
