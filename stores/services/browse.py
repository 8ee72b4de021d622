"""Looking at keys: one page of a filtered list within a time budget, one key, or all of them as a stream."""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from cryptography.fernet import InvalidToken

from stores import keyclasses
from stores.backends.base import Backend
from stores.errors import CursorLost
from stores.models import Census, Store
from stores.models.fields import cipher
from stores.services.access import opened
from stores.services.filters import CUSTOM, KeyFilter, class_prefixes
from stores.services.rows import Row, decoded_row, json_row, row_of, settle, store_kind
from stores.types import Clock, Cursor, Entry, KeyRange, Kind

__all__ = ["CUSTOM", "FilterCount", "KeyFilter", "KeyPage", "Row", "json_row", "list_keys", "read_key", "stream_keys"]

_STEP: Final = 250
"""Rows of a later backend page where rows have to be looked at; bounds memory."""


@dataclass(frozen=True, slots=True)
class FilterCount:
    """How many keys the latest census counted for a filter, and when."""

    keys: int
    at: datetime
    exact: bool


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
    """The time budget ended this page before it was full."""
    progress: float | None
    """The share of the store that has been looked at so far, 0 to 1; None where the store cannot tell, and at the end."""
    census: FilterCount | None
    """What the latest census says of the same filter, None when it cannot answer."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Position:
    """Where a walk goes on: in which range, and after which key (ordered stores) or at which backend cursor."""

    index: int = 0
    key: bytes | None = None
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class _Step:
    rows: list[Row]
    scanned: int
    after: _Position | None
    """None when the walk has ended."""


def list_keys(
    store: Store, filter: KeyFilter, cursor: str = "", limit: int = 100, budget_seconds: float = 1.0, clock: Clock = time.time
) -> KeyPage:
    """The next rows of the filter. Ordered stores return at most `limit`, Redis about `limit`, in no order.

    Cost: one keyset page when the filter needs no look at the rows; otherwise as many as fit the budget, and the page says
    that it is partial. Raises CursorLost, and what the store says.
    """
    deadline = time.monotonic() + budget_seconds
    with opened(store, clock) as backend:
        walk = _Walk(backend, store.effective_version, filter, clock())
        rows: dict[bytes, Row] = {}
        scanned, late = 0, False
        position: _Position | None = walk.position_of(cursor)
        for step in walk.steps(position, limit):
            scanned += step.scanned
            rows.update((row.entry.key, row) for row in step.rows)
            position = step.after
            late = time.monotonic() >= deadline
            if len(rows) >= limit or late or position is None:
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
            census=counted(store, filter),
            notes=walk.notes(),
        )


def stream_keys(store: Store, filter: KeyFilter, limit: int | None = None, clock: Clock = time.time) -> Iterator[Row]:
    """Every matching row, one backend page in memory at a time. Redis may repeat a key while it resizes its table."""
    found = 0
    with opened(store, clock) as backend:
        walk = _Walk(backend, store.effective_version, filter, clock())
        for step in walk.steps(_Position(), _STEP if limit is None else min(limit, _STEP)):
            for row in step.rows:
                if limit is not None and found >= limit:
                    return
                found += 1
                yield row
            if limit is not None and found >= limit:
                return


def read_key(store: Store, key: bytes, clock: Clock = time.time, *, reveal: bool = False) -> Row | None:
    """One key, expired and malformed ones included; None when it does not exist. One round trip."""
    with opened(store, clock) as backend:
        entry = backend.get(key)
        if entry is None:
            return None
        return row_of(entry, store.effective_version, store_kind(backend.capabilities), clock(), reveal=reveal)


def counted(store: Store, filter: KeyFilter) -> FilterCount | None:
    """The latest census' answer to a filter of class and one of kind or expiry; one query."""
    plain = KeyFilter(class_slug=filter.class_slug, kind=filter.kind, expiry=filter.expiry)
    if filter != plain or (filter.kind and filter.expiry):
        return None
    census = Census.objects.filter(store=store).first()
    if census is None:
        return None
    row = census.total if not filter.class_slug else _class_row(census, filter.class_slug)
    keys = _count_of(row, filter)
    return None if keys is None else FilterCount(keys, census.at, census.exact)


def _class_row(census: Census, slug: str) -> dict[str, int]:
    wanted = None if slug == CUSTOM else slug
    return next((row for row in census.classes if row["class"] == wanted), {})


def _count_of(row: dict[str, int], filter: KeyFilter) -> int | None:
    everything = sum(row.get(name, 0) for name in ("keys", "counters", "locks"))
    if filter.kind is Kind.COUNTER:
        return row.get("counters", 0)
    if filter.kind is Kind.LOCK:
        return row.get("locks", 0)
    if filter.kind is not None:
        return None
    if filter.expiry == "live":
        return everything - row.get("expired", 0)
    return row.get(filter.expiry, 0) if filter.expiry else everything


class _Walk:
    """One filtered walk through an open store, in steps of one backend page."""

    def __init__(self, backend: Backend, version: str, filter: KeyFilter, now: float) -> None:
        self.backend = backend
        self.version = version
        self.filter = filter
        self.now = now
        self.ordered = backend.capabilities.ordered_scan
        self.kind = store_kind(backend.capabilities)
        classless = replace(filter, class_slug="") if self.kind == "static" else filter
        self.ranges = classless.ranges(version, self.ordered)

    def steps(self, position: _Position | None, limit: int) -> Iterator[_Step]:
        """Backend pages from a position on, with the rows that match. Always at least one step."""
        size = limit
        while position is not None and position.index < len(self.ranges):
            keys = self.ranges[position.index]
            if self.ordered and position.key is not None:
                keys = KeyRange(position.key + b"\x00", keys.end, None)
            page = self.backend.scan(keys, Cursor(position.cursor) if position.cursor else None, size)
            position = self._after(position, page.entries, page.next)
            yield _Step(self._matching(page.entries), len(page.entries), position)
            size = limit if self.filter.only_ranges else max(limit, _STEP)
        if position is not None:
            yield _Step([], 0, None)

    def _after(self, position: _Position, entries: tuple[Entry, ...], following: Cursor | None) -> _Position | None:
        if following is None:
            return _Position(position.index + 1) if position.index + 1 < len(self.ranges) else None
        if self.ordered and entries:
            return _Position(position.index, key=entries[-1].key)
        return _Position(position.index, key=position.key, cursor=following)

    def _matching(self, entries: tuple[Entry, ...]) -> list[Row]:
        found = []
        for entry in entries:
            slug, settled = settle(entry, self.version, self.kind)
            if not self.filter.wants(slug, settled, self.now):
                continue
            row = decoded_row(settled, self.version, self.kind, self.now)
            if not self.filter.text or self.filter.wants_text(_texts(row)):
                found.append(row)
        return found

    def position_after(self, key: bytes) -> _Position:
        """The position right after a key of an ordered store."""
        index = next(number for number, keys in enumerate(self.ranges) if key in keys)
        return _Position(index, key=key)

    def cursor_of(self, position: _Position) -> str:
        """URL-safe text of a position. A secret key is encrypted in it."""
        if position.cursor is not None:
            return f"{position.index}.c{position.cursor}"
        if position.key is None:
            return f"{position.index}.n"
        slug, _ = keyclasses.classify(position.key, self.version)
        if slug is not None and keyclasses.CLASSES[slug].secret:
            return f"{position.index}.s{cipher().encrypt(position.key).decode()}"
        return f"{position.index}.k{urlsafe_b64encode(position.key).decode().rstrip('=')}"

    def position_of(self, text: str) -> _Position:
        """The position of a cursor's text. Raises CursorLost for one of another store or filter."""
        if not text:
            return _Position()
        number, _, rest = text.partition(".")
        if not (number.isascii() and number.isdigit() and int(number) < len(self.ranges) and rest):
            raise _lost()
        index, form, rest = int(number), rest[0], rest[1:]
        if form == "n" and not rest:
            return _Position(index)
        if form == "c" and rest:
            return _Position(index, cursor=rest)
        key = _key_of(form, rest)
        if not self.ordered or key not in self.ranges[index]:
            raise _lost()
        return _Position(index, key=key)

    def progress(self, position: _Position) -> float | None:
        """How far a walk has come, where one range is walked and the store can tell."""
        if position.cursor is None or len(self.ranges) != 1:
            return None
        return self.backend.progress_of(Cursor(position.cursor), self.ranges[0])

    def notes(self) -> tuple[str, ...]:
        """What a reader has to know about this list."""
        found = []
        if not self.ordered:
            found.append("This store lists its keys in no order.")
        slug = self.filter.class_slug
        if slug and slug != CUSTOM and b"" in class_prefixes(slug, self.version):
            found.append("Keys of this class have no prefix of their own: the whole store is searched.")
        return tuple(found)


def _key_of(form: str, text: str) -> bytes:
    try:
        if form == "s":
            return cipher().decrypt(text.encode())
        if form == "k":
            return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (NotBase64, ValueError, InvalidToken):
        raise _lost() from None
    raise _lost()


def _lost() -> CursorLost:
    return CursorLost("This page link is not of this store and filter.", "Start again from the first page.")


def _texts(row: Row) -> list[str]:
    texts = [row.decoded.label, row.decoded.value_label]
    for value in row.decoded.fields.values():
        texts.extend(value if isinstance(value, list) else [str(value)])
    return texts
