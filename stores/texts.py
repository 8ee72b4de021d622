"""Texts of the pure modules. They know no framework, yet what they say is read on pages in many languages.

A `Text` is its English sentence, usable wherever a `str` is: in logs, in the audit, in answers of the API and on the command line.
It remembers its template and the values in it, so that a page can show the same sentence in the reader's language.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any, Final, Self


class Translator:
    """What a page translates with: the catalogs' lookup of a template, its plural and the number, and how numbers are grouped.

    English until another is set.
    """

    def __init__(self) -> None:
        self.lookup: Callable[[str, str, int], str] = _english
        self.figure: Callable[[Any, int], str] = lambda number, places: f"{number:,.{places}f}"


class Text(str):
    """An English sentence that can be shown in other languages. Equal to, and hashed like, the sentence itself."""

    __slots__ = ("many", "number", "template", "values")
    template: str
    values: Mapping[str, object]
    many: str
    number: int

    def __new__(cls, template: str, values: Mapping[str, object] | None = None, many: str = "", number: int = 1) -> Self:
        form = _english(template, many, number)
        self = super().__new__(cls, form % values if values else form)
        self.template, self.values, self.many, self.number = template, values or {}, many, number
        return self

    def translated(self) -> str:
        """The sentence in the language of the present request; values that are texts themselves are translated too."""
        form = TRANSLATOR.lookup(self.template, self.many, self.number)
        return form % {name: _shown(value) for name, value in self.values.items()} if self.values else form

    def filled(self, **values: object) -> Text:
        """The same sentence with these values in it, for one that was said before they were known."""
        return Text(self.template, values, self.many, self.number)

    def __html__(self) -> str:
        """What templates print: the translated sentence, escaped."""
        return html.escape(self.translated())

    def __reduce__(self) -> tuple[Any, ...]:
        return Text, (self.template, self.values, self.many, self.number)


def say(template: str, **values: object) -> Text:
    """`say("Store %(id)s does not answer.", id="redis1")`. The template has to be a literal: the catalogs are made from the source."""
    return Text(template, values)


class Figure(Text):
    """A number, `1,200` or `0.4` in English; a page groups it as the reader's language does."""

    __slots__ = ()

    def __new__(cls, number: float, places: int = 0) -> Self:
        return super().__new__(cls, f"{number:,.{places}f}", {"number": number}, "", places)

    def translated(self) -> str:
        return TRANSLATOR.figure(self.values["number"], self.number)

    def __reduce__(self) -> tuple[Any, ...]:
        return Figure, (self.values["number"], self.number)


def figure(number: float, places: int = 0) -> Figure:
    """A count or a size for a sentence, with so many decimal places: `say("at most %(rows)s rows", rows=figure(1_000))`."""
    return Figure(number, places)


def counted(number: int, one: str, many: str = "") -> Text:
    """ "1 upload", "1,200 uploads". The words have to be literals."""
    return Text(f"%(count)s {one}", {"count": figure(number)}, f"%(count)s {many or one + 's'}", number)


def joined(*parts: str, between: str = " ") -> str:
    """Those that are not empty, one after the other; a page translates each by itself."""
    there = {f"part{number}": part for number, part in enumerate(parts) if part}
    if len(there) < 2:
        return next(iter(there.values()), "")
    return Text(between.join(f"%({name})s" for name in there), there)


def shown(said: str) -> str:
    """A text as a page says it: in the reader's language where it can be."""
    return said.translated() if isinstance(said, Text) else said


def _shown(value: object) -> object:
    return value.translated() if isinstance(value, Text) else value


def _english(template: str, many: str, number: int) -> str:
    return many if many and number != 1 else template


TRANSLATOR: Final = Translator()
