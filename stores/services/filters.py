"""Which keys of a store are meant: parsed from and back to a query string, pushed down as key ranges where that is possible."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, Literal, get_args
from urllib.parse import urlencode

from stores import keyclasses
from stores.errors import BadConfig
from stores.services.durations import parse_duration
from stores.texts import say
from stores.types import ALL_KEYS, Entry, KeyRange, Kind

CUSTOM: Final = "custom"
"""Stands for user keys where a class is asked for; in JSON their class is null."""

Expiry = Literal["", "expired", "live", "never"]

_HEX: Final = re.compile(r"(?:0x)?((?:[0-9a-fA-F]{2})*)\Z")
_GLOB_SPECIAL: Final = frozenset("*?[")
_TEXT_START: Final = b"\x1b"
"""Class bytes end below this one; most user keys lie above."""


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """All parts must hold. The empty filter means every key."""

    class_slug: str = ""
    """Slug of a key class, or `custom` for user keys."""
    prefix: bytes = b""
    match: str = ""
    """Glob on the key's text, on its bytes where it is not UTF-8: `*`, `?`, `[a-z]`, `\\` quotes. Case counts."""
    text: str = ""
    """Part of the decoded subject or value, or an IP network such as 203.0.113.0/24. Case does not count."""
    kind: Kind | None = None
    expiry: Expiry = ""
    expires_after: int | None = None
    """Expires in this many seconds from now or later."""
    expires_before: int | None = None
    """Expires within this many seconds from now, and has not expired yet."""
    count_min: int | None = None
    """Counters of at least this number."""
    size_min: int | None = None
    """Key and stored row together have at least this many bytes."""
    left_over: bool = False
    """Only what the store's version no longer writes, and counters of windows long past without an end."""

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> KeyFilter:
        """Parse `class, prefix, match, q, kind, expiry, after, before, count, size, left`; other names are not looked at.

        Raises BadConfig whose `field` is the parameter's name.
        """
        return cls(
            class_slug=_class(query.get("class", "").strip()),
            prefix=parse_hex(query.get("prefix", ""), "prefix"),
            match=_glob(query.get("match", "")),
            text=query.get("q", "").strip(),
            kind=_kind(query.get("kind", "").strip()),
            expiry=_expiry(query.get("expiry", "").strip()),
            expires_after=_seconds(query, "after"),
            expires_before=_seconds(query, "before"),
            count_min=_number(query, "count"),
            size_min=_number(query, "size"),
            left_over=_flag(query, "left"),
        )

    def to_query(self) -> dict[str, str]:
        """The parameters that `from_query` reads; only those that are set."""
        numbers = {"after": self.expires_after, "before": self.expires_before, "count": self.count_min, "size": self.size_min}
        found = {
            "class": self.class_slug,
            "prefix": self.prefix.hex(),
            "match": self.match,
            "q": self.text,
            "kind": self.kind.value if self.kind else "",
            "expiry": self.expiry,
            "left": "1" if self.left_over else "",
            **{name: "" if number is None else str(number) for name, number in numbers.items()},
        }
        return {name: value for name, value in found.items() if value}

    @property
    def query_string(self) -> str:
        """URL-encoded `to_query`."""
        return urlencode(self.to_query())

    @property
    def empty(self) -> bool:
        return self == KeyFilter()

    @property
    def only_ranges(self) -> bool:
        """Whether ranges alone decide on an ordered store of this filter (no row has to be looked at)."""
        return self == KeyFilter(prefix=self.prefix)

    def ranges(self, version: str, ordered: bool) -> tuple[KeyRange, ...]:
        """Where matching keys can lie: disjoint ranges, several for a class with several prefixes, none when nothing can match."""
        wanted = [self.prefix, glob_head(self.match)]
        if self.class_slug and self.class_slug != CUSTOM:
            starts = class_prefixes(self.class_slug, version)
        elif self.class_slug == CUSTOM and ordered and version != "0.10" and not any(wanted):
            return (KeyRange(_TEXT_START, None, None), KeyRange(b"", _TEXT_START, None))
        else:
            starts = (b"",)
        found = {prefix for start in starts if (prefix := _longest([start, *wanted])) is not None}
        return tuple(KeyRange.of_prefix(prefix) if prefix else ALL_KEYS for prefix in _disjoint(found))

    def wants(self, slug: str | None, entry: Entry, now: float) -> bool:
        """Whether a row with this class matches, decoded text and `left_over` aside. About a microsecond."""
        if self.class_slug and self.class_slug != (slug or CUSTOM):
            return False
        if self.kind is not None and entry.kind is not self.kind:
            return False
        if self.prefix and not entry.key.startswith(self.prefix):
            return False
        if not self._wants_expiry(entry, now):
            return False
        if self.count_min is not None and (entry.counter is None or entry.counter < self.count_min):
            return False
        if self.size_min is not None and entry.size < self.size_min:
            return False
        return not self.match or glob_matches(self.match, entry.key)

    def _wants_expiry(self, entry: Entry, now: float) -> bool:
        at = entry.expires_at
        if self.expiry == "never" and (at is not None or entry.problem):
            return False
        if self.expiry == "expired" and not entry.expired(now):
            return False
        if self.expiry == "live" and entry.expired(now):
            return False
        if self.expires_after is not None and (at is None or at < now + self.expires_after):
            return False
        return self.expires_before is None or (at is not None and now < at < now + self.expires_before)

    def wants_text(self, texts: Iterable[str]) -> bool:
        """Whether one of the decoded texts holds the searched one."""
        network = _network(self.text)
        if network is not None:
            return any(_inside(text, network) for text in texts)
        needle = self.text.casefold()
        return any(needle in text.casefold() for text in texts)


def class_prefixes(slug: str, version: str) -> tuple[bytes, ...]:
    """Key prefixes of a class in a version; the empty prefix alone when the class has none of its own."""
    return keyclasses.CLASSES[slug].prefixes(version) or (b"",)


def parse_hex(text: str, field: str) -> bytes:
    """Bytes of hex digits, blanks and a leading 0x allowed. Raises BadConfig."""
    match = _HEX.match("".join(text.split()))
    if match is None:
        raise BadConfig(say('"%(text)s" is not hex.', text=text), say("Write two hex digits for each byte, such as 05cb00."), field)
    return bytes.fromhex(match[1])


def glob_head(glob: str) -> bytes:
    """The literal bytes that every match begins with."""
    head: list[str] = []
    position = 0
    while position < len(glob) and glob[position] not in _GLOB_SPECIAL:
        if glob[position] == "\\" and position + 1 < len(glob):
            position += 1
        head.append(glob[position])
        position += 1
    return "".join(head).encode()


def glob_matches(glob: str, key: bytes) -> bool:
    """Whether the key's text, or its bytes when it is not UTF-8, matches."""
    try:
        return _pattern(glob).match(key.decode()) is not None
    except UnicodeDecodeError:
        return _pattern(glob.encode().decode("latin-1")).match(key.decode("latin-1")) is not None


@lru_cache(maxsize=64)
def _pattern(glob: str) -> re.Pattern[str]:
    """The glob as an expression that never backtracks across a star: what follows one is taken where it comes first."""
    parts = [""]
    position = 0
    while position < len(glob):
        char = glob[position]
        if char == "*":
            parts.append("")
        elif char == "?":
            parts[-1] += "."
        elif char == "[" and (end := glob.find("]", position + 2)) > 0:
            parts[-1] += _set(glob[position + 1 : end])
            position = end
        else:
            if char == "\\" and position + 1 < len(glob):
                position += 1
            parts[-1] += re.escape(glob[position])
        position += 1
    first, *middle = parts
    last = f".*{middle.pop()}" if middle else ""
    return re.compile(first + "".join(f"(?>.*?{part})" for part in middle if part) + last + r"\Z", re.DOTALL)


def _set(inside: str) -> str:
    negated = inside[0] in "!^"
    members = "".join(char if char == "-" else re.escape(char) for char in (inside[1:] if negated else inside))
    return f"[{'^' if negated else ''}{members}]"


def _longest(prefixes: list[bytes]) -> bytes | None:
    """The one prefix that contains all others as its own beginnings; None when two of them contradict."""
    longest = max(prefixes, key=len)
    return longest if all(longest.startswith(prefix) for prefix in prefixes) else None


def _disjoint(prefixes: set[bytes]) -> list[bytes]:
    kept: list[bytes] = []
    for prefix in sorted(prefixes):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return kept


def _class(text: str) -> str:
    if not text or text == CUSTOM or text in keyclasses.CLASSES:
        return text
    raise BadConfig(
        say('There is no key class "%(text)s".', text=text),
        say("Classes: %(names)s.", names=", ".join([*sorted(keyclasses.CLASSES), CUSTOM])),
        "class",
    )


def _kind(text: str) -> Kind | None:
    try:
        return Kind(text) if text else None
    except ValueError:
        raise BadConfig(say('There is no kind "%(text)s".', text=text), say("Kinds: %(names)s.", names=", ".join(Kind)), "kind") from None


def _expiry(text: str) -> Expiry:
    for name in get_args(Expiry):
        if text == name:
            return name  # type: ignore[no-any-return]
    raise BadConfig(say('"%(text)s" is no expiry filter.', text=text), say("Use expired, live or never."), "expiry")


def _glob(text: str) -> str:
    try:
        _pattern(text)
    except re.error:
        raise BadConfig(
            say('"%(text)s" is not a glob.', text=text), say("Use *, ? and [a-z]; quote others with a backslash."), "match"
        ) from None
    return text


def _seconds(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "").strip()
    return parse_duration(text, name) if text else None


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "").strip()
    if not text:
        return None
    if not re.fullmatch(r"-?[0-9]{1,19}", text):
        raise BadConfig(say('"%(text)s" is not a whole number.', text=text), "", name)
    return int(text)


def _flag(query: Mapping[str, str], name: str) -> bool:
    text = query.get(name, "").strip()
    if text not in ("", "1"):
        raise BadConfig(say('"%(text)s" is neither on nor off.', text=text), say("Write 1, or leave it out."), name)
    return bool(text)


@lru_cache(maxsize=64)
def _network(text: str) -> IPv4Network | IPv6Network | None:
    if "/" not in text:
        return None
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _inside(text: str, network: IPv4Network | IPv6Network) -> bool:
    try:
        return ip_address(text) in network
    except ValueError:
        return False
