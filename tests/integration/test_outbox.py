"""The outbox over a real database: at least once, in order per tenant, whatever fails (invariant I8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.domain.errors import BackendUnavailable, NotFound
from gateway.domain.events import Event
from gateway.hooks import UsageLedger
from gateway.service import outbox as outboxes
from gateway.service.leases import LEASE_MS
from gateway.service.outbox import ALARM, MAX_ATTEMPTS, RETENTION_MS, FenceLost, Outbox
from gateway.service.sweeper import Sweeper
from gateway.service.unit_of_work import Tx
from gateway.testing.space import Space, open_space


@dataclass
class Recorder:
    """A subscriber that remembers what it saw, and fails at the sequence numbers it is told."""

    name: str = "recorder"
    in_transaction: bool = False
    seen: list[tuple[str, int]] = field(default_factory=list)
    failing: dict[int, BaseException] = field(default_factory=dict)
    tx: Tx | None = None

    def deliver(self, event: Event, ledger: UsageLedger | None) -> None:
        assert (ledger is not None) == self.in_transaction
        if error := self.failing.get(event.seq):
            raise error
        self.seen.append((event.tenant, event.seq))

    def of(self, tenant: str) -> list[int]:
        return [seq for name, seq in self.seen if name == tenant]


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path) as opened:
        yield opened


def outbox(space: Space, *subscribers: Recorder) -> Outbox:
    return Outbox(space.services.db, lambda: list(subscribers), space.clock)


def steward(space: Space, boot_id: str = "a" * 12) -> int:
    """A fencing token, as a steward that starts now gets it."""
    now = space.clock()
    lease = space.services.db.write(
        lambda tx: tx.leases.grant(boot_id, "steward", "host", 1, now, now + LEASE_MS)
    ).result()
    assert lease is not None
    return lease.fence


def last_seq(space: Space) -> int:
    return space.services.db.read(lambda tx: tx.events.last_seq(space.caller.tenant.id))


def test_every_event_is_delivered_once_in_order_and_never_again_after_a_restart(space: Space) -> None:
    for number in range(5):
        space.put(f"file-{number}", b"x")
    recorder = Recorder()
    outbox(space, recorder).deliver(recorder, steward(space))
    expected = list(range(1, last_seq(space) + 1))
    assert recorder.of("studio") == expected
    assert outbox(space, recorder).deliver(recorder, steward(space)) == 0
    space.put("one-more")
    outbox(space, recorder).deliver(recorder, steward(space))
    assert recorder.of("studio") == [*expected, last_seq(space)]


def test_more_events_than_one_batch_are_delivered_in_rounds(space: Space) -> None:
    for number in range(230):
        space.mkcol(f"folder-{number}")
    recorder, fence = Recorder(), steward(space)
    box = outbox(space, recorder)
    while box.deliver(recorder, fence):
        pass
    assert recorder.of("studio") == list(range(1, last_seq(space) + 1))


def test_a_crash_between_deliver_and_cursor_delivers_the_events_again(space: Space) -> None:
    space.put("a", b"1")
    space.put("b", b"2")
    recorder = Recorder()
    box, fence = outbox(space, recorder), steward(space)
    recorder.failing[last_seq(space)] = KeyboardInterrupt()  # the process dies before any cursor was stored
    with pytest.raises(KeyboardInterrupt):
        box.deliver(recorder, fence)
    before = recorder.of("studio")
    assert before == list(range(1, last_seq(space)))
    recorder.failing.clear()
    outbox(space, recorder).deliver(recorder, steward(space))
    assert recorder.of("studio") == [*before, *range(1, last_seq(space) + 1)]


def test_a_slow_subscriber_has_its_cursor_stored_between_events(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        space.put(f"f{number}", b"x")
    monkeypatch.setattr(outboxes, "SAVE_EVERY_SECONDS", 0.0)
    recorder = Recorder(failing={last_seq(space): KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        outbox(space, recorder).deliver(recorder, steward(space))
    recorder.failing.clear()
    outbox(space, recorder).deliver(recorder, steward(space))
    assert recorder.of("studio") == list(range(1, last_seq(space) + 1))


def test_a_tenant_whose_events_take_long_gives_way_to_others(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    space.put("a", b"1")
    space.put("b", b"2")
    monkeypatch.setattr(outboxes, "TURN_SECONDS", 0.0)
    recorder = Recorder()
    assert outbox(space, recorder).deliver(recorder, steward(space)) == 1
    assert outbox(space, recorder).due(recorder.name)[0].seq == 1


def test_a_cursor_that_another_moved_is_not_moved_again(space: Space) -> None:
    space.put("a", b"1")
    recorder, fence = Recorder(), steward(space)
    box = outbox(space, recorder)
    (cursor,) = box.due(recorder.name)
    box.deliver_batch(recorder, cursor, fence)
    with pytest.raises(FenceLost):
        box.deliver_batch(recorder, cursor, fence)


@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_steward_that_was_succeeded_moves_no_cursor(space: Space, in_transaction: bool) -> None:
    space.put("a", b"1")
    recorder = Recorder(in_transaction=in_transaction)
    old = steward(space, "a" * 12)
    space.clock.forward(LEASE_MS / 1000 + 1)
    new = steward(space, "b" * 12)
    with pytest.raises(FenceLost):
        outbox(space, recorder).deliver(recorder, old)
    assert outbox(space, recorder).due(recorder.name)[0].seq == 0
    outbox(space, recorder).deliver(recorder, new)
    assert outbox(space, recorder).due(recorder.name) == []


@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_steward_that_was_succeeded_stores_no_failure(space: Space, in_transaction: bool) -> None:
    space.put("a", b"1")
    recorder = Recorder(in_transaction=in_transaction, failing={1: RuntimeError("no")})
    box, old = outbox(space, recorder), steward(space, "a" * 12)
    for _ in range(MAX_ATTEMPTS - 1):
        box.deliver(recorder, old)
        space.clock.forward(60)
    space.clock.forward(LEASE_MS / 1000 + 1)
    steward(space, "b" * 12)
    with pytest.raises(FenceLost):
        box.deliver(recorder, old)
    assert [line.parked for line in box.backlog()] == [False]
    assert space.services.health.alarms() == []


@pytest.mark.parametrize("in_transaction", [False, True])
def test_an_event_that_keeps_failing_is_parked_with_an_alarm_and_those_before_it_are_kept(
    space: Space, in_transaction: bool
) -> None:
    for number in range(5):
        space.put(f"f{number}", b"x")
    bad = last_seq(space) - 2
    recorder = Recorder(in_transaction=in_transaction, failing={bad: KeyError("bug")})
    box, fence = outbox(space, recorder), steward(space)
    for _ in range(MAX_ATTEMPTS + 2):
        box.deliver(recorder, fence)
        space.clock.forward(60)
        fence = steward(space)
    (line,) = box.backlog()
    assert (line.parked, line.seq, line.attempts) == (True, bad - 1, MAX_ATTEMPTS)
    assert "KeyError" in line.error
    assert [alarm.subject for alarm in space.services.health.alarms() if alarm.kind == ALARM] == ["recorder/studio"]
    assert bad not in recorder.of("studio")


def test_a_parked_log_of_one_tenant_holds_up_no_other(space: Space) -> None:
    other = space.tenant("other")
    space.put("a", b"1")
    space.put("b", b"2", caller=other)
    recorder = Recorder(failing={})
    real = recorder.deliver

    def only_studio_fails(event: Event, ledger: UsageLedger | None) -> None:
        if event.tenant == "studio":
            raise KeyError("bug")
        real(event, ledger)

    recorder.deliver = only_studio_fails  # type: ignore[method-assign]
    for _ in range(MAX_ATTEMPTS):
        outbox(space, recorder).deliver(recorder, steward(space))
        space.clock.forward(60)
    assert recorder.of("studio") == []
    assert len(recorder.of("other")) == len(set(recorder.of("other"))) > 0


def test_retry_goes_on_with_the_same_event_and_skip_with_the_next(space: Space) -> None:
    for number in range(3):
        space.put(f"f{number}", b"x")
    last = last_seq(space)
    recorder = Recorder(failing={last - 1: KeyError("bug")})
    box = outbox(space, recorder)
    for _ in range(MAX_ATTEMPTS):
        box.deliver(recorder, steward(space))
        space.clock.forward(60)
    assert box.deliver(recorder, steward(space)) == 0

    box.retry("recorder", "studio")
    assert box.backlog()[0].parked is False
    box.deliver(recorder, steward(space))
    assert box.backlog()[0].attempts == 1

    with pytest.raises(NotFound, match="moved meanwhile"):
        box.skip("recorder", "studio", last)
    box.skip("recorder", "studio", last - 1)
    box.deliver(recorder, steward(space))
    assert recorder.of("studio") == [*range(1, last - 1), last]
    assert box.backlog() == []
    assert not [alarm for alarm in space.services.health.alarms() if alarm.kind == ALARM]


def test_skip_and_retry_of_an_unknown_log_say_so(space: Space) -> None:
    box = outbox(space, Recorder())
    with pytest.raises(NotFound):
        box.retry("recorder", "nobody")
    with pytest.raises(NotFound):
        box.skip("nobody", "studio")


def test_a_replica_that_is_down_is_waited_for_and_never_parked(space: Space) -> None:
    space.put("a", b"1")
    recorder = Recorder(failing={1: BackendUnavailable("replica down")})
    box = outbox(space, recorder)
    for _ in range(3 * MAX_ATTEMPTS):
        box.deliver(recorder, steward(space))
        space.clock.forward(31)
    assert box.backlog()[0].parked is False
    recorder.failing.clear()
    box.deliver(recorder, steward(space))
    assert box.backlog() == []


def test_a_failed_log_is_left_alone_until_its_pause_is_over(space: Space) -> None:
    space.put("a", b"1")
    recorder = Recorder(failing={1: BackendUnavailable("replica down")})
    box = outbox(space, recorder)
    box.deliver(recorder, steward(space))
    assert box.due(recorder.name) == []
    space.clock.forward(1)
    assert len(box.due(recorder.name)) == 1


def test_events_are_deleted_only_after_every_subscriber_and_the_retention(space: Space) -> None:
    space.put("a", b"1")
    fast, slow = Recorder("fast"), Recorder("slow")
    box, count = outbox(space, fast, slow), last_seq(space)
    box.deliver(fast, steward(space))
    space.clock.forward(RETENTION_MS / 1000 + 1)
    assert box.trim() == 0
    box.deliver(slow, steward(space))
    assert box.trim() == count
    space.deployment.leases.renew()
    space.put("b", b"2")
    box.deliver(fast, steward(space))
    box.deliver(slow, steward(space))
    assert box.trim() == 0


def test_the_log_of_a_removed_tenant_is_seen_while_it_waits_and_deleted_at_last(space: Space) -> None:
    recorder = Recorder()
    box = outbox(space, recorder)
    space.put("a", b"1")
    box.deliver(recorder, steward(space))
    space.services.accounts.remove("studio")
    recorder.failing = {last_seq(space): KeyError("bug")}
    box.deliver(recorder, steward(space))
    assert [(line.tenant, line.attempts) for line in box.backlog()] == [("studio", 1)]
    recorder.failing = {}
    box.retry("recorder", "studio")
    box.deliver(recorder, steward(space))
    space.clock.forward(RETENTION_MS / 1000 + 1)
    assert box.trim() == last_seq(space)


def test_a_subscriber_that_was_removed_holds_events_until_it_is_forgotten(space: Space) -> None:
    space.put("a", b"1")
    gone, stays = Recorder("gone"), Recorder("stays")
    box = outbox(space, gone, stays)
    box.deliver(gone, steward(space))
    box.deliver(stays, steward(space))
    space.put("b", b"2")
    later = outbox(space, stays)
    later.deliver(stays, steward(space))
    assert later.forgotten() == ["gone"]
    with pytest.raises(NotFound):
        later.forget("stays")
    later.forget("gone")
    space.clock.forward(RETENTION_MS / 1000 + 1)
    assert later.trim() == last_seq(space)


def test_a_released_blob_stays_until_every_subscriber_has_passed_its_event(space: Space) -> None:
    space.put("a", b"first")
    space.put("a", b"second")
    recorder = Recorder()
    box = outbox(space, recorder)
    sweeper = Sweeper(
        space.services.db, space.services.store, Path("/nonexistent"), lambda: [recorder.name], space.clock, 1000
    )
    space.clock.forward(2)
    assert sweeper.sweep_released() == 0
    box.deliver(recorder, steward(space))
    assert sweeper.sweep_released() == 1
    assert [info.size for info in space.services.store.list()] == [len(b"second")]
    assert space.read("a") == b"second"
