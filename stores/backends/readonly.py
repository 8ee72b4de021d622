"""What static and HTTP lookups share: a table that can be shown but not written.

Settings: those of the subclass.
Capabilities: reading only, in byte order of the keys.
Differences from Stalwart: rows are shown as they are configured; only the verbs with Stalwart's names type and match them.
Limits: those of the rows that are handed in.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, NoReturn, Protocol

from stores.backends.base import Backend, IsLock
from stores.codecs.cursors import cursor_after, start_after
from stores.codecs.staticlookup import Typed, as_text
from stores.errors import NotSupported, ReadOnly
from stores.texts import say
from stores.types import (
    ALL_KEYS,
    ANYTHING,
    KEEP,
    Capabilities,
    Clock,
    Cursor,
    Entry,
    Expected,
    Keep,
    KeyRange,
    Kind,
    Pace,
    Page,
    PurgeSlice,
)


class Rows(Protocol):
    """The rows of a table in byte order of their keys."""

    def get(self, key: bytes) -> bytes | None:
        """The value under exactly this key."""

    def page(self, start: bytes, end: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
        """The next rows from `start` on, before `end`."""

    def count(self, start: bytes = b"", end: bytes | None = None, at_most: int | None = None) -> tuple[int, bool]:
        """Number of rows and whether it is exact; may stop after `at_most`."""

    def size(self) -> int | None:
        """Bytes of keys and values, None where that is not cheap."""


class MemoryRows:
    """Rows that are all at hand."""

    def __init__(self, entries: Iterable[tuple[str, str]]) -> None:
        self._rows = sorted((key.encode(), value.encode()) for key, value in dict(entries).items())

    def get(self, key: bytes) -> bytes | None:
        at = bisect_left(self._rows, (key,))
        return self._rows[at][1] if at < len(self._rows) and self._rows[at][0] == key else None

    def page(self, start: bytes, end: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
        at, stop = bisect_left(self._rows, (start,)), self._stop(end)
        return self._rows[at : min(stop, at + limit)]

    def count(self, start: bytes = b"", end: bytes | None = None, at_most: int | None = None) -> tuple[int, bool]:
        return max(0, self._stop(end) - bisect_left(self._rows, (start,))), True

    def size(self) -> int | None:
        return sum(len(key) + len(value) for key, value in self._rows)

    def _stop(self, end: bytes | None) -> int:
        return len(self._rows) if end is None else bisect_left(self._rows, (end,))


class ReadOnlyTable(Backend):
    """Configured texts under configured keys. Opens nothing by itself."""

    WHY_READ_ONLY: ClassVar[str]
    WHY_NO_PURGE: ClassVar[str]

    def __init__(self, settings: Mapping[str, str], rows: Rows, *, version: str = "", clock: Clock = time.time) -> None:
        super().__init__(settings, version=version, clock=clock)
        self.rows = rows

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            writes=False,
            counters=False,
            expiry=False,
            purges=False,
            conditional_write=False,
            why={
                "writes": self.WHY_READ_ONLY,
                "counters": say("%(label)s stores hold no counters.", label=self.LABEL),
                "expiry": say("Entries of %(label)s stores never expire.", label=self.LABEL),
                "purges": self.WHY_NO_PURGE,
                "conditional_write": self.WHY_READ_ONLY,
            },
        )

    @abstractmethod
    def answer(self, text: str) -> Typed | None:
        """What Stalwart's key_get answers for a key, None when nothing matches."""

    # reading

    def get(self, key: bytes) -> Entry | None:
        """The entry configured under exactly this key; a pattern is found under its own text."""
        value = self.rows.get(key)
        return None if value is None else _entry(key, value)

    def scan(self, keys: KeyRange = ALL_KEYS, cursor: Cursor | None = None, limit: int = 100) -> Page:
        shown = self.rows.page(start_after(cursor, keys), keys.end, limit + 1)
        more = len(shown) > limit
        shown = shown[:limit]
        return Page(tuple(_entry(*row) for row in shown), cursor_after(shown[-1][0]) if more else None)

    def count(self, keys: KeyRange = ALL_KEYS, at_most: int = 10_000) -> tuple[int, bool]:
        return self.rows.count(keys.start, keys.end, at_most)

    def size_bytes(self) -> int | None:
        return self.rows.size()

    # Stalwart's reads

    def key_get(self, key: bytes) -> bytes | None:
        """The answer as text: `true` reads as `1`. A key that is not UTF-8 matches nothing."""
        found = self._answer_to(key)
        return None if found is None else as_text(found).encode()

    def key_exists(self, key: bytes) -> bool:
        return self._answer_to(key) is not None

    def counter_get(self, key: bytes) -> int:
        """As Stalwart: not supported here."""
        raise NotSupported(say("%(label)s stores hold no counters.", label=self.LABEL), say("Use a data store or Redis for counters."))

    def _answer_to(self, key: bytes) -> Typed | None:
        try:
            return self.answer(key.decode())
        except UnicodeDecodeError:
            return None

    # writing: refused, each and every one

    def _refuse(self) -> NoReturn:
        raise ReadOnly(self.WHY_READ_ONLY)

    def key_set(self, key: bytes, value: bytes, expires_at: int | Keep | None = None, expect: Expected = ANYTHING) -> Entry:
        self._refuse()

    def counter_set(self, key: bytes, number: int, expires_at: int | Keep | None = None, expect: Expected = ANYTHING) -> Entry:
        self._refuse()

    def counter_incr(self, key: bytes, delta: int, expires_at: int | Keep | None = KEEP, expect: Expected = ANYTHING) -> int:
        self._refuse()

    def set_expiry(self, key: bytes, expires_at: int | None, expect: Expected = ANYTHING) -> Entry:
        self._refuse()

    def delete(self, key: bytes, expect: Expected = ANYTHING) -> Entry | None:
        self._refuse()

    def put(self, entry: Entry, expect: Expected = ANYTHING) -> Entry:
        self._refuse()

    def key_delete(self, key: bytes) -> None:
        self._refuse()

    def counter_delete(self, key: bytes) -> None:
        self._refuse()

    def purge(self, now: int, pace: Pace = Pace.NORMAL, position: str = "", is_lock: IsLock = lambda key: False) -> Iterator[PurgeSlice]:
        raise NotSupported(self.WHY_NO_PURGE)


def _entry(key: bytes, value: bytes) -> Entry:
    return Entry(key, Kind.VALUE, value, row=value)
