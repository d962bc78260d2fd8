"""What a tenant may store counts as it is when a change is committed, not as a gate remembers it (LIM-01)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.domain.errors import QuotaExceeded
from gateway.domain.lock import Scope
from gateway.domain.upload import NO_CONDITIONS, Declared
from gateway.service.objects import Key
from gateway.testing.space import Space, open_space

SIZE = 100_000


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    """Holds one file; its caller's picture of the tenant is never renewed, and has no limits."""
    with open_space(tmp_path, plugins=("quota",)) as opened:
        opened.services.accounts.set_plan("studio", quota_bytes=10 * SIZE)
        opened.mkcol("bucket")
        opened.put("bucket/file", b"x" * SIZE)
        yield opened


def copy(space: Space) -> None:
    space.services.files.copy(space.caller, ("bucket", "file"), ("bucket", "copy"))


def copy_object(space: Space) -> None:
    space.services.objects.copy(
        space.caller,
        Key(("bucket", "file")),
        Key(("bucket", "copy")),
        made=lambda version, number, now: replace(version, id=number, created_at=now),
        change=None,
        source_conditions=lambda node: None,
    )


def lock_a_new_name(space: Space) -> None:
    space.services.locks.take(space.caller, ("bucket", "new"), Scope.EXCLUSIVE, False, "", None)


def put(space: Space) -> None:
    space.put("bucket/new", b"y" * SIZE)


@pytest.mark.parametrize("change", [copy, copy_object, put])
def test_a_quota_that_was_lowered_a_moment_ago_counts(space: Space, change: Callable[[Space], None]) -> None:
    space.services.accounts.set_plan("studio", quota_bytes=SIZE)
    with pytest.raises(QuotaExceeded):
        change(space)
    assert space.names("bucket") == ["file"]
    space.services.accounts.set_plan("studio", quota_bytes=2 * SIZE)
    change(space)


def test_a_number_of_files_that_was_lowered_a_moment_ago_counts_for_a_lock_of_a_new_name(space: Space) -> None:
    space.services.accounts.set_plan("studio", quota_files=1)
    with pytest.raises(QuotaExceeded):
        lock_a_new_name(space)
    assert space.names("bucket") == ["file"]
    space.services.accounts.set_plan("studio", quota_files=2)
    lock_a_new_name(space)


def test_a_quota_that_is_lowered_while_a_body_comes_counts_when_it_has_come(space: Space) -> None:
    upload = space.services.uploads.open(space.caller, ("bucket", "new"), Declared(SIZE), NO_CONDITIONS)
    upload.feed(b"y" * SIZE)
    space.services.accounts.set_plan("studio", quota_bytes=SIZE)
    with pytest.raises(QuotaExceeded):
        upload.finish()
    assert space.names("bucket") == ["file"]
