"""The tree of a space over a real database: what moves, copies and goes, and that usage follows exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.errors import (
    AlreadyExists,
    Forbidden,
    Held,
    LockConflict,
    Locked,
    NameTooLong,
    NotFound,
    ParentMissing,
    PreconditionFailed,
    QuotaExceeded,
    Unavailable,
)
from gateway.domain.lock import Scope, parse_if
from gateway.domain.names import MAX_DEPTH, MAX_ENCODED_PATH, href
from gateway.domain.node import VersionState
from gateway.domain.tenant import Caller, Role
from gateway.domain.upload import Conditions, Declared, Outcome, Verdict
from gateway.service import trees
from gateway.testing.space import Space, open_space, segments

QUOTA = 1000
COMPOSED, DECOMPOSED = "\u304c", "\u304b\u3099"
"""One name in NFC (Windows) and NFD (macOS)."""


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    with open_space(tmp_path, plugins=["quota"], quota_bytes=QUOTA) as opened:
        yield opened


def with_token(*tokens: str) -> Conditions:
    return Conditions(if_header=parse_if("".join(f"(<{token}>)" for token in tokens)))


def lock(
    space: Space, path: str, scope: Scope = Scope.EXCLUSIVE, infinite: bool = False, caller: Caller | None = None
) -> str:
    return space.services.locks.take(caller or space.caller, segments(path), scope, infinite, "", 600)[0].token


# -- bytes ------------------------------------------------------------------------------------------------------------


def test_a_file_is_read_back_and_every_save_has_a_new_etag(space: Space) -> None:
    first = space.put("a.txt", b"one")
    second = space.put("a.txt", b"two")
    assert (first.created, second.created) == (True, False)
    assert first.node.version and second.node.version
    assert first.node.version.etag != second.node.version.etag
    assert space.read("a.txt") == b"two"
    assert space.used() == (3, 1)


def test_an_empty_file_needs_no_blob(space: Space) -> None:
    placed = space.put("empty")
    assert placed.node.version and placed.node.version.blob_id == ""
    assert space.read("empty") == b""
    assert list(space.services.store.list()) == []


def test_an_aborted_upload_leaves_the_old_content_and_nothing_else(space: Space) -> None:
    space.put("a.txt", b"old")
    upload = space.services.uploads.open(space.caller, ("a.txt",), Declared(None), Conditions())
    upload.feed(b"new but never finished")
    upload.abort()
    assert space.read("a.txt") == b"old"
    assert len(list(space.services.store.list())) == 1
    assert list(space.services.uploads.settings.staging.iterdir()) == []


def test_a_file_cannot_be_written_where_no_collection_is(space: Space) -> None:
    with pytest.raises(ParentMissing):
        space.put("no/such", b"x")
    space.put("file", b"x")
    with pytest.raises(ParentMissing):
        space.put("file/below", b"x")
    space.mkcol("d")
    with pytest.raises(AlreadyExists):
        space.put("d", b"x")


def test_names_are_found_in_either_normal_form(space: Space) -> None:
    space.put(f"{COMPOSED}.txt", b"x")
    assert space.read(f"{DECOMPOSED}.txt") == b"x"
    assert not space.put(f"{DECOMPOSED}.txt", b"y").created


def test_the_quota_is_exact_and_shrinking_always_passes(space: Space) -> None:
    space.put("a", bytes(600))
    space.put("b", bytes(400))
    with pytest.raises(QuotaExceeded) as refused:
        space.put("c", b"x")
    assert (refused.value.used, refused.value.allowed) == (1000, QUOTA)
    space.put("a", bytes(599))
    space.put("c", b"x")
    assert space.used() == (1000, 3)


def test_a_viewer_reads_and_changes_nothing(space: Space) -> None:
    space.put("a", b"x")
    viewer = space.user("vic", Role.VIEWER)
    assert space.read("a", viewer) == b"x"
    files, path = space.services.files, ("a",)
    for act in (
        lambda: space.put("a", b"y", caller=viewer),
        lambda: files.delete(viewer, path),
        lambda: files.move(viewer, path, ("b",)),
        lambda: files.copy(viewer, path, ("b",)),
        lambda: files.make_collection(viewer, ("d",)),
        lambda: files.set_props(viewer, path, {"{u}x": "<x/>"}),
        lambda: space.services.locks.take(viewer, path, Scope.SHARED, False, "", None),
    ):
        with pytest.raises(Forbidden):
            act()


# -- move and copy ----------------------------------------------------------------------------------------------------


def test_a_moved_tree_keeps_its_content_properties_and_usage(space: Space) -> None:
    space.mkcol("d")
    space.put("d/a", b"xyz")
    space.services.files.set_props(space.caller, ("d", "a"), {"{urn:x}p": "<x:p xmlns:x='urn:x'>1</x:p>"})
    assert space.services.files.move(space.caller, ("d",), ("e",)).created
    assert space.names() == ["e/"]
    assert space.read("e/a") == b"xyz"
    assert "{urn:x}p" in space.services.files.get(space.caller, ("e", "a")).props
    assert space.used() == (3, 1)


def test_a_move_over_a_file_replaces_it_and_keeps_the_lock_of_the_original(space: Space) -> None:
    space.put("art.psd", b"old!")
    token = lock(space, "art.psd")
    space.put("~art.tmp", b"new")
    moved = space.services.files.move(
        space.caller, ("~art.tmp",), ("art.psd",), conditions=Conditions(if_header=parse_if(f"</art.psd> (<{token}>)"))
    )
    assert not moved.created
    assert space.read("art.psd") == b"new"
    assert space.used() == (3, 1)
    space.services.locks.release(space.caller, ("art.psd",), token)


def test_a_move_to_another_spelling_of_its_own_name_renames_in_place(space: Space) -> None:
    space.put(COMPOSED, b"x")
    space.services.files.move(space.caller, (COMPOSED,), (DECOMPOSED,))
    assert space.names() == [DECOMPOSED]
    assert space.read(COMPOSED) == b"x"


@pytest.mark.parametrize("verb", ["move", "copy"])
def test_transfers_that_make_no_sense_are_refused_and_change_nothing(space: Space, verb: str) -> None:
    space.mkcol("d")
    space.mkcol("d/e")
    space.put("d/a", b"x")
    transfer = getattr(space.services.files, verb)
    for source, target, error in [
        ("d", "d/e/f", Forbidden),
        ("d", "d", Forbidden),
        ("d/e", "d", Forbidden),
        ("", "x", Forbidden),
        ("d", "", Forbidden),
        ("none", "x", NotFound),
        ("d/a", "none/x", ParentMissing),
        ("d/a", "d/a/x", ParentMissing),
    ]:
        with pytest.raises(error):
            transfer(space.caller, segments(source), segments(target))
    with pytest.raises(PreconditionFailed):
        transfer(space.caller, ("d", "a"), ("d", "e"), overwrite=False)
    assert space.names("d") == ["a", "e/"]


def test_a_copy_shares_the_bytes_and_counts_in_full(space: Space) -> None:
    space.mkcol("d")
    space.put("d/a", bytes(300))
    space.services.files.copy(space.caller, ("d",), ("e",))
    assert space.read("e/a") == bytes(300)
    assert len(list(space.services.store.list())) == 1
    assert space.used() == (600, 2)
    with pytest.raises(QuotaExceeded):
        for n in range(2):
            space.services.files.copy(space.caller, ("d",), (f"f{n}",))
    assert space.used() == (900, 3)


@pytest.mark.parametrize("verb", ["move", "copy"])
def test_a_tree_goes_nowhere_where_no_url_could_name_its_members(space: Space, verb: str) -> None:
    files = space.services.files
    for level in range(1, MAX_DEPTH):
        files.make_collection(space.caller, ("d",) * level)
    space.put("/" + "/".join(["d"] * (MAX_DEPTH - 1)) + "/f", b"x")
    files.make_collection(space.caller, ("x",))
    transfer = getattr(files, verb)
    with pytest.raises(NameTooLong):
        transfer(space.caller, ("d",), ("x", "d"))
    assert transfer(space.caller, ("d", "d", "d"), ("x", "d")).created


def test_a_tree_is_not_renamed_to_where_its_members_have_too_long_a_path(space: Space) -> None:
    files = space.services.files
    long = "か" * 80
    path: tuple[str, ...] = ("a",)
    files.make_collection(space.caller, path)
    while len(href((*path, long))) <= MAX_ENCODED_PATH:
        path = (*path, long)
        files.make_collection(space.caller, path)
    with pytest.raises(NameTooLong):
        files.move(space.caller, ("a",), (long,))
    assert files.move(space.caller, ("a",), ("aa",)).created
    assert files.get(space.caller, ("aa", *path[1:]))


def test_a_shallow_copy_takes_no_members(space: Space) -> None:
    space.mkcol("d")
    space.put("d/a", b"x")
    space.services.files.copy(space.caller, ("d",), ("e",), infinite=False)
    assert space.names("e") == []


def test_a_copy_over_a_file_keeps_its_lock_and_takes_content_and_properties(space: Space) -> None:
    space.put("a", b"source")
    space.services.files.set_props(space.caller, ("a",), {"{u}p": "<p/>"})
    space.put("b", b"target")
    token = lock(space, "b")
    placed = space.services.files.copy(
        space.caller, ("a",), ("b",), conditions=Conditions(if_header=parse_if(f"</b> (<{token}>)"))
    )
    assert not placed.created
    assert space.read("b") == b"source"
    assert "{u}p" in space.services.files.get(space.caller, ("b",)).props
    assert space.used() == (12, 2)
    space.services.locks.release(space.caller, ("b",), token)


def test_large_trees_are_copied_and_erased_in_batches(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "BATCH", 5)
    monkeypatch.setattr("gateway.service.files.BATCH", 5)
    space.mkcol("d")
    for n in range(4):
        space.mkcol(f"d/{n}")
        for m in range(4):
            space.put(f"d/{n}/{m}", b"x")
    space.services.files.copy(space.caller, ("d",), ("e",))
    assert space.used() == (32, 32)
    assert space.names("e/3") == ["0", "1", "2", "3"]
    space.services.files.delete(space.caller, ("d",))
    assert space.names() == ["e/"]
    for _ in range(20):
        space.services.trees.erase_detached()
    assert space.used() == (16, 16)


@pytest.mark.parametrize("batch", [3, 1000])
def test_a_copy_of_whatever_size_asks_of_each_file_whether_it_may_be_read(
    space: Space, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(trees, "BATCH", batch)
    monkeypatch.setattr("gateway.service.files.BATCH", batch)
    space.mkcol("top")
    space.mkcol("top/in")
    for name in ("top/a", "top/b", "top/in/c", "top/in/d"):
        space.put(name, b"1")
    host, asked = space.services.host, []
    monkeypatch.setattr(host, "implements", lambda hook: hook == "check_download" or type(host).implements(host, hook))

    def check(hook: str, **arguments: Any) -> None:
        if hook == "check_download":
            asked.append(arguments["node"].name)
            if arguments["node"].name == refused:
                raise Forbidden("not this one")

    monkeypatch.setattr(host, "check", check)
    refused = "d"
    with pytest.raises(Forbidden):
        space.services.files.copy(space.caller, ("top",), ("copy",))
    while space.services.trees.erase_detached():
        pass
    assert space.names() == ["top/"]
    assert space.used() == (4, 4)
    asked.clear()
    refused = ""
    space.services.files.copy(space.caller, ("top",), ("copy",))
    assert sorted(asked) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("change", ["put", "overwrite", "delete", "property", "swap"])
def test_what_changes_while_hooks_are_asked_is_copied_as_it_is_then(
    space: Space, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    space.mkcol("top")
    space.put("top/a", b"1")
    files, caller, host = space.services.files, space.caller, space.services.host
    monkeypatch.setattr(host, "implements", lambda hook: hook == "check_download" or type(host).implements(host, hook))

    def swap() -> None:
        files.move(caller, ("top",), ("old",))
        space.mkcol("top")
        space.put("top/z", b"9")

    changes = {
        "put": lambda: space.put("top/b", b"22"),
        "overwrite": lambda: space.put("top/a", b"22"),
        "delete": lambda: files.delete(caller, ("top", "a")),
        "property": lambda: files.set_props(caller, ("top", "a"), {"{urn:x}p": "<p/>"}),
        "swap": swap,
    }

    def check(hook: str, **_: Any) -> None:
        if hook == "check_download":
            monkeypatch.undo()
            changes[change]()

    monkeypatch.setattr(host, "check", check)
    files.copy(caller, ("top",), ("copy",))
    now, copied = files.children(files.get(caller, ("top",))), files.children(files.get(caller, ("copy",)))
    assert [(one.name, one.size, dict(one.props)) for one in copied] == [
        (one.name, one.size, dict(one.props)) for one in now
    ]
    space.used()


def test_a_large_copy_above_the_quota_leaves_nothing(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "BATCH", 3)
    monkeypatch.setattr("gateway.service.files.BATCH", 3)
    space.mkcol("d")
    for n in range(8):
        space.put(f"d/{n}", bytes(100))
    with pytest.raises(QuotaExceeded):
        space.services.files.copy(space.caller, ("d",), ("e",))
    for _ in range(10):
        space.services.trees.erase_detached()
    assert space.names() == ["d/"]
    assert space.used() == (800, 8)


# -- locks ------------------------------------------------------------------------------------------------------------


def test_an_exclusive_lock_keeps_others_out_and_its_token_lets_the_owner_in(space: Space) -> None:
    space.put("a", b"x")
    token = lock(space, "a")
    bob = space.user("bob")
    for caller, conditions in [(space.caller, Conditions()), (bob, with_token(token))]:
        with pytest.raises(Locked):
            space.put("a", b"y", conditions, caller)
    space.put("a", b"y", with_token(token))
    with pytest.raises(LockConflict):
        lock(space, "a", Scope.SHARED, caller=bob)


def test_one_of_two_shared_tokens_is_enough(space: Space) -> None:
    space.put("a", b"x")
    token = lock(space, "a", Scope.SHARED)
    lock(space, "a", Scope.SHARED, caller=space.user("bob"))
    space.put("a", b"y", with_token(token))
    with pytest.raises(LockConflict):
        lock(space, "a", Scope.EXCLUSIVE)


def test_an_infinite_lock_covers_what_is_below_and_what_comes_there(space: Space) -> None:
    space.mkcol("d")
    space.put("d/a", b"x")
    token = lock(space, "d", infinite=True)
    for path in ("d/a", "d/new"):
        with pytest.raises(Locked):
            space.put(path, b"y")
        space.put(path, b"y", with_token(token))


def test_a_shallow_lock_of_a_collection_protects_its_membership_only(space: Space) -> None:
    space.mkcol("d")
    space.put("d/a", b"x")
    token = lock(space, "d")
    space.put("d/a", b"y")
    with pytest.raises(Locked):
        space.put("d/new", b"y")
    with pytest.raises(Locked):
        space.services.files.delete(space.caller, ("d", "a"))
    space.put("d/new", b"y", Conditions(if_header=parse_if(f"</d> (<{token}>)")))


def test_a_tree_with_a_member_locked_by_somebody_else_stays_whole(space: Space) -> None:
    space.mkcol("d")
    space.put("d/a", b"x")
    space.put("d/b", b"x")
    lock(space, "d/a", caller=space.user("bob"))
    for act in (
        lambda: space.services.files.delete(space.caller, ("d",)),
        lambda: space.services.files.move(space.caller, ("d",), ("e",)),
    ):
        with pytest.raises(Locked) as refused:
            act()
        assert refused.value.paths == (("d", "a"),)
    assert space.names("d") == ["a", "b"]


def test_who_may_only_read_any_more_renews_no_lock(space: Space) -> None:
    space.put("/a", b"x")
    editor = space.user("ed", Role.EDITOR)
    token = lock(space, "/a", caller=editor)
    space.services.locks.refresh(editor, ("a",), with_token(token), 600)
    viewer = replace(editor, user=replace(editor.user, role=Role.VIEWER))
    with pytest.raises(Forbidden):
        space.services.locks.refresh(viewer, ("a",), with_token(token), 600)


def test_a_moved_file_leaves_its_lock_behind(space: Space) -> None:
    space.put("a", b"x")
    token = lock(space, "a")
    space.services.files.move(space.caller, ("a",), ("b",), conditions=with_token(token))
    assert space.services.locks.list() == []
    space.put("b", b"free")
    assert space.put("a", b"free").created


def test_a_lock_of_a_new_name_makes_an_empty_file(space: Space) -> None:
    taken, created, node = space.services.locks.take(space.caller, ("new",), Scope.EXCLUSIVE, True, "<x/>", None)
    assert created and node.version and node.version.size == 0
    assert not taken.infinite
    with pytest.raises(Locked):
        space.put("new", b"x")
    assert space.used() == (0, 1)


def test_a_lock_ends_by_itself_and_lives_on_when_refreshed(space: Space) -> None:
    space.put("a", b"x")
    token = lock(space, "a")
    space.clock.forward(500)
    space.services.db.write(lambda tx: tx.leases.renew(space.deployment.boot_id, space.clock.now + 10**7)).result()
    space.services.locks.refresh(space.caller, ("a",), with_token(token), None)
    space.clock.forward(599)
    with pytest.raises(Locked):
        space.put("a", b"y")
    space.clock.forward(2)
    space.put("a", b"y")


# -- conditions -------------------------------------------------------------------------------------------------------


def test_conditional_writes_follow_the_etag(space: Space) -> None:
    node = space.put("a", b"x").node
    assert node.version
    space.put("a", b"y", Conditions(if_match=(node.version.etag,)))
    for conditions in (
        Conditions(if_match=(node.version.etag,)),
        Conditions(if_none_match=("*",)),
        Conditions(if_unmodified_since=node.version.mtime - 5000),
    ):
        with pytest.raises(PreconditionFailed):
            space.put("a", b"z", conditions)
    with pytest.raises(PreconditionFailed):
        space.put("missing", b"z", Conditions(if_match=("*",)))
    assert space.read("a") == b"y"


# -- isolation --------------------------------------------------------------------------------------------------------


def test_a_tenant_sees_and_reaches_nothing_of_another(space: Space) -> None:
    other = space.tenant("rival")
    space.put("secret", b"x")
    token = lock(space, "secret")
    with pytest.raises(NotFound):
        space.services.files.get(other, ("secret",))
    with pytest.raises(PreconditionFailed):
        space.put("secret", b"mine", with_token(token), other)
    space.put("secret", b"mine", caller=other)
    assert space.read("secret") == b"x"
    assert space.services.locks.list(other.tenant.id) == []


# -- held content -----------------------------------------------------------------------------------------------------


def hold(space: Space, path: str) -> None:
    """Puts the current content of a file on hold, as an inspector would have."""
    node = space.services.files.get(space.caller, segments(path))
    assert node.version
    version_id = node.version.id
    space.services.db.write(
        lambda tx: tx.nodes.set_version_state(version_id, VersionState.HELD, "virus_scan: waits")
    ).result()


def test_held_content_is_listed_but_neither_read_nor_copied(space: Space) -> None:
    space.put("a", b"x")
    hold(space, "a")
    assert space.names() == ["a"]
    with pytest.raises(Held):
        space.read("a")
    with pytest.raises(Held):
        space.services.files.copy(space.caller, ("a",), ("b",))
    (node,) = space.services.holds.pending()
    assert space.services.holds.release(node)
    assert space.read("a") == b"x"


def test_rejected_content_goes_and_leaves_no_usage(space: Space) -> None:
    space.put("a", b"x")
    hold(space, "a")
    (node,) = space.services.holds.pending()
    assert space.services.holds.reject(node, Verdict(Outcome.REFUSE, "virus_scan", reason="Eicar", error="infected"))
    assert space.names() == []
    assert space.used() == (0, 0)
    assert space.services.refusals.recent()[0].code == "infected"


def test_a_verdict_that_comes_too_late_changes_nothing(space: Space) -> None:
    space.put("a", b"x")
    hold(space, "a")
    (node,) = space.services.holds.pending()
    space.put("a", b"newer")
    assert not space.services.holds.reject(node, Verdict(Outcome.REFUSE, "virus_scan"))
    assert space.read("a") == b"newer"


def test_after_the_lease_has_lapsed_nothing_is_committed(space: Space) -> None:
    space.put("a", b"x")
    space.clock.forward(60)
    with pytest.raises(Unavailable):
        space.put("a", b"y")
    assert space.read("a") == b"x"
