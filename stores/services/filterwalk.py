"""One walk through the keys that a filter means, in bounded steps, with positions that go into links and runs."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from cryptography.fernet import InvalidToken

from stores import keyclasses
from stores.backends.base import Backend
from stores.errors import CursorLost
from stores.models.fields import cipher
from stores.services.filters import CUSTOM, KeyFilter, class_prefixes
from stores.services.leftover_rule import why_left_over
from stores.services.rows import Row, decoded_row, settle, store_kind
from stores.texts import say
from stores.types import Cursor, Entry, KeyRange

STEP: Final = 250
"""Rows of a later backend page where rows have to be looked at; bounds memory."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a walk goes on: in which range, and after which key (ordered stores) or at which backend cursor."""

    index: int = 0
    key: bytes | None = None
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One page of the store: the settled entries that match, how many were looked at, where the walk goes on."""

    entries: list[Entry]
    scanned: int
    after: Position | None
    """None when the walk has ended."""


class FilterWalk:
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
        self._rates = keyclasses.class_rates() if filter.left_over else {}

    def steps(self, position: Position | None, limit: int) -> Iterator[Step]:
        """Backend pages from a position on, with the rows that match. Always at least one step."""
        size = limit
        while position is not None and position.index < len(self.ranges):
            keys = self.ranges[position.index]
            if self.ordered and position.key is not None:
                keys = KeyRange(position.key + b"\x00", keys.end, None)
            page = self.backend.scan(keys, Cursor(position.cursor) if position.cursor else None, size)
            position = self._after(position, page.entries, page.next)
            yield Step(self._matching(page.entries), len(page.entries), position)
            size = limit if self.filter.only_ranges else max(limit, STEP)
        if position is not None:
            yield Step([], 0, None)

    def _after(self, position: Position, entries: tuple[Entry, ...], following: Cursor | None) -> Position | None:
        if following is None:
            return Position(position.index + 1) if position.index + 1 < len(self.ranges) else None
        if self.ordered and entries:
            return Position(position.index, key=entries[-1].key)
        return Position(position.index, key=position.key, cursor=following)

    def _matching(self, entries: tuple[Entry, ...]) -> list[Entry]:
        found = []
        for entry in entries:
            slug, settled = settle(entry, self.version, self.kind)
            if self.filter.wants(slug, settled, self.now) and self._wants_more(slug, settled):
                found.append(settled)
        return found

    def _wants_more(self, slug: str | None, settled: Entry) -> bool:
        """The parts of the filter that cost more, for rows that match all others."""
        if self.filter.left_over and not why_left_over(settled, slug, self.version, self.now, self._rates):
            return False
        return not self.filter.text or self.filter.wants_text(_texts(self.row(settled)))

    def row(self, settled: Entry) -> Row:
        """A settled entry of this walk in words."""
        return decoded_row(settled, self.version, self.kind, self.now)

    def whole(self, settled: Entry) -> Entry | None:
        """The entry with all of its value, None when it is gone or no match any more; a round trip where only the beginning is held."""
        if settled.length is None:
            return settled
        found = self.backend.get(settled.key)
        return next(iter(self._matching((found,))), None) if found is not None else None

    def wants(self, entry: Entry) -> bool:
        """Whether an entry, as the backend reads it, is one of this walk."""
        return any(entry.key in keys for keys in self.ranges) and bool(self._matching((entry,)))

    def position_after(self, key: bytes) -> Position:
        """The position right after a key of an ordered store."""
        index = next(number for number, keys in enumerate(self.ranges) if key in keys)
        return Position(index, key=key)

    def position_behind(self, key: bytes) -> Position:
        """The same for a key that somebody gives. Raises CursorLost for one outside the filter."""
        if not any(key in keys for keys in self.ranges):
            raise _lost()
        return self.position_after(key)

    def cursor_of(self, position: Position) -> str:
        """URL-safe text of a position. A secret key is encrypted in it."""
        if position.cursor is not None:
            return f"{position.index}.c{position.cursor}"
        if position.key is None:
            return f"{position.index}.n"
        slug, _ = keyclasses.classify(position.key, self.version)
        if slug is not None and keyclasses.CLASSES[slug].secret:
            return f"{position.index}.s{cipher().encrypt(position.key).decode()}"
        return f"{position.index}.k{urlsafe_b64encode(position.key).decode().rstrip('=')}"

    def position_of(self, text: str) -> Position:
        """The position of a cursor's text. Raises CursorLost for one of another store or filter."""
        if not text:
            return Position()
        number, _, rest = text.partition(".")
        if not (number.isascii() and number.isdigit() and int(number) < len(self.ranges) and rest):
            raise _lost()
        index, form, rest = int(number), rest[0], rest[1:]
        if form == "n" and not rest:
            return Position(index)
        if form == "c" and rest:
            return Position(index, cursor=rest)
        key = _key_of(form, rest)
        if not self.ordered or key not in self.ranges[index]:
            raise _lost()
        return Position(index, key=key)

    def progress(self, position: Position) -> float | None:
        """How far a walk has come, where one range is walked and the store can tell."""
        if position.cursor is None or len(self.ranges) != 1:
            return None
        return self.backend.progress_of(Cursor(position.cursor), self.ranges[0])

    def notes(self) -> tuple[str, ...]:
        """What a reader has to know about this list."""
        found = []
        if not self.ordered:
            found.append(say("This store lists its keys in no order."))
        slug = self.filter.class_slug
        if slug and slug != CUSTOM and b"" in class_prefixes(slug, self.version):
            found.append(say("Keys of this class have no prefix of their own: the whole store is searched."))
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
    return CursorLost(say("This page link is not of this store and filter."), say("Start again from the first page."))


def _texts(row: Row) -> list[str]:
    texts = [row.decoded.label, row.decoded.value_label]
    for value in row.decoded.fields.values():
        texts.extend(value if isinstance(value, list) else [str(value)])
    return texts
