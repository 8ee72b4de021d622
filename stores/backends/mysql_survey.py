"""The census of MySQL and MariaDB: ranges of the clustered key, joined by the server into a few pieces of bytes that the client counts.

Measured on a million keys: a joined row takes the server 0.9 µs, grouping by class and expiry 2 µs, and rows one by one the client 3 µs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from stores.backends.sql import Row, as_key, before
from stores.backends.survey import Part, SurveyBackend, by_shape, share, single
from stores.types import CensusPlan, CensusSlice

if TYPE_CHECKING:
    from stores.backends.packcount import PackCounter


class SurveyByKeys(SurveyBackend):
    """The census part of the MySQL backend."""

    def _nth(self, table: str, end: bytes | None) -> str:
        return f"SELECT k FROM {table} FORCE INDEX (PRIMARY) WHERE k >= :start{before(end)} LIMIT 1 OFFSET :offset"

    def _stretches(self, most: int) -> list[tuple[str, str]]:
        return self._between_firsts(self.tables.values, most)

    def _survey_rows(self, plan: CensusPlan, part: Part) -> Iterator[CensusSlice]:
        from stores.backends.packcount import PackCounter

        start, end = bytes.fromhex(part.start), bytes.fromhex(part.end) if part.end else None
        counter = PackCounter(plan)
        while rows := self._ordered(self.tables.values, "k", start, end, 1):
            begin = as_key(rows[0][0])
            until = self._until_in(self.tables.values, begin, end)
            yield self._between(counter, begin, until)
            if until is None or until == end:
                break
            start = until
            yield CensusSlice((), str(replace(part, start=start.hex())), share(start, part))
        yield CensusSlice((), "", 1.0)

    def _between(self, counter: PackCounter, start: bytes, until: bytes | None) -> CensusSlice:
        """Rows of a range, joined by the server; one by one where that does not fit together."""
        from stores.backends.packcount import joined_rows, words

        source, params = f"FROM {self.tables.values} FORCE INDEX (PRIMARY) WHERE k >= :start{before(until)}", {"start": start, "end": until}
        ((count, codes, cells, long),) = self._query(f"SELECT {_JOINED} {source}", params)
        pack = joined_rows(int(count), words(codes), 20, cells, long)
        if pack is not None:
            return counter.rows(pack)
        rows = self._query(f"SELECT k, substr(v, 1, 16), length(v) {source}", params)
        return CensusSlice(tuple(single(*row) for row in rows), "-")

    def _count_numbers(self, plan: CensusPlan, start: bytes, until: bytes | None) -> list[Row]:
        from stores.backends.packcount import joined_numbers, words

        source = (
            f"FROM {self.tables.counters} AS y FORCE INDEX (PRIMARY) LEFT JOIN {self.tables.values} AS m ON m.k = y.k "
            f"WHERE y.k >= :start{before(until, 'y.')}"
        )
        params = {"start": start, "end": until}
        joined = "group_concat(char(2147483648 + 2 * length(y.k) + (m.k IS NOT NULL)) SEPARATOR ''), group_concat(y.k SEPARATOR '')"
        ((codes, cells),) = self._query(f"SELECT {joined} {source}", params)
        rows = joined_numbers(plan, start[0], words(codes), cells)
        return rows if rows is not None else by_shape(self._query(f"SELECT y.k, m.k IS NOT NULL {source}", params))


_JOINED: Final = (
    "count(*), group_concat(char(2147483648 + (length(k) << 20) + least(length(v), 1048575)) SEPARATOR ''), "
    "group_concat(left(v, 16), k SEPARATOR ''), group_concat(CASE WHEN length(v) >= 1048575 THEN length(v) END)"
)
"""Both lengths of a row are four bytes, the first bit always set; head and key are joined as bytes."""
