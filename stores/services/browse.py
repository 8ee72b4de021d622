"""Looking at keys: one page of a filtered list within a time budget, one key, or all of them as a stream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from stores.models import Census, Store
from stores.services.access import opened
from stores.services.filters import CUSTOM, KeyFilter
from stores.services.filterwalk import STEP, FilterWalk, Position
from stores.services.rows import Row, json_row, row_of, store_kind
from stores.types import Clock, Kind

__all__ = ["CUSTOM", "FilterCount", "KeyFilter", "KeyPage", "Row", "json_row", "list_keys", "read_key", "stream_keys"]


RARE_SECONDS: Final = 0.2
"""How long a first page looks for keys of which the census knows only a few, where finding them means reading the whole store."""
LARGE: Final = 10_000
"""Keys of a store that takes too long to read for a first page of which the census knows no key: it answers, the page searches on."""
_ENOUGH: Final = 0.9
"""The share of a full page after which a store without order is not asked again: the next answer would be much too long."""


@dataclass(frozen=True, slots=True)
class FilterCount:
    """How many keys the latest census counted for a filter, and when."""

    keys: int
    at: datetime
    exact: bool
    of: int
    """The keys of the whole store then."""


@dataclass(frozen=True, slots=True)
class KeyPage:
    """One page of a key list."""

    rows: tuple[Row, ...]
    next: str | None
    """Cursor of the next page; None at the end."""
    scanned: int
    """Rows that were looked at to find these."""
    complete: bool
    """Nothing follows. When false and `out_of_time`, the rest has not been looked at yet."""
    out_of_time: bool
    """The time budget ended this page before it was full, or the census answered it before the store was asked (`scanned` is 0 then)."""
    progress: float | None
    """The share of the store that has been looked at so far, 0 to 1; None where the store cannot tell, and at the end."""
    census: FilterCount | None
    """What the latest census says of the same filter, None when it cannot answer."""
    notes: tuple[str, ...] = ()


def list_keys(
    store: Store,
    filter: KeyFilter,
    cursor: str = "",
    limit: int = 100,
    budget_seconds: float = 1.0,
    clock: Clock = time.time,
    census: Census | None = None,
) -> KeyPage:
    """The next rows of the filter. Ordered stores return at most `limit`, Redis about `limit`, in no order.

    Cost: one keyset page when the filter needs no look at the rows; otherwise as many as fit the budget, and the page says
    that it is partial. A first page of which the last census knows too few keys to fill it takes 0.2 s at most on a store without
    order, and reads nothing where it knows none in a large store: the census answers, and the search goes on from the page's
    cursor. `census`: the latest, where the caller has read it already. Raises CursorLost, and what the store says.
    """
    deadline = time.monotonic() + budget_seconds
    count = counted(store, filter, census)
    with opened(store, clock) as backend:
        walk = FilterWalk(backend, store.effective_version, filter, clock())
        if not cursor and not walk.ordered and count is not None and count.keys < limit:
            if not count.keys and count.of >= LARGE:
                return KeyPage((), walk.cursor_of(Position()), 0, False, True, 0.0, count, walk.notes())
            deadline = min(deadline, time.monotonic() + RARE_SECONDS)
        enough = limit if walk.ordered else round(limit * _ENOUGH)
        rows: dict[bytes, Row] = {}
        scanned, late = 0, False
        position: Position | None = walk.position_of(cursor)
        for step in walk.steps(position, limit):
            scanned += step.scanned
            rows.update((entry.key, walk.row(entry)) for entry in step.entries)
            position = step.after
            late = time.monotonic() >= deadline
            if len(rows) >= enough or late or position is None:
                break
        shown = list(rows.values())
        if walk.ordered and len(shown) > limit:
            shown = shown[:limit]
            position = walk.position_after(shown[-1].entry.key)
        return KeyPage(
            rows=tuple(shown),
            next=walk.cursor_of(position) if position else None,
            scanned=scanned,
            complete=position is None,
            out_of_time=late and position is not None and len(shown) < limit,
            progress=walk.progress(position) if position else None,
            census=count,
            notes=walk.notes(),
        )


def stream_keys(
    store: Store, filter: KeyFilter, limit: int | None = None, clock: Clock = time.time, after: bytes | None = None, *, whole: bool = False
) -> Iterator[Row]:
    """Every matching row, one backend page in memory at a time. Redis may repeat a key while it resizes its table.

    `after`: only what follows this key of the filter, in key order. Raises CursorLost for one that is not of the filter. `whole`: values
    of which a list holds only the beginning are read to their end, one by one; keys that are gone by then are left out.
    """
    found = 0
    with opened(store, clock) as backend:
        walk = FilterWalk(backend, store.effective_version, filter, clock())
        start = Position() if after is None else walk.position_behind(after)
        for step in walk.steps(start, STEP if limit is None else min(limit, STEP)):
            for entry in step.entries:
                if limit is not None and found >= limit:
                    return
                shown = walk.whole(entry) if whole else entry
                if shown is not None:
                    found += 1
                    yield walk.row(shown)
            if limit is not None and found >= limit:
                return


def read_key(store: Store, key: bytes, clock: Clock = time.time, *, reveal: bool = False) -> Row | None:
    """One key, expired and malformed ones included; None when it does not exist. One round trip."""
    with opened(store, clock) as backend:
        entry = backend.get(key)
        if entry is None:
            return None
        return row_of(entry, store.effective_version, store_kind(backend.capabilities), clock(), reveal=reveal)


def counted(store: Store, filter: KeyFilter, census: Census | None = None) -> FilterCount | None:
    """The latest census' answer to a filter of class and one of kind or expiry; one query, none where the census is given."""
    plain = KeyFilter(class_slug=filter.class_slug, kind=filter.kind, expiry=filter.expiry)
    if filter != plain or (filter.kind and filter.expiry):
        return None
    census = census or Census.objects.filter(store=store).first()
    if census is None:
        return None
    row = census.total if not filter.class_slug else _class_row(census, filter.class_slug)
    keys = _count_of(row, filter)
    return None if keys is None else FilterCount(keys, census.at, census.exact, _keys_of(census.total))


def _class_row(census: Census, slug: str) -> dict[str, int]:
    wanted = None if slug == CUSTOM else slug
    return next((row for row in census.classes if row["class"] == wanted), {})


def _keys_of(row: dict[str, int]) -> int:
    return sum(row.get(name, 0) for name in ("keys", "counters", "locks"))


def _count_of(row: dict[str, int], filter: KeyFilter) -> int | None:
    everything = _keys_of(row)
    if filter.kind is Kind.COUNTER:
        return row.get("counters", 0)
    if filter.kind is Kind.LOCK:
        return row.get("locks", 0)
    if filter.kind is not None:
        return None
    if filter.expiry == "live":
        return everything - row.get("expired", 0)
    return row.get(filter.expiry, 0) if filter.expiry else everything
