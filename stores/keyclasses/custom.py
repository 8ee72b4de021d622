"""Keys without a class: what expressions and Sieve scripts keep under names of their own (store-formats c.9, e.3), and static entries.

Expressions write plain text. Sieve writes bincode: version 1 up to 0.11, version 2 from 0.12 on, and each misreads the other's.
"""

from __future__ import annotations

from typing import Final

from stores.codecs.bincode import Encoding, Variable, detect
from stores.keyclasses.base import Decoded, FieldValue, KeyClass
from stores.keyclasses.reading import Reading, decimal
from stores.keyclasses.words import finite, shown
from stores.texts import counted, figure, joined, say
from stores.types import Kind

CUSTOM: Final = KeyClass(
    None, say("Your own keys"), say("set by Sieve and expressions"), "expressions", "custom", None, Kind.UNKNOWN, "0.10"
)
STATIC: Final = KeyClass(None, say("Static entries"), say("answers from the configuration"), "static", "custom", None, Kind.VALUE, "0.10")

_NAMES: Final = {str: say("text"), int: say("integer"), float: say("float"), list: say("list")}
_PREVIEW: Final = 1000
"""Characters of a value that `fields` carries."""
_LARGE: Final = 1 << 16
"""Bytes above which a list is not taken apart for a table."""


def own_encoding(minor: int) -> Encoding:
    """How Sieve of that version encodes."""
    return "bincode 1" if minor < 12 else "bincode 2"


def variable_words(value: Variable, longest: int = 80) -> str:
    """A Sieve value on one line: text in quotes, numbers as they are, lists in brackets."""
    if isinstance(value, str):
        return f"“{shown(value[: longest * 2].encode(errors='replace'), longest)}”"
    if isinstance(value, list):
        words, left = [], longest
        for item in value:
            if left <= 0:
                words.append("…")
                break
            words.append(variable_words(item, left))
            left -= len(words[-1]) + 2
        return f"[{', '.join(words)}]"
    return repr(value)


def _flat(value: Variable) -> FieldValue:
    """A value as a field holds it: lists become lists of words."""
    if isinstance(value, list):
        return [item if isinstance(item, str) else variable_words(item) for item in value[:_PREVIEW]]
    if isinstance(value, str):
        return value[:_PREVIEW]
    return finite(value) if isinstance(value, float) else value


def read_value(payload: bytes, minor: int) -> tuple[str, dict[str, FieldValue], str, str]:
    """(words, fields, editor, note) of a payload of unknown origin."""
    encoding, value = detect(payload) if len(payload) <= _LARGE or payload[:1] != b"\x03" else ("binary", None)
    fields: dict[str, FieldValue] = {"encoding": encoding}
    if encoding == "empty":
        return say("empty"), fields | {"type": say("text"), "value": ""}, "sieve-value", ""
    if value is None:
        return counted(len(payload), "byte"), fields | {"type": say("binary")}, "", ""
    fields |= {"type": _NAMES[type(value)], "value": _flat(value)}
    if encoding == "text":
        return variable_words(value), fields, "sieve-value", ""
    words = variable_words(value)
    if encoding != own_encoding(minor):
        other = say("0.11 or earlier") if encoding == "bincode 1" else say("0.12 or later")
        return words, fields, "sieve-value", say("Written by Sieve of Stalwart %(other)s; Sieve of this version misreads it.", other=other)
    return words, fields, "sieve-value", ""


def read_custom(reading: Reading) -> Decoded:
    """A user key: total on any bytes."""
    key, entry = reading.key, reading.entry
    label = shown(key) if key else say("(empty key)")
    fields: dict[str, FieldValue] = {"key": shown(key)}
    parts = ((0, len(key), "name"),) if key else ()
    if entry.kind is Kind.COUNTER or (entry.value is None and entry.counter is not None):
        told = say("no number") if entry.counter is None else figure(entry.counter)
        return reading.decoded(
            label, told, fields | {"count": entry.counter}, parts=parts, editable="counter", problem=reading.number_problem
        )  # fmt: skip
    if entry.value is None:
        return reading.decoded(label, say("no value"), fields, parts=parts)
    words, more, editor, note = read_value(entry.value, reading.minor)
    number = decimal(entry.value) if reading.store == "redis" else None
    if number is not None:
        words, more = figure(number), more | {"number": number}
        note = note or say("On Redis a counter and a text of digits look alike.")
    if entry.counter is not None:
        more["count"] = entry.counter
        note = joined(note, say("The same key is also a counter: %(count)s.", count=figure(entry.counter)))
    if entry.length is not None:
        words = say("%(bytes)s, beginning %(words)s", bytes=counted(entry.length, "byte"), words=words)
    value_parts = _value_parts(entry.value, more) if more.get("encoding") in ("bincode 1", "bincode 2") else ()
    return reading.decoded(label, words, fields | more, parts=parts, value_parts=value_parts, editable=editor, note=note)


def _value_parts(payload: bytes, fields: dict[str, FieldValue]) -> tuple[tuple[int, int, str], ...]:
    """Tag and content of a Sieve value, and the length between them."""
    tag = 4 if fields["encoding"] == "bincode 1" else 1
    parts = [(0, tag, say("type, %(type)s", type=fields["type"]))]
    if fields["type"] in ("text", "list"):
        width = 8 if tag == 4 else {0xFB: 3, 0xFC: 5, 0xFD: 9}.get(payload[1], 1)
        parts.append((tag, tag + width, say("length")))
        tag += width
    if tag < len(payload):
        parts.append((tag, len(payload), say("content")))
    return tuple(parts)


def read_static(reading: Reading) -> Decoded:
    """An entry of a static store: text both."""
    key, value = reading.key, reading.entry.value
    words = f"“{shown(value, 80)}”" if value else say("empty") if value is not None else say("no value")
    fields: dict[str, FieldValue] = {"key": shown(key), "value": shown(value or b"")}
    return reading.decoded(shown(key) if key else say("(empty key)"), words, fields)
