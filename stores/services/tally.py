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

LARGEST: Final = 20
SUBJECTS: Final = 10
"""Shown of each class."""
_SUBJECTS_KEPT: Final = 2048
_SUBJECTS_AT_MOST: Final = 8192

SUMS: Final = ("keys", "counters", "locks", "key_bytes", "value_bytes", "never", "expired")
_KEYS, _COUNTERS, _LOCKS, _KEY_BYTES, _VALUE_BYTES, _CORRUPT = range(6)
_GONE, _GONE_BYTES = 6, 9
"""Where the sums of what a purge would remove begin: values, counters, locks, bytes."""
_HISTOGRAM: Final = 10
_WIDTH: Final = _HISTOGRAM + len(BUCKET_NAMES)
_NEVER_BUCKET: Final = _WIDTH - 1


class Tally:
    """Sums of a store at one moment (`now`, Unix seconds), filled slice by slice. About 1 µs a row."""

    def __init__(self, version: str, now: int, store_kind: keyclasses.StoreKind) -> None:
        self.version = version
        self.now = now
        self.classless = store_kind == "static"
        self._with_subject = frozenset() if self.classless or version == "0.10" else _SUBJECT_CLASSES
        self._sums: dict[str | None, list[int]] = {}
        self._edges = [now, *(now + seconds for _, seconds in BUCKETS)]
        self._classify = _no_class if self.classless else keyclasses.classify
        self._largest: list[tuple[int, bytes]] = []
        self._smallest = -1
        self._subjects: dict[str, Frequent] = {}

    def add(self, rows: Iterable[CensusRow]) -> None:
        """Count a slice. One loop without calls of its own: it runs a million times."""
        classify, version, edges, with_subject = self._classify, self.version, self._edges, self._with_subject
        sums_of = self._sums
        subjects: dict[str | None, list[bytes]] = {slug: [] for slug in with_subject}
        counter, lock = Kind.COUNTER, Kind.LOCK
        for key, stored, at, key_bytes, value_bytes, corrupt in rows:
            slug, kind = classify(key, version, stored)
            sums = sums_of.get(slug)
            if sums is None:
                sums = sums_of[slug] = [0] * _WIDTH
            place = _COUNTERS if kind is counter else _LOCKS if kind is lock else _KEYS
            sums[place] += 1
            sums[_KEY_BYTES] += key_bytes
            sums[_VALUE_BYTES] += value_bytes
            size = key_bytes + value_bytes
            if size > self._smallest:
                self._keep_large(size, key)
            if slug in with_subject:
                subjects[slug].append(key[1:-8])
            if corrupt:
                sums[_CORRUPT] += 1
            elif at is None:
                sums[_NEVER_BUCKET] += 1
            elif at > self.now:
                sums[_HISTOGRAM + bisect_left(edges, at)] += 1
            else:
                sums[_HISTOGRAM] += 1
                sums[_GONE + place] += 1
                sums[_GONE_BYTES] += size
        for name, found in subjects.items():
            if found and name is not None:
                self._subjects.setdefault(name, Frequent()).add(found)

    def _keep_large(self, size: int, key: bytes) -> None:
        if len(self._largest) < LARGEST:
            heapq.heappush(self._largest, (size, key))
        else:
            heapq.heapreplace(self._largest, (size, key))
        if len(self._largest) == LARGEST:
            self._smallest = self._largest[0][0]

    @property
    def rows(self) -> int:
        """Keys counted so far."""
        return sum(sum(sums[:_KEY_BYTES]) for sums in self._sums.values())

    @property
    def corrupt(self) -> int:
        """Malformed rows among them."""
        return sum(sums[_CORRUPT] for sums in self._sums.values())

    def total(self) -> dict[str, int]:
        """The sums over all classes."""
        rows = [_shown(sums) for sums in self._sums.values()]
        return {name: sum(row[name] for row in rows) for name in SUMS}

    def classes(self) -> list[dict[str, Any]]:
        """One element a class, in display order; user keys (class null) last."""
        return [{"class": slug, "byte": class_byte(slug, self.version), **_shown(sums)} for slug, sums in self._ordered()]

    def details(self) -> dict[str, Any]:
        """Histogram by class, what a purge would remove, largest rows, subjects with the most keys, classes no longer written."""
        return {
            "histogram": {"names": list(BUCKET_NAMES), "total": self._over_all(_HISTOGRAM, _WIDTH), "classes": self._histograms()},
            "expired": {"total": _gone(self._over_all(_GONE, _HISTOGRAM)), "classes": self._gone_classes()},
            "largest": [self._large(size, key) for size, key in sorted(self._largest, reverse=True)],
            "subjects": self._top_subjects(),
            "left_over": [{"class": slug, "keys": sum(sums[:_KEY_BYTES])} for slug, sums in self._ordered() if self._left_over(slug)],
        }

    def _top_subjects(self) -> list[dict[str, Any]]:
        """By class the subjects with the most keys: each has at least `keys`, and at most `missed` more."""
        return [
            {"class": slug, "subject": subject_text(subject), "keys": count, "missed": frequent.missed}
            for slug, _ in self._ordered()
            if slug is not None and (frequent := self._subjects.get(slug)) is not None
            for subject, count in frequent.top()
        ]

    def _left_over(self, slug: str | None) -> bool:
        return slug is not None and keyclasses.CLASSES[slug].left_over(self.version)

    def _ordered(self) -> list[tuple[str | None, list[int]]]:
        return sorted(self._sums.items(), key=lambda item: 1 << 20 if item[0] is None else keyclasses.CLASSES[item[0]].order)

    def _over_all(self, start: int, end: int) -> list[int]:
        return [sum(sums[place] for sums in self._sums.values()) for place in range(start, end)]

    def _histograms(self) -> list[dict[str, Any]]:
        return [{"class": slug, "counts": sums[_HISTOGRAM:_WIDTH]} for slug, sums in self._ordered()]

    def _gone_classes(self) -> list[dict[str, Any]]:
        return [{"class": slug, **_gone(sums[_GONE:_HISTOGRAM])} for slug, sums in self._ordered() if sums[_HISTOGRAM]]

    def _large(self, size: int, key: bytes) -> dict[str, Any]:
        """Class and size of a large row; its key unless that is a secret."""
        slug, _ = self._classify(key, self.version, Kind.UNKNOWN)
        secret = slug is not None and keyclasses.CLASSES[slug].secret
        return {"class": slug, "key_hex": None if secret else key.hex(), "bytes": size}


class Frequent:
    """The most frequent of very many subjects in bounded memory, about 1 MB: counts are never too high, and too low by at most `missed`.

    When the table is full, all counts sink by that of the last one kept (space-saving, in blocks).
    """

    def __init__(self) -> None:
        self.missed = 0
        self._counts: Counter[bytes] = Counter()

    def add(self, subjects: list[bytes]) -> None:
        """Count a block of them."""
        self._counts.update(subjects)
        if len(self._counts) <= _SUBJECTS_AT_MOST:
            return
        kept = self._counts.most_common(_SUBJECTS_KEPT + 1)
        sunk = kept[-1][1]
        self.missed += sunk
        self._counts = Counter({subject: count - sunk for subject, count in kept if count > sunk})

    def top(self) -> list[tuple[bytes, int]]:
        """The largest counts, and of equal ones the smallest subject first."""
        return sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))[:SUBJECTS]


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


def _no_class(key: bytes, version: str, kind: Kind) -> tuple[str | None, Kind]:
    """Static stores hold user keys only."""
    return None, kind


def _shown(sums: list[int]) -> dict[str, int]:
    """A class's sums by name; never and expired are the ends of its histogram."""
    names = dict(zip(SUMS, sums[: _VALUE_BYTES + 1], strict=False))
    return {**names, "never": sums[_NEVER_BUCKET], "expired": sums[_HISTOGRAM]}


def _gone(sums: list[int]) -> dict[str, int]:
    return dict(zip(("values", "counters", "locks", "bytes"), sums, strict=True))
