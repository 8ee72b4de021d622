"""Texts of the pure modules. They know no framework, yet what they say is read on pages in many languages.

A `Text` is its English sentence, usable wherever a `str` is: in logs, in the audit, in answers of the API and on the command line.
It remembers its template and the values in it, so that a page can show the same sentence in the reader's language.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Final, Self

Value = str | int | float


class Translator:
    """What a page translates with: the catalogs' lookup of a template. English until the application sets another."""

    def __init__(self) -> None:
        self.lookup: Callable[[str], str] = str


TRANSLATOR: Final = Translator()


class Text(str):
    """An English sentence that can be shown in other languages. Equal to, and hashed like, the sentence itself."""

    __slots__ = ("template", "values")
    template: str
    values: dict[str, Value]

    def __new__(cls, template: str, values: dict[str, Value] | None = None) -> Self:
        self = super().__new__(cls, template % values if values else template)
        self.template = template
        self.values = values or {}
        return self

    def translated(self) -> str:
        """The sentence in the language of the present request; values that are texts themselves are translated too."""
        template = TRANSLATOR.lookup(self.template)
        return template % {name: shown(value) for name, value in self.values.items()} if self.values else template

    def __html__(self) -> str:
        """What templates print: the translated sentence, escaped."""
        return html.escape(self.translated())

    def __reduce__(self) -> tuple[type[Text], tuple[str, dict[str, Value]]]:
        return Text, (self.template, self.values)


def text(template: str, **values: Value) -> Text:
    """`text("Store %(id)s does not answer.", id="redis1")`. The template has to be a literal: the catalogs are made from the source."""
    return Text(template, values)


def shown(value: Value) -> Value:
    """A value as a page says it: texts in the reader's language, all else as it is."""
    return value.translated() if isinstance(value, Text) else value
