"""FoundationDB: Stalwart's tables as letters in front of the keys.

Settings: Stalwart's own (`cluster-file`, `transaction.*`, `ids.*`).
Capabilities: all of a data store. Needs the optional Python package and FoundationDB's client library.
Differences from Stalwart: deletes only the row and its own pieces, never the keys that begin with it. Reads use a fresh version;
the server may see a write up to a second later. A purge looks at each row again in the transaction that removes it.
Limits: keys of 9,998 bytes, values of 9 MB (10 MB a transaction). Every transaction is bounded in rows, bytes and time.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice, pairwise
from typing import Any, Final, NamedTuple

from stores.backends import fdbclient
from stores.backends.base import IsLock
from stores.backends.datastore import NOTHING, DataStoreBackend, Decide, Stored
from stores.backends.merging import (
    Expired,
    Pair,
    census_slices,
    entry_of,
    expired_rows,
    merged,
    owns_all,
    owns_some,
    require_own,
    stored,
)
from stores.backends.stretches import Stretch
from stores.codecs.cursors import cursor_after, start_after
from stores.codecs.fdblayout import LONGEST_KEY, VALUES, assemble, changes, is_piece, joined, numbers_table, table_range
from stores.codecs.numbers import put_i64_le
from stores.codecs.options import seconds, whole_number
from stores.codecs.sqltables import SETTINGS, guess_version, tables_of
from stores.errors import BadConfig, StoreError
from stores.texts import say
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

ROWS_OF_STEP: Final = {Pace.GENTLE: 500, Pace.NORMAL: 1000, Pace.FAST: 2000}
"""Rows of `m` that one step of a purge looks at; what has expired of them goes in one transaction."""
ROWS_OF_PAGE: Final = 5000
BYTES_OF_STEP: Final = 2_000_000
"""Where a page or step ends early, far below the 10 MB and 5 s that a transaction may take."""
SAMPLE: Final = 50
"""Settings whose names are looked at to tell the server's version."""
READERS: Final = 3
"""Shards read at once by a census or purge."""
EXACT_BELOW: Final = 4_000_000
"""Bytes under which the server's estimate of a size is a guess, so that the rows are added up."""


class Loaded(NamedTuple):
    """What a transaction has read of one key."""

    row: bytes | None
    pieces: list[bytes]
    number: bytes | None


class FoundationDBBackend(DataStoreBackend):
    """Opens its cluster on first use, once a process."""

    TYPE = "foundationdb"
    LABEL = "FoundationDB"
    SETTINGS = (
        SettingField("cluster-file", FieldType.PATH, "Cluster file", help="Empty: the default file of the client library."),
        SettingField(
            "transaction.timeout",
            FieldType.DURATION,
            "Transaction timeout",
            default="5s",
            help="A transaction that takes longer is given up.",
        ),
        SettingField(
            "transaction.retry-limit",
            FieldType.INTEGER,
            "Retries of a transaction",
            default="100",
            advanced=True,
            help="How often a transaction that collided is tried again.",
        ),
        SettingField(
            "transaction.max-retry-delay",
            FieldType.DURATION,
            "Longest wait between retries",
            default="1s",
            advanced=True,
            help="The wait between two tries grows up to this.",
        ),
        SettingField("ids.machine", label="Machine id", advanced=True, help="Tells the machine of this process to the cluster."),
        SettingField("ids.datacenter", label="Data centre id", advanced=True, help="Tells the data centre of this process to the cluster."),
    )
    TIDY_WHY = say("FoundationDB gives the space of removed keys back by itself.")
    ADVICE = say("Needs FoundationDB's client library on this machine and the server's cluster file.")

    def __init__(self, settings: Mapping[str, str], *, version: str = "", clock: Clock = time.time) -> None:
        super().__init__(settings, version=version, clock=clock)
        get = self.settings.get
        self.options = fdbclient.Options(
            cluster_file=get("cluster-file", "").strip() or None,
            timeout_ms=int(1000 * seconds("transaction.timeout", get("transaction.timeout", ""), 5.0)) or 1,
            retry_limit=whole_number("transaction.retry-limit", get("transaction.retry-limit", ""), 100, 0, 1_000_000),
            max_retry_delay_ms=int(1000 * seconds("transaction.max-retry-delay", get("transaction.max-retry-delay", ""), 1.0)),
            machine=get("ids.machine", "").strip(),
            datacenter=get("ids.datacenter", "").strip(),
        )
        self.numbers = numbers_table(version)
        self._owns = owns_some if tables_of(version).shared else owns_all

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(max_key=LONGEST_KEY, max_value=9_000_000)

    def ping(self) -> Ping:
        """Ask the cluster for a read version."""
        began = time.perf_counter()
        fdbclient.run(self.options, lambda transaction, _: transaction.get_read_version().wait())
        milliseconds = (time.perf_counter() - began) * 1000
        return Ping(milliseconds, f"FoundationDB {fdbclient.server_version(self.options)}".strip())

    def check(self) -> list[Check]:
        steps: list[tuple[str, Callable[[], str]]] = [
            ("Client library", self._check_client),
            ("Cluster", lambda: f"Answered in {self.ping().milliseconds:.0f} ms."),
            ("Tables", self._check_tables),
        ]
        done: list[Check] = []
        for name, step in steps:
            try:
                done.append(Check(name, CheckState.OK, step()))
            except StoreError as error:
                return [*done, Check(name, CheckState.FAILED, error.message, error.fix)]
        return done

    def _check_client(self) -> str:
        fdbclient.client()
        return f"Loaded, API version {fdbclient.API_VERSION}."

    def _check_tables(self) -> str:
        found = bool(self.scan(limit=1).entries)
        return f"Tables m and {self.numbers.decode()} need no creation here; they hold {'rows' if found else 'no rows yet'}."

    # reading

    def _read(self, key: bytes) -> Stored:
        loaded = self._load_fresh(key)
        return NOTHING if loaded is None else stored(loaded.row, loaded.number)

    def get(self, key: bytes) -> Entry | None:
        """The entry as stored; None for a key under which only a piece of another value lies."""
        loaded = self._load_fresh(key)
        return None if loaded is None else entry_of(key, loaded.row, loaded.number)

    def _load_fresh(self, key: bytes) -> Loaded | None:
        if len(key) > LONGEST_KEY:
            return None
        loaded = fdbclient.run(self.options, lambda transaction, _: self._load(transaction.snapshot, key))
        return None if loaded.row is None and loaded.number is None else loaded

    def _load(self, transaction: Any, key: bytes) -> Loaded:
        """Read both tables at once. A piece of another key's value is no row."""
        value, number = transaction.get(VALUES + key), transaction.get(self.numbers + key)
        owner = transaction.get(VALUES + key[:-1]) if key else None
        first = _bytes(value)
        read = _reader(transaction)
        if first is not None and owner is not None and owner.present() and is_piece(key, read):
            first = None
        row, pieces = (None, list[bytes]()) if first is None else assemble(key, first, read)
        return Loaded(row, pieces, _bytes(number) if self._owns(key, row) else None)

    def scan(self, keys: KeyRange = ALL_KEYS, cursor: Cursor | None = None, limit: int = 100) -> Page:
        """The next entries in key order, all as of one moment. A page of large values may be shorter than `limit`."""
        start = start_after(cursor, keys)

        def page(transaction: Any, _: bool) -> tuple[list[Entry], bool]:
            view = transaction.snapshot
            values = joined(_rows(view, VALUES, start, keys.end, limit + 1), start, _reader(view))
            entries: list[Entry] = []
            size = 0
            for entry in merged(values, _rows(view, self.numbers, start, keys.end, limit + 1), self._owns):
                if len(entries) >= limit or size > BYTES_OF_STEP:
                    return entries, True
                entries.append(entry)
                size += entry.size
            return entries, False

        entries, more = fdbclient.run(self.options, page)
        return Page(tuple(entries), cursor_after(entries[-1].key) if more else None)

    def detect_version(self) -> str:
        """Stalwart's version as a few keys of its settings tell it, empty when they do not: other tables exist without a trace."""

        def look(transaction: Any, _: bool) -> tuple[list[bytes], bool]:
            view = transaction.snapshot
            sample = [key for key, _ in islice(_rows(view, SETTINGS.encode(), b"", None, SAMPLE), SAMPLE)]
            return sample, next(_rows(view, b"z", b"", None, 1), None) is not None

        sample, newer = fdbclient.run(self.options, look)
        return guess_version({"m", "y", *("z" if newer else "")}, sample)

    def server_settings(self, prefixes: Sequence[str], most: int = 10_000) -> dict[str, str] | None:
        """Settings of table `s`, plain text on both sides; None without any, and in 0.16, where it holds objects."""
        if self.version.startswith("0.16"):
            return None
        table = SETTINGS.encode()

        def read(transaction: Any, _: bool) -> list[Pair] | None:
            view = transaction.snapshot
            if next(_rows(view, table, b"", None, 1), None) is None:
                return None
            found: list[Pair] = []
            for start in (prefix.encode() for prefix in prefixes):
                found += islice(_rows(view, table, start, prefix_end(start), 1000), most)
            return found

        rows = fdbclient.run(self.options, read)
        return None if rows is None else {key.decode(errors="replace"): value.decode(errors="replace") for key, value in rows}

    def size_bytes(self) -> int:
        """The server's estimate for both tables; small ones are added up."""

        def estimate(transaction: Any, _: bool) -> int:
            asked = [transaction.get_estimated_range_size_bytes(*table_range(table)) for table in (VALUES, self.numbers)]
            return sum(int(size.wait()) for size in asked)

        size = fdbclient.run(self.options, estimate)
        if size >= EXACT_BELOW:
            return size
        return sum(len(key) + len(value) for table in (VALUES, self.numbers) for key, value in self._walk(table, b""))

    def census(self, position: str = "") -> Iterator[CensusSlice]:
        """Every key once. Pages are read one after another, each as of its own moment."""
        stretch = Stretch.of(position)
        start, end = stretch.next, stretch.end
        values = joined(self._walk(VALUES, start, end), start, self._read_raw)
        for step in census_slices(values, (key for key, _ in self._walk(self.numbers, start, end)), owns=self._owns):
            yield replace(step, position=stretch.moved(step.position))

    def census_parts(self, most: int = 1) -> list[str]:
        """Stretches of keys, cut where the cluster cuts them."""
        return [f"*{position}" for position in self.purge_parts(most)]

    def purge_parts(self, most: int = 1) -> list[str]:
        """The same. One look at the cluster's map."""
        cuts = [begin[1:] for begin, _ in self._shards(*table_range(VALUES))][1:]
        each = (len(cuts) + 1) / max(1, most)
        chosen = {cuts[round(each * number) - 1] for number in range(1, most) if round(each * number) in range(1, len(cuts) + 1)}
        return Stretch.between(sorted(chosen))

    def _read_raw(self, key: bytes) -> bytes | None:
        return fdbclient.run(self.options, lambda transaction, _: _bytes(transaction.snapshot.get(VALUES + key)))

    def _walk(self, table: bytes, start: bytes, end: bytes | None = None) -> Iterator[Pair]:
        """Rows of a table as they lie, in order: shards are read ahead, a few at once, in pages of bounded transactions."""
        shards = deque(self._shards(table + start, table_range(table)[1] if end is None else table + end))
        waiting: deque[tuple[Future[tuple[list[Pair], bytes | None]], bytes]] = deque()
        with ThreadPoolExecutor(READERS, "fdb-walk") as readers:
            while shards or waiting:
                while shards and len(waiting) < READERS:
                    first, last = shards.popleft()
                    waiting.append((readers.submit(self._page, first, last), last))
                page, last = waiting.popleft()
                rows, following = page.result()
                if following is not None:
                    waiting.appendleft((readers.submit(self._page, following, last), last))
                yield from rows

    def _shards(self, begin: bytes, end: bytes) -> list[tuple[bytes, bytes]]:
        """The range cut where the cluster cuts it, so that a page comes from one server."""
        fdb, handle = fdbclient.client(), fdbclient.database(self.options)
        try:
            cuts = [key for key in fdb.locality.get_boundary_keys(handle, begin, end) if begin < key < end]
        except fdb.FDBError as error:
            raise fdbclient.translate(error, self.options) from None
        edges = [begin, *cuts, end]
        return list(pairwise(edges))

    def _page(self, begin: bytes, end: bytes) -> tuple[list[Pair], bytes | None]:
        """Rows of a range without the table's letter, and where the next page begins."""
        mode = fdbclient.client().StreamingMode.want_all

        def page(transaction: Any, _: bool) -> tuple[list[Pair], bytes | None]:
            rows: list[Pair] = []
            size, last = 0, begin
            for pair in transaction.snapshot.get_range(begin, end, limit=ROWS_OF_PAGE, streaming_mode=mode):
                last = pair.key
                rows.append((last[1:], pair.value))
                size += len(last) + len(pair.value)
                if size > BYTES_OF_STEP:
                    return rows, last + b"\x00"
            return rows, last + b"\x00" if len(rows) == ROWS_OF_PAGE else None

        return fdbclient.run(self.options, page)

    # writing

    def _change(self, key: bytes, decide: Decide) -> None:
        attempted: list[Stored] = []

        def work(transaction: Any, uncertain: bool) -> None:
            loaded = self._load(transaction, key)
            if is_piece(key, _reader(transaction)):
                raise BadConfig(say("Under this key lies a piece of a longer value."), say("Change the key without its last byte."), "key")
            old = stored(loaded.row, loaded.number)
            if uncertain and attempted and attempted[0] == old:
                return
            new = decide(old)
            require_own(self._owns, key, loaded.row, new)
            attempted[:] = [new]
            self._store(transaction, key, loaded, new)

        fdbclient.run(self.options, work, changes=True)

    def _store(self, transaction: Any, key: bytes, loaded: Loaded, new: Stored) -> None:
        if new.row != loaded.row:
            pairs, gone = changes(key, loaded.pieces, new.row, _reader(transaction))
            for piece in gone:
                transaction.clear(VALUES + piece)
            for piece, value in pairs:
                transaction.set(VALUES + piece, value)
        if new.number is None:
            if loaded.number is not None:
                transaction.clear(self.numbers + key)
        elif new.number != stored(None, loaded.number).number:
            transaction.set(self.numbers + key, put_i64_le(new.number))

    def purge(self, now: int, pace: Pace = Pace.NORMAL, position: str = "", is_lock: IsLock = lambda key: False) -> Iterator[PurgeSlice]:
        """Remove what had expired at `now`: found by a read-ahead walk, read again and removed in one transaction a step."""
        self.require_writes()
        stretch = Stretch.of(position)
        rows = joined(self._walk(VALUES, stretch.next, stretch.end), stretch.next, self._read_raw)
        while True:
            found = expired_rows(_bounded(islice(rows, ROWS_OF_STEP[pace])), now, lambda key: False)
            removed, numbers = Expired(), 0
            if found.values or found.markers:
                removed, numbers = fdbclient.run(self.options, self._removal(found, now, is_lock), changes=True)
            removed.scanned, removed.corrupt, removed.corrupt_keys = found.scanned, found.corrupt, found.corrupt_keys
            position = position if found.last is None else stretch.after(found.last)
            yield removed.purge_slice(numbers, position, 1.0 if found.last is None else stretch.share(found.last))
            if found.last is None:
                return

    def _removal(self, found: Expired, now: int, is_lock: IsLock) -> fdbclient.Work[tuple[Expired, int]]:
        last: list[tuple[Expired, int]] = []

        def work(transaction: Any, uncertain: bool) -> tuple[Expired, int]:
            done = self._remove(transaction, found, now, is_lock)
            if uncertain and last and not done[0].values and not done[0].markers:
                return last[0]
            last[:] = [done]
            return done

        return work

    def _remove(self, transaction: Any, found: Expired, now: int, is_lock: IsLock) -> tuple[Expired, int]:
        """Read the keys again and remove those that are still expired. Returns what was removed, and how many numbers."""
        keys = [*found.values, *found.markers]
        numbers = {key: transaction.get(self.numbers + key) for key in found.markers}
        asked = [(key, transaction.get(VALUES + key)) for key in keys]
        read = _reader(transaction)
        pieces: dict[bytes, list[bytes]] = {}
        rows: list[Pair] = []
        for key, value in asked:
            first = _bytes(value)
            if first is not None:
                row, pieces[key] = assemble(key, first, read)
                rows.append((key, row))
        again = expired_rows(rows, now, is_lock)
        for key in (*again.values, *again.markers):
            for piece in (key, *pieces[key]):
                transaction.clear(VALUES + piece)
        gone = 0
        for key in again.markers:
            number = numbers[key] if key in numbers else transaction.get(self.numbers + key)
            if number.present():
                gone += 1
                transaction.clear(self.numbers + key)
        return again, gone


def _bytes(value: Any) -> bytes | None:
    """What a read has found; waits for it."""
    return bytes(value) if value.present() else None


def _reader(transaction: Any) -> Callable[[bytes], bytes | None]:
    """Reads rows of `m` as they lie."""
    return lambda key: _bytes(transaction.get(VALUES + key))


def _rows(view: Any, table: bytes, start: bytes, end: bytes | None, want: int) -> Iterator[Pair]:
    """Rows of a table as they lie, `want` at a time, within one transaction."""
    mode = fdbclient.client().StreamingMode.want_all
    begin, stop = table + start, table_range(table)[1] if end is None else table + end
    while True:
        count = 0
        for pair in view.get_range(begin, stop, limit=want, streaming_mode=mode):
            count += 1
            begin = pair.key + b"\x00"
            yield pair.key[1:], pair.value
        if count < want:
            return


def _bounded(rows: Iterable[Pair]) -> Iterator[Pair]:
    """Rows until their bytes, and those that removing them takes, are enough for one transaction."""
    size = 0
    for pair in rows:
        yield pair
        size += 8 * len(pair[0]) + len(pair[1])
        if size > BYTES_OF_STEP:
            return
