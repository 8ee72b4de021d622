"""What a RocksDB database is asked: the work of the process that has it open (see `rockschild`). Plain values in and out.

Readers stay open, since opening one replays the server's write-ahead log (seconds for a busy server). A writer is closed the moment
its last holder lets go: while it is open the mail server cannot start.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from itertools import chain, count, islice
from pathlib import Path
from typing import Final

from rocksdict import ColumnFamily, Rdict, WriteBatch

from stores.backends import rocksfiles
from stores.backends.merging import Columns, Owns, Pair, Row, census_columns, expired_rows, merged_rows, owns_all, owns_some
from stores.backends.packs import CHUNK, packed_walks
from stores.backends.packs import Step as Packed
from stores.backends.rocksopen import FileVanished, Secondary, Tables, Writer, counter_family, families_of, translated
from stores.codecs.sqltables import tables_of
from stores.errors import Busy, ReadOnly, StoreError, StoreUnavailable
from stores.texts import say

WAIT_SECONDS: Final = 3.0
"""How long a write waits for another process of kvadmin that has the database open."""
FRESH_SECONDS: Final = 0.25
"""A backend in use sees what the server wrote at least this long ago."""
LOOKED_AT: Final = 4
"""Rows of `y` read in order for each number that is looked for, before they are looked up one by one."""

Change = tuple[bytes, bytes | None, bytes | None, bytes | None, bytes | None]
"""A key, its rows in `m` and `y` as they were seen, and as they shall be."""
Step = tuple[int, bytes | None, int, int, list[bytes], int, list[bytes], int, int, bool, int]
"""Rows looked at, the last of them, values and counters removed, keys of removed values without content, malformed rows, some of
their keys, bytes, numbers removed, whether that was the end, the engine's estimate of all rows."""


class LocalDatabase:
    """One database, open in this process. Not thread-safe."""

    def __init__(self, path: Path, version: str) -> None:
        self.path = path
        self.version = version
        self._owns = owns_some if tables_of(version).shared else owns_all
        self._reader: Secondary | None = None
        self._refreshed = 0.0
        self._writer: Writer | None = None
        self._holders: set[int] = set()
        self._claim = -1
        self._walks: dict[int, _Census] = {}
        self._numbers = count(1)
        self._aside = ThreadPoolExecutor(1, "compaction")
        self._compaction: Future[None] | None = None

    def close(self) -> None:
        """Give up everything that is open."""
        self._walks.clear()
        self._close_reader()
        self._holders.clear()
        self._close_writer()

    # what is open

    def reading(self, newest: bool) -> Tables:
        """The writer's tables, or a reader's. `newest`: what the server wrote up to now is in them."""
        return self._writer.tables if self._writer is not None else self.reader(newest)

    def reader(self, newest: bool) -> Tables:
        """Tables beside whoever writes; a walk that has begun goes on undisturbed when the reader is renewed."""
        if self._reader is not None and (newest or time.monotonic() - self._refreshed > FRESH_SECONDS):
            self._refresh(self._reader)
        if self._reader is None:
            self._reader = Secondary(self.path, self.version)
            self._refreshed = time.monotonic()
        return self._reader.tables

    def _refresh(self, reader: Secondary) -> None:
        try:
            reader.refresh()
            self._refreshed = time.monotonic()
        except FileVanished:
            self._close_reader()
        except StoreError:
            self._close_reader()
            raise

    def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def hold(self, holder: int) -> None:
        """Open for writing, or share what is open. Raises ReadOnly while the server has it, Busy while another kvadmin writes."""
        if self._writer is None:
            self._open_writer()
        self._holders.add(holder)

    def _open_writer(self) -> Writer:
        self._claim = _claim(self.path)
        try:
            self._writer = Writer(self.path, self.version)
        except BaseException as error:
            self._give_back()
            held = rocksfiles.holder(self.path) if isinstance(error, ReadOnly) else None
            if held is not None:
                raise ReadOnly(rocksfiles.held_by(held)) from None
            raise
        return self._writer

    def let_go(self, holder: int) -> None:
        """The last one closes the database and gives the LOCK back."""
        self._holders.discard(holder)
        if not self._holders:
            self._close_writer()

    def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        try:
            if self._compaction is not None:
                wait([self._compaction])
            if writer is not None:
                writer.close()
        finally:
            self._give_back()

    def _give_back(self) -> None:
        if self._claim >= 0:
            rocksfiles.give_back(self.path, self._claim)
            self._claim = -1

    @contextmanager
    def _held(self) -> Iterator[Writer]:
        """The open writer. After an error of the disk RocksDB takes no more writes: the next change opens it anew."""
        if not self._holders:
            raise StoreUnavailable(say("The database %(path)s was closed meanwhile.", path=self.path), say("Try again."))
        try:
            yield self._writer or self._open_writer()
        except StoreError:
            with suppress(StoreError):
                self._close_writer()
            raise

    # reading

    def families(self) -> list[str]:
        """All column families, as the manifest lists them."""
        return list(families_of(self.path))

    def counter_table(self) -> str:
        """The family that holds the numbers. Raises StoreRefused when a table of this version is missing."""
        return counter_family(self.path, families_of(self.path), self.version)

    def rows(self, keys: Sequence[bytes], newest: bool) -> list[tuple[bytes | None, bytes | None]]:
        """What `m` and `y` hold under each key, as of one moment; no number that belongs to another part of the server."""
        tables = self.reading(newest)
        with translated(self.path):
            return [self._own(tables, key) for key in keys]

    def _own(self, tables: Tables, key: bytes) -> tuple[bytes | None, bytes | None]:
        row, number = tables.values.get(key), tables.numbers.get(key)
        return row, number if number is not None and self._owns(key, row) else None

    def page(self, start: bytes, end: bytes | None, limit: int, newest: bool) -> list[Row]:
        """The next rows in key order. Raises StoreError rather than end a walk early."""
        return list(islice(self._merged(start, end, newest), limit))

    def count(self, start: bytes, end: bytes | None, limit: int, newest: bool) -> int:
        """How many keys there are, up to `limit`."""
        return sum(1 for _ in islice(self._merged(start, end, newest), limit))

    def _merged(self, start: bytes, end: bytes | None, newest: bool) -> Iterator[Row]:
        tables = self.reading(newest)
        return merged_rows(tables.rows(tables.values, start, end), tables.rows(tables.numbers, start, end), self._owns)

    def settings(self, start: bytes, end: bytes | None, limit: int, newest: bool) -> list[Pair] | None:
        """Rows of the server's own settings; None where it keeps none here."""
        tables = self.reading(newest)
        return None if tables.settings is None else list(islice(tables.rows(tables.settings, start, end), limit))

    def size(self, newest: bool) -> int:
        """Bytes of the two tables on the disk and in memory."""
        tables = self.reading(newest)
        with translated(self.path):
            return sum(
                int(table.property_value(f"rocksdb.{name}") or 0)
                for table in (tables.values, tables.numbers)
                for name in ("total-sst-files-size", "cur-size-all-mem-tables")
            )

    # the census

    def census_begin(self, start: bytes, packed: bool) -> int:
        """Begin a census; returns its number. `packed`: rows come packed; not where numbers of others are among them (0.10)."""
        number = next(self._numbers)
        self._walks[number] = _Census(self.reader(newest=True), start, self._owns, packed)
        return number

    def census_next(self, number: int) -> Columns | Packed | None:
        """Its next slice, None after the last. Raises StoreError when the walk has ended too early."""
        return self._walks[number].next()

    def census_end(self, number: int) -> None:
        """Let go of what it has open."""
        self._walks.pop(number, None)

    def read_ahead(self, number: int) -> None:
        """Work on a census's next slice before it is asked for."""
        if number in self._walks:
            self._walks[number].read_ahead()

    # writing

    def change(self, changes: Sequence[Change]) -> bool:
        """Write what differs in one step that waits for the disk, if all rows are still as they were seen; else write nothing."""
        with self._held() as writer:
            with translated(self.path):
                if any(self._own(writer.tables, key) != (row, number) for key, row, number, _, _ in changes):
                    return False
            batch = WriteBatch(raw_mode=True)
            for key, row, number, new_row, new_number in changes:
                if new_row != row:
                    _put(batch, key, new_row, writer.values_handle)
                if new_number != number:
                    _put(batch, key, new_number, writer.numbers_handle)
            if len(batch):
                writer.write(batch)
        return True

    def purge_step(self, start: bytes, now: int, limit: int) -> Step:
        """Remove what had expired of the next rows, in one batch, alone with the database."""
        with self._held() as writer:
            table = writer.tables.values
            bare: list[bytes] = []
            found = expired_rows(islice(writer.tables.items(table, start), limit), now, lambda key: bool(bare.append(key)))  # type: ignore[func-returns-value]
            done = found.scanned < limit
            if done:
                writer.tables.require_end(table, start if found.last is None else found.last)
            numbers = _remove(writer, found.values, found.markers)
            if done:
                writer.sync()
            expected = _estimate(table)
        removed = len(found.values), len(found.markers)
        return found.scanned, found.last, *removed, bare, found.corrupt, found.corrupt_keys, found.bytes, numbers, done, expected

    def compact_begin(self, numbers: bool) -> None:
        """Begin to drop the removed rows of a table for good: all of its files are written anew, about 60 MB a second.

        The engine does it beside everything else that is asked; it is waited for before the database is closed. Raises Busy while
        another one is under way, whose end its own asker waits for.
        """
        if self._compaction is not None and not self._compaction.done():
            raise _busy()
        with self._held() as writer:
            table = writer.tables.numbers if numbers else writer.tables.values
            self._compaction = self._aside.submit(self._compact, table)

    def _compact(self, table: Rdict) -> None:
        with translated(self.path):
            table.compact_range(None, None)

    def compacted(self) -> bool:
        """Whether that has ended. Raises what stopped it."""
        if self._compaction is None:
            raise StoreUnavailable(say("The process that compacted %(path)s has ended.", path=self.path), say("Start it again."))
        if not self._compaction.done():
            return False
        compaction, self._compaction = self._compaction, None
        compaction.result()
        return True


class _Census:
    """A census on its way, one slice ahead."""

    def __init__(self, tables: Tables, start: bytes, owns: Owns, packed: bool) -> None:
        self._tables, self._start = tables, start
        values = tables.items(tables.values, start)
        numbers = chain.from_iterable(self._whole(tables.keys(tables.numbers, start)))
        expected = _estimate(tables.values) + _estimate(tables.numbers)
        self._slices: Iterator[Columns | Packed] = (
            packed_walks(values, numbers, expected, self._ended) if packed else census_columns(values, numbers, expected, self._ended, owns)
        )
        self._ahead: list[Columns | Packed | StoreError | None] = []

    def _whole(self, numbers: Iterator[bytes]) -> Iterator[list[bytes]]:
        """The keys of all numbers. Raises at once where the walk is cut short: a position beyond that hides it from whoever resumes."""
        last = self._start
        while some := list(islice(numbers, CHUNK)):
            last = some[-1]
            yield some
        self._tables.require_end(self._tables.numbers, last)

    def _ended(self, last_value: bytes | None, last_number: bytes | None) -> None:
        self._tables.require_end(self._tables.values, self._start if last_value is None else last_value)

    def read_ahead(self) -> None:
        if not self._ahead:
            try:
                self._ahead.append(next(self._slices, None))
            except StoreError as error:
                self._ahead.append(error)

    def next(self) -> Columns | Packed | None:
        self.read_ahead()
        found = self._ahead.pop()
        if isinstance(found, StoreError):
            raise found
        return found


def _put(batch: WriteBatch, key: bytes, value: bytes | None, handle: ColumnFamily) -> None:
    if value is None:
        batch.delete(key, handle)
    else:
        batch.put(key, value, handle)


def _estimate(table: Rdict) -> int:
    return int(table.property_value("rocksdb.estimate-num-keys") or 0)


def _remove(writer: Writer, values: list[bytes], markers: list[bytes]) -> int:
    """Remove the rows and, of counters, the numbers, in one batch. Returns how many numbers there were."""
    if not values and not markers:
        return 0
    with translated(writer.path):
        numbers = _present(writer.tables, markers)
    batch = WriteBatch(raw_mode=True)
    delete, of_values, of_numbers = batch.delete, writer.values_handle, writer.numbers_handle
    for key in values:
        delete(key, of_values)
    for key in markers:
        delete(key, of_values)
        delete(key, of_numbers)
    writer.write(batch, durable=False)
    return numbers


def _present(tables: Tables, keys: list[bytes]) -> int:
    """How many of these keys, in order, have a number. Read in order where they lie close together: five times as fast."""
    if not keys:
        return 0
    walk, step = tables.keys(tables.numbers, keys[0]), 1 + len(keys) // 2
    near: list[bytes] = []
    while not near or (near[-1] < keys[-1] and len(near) < LOOKED_AT * len(keys)):
        some = list(islice(walk, step))
        near += some
        if len(some) < step:
            tables.require_end(tables.numbers, near[-1] if near else keys[0])
            return len(set(keys).intersection(near))
    rest = keys[bisect_right(keys, near[-1]) :]
    return len(set(keys).intersection(near)) + sum(tables.numbers.get(key) is not None for key in rest)


def _claim(path: Path) -> int:
    """Wait for kvadmin's own turn at writing this database. Raises Busy."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        descriptor = rocksfiles.claim(path)
        if descriptor is not None:
            return descriptor
        if time.monotonic() > until:
            raise _busy()
        time.sleep(0.02)


def _busy() -> Busy:
    return Busy(say("Another purge, edit or compaction of this database is under way."), say("Wait until it is done, then try again."))
