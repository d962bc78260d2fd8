"""fsck finds what was broken by hand, repairs what it can, and finds nothing on a sound gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.domain.history import PROPERTY
from gateway.service.fsck import Finding
from gateway.service.leases import LEASE_MS
from gateway.service.sweeper import COMMIT_MARGIN_MS
from gateway.testing.space import Space, open_space


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path) as opened:
        opened.put("a", b"some bytes" * 2000)  # too much for a row: tests reach for the file
        opened.put("empty", b"")
        yield opened


def run(space: Space, repair: bool = False, deep: bool = False) -> list[Finding]:
    return list(space.services.fsck.run(repair=repair, deep=deep))


def blob(space: Space) -> Path:
    (info,) = space.services.store.list()
    return space.services.store.local_path(info.key)  # type: ignore[attr-defined, no-any-return]


def test_a_sound_gateway_has_no_findings(space: Space) -> None:
    assert run(space, deep=True) == []


def test_wrong_usage_is_found_and_put_right_by_an_event(space: Space) -> None:
    tenant_id = space.caller.tenant.id
    space.services.db.write(lambda tx: tx.tenants.set_usage(tenant_id, 999, 7, 0)).result()
    assert [(one.kind, one.subject) for one in run(space)] == [("usage", "studio")]
    assert [one.repaired for one in run(space, repair=True)] == [True]
    assert run(space) == []
    assert space.used() == (20_000, 2)
    last = space.services.db.read(lambda tx: tx.events.after(tenant_id, tx.events.last_seq(tenant_id) - 1, 1))[0]
    assert (last.used_bytes, last.used_files) == (20_000, 2)


def test_the_bytes_of_versions_that_a_bucket_keeps_are_looked_at_too(space: Space) -> None:
    space.mkcol("bucket")
    space.services.buckets.change(space.caller, "bucket", lambda props: {**props, PROPERTY: "<v>Enabled</v>"})
    present = blob(space)
    for body in (b"old" * 10_000, b"older" * 10_000, b"new" * 10_000):
        space.put("bucket/a", body)
    rows = space.services.db.read(lambda tx: tx.kept.of_tenant(space.caller.tenant.id))
    keys = [one.version.blob_id for one in rows if one.version]
    for key in keys:
        kept = space.services.store.local_path(key)
        assert kept is not None and kept != present
        kept.write_bytes(kept.read_bytes().upper())
    assert run(space) == []
    found = run(space, deep=True, repair=True)
    assert sorted((one.kind, one.subject) for one in found) == [("wrong-digest", key) for key in sorted(keys)]
    assert {report[0] for report in space.services.damages.open_reports()} == set(keys)


def test_a_missing_blob_is_found_and_is_not_said_to_be_repaired(space: Space) -> None:
    blob(space).unlink()
    assert [(one.kind, one.repaired) for one in run(space, repair=True)] == [("missing-blob", False)]


def test_a_blob_of_the_wrong_size_is_found(space: Space) -> None:
    blob(space).write_bytes(b"short")
    assert [one.kind for one in run(space)] == ["wrong-size"]


def test_changed_bytes_are_found_by_a_deep_look_only(space: Space) -> None:
    blob(space).write_bytes(b"SOME BYTES" * 2000)
    assert run(space) == []
    assert [one.kind for one in run(space, deep=True)] == ["wrong-digest"]


def test_left_overs_of_a_dead_process_are_found_and_removed(space: Space) -> None:
    boot_id = space.services.boot_id
    writer = space.services.store.writer(f"{boot_id}-abc")
    writer.write(b"orphan")
    writer.commit()
    assert run(space) == []
    space.clock.forward((LEASE_MS + COMMIT_MARGIN_MS) / 1000 + 1)
    assert run(space) == []  # the steward knows of it and sweeps it
    space.services.db.write(lambda tx: tx.leases.remove(boot_id)).result()
    assert {one.kind for one in run(space)} == {"unreferenced-blob"}
    assert all(one.repaired for one in run(space, repair=True))
    assert run(space) == []


def test_a_reservation_that_nobody_can_hold_any_more_is_given_back(space: Space) -> None:
    tenant_id = space.caller.tenant.id
    space.services.db.write(lambda tx: tx.tenants.set_usage(tenant_id, 20_000, 2, 64)).result()
    assert run(space) == []  # a live gate may hold it
    space.clock.forward((LEASE_MS + COMMIT_MARGIN_MS) / 1000 + 1)
    assert "reservation" in {one.kind for one in run(space)}
    run(space, repair=True)
    assert run(space) == []
