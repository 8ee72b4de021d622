"""Counting keys by class in constant memory: sums, expiry histogram, largest rows, subjects that own the most keys.

Rows come one by one, by columns, or counted in groups; all ways give the same figures.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Any, Final

from stores import keyclasses
from stores.keyclasses.base import minor
from stores.keyclasses.many import SUBJECT_CLASSES, class_of_all, class_of_group, plan, subjects_of
from stores.keyclasses.many import SUBJECTS as SUBJECT_PLACES
from stores.keyclasses.rate_limits import subject_fields
from stores.keyclasses.words import account
from stores.keyclasses.words import shown as shown_text
from stores.services.columns import Columns
from stores.services.frequent import Frequent, Largest
from stores.services.sums import (
    BUCKET_NAMES,
    BUCKETS,
    CORRUPT,
    COUNTERS,
    GONE,
    GONE_BYTES,
    HISTOGRAM,
    KEY_BYTES,
    KEYS,
    LOCKS,
    NEVER_BUCKET,
    PLACES,
    SUMS,
    VALUE_BYTES,
    WIDTH,
    Slug,
    class_byte,
    edges_of,
    gone,
    no_class,
    shown,
)
from stores.types import CensusGroup, CensusLink, CensusPair, CensusPlan, CensusRow, CensusSlice, Kind

__all__ = ["BUCKETS", "BUCKET_NAMES", "SUBJECTS", "SUMS", "Tally"]

LARGEST: Final = 20
_CANDIDATES: Final = 64
"""Rows whose size is asked once more at the end: a number beside a row adds 8 bytes to it."""
SUBJECTS: Final = 10
"""Shown of each class."""
NUMBER: Final = 8
"""Bytes of a number in `y`."""


class Tally:
    """Sums of a store at one moment (`now`, Unix seconds), filled slice by slice. 0.1 to 1 µs a row. Parts of a store can be merged."""

    def __init__(self, version: str, now: int, store_kind: keyclasses.StoreKind) -> None:
        self.version = version
        self.now = now
        self.store_kind: keyclasses.StoreKind = store_kind
        self.classless = store_kind == "static"
        self._with_subject = frozenset[str]() if self.classless else SUBJECT_CLASSES
        self._sums: dict[Slug, list[int]] = {}
        self._edges = [now, *(now + seconds for _, seconds in BUCKETS)]
        self._classify = no_class if self.classless else keyclasses.classify
        self._largest = Largest(_CANDIDATES)
        """Values and locks; counters are all alike."""
        self._secret_sizes: list[tuple[int, str]] = []
        """Size and class of large rows whose keys are secrets, after a dump has left the keys behind."""
        self._subjects: dict[str, Frequent] = {}
        self._linked: dict[str, list[int]] = {}
        """By class: numbers that belong to a row of `m`, and of how many of these rows the expiry is known, and has passed."""
        self._lonely: dict[Slug, int] = {}
        """By class: numbers without a row in `m`."""
        self._columns = Columns(version, now, self._sums_of, self.add, self._largest, self._take_subjects)

    def plan(self) -> CensusPlan | None:
        """What an engine that counts by itself has to look at; None where every row has to be seen."""
        if self.classless or self.version == "0.10" or self.store_kind != "data":
            return None
        return plan(self.version, edges_of(self.now), lambda: self._largest.smallest)

    def take(self, step: CensusSlice) -> None:
        """Count all of a slice."""
        if step.columns:
            self._columns.add(step.columns)
        if step.rows:
            self.add(step.rows)
        for group in step.groups:
            self._add_group(group)
        for size, key in step.large:
            self._largest.add(size, key)
        for pair in step.pairs:
            self._add_pair(pair)
        for link in step.links:
            self._add_link(link)
        if step.numbers:
            self._note_lonely(step)

    def add(self, rows: Iterable[CensusRow]) -> None:
        """Count rows, those that begin alike together: asking for the class of each is half of the cost. About 0.7 µs a row."""
        groups: dict[int, list[CensusRow]] = {}
        for row in rows:
            first = row[0][0] if row[0] else -1
            if first in groups:
                groups[first].append(row)
            else:
                groups[first] = [row]
        for first, found in groups.items():
            known = None if first < 0 or self.classless else class_of_all([row[0] for row in found], self.version)
            if known is not None:
                self._add_alike(known[0], known[1], found)
                continue
            apart: dict[tuple[Slug, Kind], list[CensusRow]] = {}
            for row in found:
                apart.setdefault(self._classify(row[0], self.version, Kind.UNKNOWN), []).append(row)
            for (slug, own), some in apart.items():
                self._add_alike(slug, own, some)

    def _add_alike(self, slug: Slug, own: Kind, rows: list[CensusRow]) -> None:
        """Count rows of one class, whose kind is `own`. One loop without calls of its own: it runs a million times."""
        sums, edges, largest, now = self._sums_of(slug), self._edges, self._largest, self.now
        lock, unknown = own is Kind.LOCK, Kind.UNKNOWN
        smallest = largest.smallest
        for key, stored, at, key_bytes, value_bytes, corrupt in rows:
            place = LOCKS if lock else PLACES[own if stored is unknown else stored]
            sums[place] += 1
            sums[KEY_BYTES] += key_bytes
            sums[VALUE_BYTES] += value_bytes
            size = key_bytes + value_bytes
            if size >= smallest and place != COUNTERS:
                largest.add(size, key)
                smallest = largest.smallest
            if corrupt:
                sums[CORRUPT] += 1
            elif at is None:
                sums[NEVER_BUCKET] += 1
            elif at > now:
                sums[HISTOGRAM + bisect_left(edges, at)] += 1
            else:
                sums[HISTOGRAM] += 1
                sums[GONE + place] += 1
                sums[GONE_BYTES] += size
        self._take_subjects(slug, [row[0] for row in rows] if slug in self._with_subject else [])

    def _add_group(self, group: CensusGroup) -> None:
        slug, own = class_of_group(self.version, group.byte, group.length, group.window, group.keys or group.sample)
        sums = self._sums_of(slug)
        place = LOCKS if own is Kind.LOCK else COUNTERS if group.kind is Kind.COUNTER else KEYS
        sums[place] += group.rows
        sums[KEY_BYTES] += group.key_bytes
        sums[VALUE_BYTES] += group.value_bytes
        sums[HISTOGRAM + max(0, group.bucket - 1)] += group.rows
        if group.bucket < 2:
            sums[GONE + place] += group.rows
            sums[GONE_BYTES] += group.key_bytes + group.value_bytes
        if (each := group.length) and group.keys and slug in self._with_subject:
            keys = [group.keys[at : at + each] for at in range(0, len(group.keys), each)]
            self._take_subjects(slug, keys)

    def _add_pair(self, pair: CensusPair) -> None:
        slug, _ = class_of_group(self.version, pair.byte, pair.length, pair.window, pair.keys)
        self._sums_of(slug)[VALUE_BYTES] += NUMBER * pair.rows
        if slug is not None:
            self._linked.setdefault(slug, [0, 0, 0])[0] += pair.rows

    def _add_link(self, link: CensusLink) -> None:
        slug, _ = self._classify(link.key, self.version, Kind.UNKNOWN)
        passed = not link.corrupt and link.expires_at is not None and link.expires_at <= self.now
        sums = self._sums_of(slug)
        sums[VALUE_BYTES] += NUMBER
        sums[GONE_BYTES] += NUMBER * passed
        if slug is not None:
            known = self._linked.setdefault(slug, [0, 0, 0])
            known[0] += 1
            known[1] += 1
            known[2] += passed

    def _note_lonely(self, step: CensusSlice) -> None:
        for row in step.rows:
            slug, _ = self._classify(row.key, self.version, Kind.UNKNOWN)
            self._lonely[slug] = self._lonely.get(slug, 0) + 1
        for group in step.groups:
            slug, _ = class_of_group(self.version, group.byte, group.length, group.window, group.keys or group.sample)
            self._lonely[slug] = self._lonely.get(slug, 0) + group.rows

    def settle(self, size_of: Callable[[bytes], int | None], others: Callable[[int, bool], Iterable[CensusRow]]) -> None:
        """What only the whole tells, after a survey: numbers of expired counters belong to what a purge removes.

        `size_of` asks the size of a row with its number, None when it is gone. `others` reads, for a first byte, the rows of `m`
        that have a number (True) or none (False), and is asked only where some rows of a class have one and others have none.
        """
        self._flush()
        for slug, (linked, known, passed) in self._linked.items():
            rows, byte = self._rows_of(slug), keyclasses.CLASSES[slug].byte
            if linked == known or byte is None:
                continue
            sums, unknown = self._sums_of(slug), linked - known
            if linked >= rows:
                found = sums[HISTOGRAM] - passed
            else:
                numbered = linked <= rows - linked
                gone_rows = self._expired_among(slug, others(byte, numbered))
                found = gone_rows - passed if numbered else sums[HISTOGRAM] - gone_rows - passed
            sums[GONE_BYTES] += NUMBER * min(unknown, max(0, found))
        self._linked.clear()
        self._largest.measure(size_of)

    def _expired_among(self, slug: str, rows: Iterable[CensusRow]) -> int:
        return sum(
            not row.corrupt and row.expires_at is not None and row.expires_at <= self.now
            for row in rows
            if self._classify(row.key, self.version, row.kind)[0] == slug
        )

    def _rows_of(self, slug: str) -> int:
        """Rows of `m` of a class."""
        return sum(self._sums_of(slug)[:KEY_BYTES]) - self._lonely.get(slug, 0)

    def _flush(self) -> None:
        """Bring what waits into the sums."""
        self._columns.flush()

    def _sums_of(self, slug: Slug) -> list[int]:
        return self._sums.setdefault(slug, [0] * WIDTH)

    def _frequent(self, slug: str) -> Frequent:
        return self._subjects.setdefault(slug, Frequent())

    def _take_subjects(self, slug: Slug, keys: list[bytes]) -> None:
        if slug in self._with_subject and slug is not None and (found := subjects_of(slug, keys)):
            self._frequent(slug).add(found)

    # parts

    def merge(self, other: Tally) -> None:
        """Add what another tally of the same moment has counted of another part of the store."""
        self._flush()
        other._flush()
        for slug, sums in other._sums.items():
            own = self._sums_of(slug)
            own[:] = map(int.__add__, own, sums)
        for size, key in other._largest.rows():
            self._largest.add(size, key)
        self._secret_sizes = sorted([*self._secret_sizes, *other._secret_sizes], reverse=True)[:LARGEST]
        for name, found in other._subjects.items():
            self._frequent(name).merge(found)
        for name, numbers in other._linked.items():
            known = self._linked.setdefault(name, [0, 0, 0])
            known[:] = map(int.__add__, known, numbers)
        for slug, count in other._lonely.items():
            self._lonely[slug] = self._lonely.get(slug, 0) + count

    def dump(self) -> dict[str, Any]:
        """All of it as JSON, to go on later or elsewhere; about 1 MB at most. Keys that are secrets are left out."""
        self._flush()
        rows = [(size, key, self._secret_slug(key)) for size, key in self._largest.rows()]
        return {
            "sums": list(self._sums.items()),
            "largest": [[size, key.hex()] for size, key, secret in rows if not secret],
            "secret_sizes": [*self._secret_sizes, *((size, secret) for size, _, secret in rows if secret)],
            "subjects": {name: found.dump() for name, found in self._subjects.items()},
            "linked": self._linked,
            "lonely": list(self._lonely.items()),
        }

    def load(self, dumped: dict[str, Any]) -> None:
        """Add what `dump` gave."""
        other = Tally(self.version, self.now, self.store_kind)
        other._sums.update({slug: list(sums) for slug, sums in dumped["sums"]})
        for size, key in dumped["largest"]:
            other._largest.add(size, bytes.fromhex(key))
        other._secret_sizes = [(size, slug) for size, slug in dumped["secret_sizes"]]
        other._subjects.update({name: Frequent.load(found) for name, found in dumped["subjects"].items()})
        other._linked.update({name: list(numbers) for name, numbers in dumped["linked"].items()})
        other._lonely.update(dict(dumped["lonely"]))
        self.merge(other)

    # results

    @property
    def rows(self) -> int:
        """Keys counted so far."""
        return sum(sum(sums[:KEY_BYTES]) for sums in self._sums.values()) + self._columns.rows

    @property
    def corrupt(self) -> int:
        """Malformed rows among them."""
        return sum(sums[CORRUPT] for sums in self._sums.values())

    def total(self) -> dict[str, int]:
        """The sums over all classes."""
        rows = [shown(sums) for _, sums in self._ordered()]
        return {name: sum(row[name] for row in rows) for name in SUMS}

    def classes(self) -> list[dict[str, Any]]:
        """One element a class, in display order; user keys (class null) last."""
        return [{"class": slug, "byte": class_byte(slug, self.version), **shown(sums)} for slug, sums in self._ordered()]

    def details(self) -> dict[str, Any]:
        """Histogram by class, what a purge would remove, largest rows, subjects with the most keys, classes no longer written."""
        ordered = self._ordered()
        times = [{"class": slug, "counts": sums[HISTOGRAM:WIDTH]} for slug, sums in ordered]
        return {
            "histogram": {"names": list(BUCKET_NAMES), "total": self._over_all(HISTOGRAM, WIDTH), "classes": times},
            "expired": {
                "total": gone(self._over_all(GONE, HISTOGRAM)),
                "classes": [{"class": slug, **gone(sums[GONE:HISTOGRAM])} for slug, sums in ordered if sums[HISTOGRAM]],
            },
            "largest": self._large_rows(),
            "subjects": self._top_subjects(),
            "left_over": [{"class": slug, "keys": sum(sums[:KEY_BYTES])} for slug, sums in ordered if self._left_over(slug)],
        }

    def _top_subjects(self) -> list[dict[str, Any]]:
        """By class the subjects with the most keys: each has at least `keys`, and at most `missed` more."""
        return [
            {"class": slug, "subject": self._subject_text(slug, subject), "keys": count, "missed": frequent.missed}
            for slug, _ in self._ordered()
            if slug is not None and (frequent := self._subjects.get(slug)) is not None
            for subject, count in frequent.top(SUBJECTS)
        ]

    def _subject_text(self, slug: str, subject: bytes) -> str:
        """An IP address, a login, a domain, or an account."""
        if slug == "trusted-reply":
            return shown_text(subject)
        if SUBJECT_PLACES.get(slug) == (1, 5):
            return str(account(int.from_bytes(subject, "big"), minor(self.version)))
        return str(subject_fields(subject, "login")[0])

    def _left_over(self, slug: Slug) -> bool:
        return slug is not None and keyclasses.CLASSES[slug].left_over(self.version)

    def _ordered(self) -> list[tuple[Slug, list[int]]]:
        self._flush()
        return sorted(self._sums.items(), key=lambda item: 1 << 20 if item[0] is None else keyclasses.CLASSES[item[0]].order)

    def _over_all(self, start: int, end: int) -> list[int]:
        return [sum(sums[place] for sums in self._sums.values()) for place in range(start, end)]

    def _secret_slug(self, key: bytes) -> str:
        """The class of a key that is a secret, empty for others."""
        slug, _ = self._classify(key, self.version, Kind.UNKNOWN)
        return slug if slug is not None and keyclasses.CLASSES[slug].secret else ""

    def _large_rows(self) -> list[dict[str, Any]]:
        """Class and size of the largest rows; the key unless that is a secret."""
        known: list[dict[str, Any]] = [{"class": slug, "key_hex": None, "bytes": size} for size, slug in self._secret_sizes]
        for size, key in self._largest.rows():
            slug, _ = self._classify(key, self.version, Kind.UNKNOWN)
            known.append({"class": slug, "key_hex": None if self._secret_slug(key) else key.hex(), "bytes": size})
        return sorted(known, key=lambda row: -int(row["bytes"]))[:LARGEST]
