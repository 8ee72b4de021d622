"""Two ordered walks, over `m` and over `y`, become one: pages of entries, slices of a census, steps of a purge.

For engines whose tables come as ordered key-value pairs with numbers of 8 little-endian bytes (RocksDB, FoundationDB).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice, repeat
from typing import Final

from stores.backends.base import IsLock
from stores.backends.datastore import Stored
from stores.codecs.cursors import cursor_after
from stores.codecs.rows import HEADER, MARKER_HEADER, MARKER_SIZE, NEVER_NUMBER, entry_from_rows
from stores.codecs.sqltables import is_lookup_counter
from stores.errors import BadConfig
from stores.types import CensusRow, CensusSlice, Entry, Kind, PurgeSlice

Pair = tuple[bytes, bytes]

Ended = Callable[[bytes | None, bytes | None], None]
"""Told the last key of the values and of the numbers, None where there was none."""

Owns = Callable[[bytes, bytes | None], bool]
"""Whether the number under a key belongs to a lookup, given the row in `m`."""

NUMBER_SIZE: Final = 8
BAD_NUMBER: Final = "The number has {} bytes; a number has 8. It reads as 0."
NUMBERS_AT_ONCE: Final = 512
SLICE_ROWS: Final = 2048
"""More at once costs more: the garbage collector looks at every row that lives long."""
NAMED_CORRUPT: Final = 10

_first_u64 = struct.Struct(">Q").unpack_from
_second_u64 = struct.Struct(">8xQ").unpack_from
_new_row = tuple.__new__


def number_of(raw: bytes | None) -> int | None:
    """The number of a row in `y`, None without a row; one that has not 8 bytes counts as 0, as the engine's own addition does."""
    if raw is None:
        return None
    return int.from_bytes(raw, "little", signed=True) if len(raw) == NUMBER_SIZE else 0


def entry_of(key: bytes, row: bytes | None, raw_number: bytes | None) -> Entry:
    """The entry of a row in `m`, a row in `y`, or both."""
    entry = entry_from_rows(key, row, number_of(raw_number))
    if raw_number is not None and len(raw_number) != NUMBER_SIZE and not entry.problem:
        return replace(entry, problem=BAD_NUMBER.format(len(raw_number)))
    return entry


def stored(row: bytes | None, raw_number: bytes | None) -> Stored:
    """The pair that decisions are made on."""
    return Stored(row, number_of(raw_number))


def owns_all(key: bytes, row: bytes | None) -> bool:
    """Every number belongs to a lookup key: the layout from 0.11 on."""
    return True


def owns_some(key: bytes, row: bytes | None) -> bool:
    """In 0.10 the server's other counters live in the same table: a lookup's number has a marker in `m`, or its form tells."""
    return is_marker(row) or is_lookup_counter(key)


def is_marker(row: bytes | None) -> bool:
    """Whether a row of `m` carries the expiry of a counter."""
    return row is not None and len(row) >= MARKER_SIZE and row.startswith(MARKER_HEADER)


def require_own(owns: Owns, key: bytes, row: bytes | None, new: Stored) -> None:
    """Raise BadConfig where a number would be written under a key that another part of the server may use."""
    if new.number is not None and not owns(key, row):
        raise BadConfig("Stalwart 0.10 keeps counters of its own under keys of this form.", "Use a key of text for a counter.", "key")


def merged(values: Iterator[Pair], numbers: Iterator[Pair], owns: Owns = owns_all) -> Iterator[Entry]:
    """Entries in key order, a key with a row in both walks once; numbers that belong to others are left out."""
    value, number = next(values, None), next(numbers, None)
    while value is not None or number is not None:
        if number is None or (value is not None and value[0] < number[0]):
            assert value is not None
            yield entry_of(*value, None)
            value = next(values, None)
        elif value is None or number[0] < value[0]:
            if owns(number[0], None):
                yield entry_of(number[0], None, number[1])
            number = next(numbers, None)
        else:
            yield entry_of(*value, number[1] if owns(*value) else None)
            value, number = next(values, None), next(numbers, None)


def _nothing(last_value: bytes | None, last_number: bytes | None) -> None:
    """The walks cannot end too early."""


def census_slices(
    values: Iterable[Pair], numbers: Iterator[Pair], expected: int = 0, ended: Ended = _nothing, owns: Owns = owns_all
) -> Iterator[CensusSlice]:
    """Every key of both walks once; a slice has a few thousand rows, the last one may be empty.

    Cost: about 0.6 µs a row above the walks themselves. Rows of `m` are looked at one by one, so that large values never
    gather in memory; numbers come a thousand at a time. `expected` is the engine's estimate of rows, for the progress;
    `ended` is told the last key of both walks before the last slice, and raises if a walk ended too early.
    """
    out: list[CensusRow] = []
    add, new, row_type, value, counter = out.append, _new_row, CensusRow, Kind.VALUE, Kind.COUNTER
    first_u64, never, full = _first_u64, NEVER_NUMBER, SLICE_ROWS - 1
    waiting, last, more = _next_numbers(numbers, None)
    seen, key = 0, None
    for key, row in values:
        while more and key > last:  # type: ignore[operator]
            out += _counters(waiting, owns)
            if len(out) > full:
                seen += len(out)
                yield _slice(out, last, seen, expected)
                out.clear()
            waiting, last, more = _next_numbers(numbers, last)
        if key in waiting:
            del waiting[key]
            size = len(row) + (NUMBER_SIZE if owns(key, row) else 0)
        else:
            size = len(row)
        try:
            (expiry,) = first_u64(row)
            if expiry:
                add(new(row_type, (key, value, None if expiry == never else expiry, len(key), size, False)))
            else:
                (expiry,) = _second_u64(row)
                add(new(row_type, (key, counter, None if expiry == never else expiry, len(key), size, False)))
        except struct.error:
            add(CensusRow(key, value, None, len(key), size, True))
        if len(out) > full:
            out += _counters(_taken_up_to(waiting, key), owns)
            seen += len(out)
            yield _slice(out, key, seen, expected)
            out.clear()
    while more:
        out += _counters(waiting, owns)
        if len(out) > full:
            seen += len(out)
            yield _slice(out, last, seen, expected)
            out.clear()
        waiting, last, more = _next_numbers(numbers, last)
    ended(key, last)
    yield CensusSlice(tuple(out), "", 1.0)


def _next_numbers(numbers: Iterator[Pair], last: bytes | None) -> tuple[dict[bytes, bytes], bytes | None, bool]:
    """The next numbers by key, in order, their last key (`last` when there are none), and whether there were any."""
    found = list(islice(numbers, NUMBERS_AT_ONCE))
    return dict(found), found[-1][0] if found else last, bool(found)


def _taken_up_to(waiting: dict[bytes, bytes], key: bytes) -> list[bytes]:
    """Take the keys up to and including `key` out of the waiting ones."""
    taken = []
    for other in waiting:
        if other > key:
            break
        taken.append(other)
    for other in taken:
        del waiting[other]
    return taken


def _counters(keys: Collection[bytes], owns: Owns) -> Iterator[CensusRow]:
    """Rows of keys that have a number and nothing in `m`."""
    if owns is not owns_all:
        keys = [key for key in keys if owns(key, None)]
    columns = zip(keys, repeat(Kind.COUNTER), repeat(None), map(len, keys), repeat(NUMBER_SIZE), repeat(False), strict=False)
    return map(_new_row, repeat(CensusRow), columns)


def _slice(rows: list[CensusRow], last: bytes | None, seen: int, expected: int) -> CensusSlice:
    assert last is not None
    progress = min(0.99, seen / expected) if expected else None
    return CensusSlice(tuple(rows), cursor_after(last), progress)


@dataclass(slots=True)
class Expired:
    """What a stretch of `m` holds that has expired."""

    scanned: int = 0
    last: bytes | None = None
    """The last key looked at, None when there was none."""
    values: list[bytes] = field(default_factory=list)
    """Keys of values and locks."""
    markers: list[bytes] = field(default_factory=list)
    """Keys of counters: row and number go together."""
    locks: int = 0
    corrupt: int = 0
    corrupt_keys: list[bytes] = field(default_factory=list)
    bytes: int = 0
    """Bytes of the keys and rows in `m`."""

    def purge_slice(self, numbers: int, position: str, progress: float | None) -> PurgeSlice:
        """The step of a purge that removed all this and this many numbers."""
        return PurgeSlice(
            scanned=self.scanned,
            values=len(self.values) - self.locks,
            counters=len(self.markers),
            locks=self.locks,
            corrupt=self.corrupt,
            corrupt_keys=tuple(self.corrupt_keys),
            bytes=self.bytes + NUMBER_SIZE * numbers,
            position=position,
            progress=progress,
        )


def expired_rows(rows: Iterable[Pair], now: int, is_lock: IsLock) -> Expired:
    """Sort out rows of `m`: what had expired at `now`, what is malformed. About 0.15 µs a row that stays."""
    found = Expired()
    keep_value, keep_marker = found.values.append, found.markers.append
    key, scanned, size = None, 0, 0
    for key, row in rows:
        scanned += 1
        try:
            (expiry,) = _first_u64(row)
            if expiry > now:
                continue
            if expiry:
                keep_value(key)
                if len(row) == HEADER and is_lock(key):
                    found.locks += 1
            else:
                (expiry,) = _second_u64(row)
                if expiry > now:
                    continue
                keep_marker(key)
            size += len(key) + len(row)
        except struct.error:
            found.corrupt += 1
            if len(found.corrupt_keys) < NAMED_CORRUPT:
                found.corrupt_keys.append(key)
    found.scanned, found.bytes = scanned, size
    found.last = key
    return found
