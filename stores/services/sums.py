"""Where each figure of a class stands in its list of sums."""

from __future__ import annotations

from typing import Final

from stores import keyclasses
from stores.codecs.rows import HEADER
from stores.types import NEVER_HEADER, Kind

Slug = str | None
"""Of a class; None for user keys."""

BUCKETS: Final = (
    ("under 1 min", 60),
    ("under 5 min", 300),
    ("under 1 h", 3600),
    ("under 6 h", 6 * 3600),
    ("under 1 d", 86400),
    ("under 7 d", 7 * 86400),
    ("under 30 d", 30 * 86400),
    ("under 1 y", 365 * 86400),
)
"""Name and upper end in seconds from the time of counting. Before them comes "expired", after them "more" and "never"."""
BUCKET_NAMES: Final = ("expired", *(name for name, _ in BUCKETS), "more", "never")

SUMS: Final = ("keys", "counters", "locks", "key_bytes", "value_bytes", "never", "expired")
KEYS, COUNTERS, LOCKS, KEY_BYTES, VALUE_BYTES, CORRUPT = range(6)
GONE, GONE_BYTES = 6, 9
"""Where the sums of what a purge would remove begin: values, counters, locks, bytes."""
HISTOGRAM: Final = 10
WIDTH: Final = HISTOGRAM + len(BUCKET_NAMES)
NEVER_BUCKET: Final = WIDTH - 1
PLACES: Final = {Kind.VALUE: KEYS, Kind.UNKNOWN: KEYS, Kind.COUNTER: COUNTERS, Kind.LOCK: LOCKS}


def edges_of(now: int) -> tuple[bytes, ...]:
    """The ends of the buckets as they compare with the first 8 bytes of a row."""
    ends = [1, now + 1, *(now + 1 + seconds for _, seconds in BUCKETS)]
    return (*(end.to_bytes(HEADER, "big") for end in ends), NEVER_HEADER)


def shown(sums: list[int]) -> dict[str, int]:
    """A class's sums by name; never and expired are the ends of its histogram."""
    names = dict(zip(SUMS, sums[: VALUE_BYTES + 1], strict=False))
    return {**names, "never": sums[NEVER_BUCKET], "expired": sums[HISTOGRAM]}


def gone(sums: list[int]) -> dict[str, int]:
    """What a purge would remove, by name."""
    return dict(zip(("values", "counters", "locks", "bytes"), sums, strict=True))


def class_byte(slug: Slug, version: str) -> int | None:
    """The byte that keys of a class begin with; None for user keys and for the text prefixes of 0.10."""
    if slug is None or version == "0.10":
        return None
    return keyclasses.CLASSES[slug].byte


def no_class(key: bytes, version: str, kind: Kind) -> tuple[Slug, Kind]:
    """Static stores hold user keys only."""
    return None, kind
