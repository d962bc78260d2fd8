"""Acts in one chain on both databases, whoever writes; documents, customers' data, and files that are taken down."""

from __future__ import annotations

import threading
from typing import Any

from gateway.db.engine import SqlDatabase, open_database
from gateway.domain.acts import GENESIS, Act, check_chain
from gateway.domain.contract.documents import Document
from gateway.domain.tenant import Tenant
from gateway.testing.rows import NOW, collection, file


def act(subject: str = "contract:acme", **changes: Any) -> Act:
    values = {"kind": "noted", "at": NOW, "actor": "ann", "role": "operator", "rule": "P-6", **changes}
    return Act(subject, **values)


def write(db: SqlDatabase, work: Any) -> Any:
    return db.write(work).result()


def test_acts_come_back_as_they_were_recorded_in_one_chain(db: SqlDatabase, tenant: Tenant) -> None:
    data = {"name": "蔵戸\n", "list": [1, None, {"a": True}], "big": 2**60}
    first = write(
        db, lambda tx: tx.acts.append(act(data=data, tenant_id=tenant.id, ground="9-2", before="a", after="b"))
    )
    second = write(db, lambda tx: tx.acts.append(act("takedown:T1")))
    assert (first.seq, first.previous, second.seq, second.previous) == (1, GENESIS, 2, first.digest)
    assert db.read(lambda tx: tx.acts.after(0)) == [first, second]
    assert db.read(lambda tx: tx.acts.after(1)) == [second]
    assert db.read(lambda tx: tx.acts.of_subject("contract:acme")) == [first]
    assert db.read(lambda tx: tx.acts.of_tenant(tenant.id)) == [first]
    assert db.read(lambda tx: tx.acts.count()) == 2
    assert check_chain([first, second], 2) == (second.digest, None)


def test_subjects_are_found_by_their_kind_and_no_other(db: SqlDatabase) -> None:
    for subject in ("maintenance:M1", "maintenance", "maintenance:regular-2027-05-03", "maintenancf:x", "takedown:T1"):
        write(db, lambda tx, subject=subject: tx.acts.append(act(subject)))
    found = db.read(lambda tx: tx.acts.of_prefix("maintenance:"))
    assert [one.subject for one in found] == ["maintenance:M1", "maintenance:regular-2027-05-03"]


def test_an_act_whose_transaction_fails_leaves_no_gap(db: SqlDatabase) -> None:
    def fails(tx: Any) -> None:
        tx.acts.append(act())
        raise LookupError

    failed = db.write(fails)
    assert isinstance(failed.exception(), LookupError)
    write(db, lambda tx: tx.acts.append(act()))
    acts = db.read(lambda tx: tx.acts.after(0))
    assert check_chain(acts, db.read(lambda tx: tx.acts.count()))[1] is None


def test_text_that_no_database_can_hold_is_recorded_and_still_verified(db: SqlDatabase) -> None:
    write(db, lambda tx: tx.acts.append(act(actor="a\x00b", data={"reason": "lone \ud800"})))
    assert check_chain(db.read(lambda tx: tx.acts.after(0)), 1)[1] is None


def test_the_chain_holds_when_several_processes_write_at_once(db: SqlDatabase, url: str) -> None:
    others = [open_database(url, clock=lambda: NOW) for _ in range(3)]

    def many(one: SqlDatabase, name: str) -> None:
        for number in range(25):
            one.write(lambda tx, number=number: tx.acts.append(act(f"{name}:{number}"))).result()  # type: ignore[misc]

    threads = [threading.Thread(target=many, args=(one, f"w{n}")) for n, one in enumerate([db, *others])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in others:
        one.close()
    acts = db.read(lambda tx: tx.acts.after(0))
    assert len(acts) == 100
    assert check_chain(acts, 100)[1] is None


def test_documents_and_every_version_of_a_customers_data_are_kept(db: SqlDatabase) -> None:
    letter = Document(7, "acme", "cancellation", NOW, "post", None, "0" * 64, "手紙", NOW, "ann")
    write(db, lambda tx: tx.documents.add(letter))
    assert db.read(lambda tx: tx.documents.of_contract("acme")) == [letter]
    assert db.read(lambda tx: tx.documents.of_contract("other")) == []
    old = write(db, lambda tx: tx.documents.put_customer("acme", {"name": "A"}, NOW))
    new = write(db, lambda tx: tx.documents.put_customer("acme", {"name": "B"}, NOW))
    assert old != new
    assert db.read(lambda tx: tx.documents.customer("acme")) == {"name": "B"}
    assert db.read(lambda tx: tx.documents.customer("nobody")) == {}
    assert db.read(lambda tx: tx.documents.customer_digest("acme")) == new
    assert db.read(lambda tx: tx.documents.customer_digest("nobody")) == ""
    assert db.read(lambda tx: tx.documents.customer_at("acme", old)) == {"name": "A"}
    assert db.read(lambda tx: tx.documents.customer_at("other", old)) == {}


def test_files_below_a_takedown_do_not_count_until_it_is_lifted(db: SqlDatabase, tenant: Tenant) -> None:
    top = collection(tenant.id, tenant.root_id, "top")
    inside, outside = file(tenant.id, top.id, "in", 5), file(tenant.id, tenant.root_id, "out", 7)
    write(db, lambda tx: tx.nodes.insert_many([top, inside, outside]))
    assert write(db, lambda tx: tx.takedowns.add("T1", tenant.id, inside.id)) == (5, 1)
    assert write(db, lambda tx: tx.takedowns.add("T2", tenant.id, top.id)) == (0, 0)  # it does not count already
    assert db.read(lambda tx: tx.nodes.totals(tenant.id)) == (7, 1)
    assert db.read(lambda tx: (tx.takedowns.is_marked(inside.id), tx.takedowns.is_marked(outside.id))) == (True, False)
    assert write(db, lambda tx: tx.takedowns.lift("T1")) == (5, 1)
    assert write(db, lambda tx: tx.takedowns.add("T2", tenant.id, top.id)) == (5, 1)
    write(db, lambda tx: tx.nodes.place(top.id, None, "top", NOW))
    files, size, _, finished = write(db, lambda tx: tx.nodes.remove_leaves(top.id, 10))
    assert (files, size, finished) == (0, 0, True)
    assert write(db, lambda tx: tx.takedowns.lift("T2")) == (0, 0)
