"""Many keys of an SQL store in one short transaction: read and locked together, decided one by one, written together.

The number of keys follows a time budget, so that the mail server's writers wait no longer than for a step of a purge.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stores.backends.datastore import NOTHING, DecideEach, Stored
from stores.backends.pacing import Feedback
from stores.backends.sql import Execute, SQLBackend, as_key, as_number, as_row
from stores.errors import Interrupted
from stores.types import Entry

BUDGET: Final = 0.02
"""Seconds that a transaction may hold its locks."""
FIRST, FEWEST, MOST = 100, 20, 1000
"""Keys of the first transaction, and of any."""
PACKET: Final = 1 << 20
"""Bytes of keys and rows in one statement."""

Pair = tuple[bytes, Any]
"""A key, and what its row shall be."""


class BatchBackend(SQLBackend):
    """An SQL store that reads and changes many keys at once. The statements fit SQLite; the servers have their own."""

    _keys_at_once: Feedback | None = None

    def get_each(self, keys: Sequence[bytes]) -> list[Entry | None]:
        """As `get`: two statements for up to 1000 keys."""
        found: list[Entry | None] = []
        for batch in batches(keys, MOST):
            rows = self._query(*self._among("k, v", self.tables.values, batch))
            numbers = self._query(*self._among("k, v", self.tables.counters, batch))
            stored = self._joined(rows, numbers)
            found += [stored.get(key, NOTHING).entry(key) for key in batch]
        return found

    def _change_each(self, keys: Sequence[bytes], decide: DecideEach) -> None:
        """Transactions of as many keys as the budget allows. Raises StoreUnavailable when others keep writing the same keys."""
        pace = self._keys_at_once = self._keys_at_once or Feedback(BUDGET, FIRST, FEWEST, MOST)
        first = 0
        while first < len(keys):
            indexes = range(first, min(first + pace.size, len(keys)))
            try:
                seconds = self._change_batch(keys, indexes, decide)
            except Interrupted:
                raise Interrupted(first) from None
            if len(indexes) == pace.size:
                pace.took(seconds)
            first = indexes.stop

    def _change_batch(self, keys: Sequence[bytes], indexes: range, decide: DecideEach) -> float:
        """One transaction; answers the seconds for which it held its locks."""

        def change() -> float:
            with self._transaction() as execute:
                began = time.monotonic()
                seen = self._locked_each(execute, sorted({keys[index] for index in indexes}))
                wanted = dict(seen)
                for index in indexes:
                    key = keys[index]
                    wanted[key] = decide(index, wanted.get(key, NOTHING))
                self._store_each(execute, seen, wanted)
            return time.monotonic() - began

        return self._again(change)

    def _locked_each(self, execute: Execute, keys: Sequence[bytes]) -> dict[bytes, Stored]:
        values, numbers = (
            execute(sql + self.LOCK_ROWS, params).rows
            for sql, params in (self._among("k, v", table, keys) for table in (self.tables.values, self.tables.counters))
        )
        return self._joined(values, numbers)

    def _joined(self, values: Sequence[Any], numbers: Sequence[Any]) -> dict[bytes, Stored]:
        rows = {as_key(key): as_row(row) for key, row in values}
        counted = {as_key(key): as_number(number) for key, number in numbers}
        return {key: self._own(key, rows.get(key), counted.get(key)) for key in rows.keys() | counted.keys()}

    def _store_each(self, execute: Execute, seen: Mapping[bytes, Stored], wanted: Mapping[bytes, Stored]) -> None:
        """Write what differs, table by table."""
        for table, part in ((self.tables.values, 0), (self.tables.counters, 1)):
            pairs = [(key, seen.get(key, NOTHING)[part], new[part]) for key, new in wanted.items()]
            gone = [key for key, old, new in pairs if old is not None and new is None]
            changed = [(key, new) for key, old, new in pairs if old is not None and new is not None and old != new]
            added = [(key, new) for key, old, new in pairs if old is None and new is not None]
            for keys in batches(gone, MOST):
                execute(*self._delete_among(table, keys))
            for some in packets(changed):
                self._update_each(execute, table, some)
            for some in packets(added):
                self._insert_each(execute, table, some)

    # what the servers say otherwise

    def _among(self, columns: str, table: str, keys: Sequence[bytes]) -> tuple[str, dict[str, object]]:
        """A select of the rows of these keys."""
        names, params = _named(keys)
        return f"SELECT {columns} FROM {table} WHERE k IN ({names})", params  # noqa: S608 - names of our own

    def _delete_among(self, table: str, keys: Sequence[bytes]) -> tuple[str, dict[str, object]]:
        names, params = _named(keys)
        return f"DELETE FROM {table} WHERE k IN ({names})", params  # noqa: S608

    def _update_each(self, execute: Execute, table: str, pairs: Sequence[Pair]) -> None:
        for key, new in pairs:
            execute(f"UPDATE {table} SET v = :v WHERE k = :k", {"k": key, "v": new})  # noqa: S608

    def _insert_each(self, execute: Execute, table: str, pairs: Sequence[Pair]) -> None:
        for key, new in pairs:
            execute(f"INSERT INTO {table} (k, v) VALUES (:k, :v)", {"k": key, "v": new})  # noqa: S608


def batches(keys: Sequence[bytes], most: int) -> Iterator[Sequence[bytes]]:
    """The keys in pieces of at most so many."""
    for first in range(0, len(keys), most):
        yield keys[first : first + most]


def packets(pairs: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
    """The pairs in pieces of about a megabyte at most; a longer row goes alone."""
    piece: list[Pair] = []
    size = 0
    for key, new in pairs:
        weight = len(key) + (len(new) if isinstance(new, bytes) else 8)
        if piece and size + weight > PACKET:
            yield piece
            piece, size = [], 0
        piece.append((key, new))
        size += weight
    if piece:
        yield piece


def _named(keys: Sequence[bytes]) -> tuple[str, dict[str, object]]:
    params: dict[str, object] = {f"k{number}": key for number, key in enumerate(keys)}
    return ", ".join(f":{name}" for name in params), params
