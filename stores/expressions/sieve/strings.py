"""Text of scripts: literals, modifiers of `set`, wildcards."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

from stores.expressions.values import Value, plain_float


def literal(source: str) -> Value:
    """A number when the text is exactly how that number is written, else the text."""
    if re.fullmatch(r"-?[0-9]{1,19}", source) and str(int(source)) == source:
        return int(source)
    if re.fullmatch(r"-?[0-9]+\.[0-9]+", source) and plain_float(float(source)) == source:
        return float(source)
    return source


def coded(kind: str, codes: list[str]) -> str:
    """The text of `${hex:41 42}` or `${unicode:40}`; bytes that are no UTF-8 become U+FFFD. Empty for what names no characters."""
    try:
        numbers = [int(code, 16) for code in codes]
        if kind == "hex":
            return bytes(numbers).decode("utf-8", "replace")
        return "".join(map(chr, numbers)).encode().decode()
    except (ValueError, OverflowError):
        return ""


def modified(source: str, modifiers: tuple[str, ...], replaced: tuple[str, str]) -> str:
    steps: list[tuple[str, Callable[[str], str]]] = [
        (":replace", lambda s: s.replace(*replaced) if replaced[0] else s),
        (":lower", str.lower),
        (":upper", str.upper),
        (":lowerfirst", lambda s: s[:1].lower() + s[1:]),
        (":upperfirst", lambda s: s[:1].upper() + s[1:]),
        (":quotewildcard", lambda s: re.sub(r"([*?\\])", r"\\\1", s)),
        (":quoteregex", lambda s: re.sub(r"([.^$*+?()\[\]{}|\\])", r"\\\1", s)),
        (":encodeurl", lambda s: re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), quote(s, safe="-._~"))),
        (":length", lambda s: str(len(s))),
    ]
    for name, step in steps:
        if name in modifiers:
            source = step(source)
    return source


def glob(pattern: str, octet: bool) -> str:
    """Sieve wildcards as a regular expression; each wildcard is a group."""
    out, escaped = ["^" if octet else "(?is)^"], False
    for char in pattern:
        if escaped or char not in "*?\\":
            out.append("\\" + char if not (char.isalnum() or ord(char) > 127) and char.isascii() else char)
            escaped = False
        elif char == "\\":
            escaped = True
        else:
            out.append("(.*?)" if char == "*" else "(.)")
    return "".join(out) + "$"
