"""The purge of an SQLite file: in the order of its pages, with the write lock held only for moments, and the log kept small.

Measured on a million keys: batches multiply the log, because each dirties most index pages again, and the server's writers wait by
sleeping, longer each time. So a step is as large as its time budget allows, the lock is left free in between, and the log is copied at
once.
"""

from __future__ import annotations

import re
import sqlite3
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

from stores.backends.base import IsLock
from stores.backends.pacing import Feedback
from stores.backends.sql import (
    EXPIRED,
    EXPIRED_MARKER,
    LOCK_BYTES,
    MALFORMED,
    NAMED_CORRUPT,
    NUMBER_SIZE,
    Execute,
    Params,
    Row,
    as_key,
    moment,
)
from stores.backends.sql_batch import BatchBackend
from stores.codecs.rows import MARKER_HEADER
from stores.errors import CursorLost
from stores.texts import say
from stores.types import Pace, PurgeSlice

WAIT_SLICE: Final = 0.25
"""Seconds that a statement waits for another writer at a time; between two tries a run sees whether it is to stop."""
LOG_LIMIT: Final = 32 << 20
"""Bytes of write-ahead log at which a purge empties it."""
COPY_AT: Final = 1 << 20
"""Bytes of log at which a purge copies it into the database. From 4 MB on (1000 pages) the server's own commits would do that work and
wait for the disk each time; measured, its writers waited three times as long.
"""
COPY_ATTEMPTS: Final = 40
EMPTY_ATTEMPTS: Final = 5
"""Five milliseconds apart: how long to wait for another connection that copies the log, and for a reader that needs it."""

_BUDGET: Final = {Pace.GENTLE: 0.010, Pace.NORMAL: 0.08, Pace.FAST: 0.16}
"""Seconds that one step may hold the write lock."""
ROOM: Final = 0.5
LONGEST_ROOM: Final = 0.05
"""Between two steps the lock is free for this share of the last step, at most so many seconds. SQLite's writers wait by sleeping, longer
each time; without room they would find the lock taken again whenever they wake up."""
_FIRST: Final = {Pace.GENTLE: 500, Pace.NORMAL: 2_000, Pace.FAST: 10_000}
_CACHE: Final = {Pace.GENTLE: 16, Pace.NORMAL: 64, Pace.FAST: 64}
"""MiB of page cache while a purge runs."""

_RANGE: Final = "m.rowid BETWEEN :begin AND :end"
_EXPIRED: Final = f"({EXPIRED} AND typeof(m.v) = 'blob')"
"""Text sorts before all bytes, so it would count as expired long ago."""
_IS_KEY: Final = "typeof(m.k) = 'blob'"
"""Keys of text or NULL, which only a hand can have written, are not the server's and not listed."""
_LOOK: Final = (
    f"SELECT m.k, length(m.v), {MALFORMED}, substr(m.v, 1, 8) = :zero FROM m WHERE {_RANGE} AND ({_EXPIRED} OR {MALFORMED}) AND {_IS_KEY}"
)


class PurgeByRowId(BatchBackend):
    """The purge part of the SQLite backend."""

    _connection: sqlite3.Connection | None = None
    _held = 0.0
    """Seconds for which the last step of a purge held the write lock, and when it let go."""
    _released = 0.0
    _log = 0
    """Bytes of the write-ahead log after the last step."""

    @property
    @abstractmethod
    def path(self) -> Path:
        """Where the database is."""

    @abstractmethod
    def _open(self) -> sqlite3.Connection:
        """The open connection."""

    @abstractmethod
    def _translated(self) -> AbstractContextManager[None]:
        """Turns the driver's errors into typed ones."""

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

        def delete() -> int:
            with self._purging() as execute:
                return self._delete(execute, params, len(_doomed(seen)))

        def look_and_delete() -> tuple[list[Row], int]:
            with self._purging() as execute:
                found = execute(_LOOK, params).rows
                return found, self._delete(execute, params, len(_doomed(found)))

        try:
            numbers = self._again(delete)
        except _Differs:
            self._leave_room()
            seen, numbers = self._again(look_and_delete)
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
        """A transaction that notes how long it held the lock."""
        began = None
        try:
            with self._transaction() as execute:
                began = time.monotonic()
                yield execute
        finally:
            if began is not None:
                self._released = time.monotonic()
                self._held = self._released - began

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
            connection.execute("PRAGMA busy_timeout = 0")
            try:
                _copy_log(connection, empty=full)
            finally:
                connection.execute(f"PRAGMA busy_timeout = {int(WAIT_SLICE * 1000)}")
        self._log = self._log_size()

    def _log_size(self) -> int:
        try:
            return self.path.with_name(self.path.name + "-wal").stat().st_size
        except OSError:
            return 0


class _Differs(Exception):
    """The rows deleted are not those that were looked at."""


def _copy_log(connection: sqlite3.Connection, *, empty: bool) -> None:
    """Copy the log into the database, and empty it; gives up when another connection is at it, or a reader needs it."""
    for attempt in range(COPY_ATTEMPTS):
        ((copying, _, _),) = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        if not empty:
            return
        if not copying:
            ((busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            if not busy or attempt >= EMPTY_ATTEMPTS:
                return
        time.sleep(0.005)


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
        raise CursorLost(say("This position is not of an SQLite store."), say("Start the purge again."))
    return int(match[2]) + 1 if int(match[1]) == schema else first
