"""The census of an SQLite file: rows as they lie there, joined by the engine into a few pieces of bytes that the client counts.

Measured on a million keys: a row in key order costs four times one in physical order, grouping sorts all rows in memory, and rows that
become objects of Python one by one cost twice what joined ones do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from stores.backends.sql import Row, before
from stores.backends.sqlite_purge import PurgeByRowId
from stores.backends.survey import Part, SurveyBackend, by_shape, single
from stores.errors import CursorLost
from stores.texts import say
from stores.types import CensusPlan, CensusSlice

if TYPE_CHECKING:
    from stores.backends.packcount import PackCounter

STEP: Final = 20_000
"""Rows that one statement joins."""


class SurveyByRowId(SurveyBackend, PurgeByRowId):
    """The census part of the SQLite backend."""

    def _stretches(self, most: int) -> list[tuple[str, str]]:
        """Equal stretches of row ids, up to those that are there now."""
        first, last = self._query(f"SELECT coalesce(min(rowid), 0), coalesce(max(rowid), 0) FROM {self.tables.values}")[0]
        step = max(1, -(-(last + 1 - first) // most))
        starts = list(range(first, last + 1, step))
        return [(str(start), str(end)) for start, end in zip(starts, [*starts[1:], last + 1], strict=True)]

    def _survey_rows(self, plan: CensusPlan, part: Part) -> Iterator[CensusSlice]:
        """By row id from start to end, in statements of a few milliseconds."""
        from stores.backends.packcount import PackCounter

        try:
            start, end = int(part.start), int(part.end)
        except ValueError:
            raise CursorLost(say("This position is not of this store.")) from None
        counter, begin = PackCounter(plan), start
        joinable = self._query("PRAGMA encoding")[0][0] == "UTF-8"
        while start < end:
            after = self._query(_AFTER.format(self.tables.values), {"start": start, "end": end, "step": STEP})
            until = int(after[0][0]) if after else end
            yield self._between(counter, start, until, joinable)
            start = until
            if start < end:
                yield CensusSlice((), str(replace(part, start=str(start))), (start - begin) / (end - begin))
        yield CensusSlice((), "", 1.0)

    def _between(self, counter: PackCounter, start: int, until: int, joinable: bool) -> CensusSlice:
        """Rows of a stretch of row ids, joined by the engine; one by one where cells are not as the server writes them."""
        from stores.backends.packcount import characters, joined_rows

        window = {"start": start, "until": until}
        if joinable:
            ((count, codes, cells, long),) = self._query(_JOINED.format(self.tables.values), window)
            pack = joined_rows(int(count), characters(codes), 12, cells, long)
            if pack is not None:
                return counter.rows(pack)
        rows = self._query(_SINGLE.format(self.tables.values), window)
        return CensusSlice(tuple(single(*row) for row in rows), "-")

    def _count_numbers(self, plan: CensusPlan, start: bytes, until: bytes | None) -> list[Row]:
        """Joined as rows are; both tables by their key index alone."""
        from stores.backends.packcount import characters, joined_numbers

        source = (
            f"FROM {self.tables.counters} AS y LEFT JOIN {self.tables.values} AS m ON m.k = y.k WHERE y.k >= :start{before(until, 'y.')}"
        )
        params = {"start": start, "end": until}
        joined = "CAST(group_concat(char(65536 + 2 * length(y.k) + (m.k IS NOT NULL)), '') AS BLOB), CAST(group_concat(y.k, '') AS BLOB)"
        ((codes, cells),) = self._query(f"SELECT {joined} {source}", params)
        rows = joined_numbers(plan, start[0], characters(codes), cells)
        return rows if rows is not None else by_shape(self._query(f"SELECT y.k, m.k IS NOT NULL {source}", params))


_AFTER: Final = "SELECT rowid FROM {} WHERE rowid >= :start AND rowid < :end ORDER BY rowid LIMIT 1 OFFSET :step"
_SIZE: Final = "min(length(v), 4095)"
_JOINED: Final = (
    f"SELECT count(*), CAST(group_concat(char(65536 + 4096 * length(k) + {_SIZE}), '') AS BLOB), "
    "CAST(group_concat(substr(v, 1, 16) || k, '') AS BLOB), group_concat(CASE WHEN length(v) >= 4095 THEN length(v) END) "
    "FROM {} WHERE rowid >= :start AND rowid < :until"
)
"""Both lengths of a row are one character, always of four bytes; head and key are joined as bytes. Half the time of reading rows."""
_SINGLE: Final = (
    "SELECT CAST(k AS BLOB), substr(CAST(v AS BLOB), 1, 16), length(CAST(v AS BLOB)) FROM {} WHERE rowid >= :start AND rowid < :until"
)
