"""Walking some stretches of one open store in bounded steps: in key order where the store has one, over all keys otherwise."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from stores.backends.base import Backend
from stores.errors import CursorLost
from stores.services.rows import settle, store_kind
from stores.services.turns import give_way
from stores.texts import say
from stores.types import Cursor, Entry, KeyRange

_STEP: Final = 500

Position = Mapping[str, Any]
"""Where a walk goes on: plain data for a sealed link."""
Wants = Callable[[bytes, str | None], bool]
"""Whether a key of a class is worth a look."""
Take = Callable[[Entry, str | None], None]
"""Gets every wanted entry, settled, with its class."""


class Walk:
    """One walk. `scanned` counts the keys that were met, `progress` is the share of the store, None where it cannot tell."""

    def __init__(self, backend: Backend, version: str, ranges: Sequence[KeyRange], wants: Wants, take: Take) -> None:
        self.backend = backend
        self.version = version
        self.kind = store_kind(backend.capabilities)
        self.ordered = backend.capabilities.ordered_scan
        self.ranges = ranges
        self.wants = wants
        self.take = take
        self.scanned = 0
        self.progress: float | None = None

    def go(self, position: Position | None, deadline: float | None, full: Callable[[], bool] = lambda: False) -> Position | None:
        """Walk until the deadline (monotonic seconds, None: to the end) or until `full`; at least one step.

        Answers where to go on, None at the end. Raises CursorLost for a position of other stretches.
        """
        if position is not None and position.get("of") != self._fingerprint():
            raise CursorLost(say("This link does not go on with this search."), say("Search again from the start."))
        index, cursor = (0, None) if position is None else (int(position["range"]), position.get("cursor"))
        while index < len(self.ranges):
            began = time.monotonic()
            cursor = self._step(self.ranges[index], cursor)
            if cursor is None:
                index += 1
            late = (deadline is not None and time.monotonic() >= deadline) or full()
            if late and index < len(self.ranges):
                return {"of": self._fingerprint(), "range": index, "cursor": cursor}
            give_way(time.monotonic() - began)
        self.progress = None
        return None

    def unbegun(self, position: Position | None) -> Position | None:
        """Where `go` would begin, without a step; None where there is nothing to walk through."""
        if position is not None or not self.ranges:
            return position
        return {"of": self._fingerprint(), "range": 0, "cursor": None}

    def _step(self, keys: KeyRange, cursor: str | None) -> str | None:
        """One bounded step; answers where the next one begins, None at the end of the stretch."""
        if self.ordered:
            page = self.backend.scan(keys, Cursor(cursor) if cursor else None, _STEP)
            self.scanned += len(page.entries)
            for entry in page.entries:
                self._offer(entry)
            return page.next
        piece = next(self.backend.census(cursor or ""))
        self.scanned += len(piece.rows)
        self.progress = piece.progress
        for row in piece.rows:
            slug, _ = settle(Entry(row.key, row.kind), self.version, self.kind)
            if row.key in keys and self.wants(row.key, slug) and (whole := self.backend.get(row.key)) is not None:
                self._offer(whole)
        return piece.position or None

    def _offer(self, entry: Entry) -> None:
        slug, settled = settle(entry, self.version, self.kind)
        if self.wants(entry.key, slug):
            self.take(settled, slug)

    def _fingerprint(self) -> str:
        text = b"".join(keys.start + b"|" + (keys.end or b"") + b";" for keys in self.ranges)
        return hashlib.blake2b(text, digest_size=6).hexdigest()
