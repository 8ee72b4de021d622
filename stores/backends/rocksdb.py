"""RocksDB: the mail server's own database folder, read beside the running server, written while it is stopped.

Settings: Stalwart's `path`; its tuning options are kept for the server's sake.
Capabilities: reading always; writing and purging only while no other process has the database open (RocksDB's LOCK tells), and
only as the owner of the folder. Column families are listed, not assumed.
Differences from Stalwart: reads never take the LOCK and leave nothing in the folder. Edits wait for the disk, Stalwart's do not.
A purge goes row by row in short batches and steps over malformed rows.
Limits: kvadmin has to run on the mail server's machine. Opening a reader costs 5 to 20 ms plus 2 µs for each row in the server's
write-ahead log, so readers are kept for five minutes. While kvadmin has a database open for writing the mail server cannot start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from rocksdict import ColumnFamily, Rdict, WriteBatch

from stores.backends import rocksfiles, rockspool
from stores.backends.base import IsLock
from stores.backends.datastore import DataStoreBackend, Decide, DecideEach, Stored
from stores.backends.merging import (
    Expired,
    census_slices,
    entry_of,
    expired_rows,
    merged,
    owns_all,
    owns_some,
    require_own,
    stored,
)
from stores.backends.rocksopen import Tables, Writer, counter_family, families_of, translated
from stores.codecs.cursors import cursor_after, start_after
from stores.codecs.numbers import put_i64_le
from stores.codecs.sqltables import COUNTERS, OLD_COUNTERS, VALUES, guess_version, tables_of
from stores.errors import BadConfig, StoreError
from stores.types import (
    ALL_KEYS,
    Capabilities,
    CensusSlice,
    Check,
    CheckState,
    Clock,
    Cursor,
    Entry,
    FieldType,
    KeyRange,
    Pace,
    Page,
    Ping,
    PurgeSlice,
    SettingField,
    prefix_end,
)

ROWS_OF_STEP: Final = {Pace.GENTLE: 1000, Pace.NORMAL: 5000, Pace.FAST: 10_000}
"""Rows of `m` that one step of a purge looks at."""
KEYS_AT_ONCE: Final = 500
"""Keys changed by one batch."""
SAMPLE: Final = 50
"""Settings whose names are looked at to tell the server's version."""


class RocksDBBackend(DataStoreBackend):
    """The tables `m` and `y` (`n` in 0.10) as column families; counters are little-endian and take merges."""

    TYPE = "rocksdb"
    LABEL = "RocksDB"
    SETTINGS = (
        SettingField("path", FieldType.PATH, "Folder", required=True, help="The database folder on this machine."),
        SettingField("min-blob-size", FieldType.INTEGER, "Smallest blob file entry", default="16834", advanced=True, used=False),
        SettingField("write-buffer-size", FieldType.INTEGER, "Write buffer in bytes", default="134217728", advanced=True, used=False),
        SettingField("pool.workers", FieldType.INTEGER, "Worker threads of the server", advanced=True, used=False),
    )
    ADVICE = "Run kvadmin on the mail server's machine, as the mail server's user. Editing and purging need the server stopped."

    def __init__(self, settings: Mapping[str, str], *, version: str = "", clock: Clock = time.time) -> None:
        super().__init__(settings, version=version, clock=clock)
        path = self.settings.get("path", "").strip()
        if not path.startswith("/") or "\n" in path or "\x00" in path:
            raise BadConfig("The path of the database is missing or not absolute.", "Give a folder such as /opt/stalwart/data.", "path")
        self.path = Path(path)
        self._owns = owns_some if tables_of(version).shared else owns_all
        self._shared: rockspool.Shared | None = None
        self._reads = 0
        self._writes = False

    # opening and closing

    @property
    def shared(self) -> rockspool.Shared:
        """What this process has open of the database."""
        if self._shared is None:
            self._shared = rockspool.acquire(self.path, self.version)
        return self._shared

    def close(self) -> None:
        shared, self._shared = self._shared, None
        writes, self._writes, self._reads = self._writes, False, 0
        if shared is not None:
            try:
                if writes:
                    shared.release_writer()
            finally:
                rockspool.release(shared)

    def _writable(self) -> rockspool.Shared:
        """Hold the database open for writing until `close`."""
        if not self._writes:
            self.shared.acquire_writer()
            self._writes = True
        return self.shared

    def _newest(self) -> bool:
        self._reads += 1
        return self._reads == 1

    @property
    def capabilities(self) -> Capabilities:
        """Asks each time who holds the LOCK (about 30 µs, opens nothing)."""
        why = self.shared.why_no_writes()
        if not why:
            return Capabilities()
        return Capabilities(
            writes=False, purges=False, conditional_write=False, why={"writes": why, "purges": why, "conditional_write": why}
        )

    def ping(self) -> Ping:
        """Bring the reader up to date and read one row."""
        began = time.perf_counter()
        with self.shared.reading(newest=True) as tables, translated(self.path):
            tables.values.get(b"")
        milliseconds = (time.perf_counter() - began) * 1000
        return Ping(milliseconds, f"RocksDB {rocksfiles.engine_version(self.path)}".strip())

    def check(self) -> list[Check]:
        steps: list[tuple[str, Callable[[], Check]]] = [
            ("Folder", self._check_folder),
            ("Tables", self._check_tables),
            ("Reading", self._check_reading),
            ("Writing", self._check_writing),
        ]
        done: list[Check] = []
        for name, step in steps:
            try:
                done.append(step())
            except StoreError as error:
                return [*done, Check(name, CheckState.FAILED, error.message, error.fix)]
        return done

    def _check_folder(self) -> Check:
        rocksfiles.inspect(self.path)
        version = rocksfiles.engine_version(self.path)
        return Check("Folder", CheckState.OK, f"A RocksDB database, last written by RocksDB {version or 'of an unknown version'}.")

    def _check_tables(self) -> Check:
        families = families_of(self.path)
        numbers = counter_family(self.path, families, self.version)
        return Check("Tables", CheckState.OK, f"m and {numbers} are there, among {len(families)} column families.")

    def _check_reading(self) -> Check:
        return Check("Reading", CheckState.OK, f"Opened and read in {self.ping().milliseconds:.0f} ms.")

    def _check_writing(self) -> Check:
        why = self.shared.why_no_writes()
        if why:
            return Check("Writing", CheckState.WARN, why, "Reading works; stop the mail server when you want to edit or purge here.")
        return Check("Writing", CheckState.OK, "No other process has the database open.")

    # reading

    def _own_rows(self, tables: Tables, key: bytes) -> tuple[bytes | None, bytes | None]:
        """What `m` and `y` hold under a key; no number that belongs to another part of the server."""
        with translated(tables.path):
            row, number = tables.values.get(key), tables.numbers.get(key)
        return row, number if number is not None and self._owns(key, row) else None

    def _read(self, key: bytes) -> Stored:
        with self.shared.reading(self._newest()) as tables:
            return stored(*self._own_rows(tables, key))

    def get(self, key: bytes) -> Entry | None:
        """The entry as stored. Beside a live server as of a quarter of a second ago, and as of now for the first read."""
        with self.shared.reading(self._newest()) as tables:
            row, number = self._own_rows(tables, key)
        return None if row is None and number is None else entry_of(key, row, number)

    def scan(self, keys: KeyRange = ALL_KEYS, cursor: Cursor | None = None, limit: int = 100) -> Page:
        """The next entries in key order. Raises StoreError rather than end a walk early."""
        start = start_after(cursor, keys)
        with self.shared.reading(self._newest()) as tables:
            both = merged(tables.rows(tables.values, start, keys.end), tables.rows(tables.numbers, start, keys.end), self._owns)
            found = list(islice(both, limit + 1))
        return Page(tuple(found[:limit]), cursor_after(found[limit - 1].key) if len(found) > limit else None)

    def detect_version(self) -> str:
        """Stalwart's version as the column families and a few keys of `s` tell it, empty when they do not."""
        families = families_of(self.path)
        if VALUES not in families or not {COUNTERS, OLD_COUNTERS} & set(families):
            return ""
        version = "" if COUNTERS in families else "0.10"
        shared = rockspool.acquire(self.path, version)
        try:
            with shared.reading(newest=True) as tables:
                sample = [] if tables.settings is None else [key for key, _ in islice(tables.rows(tables.settings, b""), SAMPLE)]
        finally:
            rockspool.release(shared)
        return guess_version(families, sample)

    def server_settings(self, prefixes: Sequence[str], most: int = 10_000) -> dict[str, str] | None:
        """Settings of column family `s`, plain text on both sides; None without it, and in 0.16, where it holds objects."""
        if self.version.startswith("0.16"):
            return None
        with self.shared.reading(self._newest()) as tables:
            if tables.settings is None:
                return None
            rows: list[tuple[bytes, bytes]] = []
            for start in (prefix.encode() for prefix in prefixes):
                rows += islice(tables.rows(tables.settings, start, prefix_end(start)), most)
        return {key.decode(errors="replace"): value.decode(errors="replace") for key, value in rows}

    def size_bytes(self) -> int | None:
        """Bytes of the two tables on the disk and in memory."""
        with self.shared.reading(self._newest()) as tables, translated(self.path):
            return sum(
                int(table.property_value(f"rocksdb.{name}") or 0)
                for table in (tables.values, tables.numbers)
                for name in ("total-sst-files-size", "cur-size-all-mem-tables")
            )

    def census(self, position: str = "") -> Iterator[CensusSlice]:
        """Every key once, as of the moment the census began (for a resumed one: of the resumption)."""
        start = start_after(position or None, ALL_KEYS)
        tables = self.shared.reader(newest=True)
        with self.shared.lock:
            values, numbers = tables.items(tables.values, start), tables.items(tables.numbers, start)
            expected = _estimate(tables.values) + _estimate(tables.numbers)

        def ended(last_value: bytes | None, last_number: bytes | None) -> None:
            tables.require_end(tables.values, start if last_value is None else last_value)
            tables.require_end(tables.numbers, start if last_number is None else last_number)

        yield from census_slices(values, numbers, expected, ended, self._owns)

    # writing

    def get_each(self, keys: Sequence[bytes]) -> list[Entry | None]:
        """As `get`, all keys as of one moment."""
        with self.shared.reading(self._newest()) as tables:
            rows = [self._own_rows(tables, key) for key in keys]
        return [
            None if row is None and number is None else entry_of(key, row, number) for key, (row, number) in zip(keys, rows, strict=True)
        ]

    def _change(self, key: bytes, decide: Decide) -> None:
        self._change_together([key], lambda index, old: decide(old))

    def _change_each(self, keys: Sequence[bytes], decide: DecideEach) -> None:
        """Up to 500 keys in one batch, which waits for the disk once."""
        for first in range(0, len(keys), KEYS_AT_ONCE):
            self._change_together(keys[first : first + KEYS_AT_ONCE], lambda index, old: decide(first + index, old))  # noqa: B023

    def _change_together(self, keys: Sequence[bytes], decide: DecideEach) -> None:
        with self._writable().writing() as writer:
            seen = {key: self._own_rows(writer.tables, key) for key in set(keys)}
            old = {key: stored(row, number) for key, (row, number) in seen.items()}
            wanted = dict(old)
            for index, key in enumerate(keys):
                new = decide(index, wanted[key])
                require_own(self._owns, key, wanted[key].row, new)
                wanted[key] = new
            batch = WriteBatch(raw_mode=True)
            for key, new in wanted.items():
                if new.row != old[key].row:
                    _put(batch, key, new.row, writer.values_handle)
                if new.number != old[key].number:
                    _put(batch, key, None if new.number is None else put_i64_le(new.number), writer.numbers_handle)
            if len(batch):
                writer.write(batch)

    def _require_own(self, key: bytes, seen: Stored, new: Stored) -> None:
        require_own(self._owns, key, seen.row, new)

    def purge(self, now: int, pace: Pace = Pace.NORMAL, position: str = "", is_lock: IsLock = lambda key: False) -> Iterator[PurgeSlice]:
        """Remove what had expired at `now`. Each step reads its rows and removes them in one batch, alone with the database.

        Holds the LOCK from the first step to the end of the generator.
        """
        self.require_writes()
        start: bytes | None = start_after(position or None, ALL_KEYS)
        shared = self._writable()
        scanned, expected = 0, 0
        while start is not None:
            with shared.writing() as writer:
                expected = expected or _estimate(writer.tables.values)
                found = _expired(writer.tables, start, now, is_lock, ROWS_OF_STEP[pace])
                numbers = _remove(writer, found)
                done = found.scanned < ROWS_OF_STEP[pace]
                if done:
                    writer.tables.require_end(writer.tables.values, start if found.last is None else found.last)
                    writer.sync()
            scanned += found.scanned
            position = position if found.last is None else cursor_after(found.last)
            yield found.purge_slice(numbers, position, 1.0 if done else min(0.99, scanned / expected) if expected else None)
            start = None if done or found.last is None else found.last + b"\x00"


def _put(batch: WriteBatch, key: bytes, value: bytes | None, handle: ColumnFamily) -> None:
    if value is None:
        batch.delete(key, handle)
    else:
        batch.put(key, value, handle)


def _estimate(table: Rdict) -> int:
    return int(table.property_value("rocksdb.estimate-num-keys") or 0)


def _expired(tables: Tables, start: bytes, now: int, is_lock: IsLock, limit: int) -> Expired:
    return expired_rows(islice(tables.items(tables.values, start), limit), now, is_lock)


def _remove(writer: Writer, found: Expired) -> int:
    """Remove the rows and, of counters, the numbers, in one batch. Returns how many numbers there were."""
    if not found.values and not found.markers:
        return 0
    numbers = writer.tables.numbers.get(list(found.markers)) or []
    batch = WriteBatch(raw_mode=True)
    for key in found.values:
        batch.delete(key, writer.values_handle)
    for key in found.markers:
        batch.delete(key, writer.values_handle)
        batch.delete(key, writer.numbers_handle)
    writer.write(batch, durable=False)
    return sum(number is not None for number in numbers)
