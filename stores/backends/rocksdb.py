"""RocksDB: the mail server's own database folder, read beside the running server, written while it is stopped.

Settings: Stalwart's `path`; its tuning options are kept for the server's sake.
Capabilities: reading always; writing and purging only while no other process has the database open (RocksDB's LOCK tells), and
only as the owner of the folder. Column families are listed, not assumed.
Differences from Stalwart: reads never take the LOCK and leave nothing in the folder. Edits wait for the disk, Stalwart's do not.
A purge goes row by row in short batches and steps over malformed rows.
Limits: kvadmin has to run on the mail server's machine. A process of its own has the database open (`rocksprocess`). Opening a reader
costs 5 to 20 ms plus 2 µs for each row in the server's write-ahead log, so readers are kept for five minutes; a page waits 5 s for it,
background work and edits two minutes. While kvadmin has a database open for writing the mail server cannot start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from stores.backends import rocksfiles, rocksprocess
from stores.backends.base import IsLock
from stores.backends.datastore import DataStoreBackend, Decide, DecideEach, Stored
from stores.backends.merging import (
    NUMBER_SIZE,
    Columns,
    Pair,
    Row,
    entry_of,
    owns_all,
    owns_some,
    require_own,
    slice_of,
    stored,
)
from stores.backends.packs import Numbers, Pack
from stores.backends.tidying import LOOK_SECONDS, disk_free, guess
from stores.codecs.cursors import cursor_after, start_after
from stores.codecs.numbers import put_i64_le
from stores.codecs.sqltables import COUNTERS, OLD_COUNTERS, VALUES, guess_version, tables_of
from stores.errors import BadConfig, StoreError
from stores.texts import figure, say
from stores.types import (
    ALL_KEYS,
    Capabilities,
    CensusPlan,
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
    TidyOffer,
    TidyStep,
    TidyWay,
    prefix_end,
)

ROWS_OF_STEP: Final = {Pace.GENTLE: 1000, Pace.NORMAL: 5000, Pace.FAST: 10_000}
"""Rows of `m` that one step of a purge looks at."""
COMPACT: Final = "compact"
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
        SettingField(
            "min-blob-size",
            FieldType.INTEGER,
            "Smallest blob file entry",
            default="16834",
            advanced=True,
            used=False,
            help="Values of so many bytes go into files of their own.",
        ),
        SettingField(
            "write-buffer-size",
            FieldType.INTEGER,
            "Write buffer in bytes",
            default="134217728",
            advanced=True,
            used=False,
            help="Memory that the server fills before it writes a file.",
        ),
        SettingField(
            "pool.workers",
            FieldType.INTEGER,
            "Worker threads of the server",
            advanced=True,
            used=False,
            help="Threads that Stalwart gives to the database.",
        ),
    )
    ADVICE = say("Run kvadmin on the mail server's machine, as the mail server's user. Editing and purging need the server stopped.")

    def __init__(self, settings: Mapping[str, str], *, version: str = "", clock: Clock = time.time) -> None:
        super().__init__(settings, version=version, clock=clock)
        path = self.settings.get("path", "").strip()
        if not path.startswith("/") or "\n" in path or "\x00" in path:
            raise BadConfig(
                say("The path of the database is missing or not absolute."), say("Give a folder such as /opt/stalwart/data."), "path"
            )
        self.path = Path(path)
        self._owns = owns_some if tables_of(version).shared else owns_all
        self._shared: rocksprocess.Shared | None = None
        self._reads = 0
        self._holder = rocksprocess.new_holder()
        self._held_in = 0

    # opening and closing

    @property
    def shared(self) -> rocksprocess.Shared:
        """What this process shares of the database."""
        if self._shared is None:
            self._shared = rocksprocess.acquire(self.path, self.version)
        return self._shared

    def close(self) -> None:
        shared, self._shared = self._shared, None
        held, self._held_in, self._reads = self._held_in, 0, 0
        if shared is not None:
            try:
                if shared.knows(held):
                    shared.ask("let_go", self._holder, seconds=rocksprocess.WORK_SECONDS, again=False)
            finally:
                rocksprocess.release(shared)

    def _altering(self, name: str, *arguments: Any, seconds: float = rocksprocess.WORK_SECONDS) -> Any:
        """Ask for a change, with the database held open for writing until `close`."""
        shared = self.shared
        if not shared.knows(self._held_in):
            self._held_in = shared.generation
            shared.ask("hold", self._holder, seconds=rocksprocess.WORK_SECONDS)
            self._held_in = shared.generation
        return shared.ask(name, *arguments, seconds=seconds, again=False)

    def tidy_offer(self) -> TidyOffer:
        """A compaction, while the server is stopped."""
        if not self.capabilities.tidies:
            return super().tidy_offer()
        size = self.size_bytes() or 0
        way = TidyWay(
            COMPACT,
            say("Writes the files of both tables anew without the removed rows."),
            ("CompactRange m", f"CompactRange {self.shared.ask('counter_table')}"),
            say("Stalwart cannot start until it has ended. A table that was begun is finished, also after Cancel."),
            guess(size, 40),
            room=size,
            disk=disk_free(self.path),
        )
        return TidyOffer((way,), size)

    def tidy(self, way: str) -> Iterator[TidyStep]:
        """One table after the other; stops only between the two."""
        self.tidy_way(way)
        for done, numbers in enumerate((False, True)):
            yield TidyStep(done / 2)
            self._altering("compact_begin", numbers)
            try:
                while not self._altering("compacted"):
                    yield TidyStep(done / 2)
                    time.sleep(LOOK_SECONDS)
            except GeneratorExit:
                while not self._altering("compacted"):
                    time.sleep(LOOK_SECONDS)
                raise
        yield TidyStep(1.0)

    def _newest(self) -> bool:
        self._reads += 1
        return self._reads == 1

    @property
    def capabilities(self) -> Capabilities:
        """Asks each time who holds the LOCK (about 30 µs, opens nothing)."""
        why = self._why_no_writes()
        if not why:
            return Capabilities(tidies=True)
        return Capabilities(
            writes=False, purges=False, conditional_write=False, why=dict.fromkeys(("writes", "purges", "tidies", "conditional_write"), why)
        )

    def _why_no_writes(self) -> str:
        """Why nothing can be written now; empty when it can."""
        path = self.path.resolve()
        why = rocksfiles.why_not_writable(path)
        if why:
            return why
        held = rocksfiles.holder(path)
        return "" if held is None or rocksfiles.claimed(path) else rocksfiles.held_by(held)

    def ping(self) -> Ping:
        """Bring the reader up to date and read one row."""
        began = time.perf_counter()
        self.shared.ask("rows", [b""], True)
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
        return Check(
            say("Folder"),
            CheckState.OK,
            say("A RocksDB database, last written by RocksDB %(version)s.", version=version or say("of an unknown version")),
        )

    def _check_tables(self) -> Check:
        families = self.shared.ask("families")
        numbers = self.shared.ask("counter_table")
        return Check(
            say("Tables"),
            CheckState.OK,
            say("m and %(numbers)s are there, among %(count)s column families.", numbers=numbers, count=len(families)),
        )

    def _check_reading(self) -> Check:
        return Check(
            say("Reading"), CheckState.OK, say("Opened and read in %(milliseconds)s ms.", milliseconds=figure(self.ping().milliseconds))
        )

    def _check_writing(self) -> Check:
        why = self._why_no_writes()
        if why:
            return Check(
                say("Writing"), CheckState.WARN, why, say("Reading works; stop the mail server when you want to edit or purge here.")
            )
        return Check(say("Writing"), CheckState.OK, say("No other process has the database open."))

    # reading

    def _rows(self, keys: Sequence[bytes]) -> list[tuple[bytes | None, bytes | None]]:
        """What `m` and `y` hold under each key; no number that belongs to another part of the server."""
        found: list[tuple[bytes | None, bytes | None]] = self.shared.ask("rows", list(keys), self._newest())
        return found

    def _read(self, key: bytes) -> Stored:
        return stored(*self._rows([key])[0])

    def get(self, key: bytes) -> Entry | None:
        """The entry as stored. Beside a live server as of a quarter of a second ago, and as of now for the first read."""
        return self.get_each([key])[0]

    def get_each(self, keys: Sequence[bytes]) -> list[Entry | None]:
        """As `get`, all keys as of one moment."""
        return [
            None if row is None and number is None else entry_of(key, row, number)
            for key, (row, number) in zip(keys, self._rows(keys), strict=True)
        ]

    def scan(self, keys: KeyRange = ALL_KEYS, cursor: Cursor | None = None, limit: int = 100) -> Page:
        """The next entries in key order. Raises StoreError rather than end a walk early."""
        found: list[Row] = self.shared.ask("page", start_after(cursor, keys), keys.end, limit + 1, self._newest())
        return Page(tuple(entry_of(*row) for row in found[:limit]), cursor_after(found[limit - 1][0]) if len(found) > limit else None)

    def count(self, keys: KeyRange = ALL_KEYS, at_most: int = 10_000) -> tuple[int, bool]:
        """Number of keys in the range and whether it is exact; stops at `at_most`."""
        found: int = self.shared.ask("count", keys.start, keys.end, at_most + 1, self._newest())
        return min(found, at_most), found <= at_most

    def detect_version(self) -> str:
        """Stalwart's version as the column families and a few keys of `s` tell it, empty when they do not."""
        families = self.shared.ask("families")
        if VALUES not in families or not {COUNTERS, OLD_COUNTERS} & set(families):
            return ""
        shared = rocksprocess.acquire(self.path, "" if COUNTERS in families else "0.10")
        try:
            sample: list[Pair] | None = shared.ask("settings", b"", None, SAMPLE, True)
        finally:
            rocksprocess.release(shared)
        return guess_version(families, [key for key, _ in sample or []])

    def server_settings(self, prefixes: Sequence[str], most: int = 10_000) -> dict[str, str] | None:
        """Settings of column family `s`, plain text on both sides; None without it, and in 0.16, where it holds objects."""
        if self.version.startswith("0.16"):
            return None
        rows: list[Pair] = []
        for start in (prefix.encode() for prefix in prefixes):
            found: list[Pair] | None = self.shared.ask("settings", start, prefix_end(start), most, self._newest())
            if found is None:
                return None
            rows += found
        return {key.decode(errors="replace"): value.decode(errors="replace") for key, value in rows}

    def size_bytes(self) -> int | None:
        """Bytes of the two tables on the disk and in memory."""
        size: int = self.shared.ask("size", self._newest())
        return size

    def census(self, position: str = "") -> Iterator[CensusSlice]:
        """Every key once, as of the moment the census began (for a resumed one: of the resumption). The next slice is read meanwhile."""
        return (slice_of(Columns(*columns)) for columns in self._walked(position, packed=False))

    def survey(self, plan: CensusPlan | None, part: str = "*") -> Iterator[CensusSlice]:
        """As `census`, counted in groups: rows come packed from the database's process, which reads on meanwhile."""
        if plan is None or self._owns is owns_some:
            yield from super().survey(plan, part)
            return
        from stores.backends.packcount import PackCounter

        counter = PackCounter(plan)
        for pack, numbers, last, progress, done in self._walked(part[1:], packed=True):
            yield counter.rows(Pack(*pack))
            yield replace(counter.numbers(Numbers(*numbers)), progress=progress)
            if last is not None:
                yield CensusSlice((), f"*{cursor_after(last)}", progress)
            if done:
                yield CensusSlice((), "", 1.0)

    def _walked(self, position: str, packed: bool) -> Iterator[Any]:
        """The slices of a walk over all rows, as the database's process makes them."""
        start = start_after(position or None, ALL_KEYS)
        shared = self.shared
        number = shared.ask("census_begin", start, packed, seconds=rocksprocess.WORK_SECONDS)
        generation = shared.generation
        try:
            while (found := shared.ask("census_next", number, seconds=rocksprocess.WORK_SECONDS, again=False)) is not None:
                yield found
        finally:
            if shared.knows(generation):
                shared.ask("census_end", number, again=False)

    # writing

    def _change(self, key: bytes, decide: Decide) -> None:
        self._change_together([key], lambda index, old: decide(old))

    def _change_each(self, keys: Sequence[bytes], decide: DecideEach) -> None:
        """Up to 500 keys in one batch, which waits for the disk once."""
        for first in range(0, len(keys), KEYS_AT_ONCE):
            self._change_together(keys[first : first + KEYS_AT_ONCE], lambda index, old: decide(first + index, old))  # noqa: B023

    def _change_together(self, keys: Sequence[bytes], decide: DecideEach) -> None:
        """Read, decide, and write if the rows are still the same; other backends of this process may write in between."""
        distinct = list(dict.fromkeys(keys))
        while True:
            seen: dict[bytes, tuple[bytes | None, bytes | None]] = dict(zip(distinct, self._altering("rows", distinct, False), strict=True))
            old = {key: stored(*rows) for key, rows in seen.items()}
            wanted = dict(old)
            for index, key in enumerate(keys):
                new = decide(index, wanted[key])
                require_own(self._owns, key, wanted[key].row, new)
                wanted[key] = new
            if self._altering("change", [(key, *seen[key], *_rows_of(wanted[key], old[key], seen[key])) for key in distinct]):
                return

    def _require_own(self, key: bytes, seen: Stored, new: Stored) -> None:
        require_own(self._owns, key, seen.row, new)

    def purge(self, now: int, pace: Pace = Pace.NORMAL, position: str = "", is_lock: IsLock = lambda key: False) -> Iterator[PurgeSlice]:
        """Remove what had expired at `now`. Each step reads its rows and removes them in one batch, alone with the database.

        Holds the LOCK from the first step until `close`.
        """
        self.require_writes()
        start: bytes | None = start_after(position or None, ALL_KEYS)
        before, expected = 0, 0
        while start is not None:
            step = self._altering("purge_step", start, now, ROWS_OF_STEP[pace])
            scanned, last, values, counters, bare, corrupt, corrupt_keys, size, numbers, done, estimate = step
            before, expected = before + scanned, expected or estimate
            locks = sum(map(is_lock, bare))
            position = position if last is None else cursor_after(last)
            yield PurgeSlice(
                scanned=scanned,
                values=values - locks,
                counters=counters,
                locks=locks,
                corrupt=corrupt,
                corrupt_keys=tuple(corrupt_keys),
                bytes=size + NUMBER_SIZE * numbers,
                position=position,
                progress=1.0 if done else min(0.99, before / expected) if expected else None,
            )
            start = None if done or last is None else last + b"\x00"


def _rows_of(new: Stored, old: Stored, seen: tuple[bytes | None, bytes | None]) -> tuple[bytes | None, bytes | None]:
    """The rows to store; a number that stays keeps its bytes, whatever they are."""
    if new.number == old.number:
        return new.row, seen[1]
    return new.row, None if new.number is None else put_i64_le(new.number)
