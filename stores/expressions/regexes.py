"""Regular expressions as Stalwart's engine reads them, on the `regex` package, with a time limit (expressions.md 1.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import regex

from stores.expressions.errors import LimitReached, ParseError

SECONDS = 1.0
"""Longest single match; the engine here backtracks, Stalwart's does not."""

_LETTER_ESCAPES = frozenset("dDwWsSbBAzpPxuUnrtfva")
_LOOKAROUND = ("(?=", "(?!", "(?<=", "(?<!", "(?>", "(?(", "(?|", "(?R", "(?0", "(?&", "(?P>", "(?P=", "(*")


@dataclass(frozen=True, slots=True)
class Regex:
    """A compiled pattern; search is unanchored."""

    pattern: str
    compiled: Any

    @classmethod
    def compile(cls, pattern: str, at: int = 0) -> Regex:
        """Raises ParseError for what Stalwart's engine refuses too: look-around, back-references, unknown escapes."""
        try:
            return cls(pattern, regex.compile(_translate(pattern, at), regex.VERSION1 | regex.UNICODE))
        except regex.error as error:
            raise ParseError(f"Invalid regular expression: {error}", at) from None

    def groups(self, value: str) -> list[str] | None:
        """Group 0 to n of the first match, unmatched groups as empty text; None without a match. Raises LimitReached."""
        try:
            found = self.compiled.search(value, timeout=SECONDS)
        except TimeoutError:
            raise LimitReached(f"The regular expression took longer than {SECONDS:g} s") from None
        return None if found is None else [found.group(0), *(group or "" for group in found.groups())]


def _translate(pattern: str, at: int) -> str:
    """The same pattern in the dialect of the `regex` package."""
    out: list[str] = []
    i, in_class = 0, 0
    while i < len(pattern):
        char = pattern[i]
        if char == "\\":
            piece, i = _escape(pattern, i, at)
            out.append(piece)
            continue
        if char == "[":
            in_class += 1
        elif char == "]" and in_class:
            in_class -= 1
        elif not in_class and char == "$":
            out.append(r"\Z")
            i += 1
            continue
        elif not in_class and char == "(" and pattern.startswith(_LOOKAROUND, i):
            raise ParseError("Invalid regular expression: look-around and back-references are not supported", at)
        elif not in_class and char == "(" and pattern.startswith("(?<", i):
            out.append("(?P<")
            i += 3
            continue
        elif not in_class and char in "*+?}" and pattern.startswith("+", i + 1):
            # A second + repeats the repetition there and makes it possessive here: let it repeat an empty group instead.
            char += "(?:)"
        out.append(char)
        i += 1
    return "".join(out)


def _escape(pattern: str, i: int, at: int) -> tuple[str, int]:
    if i + 1 >= len(pattern):
        raise ParseError("Invalid regular expression: incomplete escape sequence", at)
    char = pattern[i + 1]
    if char == "z":
        return r"\Z", i + 2
    if char.isascii() and char.isdigit():
        raise ParseError("Invalid regular expression: back-references are not supported", at)
    if char.isascii() and char.isalpha():
        if char not in _LETTER_ESCAPES:
            raise ParseError(f"Invalid regular expression: unrecognized escape \\{char}", at)
        if char in "pPxuU":
            end = pattern.find("}", i) + 1 if pattern.startswith("{", i + 2) else 0
            if char == "x" and end:
                code = pattern[i + 3 : end - 1]
                return (f"\\U{int(code, 16):08x}", end) if code and all(c in "0123456789abcdefABCDEF" for c in code) else ("\\x", i + 2)
        return "\\" + char, i + 2
    return regex.escape(char, special_only=False), i + 2
