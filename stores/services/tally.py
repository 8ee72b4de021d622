"""Counting keys by class in constant memory: sums, expiry histogram, largest rows, subjects that own the most keys."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from stores import keyclasses
from stores.keyclasses.rate_limits import subject_fields
from stores.types import CensusRow, Kind

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
NEVER: Final = len(BUCKET_NAMES) - 1

LARGEST: Final = 20
SUBJECTS: Final = 20
_SUBJECTS_KEPT: Final = 2048
_SUBJECTS_AT_MOST: Final = 8192

SUMS: Final = ("keys", "counters", "locks", "key_bytes", "value_bytes", "never", "expired")
_KEYS, _COUNTERS, _LOCKS, _KEY_BYTES, _VALUE_BYTES, _NEVER, _EXPIRED = range(7)
_GONE: Final = 7
"""Where the sums of what a purge would remove begin: values, counters, locks, bytes."""
_HISTOGRAM: Final = 11
_WIDTH: Final = _HISTOGRAM + len(BUCKET_NAMES)


class Tally:
    """Sums of a store at one moment (`now`, Unix seconds), filled slice by slice. About 1 µs a row."""

    def __init__(self, version: str, now: int, store_kind: keyclasses.StoreKind) -> None:
        self.version = version
        self.now = now
        self.classless = store_kind == "static"
        self._with_subject = frozenset() if self.classless or version == "0.10" else _SUBJECT_CLASSES
        self.corrupt = 0
        self.rows = 0
        self._sums: dict[str | None, list[int]] = {}
        self._edges = [now, *(now + seconds for _, seconds in BUCKETS)]
        self._largest: list[tuple[int, bytes]] = []
        self._subjects: Counter[bytes] = Counter()
        self._missed = 0

    def add(self, rows: Iterable[CensusRow]) -> None:
        """Count a slice."""
        subjects = []
        for row in rows:
            slug, kind = (None, row.kind) if self.classless else keyclasses.classify(row.key, self.version, row.kind)
            sums = self._sums.get(slug)
            if sums is None:
                sums = self._sums[slug] = [0] * _WIDTH
            self._count(sums, row, kind)
            self.rows += 1
            size = row.key_bytes + row.value_bytes
            if len(self._largest) < LARGEST:
                heapq.heappush(self._largest, (size, row.key))
            elif size > self._largest[0][0]:
                heapq.heapreplace(self._largest, (size, row.key))
            if slug in self._with_subject:
                subjects.append(row.key[1:-8])
        self._add_subjects(subjects)

    def _count(self, sums: list[int], row: CensusRow, kind: Kind) -> None:
        place = _COUNTERS if kind is Kind.COUNTER else _LOCKS if kind is Kind.LOCK else _KEYS
        sums[place] += 1
        sums[_KEY_BYTES] += row.key_bytes
        sums[_VALUE_BYTES] += row.value_bytes
        if row.corrupt:
            self.corrupt += 1
            return
        at = row.expires_at
        if at is None:
            sums[_NEVER] += 1
            sums[_HISTOGRAM + NEVER] += 1
            return
        bucket = bisect_left(self._edges, at)
        sums[_HISTOGRAM + bucket] += 1
        if bucket == 0:
            sums[_EXPIRED] += 1
            sums[_GONE + (1 if place == _COUNTERS else 2 if place == _LOCKS else 0)] += 1
            sums[_GONE + 3] += row.key_bytes + row.value_bytes

    def _add_subjects(self, subjects: list[bytes]) -> None:
        """Frequent-items counting: when the table is full, all counts sink by that of the last one kept."""
        self._subjects.update(subjects)
        if len(self._subjects) <= _SUBJECTS_AT_MOST:
            return
        kept = self._subjects.most_common(_SUBJECTS_KEPT + 1)
        sunk = kept[-1][1]
        self._missed += sunk
        self._subjects = Counter({subject: count - sunk for subject, count in kept if count > sunk})

    def total(self) -> dict[str, int]:
        """The sums over all classes."""
        return {name: sum(sums[place] for sums in self._sums.values()) for place, name in enumerate(SUMS)}

    def classes(self) -> list[dict[str, Any]]:
        """One element a class, in display order; user keys (class null) last."""
        return [
            {"class": slug, "byte": class_byte(slug, self.version), **dict(zip(SUMS, sums, strict=False))} for slug, sums in self._ordered()
        ]

    def details(self) -> dict[str, Any]:
        """Histogram by class, what a purge would remove, largest rows, subjects with the most keys (at least so many)."""
        return {
            "histogram": {"names": list(BUCKET_NAMES), "total": self._over_all(_HISTOGRAM, _WIDTH), "classes": self._histograms()},
            "expired": {"total": _gone(self._over_all(_GONE, _HISTOGRAM)), "classes": self._gone_classes()},
            "largest": [self._large(size, key) for size, key in sorted(self._largest, reverse=True)],
            "subjects": [
                {"subject": subject_text(subject), "keys": count, "missed": self._missed}
                for subject, count in self._subjects.most_common(SUBJECTS)
            ],
        }

    def _ordered(self) -> list[tuple[str | None, list[int]]]:
        return sorted(self._sums.items(), key=lambda item: 1 << 20 if item[0] is None else keyclasses.CLASSES[item[0]].order)

    def _over_all(self, start: int, end: int) -> list[int]:
        return [sum(sums[place] for sums in self._sums.values()) for place in range(start, end)]

    def _histograms(self) -> list[dict[str, Any]]:
        return [{"class": slug, "counts": sums[_HISTOGRAM:_WIDTH]} for slug, sums in self._ordered()]

    def _gone_classes(self) -> list[dict[str, Any]]:
        return [{"class": slug, **_gone(sums[_GONE:_HISTOGRAM])} for slug, sums in self._ordered() if sums[_EXPIRED]]

    def _large(self, size: int, key: bytes) -> dict[str, Any]:
        """Class and size of a large row; its key unless that is a secret."""
        slug = None if self.classless else keyclasses.classify(key, self.version)[0]
        secret = slug is not None and keyclasses.CLASSES[slug].secret
        return {"class": slug, "key_hex": None if secret else key.hex(), "bytes": size}


_SUBJECT_CLASSES: Final = frozenset({"rate-rcpt", "rate-scan", "rate-loiter", "rate-auth", "rate-contact", "rate-http-anonymous"})
"""Counters of an IP address, a login or an address: class byte, subject, 8 bytes of window."""


def class_byte(slug: str | None, version: str) -> int | None:
    """The byte that keys of a class begin with; None for user keys and for the text prefixes of 0.10."""
    if slug is None or version == "0.10":
        return None
    return keyclasses.CLASSES[slug].byte


def subject_text(subject: bytes) -> str:
    """An IP address or a text (store-formats c.8)."""
    return subject_fields(subject, "login")[0]


def _gone(sums: list[int]) -> dict[str, int]:
    return dict(zip(("values", "counters", "locks", "bytes"), sums, strict=True))
