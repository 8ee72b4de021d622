"""Tokens and tree of a script, with line and column of everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from stores.expressions.errors import ParseError
from stores.expressions.parser import Program

MAX_SCRIPT = 1 << 20
"""Stalwart's own limit, bytes."""


class SieveError(ParseError):
    """The script does not compile, or uses what is not run here; `line` from 1, `column` from 0."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"{message} at line {line}, column {column}.")
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is string, number, tag, word or punctuation (the character itself)."""

    kind: str
    text: str
    line: int
    column: int


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_PUNCTUATION = frozenset("{}()[],;")


class Reader:
    """Characters to tokens."""

    def __init__(self, source: str) -> None:
        if len(source) > MAX_SCRIPT:
            raise SieveError(f"The script is longer than {MAX_SCRIPT} bytes", 1, 0)
        self.source = source
        self.at = 0
        self.line = 1
        self.line_start = 0

    def tokens(self) -> Iterator[Token]:
        """All tokens; raises SieveError."""
        while self.at < len(self.source):
            char = self.source[self.at]
            line, column = self.line, self.at - self.line_start
            if char == "\n":
                self._advance(1)
            elif char in " \t\r":
                self.at += 1
            elif char == "#":
                self._skip_to("\n", len("\n"))
            elif self.source.startswith("/*", self.at):
                self._skip_to("*/", 2)
            elif char == '"':
                yield Token("string", self._quoted(), line, column)
            elif char in _PUNCTUATION:
                self.at += 1
                yield Token(char, char, line, column)
            elif char == ":" or char.isalnum() or char == "_":
                yield self._word(line, column)
            else:
                raise SieveError(f"Invalid character {char!r}", line, column)

    def _advance(self, count: int) -> None:
        for _ in range(count):
            if self.source[self.at] == "\n":
                self.line += 1
                self.line_start = self.at + 1
            self.at += 1

    def _skip_to(self, end: str, length: int) -> None:
        found = self.source.find(end, self.at)
        target = len(self.source) if found < 0 else found + length
        self._advance(target - self.at)

    def _quoted(self) -> str:
        """The backslash goes, and a doubled one still escapes what follows it."""
        out, last = [], ""
        line, column = self.line, self.at - self.line_start
        self.at += 1
        while self.at < len(self.source):
            char = self.source[self.at]
            self._advance(1)
            if last == "\\":
                out.append(_ESCAPES.get(char, char))
            elif char == '"':
                return "".join(out)
            elif char != "\\":
                out.append(char)
            last = char
        raise SieveError("Unterminated string", line, column)

    def _word(self, line: int, column: int) -> Token:
        start = self.at
        self.at += 1
        while self.at < len(self.source) and (self.source[self.at].isalnum() or self.source[self.at] in "_.-"):
            self.at += 1
        word = self.source[start : self.at]
        if word.lower() == "text" and self.source.startswith(":", self.at):
            return Token("string", self._multi_line(line, column), line, column)
        kind = "tag" if word.startswith(":") else "number" if word[0].isdigit() else "word"
        return Token(kind, word, line, column)

    def _multi_line(self, line: int, column: int) -> str:
        newline = self.source.find("\n", self.at)
        lines: list[str] = []
        at = newline + 1
        while newline >= 0 and at <= len(self.source):
            end = self.source.find("\n", at)
            end = len(self.source) if end < 0 else end
            content = self.source[at:end].removesuffix("\r")
            if content == ".":
                self._advance(min(end, len(self.source)) - self.at)
                return "".join(part + "\n" for part in lines)
            lines.append(content.removeprefix(".") if content.startswith("..") else content)
            if end >= len(self.source):
                break
            at = end + 1
        raise SieveError("Unterminated text block", line, column)


@dataclass(frozen=True, slots=True)
class Test:
    """A condition. `name` decides what `arguments` hold."""

    name: str
    token: Token
    program: Program | None = None
    children: tuple[Test, ...] = ()
    tags: tuple[str, ...] = ()
    comparator: str = "i;ascii-casemap"
    relation: str = ""
    values: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """One command with its blocks."""

    name: str
    token: Token
    target: str = ""
    text: str = ""
    modifiers: tuple[str, ...] = ()
    replace: tuple[str, str] = ("", "")
    program: Program | None = None
    branches: tuple[tuple[Test | None, tuple[Statement, ...]], ...] = ()
    body: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """A compiled script."""

    source: str
    body: tuple[Statement, ...]
    required: tuple[str, ...] = field(default=())
