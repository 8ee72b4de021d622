"""A language made for tests: every text that went through the catalogs is in letters of its own, so that what did not stands out."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, Final

import pytest
from babel.messages.pofile import read_po
from django.utils import translation

from stores.templatetags import kv, kv_runs, words
from tests.fixtures_path import ROOT
from tests.views.pages import VOID

_KEPT: Final = re.compile(r"%\(\w+\)[a-z]|%%|\{[^}]*\}|<[^>]*>|&#?\w+;|`[^`]*`")
_LATIN: Final = {ord(letter): ord(letter) + 0xFEE0 for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"}
PO: Final = ROOT / "locale" / "de" / "LC_MESSAGES" / "django.po"
SHOWN: Final = ("title", "aria-label", "placeholder", "alt", "data-label", "data-kv-picked", "data-kv-in", "data-kv-past", "data-kv-lost")
"""Attributes that a reader reads."""
DATA_TAGS: Final = frozenset(["code", "pre", "script", "style", "kbd", "textarea", "bdi"])
DATA_CLASSES: Final = frozenset(["kv-code", "kv-bytes", "kv-mono", "kv-source", "kv-steps-code"])


def foreign(text: str) -> str:
    """`Delete %(count)s keys` in letters that no program and no store writes; placeholders, elements and code stay."""
    kept = _KEPT.findall(text)
    pieces = [piece.translate(_LATIN) for piece in _KEPT.split(text)]
    return "".join(part for pair in zip(pieces, [*kept, ""], strict=True) for part in pair)


def speak(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on everything that is looked up in a catalog comes back in those letters. Forms of dates stay what they are."""
    real = translation._trans  # type: ignore[attr-defined]

    def one(message: str) -> str:
        return foreign(str(message))

    def several(singular: str, plural: str, number: int) -> str:
        return foreign(singular if number == 1 else plural)

    def in_context(context: str, message: str) -> str:
        return message if context == "date form" else foreign(message)

    def several_in_context(context: str, singular: str, plural: str, number: int) -> str:
        return several(singular, plural, number)

    known = {str(message.id) for message in read_po(io.BytesIO(PO.read_bytes())) if message.id}
    for library in (kv, kv_runs):
        monkeypatch.setattr(library, "recalled", lambda stored: foreign(stored) if stored in known else stored)
    for name, stand_in in (("gettext", one), ("ngettext", several), ("pgettext", in_context), ("npgettext", several_in_context)):
        monkeypatch.setattr(real, name, stand_in)
    for name in ("_units", "_relative_forms", "_day_formed"):  # kept from before, and not to be kept for later
        monkeypatch.setattr(words, name, getattr(words, name).__wrapped__)


class Visible(HTMLParser):
    """Texts of a page that a reader reads or hears, without those that are marked as data."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[tuple[str, bool]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._attributes(tag, given)
        if tag not in VOID:
            self.open.append((tag, self._is_data or _marked(tag, given)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._attributes(tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if data.strip() and not self._is_data:
            self.texts.append(" ".join(data.split()))

    @property
    def _is_data(self) -> bool:
        return bool(self.open) and self.open[-1][1]

    def _attributes(self, tag: str, given: dict[str, str | None]) -> None:
        if self._is_data or _marked(tag, given):
            return
        for name in SHOWN:
            if text := given.get(name):
                self.texts.append(f"{text}")


def _marked(tag: str, given: dict[str, str | None]) -> bool:
    classes = set((given.get("class") or "").split())
    return tag in DATA_TAGS or bool(classes & DATA_CLASSES) or given.get("translate") == "no" or (tag != "html" and "lang" in given)


def leftovers(response: Any, data: re.Pattern[str]) -> Iterator[str]:
    """Visible texts of an answer with a word that no catalog gave and that is no data."""
    reader = Visible()
    reader.feed(response.content.decode())
    for text in reader.texts:
        if re.search(r"[A-Za-z]{2,}", data.sub(" ", text)):
            yield text
