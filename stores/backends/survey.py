"""A census of an SQL store that the engine does most of: rows of `m` in physical order, numbers in key order, each in short statements.

A number with a row in `m` is one key with it. They meet in key order, by their two indexes, without the rows themselves.
A part is text: table, start and end, such as `m:0:5000` (rows or pages) or `y:05:06` (keys in hex, empty at the open end).
"""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from stores.backends.sql import NUMBER_SIZE, Row, as_key, as_row, before
from stores.backends.sql_batch import BatchBackend
from stores.codecs.rows import split_row
from stores.errors import CursorLost
from stores.texts import say
from stores.types import CensusGroup, CensusLink, CensusPair, CensusPlan, CensusRow, CensusSlice, Kind, prefix_end

NUMBERS: Final = 20_000
"""Numbers that one statement counts."""
SINGLE: Final = 1000
"""Numbers that one statement reads."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of one table."""

    table: str
    start: str
    end: str

    @classmethod
    def of(cls, text: str) -> Part:
        """Raises CursorLost for what is no part."""
        pieces = text.split(":")
        if len(pieces) != 3 or pieces[0] not in ("m", "y"):
            raise CursorLost(say("This position is not of this store."))
        return cls(*pieces)

    def __str__(self) -> str:
        return f"{self.table}:{self.start}:{self.end}"


class SurveyBackend(BatchBackend):
    """The engine's part is how rows of `m` are counted; numbers are counted here."""

    def census_parts(self, most: int = 1) -> list[str]:
        """Stretches of `m` and of the numbers, two of each at least, so that whoever is done early has another to count.

        Up to 0.10, whose numbers have others among them, everything is one part.
        """
        if self.tables.shared:
            return ["*"]
        each = max(2, most // 2)
        return [f"m:{start}:{end}" for start, end in self._stretches(each)] + [
            f"y:{start}:{end}" for start, end in self._number_stretches(each)
        ]

    def survey(self, plan: CensusPlan | None, part: str = "*") -> Iterator[CensusSlice]:
        """Groups and blocks instead of rows, in statements of a few milliseconds each; memory is flat."""
        if plan is None or part.startswith("*"):
            yield from super().survey(plan, part)
            return
        wanted = Part.of(part)
        yield from self._survey_rows(plan, wanted) if wanted.table == "m" else self._survey_numbers(plan, wanted)

    @abstractmethod
    def _stretches(self, most: int) -> list[tuple[str, str]]:
        """Up to so many stretches of `m`."""

    @abstractmethod
    def _survey_rows(self, plan: CensusPlan, part: Part) -> Iterator[CensusSlice]:
        """Count rows of `m` without looking at numbers."""

    @abstractmethod
    def _count_numbers(self, plan: CensusPlan, start: bytes, until: bytes | None) -> list[Row]:
        """Numbers of a counter class with `start <= k < until`, in groups: length, window, has a row, how many, bytes of the keys,
        keys joined where the plan wants to see them."""

    # numbers

    def _number_stretches(self, most: int) -> list[tuple[str, str]]:
        return self._between_firsts(self.tables.counters, most)

    def _between_firsts(self, table: str, most: int) -> list[tuple[str, str]]:
        """Cut where first bytes begin, which are many keys apart where there are many."""
        firsts = [f"{first:02x}" for first in self._firsts_of(table)]
        step = max(1, -(-len(firsts) // most))
        starts = ["", *firsts[step::step]]
        return list(zip(starts, [*starts[1:], ""], strict=True))

    def _firsts_of(self, table: str) -> Iterator[int]:
        """The first bytes of the keys of a table, one look-up each; the empty key has none."""
        position: bytes | None = b"\x00"
        while position is not None and (rows := self._ordered(table, "k", position, None, 1)):
            first = as_key(rows[0][0])[:1]
            yield first[0]
            position = prefix_end(first)

    def _survey_numbers(self, plan: CensusPlan, part: Part) -> Iterator[CensusSlice]:
        """Stretch by stretch, each of keys with one first byte."""
        start, end = bytes.fromhex(part.start), bytes.fromhex(part.end) if part.end else None
        while True:
            rows = self._ordered(self.tables.counters, "k", start, end, 1)
            if not rows:
                break
            begin = as_key(rows[0][0])
            until = self._until_in(self.tables.counters, begin, end)
            yield from self._numbers_between(plan, begin, until)
            if until is None or until == end:
                break
            start = until
            yield CensusSlice((), str(replace(part, start=start.hex())), share(start, part))
        yield CensusSlice((), "", 1.0)

    def _until_in(self, table: str, begin: bytes, end: bytes | None) -> bytes | None:
        """Where a statement that begins at a key ends: before another first byte, and after not too many rows."""
        if not begin:
            return b"\x00"
        stop = prefix_end(begin[:1])
        stop = end if stop is None or (end is not None and end < stop) else stop
        rows = self._query(self._nth(table, stop), {"start": begin, "end": stop, "offset": NUMBERS})
        return as_key(rows[0][0]) if rows else stop

    def _nth(self, table: str, end: bytes | None) -> str:
        return f"SELECT k FROM {table} WHERE k >= :start{before(end)} ORDER BY k LIMIT 1 OFFSET :offset"

    def _numbers_between(self, plan: CensusPlan, start: bytes, until: bytes | None) -> Iterator[CensusSlice]:
        """Of a counter class in groups, of others key by key."""
        if start and start[0] in plan.counters:
            step = self._grouped_numbers(plan, start, until)
            if step is not None:
                yield step
                return
        yield from self._single_numbers(start, until)

    def _grouped_numbers(self, plan: CensusPlan, start: bytes, until: bytes | None) -> CensusSlice | None:
        """None when some of the keys have to be looked at."""
        first = start[0]
        groups, pairs = [], []
        for length, window, paired, count, size, joined in self._count_numbers(plan, start, until):
            rows, keys, bytes_each = int(count), as_row(joined) or b"", int(length)
            if not plan.uniform(rows, first, bytes_each, bool(window), keys):
                return None
            if paired:
                pairs.append(CensusPair(first, bytes_each, bool(window), rows, keys))
            else:
                sizes = (rows, int(size), NUMBER_SIZE * rows)
                groups.append(CensusGroup(first, bytes_each, bool(window), Kind.COUNTER, len(plan.edges), *sizes, keys))
        return CensusSlice((), "-", None, tuple(groups), tuple(pairs), numbers=True)

    def _single_numbers(self, start: bytes, until: bytes | None) -> Iterator[CensusSlice]:
        """Key by key, with what the row of `m` says where there is one."""
        position: bytes | None = start
        while position is not None:
            keys = [as_key(row[0]) for row in self._ordered(self.tables.counters, "k", position, until, SINGLE)]
            heads = {as_key(key): as_row(head) or b"" for key, head, _ in self._heads_of(keys)} if keys else {}
            lonely = [CensusRow(key, Kind.COUNTER, None, len(key), NUMBER_SIZE) for key in keys if key not in heads]
            links = [CensusLink(key, parts.expires_at, bool(parts.problem)) for key in heads for parts in (split_row(heads[key]),)]
            yield CensusSlice(tuple(lonely), "-", None, links=tuple(links), numbers=True)
            position = keys[-1] + b"\x00" if len(keys) == SINGLE else None

    def _heads_of(self, keys: Sequence[bytes]) -> list[Row]:
        """Key, first 16 bytes and length of rows of `m`."""
        return self._query(*self._among("k, substr(v, 1, 16), length(v)", self.tables.values, keys))

    # rows of `m`

    def linked(self, first: int, numbered: bool) -> Iterator[CensusRow]:
        """In key order, in short statements; rows of `m` are read only where they are wanted."""
        word = "EXISTS" if numbered else "NOT EXISTS"
        position, end = bytes([first]), prefix_end(bytes([first]))
        while True:
            rows = self._query(self._nth(self.tables.values, end), {"start": position, "end": end, "offset": NUMBERS})
            until = as_key(rows[0][0]) if rows else end
            found = self._query(
                f"SELECT m.k, substr(m.v, 1, 16), length(m.v) FROM {self.tables.values} AS m WHERE m.k >= :start{before(until, 'm.')} "
                f"AND {word} (SELECT 1 FROM {self.tables.counters} AS y WHERE y.k = m.k)",
                {"start": position, "end": until},
            )
            yield from (single(*row) for row in found)
            if not rows or until is None:
                return
            position = until


def by_shape(rows: Iterable[Row]) -> list[Row]:
    """Numbers as `_count_numbers` has them, grouped here: by key, and whether it has a row."""
    groups: dict[tuple[int, bool, int], list[bytes]] = defaultdict(list)
    for key, paired in rows:
        groups[len(key), key[-8:-5] == b"\0\0\0", paired].append(key)
    return [(length, window, paired, len(keys), length * len(keys), b"".join(keys)) for (length, window, paired), keys in groups.items()]


def single(key: object, head: object, length: int) -> CensusRow:
    """A row of `m` by its first 16 bytes and its length."""
    name = as_key(key)
    kind, expires_at, _, problem = split_row(as_row(head) or b"")
    return CensusRow(name, kind, expires_at, len(name), int(length or 0), bool(problem))


def share(key: bytes, part: Part) -> float:
    """How far a key is between the ends of a part; a guess by the first bytes."""
    start = int.from_bytes(bytes.fromhex(part.start)[:4].ljust(4, b"\0"), "big")
    end = int.from_bytes(bytes.fromhex(part.end)[:4].ljust(4, b"\0"), "big") if part.end else 1 << 32
    return min(0.99, max(0.0, (int.from_bytes(key[:4].ljust(4, b"\0"), "big") - start) / max(1, end - start)))
