"""The tree, one operation at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.db.engine import SqlDatabase
from gateway.domain.entry import entry_of
from gateway.domain.errors import AlreadyExists, Forbidden, NotEmpty, NotFound
from gateway.domain.lock import Lock, Scope
from gateway.domain.names import sort_key
from gateway.domain.node import Node, VersionState
from gateway.domain.tenant import Tenant
from gateway.testing.rows import NOW, collection, file, new_tenant, version

NFC, NFD = "\u304c\u00e9", "\u304b\u3099e\u0301"


def store(db: SqlDatabase, *nodes: Node) -> None:
    db.write(lambda tx: [tx.nodes.insert(node) for node in nodes]).result()


def write(db: SqlDatabase, work: Any) -> Any:
    return db.write(work).result()


def names(nodes: list[Node]) -> list[str]:
    return [node.name for node in nodes]


def test_a_path_resolves_as_far_as_it_exists(db: SqlDatabase, tenant: Tenant) -> None:
    a = collection(tenant.id, tenant.root_id, "a")
    b = collection(tenant.id, a.id, "b 'quoted\" \U0001f600 \\ ?%s")
    f = file(tenant.id, b.id, "f")
    store(db, a, b, f)

    def chain(*path: str) -> list[Node]:
        return db.read(lambda tx: tx.nodes.chain(tenant.root_id, path))

    assert names(chain()) == [""]
    assert chain("a", b.name, "f")[1:] == [a, b, f]
    assert chain("a", "missing", "f")[1:] == [a]
    assert chain("a", b.name, "f", "below a file")[1:] == [a, b, f]
    assert db.read(lambda tx: tx.nodes.chain(1, ("a",))) == []


def test_a_hundred_levels_resolve(db: SqlDatabase, tenant: Tenant) -> None:
    nodes: list[Node] = []
    for depth in range(100):
        nodes.append(collection(tenant.id, nodes[-1].id if nodes else tenant.root_id, f"level {depth}"))
    write(db, lambda tx: tx.nodes.insert_many(nodes))
    path = tuple(names(nodes))
    assert db.read(lambda tx: tx.nodes.chain(tenant.root_id, path))[1:] == nodes
    assert db.read(lambda tx: tx.nodes.path_of(nodes[-1].id)) == path


def test_composed_and_decomposed_names_are_the_same(db: SqlDatabase, tenant: Tenant) -> None:
    node = file(tenant.id, tenant.root_id, NFC)
    store(db, node)
    assert db.read(lambda tx: tx.nodes.chain(tenant.root_id, (NFD,)))[1:] == [node]
    assert db.read(lambda tx: tx.nodes.child(tenant.root_id, NFD)) == node
    with pytest.raises(AlreadyExists):
        store(db, file(tenant.id, tenant.root_id, NFD))


def test_entries_are_the_children_as_their_listing_shows_them(db: SqlDatabase, tenant: Tenant) -> None:
    told = replace(version(7), facts={"image.width": "9", "state": "mine"}, mtime=NOW + 5)
    store(
        db,
        collection(tenant.id, tenant.root_id, "c", props={"{urn:x}p": "<p>1</p>"}, modified_at=NOW + 2),
        collection(tenant.id, tenant.root_id, "d"),
        file(tenant.id, tenant.root_id, NFD, version=told),
        file(tenant.id, tenant.root_id, "plain", props={"{urn:x}q": "<q/>"}),
    )
    children = db.read(lambda tx: tx.nodes.children(tenant.root_id))
    full = db.read(lambda tx: tx.nodes.entries(tenant.root_id, None, 10, with_facts=True))
    assert full == [entry_of(node) for node in children]
    assert full[2].facts is None or full[2].facts["state"] == "clean"
    bare = db.read(lambda tx: tx.nodes.entries(tenant.root_id, None, 10, with_facts=False))
    assert bare == [entry._replace(facts=None) for entry in full]
    after = sort_key(full[1].name, collection=True)
    assert db.read(lambda tx: tx.nodes.entries(tenant.root_id, after, 1, with_facts=False)) == bare[2:3]


def test_of_many_blobs_those_that_nothing_uses_are_told(db: SqlDatabase, tenant: Tenant) -> None:
    used = file(tenant.id, tenant.root_id, "f")
    assert used.version
    store(db, used)
    blobs = ["gone", used.version.blob_id, "\u304c"]
    assert db.read(lambda tx: tx.nodes.unreferenced(blobs)) == ["gone", "\u304c"]
    assert db.read(lambda tx: tx.nodes.unreferenced([])) == []


def test_the_collection_is_found_where_a_file_has_its_name(db: SqlDatabase, tenant: Tenant) -> None:
    f, c = file(tenant.id, tenant.root_id, "x"), collection(tenant.id, tenant.root_id, "x")
    store(db, f, c)
    assert db.read(lambda tx: tx.nodes.child(tenant.root_id, "x")) == c
    assert db.read(lambda tx: tx.nodes.chain(tenant.root_id, ("x",)))[1:] == [c]
    assert db.read(lambda tx: tx.nodes.children(tenant.root_id)) == [f, c]


def test_children_page_in_the_byte_order_of_s3_keys(db: SqlDatabase, tenant: Tenant) -> None:
    made = [collection(tenant.id, tenant.root_id, name) for name in ("a", "B", "\u00e9", "a b")]
    made += [file(tenant.id, tenant.root_id, name) for name in ("a", "a-", "a0", "\U0001f600", "\uff41")]
    write(db, lambda tx: tx.nodes.insert_many(made))
    wanted = sorted(made, key=lambda node: sort_key(node.name, collection=node.is_collection))
    pages: list[Node] = []
    after: bytes | None = None
    while page := db.read(lambda tx, a=after: tx.nodes.children(tenant.root_id, a, 2)):
        pages += page
        assert len(pages) <= len(made)
        after = sort_key(page[-1].name, collection=page[-1].is_collection)
    assert pages == wanted


def test_a_taken_name_is_refused_and_leaves_the_transaction_usable(db: SqlDatabase, tenant: Tenant) -> None:
    store(db, file(tenant.id, tenant.root_id, "x"))

    def twice(tx: Any) -> None:
        with pytest.raises(AlreadyExists):
            tx.nodes.insert(file(tenant.id, tenant.root_id, "x"))
        with pytest.raises(AlreadyExists):
            tx.nodes.insert_many([file(tenant.id, tenant.root_id, "x")])
        tx.nodes.insert(file(tenant.id, tenant.root_id, "y"))

    write(db, twice)
    assert names(db.read(lambda tx: tx.nodes.children(tenant.root_id))) == ["x", "y"]


def test_a_new_version_replaces_the_old_one_unless_it_is_kept(db: SqlDatabase, tenant: Tenant) -> None:
    node = file(tenant.id, tenant.root_id, "f")
    second, third = version(2), version(3, VersionState.HELD)
    store(db, node)
    write(db, lambda tx: tx.nodes.set_version(node.id, second, NOW + 1, None))
    write(db, lambda tx: tx.nodes.set_version(node.id, third, NOW + 2, second.id))
    found = db.read(lambda tx: tx.nodes.get(node.id))
    assert found == replace(node, version=third, previous_id=second.id, modified_at=NOW + 2)
    assert not db.read(lambda tx: tx.nodes.referenced(node.version.blob_id))
    assert db.read(lambda tx: tx.nodes.referenced(second.blob_id))
    assert db.read(lambda tx: tx.nodes.version(second.id)) == second
    assert db.read(lambda tx: tx.nodes.version(node.version.id)) is None
    assert db.read(lambda tx: tx.nodes.totals(tenant.id)) == (3, 1)
    assert db.read(lambda tx: tx.nodes.held()) == [found]


def test_a_kept_version_comes_back_or_is_forgotten(db: SqlDatabase, tenant: Tenant) -> None:
    node, other = file(tenant.id, tenant.root_id, "f"), file(tenant.id, tenant.root_id, "g")
    assert node.version and other.version
    held = [version(2, VersionState.HELD), version(2, VersionState.HELD)]
    store(db, node, other)
    write(db, lambda tx: tx.nodes.set_version(node.id, held[0], NOW, node.version.id))
    write(db, lambda tx: tx.nodes.set_version(other.id, held[1], NOW, other.version.id))
    write(db, lambda tx: tx.nodes.restore_version(node.id, node.version.id, NOW))
    write(db, lambda tx: tx.nodes.set_version_state(held[1].id, VersionState.MARKED, "encrypted"))
    assert write(db, lambda tx: tx.nodes.clear_previous(other.id)) == other.version.blob_id
    assert write(db, lambda tx: tx.nodes.clear_previous(other.id)) is None
    assert db.read(lambda tx: tx.nodes.get(node.id)) == node
    assert not db.read(lambda tx: tx.nodes.referenced(held[0].blob_id))
    marked = db.read(lambda tx: tx.nodes.held())
    assert [(one.name, one.version.state, one.version.reason) for one in marked if one.version] == [
        ("g", VersionState.MARKED, "encrypted")
    ]


def test_properties_and_times_come_back_as_they_were_stored(db: SqlDatabase, tenant: Tenant) -> None:
    node = file(tenant.id, tenant.root_id, "f", props={"{urn:x}a": "<a xmlns='urn:x'>\u00e9\U0001f600 ?%s</a>"})
    store(db, node)
    assert db.read(lambda tx: tx.nodes.get(node.id)) == node
    write(db, lambda tx: tx.nodes.set_props(node.id, {}, NOW + 9, NOW - 9))
    found = db.read(lambda tx: tx.nodes.get(node.id))
    assert found is not None and found.version is not None
    assert (dict(found.props), found.modified_at, found.version.mtime) == ({}, NOW + 9, NOW - 9)


def test_a_tree_moves_as_one_row_and_never_into_itself(db: SqlDatabase, tenant: Tenant) -> None:
    a, b = collection(tenant.id, tenant.root_id, "a"), collection(tenant.id, tenant.root_id, "b")
    inner = collection(tenant.id, a.id, "inner")
    f = file(tenant.id, inner.id, "f")
    store(db, a, b, inner, f)
    write(db, lambda tx: tx.nodes.place(a.id, b.id, "renamed", NOW + 1))
    assert db.read(lambda tx: tx.nodes.path_of(f.id)) == ("b", "renamed", "inner", "f")
    with pytest.raises(Forbidden):
        write(db, lambda tx: tx.nodes.place(b.id, inner.id, "b", NOW))
    with pytest.raises(Forbidden):
        write(db, lambda tx: tx.nodes.place(b.id, b.id, "b", NOW))
    with pytest.raises(AlreadyExists):
        write(db, lambda tx: tx.nodes.place(inner.id, tenant.root_id, "b", NOW))
    write(db, lambda tx: tx.nodes.place(a.id, b.id, "Renamed", NOW + 2))
    with pytest.raises(NotFound):
        write(db, lambda tx: tx.nodes.place(-1, b.id, "x", NOW))


def test_only_what_is_empty_can_be_removed(db: SqlDatabase, tenant: Tenant) -> None:
    a = collection(tenant.id, tenant.root_id, "a")
    f = file(tenant.id, a.id, "f")
    assert f.version
    store(db, a, f)
    with pytest.raises(NotEmpty):
        write(db, lambda tx: tx.nodes.remove(a.id))
    assert write(db, lambda tx: tx.nodes.remove(f.id)) == [f.version.blob_id]
    assert write(db, lambda tx: tx.nodes.remove(a.id)) == []
    with pytest.raises(NotFound):
        write(db, lambda tx: tx.nodes.remove(a.id))


def grow(db: SqlDatabase, tenant: Tenant, top: Node, width: int, depth: int) -> list[Node]:
    nodes, level = [top], [top]
    for _ in range(depth):
        below = []
        for parent in level:
            below += [collection(tenant.id, parent.id, f"c{n}") for n in range(width)]
            nodes += [file(tenant.id, parent.id, f"f{n}", size=10) for n in range(width)]
        nodes += below
        level = below
    write(db, lambda tx: tx.nodes.insert_many(nodes))
    return nodes


def test_a_subtree_comes_parents_first_and_stops_at_the_limit(db: SqlDatabase, tenant: Tenant) -> None:
    top = collection(tenant.id, tenant.root_id, "top")
    nodes = grow(db, tenant, top, width=3, depth=3)
    found = db.read(lambda tx: tx.nodes.subtree(top.id))
    assert sorted(node.id for node in found) == sorted(node.id for node in nodes)
    seen = {top.parent_id}
    for node in found:
        assert node.parent_id in seen
        seen.add(node.id)
    assert len(db.read(lambda tx: tx.nodes.subtree(top.id, 7))) == 7
    files = [node for node in nodes if not node.is_collection]
    assert db.read(lambda tx: tx.nodes.subtree_size(top.id, 1000)) == (len(nodes), len(files), 10 * len(files))
    assert db.read(lambda tx: tx.nodes.subtree_size(top.id, 5))[0] == 5


def test_the_extent_of_a_tree_is_that_of_its_collections(db: SqlDatabase, tenant: Tenant) -> None:
    top = collection(tenant.id, tenant.root_id, "top")
    wide = collection(tenant.id, top.id, "か" * 10)
    deep = collection(tenant.id, top.id, "a")
    deeper = collection(tenant.id, deep.id, "b")
    leaf = file(tenant.id, deeper.id, "x" * 100)
    store(db, top, wide, deep, deeper, leaf)
    assert db.read(lambda tx: tx.nodes.extent(top.id)) == (2, 1 + 3 * 30)
    assert db.read(lambda tx: tx.nodes.extent(deep.id)) == (1, 4)
    assert db.read(lambda tx: tx.nodes.extent(leaf.id)) == (0, 0)


@pytest.mark.parametrize("limit", [1, 2, 7, 1000])
def test_a_detached_tree_is_erased_in_batches(db: SqlDatabase, tenant: Tenant, limit: int) -> None:
    top = collection(tenant.id, tenant.root_id, "top")
    stays = file(tenant.id, tenant.root_id, "stays")
    nodes = grow(db, tenant, top, width=2, depth=3)
    store(db, stays)
    write(db, lambda tx: tx.nodes.place(top.id, None, "top", NOW))
    assert db.read(lambda tx: tx.nodes.detached(NOW)) == [(tenant.id, top.id)]
    assert db.read(lambda tx: tx.nodes.path_of(nodes[-1].id)) is None
    total = [0, 0, 0]
    finished, rounds = False, 0
    blobs: list[str] = []
    while not finished:
        files, size, gone, finished = write(db, lambda tx: tx.nodes.remove_leaves(top.id, limit))
        total = [total[0] + files, total[1] + size, total[2] + 1]
        blobs += gone
        rounds += 1
        assert rounds <= len(nodes) + 1
    versions = [node.version for node in nodes if node.version]
    assert total[:2] == [len(versions), 10 * len(versions)]
    assert sorted(blobs) == sorted(one.blob_id for one in versions)
    assert rounds >= len(nodes) // limit
    assert db.read(lambda tx: tx.nodes.detached(NOW)) == []
    assert db.read(lambda tx: tx.nodes.children(tenant.root_id)) == [stays]
    assert db.read(lambda tx: tx.nodes.totals(tenant.id)) == (1, 1)


def test_a_detached_file_is_erased_with_its_kept_version(db: SqlDatabase, tenant: Tenant) -> None:
    f = file(tenant.id, tenant.root_id, "f", size=5)
    assert f.version
    current = version(3, VersionState.HELD)
    store(db, f)
    write(db, lambda tx: tx.nodes.set_version(f.id, current, NOW, f.version.id))
    write(db, lambda tx: tx.nodes.place(f.id, None, "f", NOW))
    files, size, blobs, finished = write(db, lambda tx: tx.nodes.remove_leaves(f.id, 10))
    assert (files, size, finished) == (1, 3, True)
    assert sorted(blobs) == sorted([f.version.blob_id, current.blob_id])


def test_a_hidden_tree_waits_only_when_its_builder_died(db: SqlDatabase, tenant: Tenant) -> None:
    hidden = collection(tenant.id, None, "copy")

    def build(tx: Any) -> None:
        tx.leases.grant("builder", "gate", "here", 1, NOW, NOW + 100)
        tx.nodes.insert(hidden)
        tx.nodes.hide(tenant.id, hidden.id, "builder")

    write(db, build)
    assert db.read(lambda tx: tx.nodes.detached(NOW)) == []
    assert db.read(lambda tx: tx.nodes.detached(NOW + 100)) == [(tenant.id, hidden.id)]
    write(db, lambda tx: tx.nodes.place(hidden.id, tenant.root_id, "copy", NOW))
    assert db.read(lambda tx: tx.nodes.detached(NOW + 100)) == []
    assert db.read(lambda tx: tx.nodes.path_of(hidden.id)) == ("copy",)


def test_all_blobs_are_listed_once_by_id(db: SqlDatabase, tenant: Tenant) -> None:
    shared = version(4)
    nodes = [
        file(tenant.id, tenant.root_id, "a", version=shared),
        file(tenant.id, tenant.root_id, "b", version=replace(shared, id=shared.id + 10_000_000)),
        file(tenant.id, tenant.root_id, "c"),
    ]
    store(db, *nodes)
    wanted = sorted({(one.version.blob_id, one.version.size, one.version.sha256) for one in nodes if one.version})
    found: list[tuple[str, int, str]] = []
    while page := db.read(lambda tx, a=found[-1][0] if found else "": tx.nodes.blobs(a, 1)):
        found += page
    assert found == wanted


def test_one_tenant_cannot_name_the_tree_of_another(db: SqlDatabase, tenant: Tenant) -> None:
    other = new_tenant(db)
    secret = file(other.id, other.root_id, "secret")
    store(db, secret)
    assert len(db.read(lambda tx: tx.nodes.chain(tenant.root_id, ("secret",)))) == 1
    assert db.read(lambda tx: tx.nodes.totals(tenant.id)) == (0, 0)


def test_locks_go_with_their_node(db: SqlDatabase, tenant: Tenant) -> None:
    f = file(tenant.id, tenant.root_id, "f")
    store(db, f)
    lock = Lock("t", tenant.id, f.id, 1, Scope.EXCLUSIVE, False, "", 600, NOW + 1, ("f",))
    write(db, lambda tx: tx.locks.add(lock))
    write(db, lambda tx: tx.nodes.remove(f.id))
    assert db.read(lambda tx: tx.locks.by_token(tenant.id, "t")) is None
