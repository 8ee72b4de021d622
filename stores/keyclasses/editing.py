"""From a small form back to bytes, for the values that are safe to edit; and keys from their parts.

Input is text as a form sends it; BadConfig names the field. What is not here is edited as hex only.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Final

from stores.codecs.bincode import Variable, detect, encode_variable_1, encode_variable_2
from stores.codecs.numbers import I64_MAX, I64_MIN, U32_MAX
from stores.errors import BadConfig
from stores.keyclasses import bayes, reputation
from stores.keyclasses.base import Decoded, EditorField, minor
from stores.texts import figure, say
from stores.types import Entry

_WEIGHT_HELP: Final = say("trained messages")
_COUNT: Final = EditorField("count", say("Messages"), minimum=0, maximum=U32_MAX)
_SCORE: Final = EditorField("score", say("Score in all"), "number", say("the sum over the messages, above 0 leans to spam"))

_FORMS: Final[Mapping[str, tuple[EditorField, ...]]] = {
    "reputation": (_COUNT, _SCORE),
    "reputation-sieve": (_COUNT, _SCORE),
    "greylist": (),
    "trusted-reply": (),
    "counter": (EditorField("count", say("Number"), minimum=I64_MIN, maximum=I64_MAX),),
    "bayes-weights": (
        EditorField("ham", say("Ham"), help=_WEIGHT_HELP, minimum=0, maximum=U32_MAX),
        EditorField("spam", say("Spam"), help=_WEIGHT_HELP, minimum=0, maximum=U32_MAX),
    ),
    "sieve-value": (
        EditorField(
            "type", say("Written as"), "choice", say("plain is what expressions write; the others are values of Sieve scripts"),
            (say("plain"), say("text"), say("integer"), say("float"), say("list")),
        ),
        EditorField("value", say("Value"), "lines", say('a list as JSON: ["a", 2, 3.5]')),
    ),
}  # fmt: skip

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")


def editor_fields(editable: str) -> tuple[EditorField, ...]:
    """The inputs of a form; empty for values that are always empty. Raises BadConfig for an unknown form."""
    fields = _FORMS.get(editable)
    if fields is None:
        raise BadConfig(say("There is no editor %(editable)s.", editable=repr(editable)), say("Edit the value as hex."), field="editable")
    return fields


def editor_values(decoded: Decoded, entry: Entry) -> dict[str, str]:
    """What the form of a key shows at first, in full; `encode` of it gives the same bytes back."""
    if decoded.editable != "sieve-value":
        return {field.name: _shown_value(decoded.fields.get(field.name)) for field in editor_fields(decoded.editable)}
    encoding, value = detect(entry.value or b"")
    if isinstance(value, list):
        return {"type": "list", "value": json.dumps(value, ensure_ascii=False)}
    if isinstance(value, str):
        return {"type": "plain" if encoding == "text" else "text", "value": value}
    return {"type": "float" if isinstance(value, float) else "integer", "value": repr(value)}


def _shown_value(value: object) -> str:
    return "" if value is None else str(value)


def encode(editable: str, fields: Mapping[str, str], version: str) -> bytes | int:
    """The payload, or the number of a counter, that the form describes. Raises BadConfig that names the field."""
    editor_fields(editable)
    return _ENCODERS[editable](fields, version)


def _reputation(fields: Mapping[str, str], version: str) -> bytes:
    return reputation.pack(integer(fields, "count", 0, U32_MAX), _number(fields, "score"))


def _reputation_sieve(fields: Mapping[str, str], version: str) -> bytes:
    return encode_variable_1([_number(fields, "score"), integer(fields, "count", 0, U32_MAX)])


def _nothing(fields: Mapping[str, str], version: str) -> bytes:
    return b""


def _counter(fields: Mapping[str, str], version: str) -> int:
    return integer(fields, "count", I64_MIN, I64_MAX)


def _weights(fields: Mapping[str, str], version: str) -> int:
    return bayes.join_weights(integer(fields, "ham", 0, U32_MAX), integer(fields, "spam", 0, U32_MAX))


def _sieve_value(fields: Mapping[str, str], version: str) -> bytes:
    kind, text = fields.get("type", "text"), fields.get("value", "")
    if kind == "plain":
        return _bytes_of(text)
    if kind == "text" and not text:
        return b""
    value = _variable(kind, text, fields)
    return encode_variable_1(value) if minor(version) < 12 else encode_variable_2(value)


def _bytes_of(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise BadConfig(
            say("The text cannot be stored as UTF-8."), say("Remove the broken characters, or edit it as hex."), field="value"
        ) from None


def _variable(kind: str, text: str, fields: Mapping[str, str]) -> Variable:
    if kind == "text":
        return _bytes_of(text).decode()
    if kind == "integer":
        return integer(fields, "value", I64_MIN, I64_MAX)
    if kind == "float":
        return _number(fields, "value")
    if kind != "list":
        raise BadConfig(
            say("%(kind)s is no type of value.", kind=repr(kind)), say("Choose plain, text, integer, float or list."), field="type"
        )
    try:
        found = json.loads(text or "[]", parse_constant=_no_constant)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise BadConfig(say("The list is not valid JSON."), say('Write it like ["a", 2, 3.5].'), field="value")
    return [_item(item, 1) for item in found]


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _item(item: object, depth: int) -> Variable:
    if isinstance(item, bool):
        return int(item)
    if isinstance(item, str):
        return _bytes_of(item).decode()
    if isinstance(item, int) and I64_MIN <= item <= I64_MAX:
        return item
    if isinstance(item, float) and math.isfinite(item):
        return item
    if isinstance(item, list) and depth < 8:
        return [_item(inner, depth + 1) for inner in item]
    raise BadConfig(
        say("The list holds something a Sieve value cannot be."),
        say("Use texts, 64-bit integers, numbers and lists of them."),
        field="value",
    )


def integer(fields: Mapping[str, str], name: str, lowest: int, highest: int) -> int:
    """A whole number of a form. Raises BadConfig that names the field and the range."""
    text = fields.get(name, "").strip()
    number = int(text) if _INTEGER.fullmatch(text) else None
    if number is None or not lowest <= number <= highest:
        wrong = say(
            "%(text)s is not a whole number between %(lowest)s and %(highest)s.",
            text=repr(text),
            lowest=figure(lowest),
            highest=figure(highest),
        )
        fix = say("Give a whole number from %(lowest)s to %(highest)s.", lowest=lowest, highest=highest)
        raise BadConfig(wrong if text else say("A whole number is missing."), fix, field=name)
    return number


def _number(fields: Mapping[str, str], name: str) -> float:
    text = fields.get(name, "").strip()
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or "_" in text:
        raise BadConfig(
            say("%(text)s is not a number.", text=repr(text)) if text else say("A number is missing."),
            say("Give a number such as -3.5."),
            field=name,
        )
    return number


_ENCODERS: Final[Mapping[str, Callable[[Mapping[str, str], str], bytes | int]]] = {
    "reputation": _reputation,
    "reputation-sieve": _reputation_sieve,
    "greylist": _nothing,
    "trusted-reply": _nothing,
    "counter": _counter,
    "bayes-weights": _weights,
    "sieve-value": _sieve_value,
}
