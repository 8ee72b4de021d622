"""What the SQL engines share: keyset pages over `m` and `y`, conditional writes, the census; the engines add their dialect.

Settings, Capabilities, Differences from Stalwart: see the engines.
Statements are written once, with `:name` parameters; key and row parameters are always bytes.
Limits: no statement reads more than one page or slice, no transaction lasts longer than one step of background work.
"""

from __future__ import annotations

import random
import re
import struct
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from itertools import repeat
from types import MappingProxyType
from typing import Any, ClassVar, Final, NamedTuple, Protocol, TypeVar

from stores.backends.base import IsLock
from stores.backends.datastore import DataStoreBackend, Decide, Stored
from stores.backends.replication import Replication
from stores.backends.sqlchecks import run_checks
from stores.codecs.cursors import cursor_after, start_after
from stores.codecs.rows import HEADER, MARKER_HEADER, MARKER_SIZE, NEVER_NUMBER, split_row
from stores.codecs.sqltables import SETTINGS, Dialect, guess_version, is_lookup_counter, tables_of
from stores.errors import BadConfig, StoreUnavailable
from stores.texts import say
from stores.types import ALL_KEYS, CensusRow, CensusSlice, Check, Clock, Cursor, Entry, KeyRange, Kind, Pace, Page, PurgeSlice, prefix_end

T = TypeVar("T")
Row = tuple[Any, ...]
Params = Mapping[str, object]

NO_PARAMS: Final[Params] = MappingProxyType({})

ATTEMPTS: Final = 10
"""How often a write is tried when other writers keep winning the race for a key."""
LOCK_SECONDS: Final = 2
"""How long a page waits for what another transaction holds."""
WATCHED_SECONDS: Final = 30.0
"""How long a run does, which can be stopped meanwhile."""

EXPIRED_MARKER: Final = "(substr(m.v, 1, 8) = :zero AND length(m.v) >= 16 AND substr(m.v, 9, 8) <= :now)"
EXPIRED: Final = (
    "(substr(m.v, 1, 8) <= :now AND length(m.v) >= 8 AND (substr(m.v, 1, 8) > :zero OR (length(m.v) >= 16 AND substr(m.v, 9, 8) <= :now)))"
)
"""What a purge removes; 8-byte big-endian times compare like numbers (store-formats d.1)."""
MALFORMED: Final = "(length(m.v) < 16 AND (length(m.v) < 8 OR substr(m.v, 1, 8) = :zero))"

LOCK_BYTES: Final = (b"\x14", b"\x20")
"""Keys of locks lie in this range in every version, so a purge fetches only these keys to ask `is_lock`."""
NAMED_CORRUPT: Final = 10
"""Malformed keys that one step of a purge names."""
NUMBER_SIZE: Final = 8


class Answer(NamedTuple):
    """Rows of a statement, and how many rows it changed."""

    rows: list[Row]
    changed: int


class Execute(Protocol):
    """Runs a statement inside a transaction."""

    def __call__(self, sql: str, params: Params = ...) -> Answer: ...


class LostRace(StoreUnavailable):
    """Another writer got there first; nothing is written. Raised and caught inside a backend, which tries again."""

    def __init__(self) -> None:
        super().__init__(say("Another writer got there first."), say("Try again in a moment."))


class LockHeld(StoreUnavailable):
    """Another transaction holds what a statement wants; nothing is written. The backend tries again for a while."""


class SQLBackend(DataStoreBackend):
    """`m` and `y` of an SQL database."""

    DIALECT: ClassVar[Dialect]
    LOCK_ROWS: ClassVar[str] = " FOR UPDATE"
    INSERT_TAIL: ClassVar[str] = ""
    """Makes an INSERT of a key that has just appeared change nothing instead of failing, where the dialect can."""
    CENSUS_STEP: ClassVar[int] = 10_000

    def __init__(self, settings: Mapping[str, str], *, version: str = "", clock: Clock = time.time) -> None:
        super().__init__(settings, version=version, clock=clock)
        self.tables = tables_of(version)

    # what an engine provides

    @abstractmethod
    def _query(self, sql: str, params: Params = NO_PARAMS) -> list[Row]:
        """Rows of one read statement, in a transaction of its own. Driver errors come translated."""

    @abstractmethod
    def _transaction(self, read_seconds: float | None = None) -> AbstractContextManager[Execute]:
        """A short read-write transaction: committed at the end, rolled back by an exception. LostRace when it has to be repeated."""

    @abstractmethod
    def table_names(self) -> set[str]:
        """Names of all tables that the login sees in this database."""

    @abstractmethod
    def _purge(self, now: int, pace: Pace, position: str, is_lock: IsLock) -> Iterator[PurgeSlice]:
        """The steps of a purge in the engine's physical order."""

    @abstractmethod
    def _expected_rows(self) -> int | None:
        """About how many keys there are, for progress only; None when the engine cannot tell cheaply."""

    def _select(self, table: str, columns: str, end: bytes | None) -> str:
        """A select of the next `:limit` rows from `:start` on in key order, fit to stand in a UNION ALL."""
        return f"(SELECT {columns} FROM {table} WHERE k >= :start{before(end)} ORDER BY k LIMIT :limit)"

    def _ordered(self, table: str, columns: str, start: bytes, end: bytes | None, limit: int) -> list[Row]:
        """The next rows of one table in key order; the key is the first column."""
        return self._query(self._select(table, columns, end), {"start": start, "end": end, "limit": limit})

    # reading

    def _read(self, key: bytes) -> Stored:
        sql = f"SELECT (SELECT v FROM {self.tables.values} WHERE k = :k), (SELECT v FROM {self.tables.counters} WHERE k = :k)"
        row, number = self._query(sql, {"k": key})[0]
        return self._own(key, as_row(row), as_number(number))

    def _own(self, key: bytes, row: bytes | None, number: int | None) -> Stored:
        """Both rows, without a number that belongs to another part of the server (0.10)."""
        if number is None or not self.tables.shared or is_lookup_counter(key) or _is_marker(row):
            return Stored(row, number)
        return Stored(row, None)

    def scan(self, keys: KeyRange = ALL_KEYS, cursor: Cursor | None = None, limit: int = 100) -> Page:
        """The next entries in key order, values and counters merged: one statement, so one moment.

        In 0.10 a page may hold fewer entries than asked for, because foreign numbers are left out.
        """
        values, numbers = self._page(start_after(cursor, keys), keys.end, limit + 1)
        found = sorted(values.keys() | numbers.keys())
        entries: list[Entry] = []
        for key in found[:limit]:
            entry = self._own(key, values.get(key), numbers.get(key)).entry(key)
            if entry is not None:
                entries.append(entry)
        return Page(tuple(entries), cursor_after(found[limit - 1]) if len(found) > limit else None)

    def _page(self, start: bytes, end: bytes | None, limit: int) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
        """The next `limit` rows of each table."""
        sql = f"{self._select(self.tables.values, 'k, v, NULL', end)} UNION ALL {self._select(self.tables.counters, 'k, NULL, v', end)}"
        return split_page(self._query(sql, {"start": start, "end": end, "limit": limit}))

    def count(self, keys: KeyRange = ALL_KEYS, at_most: int = 10_000) -> tuple[int, bool]:
        """Number of keys and whether that is all; reads at most `at_most` keys of each table, and no rows."""
        both = [
            {as_key(row[0]) for row in self._ordered(table, "k", keys.start, keys.end, at_most + 1)}
            for table in (self.tables.values, self.tables.counters)
        ]
        only_counted = both[1] - both[0]
        if self.tables.shared:
            only_counted = {key for key in only_counted if is_lookup_counter(key)}
        number = len(both[0]) + len(only_counted)
        exact = number <= at_most and all(len(found) <= at_most for found in both)
        return min(number, at_most), exact

    def census(self, position: str = "") -> Iterator[CensusSlice]:
        """Every key once, by merging both tables in key order; of the rows only the first 16 bytes and the length are read.

        Bounded slices, each read in a statement of its own; memory is flat. Progress is None after a resumption.
        """
        start = start_after(position or None, ALL_KEYS)
        expected = None if position else self._expected_rows()
        values = _Stream(start, self._headers, self.CENSUS_STEP)
        numbers = _Stream(start, self._number_keys, self.CENSUS_STEP)
        seen = 0
        while True:
            cut = _smaller(values.fill(), numbers.fill())
            rows = self._census_rows(values.take(cut), {row[0] for row in numbers.take(cut)})
            seen += len(rows)
            if cut is None:
                yield CensusSlice(tuple(rows), "", 1.0)
                return
            yield CensusSlice(tuple(rows), cursor_after(cut), None if not expected else min(0.99, seen / expected))

    def _headers(self, start: bytes, limit: int) -> list[Row]:
        """Key, first 16 bytes and length of the next rows of `m`."""
        return self._ordered(self.tables.values, "k, substr(v, 1, 16), length(v)", start, None, limit)

    def _number_keys(self, start: bytes, limit: int) -> list[Row]:
        return self._ordered(self.tables.counters, "k", start, None, limit)

    def _census_rows(self, values: list[Row], numbers: set[bytes]) -> list[CensusRow]:
        """About 0.5 µs a row."""
        if self.tables.shared:
            marked = {row[0] for row in values if row[2] >= MARKER_SIZE and row[1][:HEADER] == MARKER_HEADER}
            numbers = {key for key in numbers if key in marked or is_lookup_counter(key)}
        rows: list[CensusRow] = []
        add, new, row_type, value, counter = rows.append, tuple.__new__, CensusRow, Kind.VALUE, Kind.COUNTER
        first, second, never = _first_u64, _second_u64, NEVER_NUMBER
        for key, head, length in values:
            size = length + NUMBER_SIZE if key in numbers else length
            try:
                (expiry,) = first(head)
                if expiry:
                    add(new(row_type, (key, value, None if expiry == never else expiry, len(key), size, False)))
                else:
                    (expiry,) = second(head)
                    add(new(row_type, (key, counter, None if expiry == never else expiry, len(key), size, False)))
            except (struct.error, TypeError):
                add(_odd_row(key, head, size))
        numbers.difference_update([row[0] for row in values])
        columns = zip(numbers, repeat(counter), repeat(None), map(len, numbers), repeat(NUMBER_SIZE), repeat(False), strict=False)
        rows.extend(map(new, repeat(row_type), columns))
        return rows

    def detect_version(self) -> str:
        """Stalwart's version as the tables tell it ("0.10", "0.15", "0.16"), empty when they do not."""
        names = self.table_names()
        sample = self._query(f"SELECT k FROM {SETTINGS} LIMIT 50") if SETTINGS in names else []
        return guess_version(names, [as_key(row[0]) for row in sample])

    def server_settings(self, prefixes: Sequence[str], most: int = 10_000) -> dict[str, str] | None:
        """Settings of table `s`, plain text on both sides; None without that table, and in 0.16, where it holds objects."""
        if self.version.startswith("0.16") or SETTINGS not in self.table_names():
            return None
        starts = [prefix.encode() for prefix in prefixes]
        rows = [row for start in starts for row in self._ordered(SETTINGS, "k, v", start, prefix_end(start), most)]
        return {as_key(key).decode(errors="replace"): as_key(value).decode(errors="replace") for key, value in rows}

    # writing

    def _change(self, key: bytes, decide: Decide) -> None:
        """Lock both rows, decide, write the difference, commit; again from the start after a lost race or a deadlock."""

        def change() -> None:
            with self._transaction() as execute:
                seen = self._locked(execute, key)
                new = decide(seen)
                self._require_own(key, seen, new)
                self._store(execute, self.tables.values, key, seen.row, new.row)
                self._store(execute, self.tables.counters, key, seen.number, new.number)

        self._again(change, say("Other writers keep changing this key."))

    def _again(self, act: Callable[[], T], busy: str = "") -> T:
        """Do it, and do it anew after a lost race, or for a while when a lock is in the way; between two tries nothing is held.

        Raises StoreUnavailable, with `busy` for its words after too many races, and Interrupted when whoever watches wants that.
        """
        until = time.monotonic() + (WATCHED_SECONDS if self.on_wait else LOCK_SECONDS)
        races = 0
        while True:
            try:
                return act()
            except LostRace:
                races += 1
                if races == ATTEMPTS:
                    raise StoreUnavailable(busy or say("Other writers keep changing these keys."), say("Try again in a moment.")) from None
                time.sleep(random.uniform(0.002, 0.01) * races)  # noqa: S311 - a pause, no secret
            except LockHeld:
                if self.on_wait is not None:
                    self.on_wait()
                if time.monotonic() >= until:
                    raise

    def _locked(self, execute: Execute, key: bytes) -> Stored:
        found = [
            execute(f"SELECT v FROM {table} WHERE k = :k{self.LOCK_ROWS}", {"k": key}).rows
            for table in (self.tables.values, self.tables.counters)
        ]
        row, number = (rows[0][0] if rows else None for rows in found)
        return self._own(key, as_row(row), as_number(number))

    def _require_own(self, key: bytes, seen: Stored, new: Stored) -> None:
        if self.tables.shared and new.number is not None and not is_lookup_counter(key) and not _is_marker(seen.row):
            raise BadConfig(
                say(
                    "Stalwart 0.10 keeps counters of its own under keys of this form in table %(counters)s.", counters=self.tables.counters
                ),
                say("Use a key of text for a counter."),
                "key",
            )

    def _store(self, execute: Execute, table: str, key: bytes, seen: bytes | int | None, new: bytes | int | None) -> None:
        if seen == new:
            return
        if new is None:
            execute(f"DELETE FROM {table} WHERE k = :k", {"k": key})
        elif seen is not None:
            execute(f"UPDATE {table} SET v = :v WHERE k = :k", {"k": key, "v": new})
        elif execute(f"INSERT INTO {table} (k, v) VALUES (:k, :v){self.INSERT_TAIL}", {"k": key, "v": new}).changed != 1:
            raise LostRace

    def purge(self, now: int, pace: Pace = Pace.NORMAL, position: str = "", is_lock: IsLock = lambda key: False) -> Iterator[PurgeSlice]:
        """Remove what had expired at `now` in physical order, one short transaction a step, sized to the pace's time budget.

        Each statement decides about values, markers and numbers of its stretch by itself, so a row that is renewed before it
        stays. `is_lock` is asked of keys from 14 to 1F, the only ones that locks ever had.
        """
        self.require_writes()
        return self._purge(now, pace, position, is_lock)

    # the connection test

    def check(self) -> list[Check]:
        """The connection test, step by step; a failed step ends the list."""
        return run_checks(self)

    @abstractmethod
    def check_way(self) -> Iterator[Check]:
        """The steps that lead to the server or file."""

    @abstractmethod
    def check_login(self) -> Iterator[Check]:
        """Open the database. Raises ConnectionRefused or StoreUnavailable."""

    def look_into(self, table: str) -> None:
        """Read at most one row. Raises StoreRefused without the table or without the right to read it."""
        self._query(f"SELECT v FROM {table} LIMIT 1")

    def server_time(self) -> float | None:
        """Unix seconds of the server's clock, None where there is no server."""
        return None

    def replication(self) -> Replication | None:
        """What the server says of its replicas, or of itself as one; None where there is no server."""
        return None


class _Stream:
    """One table read block by block, the blocks in key order, the rows inside a block in any."""

    def __init__(self, start: bytes, read: Callable[[bytes, int], list[Row]], block: int) -> None:
        self._start, self._read, self._block = start, read, block
        self._rows: list[Row] = []
        self._last: bytes | None = None
        self._ended = False

    def fill(self) -> bytes | None:
        """Have rows at hand; returns the key up to which all rows are at hand, None when these are all."""
        if not self._rows and not self._ended:
            self._rows = self._read(self._start, self._block)
            self._ended = len(self._rows) < self._block
            if self._rows:
                self._last = max([row[0] for row in self._rows])
                self._start = self._last + b"\x00"
        return None if self._ended else self._last

    def take(self, cut: bytes | None) -> list[Row]:
        """Remove and return the rows at hand up to and including `cut` (None: all)."""
        taken, self._rows = self._rows, []
        if cut is not None and taken and cut != self._last:
            taken, self._rows = [row for row in taken if row[0] <= cut], [row for row in taken if row[0] > cut]
        return taken


def _odd_row(key: bytes, head: object, size: int) -> CensusRow:
    """A row that is malformed, or a cell of text."""
    kind, expires_at, _, problem = split_row(as_row(head) or b"")
    return CensusRow(key, kind, expires_at, len(key), size, bool(problem))


_first_u64 = struct.Struct(">Q").unpack_from
_second_u64 = struct.Struct(">8xQ").unpack_from


def split_page(rows: list[Row]) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
    """The rows of a page by table: those of `m` have their second column, those of `y` their third."""
    values = {as_key(key): row for key, raw, number in rows if number is None and (row := as_row(raw)) is not None}
    return values, {as_key(key): as_number(number) or 0 for key, _, number in rows if number is not None}


def as_key(raw: object) -> bytes:
    """A key column as bytes; text and NULL, which only SQLite takes, as what they are nearest to."""
    return as_row(raw) or b""


def as_row(raw: object) -> bytes | None:
    """A value column as bytes, None for NULL."""
    if raw is None or isinstance(raw, bytes):
        return raw
    return raw.encode() if isinstance(raw, str) else bytes(raw) if isinstance(raw, bytearray | memoryview) else str(raw).encode()


def as_number(raw: object) -> int | None:
    """A number column; what is not an integer (SQLite takes anything) reads as 0."""
    return None if raw is None else raw if isinstance(raw, int) else 0


def moment(now: int) -> dict[str, object]:
    """The parameters of the expiry conditions."""
    return {"zero": MARKER_HEADER, "now": max(now, 0).to_bytes(HEADER, "big")}


@lru_cache(maxsize=256)
def percent_spelling(sql: str) -> str:
    """A statement with its parameters in the spelling of psycopg and PyMySQL: `:name` becomes `%(name)s`."""
    return re.sub(r"(?<![:\w]):([a-z]\w*)", r"%(\1)s", sql)


def before(end: bytes | None, table: str = "") -> str:
    """The condition that keys end before `:end`."""
    return "" if end is None else f" AND {table}k < :end"


def _is_marker(row: bytes | None) -> bool:
    return row is not None and split_row(row).kind is Kind.COUNTER


def _smaller(one: bytes | None, other: bytes | None) -> bytes | None:
    return one if other is None else other if one is None else min(one, other)
