"""The purge of PostgreSQL: ranges of pages in physical order, one statement and one short transaction each.

A position holds the number of the table's file: after a rewrite of the table rows lie elsewhere, so a purge starts over. Stretches of
pages can be purged side by side, on a connection each.
"""

from __future__ import annotations

import re
import time
from abc import abstractmethod
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from stores.backends.base import IsLock
from stores.backends.pacing import Feedback
from stores.backends.sql import EXPIRED, LOCK_BYTES, MALFORMED, NAMED_CORRUPT, NUMBER_SIZE, Row, moment
from stores.backends.sql_batch import BatchBackend
from stores.errors import CursorLost
from stores.texts import say
from stores.types import Pace, PurgeSlice

BLOCK_ROWS: Final = 291
"""Most rows that a page of 8 KiB can hold."""

_BUDGET: Final = {Pace.GENTLE: 0.012, Pace.NORMAL: 0.022, Pace.FAST: 0.032}
"""Seconds of one purge transaction."""
_FIRST: Final = {Pace.GENTLE: 16, Pace.NORMAL: 32, Pace.FAST: 64}
"""Pages of the first step, and the fewest of any."""


class PurgeByPages(BatchBackend):
    """The purge part of the PostgreSQL backend."""

    @abstractmethod
    def _old_server(self) -> bool:
        """Whether the server does not scan ranges of row addresses as such."""

    def purge_parts(self, most: int = 1) -> list[str]:
        """Equal stretches of pages, up to those that are there now. One query."""
        blocks, file = self._extent()
        each = max(1, -(-blocks // most))
        return [f"{file}:{start}:{start}-{min(start + each, blocks)}" for start in range(0, blocks, each)] or [""]

    def _purge(self, now: int, pace: Pace, position: str, is_lock: IsLock) -> Iterator[PurgeSlice]:
        """Ranges of pages."""
        blocks, file = self._extent()
        begin, stretch = _page_of(position, file)
        start, end = stretch or (0, blocks)
        tail = f":{start}-{end}" if stretch else ""
        feedback = Feedback(_BUDGET[pace], _FIRST[pace], _FIRST[pace], 4096)
        while begin < end:
            pages = min(feedback.size, end - begin)
            step, seconds = self._purge_pages(now, begin, begin + pages, is_lock)
            if pages == feedback.size:
                feedback.took(seconds)
            begin += pages
            yield PurgeSlice(**step, position=f"{file}:{begin}{tail}", progress=(begin - start) / (end - start))

    def _extent(self) -> tuple[int, int]:
        """Pages of `m`, and the number of its file."""
        blocks, file = self._query("SELECT pg_relation_size('m') / current_setting('block_size')::int, pg_relation_filenode('m')")[0]
        return int(blocks), int(file)

    def _purge_pages(self, now: int, begin: int, end: int, is_lock: IsLock) -> tuple[dict[str, Any], float]:
        """One statement: the delete checks each row as it locks it, so a row that is renewed meanwhile stays.

        Nobody waits for the disk: should the server crash within the second, the last expired rows are back, and no harm is done.
        Returns what it did and its seconds.
        """
        params = {**moment(now), "begin": f"({begin},0)", "end": f"({end},0)", "lock1": LOCK_BYTES[0], "lock2": LOCK_BYTES[1]}
        params["named"] = NAMED_CORRUPT
        where = _TID_RANGE
        if self._old_server():
            where, params["begin"], params["end"] = _TID_LIST, begin, end - 1

        def delete() -> tuple[Row, float]:
            with self._transaction() as execute:
                execute("SET LOCAL synchronous_commit = off")
                began = time.monotonic()
                row = execute(_purge_statement(where, self.tables.counters), params).rows[0]
                return row, time.monotonic() - began

        row, seconds = self._again(delete, say("Other transactions keep blocking the purge."))
        scanned, malformed, removed, markers, numbers, size, empty, corrupt = row
        locks = sum(map(is_lock, empty or ()))
        step = {
            "scanned": scanned,
            "values": removed - markers - locks,
            "counters": markers,
            "locks": locks,
            "bytes": int(size or 0) + NUMBER_SIZE * numbers,
            "corrupt": malformed,
            "corrupt_keys": tuple(corrupt or ()),
        }
        return step, seconds


_TID_RANGE: Final = "m.ctid >= CAST(:begin AS tid) AND m.ctid < CAST(:end AS tid)"
_TID_LIST: Final = (
    "m.ctid = ANY (ARRAY(SELECT format('(%%s,%%s)', page, line)::tid FROM generate_series(:begin::bigint, :end::bigint) AS page, "
    f"generate_series(1, {BLOCK_ROWS}) AS line))"
)
"""Before version 14 ranges of row addresses are not scanned as such."""


@lru_cache
def _purge_statement(where: str, counters: str) -> str:
    """Numbers are looked up in key order, which saves a tenth of the whole."""
    return f"""
WITH gone AS (
  DELETE FROM m WHERE {where} AND {EXPIRED} RETURNING k, length(v) AS size, substr(v, 1, 8) = :zero AS marker
), numbers AS (
  DELETE FROM {counters} AS y USING (SELECT k FROM gone WHERE marker ORDER BY k) AS counters WHERE y.k = counters.k RETURNING 1
), seen AS (
  SELECT count(*) AS scanned, array_agg(k) FILTER (WHERE {MALFORMED}) AS malformed FROM m WHERE {where}
)
SELECT
  (SELECT scanned FROM seen),
  (SELECT coalesce(cardinality(malformed), 0) FROM seen),
  count(*),
  count(*) FILTER (WHERE marker),
  (SELECT count(*) FROM numbers),
  sum(length(k) + size),
  array_agg(k) FILTER (WHERE size = 8 AND k >= :lock1 AND k < :lock2),
  (SELECT malformed[1:{NAMED_CORRUPT}] FROM seen)
FROM gone"""


def _page_of(position: str, file: int) -> tuple[int, tuple[int, int] | None]:
    """The page that a purge goes on with, and the ends of its stretch; None for a purge of the whole table."""
    if not position:
        return 0, None
    match = re.fullmatch(r"(\d+):(\d+)(?::(\d+)-(\d+))?", position)
    if match is None:
        raise CursorLost(say("This position is not of a PostgreSQL store."), say("Start the purge again."))
    same = int(match[1]) == file
    if match[3] is None:
        return (int(match[2]) if same else 0), None
    if not same:
        raise CursorLost(say("The table was written anew meanwhile, so its rows lie elsewhere."), say("Start the purge again."))
    return int(match[2]), (int(match[3]), int(match[4]))
