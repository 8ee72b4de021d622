"""The text of a configuration line by line, secrets blacked out, each line marked as used, not used or not understood."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from stores.stalwart_toml.document import Document
from stores.stalwart_toml.plan import ImportPlan, Severity

HIDDEN: Final = "••••••••"
_SECRET_KEY: Final = re.compile(
    r"pass|secret|token|private|credential|license|dsn$|headers?(?:\.|$)|(?:^|[.-])key$|contents$|\.cert$", re.IGNORECASE
)
_HARMLESS_KEY: Final = re.compile(r"queue\.limiter\.|http-lookup\..*\.index\.")
_SECRET_VALUE: Final = re.compile(r"[\w+=-]{28,}|\b(?:basic|bearer)\s|-----BEGIN", re.IGNORECASE)
"""Long runs without blanks, credentials of HTTP, PEM blocks; for settings that serve something else than lookups."""
_URL_SECRET: Final = re.compile(r"([\w.+-]{1,20}://[^/\s@:\"']{0,255}:)[^\s\"']{1,1024}@")
_MACRO: Final = re.compile(r"[\"']?%\{(?:env|file|cfg):[^}]*\}%[\"']?")
_KEY_OF_LINE: Final = re.compile(r"[ \t]*#?[ \t]*[\w.\"'*?@-]{1,200}[ \t]*=")


class Mark(StrEnum):
    USED = "used"
    UNUSED = "unused"
    BAD = "bad"
    BLANK = "blank"
    """Comments and empty lines."""


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One line for showing: its number from 1, the text without secrets, and what became of it."""

    number: int
    text: str
    mark: Mark


def annotate(text: str, document: Document, plan: ImportPlan) -> tuple[SourceLine, ...]:
    """Every line of the file. Hidden are values that sound secret or look so, passwords in URLs, and what could not be read."""
    bad: set[int] = set()
    first: set[int] = set()
    unread: set[int] = set()
    for problem in plan.problems:
        if problem.start_line and (problem.severity is Severity.ERROR or problem.repaired):
            lines = range(problem.start_line, max(problem.end_line, problem.start_line) + 1)
            if problem.column and not (problem.repairs and all(name.startswith("lookup.") for name in problem.repairs)):
                unread.update(lines)
            if not problem.repaired:
                bad.update(lines)
            first.add(problem.start_line)
    used, unused = _lines(text, document, plan)
    found: list[SourceLine] = []
    for number, line in enumerate(_without_secrets(text, document, plan).split("\n"), 1):
        mark = _mark(number, line, bad, used, unused)
        if mark is Mark.BLANK or (mark is Mark.BAD and number in unread):
            line = _hidden(line, mark is Mark.BLANK or number in first)
        found.append(SourceLine(number, line, mark))
    return tuple(_headers_as_what_follows(found))


def _headers_as_what_follows(lines: list[SourceLine]) -> list[SourceLine]:
    """A table name counts as used when the first setting below it is."""
    found: list[SourceLine] = []
    below = Mark.UNUSED
    for line in reversed(lines):
        if line.mark is Mark.UNUSED and line.text.lstrip().startswith("["):
            line = replace(line, mark=below)
            below = Mark.UNUSED
        elif line.mark is not Mark.BLANK:
            below = Mark.UNUSED if line.mark is Mark.BAD else line.mark
        found.append(line)
    return found[::-1]


def _lines(text: str, document: Document, plan: ImportPlan) -> tuple[set[int], set[int]]:
    used: set[int] = set()
    unused: set[int] = set()
    for name, setting in document.settings.items():
        if setting.line:
            last = setting.line + text.count("\n", *setting.span)
            (used if name in plan.used else unused).update(range(setting.line, last + 1))
    return used, unused - used


def _mark(number: int, line: str, bad: set[int], used: set[int], unused: set[int]) -> Mark:
    if number in bad:
        return Mark.BAD
    if number in used:
        return Mark.USED
    if number in unused or line.lstrip().startswith("["):
        return Mark.UNUSED
    return Mark.BLANK


def _without_secrets(text: str, document: Document, plan: ImportPlan) -> str:
    """The text with secret values replaced up to the end of their line; the number of lines stays."""
    parts: list[str] = []
    at = 0
    for (start, end), name in sorted((setting.span, name) for name, setting in document.settings.items() if setting.span[1]):
        raw = text[start:end]
        if start >= at and _is_secret(name, raw, name in plan.used):
            line_end = text.find("\n", end)
            parts += [text[at:start], HIDDEN, "\n" * raw.count("\n")]
            at = len(text) if line_end < 0 else line_end
    return _URL_SECRET.sub(rf"\1{HIDDEN}@", "".join(parts) + text[at:])


def _is_secret(name: str, raw: str, used: bool) -> bool:
    if _MACRO.fullmatch(raw) or _HARMLESS_KEY.match(name):
        return False
    if name.startswith("lookup."):
        return False
    return _SECRET_KEY.search(name) is not None or (not used and _SECRET_VALUE.search(raw) is not None)


def _hidden(line: str, begins: bool) -> str:
    """A line that was not read as a setting may hold anything: a key stays where a statement begins, a comment without `=` too."""
    key = _KEY_OF_LINE.match(line) if begins else None
    if key is not None:
        return f"{key[0]} {HIDDEN}"
    if not line.strip() or (begins and line.lstrip().startswith(("#", "["))):
        return _SECRET_VALUE.sub(HIDDEN, line)
    return HIDDEN
