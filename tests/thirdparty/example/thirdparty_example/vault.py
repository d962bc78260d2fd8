"""A storage backend: all blobs in one SQLite file, in chunks.

Settings: ``path`` of the file (default ``<data_dir>/vault.db``).
"""

from __future__ import annotations

import io
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.blobstore import BlobInfo, check_key
from gateway.domain.errors import BackendUnavailable, NotFound, StorageFull

CHUNK = 256 * 1024


def create(settings: Mapping[str, Any], data_dir: Path) -> Vault:
    unknown = set(settings) - {"path"}
    if unknown:
        raise ValueError(f"{unknown.pop()}: unknown setting; path is the only one")
    return Vault(data_dir / settings.get("path", "vault.db"))


class Vault:
    """One connection for each thread; SQLite keeps processes apart and flushes each commit."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        file.parent.mkdir(parents=True, exist_ok=True)
        with self.transaction() as db:
            db.execute("CREATE TABLE IF NOT EXISTS blob (key TEXT PRIMARY KEY, size INTEGER, modified_at INTEGER)")
            db.execute("CREATE TABLE IF NOT EXISTS chunk (key TEXT, n INTEGER, bytes BLOB, PRIMARY KEY (key, n))")

    def writer(self, key: str) -> Writer:
        return Writer(self, check_key(key))

    def open(self, key: str, start: int = 0, length: int | None = None) -> io.BufferedReader:
        if start < 0 or (length is not None and length < 0):
            raise ValueError("start and length may not be negative")
        size = self.stat(key).size
        end = size if length is None else min(size, start + length)
        return io.BufferedReader(Range(self, key, start, end), CHUNK)

    def stat(self, key: str) -> BlobInfo:
        check_key(key)
        with self.transaction() as db:
            row = db.execute("SELECT key, size, modified_at FROM blob WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise NotFound(f"no blob {key}")
        return BlobInfo(*row)

    def delete(self, key: str) -> None:
        check_key(key)
        with self.transaction() as db:
            db.execute("DELETE FROM blob WHERE key = ?", (key,))
            db.execute("DELETE FROM chunk WHERE key = ?", (key,))

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        with self.transaction() as db:
            rows = db.execute("SELECT key, size, modified_at FROM blob").fetchall()
        return (BlobInfo(*row) for row in rows if row[0].startswith(prefix))

    def check(self) -> None:
        with self.transaction() as db:
            db.execute("DELETE FROM blob WHERE key = ''")

    def close(self) -> None:
        for connection in self._all:
            connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
            raise (StorageFull if full else BackendUnavailable)("the vault takes nothing") from error

    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._local, "connection"):
            connection = sqlite3.connect(self._file, timeout=20, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._all.append(connection)
            self._local.connection = connection
        return self._local.connection


class Writer:
    """Collects in a temporary file; all becomes visible in one transaction."""

    def __init__(self, vault: Vault, key: str) -> None:
        self._vault, self._key = vault, key
        self._spool = tempfile.TemporaryFile()
        self._done: BlobInfo | None = None

    def write(self, block: bytes) -> None:
        try:
            self._spool.write(block)
        except OSError as error:
            raise StorageFull("no room for temporary files") from error

    def commit(self) -> BlobInfo:
        if self._done:
            return self._done
        info = BlobInfo(self._key, self._spool.tell(), time.time_ns() // 1_000_000)
        self._spool.seek(0)
        with self._vault.transaction() as db:
            db.execute("DELETE FROM chunk WHERE key = ?", (self._key,))
            for n, bytes_ in enumerate(iter(lambda: self._spool.read(CHUNK), b"")):
                db.execute("INSERT INTO chunk VALUES (?, ?, ?)", (self._key, n, bytes_))
            db.execute("INSERT OR REPLACE INTO blob VALUES (?, ?, ?)", (info.key, info.size, info.modified_at))
        self._spool.close()
        self._done = info
        return info

    def abort(self) -> None:
        self._spool.close()


class Range(io.RawIOBase):
    """The bytes from ``start`` to ``end``, chunk by chunk."""

    def __init__(self, vault: Vault, key: str, start: int, end: int) -> None:
        self._vault, self._key, self._at, self._end = vault, key, start, end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n, skip = divmod(self._at, CHUNK)
        want = min(len(buffer), CHUNK - skip, self._end - self._at)
        if want <= 0:
            return 0
        with self._vault.transaction() as db:
            row = db.execute("SELECT bytes FROM chunk WHERE key = ? AND n = ?", (self._key, n)).fetchone()
        if row is None or len(row[0]) < skip + want:
            raise BackendUnavailable("the vault ended a blob early")
        buffer[:want] = row[0][skip : skip + want]
        self._at += want
        return want
