"""Classes of very many keys at once, exactly as `classify` tells them one by one: what a census needs.

Most rules look at the first byte, the length and the window's number at the end only, so one key stands for all that are alike in these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Final

from stores.keyclasses.catalog import CLASSES, classify, rules_of
from stores.keyclasses.rate_limits import every_window
from stores.keyclasses.reading import Rule, every_joined_text, every_text
from stores.keyclasses.text_prefixes import TEXT_SUBJECTS, subject_of_text
from stores.types import CensusPlan, Kind

Class = tuple[str | None, Kind]
Subject = tuple[int, int | None]
"""Where in a key its subject lies: start and end, as of a slice."""

_BEFORE_WINDOW: Final[Subject] = (1, -8)
_ACCOUNT: Final[Subject] = (1, 5)
SUBJECTS: Final[dict[str, Subject]] = {
    **dict.fromkeys(("rate-rcpt", "rate-scan", "rate-loiter", "rate-auth", "rate-contact", "rate-http-anonymous"), _BEFORE_WINDOW),
    **dict.fromkeys(("rate-http-authenticated", "rate-imap", "quota-blob", "bayes-account", "lock-dav"), _ACCOUNT),
}
"""Classes whose keys belong to somebody who can have several of them: an address, a login, an account."""
SUBJECT_CLASSES: Final = SUBJECTS.keys() | TEXT_SUBJECTS
SUBJECT_BYTES: Final = frozenset(byte for slug in SUBJECTS if (byte := CLASSES[slug].byte) is not None)


def subjects_of(slug: str, keys: Sequence[bytes]) -> list[bytes]:
    """The subjects of keys of one class that share their first byte; fewer, or none, where keys name none. About 0.1 µs a key.

    In 0.10, and in rows that it has left behind, keys are texts. A greylisted pair of later versions has no end of its sender.
    """
    if keys and keys[0] and keys[0][0] == CLASSES[slug].byte:
        if slug not in SUBJECTS:
            return []
        start, end = SUBJECTS[slug]
        return [key[start:end] for key in keys]
    return [subject for key in keys if (subject := subject_of_text(slug, key))] if slug in TEXT_SUBJECTS else []


def class_of_all(keys: Sequence[bytes], version: str) -> Class | None:
    """The class of keys that share their first byte; None where they differ, or only a look at each can tell. About 0.1 µs a key."""
    byte = keys[0][0]
    sees, every = _way(version, byte)
    if sees == "window" and not every_window(keys):
        return None
    if sees != "key":
        found = {_stand_in(version, byte, length, sees == "window") for length in set(map(len, keys))}
        return found.pop() if len(found) == 1 else None
    return every(keys) if every is not None else None


def uniform(version: str, count: int, byte: int, length: int, window: bool, joined: bytes) -> bool:
    """Whether so many keys are of one class together: all of that length, or texts of any (length 0). See `CensusPlan`."""
    if byte < 0:
        return True
    sees, every = _way(version, byte)
    if sees != "key":
        return not _is_counters(version, byte) or _stand_in(version, byte, length, window)[0] is not None
    if every is None or not joined:
        return False
    if not length:
        return _is_text(version, byte) and every_joined_text(joined, byte, count)
    return every([joined[start : start + length] for start in range(0, len(joined), length)]) is not None


def class_of_group(version: str, byte: int, length: int, window: bool, joined: bytes) -> Class:
    """The class of keys that are `uniform`."""
    if byte < 0:
        return classify(b"", version)
    if _way(version, byte)[0] != "key":
        return _stand_in(version, byte, length, window)
    if length:
        return classify(joined[:length], version)
    return classify(bytes([byte]) + b"x", version)


def plan(version: str, edges: tuple[bytes, ...], smallest: Callable[[], int]) -> CensusPlan:
    """What engines have to look at for a store of this version, from 0.11 on."""
    ways = {byte: _way(version, byte)[0] for byte in range(256) if rules_of(version, byte)}
    texts = frozenset(byte for byte in ways if _is_text(version, byte))
    return CensusPlan(
        edges=edges,
        lengths=frozenset(byte for byte, sees in ways.items() if sees == "length"),
        windows=frozenset(byte for byte, sees in ways.items() if sees == "window"),
        texts=texts,
        keys=frozenset(byte for byte, sees in ways.items() if sees == "key") - texts,
        sent=frozenset(byte for byte in ways if byte in SUBJECT_BYTES or _way(version, byte)[1] is not None),
        counters=frozenset(byte for byte in ways if _is_counters(version, byte)),
        uniform=partial(uniform, version),
        smallest=smallest,
    )


@lru_cache(maxsize=4096)
def _way(version: str, byte: int) -> tuple[str, Callable[[Sequence[bytes]], Class | None] | None]:
    """How much of keys with this first byte has to be seen, and a look at all of them where that is the whole key."""
    rules = rules_of(version, byte)
    seen = {found.sees for found in rules}
    if "key" not in seen:
        return ("window" if "window" in seen else "length"), None
    if rules[0].every is not None:
        return "key", partial(_first_rule, rules[0])
    if all(len(found.prefix) > 1 for found in rules):
        return "key", partial(_no_rule, tuple(found.prefix for found in rules))
    return "key", None


def _first_rule(found: Rule, keys: Sequence[bytes]) -> Class | None:
    return (found.cls.slug, found.kind) if found.every is not None and found.every(keys) else None


def _no_rule(prefixes: tuple[bytes, ...], keys: Sequence[bytes]) -> Class | None:
    return None if any(key.startswith(prefixes) for key in keys) else (None, Kind.UNKNOWN)


def _is_text(version: str, byte: int) -> bool:
    rules = rules_of(version, byte)
    return bool(rules) and rules[0].every is every_text


@lru_cache(maxsize=4096)
def _is_counters(version: str, byte: int) -> bool:
    rules = rules_of(version, byte)
    return bool(rules) and all(found.kind is Kind.COUNTER and found.cls.byte == byte and found.prefix for found in rules)


@lru_cache(maxsize=16384)
def _stand_in(version: str, byte: int, length: int, window: bool) -> Class:
    """The class of any key with this first byte, length and end."""
    tail = bytes(8) if window else b"\xff" * 8
    key = (bytes([byte]) + bytes(max(0, length - 9)) + tail)[:length] if length >= 9 else bytes([byte]) + b"\xff" * (length - 1)
    return classify(key, version)
