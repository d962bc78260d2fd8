"""The mark of a database: another one after any commit, of whatever process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.daemon import open_deployment
from gateway.db.engine import SqlDatabase, open_database
from gateway.domain.errors import BackendUnavailable
from gateway.testing.rows import NOW
from gateway.testing.space import open_space


def test_the_mark_stays_while_nothing_is_committed_and_moves_with_every_commit(db: SqlDatabase) -> None:
    before = db.mark()
    if before is None:
        assert not db.is_local
        return
    db.read(lambda tx: tx.system.revision())
    assert db.mark() == before
    db.write(lambda tx: tx.system.set_meta("a", "1")).result()
    after = db.mark()
    assert after != before


def test_what_no_space_shows_leaves_the_mark_alone(db: SqlDatabase) -> None:
    before = db.mark()
    db.write(lambda tx: tx.system.put_fact("disk", "ok", "", None, NOW), aside=True).result()
    assert db.mark() == before
    together = [db.write(lambda tx: tx.system.set_meta("a", "1"), aside=number > 0) for number in range(3)]
    for one in together:
        one.result()
    assert before is None or db.mark() != before


def test_a_commit_of_another_process_moves_the_mark(url: str, db: SqlDatabase) -> None:
    before = db.mark()
    other = open_database(url, clock=lambda: NOW)
    try:
        other.write(lambda tx: tx.system.set_meta("a", "1")).result()
        assert before is None or db.mark() != before
    finally:
        other.close()


def test_a_database_that_is_gone_has_no_mark(tmp_path: Path) -> None:
    db = open_database(f"sqlite:///{tmp_path}/kurado.db", clock=lambda: NOW)
    db.mark()
    (tmp_path / "kurado.db").unlink()
    try:
        with pytest.raises(BackendUnavailable):
            for _ in range(10**9):  # the file's identity is looked at some times a second
                db.mark()
    finally:
        db.close()


def test_what_another_process_writes_is_found_at_once(tmp_path: Path) -> None:
    with open_space(tmp_path) as first, open_deployment(first.deployment.config, clock=first.clock) as deployment:
        deployment.leases.grant()
        second = replace(first, deployment=deployment, services=deployment.services)
        for number in range(3):
            second.put("file", str(number).encode())
            assert first.read("file") == str(number).encode()
