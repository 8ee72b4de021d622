"""What an upgrade left behind: keys that the store's version no longer writes, and counters of windows long past without an end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from stores.keyclasses import CLASSES, class_of, class_rates, left_over
from stores.models import Census, Store
from stores.services.access import opened
from stores.services.find import sealed, unsealed
from stores.services.leftover_rule import why_left_over
from stores.services.rows import Row, decoded_row, store_kind
from stores.services.walking import Walk
from stores.types import ALL_KEYS, Clock, Entry

BUDGET_SECONDS: Final = 2.0
SAMPLES: Final = 5


@dataclass(frozen=True, slots=True)
class Group:
    """Leftovers of one class for one reason. `whole`: all keys of the class are. `rows`: samples."""

    slug: str
    title: str
    why: str
    whole: bool
    keys: int
    bytes: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Groups met so far, largest first. `next` goes on; empty when every key has been looked at."""

    groups: tuple[Group, ...]
    scanned: int
    next: str


@dataclass(frozen=True, slots=True)
class Counted:
    """Keys of classes that the version no longer writes, as the last census counted them; `at` is its time."""

    at: datetime
    keys: int
    classes: tuple[tuple[str, int], ...]
    """(slug, keys)"""


def counted(store: Store) -> Counted | None:
    """From the last census that has details; None when there is none. One query, no walk."""
    census = Census.objects.filter(store=store).exclude(details={}).first()
    if census is None:
        return None
    found = tuple((str(each["class"]), int(each["keys"])) for each in census.details.get("left_over", ()))
    return Counted(census.at, sum(keys for _, keys in found), found)


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
            rows = known.rows if len(known.rows) >= SAMPLES else (*known.rows, decoded_row(settled, version, kind, now))
            groups[slug, why] = Group(slug, known.title, why, known.whole, known.keys + 1, known.bytes + settled.size, rows)

        walk = Walk(backend, version, (ALL_KEYS,), lambda key, slug: _candidate(key, slug, version), take)
        position = unsealed(cursor, purpose)[""] if cursor else None
        after = walk.go(position, time.monotonic() + budget_seconds)
    found = tuple(sorted(groups.values(), key=lambda group: -group.keys))
    return Leftovers(found, walk.scanned, sealed(purpose, {"": after} if after else {}))


def _candidate(key: bytes, slug: str | None, version: str) -> bool:
    return slug is not None and (slug.startswith("rate-") or bool(left_over(key, version)))
