"""What happens between two steps of another: copies, sweeps, verdicts and commits whose answer never came."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.errors import BackendUnavailable, Locked, Unavailable
from gateway.domain.lock import Scope
from gateway.domain.node import VersionState
from gateway.domain.replay import Space as Replayed
from gateway.domain.upload import NO_CONDITIONS, Declared, Outcome, Verdict
from gateway.service import files, sweeper, trees
from gateway.service.contracts import Actor
from gateway.service.leases import LEASE_MS
from gateway.service.sweeper import COMMIT_MARGIN_MS, READ_GRACE_MS
from gateway.service.uploads import RESERVE_STEP, Upload
from gateway.testing.space import Space, open_space
from plugins._rescans import Rescans

BAD = Verdict(Outcome.REFUSE, "virus_scan", reason="Eicar", error="infected")
ANN = Actor("ann")
ATTACHED = 5
"""The mutation by which a copy of twelve files is attached, in batches of four."""


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Space]:
    for module in (files, trees):
        monkeypatch.setattr(module, "BATCH", 4)
    monkeypatch.setattr(trees, "_PAGE", 4)
    with open_space(tmp_path, plugins=["contract_state", "quota"], quota_bytes=1 << 40) as opened:
        # the first answer of each hook ends alarms of an earlier process: mutations that no test wants to count
        opened.put("w")
        opened.services.files.copy(opened.caller, ("w",), ("v",))
        for name in "wv":
            opened.services.files.delete(opened.caller, (name,))
        yield opened


def large(space: Space, name: str, members: int = 12) -> None:
    space.mkcol(name)
    for number in range(members):
        space.put(f"{name}/{number}", b"x" * number)


def erase(space: Space) -> None:
    while space.services.trees.erase_detached():
        pass


def replay(space: Space) -> list[str]:
    """Names of all files and collections, as the events alone tell them."""
    tenant = space.caller.tenant
    model = Replayed(tenant.id, tenant.name)
    for event in space.services.db.read(lambda tx: tx.events.after(tenant.id, 0, 100_000)):
        model.apply(event)
    return sorted(kept.node.name for kept in model.reachable())


def live(space: Space) -> list[str]:
    root_id = space.caller.tenant.root_id
    return sorted(node.name for node in space.services.db.read(lambda tx: tx.nodes.subtree(root_id)))


def before_write(space: Space, monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], object]) -> None:
    """Lets ``act`` happen right before the n-th mutation from now."""
    write, left = space.services.db.write, [number]

    def patched(work: Any, tenant_id: int | None = None, **how: bool) -> Future[Any]:
        left[0] -= 1
        if left[0] == 0:
            act()
        return write(work, tenant_id, **how)

    monkeypatch.setattr(space.services.db, "write", patched)


def lose_answer(
    space: Space, monkeypatch: pytest.MonkeyPatch, number: int, *, committed: bool = True, more: int = 0
) -> None:
    """The n-th mutation from now (and ``more`` after it) raises BackendUnavailable, ``committed`` or not."""
    write, count = space.services.db.write, [0]

    def patched(work: Any, tenant_id: int | None = None, **how: bool) -> Future[Any]:
        count[0] += 1
        if not number <= count[0] <= number + more:
            return write(work, tenant_id, **how)
        if committed and count[0] == number:
            write(work, tenant_id, **how).result()
        lost: Future[Any] = Future()
        lost.set_exception(BackendUnavailable("the database does not answer"))
        return lost

    monkeypatch.setattr(space.services.db, "write", patched)


# -- copies of large trees --------------------------------------------------------------------------------------------


def test_a_copy_that_was_attached_by_a_commit_without_an_answer_stays(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    large(space, "big")
    lose_answer(space, monkeypatch, ATTACHED)
    with pytest.raises(BackendUnavailable):
        space.services.files.copy(space.caller, ("big",), ("copy",))
    erase(space)
    assert len(space.names("copy")) == 12
    assert live(space) == replay(space)
    space.used()


def test_a_copy_whose_first_batch_had_no_answer_is_erased(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    large(space, "big")
    before = space.used()
    lose_answer(space, monkeypatch, 1)
    with pytest.raises(BackendUnavailable):
        space.services.files.copy(space.caller, ("big",), ("copy",))
    erase(space)
    assert space.used() == before


def test_a_large_tree_that_became_a_file_while_it_was_copied_leaves_nothing_hidden(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    large(space, "big")
    space.put("target", b"old")

    def change() -> None:

        space.services.files.delete(space.caller, ("big",))
        space.put("big", b"a file")

    before_write(space, monkeypatch, ATTACHED, change)
    space.services.files.copy(space.caller, ("big",), ("target",))
    space.services.sweeper.sweep_lapsed()
    erase(space)
    used = space.used()
    assert used[1] == len([name for name in live(space) if name.isdigit() or name == "big"])
    assert live(space) == replay(space)


def test_a_tree_under_construction_is_not_erased_while_its_process_may_come_back(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process stands still until its lease has lapsed, then renews it and attaches what it built."""
    large(space, "big")

    def stand_still() -> None:

        space.clock.forward(LEASE_MS / 1000 + 1)
        space.services.trees.erase_detached()
        space.deployment.leases.renew()

    before_write(space, monkeypatch, ATTACHED, stand_still)
    space.services.files.copy(space.caller, ("big",), ("copy",))
    assert len(space.names("copy")) == 12
    assert live(space) == replay(space)


def test_a_hidden_tree_of_a_process_that_was_swept_is_erased(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    large(space, "big")
    before = space.used()

    def die() -> None:
        space.clock.forward((LEASE_MS + COMMIT_MARGIN_MS) / 1000 + 1)

    before_write(space, monkeypatch, ATTACHED, die)
    with pytest.raises(Unavailable):
        space.services.files.copy(space.caller, ("big",), ("copy",))
    space.services.sweeper.drop_lapsed()
    erase(space)
    assert space.used() == before


def test_what_was_read_of_a_source_long_ago_is_not_stored(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member may be gone by then, and its blob swept."""
    large(space, "big")

    def sweep() -> None:
        space.services.files.delete(space.caller, ("big", "1"))
        for subscriber in space.services.outbox.subscribers():
            while space.services.outbox.deliver(subscriber, 0):
                pass
        space.clock.forward(READ_GRACE_MS / 1000)
        space.deployment.leases.renew()
        assert space.services.sweeper.sweep_released() > 0

    before_write(space, monkeypatch, 1, sweep)
    with pytest.raises(Unavailable):
        space.services.files.copy(space.caller, ("big",), ("copy",))
    erase(space)
    assert list(space.services.fsck.run(deep=True)) == []


# -- sweeping ---------------------------------------------------------------------------------------------------------


def test_a_tenant_whose_log_is_parked_holds_up_the_blobs_of_no_other(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "BATCH", 2)
    other = space.tenant("other")
    for _ in range(4):
        space.put("a", b"new each time")
    for body in (b"1", b"2"):
        space.put("b", body, caller=other)
    db, tenant_id = space.services.db, other.tenant.id
    last = db.read(lambda tx: tx.events.last_seq(tenant_id))
    db.write(lambda tx: tx.events.advance("quota", tenant_id, 0, last, 0)).result()
    space.clock.forward(READ_GRACE_MS / 1000)
    assert space.services.sweeper.sweep_released(2) == 1


def test_a_blob_released_while_its_dead_process_is_swept_waits_for_its_readers(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    space.put("a", b"bytes")
    boot = space.deployment.boot_id
    referenced, db = sweeper.Sweeper._needless, space.services.db
    read, looks = db.read, [0]

    def between(work: Any) -> Any:
        looks[0] += 1
        answer = read(work)
        if looks[0] == 1:
            monkeypatch.setattr(db, "read", read)
            space.services.files.delete(space.caller, ("a",))
        return answer

    monkeypatch.setattr(db, "read", between)
    assert referenced(space.services.sweeper, [(info.key, 5) for info in space.services.store.list(boot)]) == []


# -- verdicts and takedowns -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "left"),
    [(None, ("clean", "")), ("mark", ("marked", "rule: gps")), ("hold", ("held", "rule: gps"))],
)
def test_the_scanner_takes_back_its_own_verdict_and_no_other(
    space: Space, monkeypatch: pytest.MonkeyPatch, other: str | None, left: tuple[str, str]
) -> None:
    mine = Verdict(Outcome.HOLD, "virus_scan", reason="not scanned: it is down")
    verdicts = [mine, mine] + ([Verdict(Outcome(other), "rule", reason="gps")] if other else [])
    monkeypatch.setattr(space.services.host, "content_verdicts", lambda *_: verdicts)
    space.put("a", b"x")
    Rescans(lambda: space.services.holds, lambda *_: Verdict(Outcome.CLEAN, "virus_scan")).run("new definitions")
    version = space.services.files.get(space.caller, ("a",)).version
    assert version is not None
    assert (version.state, version.reason) == left


@pytest.mark.parametrize("over", [False, True])
def test_a_verdict_on_refused_bytes_leaves_usage_exact(
    space: Space, monkeypatch: pytest.MonkeyPatch, over: bool
) -> None:
    if over:
        space.put("bad", b"before")
    with monkeypatch.context() as patch:
        patch.setattr(Upload, "_judge", lambda *_: (VersionState.HELD, "virus_scan: waits"))
        space.put("bad", b"held")
    space.services.takedowns.set(space.caller.tenant, ("bad",), 2, "a complaint", ANN)
    (node,) = space.services.holds.pending()
    assert space.services.holds.reject(node, BAD)
    assert space.used() == (0, 0)
    space.services.takedowns.lift("T1", "over", ANN)
    assert space.used() == ((6, 1) if over else (0, 0))


def test_a_takedown_lifted_from_a_tree_that_is_being_erased_can_be_replayed(space: Space) -> None:
    large(space, "big")
    space.services.takedowns.set(space.caller.tenant, ("big", "1"), 2, "a complaint", ANN)
    node = space.services.files.get(space.caller, ("big",))
    caller, trees_ = space.caller, space.services.trees
    space.services.db.write(lambda tx: trees_.delete(tx, caller, node, space.clock())).result()
    space.services.takedowns.lift("T1", "over", ANN)
    assert live(space) == replay(space)
    erase(space)
    assert space.used() == (0, 0)


# -- reservations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("committed", "more"), [(True, 0), (False, 0), (True, 1)])
def test_a_reservation_whose_answer_never_came_is_given_back(
    space: Space, monkeypatch: pytest.MonkeyPatch, committed: bool, more: int
) -> None:
    upload = space.services.uploads.open(space.caller, ("a",), Declared(RESERVE_STEP * 2), NO_CONDITIONS)
    lose_answer(space, monkeypatch, 1, committed=committed, more=more)
    with pytest.raises(BackendUnavailable):
        upload.feed(b"x")
    upload.abort()
    space.put("b", b"any upload that ends")
    tenant = space.services.accounts.tenant("studio")
    assert tenant.reserved_bytes == 0


# -- locks ------------------------------------------------------------------------------------------------------------


def test_a_shallow_lock_keeps_its_members_from_being_replaced_by_a_move(space: Space) -> None:
    """RFC 4918 section 7.4: to move something into a collection changes its membership, whatever was there before."""
    space.mkcol("locked")
    space.put("locked/a", b"old")
    space.put("b", b"new")
    space.services.locks.take(space.user("bob"), ("locked",), Scope.EXCLUSIVE, False, "", 600)
    with pytest.raises(Locked):
        space.services.files.move(space.caller, ("b",), ("locked", "a"))
    space.put("locked/a", b"its content is free")


def test_a_refusal_by_a_check_notes_the_digest(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.domain.errors import Disallowed

    def refuse(*_: object) -> Any:
        raise Disallowed("no", policy="p")

    monkeypatch.setattr(space.services.host, "content_verdicts", refuse)
    with pytest.raises(Disallowed) as raised:
        space.put("a", b"x")
    assert len(raised.value.digest) == 64
