"""How a family reads its keys: a rule says which keys are its own, a reading is one key at the moment it is decoded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from stores.keyclasses.base import Decoded, FieldValue, KeyClass, StoreKind
from stores.keyclasses.words import cut, utf8
from stores.texts import figure, joined, say
from stores.types import Entry, Kind

Parts = tuple[tuple[int, int, str], ...]

_PRINTABLE: Final = bytes(range(0x20, 0x7F))
_DECIMAL: Final = re.compile(rb"[+-]?[0-9]{1,19}")


def decimal(raw: bytes | None) -> int | None:
    """The number of a Redis counter or lock: ASCII decimal of a signed 64-bit integer, None for anything else."""
    if raw is None or not _DECIMAL.fullmatch(raw):
        return None
    number = int(raw)
    return number if -(1 << 63) <= number < 1 << 63 else None


@dataclass(frozen=True, slots=True)
class Reading:
    """One entry with all that decides how it reads. Never holds more than the entry itself."""

    cls: KeyClass
    entry: Entry
    kind: Kind
    minor: int
    """Stalwart's minor version: 11 for 0.11."""
    store: StoreKind
    now: float
    reveal: bool
    note: str
    unverified: bool

    @property
    def key(self) -> bytes:
        return self.entry.key

    @property
    def number(self) -> int | None:
        """The count: from `y`, or the decimal text of Redis."""
        if self.entry.counter is None and self.store == "redis":
            return decimal(self.entry.value)
        return self.entry.counter

    @property
    def number_problem(self) -> str:
        """Why there is no number where one belongs, empty when there is."""
        if self.number is not None or self.entry.problem:
            return ""
        if self.store == "redis":
            return say("The text is not a number.")
        if self.entry.kind is Kind.VALUE:
            return say("Holds a value where a counter belongs.")
        return say("Only the expiry of a counter is left, its number is gone.")

    def decoded(
        self,
        label: str,
        value_label: str = "",
        fields: Mapping[str, FieldValue] | None = None,
        *,
        parts: Parts = (),
        value_parts: Parts = (),
        editable: str = "",
        note: str = "",
        problem: str = "",
        secret_key: bool = False,
        secret_value: bool = False,
    ) -> Decoded:
        """The result, with what every class has in common filled in."""
        broken = self.entry.problem
        if not problem and self.cls.kind is Kind.VALUE and self.entry.kind is Kind.COUNTER:
            problem = say("Holds a counter where a value belongs.")
        part = self.entry.length is not None
        cut_off = (
            say(
                "Only the first %(count)s of %(length)s bytes were read.",
                count=figure(len(self.entry.value or b"")),
                length=figure(self.entry.length or 0),
            )
            if part
            else ""
        )
        notes = joined(note, self.note, cut_off)
        return Decoded(
            self.cls.slug, self.cls.title, self.kind, cut(label), "malformed" if broken else value_label, fields or {}, parts,
            () if broken else value_parts, secret_key, secret_value, self.cls.personal, "" if broken or part else editable,
            self.unverified, notes, broken or problem,
        )  # fmt: skip


Sees = Literal["length", "window", "key"]
"""The first byte and the length; also whether a window's number is at the end; the whole key."""


class Rule(NamedTuple):
    """Which keys a reader understands. `shape` looks at the whole key and must be cheap: a census asks it of every key."""

    cls: KeyClass
    first: bytes
    """First bytes the rule looks at, one a byte; empty for any."""
    shape: Callable[[bytes], bool]
    read: Callable[[Reading], Decoded]
    kind: Kind
    since: int = 11
    """Minor versions that write this layout."""
    until: int = 16
    verified: frozenset[int] = frozenset()
    """Minor versions with a captured row that the reader was checked against, and those between two with the same layout."""
    text: bool = False
    """A text prefix of 0.10."""
    loose: bool = False
    """The shape proves little; used only for stores of the versions that write it."""
    sees: Sees = "key"
    """How much of a key the shape looks at."""
    every: Callable[[Sequence[bytes]], bool] | None = None
    """Whether all of many keys have the shape, much cheaper than asking of each; may say no where it is not sure."""
    prefix: bytes = b""
    """What every key of the rule begins with, beyond the first byte."""


def rule(
    cls: KeyClass,
    shape: Callable[[bytes], bool],
    read: Callable[[Reading], Decoded],
    *,
    kind: Kind | None = None,
    since: int = 11,
    until: int = 16,
    verified: tuple[int, ...] = (),
    sees: Sees = "key",
    every: Callable[[Sequence[bytes]], bool] | None = None,
) -> Rule:
    """A rule for keys with the class's own first byte."""
    assert cls.byte is not None
    first = bytes([cls.byte])
    return Rule(cls, first, shape, read, kind or cls.kind, since, until, frozenset(verified), sees=sees, every=every, prefix=first)


def every_text(keys: Sequence[bytes]) -> bool:
    """Whether all keys are their first byte, a control character, and some printable text. A million bytes take a few milliseconds."""
    return min(map(len, keys)) > 1 and every_joined_text(b"".join(keys), keys[0][0], len(keys))


def every_joined_text(joined: bytes, first: int, count: int) -> bool:
    """The same of so many keys in one piece: the first byte, being ASCII, keeps halves of a character from meeting."""
    marks = bytes([first])
    if joined.translate(None, _PRINTABLE) == marks * count:
        return marks * 2 not in joined and not joined.endswith(marks)
    text, head = utf8(joined), chr(first)
    if text is None or text.count(head) != count or head * 2 in text or text.endswith(head):
        return False
    return text.replace(head, "").isprintable()


ALL_LATER: Final = (11, 12, 13, 14, 15, 16)
"""Captured in 0.11, 0.15 and 0.16 with the same layout."""
