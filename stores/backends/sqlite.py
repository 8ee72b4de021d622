"""SQLite: the database file of a Stalwart on the same machine, also while the server runs.

Settings: `path`. The pool settings are Stalwart's; kvadmin opens one connection for a request or a run.
Capabilities: all of a data store; read only where kvadmin's user may not write the file.
Differences from Stalwart: the file is never created and its journal mode never changed; a purge checkpoints the log
whenever it passes 32 MB, because batches multiply it.
Limits: keys of 1 MiB and values of 128 MiB; a statement waits 2 s for another writer, a step of a purge 10 s.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from stores.backends.base import IsLock
from stores.backends.pacing import Feedback
from stores.backends.sql import (
    EXPIRED,
    EXPIRED_MARKER,
    LOCK_BYTES,
    MALFORMED,
    NAMED_CORRUPT,
    NO_PARAMS,
    NUMBER_SIZE,
    Answer,
    Execute,
    Params,
    Row,
    SQLBackend,
    as_key,
    moment,
)
from stores.backends.sqlite_errors import translate
from stores.codecs.rows import MARKER_HEADER
from stores.errors import BadConfig, CursorLost, StoreError, StoreRefused
from stores.types import Capabilities, Check, CheckState, FieldType, Pace, Ping, PurgeSlice, SettingField

WAIT_SECONDS: Final = 2.0
"""How long a page waits for another writer."""
PURGE_WAIT_SECONDS: Final = 10.0
LOG_LIMIT: Final = 32 << 20
"""Bytes of write-ahead log at which a purge empties it."""
COPY_AT: Final = 4 << 20
"""Bytes of log at which a purge copies it into the database. From 4 MB on (1000 pages) the server's own commits would do that work and
wait for the disk each time; measured, its writers waited three times as long.
"""
TRUNCATE_ATTEMPTS: Final = 5

_BUDGET: Final = {Pace.GENTLE: 0.013, Pace.NORMAL: 0.08, Pace.FAST: 0.16}
"""Seconds that one step may hold the write lock."""
ROOM: Final = 0.35
LONGEST_ROOM: Final = 0.05
"""Between two steps the lock is free for this share of the last step, at most so many seconds. SQLite's writers wait by sleeping, longer
each time; without room they would find the lock taken again whenever they wake up."""
_FIRST: Final = {Pace.GENTLE: 500, Pace.NORMAL: 2_000, Pace.FAST: 10_000}
_CACHE: Final = {Pace.GENTLE: 16, Pace.NORMAL: 64, Pace.FAST: 64}
"""MiB of page cache while a purge runs."""


class SQLiteBackend(SQLBackend):
    """A database file in Stalwart's layout."""

    TYPE = "sqlite"
    LABEL = "SQLite"
    ADVICE = "The path of the database file, and read and write access to it and to its folder."
    SETTINGS = (
        SettingField("path", FieldType.PATH, "Database file", required=True, help="As in Stalwart's store.<id>.path."),
        SettingField("pool.max-connections", FieldType.INTEGER, "Connections", advanced=True, used=False),
        SettingField("pool.workers", FieldType.INTEGER, "Workers", advanced=True, used=False),
    )
    DIALECT = "sqlite"
    LOCK_ROWS = ""
    CENSUS_STEP = 20_000

    _connection: sqlite3.Connection | None = None
    _held = 0.0
    """Seconds for which the last step of a purge held the write lock, and when it let go."""
    _released = 0.0
    _log = 0
    """Bytes of the write-ahead log after the last step."""

    @property
    def path(self) -> Path:
        """Where the database is. Raises BadConfig without the setting."""
        path = self.settings.get("path", "")
        if not path:
            raise BadConfig("An SQLite store needs a path.", "Give the path of the database file.", "path")
        return Path(path).absolute()

    @property
    def capabilities(self) -> Capabilities:
        """Whether writes are possible is asked of the file system, without opening the database."""
        if self.writable() or _missing(self.path):
            return Capabilities()
        reason = f"kvadmin's user may not write {self.path} and its folder."
        return Capabilities(
            writes=False, purges=False, conditional_write=False, why=dict.fromkeys(("writes", "purges", "conditional_write"), reason)
        )

    def writable(self) -> bool:
        """Write access to the file, and to the folder or to the log files that exist."""
        path = self.path
        logs = [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm")]
        return _may(path, os.W_OK) and (_may(path.parent, os.W_OK) or all(_may(log, os.W_OK) for log in logs))

    def ping(self) -> Ping:
        """Reads one page of the file."""
        began = time.perf_counter()
        self._query("SELECT name FROM sqlite_master LIMIT 1")
        return Ping((time.perf_counter() - began) * 1000, f"SQLite {sqlite3.sqlite_version}")

    def size_bytes(self) -> int:
        """Bytes of the file's used pages; in a data store that is more than the lookup tables."""
        pages, free, size = (self._query(f"PRAGMA {name}")[0][0] for name in ("page_count", "freelist_count", "page_size"))
        return (int(pages) - int(free)) * int(size)

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def check_way(self) -> Iterator[Check]:
        """Step File: it is there, it can be read, and the log files that kvadmin makes suit the server."""
        try:
            self._require_file(self.path)
        except StoreError as error:
            yield Check("File", CheckState.FAILED, error.message, error.fix)
            return
        owner = self.path.stat().st_uid
        if os.geteuid() not in (0, owner):
            fix = "Run kvadmin as that user, or give both users one group that may write the folder and the file."
            yield Check("File", CheckState.WARN, f"{self.path} belongs to another user; log files made here may be closed to it", fix)
        else:
            yield Check("File", CheckState.OK, f"{self.path}, {self.path.stat().st_size:,} bytes")

    def check_login(self) -> Iterator[Check]:
        """Nothing to log in to; a file that is no database fails here."""
        self._query("SELECT name FROM sqlite_master LIMIT 1")
        return iter(())

    # statements

    def _select(self, table: str, columns: str, end: bytes | None) -> str:
        before = "" if end is None else " AND k < :end"
        return f"SELECT * FROM (SELECT {columns} FROM {table} WHERE k >= :start{before} ORDER BY k LIMIT :limit)"

    def _headers(self, start: bytes, limit: int) -> list[Row]:
        """As in the other engines, but read by row id: following the key index one by one costs half as much again."""
        return self._query(
            "SELECT k, substr(v, 1, 16), length(v) FROM m WHERE rowid IN (SELECT rowid FROM m WHERE k >= :start ORDER BY k LIMIT :limit)",
            {"start": start, "limit": limit},
        )

    def table_names(self) -> set[str]:
        return {str(row[0]) for row in self._query("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def _expected_rows(self) -> int:
        return sum(int(self._query(f"SELECT count(*) FROM {table}")[0][0]) for table in (self.tables.values, self.tables.counters))

    def _query(self, sql: str, params: Params = NO_PARAMS) -> list[Row]:
        with self._translated():
            return self._open().execute(sql, dict(params)).fetchall()

    @contextmanager
    def _transaction(self, read_seconds: float | None = None) -> Iterator[Execute]:
        def execute(sql: str, params: Params = NO_PARAMS) -> Answer:
            cursor = connection.execute(sql, dict(params))
            return Answer(cursor.fetchall(), cursor.rowcount)

        with self._translated():
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield execute
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            path = self.path
            self._require_file(path)
            mode = "rw" if self.writable() else "ro"
            connection = sqlite3.connect(
                f"file:{quote(str(path))}?mode={mode}", WAIT_SECONDS, isolation_level=None, check_same_thread=False, uri=True
            )
            try:
                if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
                    connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA temp_store = MEMORY")
                connection.execute("PRAGMA trusted_schema = OFF")
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _require_file(self, path: Path) -> None:
        try:
            if path.is_dir():
                raise StoreRefused(
                    f"{path} is a folder, not an SQLite database.", "Give the path of the database file; a RocksDB is a folder."
                )
            if _missing(path):
                raise StoreRefused(f"There is no file {path}.", "Check the path; kvadmin never creates the database of a server.")
        except PermissionError:
            raise StoreRefused(f"kvadmin's user may not look into {path.parent}.", "Let it read the folder and the file.") from None
        if not _may(path, os.R_OK):
            raise StoreRefused(f"kvadmin's user may not read {path}.", "Let it read the file, or run kvadmin as Stalwart's user.")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise translate(error, self.path, self.version) from None

    # purge

    def _purge(self, now: int, pace: Pace, position: str, is_lock: IsLock) -> Iterator[PurgeSlice]:
        """Ranges of row ids, in the order of the table's pages; rows that are written meanwhile come after the last id of the start.

        A position holds the number of the schema too: VACUUM changes both it and the ids, so after one the purge starts over.
        """
        first, last = self._row_ids()
        schema = int(self._query("PRAGMA schema_version")[0][0])
        if position:
            first = max(first, _row_after(position, schema, first))
        feedback = Feedback(_BUDGET[pace], _FIRST[pace], 200, 200_000)
        with self._tuned(pace):
            begin = first
            while begin <= last:
                scanned, end = self._stretch(begin, last, feedback.size)
                step = self._purge_rows(now, begin, end, is_lock, scanned, feedback)
                begin = end + 1
                self._checkpoint()
                done = begin > last
                yield PurgeSlice(**step, position=f"s{schema}:{end}", progress=1.0 if done else (begin - first) / (last - first + 1))

    def _row_ids(self) -> tuple[int, int]:
        lowest, highest = (self._query(f"SELECT {which}(rowid) FROM m")[0][0] for which in ("min", "max"))
        return (0, -1) if lowest is None else (int(lowest), int(highest))

    def _stretch(self, begin: int, last: int, size: int) -> tuple[int, int]:
        """How many rows the next step has, and its last row id: ids have wide gaps where rows are replaced often."""
        scanned, end = self._query(
            "SELECT count(*), max(id) FROM (SELECT rowid AS id FROM m WHERE rowid BETWEEN :begin AND :last ORDER BY rowid LIMIT :size)",
            {"begin": begin, "last": last, "size": size},
        )[0]
        return int(scanned), last if end is None or scanned < size else int(end)

    def _purge_rows(self, now: int, begin: int, end: int, is_lock: IsLock, scanned: int, feedback: Feedback) -> dict[str, Any]:
        """Look without a lock, delete under it; if the two differ, a writer came between: undo, and look under the lock."""
        params = {**moment(now), "begin": begin, "end": end}
        seen = self._query(_LOOK, params)
        self._leave_room()
        try:
            with self._purging() as execute:
                numbers = self._delete(execute, params, len(_doomed(seen)))
        except _Differs:
            self._leave_room()
            with self._purging() as execute:
                seen = execute(_LOOK, params).rows
                numbers = self._delete(execute, params, len(_doomed(seen)))
        if scanned >= feedback.size // 2:
            feedback.took(self._held)
        return {"scanned": scanned, **_counts(seen, numbers, is_lock)}

    def _delete(self, execute: Execute, params: Params, expected: int) -> int:
        """Delete what has expired in the stretch; returns how many numbers went. Raises _Differs when rows are not as expected."""
        numbers = execute(f"DELETE FROM {self.tables.counters} WHERE k IN (SELECT k FROM m WHERE {_RANGE} AND {EXPIRED_MARKER})", params)
        if execute(f"DELETE FROM m WHERE {_RANGE} AND {_EXPIRED} AND {_IS_KEY}", params).changed != expected:
            raise _Differs
        return numbers.changed

    @contextmanager
    def _purging(self) -> Iterator[Execute]:
        """A transaction that waits longer for its turn than a page does, and notes how long it held the lock."""
        with self._translated():
            self._open().execute(f"PRAGMA busy_timeout = {int(PURGE_WAIT_SECONDS * 1000)}")
        began = time.monotonic()
        try:
            with self._transaction() as execute:
                began = time.monotonic()
                yield execute
        finally:
            self._released = time.monotonic()
            self._held = self._released - began
            if self._connection is not None:
                self._connection.execute(f"PRAGMA busy_timeout = {int(WAIT_SECONDS * 1000)}")

    def _leave_room(self) -> None:
        """Wait until writers had their turn since the last step."""
        wanted = min(self._held * ROOM, LONGEST_ROOM)
        time.sleep(max(0.0, self._released + wanted - time.monotonic()))

    @contextmanager
    def _tuned(self, pace: Pace) -> Iterator[None]:
        """A larger page cache, and no checkpoint inside a commit, while this connection purges."""
        with self._translated():
            connection = self._open()
            usual = [(name, connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("cache_size", "wal_autocheckpoint")]
            connection.execute(f"PRAGMA cache_size = {-1024 * _CACHE[pace]}")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        try:
            yield
        finally:
            if self._connection is not None:
                for name, value in usual:
                    self._connection.execute(f"PRAGMA {name} = {value}")

    def _checkpoint(self) -> None:
        """Copy the log into the database when it has grown, and empty it at its limit, or when the next step might take it to twice that.

        Copying keeps no writer out. Emptying does for a moment; it is given up at once when a writer or an old reader is in the way,
        so that nobody waits for it.
        """
        before, size = self._log, self._log_size()
        self._log = size
        full = size > LOG_LIMIT or size + 1.5 * (size - before) > 2 * LOG_LIMIT
        if not full and size <= COPY_AT:
            return
        with self._translated():
            connection = self._open()
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            if not full:
                return
            connection.execute("PRAGMA busy_timeout = 0")
            try:
                for _ in range(TRUNCATE_ATTEMPTS):
                    (busy, _, _), *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                    if not busy:
                        break
                    time.sleep(0.003)
            finally:
                connection.execute(f"PRAGMA busy_timeout = {int(WAIT_SECONDS * 1000)}")
        self._log = self._log_size()

    def _log_size(self) -> int:
        try:
            return self.path.with_name(self.path.name + "-wal").stat().st_size
        except OSError:
            return 0


def _missing(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return True
    except PermissionError:
        return False
    return False


def _may(path: Path, mode: int) -> bool:
    """Whether the user as whom this process works may use the file so."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


class _Differs(Exception):
    """The rows deleted are not those that were looked at."""


_RANGE: Final = "m.rowid BETWEEN :begin AND :end"
_EXPIRED: Final = f"({EXPIRED} AND typeof(m.v) = 'blob')"
"""Text sorts before all bytes, so it would count as expired long ago."""
_IS_KEY: Final = "typeof(m.k) = 'blob'"
"""Keys of text or NULL, which only a hand can have written, are not the server's and not listed."""
_LOOK: Final = (
    f"SELECT m.k, length(m.v), {MALFORMED}, substr(m.v, 1, 8) = :zero FROM m WHERE {_RANGE} AND ({_EXPIRED} OR {MALFORMED}) AND {_IS_KEY}"
)


def _doomed(seen: list[Row]) -> list[Row]:
    return [row for row in seen if not row[2]]


def _counts(seen: list[Row], numbers: int, is_lock: IsLock) -> dict[str, Any]:
    """What a step reports, from key, length, malformed and marker of the rows it met."""
    markers = values = locks = size = 0
    corrupt: list[bytes] = []
    for key, length, malformed, marker in seen:
        if malformed:
            corrupt.append(as_key(key))
            continue
        size += len(key) + length
        if marker:
            markers += 1
        elif length == len(MARKER_HEADER) and LOCK_BYTES[0] <= key < LOCK_BYTES[1] and is_lock(key):
            locks += 1
        else:
            values += 1
    return {
        "values": values,
        "counters": markers,
        "locks": locks,
        "bytes": size + NUMBER_SIZE * numbers,
        "corrupt": len(corrupt),
        "corrupt_keys": tuple(corrupt[:NAMED_CORRUPT]),
    }


def _row_after(position: str, schema: int, first: int) -> int:
    """Where to go on; `first` when the ids have changed since."""
    match = re.fullmatch(r"s(\d+):(-?\d+)", position)
    if match is None:
        raise CursorLost("This position is not of an SQLite store.", "Start the purge again.")
    return int(match[2]) + 1 if int(match[1]) == schema else first


def create_file(path: Path, version: str = "") -> None:
    """Create a database file with Stalwart's two lookup tables, in WAL mode, for a store of kvadmin's own. Mode 0600; never
    overwrites: raises FileExistsError."""
    from stores.codecs.sqltables import create_statements

    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        for statement in create_statements("sqlite", version):
            connection.execute(statement)
    finally:
        connection.close()
