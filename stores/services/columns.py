"""Counting the keys of a Redis, which come as columns: some hundreds at once, so that the class of many is asked for together."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Final

from stores.keyclasses.many import class_of_all
from stores.services.frequent import Largest
from stores.services.sums import (
    BUCKETS,
    COUNTERS,
    GONE,
    GONE_BYTES,
    HISTOGRAM,
    KEY_BYTES,
    LOCKS,
    NEVER_BUCKET,
    PLACES,
    VALUE_BYTES,
    Slug,
)
from stores.types import CensusColumns, CensusRow, Kind

AT_ONCE: Final = 500
"""Keys that are put into their classes together: more would keep the answers of a server waiting, and with them the server."""
_NEVER, _EXPIRED = 1, 2
"""Places of an expiry, after that of a key which is gone; the buckets of the histogram follow."""
_SIZES: Final = len(BUCKETS) + 4
"""Where the bytes of the values stand, behind the places; those of expired keys follow."""


class Columns:
    """Keys that wait for being counted, and how they are. About 0.6 µs a key."""

    def __init__(
        self,
        version: str,
        now: int,
        sums_of: Callable[[Slug], list[int]],
        add: Callable[[Iterable[CensusRow]], None],
        largest: Largest,
        subjects: Callable[[Slug, list[bytes]], None],
    ) -> None:
        """`add` counts rows whose class only a look at each can tell."""
        self._version, self._sums_of, self._add, self._largest, self._subjects = version, sums_of, add, largest, subjects
        self._edges = [-1, 0, *((now + seconds + 1) * 1000 for seconds in (0, *(seconds for _, seconds in BUCKETS)))]
        self._waiting: list[CensusColumns] = []
        self.rows = 0
        """Keys that are in no class's sums yet."""

    def add(self, columns: CensusColumns) -> None:
        """Take a slice."""
        self._waiting.append(columns)
        self.rows += len(columns.keys)
        if self.rows >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Give all to the classes."""
        waiting, self._waiting, self.rows = self._waiting, [], 0
        if not waiting:
            return
        if not all(all(columns.keys) for columns in waiting):
            self._add([_row(*part) for columns in waiting for part in zip(*columns, strict=True) if part[1] != -2])
            return
        sums, keys, large, odd = self._count(waiting)
        left: set[int] = set()
        for first, found in enumerate(keys):
            known = class_of_all(found, self._version) if found else None
            if known is not None:
                self._settle(known, sums[first], found, large[first])
            elif found:
                left.add(first)
        if left:
            odd += [
                _row(key, at, size)
                for columns in waiting
                for key, at, size in zip(*columns, strict=True)
                if key[0] in left and at != -2 and size >= 0
            ]
        if odd:
            self._add(odd)

    def _count(
        self, waiting: list[CensusColumns]
    ) -> tuple[list[list[int]], list[list[bytes]], list[list[tuple[int, bytes]]], list[CensusRow]]:
        """The inner loop: sums, keys and large rows by first byte, and keys that hold no string, which are not counted."""
        edges, smallest, bisect = self._edges, self._largest.smallest, bisect_right
        sums = [[0] * (_SIZES + 2) for _ in range(256)]
        keys: list[list[bytes]] = [[] for _ in range(256)]
        large: list[list[tuple[int, bytes]]] = [[] for _ in range(256)]
        odd: list[CensusRow] = []
        for columns in waiting:
            for key, at, size in zip(*columns, strict=True):
                place = bisect(edges, at)
                if size < 0 or not place:
                    if place:
                        odd.append(_row(key, at, size))
                    continue
                first = key[0]
                mine = sums[first]
                mine[place] += 1
                mine[_SIZES] += size
                keys[first].append(key)
                size += len(key)
                if size >= smallest:
                    large[first].append((size, key))
                if place == _EXPIRED:
                    mine[_SIZES + 1] += size
        return sums, keys, large, odd

    def _settle(self, known: tuple[Slug, Kind], found: list[int], keys: list[bytes], large: list[tuple[int, bytes]]) -> None:
        """Add what was found of one first byte, all of one class."""
        slug, own = known
        sums = self._sums_of(slug)
        place = LOCKS if own is Kind.LOCK else PLACES[own]
        sums[place] += len(keys)
        sums[KEY_BYTES] += sum(map(len, keys))
        sums[VALUE_BYTES] += found[_SIZES]
        sums[GONE + place] += found[_EXPIRED]
        sums[GONE_BYTES] += found[_SIZES + 1]
        sums[NEVER_BUCKET] += found[_NEVER]
        for number, count in enumerate(found[_EXPIRED:_SIZES]):
            sums[HISTOGRAM + number] += count
        if place != COUNTERS:
            for size, key in large:
                self._largest.add(size, key)
        self._subjects(slug, keys)


def _row(key: bytes, at: int, size: int) -> CensusRow:
    return CensusRow(key, Kind.UNKNOWN, None if at < 0 else at // 1000, len(key), max(size, 0), size < 0)
