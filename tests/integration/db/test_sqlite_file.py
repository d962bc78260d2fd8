"""The SQLite file itself: shared by processes, deleted, replaced, read-only, on a full disk."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.db import sqlite
from gateway.db.engine import SqlDatabase, open_database
from gateway.db.filelock import FileLock
from gateway.db.schema import DatabaseMissing
from gateway.db.session import SqliteSession
from gateway.domain.errors import BackendUnavailable, StorageFull
from gateway.domain.node import Node
from gateway.domain.tenant import Tenant
from gateway.service.stored import Refusal
from gateway.testing.loopdisk import LoopDisk, loop_disk
from gateway.testing.rows import NOW, file, new_tenant
from gateway.testing.writers import writer_busy


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kurado 100% #1?.db"


@pytest.fixture
def db(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlDatabase]:
    monkeypatch.setattr(sqlite, "_LOOK", 0)  # in service the file's identity is looked at four times a second
    database = open_database(f"sqlite:///{path}", clock=lambda: NOW)
    yield database
    database.close()


def mark(db: SqlDatabase, value: str) -> None:
    db.write(lambda tx: tx.system.set_meta("mark", value)).result(120)


def marked(db: SqlDatabase) -> str | None:
    return db.read(lambda tx: tx.system.get_meta("mark"))


def all_refuse(db: SqlDatabase) -> bool:
    for ask in (lambda: mark(db, "lost"), lambda: marked(db), db.check):
        with pytest.raises(BackendUnavailable):
            ask()
    return True


def test_commits_are_flushed_by_default_and_need_not_be_on_request(path: Path) -> None:
    for durability, synchronous in (("full", 2), ("relaxed", 1)):
        database = open_database(f"sqlite:///{path}", durability=durability, clock=lambda: NOW)
        assert database.write(lambda tx: tx.session.scalar("PRAGMA synchronous")).result(120) == synchronous
        assert database.read(lambda tx: tx.session.scalar("PRAGMA journal_mode")) == "wal"
        database.close()


def test_a_deleted_file_is_noticed_by_reads_writes_and_checks(db: SqlDatabase, path: Path) -> None:
    mark(db, "kept")
    assert marked(db) == "kept"
    path.unlink()
    assert all_refuse(db)
    assert not path.exists()  # nobody made a new, empty one


def test_a_replaced_file_is_noticed_and_left_alone(db: SqlDatabase, path: Path) -> None:
    mark(db, "old")
    assert marked(db) == "old"
    other = path.with_name("other.db")
    open_database(f"sqlite:///{other}", clock=lambda: NOW).close()
    before = other.read_bytes()
    other.replace(path)
    assert all_refuse(db)
    journal = path.with_name(path.name + "-wal")
    journal.unlink()  # as SQLite does when it begins a new file beside an old journal
    journal.write_bytes(b"of the new database")
    db.close()
    assert (path.read_bytes(), journal.read_bytes()) == (before, b"of the new database")


def test_a_file_that_comes_back_is_used_again(db: SqlDatabase, path: Path) -> None:
    mark(db, "kept")
    away = path.with_name("away.db")
    path.rename(away)
    assert all_refuse(db)
    away.rename(path)
    assert marked(db) == "kept"
    mark(db, "again")
    db.check()


def test_the_identity_is_looked_at_more_often_than_every_two_seconds() -> None:
    assert sqlite._LOOK <= 1


def test_a_truncated_file_is_trouble_of_the_database(db: SqlDatabase, path: Path) -> None:
    mark(db, "kept")
    db._writer._queue.close()
    os.truncate(path, 0)
    path.with_name(path.name + "-wal").write_bytes(b"")
    fresh = sqlite.SqliteSource(path)
    with pytest.raises(BackendUnavailable):
        SqlDatabase(fresh).read(lambda tx: tx.system.revision())


def test_a_missing_database_is_not_made_where_none_may_be(path: Path) -> None:
    with pytest.raises(DatabaseMissing):
        open_database(f"sqlite:///{path}", clock=lambda: NOW, create=False)
    assert not path.exists()
    path.touch()
    with pytest.raises(DatabaseMissing):
        open_database(f"sqlite:///{path}", clock=lambda: NOW, create=False)


def test_something_else_than_a_database_is_refused(path: Path) -> None:
    path.write_text("these are not the bytes of a database, but they are enough to look at\n" * 20)
    with pytest.raises(BackendUnavailable):
        open_database(f"sqlite:///{path}", clock=lambda: NOW)


def test_the_journal_is_emptied_although_somebody_always_reads(
    db: SqlDatabase, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each read lasts until another one has begun, which keeps SQLite itself from starting the journal anew."""
    monkeypatch.setattr(sqlite, "_JOURNAL", 1 << 20)
    monkeypatch.setattr(sqlite, "_EMPTY_EVERY", 0)
    tenant, journal = new_tenant(db), path.with_name(path.name + "-wal")
    begun, over = [0, 0], threading.Event()

    def until_the_other_begins(tx: Any, me: int) -> None:
        tx.system.revision()
        seen = begun[1 - me]
        begun[me] += 1
        while begun[1 - me] == seen and not over.is_set():
            over.wait(0.001)

    def read_on(me: int) -> None:
        while not over.is_set():
            db.read(lambda tx: until_the_other_begins(tx, me))

    sizes = []
    with ThreadPoolExecutor(2) as readers:
        futures = [readers.submit(read_on, me) for me in range(2)]
        for n in range(50):
            db.write(lambda tx, n=n: tx.nodes.insert(big(tenant, n))).result(120)
            sizes.append(journal.stat().st_size)
        over.set()
        for future in futures:
            future.result(120)
    assert min(sizes[-10:]) < 4 << 20  # 11 MB were written
    assert min(begun) > 10


def test_upkeep_that_fails_after_a_commit_does_not_undo_or_repeat_it(
    db: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Any) -> None:
        raise sqlite3.OperationalError("in upkeep")

    monkeypatch.setattr(db._source, "committed", fails)
    before = db.read(lambda tx: tx.system.revision())
    assert db.write(lambda tx: tx.system.bump()).exception(120) is None
    assert db.read(lambda tx: tx.system.revision()) == before + 1


# -- processes --------------------------------------------------------------------------------------------------------


def _hammer(path: str, name: str, stop: Any, counts: Any) -> None:
    db = open_database(f"sqlite:///{path}", clock=lambda: NOW)
    done = 0
    while not stop.is_set():
        db.write(lambda tx: tx.refusals.add(refusal_of(name))).result(120)
        done += 1
    db.close()
    counts.put((name, done))


def refusal_of(user: str) -> Refusal:
    return Refusal(1, NOW, user, "PUT", "p", "c", "", "", "", "", "r")


def test_two_processes_on_one_file_do_not_starve_each_other(db: SqlDatabase, path: Path) -> None:
    """From the first commit of the later one to the last of the earlier one, each gets its share; none is lost."""
    context = multiprocessing.get_context("spawn")
    stop, counts = context.Event(), context.Queue()
    workers = [context.Process(target=_hammer, args=(str(path), name, stop, counts), daemon=True) for name in "ab"]
    for worker in workers:
        worker.start()

    def log() -> list[str]:
        return [one.user for one in reversed(db.read(lambda tx: tx.refusals.recent(None, 1_000_000)))]

    while min(log().count(name) for name in "ab") < 200:
        time.sleep(0.05)
    stop.set()
    done = dict(counts.get(timeout=240) for _ in workers)
    for worker in workers:
        worker.join(240)
    commits = log()
    assert {name: commits.count(name) for name in "ab"} == done
    begin = max(commits.index(name) for name in "ab")
    end = len(commits) - max(commits[::-1].index(name) for name in "ab")
    together = commits[begin:end]
    assert min(together.count(name) for name in "ab") > len(together) / 10


def test_many_processes_may_make_the_schema_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    stop = context.Event()
    stop.set()
    workers = [context.Process(target=_hammer, args=(str(path), str(n), stop, results)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(240)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT COUNT(*) FROM alembic_version").fetchone() == (1,)
    connection.close()


def test_the_lock_is_handed_to_who_waits_before_the_holder_gets_it_again(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "x"), FileLock(tmp_path / "x")
    order: list[str] = []
    waiting = threading.Event()

    def wait() -> None:
        waiting.set()
        with second.held():
            order.append("second")

    with first.held():
        thread = threading.Thread(target=wait)
        thread.start()
        waiting.wait()
        while thread.is_alive() and _turn_is_free(tmp_path):
            time.sleep(0.001)
    with first.held():
        order.append("first")
    thread.join()
    assert order == ["second", "first"]


def _turn_is_free(folder: Path) -> bool:
    return subprocess.run(["flock", "-n", folder / "x.turn", "true"]).returncode == 0


def test_a_holder_that_never_lets_go_is_trouble_and_the_lock_works_afterwards(tmp_path: Path) -> None:
    holder, waiter = FileLock(tmp_path / "x"), FileLock(tmp_path / "x", wait=0.05)
    with holder.held():
        for _ in range(2):
            with pytest.raises(BackendUnavailable), waiter.held():
                raise AssertionError("two have it")
    with waiter.held():
        pass
    with holder.held():
        pass


def test_a_foreign_program_that_keeps_the_database_locked_is_refused_to_be_waited_for_twice(
    db: SqlDatabase, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[str] = []
    command = SqliteSession.command

    def noted(session: SqliteSession, sql: str, *params: Any) -> None:
        waits.extend([sql] if "busy_timeout" in sql or "BEGIN IMM" in sql else [])
        command(session, sql, *params)

    monkeypatch.setattr(sqlite, "_BUSY", 0.05)
    monkeypatch.setattr(SqliteSession, "command", noted)
    mark(db, "before")
    foreign = sqlite3.connect(path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    waits.clear()
    for _ in range(3):
        with pytest.raises(BackendUnavailable):
            mark(db, "lost")
    assert waits == ["BEGIN IMMEDIATE", *["PRAGMA busy_timeout = 300", "BEGIN IMMEDIATE"] * 2], "one try for each"
    assert marked(db) == "before"
    foreign.execute("ROLLBACK")
    foreign.close()
    mark(db, "after")
    assert marked(db) == "after"


# -- disks ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk]:
    with loop_disk(tmp_path, megabytes=64) as made:
        yield made


@pytest.fixture
def on_disk(disk: LoopDisk) -> Iterator[SqlDatabase]:
    database = open_database(f"sqlite:///{disk.folder}/kurado.db", clock=lambda: NOW)
    yield database
    database.close()


def test_a_full_disk_is_said_so_and_work_goes_on_when_there_is_room(on_disk: SqlDatabase, disk: LoopDisk) -> None:
    tenant = new_tenant(on_disk)
    ballast = disk.fill(leave=8 << 20)
    stored = 0
    for n in range(100):
        error = on_disk.write(lambda tx, n=n: tx.nodes.insert(big(tenant, n))).exception(120)
        assert error is None or isinstance(error, StorageFull), repr(error)
        stored += error is None
    assert stored < 100
    with pytest.raises(StorageFull):
        disk.fill_more(ballast)
        on_disk.write(lambda tx: tx.nodes.insert(big(tenant, 999))).result(120)
    assert children(on_disk, tenant) == stored
    ballast.unlink()
    on_disk.check()
    on_disk.write(lambda tx: tx.nodes.insert(big(tenant, 1000))).result(120)
    assert children(on_disk, tenant) == stored + 1
    assert on_disk.read(lambda tx: tx.session.scalar("PRAGMA integrity_check")) == "ok"


def test_what_is_small_is_still_done_on_a_disk_that_others_have_filled(on_disk: SqlDatabase, disk: LoopDisk) -> None:
    tenant, kept = new_tenant(on_disk), disk.folder / "kurado.db-ballast"
    assert kept.stat().st_size > 1 << 20
    filler = disk.fill(leave=0)
    on_disk.write(lambda tx: tx.nodes.insert(big(tenant, 1, 1 << 20))).result(120)
    mark(on_disk, "small")
    assert not kept.exists()
    filler.unlink()
    time.sleep(sqlite._EMPTY_EVERY)
    mark(on_disk, "room")
    assert kept.exists()


def test_what_is_small_goes_on_for_ever_on_a_full_disk(
    on_disk: SqlDatabase, disk: LoopDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal begins anew in its own room: else the small change of the gateway itself would use up what is kept
    for a deletion."""
    monkeypatch.setattr(sqlite, "_EMPTY_EVERY", 0)
    kept, journal = disk.folder / "kurado.db-ballast", disk.folder / "kurado.db-wal"
    mark(on_disk, "x")
    filler = disk.fill(leave=0)
    while kept.exists():
        mark(on_disk, "0" * 65536)
    disk.fill_more(filler)
    size = journal.stat().st_size
    for number in range(3 * size // 65536):
        mark(on_disk, f"{number:08}" * 8192)
    assert journal.stat().st_size == size


def test_only_those_that_do_not_fit_are_refused_on_a_full_disk(on_disk: SqlDatabase, disk: LoopDisk) -> None:
    tenant = new_tenant(on_disk)
    ballast = disk.fill(leave=1 << 20)
    with writer_busy(on_disk):
        large = on_disk.write(lambda tx: tx.nodes.insert(big(tenant, 1, 3 << 20)), tenant.id)
        small = on_disk.write(lambda tx: tx.nodes.insert(file(tenant.id, tenant.root_id, "small")), tenant.id)
    assert isinstance(large.exception(120), StorageFull)
    assert small.exception(120) is None
    ballast.unlink()


def test_a_disk_that_fails_is_trouble_and_no_hang(on_disk: SqlDatabase, disk: LoopDisk) -> None:
    mark(on_disk, "kept")
    disk.stop_writing()
    with pytest.raises(BackendUnavailable):
        mark(on_disk, "lost")
    with pytest.raises(BackendUnavailable):
        on_disk.check()


def test_a_read_only_disk_refuses_the_start(disk: LoopDisk) -> None:
    url = f"sqlite:///{disk.folder}/kurado.db"
    open_database(url, clock=lambda: NOW).close()
    disk.remount("ro")
    with pytest.raises(BackendUnavailable):
        open_database(url, clock=lambda: NOW)
    disk.remount("rw")
    open_database(url, clock=lambda: NOW).close()


def test_what_was_committed_survives_a_power_cut(disk: LoopDisk) -> None:
    script = (
        "import os, sys; from gateway.db.engine import open_database\n"
        "db = open_database('sqlite:///' + sys.argv[1], clock=lambda: 0)\n"
        "for n in range(100):\n"
        "    db.write(lambda tx: tx.system.set_meta('mark', str(n))).result(120); print(n, flush=True)\n"
        "input(); os._exit(0)"
    )
    command = [sys.executable, "-c", script, f"{disk.folder}/kurado.db"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 70:
                disk.stop_writing()
                break
        process.kill()
    disk.unmount()
    disk.mount()
    database = open_database(f"sqlite:///{disk.folder}/kurado.db", clock=lambda: NOW)
    assert int(marked(database) or -1) >= 70
    database.close()


def big(tenant: Tenant, n: int, size: int = 200_000) -> Node:
    return file(tenant.id, tenant.root_id, f"f{n}", props={"{urn:x}filler": "x" * size})


def children(db: SqlDatabase, tenant: Tenant) -> int:
    return len(db.read(lambda tx: tx.nodes.children(tenant.root_id)))
