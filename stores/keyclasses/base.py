"""What a key class is: bytes to words and, where editing is safe, back again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

from stores.texts import Text
from stores.types import Kind

FieldValue = str | int | float | bool | None | list[str]


@dataclass(frozen=True, slots=True)
class Decoded:
    """A key in words. `fields` are the parts by name; times are Unix seconds, `label` is one line for people.

    Nothing secret is in here: codes, tokens and private keys come masked.
    """

    slug: str | None
    """Slug of the spec ("rate-auth"), None for a user key."""
    title: str
    """Short name for chips and lists ("Failed logins")."""
    kind: Kind
    label: str
    """The subject: "203.0.113.20", "news@good.org to john@example.com"."""
    value_label: str = ""
    """The value in words: "37 in this window", "ham 12, spam 340"."""
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    parts: tuple[tuple[int, int, str], ...] = ()
    """Slices of the key for the hex view: start, end, meaning."""
    value_parts: tuple[tuple[int, int, str], ...] = ()
    """The same for the payload."""
    secret_key: bool = False
    secret_value: bool = False
    personal: bool = False
    editable: str = ""
    """Name of the encoder form that may write this value ("reputation", "counter", ...), empty when only hex is safe."""
    unverified: bool = False
    """No captured row of this class and version was available to check the decoder against."""
    note: str = ""
    """A warning for the reader: "expiry unreliable", "lock of a dead worker", ..."""
    problem: str = ""
    """Why the value could not be decoded although the key has the class's shape."""


StoreKind = Literal["data", "redis", "static"]
"""data: values and counters in two tables. redis: strings only, the class settles the kind. static: text, no classes."""

CUSTOM_SLUG: Final = "custom"
"""What filters call the keys without a class; their slug in results is None."""


@dataclass(frozen=True, slots=True)
class KeyClass:
    """What is known of a class of keys without looking at one."""

    slug: str | None
    """None only for user keys."""
    title: str
    use: str
    """What Stalwart uses it for, a few words."""
    area: str
    family: str
    byte: int | None
    kind: Kind
    since: str
    """First version that writes it ("0.10": as text prefix)."""
    until: str = ""
    """Last version that writes it, empty when it still does."""
    secret: bool = False
    """Key or value give access to something."""
    personal: bool = False
    texts: tuple[bytes, ...] = ()
    """Text prefixes of 0.10."""
    bare: bool = False
    """In 0.10 the keys had no prefix at all."""
    strict_texts: bool = True
    """Later versions recognise the text prefixes too, because nothing else can look like them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", Text(self.title))
        object.__setattr__(self, "use", Text(self.use))

    @property
    def order(self) -> int:
        """Place in tables: by class byte, user keys last."""
        return 256 if self.byte is None else self.byte * 2 + (self.since == "0.16")

    def prefixes(self, version: str) -> tuple[bytes, ...]:
        """Prefixes that together cover every key of the class in a store of that version.

        They may cover others too: ask `classify` of each key. The empty prefix means that only a walk of the whole store finds them.
        """
        if self.byte is None or (self.bare and minor(version) == 10):
            return (b"",)
        texts = self.texts if self.strict_texts or minor(version) == 10 else ()
        return (bytes([self.byte]), *texts)

    def written_by(self, version: str) -> bool:
        """Whether that version writes such keys."""
        return minor(self.since) <= minor(version) <= (minor(self.until) if self.until else NEWEST)

    def left_over(self, version: str) -> bool:
        """Whether that version has stopped writing such keys, so that what is there is from before an upgrade."""
        return bool(self.until) and minor(version) > minor(self.until)


@dataclass(frozen=True, slots=True)
class EditorField:
    """One input of a small form that edits a value in decoded form."""

    name: str
    label: str
    type: Literal["integer", "number", "text", "choice", "lines"] = "integer"
    help: str = ""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None


OLDEST: Final = 10
NEWEST: Final = 16
MAIN: Final = 11
"""Assumed when a store's version is not known."""

_VERSION = re.compile(r"v?0\.(\d{1,3})(?:\.(\d{1,4}))?")


@lru_cache(maxsize=256)
def minor(version: str) -> int:
    """ "0.11" and "0.11.8" -> 11; unknown versions count as the main target, later ones as the newest known."""
    found = _VERSION.match(version.strip())
    return max(OLDEST, min(NEWEST, int(found[1]))) if found else MAIN


@lru_cache(maxsize=256)
def patch(version: str) -> int | None:
    """ "0.11.3" -> 3, None when the version says no patch level."""
    found = _VERSION.match(version.strip())
    return int(found[2]) if found and found[2] else None


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a subject may have left something: one look-up, one prefix, or a scan of what begins with `key`."""

    kind: Literal["exact", "prefix", "scan"]
    key: bytes
    """The key, the prefix, or for a scan the prefix that bounds it (empty: the whole store)."""
    slug: str | None
    why: str
    """What is looked for: "failed logins of this address"."""
    matches: Callable[[bytes], bool] = field(compare=False, repr=False, default=lambda key: True)
    """Whether a key that was found is one of the subject's; a prefix and a scan find others too."""
