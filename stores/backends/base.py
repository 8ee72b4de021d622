"""The contract of every backend: bytes in, bytes out, no Django.

Settings: each backend declares `SETTINGS`, named like Stalwart's own options.
Capabilities: `capabilities` on the instance; ask it, never the type's name.
Differences from Stalwart: reads here show every row that exists, expired and malformed ones included; the verbs with
Stalwart's names (`key_get`, `key_exists`, `counter_get`, ...) answer as Stalwart would (store-formats b.2).
Limits: a call holds at most one page in memory.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import ClassVar, Self, TypeVar

from stores.errors import NotSupported, ReadOnly, StoreError, StoreRefused, StoreUnavailable
from stores.texts import say
from stores.types import (
    ALL_KEYS,
    ANYTHING,
    KEEP,
    Capabilities,
    CensusPlan,
    CensusRow,
    CensusSlice,
    Check,
    Clock,
    Cursor,
    Entry,
    Expected,
    Keep,
    KeyRange,
    Kind,
    Pace,
    Page,
    Ping,
    PurgeSlice,
    SettingField,
    TidyOffer,
    TidyStep,
    TidyWay,
)

T = TypeVar("T")
IsLock = Callable[[bytes], bool]
"""Says of a key whether an empty value under it is a lock; the key classes know."""


def pause_after(pace: Pace, seconds: float) -> float:
    """Seconds to leave the store alone after a step of background work that took so long.

    Gentle work leaves the server a good part of the time; the other paces leave only what the engine itself needs.
    """
    return max(0.003, 0.25 * seconds) if pace is Pace.GENTLE else 0.0


class Backend(ABC):
    """An open store. Not thread-safe: one instance a request, task or thread; close it, or use it as a context manager."""

    TYPE: ClassVar[str]
    """The name Stalwart gives this type (`store.<id>.type`), or `static`, `memory`, `http`."""
    LABEL: ClassVar[str]
    """What a person calls it: "SQLite", "Redis"."""
    SETTINGS: ClassVar[tuple[SettingField, ...]] = ()
    ADVICE: ClassVar[str] = ""
    """One line for the form: what to have at hand."""
    TIDY_WHY: ClassVar[str] = ""
    """Why nothing has to be done about the space of removed keys."""

    on_wait: Callable[[], None] | None = None
    """Called at least once a second while another program's lock is in the way; raises Interrupted to end the wait."""

    def __init__(self, settings: Mapping[str, str], *, version: str = "", clock: Clock = time.time) -> None:
        """`settings` by Stalwart's option name, all text, macros already resolved. Opens nothing yet.

        `version` is Stalwart's ("0.11"); it decides tables and locks. Raises BadConfig that names the setting.
        """
        self.settings = dict(settings)
        self.version = version
        self.clock = clock

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this open store can do; may need a connection (a RocksDB beside a live server is read-only)."""

    @abstractmethod
    def ping(self) -> Ping:
        """One round trip. Raises StoreUnavailable or StoreRefused."""

    @abstractmethod
    def check(self) -> list[Check]:
        """The connection test, step by step; never raises a StoreError, a failed step ends the list."""

    def detect_version(self) -> str:
        """Stalwart's version as the layout of the store tells it ("0.10", "0.16"), empty when it does not."""
        return ""

    def watch(self, on_wait: Callable[[], None] | None) -> None:
        """Have locks that are in the way waited for longer, and somebody asked meanwhile whether to go on; None: as before."""
        self.on_wait = on_wait

    def close(self) -> None:  # noqa: B027 - not every backend holds something
        """Give back connections and handles. Safe to call twice."""

    # reading

    @abstractmethod
    def get(self, key: bytes) -> Entry | None:
        """The entry as stored: expired, malformed, counter or value. One round trip."""

    @abstractmethod
    def scan(self, keys: KeyRange = ALL_KEYS, cursor: Cursor | None = None, limit: int = 100) -> Page:
        """The next entries of the range. Keyset: page n costs what page 1 costs.

        Ordered stores return at most `limit` in key order, values and counters merged. Redis returns about `limit`, unordered,
        may repeat a key while the server resizes its table, and may return an empty page with a cursor.
        Raises CursorLost for a cursor that is not of this store and range.
        """

    def progress_of(self, cursor: Cursor, keys: KeyRange = ALL_KEYS) -> float | None:
        """The share of the keys that lies before a cursor of `scan`, 0 to 1; None when the store cannot tell. No round trip."""
        return None

    def count(self, keys: KeyRange = ALL_KEYS, at_most: int = 10_000) -> tuple[int, bool]:
        """Number of keys in the range and whether it is exact; stops at `at_most`. Never a COUNT(*) of a whole store."""
        seen, cursor = 0, None
        while True:
            page = self.scan(keys, cursor, min(1000, at_most))
            seen += len(page.entries)
            cursor = page.next
            if cursor is None:
                return seen, True
            if seen >= at_most:
                return seen, False

    def server_settings(self, prefixes: Sequence[str], most: int = 10_000) -> dict[str, str] | None:
        """The mail server's own settings whose names begin with one of the prefixes; None where none are kept that can be read as text.

        Data stores of 0.10 to 0.15 keep them in a table beside the keys. One range read a prefix, at most `most` settings each.
        """
        return None

    def size_bytes(self) -> int | None:
        """Bytes the store occupies where the server can tell cheaply, else None."""
        return None

    # writing, always conditional on `expect`, atomic in the store; all raise Conflict, ReadOnly, NotSupported, BadConfig

    @abstractmethod
    def key_set(self, key: bytes, value: bytes, expires_at: int | Keep | None = None, expect: Expected = ANYTHING) -> Entry:
        """Write a value (a lock is an empty one on a data store). Leaves a number in `y` alone. Returns what is stored now."""

    @abstractmethod
    def counter_set(self, key: bytes, number: int, expires_at: int | Keep | None = None, expect: Expected = ANYTHING) -> Entry:
        """Write number and marker together; replaces a value under the key. Number is a signed 64-bit integer."""

    @abstractmethod
    def counter_incr(self, key: bytes, delta: int, expires_at: int | Keep | None = KEEP, expect: Expected = ANYTHING) -> int:
        """Add atomically and return the new number. KEEP leaves the marker as it is, also a past one (Stalwart without TTL)."""

    @abstractmethod
    def set_expiry(self, key: bytes, expires_at: int | None, expect: Expected = ANYTHING) -> Entry:
        """Change only the expiry: header of a value or lock, marker of a counter. Raises KeyNotFound, CorruptRow."""

    @abstractmethod
    def delete(self, key: bytes, expect: Expected = ANYTHING) -> Entry | None:
        """Remove the key altogether, value, marker and number in one step. Returns what was removed, None when there was nothing."""

    # several keys at once, each by itself: an answer a key in the order given, and one that cannot be done does not stop the others.
    # They raise StoreUnavailable, and then say nothing of the keys done so far. Each step of a store stays short.

    def get_each(self, keys: Sequence[bytes]) -> list[Entry | None]:
        """As `get`, in few round trips."""
        return [self.get(key) for key in keys]

    def delete_each(self, seen: Sequence[Entry]) -> list[Entry | StoreError | None]:
        """Remove each key only if it is still as it was seen. Answers what was removed, None for what was gone already."""
        return [_answer(partial(self.delete, entry.key, entry)) for entry in seen]

    def set_expiry_each(self, seen: Sequence[Entry], expires_at: int | None) -> list[Entry | StoreError]:
        """Give each key this expiry only if it is still as it was seen. Answers what is stored now."""
        return [_answer(partial(self.set_expiry, entry.key, expires_at, entry)) for entry in seen]

    def put_each(self, wanted: Sequence[tuple[Entry, Expected]]) -> list[Entry | StoreError]:
        """Write each entry exactly, under its own expectation. A key that comes twice is written twice, in the order given."""
        return [_answer(partial(self.put, entry, expect)) for entry, expect in wanted]

    @abstractmethod
    def put(self, entry: Entry, expect: Expected = ANYTHING) -> Entry:
        """Write the entry exactly: its `row` and its `counter`, absolute expiry kept. Undo and copies use this."""

    @abstractmethod
    def key_delete(self, key: bytes) -> None:
        """As Stalwart: removes only the `m` row (a counter loses its marker); on Redis the whole key."""

    @abstractmethod
    def counter_delete(self, key: bytes) -> None:
        """As Stalwart: removes only the number; on Redis the whole key."""

    # Stalwart's reads

    def key_get(self, key: bytes) -> bytes | None:
        """As Stalwart's key_get: payload of a valid value; None when missing, expired or a counter. CorruptRow under 8 bytes."""
        entry = self.get(key)
        if entry is None or entry.kind is Kind.COUNTER or entry.expired(self.clock()):
            return None
        return entry.value

    def key_exists(self, key: bytes) -> bool:
        """As Stalwart: the validity test of key_get, payload ignored."""
        return self.key_get(key) is not None

    def counter_get(self, key: bytes) -> int:
        """As Stalwart: the number or 0; on data stores an expired counter still answers its old number."""
        entry = self.get(key)
        return entry.counter if entry is not None and entry.counter is not None else 0

    # background work: generators of bounded steps, so that the caller can report, pause and cancel between them

    def purge(self, now: int, pace: Pace = Pace.NORMAL, position: str = "", is_lock: IsLock = lambda key: False) -> Iterator[PurgeSlice]:
        """Remove what had expired at `now`, one short transaction a step, resumable from a step's position.

        The delete re-checks the expiry, so a renewed row survives; counter and marker go together; malformed rows are
        reported and skipped; never-expiring rows and numbers without a marker stay.
        """
        raise NotSupported(say("%(label)s expires keys by itself; there is nothing to purge.", label=self.LABEL))

    def purge_parts(self, most: int = 1) -> list[str]:
        """Positions from which up to so many purges can work side by side, each to the end of its stretch; together they are the store.

        One where only one can write at a time, or where side by side is not faster. A quick look at the ends, or a walk over keys alone.
        """
        return [""]

    def census(self, position: str = "") -> Iterator[CensusSlice]:
        """Every key once, light: no payloads where the store can avoid sending them. Resumable from a step's position."""
        cursor = Cursor(position) if position else None
        while True:
            page = self.scan(ALL_KEYS, cursor, 1000)
            rows = tuple(CensusRow(e.key, e.kind, e.expires_at, len(e.key), e.size - len(e.key), bool(e.problem)) for e in page.entries)
            yield CensusSlice(rows, page.next or "")
            if page.next is None:
                return
            cursor = page.next

    def census_parts(self, most: int = 1) -> list[str]:
        """Up to so many parts that a survey can count side by side; together they are the store. A quick look at its ends."""
        return ["*"]

    def census_at_once(self) -> int:
        """How many parts one process counts at once: engines count while Python waits, so two take about as long as the longer one."""
        return 2

    def survey(self, plan: CensusPlan | None, part: str = "*") -> Iterator[CensusSlice]:
        """A part of a census the cheapest way this store has; without a plan row by row.

        The position of each slice is the part that is left then, empty at the end. A key that stays and is not written meanwhile
        counts once. Stores that do not keep keys in order of their own may meet one twice, or not, if it is rewritten meanwhile.
        """
        for step in self.census(part[1:]):
            yield replace(step, position=f"*{step.position}" if step.position else "")

    def linked(self, first: int, numbered: bool) -> Iterator[CensusRow]:
        """The rows of `m` with this first byte that have a number beside them, or that have none; for stores that count in groups."""
        return iter(())

    # space that removed rows leave

    def tidy_offer(self) -> TidyOffer:
        """What could be done about it and what that costs. A few quick questions."""
        why = self.capabilities.why.get("tidies") or self.TIDY_WHY
        return TidyOffer(why=why or say("Nothing has to be done about the space of removed keys in a store of this kind."))

    def tidy(self, way: str) -> Iterator[TidyStep]:
        """Give space back the offered way; not one row changes. Steps come four times a second and oftener.

        Closing the generator stops the work as soon as the engine can; what it did is kept or undone as a whole by the engine itself.
        Raises NotSupported for a way that is not offered, StoreRefused for one that cannot be done now.
        """
        raise NotSupported(self.tidy_offer().why)

    def tidy_way(self, name: str) -> TidyWay:
        """The offered way of this name. Raises NotSupported, and StoreRefused with the reason when it cannot be done now."""
        offer = self.tidy_offer()
        way = next((way for way in offer.ways if way.name == name), None)
        if way is None:
            raise NotSupported(offer.why or say("This store cannot be tidied this way."), say("Look at what its page offers."))
        if way.refused:
            raise StoreRefused(way.refused)
        return way

    # helpers

    def require_writes(self) -> None:
        """Raise ReadOnly with the backend's own reason when this store takes no writes."""
        if not self.capabilities.writes:
            raise ReadOnly(self.capabilities.why.get("writes", say("This %(label)s store is read only.", label=self.LABEL)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _answer(act: Callable[[], T]) -> T | StoreError:
    """What an act answers or refuses; an outage goes on to the caller."""
    try:
        return act()
    except StoreUnavailable:
        raise
    except StoreError as error:
        return error
