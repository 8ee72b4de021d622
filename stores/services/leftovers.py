"""What an upgrade left behind: keys that the store's version no longer writes, and counters of windows long past without an end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stores.keyclasses import CLASSES, Rate, class_of, class_rates, left_over
from stores.models import Store
from stores.services.access import opened
from stores.services.find import sealed, unsealed
from stores.services.rows import Row, decoded_row, store_kind
from stores.services.walking import Walk
from stores.types import ALL_KEYS, Clock, Entry, Kind

BUDGET_SECONDS: Final = 2.0
SAMPLES: Final = 5
MOST_SINGLE: Final = 200
LONG_PAST: Final = 86400
"""Seconds after the end of a window from which a counter without an expiry is called left over."""


@dataclass(frozen=True, slots=True)
class Group:
    """Leftovers of one class for one reason. `whole`: all keys of the class are, so they can be removed as one."""

    slug: str
    title: str
    why: str
    whole: bool
    keys: int
    bytes: int
    rows: tuple[Row, ...]
    """Samples; for a group that is not `whole` as many as one step may remove."""


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Groups met so far, largest first. `next` goes on; empty when every key has been looked at."""

    groups: tuple[Group, ...]
    scanned: int
    next: str


def why_left_over(entry: Entry, slug: str | None, version: str, now: float, rates: Mapping[str, Rate]) -> str:
    """Why an entry is left over, in words; empty when it is not."""
    found = left_over(entry.key, version)
    if found or slug is None or not slug.startswith("rate-") or entry.kind is not Kind.COUNTER or entry.expires_at is not None:
        return found
    rate = rates.get(slug)
    end = None if rate is None else (int.from_bytes(entry.key[-8:], "big") + 1) * rate.period
    if end is None or end + LONG_PAST > now:
        return ""
    return "Its window is long over and it has no expiry, so nothing removes it by itself."


def look(store: Store, cursor: str = "", budget_seconds: float = BUDGET_SECONDS, clock: Clock = time.time) -> Leftovers:
    """Walk the store for leftovers; memory stays flat. Raises CursorLost and what the store says."""
    purpose = f"leftovers {store.pk}"
    groups: dict[tuple[str, str], Group] = {}
    with opened(store, clock) as backend:
        kind, now, version = store_kind(backend.capabilities), clock(), store.effective_version
        rates = class_rates()

        def take(settled: Entry, slug: str | None) -> None:
            why = why_left_over(settled, slug, version, now, rates)
            if not why or slug is None:
                return
            known = groups.get((slug, why)) or Group(slug, class_of(slug).title, why, CLASSES[slug].left_over(version), 0, 0, ())
            room = SAMPLES if known.whole else MOST_SINGLE
            rows = known.rows if len(known.rows) >= room else (*known.rows, decoded_row(settled, version, kind, now))
            groups[slug, why] = Group(slug, known.title, why, known.whole, known.keys + 1, known.bytes + settled.size, rows)

        walk = Walk(backend, version, (ALL_KEYS,), lambda key, slug: _candidate(key, slug, version), take)
        position = unsealed(cursor, purpose)[""] if cursor else None
        after = walk.go(position, time.monotonic() + budget_seconds)
    found = tuple(sorted(groups.values(), key=lambda group: -group.keys))
    return Leftovers(found, walk.scanned, sealed(purpose, {"": after} if after else {}))


def _candidate(key: bytes, slug: str | None, version: str) -> bool:
    return slug is not None and (slug.startswith("rate-") or bool(left_over(key, version)))
