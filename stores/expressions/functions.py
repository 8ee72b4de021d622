"""The pure functions of the expression language (expressions.md 3.1 to 3.4)."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Final

from stores.expressions.errors import EvalError, LimitReached
from stores.expressions.values import EMPTY, FloatText, Value, array, compare, equal, integer, plain_float, text, truth, unsigned

WHITE_SPACE: Final = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""Unicode White_Space: what Stalwart trims and splits at."""

MAX_PARTS: Final = 100_000
"""Most elements one call may produce."""


@dataclass(frozen=True, slots=True)
class Style:
    """What depends on Stalwart's version."""

    float_text: FloatText = plain_float
    true_sorts_descending: bool = True

    def text(self, value: Value) -> str:
        return text(value, self.float_text)


Function = Callable[[list[Value], Style], Value]


def _mapped(transform: Callable[[str], Value]) -> Function:
    """Applied to each element of an array, otherwise to the text of the value."""

    def apply(arguments: list[Value], style: Style) -> Value:
        value = arguments[0]
        if isinstance(value, list):
            return [transform(style.text(element)) for element in value]
        return transform(style.text(value))

    return apply


def _mapped_with(transform: Callable[[str, str], Value]) -> Function:
    def apply(arguments: list[Value], style: Style) -> Value:
        value, other = arguments[0], style.text(arguments[1])
        if isinstance(value, list):
            return [transform(style.text(element), other) for element in value]
        return transform(style.text(value), other)

    return apply


def _of_text(transform: Callable[[str], Value]) -> Function:
    return lambda arguments, style: transform(style.text(arguments[0]))


def _of_texts(transform: Callable[[str, str], Value]) -> Function:
    return lambda arguments, style: transform(style.text(arguments[0]), style.text(arguments[1]))


def ascii_lower(value: str) -> str:
    """Lower-case only A to Z."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in value)


def _length(arguments: list[Value], style: Style) -> Value:
    value = arguments[0]
    return len(value) if isinstance(value, list) else len(style.text(value).encode())


def _contains(arguments: list[Value], style: Style) -> Value:
    value, wanted = arguments
    if isinstance(value, list):
        return int(any(equal(element, wanted) for element in value))
    return int(style.text(wanted) in style.text(value))


def _contains_ignore_case(arguments: list[Value], style: Style) -> Value:
    value, wanted = arguments[0], style.text(arguments[1])
    if isinstance(value, list):
        return int(any(isinstance(e, str) and ascii_lower(e) == ascii_lower(wanted) for e in value))
    if isinstance(value, str):
        return int(wanted.lower() in value.lower())
    return int(wanted in style.text(value))


def _lines(arguments: list[Value], style: Style) -> Value:
    value = arguments[0]
    if not isinstance(value, str):
        return value
    parts = value.split("\n")
    last = parts.pop()
    lines: list[Value] = [part[:-1] if part.endswith("\r") else part for part in parts]
    return [*lines, last] if last else lines


def _substring(arguments: list[Value], style: Style) -> Value:
    start, length = unsigned(arguments[1]) or 0, unsigned(arguments[2]) or 0
    return style.text(arguments[0])[start : start + length]


def _parts(value: str, separator: str) -> list[Value]:
    parts: list[Value] = ["", *value, ""] if not separator else list(value.split(separator))
    if len(parts) > MAX_PARTS:
        raise LimitReached(f"split made more than {MAX_PARTS} parts")
    return parts


def _split_once(value: str, separator: str) -> Value:
    head, found, tail = value.partition(separator) if separator else ("", "x", value)
    return [head, tail] if found else EMPTY


def _rsplit_once(value: str, separator: str) -> Value:
    head, found, tail = value.rpartition(separator) if separator else (value, "x", "")
    return [head, tail] if found else EMPTY


def _split_n(arguments: list[Value], style: Style) -> Value:
    value, separator, times = style.text(arguments[0]), style.text(arguments[1]), integer(arguments[2]) or 0
    if not separator:
        if not 0 <= times <= MAX_PARTS:
            raise EvalError("split_n with an empty separator and no small limit never ends")
        return [*([EMPTY] * times), value]
    return list(value.split(separator, times))


def _split_words(value: str) -> Value:
    return [word for word in _split_white(value) if word.isalnum()]


def _split_white(value: str) -> list[str]:
    return value.translate(dict.fromkeys(map(ord, WHITE_SPACE), " ")).split(" ")


def _hash(value: str, algorithm: str) -> Value:
    if algorithm not in ("md5", "sha1", "sha256", "sha512"):
        return EMPTY
    return hashlib.new(algorithm, value.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def _sort(arguments: list[Value], style: Style) -> Value:
    flag = truth(arguments[1])
    sign = -1 if flag is style.true_sorts_descending else 1

    def order(a: Value, b: Value) -> int:
        found = compare(a, b) if sign > 0 else compare(b, a)
        return 1 if found is None else found

    return sorted(array(arguments[0]), key=cmp_to_key(order))


def _dedup(arguments: list[Value], style: Style) -> Value:
    kept: list[Value] = []
    for element in array(arguments[0]):
        if not any(equal(element, other) for other in kept):
            kept.append(element)
        if len(kept) > 2000:
            raise LimitReached("dedup met more than 2000 different elements")
    return kept


def _count(arguments: list[Value], style: Style) -> Value:
    value = arguments[0]
    return len(value) if isinstance(value, list) else int(value != "" or not isinstance(value, str))


def _winnow(arguments: list[Value], style: Style) -> Value:
    value = arguments[0]
    return [element for element in value if element != ""] if isinstance(value, list) else value


def _is_intersect(arguments: list[Value], style: Style) -> Value:
    left, right = arguments
    if isinstance(left, list) and isinstance(right, list):
        return int(any(equal(a, b) for a in left for b in right))
    if isinstance(left, list):
        return int(any(equal(a, right) for a in left))
    return int(isinstance(right, list) and any(equal(left, b) for b in right))


def _email_part(value: str, part: str) -> Value:
    local, found, domain = value.rpartition("@")
    if not found or part not in ("local", "domain"):
        return EMPTY
    return (local if part == "local" else domain).strip(WHITE_SPACE)


_ATEXT = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~")


def is_email(value: str) -> bool:
    """Stalwart's byte scan, not RFC 5321: `john.@example.org` passes, `a@b` does not (expressions.md 3.3)."""
    ats = dots = size = local = 0
    quoted, last = False, 0
    for byte in value.encode():
        if byte in _ATEXT or byte >= 0x7F:
            size += 1
        elif byte == ord(".") and not quoted:
            if last in (ord("."), ord("@")) or size == 0:
                return False
            size += 1
            dots += ats == 1
        elif byte == ord("@") and not quoted:
            ats, local, size = ats + 1, size, 0
        elif byte == ord('"') and (not quoted or last != ord("\\")):
            quoted = not quoted
        elif quoted and byte in b">:, ":
            size += 1
        elif not quoted:
            return False
        last = byte
    return ats == 1 and dots > 0 and local > 0 and size > 0


def _address(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return None if "%" in value else ipaddress.ip_address(value)
    except ValueError:
        return None


def _ip_reverse_name(value: str) -> Value:
    address = _address(value)
    if address is None:
        return EMPTY
    return address.reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")


def is_ip_in_cidr(value: str, network: str) -> Value:
    """Since 0.16: v4 /8 to /32, v6 /8 to /128, a bare address is exact; a v4-mapped address matches a v4 mask."""
    address = _address(value)
    try:
        net = ipaddress.ip_network(network, strict=False)
    except ValueError:
        return 0
    if address is None or net.prefixlen < 8:
        return 0
    if isinstance(address, ipaddress.IPv6Address) and net.version == 4 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return int(address.version == net.version and address in net)


def _cased(wanted: Callable[[str], bool]) -> Callable[[str], Value]:
    return lambda value: int(all(wanted(c) for c in value if c.isalpha()))


def _if_then(arguments: list[Value], style: Style) -> Value:
    return arguments[1] if truth(arguments[0]) else arguments[2]


PURE: Final[Mapping[str, tuple[int, Function]]] = {
    "trim": (1, _mapped(lambda v: v.strip(WHITE_SPACE))),
    "trim_start": (1, _mapped(lambda v: v.lstrip(WHITE_SPACE))),
    "trim_end": (1, _mapped(lambda v: v.rstrip(WHITE_SPACE))),
    "to_lowercase": (1, _mapped(str.lower)),
    "to_uppercase": (1, _mapped(str.upper)),
    "is_uppercase": (1, _mapped(_cased(str.isupper))),
    "is_lowercase": (1, _mapped(_cased(str.islower))),
    "has_digits": (1, _mapped(lambda v: int(any("0" <= c <= "9" for c in v)))),
    "len": (1, _length),
    "count_chars": (1, _of_text(len)),
    "count_spaces": (1, _of_text(lambda v: sum(c in WHITE_SPACE for c in v))),
    "count_uppercase": (1, _of_text(lambda v: sum(c.isalpha() and c.isupper() for c in v))),
    "count_lowercase": (1, _of_text(lambda v: sum(c.isalpha() and c.islower() for c in v))),
    "contains": (2, _contains),
    "contains_ignore_case": (2, _contains_ignore_case),
    "eq_ignore_case": (2, _of_texts(lambda a, b: int(ascii_lower(a) == ascii_lower(b)))),
    "starts_with": (2, _of_texts(lambda a, b: int(a.startswith(b)))),
    "ends_with": (2, _of_texts(lambda a, b: int(a.endswith(b)))),
    "lines": (1, _lines),
    "substring": (3, _substring),
    "strip_prefix": (2, _mapped_with(lambda v, p: v[len(p) :] if v.startswith(p) else EMPTY)),
    "strip_suffix": (2, _mapped_with(lambda v, p: v[: len(v) - len(p)] if v.endswith(p) else EMPTY)),
    "split": (2, _of_texts(_parts)),
    "rsplit": (2, _of_texts(lambda v, s: _parts(v, s)[::-1])),
    "split_once": (2, _of_texts(_split_once)),
    "rsplit_once": (2, _of_texts(_rsplit_once)),
    "split_n": (3, _split_n),
    "split_words": (1, _of_text(_split_words)),
    "hash": (2, _of_texts(_hash)),
    "count": (1, _count),
    "sort": (2, _sort),
    "dedup": (1, _dedup),
    "winnow": (1, _winnow),
    "is_intersect": (2, _is_intersect),
    "email_part": (2, _mapped_with(_email_part)),
    "is_email": (1, _of_text(lambda v: int(is_email(v)))),
    "is_ip_addr": (1, _of_text(lambda v: int(_address(v) is not None))),
    "is_ipv4_addr": (1, _of_text(lambda v: int(isinstance(_address(v), ipaddress.IPv4Address)))),
    "is_ipv6_addr": (1, _of_text(lambda v: int(isinstance(_address(v), ipaddress.IPv6Address)))),
    "ip_reverse_name": (1, _of_text(_ip_reverse_name)),
    "is_empty": (1, lambda arguments, style: int(isinstance(arguments[0], (str, list)) and not arguments[0])),
    "is_number": (1, lambda arguments, style: int(isinstance(arguments[0], (int, float)))),
    "if_then": (3, _if_then),
}
"""Name -> arity and implementation."""

LOOKUPS: Final[Mapping[str, int]] = {
    "key_get": 2,
    "key_exists": 2,
    "key_set": 3,
    "counter_incr": 3,
    "counter_get": 2,
    "sql_query": 3,
    "dns_query": 2,
    "is_local_domain": 2,
    "is_local_address": 2,
}
"""Functions that ask something outside the expression, with their arity up to 0.15."""
