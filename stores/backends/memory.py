"""A data store in this process: the reference that the other backends are compared with, and a store for tests.

Settings: `name`; two backends of one name share their rows as long as the process lives.
Capabilities: all of a data store. Time comes from the clock that is passed in, so tests age keys by setting it.
Differences from Stalwart: none in layout (`m` and `y`); nothing is written to disk.
Limits: rows live in memory, pages are sorted keysets.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from typing import Any

from stores.backends.base import IsLock
from stores.backends.datastore import DataStoreBackend, Decide, Stored
from stores.codecs.cursors import cursor_after, start_after
from stores.codecs.rows import split_row
from stores.texts import say
from stores.types import (
    ALL_KEYS,
    Capabilities,
    CensusRow,
    CensusSlice,
    Check,
    CheckState,
    Clock,
    Cursor,
    KeyRange,
    Kind,
    Pace,
    Page,
    Ping,
    PurgeSlice,
    SettingField,
)

STEP = 500
"""Keys of one purge or census step."""


class MemoryData:
    """The two tables and their keys in order."""

    def __init__(self) -> None:
        self.m: dict[bytes, bytes] = {}
        self.y: dict[bytes, int] = {}
        self.keys: list[bytes] = []
        self.lock = threading.RLock()

    def read(self, key: bytes) -> Stored:
        return Stored(self.m.get(key), self.y.get(key))

    def write(self, key: bytes, new: Stored) -> None:
        """Put both rows as given; None removes."""
        with self.lock:
            known = key in self.m or key in self.y
            _put(self.m, key, new.row)
            _put(self.y, key, new.number)
            wanted = new.row is not None or new.number is not None
            if wanted and not known:
                insort(self.keys, key)
            elif known and not wanted:
                del self.keys[bisect_left(self.keys, key)]

    def after(self, start: bytes, end: bytes | None, limit: int) -> list[bytes]:
        """The next keys in order, one more than `limit` when there are."""
        with self.lock:
            first = bisect_left(self.keys, start)
            last = len(self.keys) if end is None else bisect_left(self.keys, end)
            return self.keys[first : min(last, first + limit + 1)]


def _put(table: dict[bytes, Any], key: bytes, value: object) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


_DATA: dict[str, MemoryData] = {}


class MemoryBackend(DataStoreBackend):
    """Stalwart's `m` and `y` as two dictionaries; every step holds one lock."""

    TYPE = "memory"
    LABEL = say("Memory")
    SETTINGS = (SettingField("name", label="Name", default="default", help="Backends of one name share their rows."),)

    def __init__(self, settings: Mapping[str, str], *, version: str = "", clock: Clock = time.time) -> None:
        super().__init__(settings, version=version, clock=clock)
        self.data = _DATA.setdefault(settings.get("name") or "default", MemoryData())

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities()

    def ping(self) -> Ping:
        """Answers at once: there is nothing to reach."""
        return Ping(0.0, say("memory of this process"))

    def check(self) -> list[Check]:
        """Always good: there is nothing that could fail."""
        return [
            Check(say("Memory"), CheckState.OK, say("%(count)s keys; they are gone when this process ends.", count=len(self.data.keys)))
        ]

    def size_bytes(self) -> int:
        """Bytes of keys and rows; a number counts 8."""
        with self.data.lock:
            rows = sum(len(key) + len(row) for key, row in self.data.m.items())
            return rows + sum(8 if key in self.data.m else len(key) + 8 for key in self.data.y)

    def _read(self, key: bytes) -> Stored:
        with self.data.lock:
            return self.data.read(key)

    def _change(self, key: bytes, decide: Decide) -> None:
        with self.data.lock:
            self.data.write(key, decide(self.data.read(key)))

    def scan(self, keys: KeyRange = ALL_KEYS, cursor: Cursor | None = None, limit: int = 100) -> Page:
        """The next entries in key order."""
        start = start_after(cursor, keys)
        with self.data.lock:
            found = self.data.after(start, keys.end, limit)
            entries = tuple(entry for key in found[:limit] if (entry := self.data.read(key).entry(key)))
        return Page(entries, cursor_after(found[limit - 1]) if len(found) > limit else None)

    def purge(self, now: int, pace: Pace = Pace.NORMAL, position: str = "", is_lock: IsLock = lambda key: False) -> Iterator[PurgeSlice]:
        """Remove what had expired at `now`, `STEP` keys at a time."""
        start = start_after(position or None, ALL_KEYS)
        while True:
            with self.data.lock:
                found = self.data.after(start, None, STEP)
                done, more = found[:STEP], len(found) > STEP
                step = self._purge_keys(done, now, is_lock)
            yield PurgeSlice(**step, position=cursor_after(done[-1]) if done else position, progress=None if more else 1.0)
            if not more:
                return
            start = done[-1] + b"\x00"

    def _purge_keys(self, keys: list[bytes], now: int, is_lock: IsLock) -> dict[str, Any]:
        count = {"values": 0, "counters": 0, "locks": 0, "bytes": 0}
        corrupt: list[bytes] = []
        rows = [(key, row) for key in keys if (row := self.data.m.get(key)) is not None]
        for key, row in rows:
            parts = split_row(row)
            if parts.problem:
                corrupt.append(key)
                continue
            if parts.expires_at is None or parts.expires_at > now:
                continue
            number = self.data.y.get(key)
            marker = parts.kind is Kind.COUNTER
            count["counters" if marker else "values" if parts.payload or not is_lock(key) else "locks"] += 1
            count["bytes"] += len(key) + len(row) + (8 if marker and number is not None else 0)
            self.data.write(key, Stored(None, None if marker else number))
        return {**count, "scanned": len(rows), "corrupt": len(corrupt), "corrupt_keys": tuple(corrupt[:10])}

    def census(self, position: str = "") -> Iterator[CensusSlice]:
        """Every key once, in key order."""
        cursor = Cursor(position) if position else None
        while True:
            page = self.scan(ALL_KEYS, cursor, STEP)
            yield CensusSlice(
                tuple(CensusRow(e.key, e.kind, e.expires_at, len(e.key), e.size - len(e.key), bool(e.problem)) for e in page.entries),
                page.next or "",
                None if page.next else 1.0,
            )
            if page.next is None:
                return
            cursor = page.next
