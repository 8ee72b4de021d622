"""What to look for in one store: the exact keys of a subject, and the stretches to walk, each with a test for the keys met there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from stores import keyclasses
from stores.keyclasses import CLASSES, Meaning, Trace, smtp_traces, understand
from stores.services.limits import Limits
from stores.texts import say
from stores.types import ALL_KEYS, KeyRange

_PAIRED: Final = re.compile(r"\b(as|account)\s+(?=[0-9])", re.IGNORECASE)
_FIRST_TEXT: Final = b"\x1b"
"""Class bytes end below it."""
MOST_SUBJECTS: Final = 8
CODES: Final = "oauth"
_CODE: Final = re.compile(r"[A-Za-z0-9]{4}-[A-Za-z0-9]{4}|[A-Za-z0-9]{40}")

Wanted = Callable[[bytes, str | None], str]
"""Why a key of a class is a trace; empty when it is none."""


@dataclass(frozen=True, slots=True)
class Hunt:
    """Where to look in one store."""

    exact: Mapping[bytes, tuple[str | None, str]]
    """Key -> class slug that it must have, and why it is looked up."""
    ranges: tuple[KeyRange, ...] = ()
    """Stretches to walk one after the other, the most telling ones first."""
    traces: tuple[Trace, ...] = field(default=(), repr=False)
    """What the keys of the stretches are held against."""
    accounts: frozenset[int] = frozenset()
    """Accounts whose sign-in codes are looked for: only their values name one."""

    def test(self) -> Wanted:
        """A fast test for many keys: only traces that can begin with a key's first byte are asked."""
        by_byte: dict[int, list[Trace]] = {}
        for trace in self.traces:
            for byte in [trace.key[0]] if trace.key else range(256):
                by_byte.setdefault(byte, []).append(trace)

        def wanted(key: bytes, slug: str | None) -> str:
            for trace in by_byte.get(key[0], ()) if key else ():
                if trace.slug == slug and key.startswith(trace.key) and trace.matches(key):
                    return trace.why
            return ""

        return wanted


def split(text: str) -> list[str]:
    """The subjects of a search box: several are separated by blanks or commas. `AS 64500` and `account 42` are one."""
    joined = _PAIRED.sub(r"\1", text.strip())
    found = list(dict.fromkeys(part for part in re.split(r"[\s,;]+", joined) if part))
    return found[:MOST_SUBJECTS]


def meanings(text: str) -> tuple[Meaning, ...]:
    """How every subject is read, the likeliest way of each first."""
    return tuple(dict.fromkeys(meaning for subject in split(text) for meaning in understand(subject)))


def hunt(text: str, version: str, kind: keyclasses.StoreKind, ordered: bool, limits: Limits, now: float) -> Hunt:
    """Where a store of that version and kind may have traces of the subjects."""
    subjects = split(text)
    found: list[Trace] = []
    for subject in subjects:
        found += keyclasses.traces(subject, version, now=now, rates=limits.rates, limiters=limits.limiters)
    if len(subjects) > 1:
        found += smtp_traces(subjects, limits.limiters, version, now=now)
        found.append(Trace("exact", text.strip().encode(), None, say("your own key of this name")))
    found += smtp_traces(subjects, limits.limiters, version)
    found += _codes(subjects, version)
    if kind == "static":
        found = [trace for trace in found if trace.slug is None]
    exact = {trace.key: (trace.slug, trace.why) for trace in reversed(found) if trace.kind == "exact"}
    accounts = frozenset(meaning.number for meaning in meanings(text) if meaning.sort == "account") if kind != "static" else frozenset()
    walks = [trace for trace in found if trace.kind != "exact"]
    if accounts:
        walks += [Trace("scan", prefix, CODES, say("sign-in codes of this account"), _none) for prefix in CLASSES[CODES].prefixes(version)]
    return Hunt(exact, _ranges(walks, version, ordered), tuple(walks), accounts)


def _codes(subjects: Sequence[str], version: str) -> list[Trace]:
    """A code that somebody reads out: `ABCD-EFGH` or the long form."""
    prefix = CLASSES[CODES].texts[0] if version == "0.10" else bytes([CLASSES[CODES].byte or 1])
    found = [subject for subject in subjects if _CODE.fullmatch(subject)]
    return [Trace("exact", prefix + code.encode(), CODES, say("the code itself")) for code in found]


def _none(key: bytes) -> bool:
    """The key of a code says nothing about its account."""
    return False


def _ranges(walks: Sequence[Trace], version: str, ordered: bool) -> tuple[KeyRange, ...]:
    if not ordered:
        return (ALL_KEYS,) if walks else ()
    prefixes = _prefixes(trace.key for trace in walks if trace.kind == "prefix")
    stretches = [key for key in _prefixes(trace.key for trace in walks if trace.kind == "scan" and trace.key) if key not in prefixes]
    ranges = [KeyRange.of_prefix(key) for key in (*prefixes, *stretches)]
    if any(not trace.key for trace in walks):
        ranges += [ALL_KEYS] if version == "0.10" else [KeyRange(_FIRST_TEXT, None, None), KeyRange(b"", _FIRST_TEXT, None)]
    return tuple(ranges)


def _prefixes(keys: Iterable[bytes]) -> list[bytes]:
    """Without those that another one covers."""
    kept: list[bytes] = []
    for key in sorted(set(keys)):
        if not kept or not key.startswith(kept[-1]):
            kept.append(key)
    return kept


def ranges_of(slugs: Iterable[str], version: str, ordered: bool) -> tuple[KeyRange, ...]:
    """Stretches that together cover the keys of some classes; on a store without key order the whole store."""
    prefixes = _prefixes(prefix for slug in slugs for prefix in keyclasses.CLASSES[slug].prefixes(version))
    if not ordered or b"" in prefixes:
        return (ALL_KEYS,)
    return tuple(KeyRange.of_prefix(prefix) for prefix in prefixes)
