"""What crashes leave is taken away; what is only under way is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.errors import BackendUnavailable, KuradoError
from gateway.domain.upload import NO_CONDITIONS, Declared
from gateway.service.leases import LEASE_MS, LeaseKeeper, LeaseLost
from gateway.service.stored import Released
from gateway.service.sweeper import COMMIT_MARGIN_MS, READ_GRACE_MS, Swept, boot_of
from gateway.service.uploads import RESERVE_STEP
from gateway.testing.space import Space, open_space

LAPSED = (LEASE_MS + COMMIT_MARGIN_MS) / 1000 + 1


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path) as opened:
        yield opened


def store_blob(space: Space, key: str, content: bytes = b"orphan") -> None:
    writer = space.services.store.writer(key)
    writer.write(content)
    writer.commit()


def keys(space: Space) -> set[str]:
    return {info.key for info in space.services.store.list()}


def test_the_boot_id_stands_at_the_beginning_of_blobs_and_staged_files() -> None:
    assert boot_of("0123456789ab-ff") == "0123456789ab"
    assert boot_of("aa/0123456789ab-ff") == "0123456789ab"


def test_a_blob_without_a_version_is_left_alone_while_its_process_lives(space: Space) -> None:
    key = f"{space.services.boot_id}-abc"
    store_blob(space, key)
    assert not space.services.sweeper.sweep_lapsed()
    assert key in keys(space)


def test_what_a_dead_process_left_goes_with_its_lease_and_its_files_stay(space: Space) -> None:
    space.put("kept", b"kept")
    orphan = f"{space.services.boot_id}-abc"
    store_blob(space, orphan)
    staged = space.services.uploads.settings.staging / f"{space.services.boot_id}-def"
    staged.write_bytes(b"half")
    space.clock.forward(LAPSED)
    assert space.services.sweeper.sweep_lapsed() == Swept(boots=1, reservations=0, staged=1, blobs=1)
    assert not staged.exists()
    assert orphan not in keys(space)
    assert space.read("kept") == b"kept"
    assert not space.services.sweeper.sweep_lapsed()


def test_reservations_of_a_dead_process_are_given_back(space: Space) -> None:
    upload = space.services.uploads.open(space.caller, ("big",), Declared(None), NO_CONDITIONS)
    upload.feed(b"x")
    tenant_id = space.caller.tenant.id

    def reserved() -> int:
        tenant = space.services.db.read(lambda tx: tx.tenants.by_id(tenant_id))
        assert tenant is not None
        return tenant.reserved_bytes

    assert reserved() == RESERVE_STEP
    space.clock.forward(LAPSED)
    assert space.services.sweeper.drop_lapsed().reservations == 1
    assert reserved() == 0
    with pytest.raises(KuradoError):
        upload.finish()


def test_a_process_that_stood_still_and_was_swept_can_neither_renew_nor_commit(space: Space) -> None:
    leases = space.deployment.leases
    space.clock.forward(LAPSED)
    space.services.sweeper.drop_lapsed()
    with pytest.raises(LeaseLost):
        leases.renew()
    with pytest.raises(KuradoError):
        space.put("late", b"late")
    assert space.names() == []


def test_a_lapsed_lease_that_nobody_swept_yet_can_be_renewed(space: Space) -> None:
    space.clock.forward(LEASE_MS / 1000 + 1)
    space.deployment.leases.renew()
    space.put("a", b"a")
    assert not space.services.sweeper.sweep_lapsed()


def test_the_leases_of_dead_processes_of_this_machine_end_at_once(space: Space) -> None:
    dead = LeaseKeeper(space.services.db, boot_id="d" * 12, role="gate", host="here/1", pid=4, clock=space.clock)
    elsewhere = LeaseKeeper(space.services.db, boot_id="e" * 12, role="gate", host="there/1", pid=4, clock=space.clock)
    dead.grant()
    elsewhere.grant()
    assert space.services.sweeper.end_leases_of("here/1", lambda lease: False) == 1
    assert space.services.sweeper.drop_lapsed().boots == 1
    elsewhere.renew()
    with pytest.raises(LeaseLost):
        dead.renew()


def test_a_released_blob_outlives_the_readers_that_may_have_opened_it(space: Space) -> None:
    space.put("a", b"first")
    space.put("a", b"second")
    assert space.services.sweeper.sweep_released() == 0
    space.clock.forward(READ_GRACE_MS / 1000)
    assert space.services.sweeper.sweep_released() == 1
    assert space.services.sweeper.sweep_released() == 0
    assert len(keys(space)) == 1


def test_a_released_blob_that_is_named_again_is_kept(space: Space) -> None:
    node = space.put("a", b"kept").node
    assert node.version is not None
    released = Released(node.version.blob_id, node.tenant_id, 1, space.clock())
    space.services.db.write(lambda tx: tx.blobs.release(released)).result()
    space.clock.forward(READ_GRACE_MS / 1000)
    assert space.services.sweeper.sweep_released() == 0
    assert space.read("a") == b"kept"
    assert space.services.db.read(lambda tx: tx.blobs.released(10)) == []


def test_a_blob_that_a_copy_still_names_is_never_deleted(space: Space) -> None:
    space.put("a", b"shared")
    space.services.files.copy(space.caller, ("a",), ("b",), overwrite=True, infinite=True, conditions=NO_CONDITIONS)
    space.services.files.delete(space.caller, ("a",), NO_CONDITIONS)
    space.clock.forward(READ_GRACE_MS / 1000)
    space.services.sweeper.sweep_released()
    assert space.read("b") == b"shared"
    space.services.files.delete(space.caller, ("b",), NO_CONDITIONS)
    space.clock.forward(READ_GRACE_MS / 1000)
    assert space.services.sweeper.sweep_released() == 1
    assert keys(space) == set()


def test_a_process_that_ends_not_knowing_what_became_of_a_commit_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_space(tmp_path) as space:
        write = space.services.db.write

        def committed_and_lost(work: Any, tenant_id: int | None = None) -> Any:
            write(work, tenant_id).result()
            raise BackendUnavailable("the database went away while it committed")

        monkeypatch.setattr(space.services.db, "write", committed_and_lost)
        with pytest.raises(BackendUnavailable):
            space.put("a", b"committed all the same" * 1000)
        monkeypatch.undo()
        assert space.read("a") == b"committed all the same" * 1000

        def lost(work: Any, tenant_id: int | None = None) -> Any:
            raise BackendUnavailable("the database went away before it committed")

        monkeypatch.setattr(space.services.db, "write", lost)
        with pytest.raises(BackendUnavailable):
            space.put("b", b"not committed" * 2000)
        monkeypatch.undo()
        assert len(keys(space)) == 2
        clock = space.clock
    with open_space(tmp_path, clock=clock) as space:
        assert len(keys(space)) == 2
        assert space.services.sweeper.sweep_lapsed().blobs == 1
        assert space.read("a") == b"committed all the same" * 1000
        assert list(space.services.fsck.run()) == []
