"""Of very many things the most frequent, in bounded memory: the subjects with the most keys, and the largest rows."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

_KEPT: Final = 2048
_AT_MOST: Final = 8192


class Frequent:
    """The most frequent of very many subjects, about 1 MB: counts are never too high, and too low by at most `missed`.

    When the table is full, all counts sink by that of the last one kept (space-saving, in blocks).
    """

    def __init__(self, counts: Mapping[bytes, int] | None = None, missed: int = 0) -> None:
        self.missed = missed
        self._counts: Counter[bytes] = Counter(counts or {})

    def add(self, subjects: Iterable[bytes]) -> None:
        """Count a block of them."""
        self._counts.update(subjects)
        self._sink()

    def merge(self, other: Frequent) -> None:
        """Count what another one has counted: of both together at most the sum of both may be missed."""
        self._counts.update(other._counts)
        self.missed += other.missed
        self._sink()

    def top(self, number: int) -> list[tuple[bytes, int]]:
        """The largest counts, and of equal ones the smallest subject first."""
        return sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))[:number]

    def dump(self) -> list[Any]:
        """As JSON."""
        return [self.missed, {subject.hex(): count for subject, count in self._counts.items()}]

    @classmethod
    def load(cls, dumped: list[Any]) -> Frequent:
        """From `dump`."""
        return cls({bytes.fromhex(subject): count for subject, count in dumped[1].items()}, dumped[0])

    def _sink(self) -> None:
        if len(self._counts) <= _AT_MOST:
            return
        sunk = sorted(self._counts.values())[-1 - _KEPT]
        self.missed += sunk
        self._counts = Counter({subject: count - sunk for subject, count in self._counts.items() if count > sunk})


class Largest:
    """The rows with the most bytes, whatever the order they come in: of equal ones those whose key is the largest."""

    def __init__(self, number: int, rows: Iterable[tuple[int, bytes]] = ()) -> None:
        self._number = number
        self._heap: list[tuple[int, bytes]] = []
        self.smallest = -1
        """Bytes a row needs at least to be one of them."""
        for size, key in rows:
            self.add(size, key)

    def add(self, size: int, key: bytes) -> None:
        """Take a row that may be one of them; one that is known already changes nothing."""
        row = (size, key)
        if row in self._heap:
            return
        if len(self._heap) < self._number:
            heapq.heappush(self._heap, row)
        elif row > self._heap[0]:
            heapq.heapreplace(self._heap, row)
        if len(self._heap) == self._number:
            self.smallest = self._heap[0][0]

    def measure(self, size_of: Callable[[bytes], int | None]) -> None:
        """Ask the size of each once more, and drop those that are gone."""
        sizes = [(size, key) for _, key in self._heap if (size := size_of(key)) is not None]
        self._heap, self.smallest = [], -1
        for size, key in sizes:
            self.add(size, key)

    def rows(self) -> list[tuple[int, bytes]]:
        """Size and key, largest first."""
        return sorted(self._heap, reverse=True)
