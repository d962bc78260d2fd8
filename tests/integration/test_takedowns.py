"""Takedowns, windows, break-glass and the audit chain over a real space and store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.acts import check_chain
from gateway.domain.contract.access import Decision
from gateway.domain.errors import ActRefused, NotFound, QuotaExceeded, TakenDown
from gateway.domain.names import Path as SpacePath
from gateway.service.contracts import Actor
from gateway.testing.space import Space, open_space, segments

ANN, BOB = Actor("ann"), Actor("bob")
HOUR = 3_600_000


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path, plugins=["contract_state", "quota"], quota_bytes=100) as opened:
        yield opened


def refused(rule: str) -> Any:
    """The act is refused, and the refusal names the rule."""
    return pytest.raises(ActRefused, check=lambda error: error.clause == rule)


def take_down(space: Space, path: str, item: int = 2) -> str:
    tenant = space.caller.tenant
    return space.services.takedowns.set(tenant, segments(path), item, "a complaint", ANN).id


def decision(space: Space) -> Decision:
    return space.services.standings.decide(space.caller.tenant)


# -- takedown ---------------------------------------------------------------------------------------------------------


def uses(space: Space, path: SpacePath) -> dict[str, Callable[[], object]]:
    files, who = space.services.files, space.caller
    return {
        "read": lambda: space.read("/".join(path)),
        "write": lambda: space.put("/".join(path), b"new"),
        "copy": lambda: files.copy(who, path, ("copy",)),
        "move": lambda: files.move(who, path, ("moved",)),
        "delete": lambda: files.delete(who, path),
        "properties": lambda: files.set_props(who, path, {"{x}a": "<a/>"}),
        "copy over it": lambda: files.copy(who, ("free",), path),
        "move over it": lambda: files.move(who, ("free",), path),
    }


@pytest.mark.parametrize(
    "use", ["read", "write", "copy", "move", "delete", "properties", "copy over it", "move over it"]
)
def test_nothing_can_be_done_with_refused_data_and_all_again_when_it_is_lifted(space: Space, use: str) -> None:
    space.put("free", b"1")
    space.put("bad", b"0123456789")
    name = take_down(space, "bad")
    with pytest.raises(TakenDown):
        uses(space, ("bad",))[use]()
    assert space.names() == ["bad", "free"]
    space.services.takedowns.lift(name, "settled", BOB)
    assert space.read("bad") == b"0123456789"
    uses(space, ("bad",))[use]()


def test_refused_bytes_are_outside_the_quota_and_count_again_when_lifted(space: Space) -> None:
    space.put("bad", b"x" * 90)
    assert space.used() == (90, 1)
    name = take_down(space, "bad")
    assert space.used() == (0, 0)
    space.put("new", b"y" * 100)
    space.services.takedowns.lift(name, "settled", ANN)
    assert space.used() == (190, 2)  # above the limit: nothing is taken away, nothing may be added
    with pytest.raises(QuotaExceeded):
        space.put("more", b"z")


def test_a_refused_collection_covers_all_below_it_and_may_not_be_moved_from_above(space: Space) -> None:
    space.mkcol("top")
    space.mkcol("top/set")
    space.put("top/set/a", b"1")
    space.put("top/free", b"2")
    take_down(space, "top/set")
    with pytest.raises(TakenDown):
        space.read("top/set/a")
    with pytest.raises(TakenDown):
        space.put("top/set/b", b"3")
    files = space.services.files
    for act in (lambda: files.delete(space.caller, ("top",)), lambda: files.move(space.caller, ("top",), ("t",))):
        with pytest.raises(TakenDown):
            act()
    assert space.read("top/free") == b"2"
    assert space.used() == (1, 1)


def test_lifting_one_of_two_takedowns_leaves_what_the_other_refuses(space: Space) -> None:
    space.mkcol("set")
    space.put("set/a", b"12")
    space.put("set/b", b"3")
    inner, outer = take_down(space, "set/a"), take_down(space, "set")
    assert space.used() == (0, 0)
    space.services.takedowns.lift(inner, "settled", ANN)
    assert space.used() == (0, 0)
    with pytest.raises(TakenDown):
        space.read("set/a")
    space.services.takedowns.lift(outer, "settled", ANN)
    assert space.used() == (3, 2)
    assert space.read("set/a") == b"12"


def test_a_removed_tenant_with_refused_data_is_erased_and_its_usage_ends_at_nothing(space: Space) -> None:
    space.put("bad", b"123")
    space.put("good", b"45")
    take_down(space, "bad")
    space.services.accounts.remove("studio")
    while space.services.trees.erase_detached():
        pass
    assert space.used() == (0, 0)


def test_an_upload_under_way_does_not_get_past_a_takedown(space: Space) -> None:
    from gateway.domain.upload import NO_CONDITIONS, Declared

    space.put("bad", b"1")
    upload = space.services.uploads.open(space.caller, ("bad",), Declared(2), NO_CONDITIONS)
    take_down(space, "bad")
    upload.feed(b"22")
    with pytest.raises(TakenDown):
        upload.finish()
    upload.abort()
    assert space.used() == (0, 0)


@pytest.mark.parametrize("use", ["copy", "move", "delete", "copy over it", "move over it"])
@pytest.mark.parametrize("refused_path", ["top", "top/bad", "top/bad/a"])
def test_no_change_that_was_let_in_overtakes_a_takedown(
    space: Space, use: str, refused_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    space.mkcol("top")
    space.mkcol("top/bad")
    space.put("top/bad/a", b"1")
    space.put("free", b"2")
    files, check = space.services.files, space.services.host.check

    def then_it_is_taken_down(hook: str, **arguments: Any) -> None:
        check(hook, **arguments)
        if hook == "check_change":
            take_down(space, refused_path)

    monkeypatch.setattr(files._host, "check", then_it_is_taken_down)
    with pytest.raises(TakenDown):
        uses(space, ("top", "bad"))[use]()
    assert sorted(space.names()) == ["free", "top/"]
    assert space.names("top") == ["bad/"]
    assert space.used() == (1, 1)


def test_a_large_copy_that_began_before_a_takedown_is_not_attached_after_it(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.service.files.BATCH", 2)
    space.mkcol("top")
    for name in "abc":
        space.put(f"top/{name}", b"1")
    trees = space.services.trees
    copy_hidden = trees.copy_hidden

    def slowly(*arguments: Any) -> Any:
        root = copy_hidden(*arguments)
        take_down(space, "top/b")
        return root

    monkeypatch.setattr(trees, "copy_hidden", slowly)
    with pytest.raises(TakenDown):
        space.services.files.copy(space.caller, ("top",), ("copy",))
    while trees.erase_detached():
        pass
    assert space.names() == ["top/"]
    assert space.used() == (2, 2)


@pytest.mark.parametrize("item", [1, 8])
def test_data_is_refused_on_items_2_to_7_only(space: Space, item: int) -> None:
    space.put("a", b"1")
    with refused("TKD-01"):
        take_down(space, "a", item)


def test_a_takedown_wants_a_reason_and_an_object(space: Space) -> None:
    space.put("a", b"1")
    service, tenant = space.services.takedowns, space.caller.tenant
    with refused("TKD-01"):
        service.set(tenant, ("a",), 2, " ", ANN)
    with refused("TKD-02"):
        service.set(tenant, (), 2, "all of it", ANN)
    with pytest.raises(NotFound):
        service.set(tenant, ("nothing",), 2, "a complaint", ANN)


def test_without_the_plugin_that_enforces_it_nothing_is_said_to_be_taken_down(tmp_path: Path) -> None:
    with open_space(tmp_path) as space:
        space.put("a", b"1")
        with refused("TKD-02"):
            take_down(space, "a")
        with refused("OPS-04"):
            space.services.windows.interrupt(ANN, "LINE", "cut")


# -- windows ----------------------------------------------------------------------------------------------------------


def test_an_interruption_refuses_until_it_is_closed(space: Space) -> None:
    windows = space.services.windows
    one = windows.interrupt(ANN, "DISORDER", "disk trouble")
    assert decision(space) == Decision("INTERRUPTED")
    space.clock.forward(60)
    windows.close_interruption(ANN, one.id)
    assert decision(space) == Decision()
    with refused("INT-01"):
        windows.close_interruption(ANN, one.id)
    with refused("INT-01"):
        windows.interrupt(ANN, "MOOD", "none")


def test_an_interruption_of_one_tenant_does_not_concern_another(space: Space) -> None:
    other = space.tenant("other")
    space.services.windows.interrupt(ANN, "LINE", "its line", tenants=["other"])
    assert decision(space) == Decision()
    assert space.services.standings.decide(other.tenant).reason == "INTERRUPTED"


def test_a_maintenance_window_refuses_from_start_to_end_and_can_be_extended_and_closed_early(space: Space) -> None:
    windows, now = space.services.windows, space.clock.now
    one = windows.announce(ANN, now + HOUR, now + 2 * HOUR, "new disks")
    assert decision(space) == Decision()
    space.clock.now = now + HOUR
    assert decision(space) == Decision("MAINTENANCE", now + 2 * HOUR)
    windows.extend(ANN, one.id, now + 3 * HOUR)
    space.clock.now = now + 2 * HOUR
    assert decision(space) == Decision("MAINTENANCE", now + 3 * HOUR)
    windows.close_maintenance(ANN, one.id)
    assert decision(space) == Decision()
    assert windows.all().maintenance[one.id].posts == (
        (now, now + HOUR, now + 2 * HOUR),
        (now + HOUR, now + HOUR, now + 3 * HOUR),
    )


def test_of_two_windows_that_overlap_the_later_end_is_told(space: Space) -> None:
    windows, now = space.services.windows, space.clock.now
    for hours in (2, 3, 1):
        windows.announce(ANN, now, now + hours * HOUR, "work")
    assert decision(space) == Decision("MAINTENANCE", now + 3 * HOUR)


# -- break-glass ------------------------------------------------------------------------------------------------------


def test_content_is_opened_by_two_persons_for_a_time_and_every_read_is_on_record(space: Space) -> None:
    space.put("bad", b"what it says")
    glass, tenant = space.services.breakglass, space.caller.tenant
    one = glass.request(tenant, [("bad",)], "9-4", "a complaint about violence", 2, ANN)
    with refused("PRV-03"):
        glass.read(one.id, ("bad",), ANN)
    with refused("PRV-03"):
        glass.approve(one.id, ANN)
    glass.approve(one.id, BOB)
    with glass.read(one.id, ("bad",), ANN) as source:
        assert source.read() == b"what it says"
    assert [(act.kind, act.actor) for act in glass.reads(tenant)] == [
        ("breakglass.requested", "ann"),
        ("breakglass.approved", "bob"),
        ("breakglass.read", "ann"),
    ]
    space.clock.forward(2 * 3600)
    with refused("PRV-03"):
        glass.read(one.id, ("bad",), ANN)


def test_only_what_was_asked_for_is_opened(space: Space) -> None:
    space.put("asked", b"1")
    space.put("other", b"2")
    glass = space.services.breakglass
    one = glass.approve(glass.request(space.caller.tenant, [("asked",)], "legal", "order 7", 1, ANN).id, BOB)
    with refused("PRV-03"):
        glass.read(one.id, ("other",), ANN)


@pytest.mark.parametrize(
    ("ground", "hours", "reason"),
    [("9-1", 1, "why"), ("curiosity", 1, "why"), ("legal", 9, "why"), ("legal", 0, "why"), ("legal", 1, " ")],
)
def test_another_ground_too_long_or_no_reason_is_refused(space: Space, ground: str, hours: int, reason: str) -> None:
    space.put("a", b"1")
    with refused("PRV-03"):
        space.services.breakglass.request(space.caller.tenant, [("a",)], ground, reason, hours, ANN)


def test_what_was_taken_down_can_still_be_looked_at_by_two_persons(space: Space) -> None:
    space.put("bad", b"1")
    take_down(space, "bad")
    glass = space.services.breakglass
    one = glass.approve(glass.request(space.caller.tenant, [("bad",)], "9-2", "to judge again", 1, ANN).id, BOB)
    with glass.read(one.id, ("bad",), BOB) as source:
        assert source.read() == b"1"


# -- audit ------------------------------------------------------------------------------------------------------------


def test_every_privileged_act_is_in_one_chain_that_holds(space: Space) -> None:
    space.put("a", b"1")
    take_down(space, "a")
    space.services.windows.interrupt(ANN, "LINE", "cut")
    space.services.accounts.suspend("studio", "ann")
    count, head, fault = space.services.audit.verify()
    acts = list(space.services.audit.acts())
    assert (count, fault) == (len(acts), None)
    assert [act.kind for act in acts] == [
        "tenant.changed",
        "user.changed",
        "takedown.set",
        "interruption.opened",
        "tenant.changed",
    ]
    assert head == acts[-1].digest
    assert space.services.audit.verify(head)[2] is None
    assert space.services.audit.verify("f" * 64)[2] is not None


@pytest.mark.parametrize(
    "tamper",
    [
        "UPDATE acts SET actor = 'eve' WHERE seq = 2",
        "UPDATE acts SET data = '{}' WHERE seq = 1",
        "UPDATE acts SET at = at + 1 WHERE seq = 3",
        "DELETE FROM acts WHERE seq = 2",
        "DELETE FROM acts WHERE seq = 3",
        "UPDATE acts SET seq = 9 WHERE seq = 3",
    ],
)
def test_the_chain_shows_what_was_changed_or_taken_out(space: Space, tamper: str) -> None:
    space.services.windows.interrupt(ANN, "LINE", "cut")
    assert space.services.audit.verify()[2] is None
    space.services.db.write(lambda tx: tx.session.run(tamper)).result()  # type: ignore[attr-defined]
    assert space.services.audit.verify()[2] is not None


def test_a_chain_that_was_written_anew_is_shown_by_a_digest_noted_elsewhere(space: Space) -> None:
    from dataclasses import replace

    from gateway.domain.acts import GENESIS, chained

    acts = list(space.services.audit.acts())
    noted, previous, forged = acts[-1].digest, GENESIS, []
    for act in acts:
        forged.append(chained(replace(act, actor="eve"), act.seq, previous))
        previous = forged[-1].digest
    assert check_chain(forged, len(forged))[1] is None
    assert check_chain(forged, len(forged), noted)[1] is not None
