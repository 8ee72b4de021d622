"""How Stalwart reads the entries of an in-memory static store: typing, globs, and which entry answers (store-formats e.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from stores.texts import say

Typed = int | float | str
"""What a lookup answers: an integer, a float or text."""

CONSULTED: Final[Mapping[str, str]] = {
    "trusted-domains": say("domains it trusts in the spam filter"),
    "url-redirectors": say("redirectors in the spam filter"),
    "spam-traps": say("spam traps"),
    "blocked-domains": say("senders it refuses at MAIL FROM"),
}
"""Static stores that Stalwart itself asks -> what for."""
_ONLY_OLD: Final = frozenset({"spam-traps"})
"""Asked up to 0.11."""

_GLOB_SIGN = re.compile(r"(?<!\\)[*?]")
_TOKEN = re.compile(r"\\(.)|(\*+)|(\?)|([^\\])", re.DOTALL)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?", re.ASCII)
_I64 = range(-(1 << 63), 1 << 63)


def consulted_for(store_id: str, version: str) -> str:
    """What the server itself asks a store of this id for; empty when it does not."""
    if store_id in _ONLY_OLD and version not in ("", "0.10", "0.11"):
        return ""
    return CONSULTED.get(store_id, "")


def typed(raw: str) -> Typed:
    """The value as Stalwart up to 0.15 types it: `007` is 7, `1.` is 1.0, `true` is 1; `.5`, `+5`, `1e3`, 2^63 are text."""
    if raw in ("true", "false"):
        return int(raw == "true")
    match = _NUMBER.fullmatch(raw)
    if match is None:
        return raw
    if match[1] is not None:
        return float(raw)
    number = int(raw) if len(raw) <= 4000 else 1 << 64
    return number if number in _I64 else raw


def as_text(value: Typed) -> str:
    """The value as an expression shows it: 5.0 is `5`, never an exponent."""
    if not isinstance(value, float):
        return str(value)
    if value in (float("inf"), float("-inf")):
        return "inf" if value > 0 else "-inf"
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def is_glob(key: str) -> bool:
    """Whether the key is a pattern: it has a `*` or `?` that no backslash stands directly before."""
    return _GLOB_SIGN.search(key) is not None


def plain(key: str) -> str:
    """The text that an exact key matches: the key without its backslashes."""
    return key.replace("\\", "")


def escape(text: str) -> str:
    """The exact key that matches this text, whatever signs it holds. Backslashes cannot be expressed and are lost."""
    return re.sub(r"[*?]", r"\\\g<0>", plain(text))


def compile_glob(key: str) -> re.Pattern[str]:
    """The pattern as an expression whose time is bounded by pattern length times text length.

    `*` is any run of characters, `?` exactly one, `\\x` the character x; the whole text must match, letter case counts.
    """
    chunks = [""]
    for escaped, star, question, literal in _TOKEN.findall(key):
        if star:
            chunks.append("")
        else:
            chunks[-1] += "." if question else re.escape(escaped or literal)
    if len(chunks) == 1:
        return re.compile(chunks[0] + r"\Z", re.DOTALL)
    first, *middle, last = chunks
    return re.compile(first + "".join(f"(?>.*?{chunk})" for chunk in middle if chunk) + f".*{last}\\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class StaticAnswer:
    """Which entry answers for a key, and which would have if it were not there."""

    value: Typed
    """As the server types it."""
    key: str
    """The config key of the entry that answers."""
    raw: str
    """Its value as configured."""
    glob: bool
    """Whether a pattern answered."""
    shadows: tuple[tuple[str, str], ...] = ()
    """The other entries that match the key too, as (config key, raw value), in the order in which they would have answered."""

    @property
    def text(self) -> str:
        return as_text(self.value)


class StaticTable:
    """The entries of one static store in the order in which the server asks them.

    Exact keys come first; of two that match the same text the later one wins. Then patterns: in byte order of the config
    key up to 0.15, so that `*` comes before `*.example.org`; in order of creation in 0.16. In 0.16 every value is text,
    and an entry without a value answers 1. A pattern sign that 0.16 is told to take literally is written with a backslash.
    """

    def __init__(self, entries: Iterable[tuple[str, str]], version: str = "") -> None:
        self._text_only = version == "0.16"
        ordered = list(entries) if self._text_only else sorted(entries, key=lambda entry: entry[0].encode())
        self._exact: dict[str, list[tuple[str, str]]] = {}
        self._globs: list[tuple[re.Pattern[str], tuple[str, str]]] = []
        for entry in ordered:
            if is_glob(entry[0]):
                self._globs.append((compile_glob(entry[0]), entry))
            else:
                self._exact.setdefault(plain(entry[0]), []).insert(0, entry)

    @property
    def globs(self) -> int:
        """How many entries are patterns."""
        return len(self._globs)

    def value(self, raw: str) -> Typed:
        """What an entry with this configured value answers in this version."""
        if not self._text_only:
            return typed(raw)
        return raw or 1

    def exact(self, text: str) -> Iterator[tuple[str, str]]:
        """The entries without pattern that match, the one that answers first."""
        yield from self._exact.get(text, ())

    def matching(self, text: str) -> Iterator[tuple[str, str]]:
        """The entries that match, the one that answers first."""
        yield from self._exact.get(text, ())
        yield from (entry for pattern, entry in self._globs if pattern.match(text))

    def lookup(self, text: str) -> StaticAnswer | None:
        """The answer for a key with all that it shadows, None when nothing matches. Cost: every pattern is tried."""
        matching = tuple(self.matching(text))
        if not matching:
            return None
        key, raw = matching[0]
        return StaticAnswer(self.value(raw), key, raw, is_glob(key), matching[1:])

    def first(self, text: str) -> Typed | None:
        """Only the value that answers, None when nothing matches."""
        for _, raw in self.matching(text):
            return self.value(raw)
        return None
