"""All classes in one table by first byte: which class a key belongs to, and the key in words.

The first byte alone proves nothing, since user keys have no class byte: a rule checks the shape of the whole key, and what no rule
claims is a user key. The payload never decides the class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from stores.keyclasses import (
    acme_oauth,
    bayes,
    dav_sieve,
    greylist_reply,
    locks,
    quota,
    rate_limits,
    reputation,
    text_prefixes,
)
from stores.keyclasses.base import Decoded, KeyClass, StoreKind, minor
from stores.keyclasses.custom import CUSTOM, STATIC, read_custom, read_static
from stores.keyclasses.reading import Reading, Rule
from stores.texts import say
from stores.types import Entry, Kind

_FAMILIES: Final = (acme_oauth, rate_limits, quota, reputation, greylist_reply, bayes, locks, dav_sieve)

CLASSES: Final[Mapping[str, KeyClass]] = {
    cls.slug: cls for cls in sorted((cls for family in _FAMILIES for cls in family.CLASSES), key=lambda cls: cls.order) if cls.slug
}
"""Every class by its slug, in display order; user keys (`CUSTOM`) have none."""

_RULES: Final[tuple[Rule, ...]] = tuple(rule for family in _FAMILIES for rule in family.RULES) + text_prefixes.RULES

_Row = tuple[Callable[[bytes], bool], str | None, Kind, Rule]
_Table = tuple[tuple[_Row, ...], ...]


@lru_cache(maxsize=64)
def _table(version: str) -> _Table:
    """For every first byte the rules to try, those that the version writes first."""
    number = minor(version)
    rules = [found for found in _RULES if found.since <= number <= found.until]
    rules += [found for found in _RULES if found not in rules and not found.loose]
    return tuple(
        tuple((found.shape, found.cls.slug, found.kind, found) for found in rules if not found.first or byte in found.first)
        for byte in range(256)
    )


def classify(key: bytes, version: str, kind: Kind = Kind.UNKNOWN) -> tuple[str | None, Kind]:
    """Slug of the class, None for a user key, and the settled kind. About 1 µs: a census asks it of every key.

    A lock class makes it a LOCK whatever is stored. UNKNOWN (Redis) becomes the kind of the class and stays UNKNOWN for user keys;
    VALUE and COUNTER of a data store stay as they are.
    """
    if key:
        for shape, slug, own, _ in _table(version)[key[0]]:
            if shape(key):
                return slug, own if kind is Kind.UNKNOWN or own is Kind.LOCK else kind
    return None, kind


def rules_of(version: str, byte: int) -> tuple[Rule, ...]:
    """The rules that keys with this first byte are asked, in order."""
    return tuple(found for _, _, _, found in _table(version)[byte])


def is_lock(key: bytes, version: str) -> bool:
    """Whether an empty value under this key is a lock."""
    return classify(key, version)[1] is Kind.LOCK


def class_of(slug: str | None) -> KeyClass:
    """The class of a slug, user keys for None or "custom". Raises KeyError for any other."""
    return CUSTOM if slug is None or slug == "custom" else CLASSES[slug]


def classes_of(version: str) -> list[KeyClass]:
    """The classes that a version writes, in display order, without user keys."""
    return [cls for cls in CLASSES.values() if cls.written_by(version)]


def left_over(key: bytes, version: str) -> str:
    """Why a key is left over from an earlier version, in words; empty when this version still writes such keys or it is a user key."""
    found = _find(key, version)
    return "" if found is None else _leftover_note(found, minor(version))


def decode(entry: Entry, version: str, store_kind: StoreKind, now: float, *, reveal: bool = False) -> Decoded:
    """The entry in words. Total on any bytes, malformed rows included.

    `now` is Unix seconds. Secrets come masked unless `reveal`; the private key of a certificate never comes at all.
    """
    number = minor(version)
    if store_kind == "static":
        return read_static(Reading(STATIC, entry, entry.kind, number, store_kind, now, reveal, "", False))
    found = _find(entry.key, version)
    if found is None:
        return read_custom(Reading(CUSTOM, entry, entry.kind, number, store_kind, now, reveal, "", number == 10))
    kind = found.kind if entry.kind is Kind.UNKNOWN or found.kind is Kind.LOCK else entry.kind
    note = _leftover_note(found, number) or _early_note(found, number)
    return found.read(Reading(found.cls, entry, kind, number, store_kind, now, reveal, note, number not in found.verified))


def _find(key: bytes, version: str) -> Rule | None:
    if key:
        for shape, _, _, found in _table(version)[key[0]]:
            if shape(key):
                return found
    return None


def _leftover_note(found: Rule, number: int) -> str:
    if number <= found.until:
        return ""
    kept = say(" They never expire, so no purge removes them.") if found.cls.family == "bayes" else ""
    return say("Left over: 0.%(number)s no longer writes these.%(kept)s", number=number, kept=kept)


def _early_note(found: Rule, number: int) -> str:
    return say("0.%(number)s does not write these yet. Is the version of the store right?", number=number) if number < found.since else ""
