"""Values of the expression language, their conversions and operators (expressions.md 2).

A value is a str, an int (signed 64 bit), a float or a list of values. There are no booleans: comparisons give 1 or 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Final

Value = str | int | float | list["Value"]
"""Lists may nest; nothing here recurses deeper than the expression that built them."""

EMPTY: Final = ""
I64_MIN: Final = -(1 << 63)
I64_MAX: Final = (1 << 63) - 1
U64: Final = 1 << 64

_INTEGER = re.compile(r"[+-]?[0-9]+")
_UNSIGNED = re.compile(r"\+?[0-9]+")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NAMED_FLOAT = re.compile(r"[+-]?(?:inf|infinity|nan)", re.IGNORECASE)


def saturate(number: int) -> int:
    """Clamp to a signed 64-bit integer."""
    return max(I64_MIN, min(I64_MAX, number))


def from_json(value: object, depth: int = 0) -> Value:
    """A value of the language from one of JSON: truth is 1 and 0, an integer beyond 64 bits a float; null, objects and arrays nested
    over 32 deep are empty text, half a surrogate pair is the replacement character."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int):
        return int(value) if I64_MIN <= value <= I64_MAX else float(value) if abs(value) < 1 << 1023 else math.inf
    if isinstance(value, float):
        return value
    if isinstance(value, list) and depth < 32:
        return [from_json(element, depth + 1) for element in value]
    return EMPTY


def truth(value: Value) -> bool:
    """Non-empty text or array, non-zero number; NaN is true, '0' and 'false' are true."""
    return value != 0 if isinstance(value, (int, float)) else len(value) > 0


def number(value: Value) -> int | float:
    """The number a value counts as: text that is no number is 0, an array is 1 if empty and else 0."""
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, list):
        return 0 if value else 1
    if _INTEGER.fullmatch(value):
        whole = int(value) if len(value) < 25 else I64_MAX + 1
        if I64_MIN <= whole <= I64_MAX:
            return whole
    if _FLOAT.fullmatch(value) or _NAMED_FLOAT.fullmatch(value):
        return float(value)
    return 0


def integer(value: Value) -> int | None:
    """For counters and counts: floats truncated and saturated, text only as plain digits, else None."""
    if isinstance(value, float):
        if math.isnan(value):
            return 0
        return saturate(int(value)) if math.isfinite(value) else (I64_MAX if value > 0 else I64_MIN)
    if isinstance(value, int):
        return value
    if isinstance(value, str) and len(value) < 25 and _INTEGER.fullmatch(value):
        whole = int(value)
        return whole if I64_MIN <= whole <= I64_MAX else None
    return None


def unsigned(value: Value) -> int | None:
    """For indexes: negative integers become huge, negative floats 0, text only as digits, else None."""
    if isinstance(value, float):
        return min(int(value), U64 - 1) if math.isfinite(value) and value > 0 else (U64 - 1 if value == math.inf else 0)
    if isinstance(value, int):
        return value % U64
    if isinstance(value, str) and len(value) < 25 and _UNSIGNED.fullmatch(value):
        whole = int(value)
        return whole if whole < U64 else None
    return None


def array(value: Value) -> list[Value]:
    """An array as it is, empty text as no elements, anything else as one element."""
    if isinstance(value, list):
        return value
    return [] if value == "" and isinstance(value, str) else [value]


def plain_float(value: float) -> str:
    """Shortest round-trip digits without exponent and without a trailing `.0` (every version inside `+`, and up to 0.11)."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def scientific_float(value: float) -> str:
    """The form of 0.15 and later in function arguments: `.0` kept, an exponent outside -5 < p <= 16."""
    if not math.isfinite(value):
        return plain_float(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    point = len(digits) + exponent
    prefix = "-" if sign else ""
    if not any(digits):
        return prefix + "0.0"
    if -5 < point <= 16:
        text = plain_float(value)
        return text if "." in text else text + ".0"
    mantissa = str(digits[0]) + ("." + "".join(map(str, digits[1:])) if len(digits) > 1 else "")
    return f"{prefix}{mantissa}e{point - 1}"


FloatText = Callable[[float], str]


def text(value: Value, float_text: FloatText = plain_float) -> str:
    """A value as text; arrays join their elements with CRLF, nested arrays contribute nothing."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, int):
        return str(value)
    joined = ""
    for element in value:
        if joined:
            joined += "\r\n"
        if not isinstance(element, list):
            joined += text(element, float_text)
    return joined


def add(left: Value, right: Value) -> Value:
    """`+`: numbers add, arrays append, text concatenates; empty text leaves the other side untouched."""
    if isinstance(left, int) and isinstance(right, int):
        return saturate(left + right)
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return float(left) + float(right)
    if isinstance(left, list):
        return [*left, *right] if isinstance(right, list) else [*left, right]
    if isinstance(right, list):
        return [left, *right]
    if isinstance(left, str):
        return left + text(right) if left else right
    if isinstance(right, str):
        return text(left) + right if right else left
    return EMPTY


def subtract(left: Value, right: Value) -> Value:
    """`-`: numbers subtract; from an array the elements equal to the other side are dropped."""
    if isinstance(left, int) and isinstance(right, int):
        return saturate(left - right)
    if isinstance(left, list):
        return [element for element in left if not equal(element, right)]
    if isinstance(right, list):
        return [element for element in right if not equal(element, left)]
    a, b = number(left), number(right)
    return saturate(a - b) if isinstance(a, int) and isinstance(b, int) else float(a) - float(b)


def multiply(left: Value, right: Value) -> Value:
    """`*`: integers saturate, everything else counts as its number."""
    a, b = number(left), number(right)
    return saturate(a * b) if isinstance(a, int) and isinstance(b, int) else float(a) * float(b)


def divide(left: Value, right: Value) -> Value:
    """`/`: always a float; a zero divisor gives 0.0."""
    a, b = float(number(left)), float(number(right))
    return a / b if b != 0.0 else 0.0


def negate(value: Value) -> Value:
    """Unary `-`: the smallest integer wraps, everything else is the negated number."""
    found = number(value)
    if isinstance(found, int):
        return I64_MIN if found == I64_MIN else -found
    return -found


def equal(left: Value, right: Value) -> bool:
    """`=`: text with a number compares the text's number; arrays element by element; unlike types are unequal."""
    if isinstance(left, list) or isinstance(right, list):
        if not (isinstance(left, list) and isinstance(right, list)):
            return False
        return len(left) == len(right) and all(equal(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    a, b = number(left), number(right)
    return a == b if isinstance(a, int) and isinstance(b, int) else float(a) == float(b)


def compare(left: Value, right: Value) -> int | None:
    """-1, 0 or 1, None when nothing can be said (NaN)."""
    if isinstance(left, list) and isinstance(right, list):
        for a, b in zip(left, right, strict=False):
            order = compare(a, b)
            if order != 0:
                return order
        return (len(left) > len(right)) - (len(left) < len(right))
    if isinstance(left, list):
        return 1
    if isinstance(right, list):
        return 1 if isinstance(left, str) else -1
    if isinstance(left, str) and isinstance(right, str):
        return (left > right) - (left < right)
    a, b = number(left), number(right)
    if not (isinstance(a, int) and isinstance(b, int)):
        a, b = float(a), float(b)
        if math.isnan(a) or math.isnan(b):
            return None
    return (a > b) - (a < b)
