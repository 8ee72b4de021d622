"""Stalwart's own TOML dialect, read into a flat sorted map of keys to text (store-formats f).

Differences from TOML: every value is text, bare ones too (`10s`, `redis`); an array becomes `key.0000`, `key.0001`, ...;
`[[t]]` becomes `t.0000.`; `{ "a", b }` is a set whose values are empty; unquoted table names are lower-cased; both kinds of
quoted strings may span lines and know `\\n`, `\\t` and `\\r`, any other backslash is dropped; tripled quotes are raw.
Stalwart gives up at the first error. This reader goes on with the next statement, and says what it could not read.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import replace
from typing import Final

from stores.errors import BadConfig
from stores.stalwart_toml.document import Document, Fault, Setting
from stores.texts import say

MAX_CHARACTERS: Final = 4 << 20
MAX_SETTINGS: Final = 200_000
MAX_DEPTH: Final = 10
MAX_KEY: Final = 1024
MAX_KEY_CHARACTERS: Final = 32 << 20
"""All keys together: a long table name in front of many short lines must not fill the memory."""
MAX_PROBLEMS: Final = 200
_LOOK_AHEAD: Final = 64 << 10

_SPACE: Final = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
_BLANK: Final = re.compile(r"[ \t\r]*+")
_REST_OF_LINE: Final = re.compile(r"[ \t\r]*+(?:#[^\n]*+)?(?=\n|\Z)")
_KEY_RUN: Final = re.compile(r"[\w.-]++")
_BARE_VALUE: Final = re.compile(r"(?:[^\W_]|[.+-])++")
_QUOTED_KEY: Final = {q: re.compile(rf"{q}((?:[^{q}\\\n]|\\[^\n])*+){q}") for q in "\"'"}
_STRING: Final = {q: re.compile(rf"{q}((?:[^{q}\\]|\\.)*+){q}", re.DOTALL) for q in "\"'"}
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}
_STATEMENT: Final = re.compile(
    r"""[ \t]*+(?: \[\[? [^\[\],\n]++ \]\]? [ \t\r]*+ (?:\#[^\n]*+)? $
      | (?: [\w.-]++ | "(?:[^"\\\n]|\\.)*+" | '(?:[^'\\\n]|\\.)*+' )++ [ \t]*+ =
      | \# | \r?$ )""",
    re.MULTILINE | re.VERBOSE,
)
_LOOSE_KEY: Final = re.compile(r"([^\s=#\[\]\"'{}][^=\n\"'{}]*+)=")
_BRACKETED: Final = re.compile(r"""(?:[^=\n"']|"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+')++=[ \t]*+[\[{]""")
_NESTING: Final = re.compile(r""""{3}.*?"{3}|'{3}.*?'{3}|"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'|\#[^\n]*|[\[{]|[\]}]""", re.DOTALL)


def parse(text: str, *, repair: bool = False) -> Document:
    """Read a whole file. With `repair`, lines whose key only lacks quotes are read as if it had them.

    Cost: one pass, memory of the order of the text. Raises BadConfig only for a text over 4 million characters.
    """
    if len(text) > MAX_CHARACTERS:
        raise BadConfig(
            say(
                "The file has %(count)s characters; configurations of up to %(max_characters)s are read.",
                count=f"{len(text):,}",
                max_characters=f"{MAX_CHARACTERS:,}",
            ),
            say("Import only the parts with stores and lookups."),
            "file",
        )
    return _Reader(text, repair).read()


class _Halt(Exception):
    """Reading this statement is over."""

    def __init__(self, position: int, message: str, fix: str = "", *, open_end: bool = False, key: bool = False) -> None:
        super().__init__(message)
        self.position = position
        self.message = message
        self.fix = fix
        self.open_end = open_end
        """Something is never closed, so the end of the statement is unknown."""
        self.key = key


class _TooMuch(Exception):
    """A limit is reached: what was read until here stands, the rest is left out."""


class _Reader:
    def __init__(self, text: str, repair: bool) -> None:
        self.text = text
        self.repair = repair
        self.at = 1 if text.startswith("\ufeff") else 0
        self.start = 0
        self.table: str | None = ""
        self.tables: dict[str, int] = {}
        self.settings: dict[str, Setting] = {}
        self.pending: list[tuple[str, Setting]] = []
        self.faults: list[Fault] = []
        self.key_characters = 0
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]

    def read(self) -> Document:
        try:
            while self._next_statement():
                pass
        except _TooMuch as limit:
            line, fix = self._line(self.at), "Import only the parts with stores and lookups."
            self.faults.append(Fault(line, 1, str(limit), fix, line, len(self.lines)))
        return Document(dict(sorted(self.settings.items())), tuple(self.faults))

    # statements

    def _next_statement(self) -> bool:
        self.at = self.start = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
        if self.at >= len(self.text):
            return False
        try:
            self.pending = []
            if self.text[self.at] == "[":
                self._header()
            else:
                self._assignment()
        except _Halt as halt:
            self._recover(halt)
        return True

    def _header(self) -> None:
        self.table = None
        double = self.text.startswith("[[", self.at)
        self.at += 2 if double else 1
        name = self._dotted("", "]", lower=True)
        if not name:
            raise self._halt("A table needs a name between the brackets.")
        if not self.text.startswith("]]" if double else "]", self.at):
            raise self._halt(f"The table name {_short(name)} ends with one bracket, but begins with two.")
        self.at += 2 if double else 1
        if double:
            number = self.tables[name] = self.tables.get(name, -1) + 1
            name = f"{name}.{number:04}"
        self.table = name + "."
        self._end_of_line("the table name")

    def _assignment(self) -> None:
        first = self.text[self.at]
        if not (first.isalnum() or first in "\"'"):
            raise self._halt(f"A line cannot begin with {_sign(first)}.", "Put the key in quotes.", key=True)
        key = self._dotted(self.table or "", "=")
        self._takes_value(key, self.table or "")
        self._value(key, 0)
        self._end_of_line("the value")
        self._commit()

    def _commit(self) -> None:
        if self.table is None:
            return
        for key, setting in self.pending:
            first = self.settings.get(key)
            if first is not None:
                where = f"the first time in line {first.line}"
                self._fault(setting.span[0], f"{_short(key)} is set twice, {where}; this one is left out.", "Remove one of the two.")
                continue
            self.settings[key] = setting

    def _end_of_line(self, what: str) -> None:
        rest = _REST_OF_LINE.match(self.text, self.at)
        if rest is None:
            self.at = _BLANK.match(self.text, self.at).end()  # type: ignore[union-attr]
            sign = _sign(self.text[self.at])
            raise self._halt(f"{sign} after {what} cannot be understood.", "Put values with such signs in quotes, one setting a line.")
        self.at = rest.end()

    # keys

    def _dotted(self, prefix: str, closing: str, *, lower: bool = False) -> str:
        """A key or table name up to (not including) one of the closing signs. Dots inside quotes are like any others."""
        parts = [prefix]
        ended = False
        while self.at < len(self.text):
            sign = self.text[self.at]
            if sign in closing:
                return self._checked("".join(parts))
            if sign in " \t\r":
                self.at = _BLANK.match(self.text, self.at).end()  # type: ignore[union-attr]
                ended = len(parts) > 1
                continue
            run = _KEY_RUN.match(self.text, self.at)
            if ended or (run is None and sign not in "\"'"):
                break
            if run is not None:
                parts.append(run[0].lower() if lower else run[0])
                self.at = run.end()
            else:
                parts.append(self._quoted_key(sign))
        found = _sign(self.text[self.at]) if self.at < len(self.text) else "The end of the file"
        where = "a table name" if lower else "a key"
        raise self._halt(f"{found} cannot be part of {where} without quotes.", f"Put {where} with such signs in quotes.", key=not lower)

    def _checked(self, key: str) -> str:
        if len(key) > MAX_KEY:
            raise self._halt(f"A key has {len(key)} characters; up to {MAX_KEY} are read.")
        return key

    def _quoted_key(self, quote: str) -> str:
        match = _QUOTED_KEY[quote].match(self.text, self.at)
        if match is None:
            raise self._halt("A quoted key is not closed on its line.", "Close the quotes.")
        self.at = match.end()
        return match[1].replace("\\", "")

    def _takes_value(self, key: str, prefix: str) -> bool:
        """Whether an equals sign follows the key; it is passed."""
        if key == prefix:
            raise self._halt("The key is empty.", "Write a name in front of the value.")
        found = self.text.startswith("=", self.at)
        self.at += found
        return found

    # values

    def _value(self, key: str, depth: int, *, listed: bool = False) -> None:
        self.at = start = _BLANK.match(self.text, self.at).end()  # type: ignore[union-attr]
        sign = self.text[start : start + 1]
        if sign in ("[", "{") and depth >= MAX_DEPTH:
            raise self._halt(f"Brackets are nested more than {MAX_DEPTH} deep.")
        if sign == "[":
            self._array(key, depth + 1)
        elif sign == "{":
            self._braces(key, depth + 1)
        elif sign in ('"', "'"):
            self._keep(key, self._string(sign), start, listed)
        else:
            bare = _BARE_VALUE.match(self.text, start)
            if bare is None:
                what = "The value is missing" if sign in ("", "\n", "#") else f"A value cannot begin with {_sign(sign)}"
                raise self._halt(f"{what}: {_short(key)}.", 'Write it in quotes: key = "value".')
            self.at = bare.end()
            self._keep(key, bare[0], start, listed)

    def _keep(self, key: str, value: str, start: int, listed: bool) -> None:
        self.key_characters += len(key)
        if len(self.settings) + len(self.pending) >= MAX_SETTINGS or self.key_characters > MAX_KEY_CHARACTERS:
            raise _TooMuch(f"Reading ends here: more than {MAX_SETTINGS:,} settings, or too long names.")
        self.pending.append((key, Setting(value, self._line(start), (start, self.at), listed)))

    def _string(self, quote: str) -> str:
        triple = quote * 3
        if self.text.startswith(triple, self.at):
            end = self.text.find(triple, self.at + 3)
            if end < 0:
                raise self._halt(f"A text in {triple} is never closed.", "Close the quotes.", open_end=True)
            raw, self.at = self.text[self.at + 3 : end], end + 3
            return re.sub(r"\A\r?\n", "", raw)
        match = _STRING[quote].match(self.text, self.at)
        if match is None:
            raise self._halt("A text in quotes is never closed.", "Close the quotes.", open_end=True)
        self.at = match.end()
        return _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[1]), match[1])

    def _array(self, key: str, depth: int) -> None:
        opened, self.at = self.at, self.at + 1
        number = 0
        while not self._closes("]", opened):
            self._value(self._checked(f"{key}.{number:04}"), depth, listed=True)
            number += 1
            self._comma("]", opened)

    def _braces(self, key: str, depth: int) -> None:
        opened, self.at = self.at, self.at + 1
        while not self._closes("}", opened):
            sign, start = self.text[self.at], self.at
            if not (sign.isalnum() or sign in "\"'"):
                raise self._halt(f"{_sign(sign)} cannot begin a key in braces.", "Put the key in quotes.")
            name = self._dotted(f"{key}.", "=,}\n#")
            if self._takes_value(name, f"{key}."):
                self._value(name, depth)
            else:
                self._keep(name, "", start, False)
            self._comma("}", opened)

    def _closes(self, bracket: str, opened: int) -> bool:
        self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
        if self.at >= len(self.text):
            raise self._never_closed(opened)
        if self.text[self.at] != bracket:
            return False
        self.at += 1
        return True

    def _comma(self, bracket: str, opened: int) -> None:
        self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
        if self.at >= len(self.text):
            raise self._never_closed(opened)
        sign = self.text[self.at]
        if sign == ",":
            self.at += 1
        elif sign != bracket:
            raise self._halt(f"{_sign(sign)} stands where a comma or {bracket} belongs.", "Put values with such signs in quotes.")

    def _never_closed(self, opened: int) -> _Halt:
        self.at = opened
        return self._halt(f"{self.text[opened]} is never closed.", "Close the bracket.", open_end=True)

    # faults

    def _halt(self, message: str, fix: str = "", *, open_end: bool = False, key: bool = False) -> _Halt:
        return _Halt(self.at, message, fix, open_end=open_end, key=key)

    def _line(self, position: int) -> int:
        return bisect_right(self.lines, position)

    def _fault(self, position: int, message: str, fix: str = "", end: int | None = None) -> None:
        line = self._line(position)
        self.faults.append(
            Fault(line, position - self.lines[line - 1] + 1, message, fix, self._line(self.start), self._line(end or position))
        )
        if len(self.faults) >= MAX_PROBLEMS:
            raise _TooMuch(f"Reading ends here: {MAX_PROBLEMS} lines could not be read.")

    def _recover(self, halt: _Halt) -> None:
        if halt.key and self._loosely(halt):
            return
        self.at = self._resume(halt)
        message = halt.message
        if self.table is None and self.text[self.start] == "[":
            message += " The settings up to the next table are left out."
        self._fault(halt.position, message, halt.fix, self.at - 1)

    def _loosely(self, halt: _Halt) -> bool:
        """Read the statement again as if its key were in quotes; report it, and keep it when repairs are wanted."""
        match = _LOOSE_KEY.match(self.text, self.start)
        if match is None or self.table is None:
            return False
        self.at, self.pending = match.end(), []
        try:
            self._value(self._checked(self.table + match[1].strip()), 0)
            self._end_of_line("the value")
        except _Halt:
            return False
        self._fault(halt.position, halt.message, halt.fix, self.at)
        self.faults[-1] = replace(self.faults[-1], repairs=tuple(key for key, _ in self.pending), repaired=self.repair)
        if self.repair:
            self._commit()
        return True

    def _resume(self, halt: _Halt) -> int:
        """Where reading goes on: the next line; behind the value's own brackets; if those never close, a line like a statement."""
        value = _BRACKETED.match(self.text, self.start)
        if halt.open_end:
            at = self._after_line(self.start)
        elif value is None or halt.position < value.end() - 1:
            return self._after_line(halt.position)
        elif (closed := self._balanced(value.end() - 1)) is not None:
            return self._after_line(max(closed, halt.position))
        else:
            at = self._after_line(self.start) if self._begins_line(halt.position) else self._after_line(halt.position)
        while at < len(self.text) and not _STATEMENT.match(self.text, at):
            at = self._after_line(at)
        return at

    def _begins_line(self, position: int) -> bool:
        line = self.lines[self._line(position) - 1]
        return line > self.start and not self.text[line:position].strip()

    def _balanced(self, opened: int) -> int | None:
        """Where the brackets that begin a value end; None when they do not, or only beyond another table."""
        depth = 0
        for match in _NESTING.finditer(self.text, opened, opened + _LOOK_AHEAD):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
            if depth == 0:
                return None if "\n[" in self.text[opened : match.end()] else match.end() - 1
        return None

    def _after_line(self, position: int) -> int:
        end = self.text.find("\n", position)
        return len(self.text) if end < 0 else end + 1


def _sign(character: str) -> str:
    return f"{character!r}" if character.isprintable() else f"The character U+{ord(character):04X}"


def _short(key: str) -> str:
    return key if len(key) <= 80 else key[:77] + "..."
