"""Small contents as rows, on both databases."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from gateway.db.engine import SqlDatabase
from gateway.domain.errors import StorageFull
from gateway.service.unit_of_work import Tx
from gateway.testing.rows import NOW

IDS = ["aa-1i.1", "aa-10i.1", "aa-2i.1", "ab-1i.1", "a.b-1i.1"]


def put(db: SqlDatabase, *ids: str) -> None:
    def work(tx: Tx) -> None:
        for one in ids:
            tx.small.put(one, one.encode() * 3, NOW)

    db.write(work).result()


def test_a_row_is_read_measured_replaced_and_removed(db: SqlDatabase) -> None:
    every_byte = bytes(range(256)) * 64
    db.write(lambda tx: tx.small.put("aa-1i.1", b"before", NOW)).result()
    db.write(lambda tx: tx.small.put("aa-1i.1", every_byte, NOW + 1)).result()
    assert db.read(lambda tx: tx.small.get("aa-1i.1")) == every_byte
    found = db.read(lambda tx: tx.small.stat("aa-1i.1"))
    assert found is not None
    assert (found.key, found.size, found.modified_at) == ("aa-1i.1", 256 * 64, NOW + 1)
    assert db.write(lambda tx: tx.small.remove("aa-1i.1")).result()
    assert not db.write(lambda tx: tx.small.remove("aa-1i.1")).result()
    assert db.read(lambda tx: (tx.small.get("aa-1i.1"), tx.small.stat("aa-1i.1"))) == (None, None)


@pytest.mark.parametrize("prefix", ["", "a", "aa-", "aa-1", "aa-1i.1", "b"])
def test_rows_are_listed_by_prefix_and_by_pages_in_the_order_of_bytes(db: SqlDatabase, prefix: str) -> None:
    put(db, *IDS)
    found, after = list[str](), ""
    while page := db.read(lambda tx: tx.small.list(prefix, after, 2)):  # noqa: B023
        found += [info.key for info in page]
        after = found[-1]
    assert found == sorted(one for one in IDS if one.startswith(prefix))


def test_one_mutation_alone_that_is_refused_is_undone_and_the_next_is_not(db: SqlDatabase) -> None:
    def refused(tx: Tx) -> None:
        tx.small.put("aa-1i.1", b"undone", NOW)
        raise StorageFull("no")

    undone: Future[None] = db.write(refused)
    with pytest.raises(StorageFull):
        undone.result()
    put(db, "aa-2i.1")
    assert [info.key for info in db.read(lambda tx: tx.small.list("", "", 10))] == ["aa-2i.1"]
