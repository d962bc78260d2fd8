"""What S3 asks of the tree: names byte for byte, implied collections, keys in order."""

from __future__ import annotations

from dataclasses import replace

from gateway.db.engine import SqlDatabase
from gateway.domain.node import Kind, Node
from gateway.domain.tenant import Tenant
from gateway.service.keywalk import list_keys
from gateway.testing.rows import collection, file


def store(db: SqlDatabase, *nodes: Node) -> None:
    db.write(lambda tx: [tx.nodes.insert(node) for node in nodes]).result()


def test_a_name_has_a_collection_and_a_file_and_the_file_is_known_to_stand_beside(
    db: SqlDatabase, tenant: Tenant
) -> None:
    folder, twin = collection(tenant.id, tenant.root_id, "a"), file(tenant.id, tenant.root_id, "a")
    other, decomposed = file(tenant.id, tenant.root_id, "b"), file(tenant.id, folder.id, "e\u0301")
    store(db, folder, twin, other, decomposed)
    assert [one.kind for one in db.read(lambda tx: tx.nodes.named(tenant.root_id, "a"))] == [Kind.COLLECTION, Kind.FILE]
    assert [one.name for one in db.read(lambda tx: tx.nodes.named(folder.id, "\u00e9"))] == ["e\u0301"]
    assert db.read(lambda tx: tx.nodes.named(tenant.root_id, "c")) == []
    assert db.read(lambda tx: tx.nodes.beside(tenant.root_id)) == [twin.id]
    assert db.read(lambda tx: tx.nodes.beside(folder.id)) == []


def test_a_tree_of_implied_collections_has_no_keys_until_one_is_explicit_or_holds_a_file(
    db: SqlDatabase, tenant: Tenant
) -> None:
    top = collection(tenant.id, tenant.root_id, "top")
    outer = replace(collection(tenant.id, top.id, "outer"), explicit=False)
    inner = replace(collection(tenant.id, outer.id, "inner"), explicit=False)
    store(db, top, outer, inner)
    assert not db.read(lambda tx: tx.nodes.has_keys(top.id))
    db.write(lambda tx: tx.nodes.set_explicit(inner.id, True)).result()
    assert db.read(lambda tx: tx.nodes.has_keys(top.id))
    assert db.read(lambda tx: tx.nodes.get(inner.id)).explicit  # type: ignore[union-attr]
    db.write(lambda tx: tx.nodes.set_explicit(inner.id, False)).result()
    assert not db.read(lambda tx: tx.nodes.has_keys(top.id))
    store(db, file(tenant.id, inner.id, "f"))
    assert db.read(lambda tx: tx.nodes.has_keys(top.id))


def test_keys_come_in_the_order_of_their_bytes(db: SqlDatabase, tenant: Tenant) -> None:
    top = collection(tenant.id, tenant.root_id, "bucket")
    keys = ["a", "a!", "a-b", "a/", "a/b", "a/c/d", "a0", "\u00e9", "\uffee", "\U00010000"]
    folder = collection(tenant.id, top.id, "a")
    inner = replace(collection(tenant.id, folder.id, "c"), explicit=False)
    plain = [file(tenant.id, top.id, name) for name in keys if "/" not in name]
    store(db, top, folder, inner, *plain, file(tenant.id, folder.id, "b"), file(tenant.id, inner.id, "d"))

    def listed(delimiter: bytes = b"", after: bytes = b"") -> list[str]:
        page = db.read(lambda tx: list_keys(tx, top, b"", delimiter, after, 100))
        return [one.key.decode() for one in page.entries]

    assert listed() == sorted(keys, key=str.encode) == keys
    assert listed(b"/") == ["a", "a!", "a-b", "a/", *keys[6:]]
    assert listed(after=b"a/b") == keys[5:]
