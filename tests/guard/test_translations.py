"""Catalogs: complete in every language, true to the placeholders, in step with the source; no text on a page escapes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po
from django.conf import settings
from django.utils import translation

from tools import messages

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
PLACEHOLDER = re.compile(r"%\((\w+)\)[ds]")
ELEMENT = re.compile(r"</?(\w+)")
SHOWN_ATTRIBUTES = re.compile(r'\s(?:aria-label|placeholder|title|alt|data-label|data-kv-picked)="([^"]*)"')
ALLOWED = frozenset(
    ["kvadmin", "ms", "store.", '.purge.frequency = "', "mail.example.org", "true", "TOML", "CSV", "HTTP", "MHz", "API", "B", "JSON", "·"]
)
"""What is the same in every language."""


def catalog(language: str) -> Catalog:
    with (messages.LOCALE / language / "LC_MESSAGES" / "django.po").open("rb") as file:
        return read_po(file, locale=language, charset="utf-8")


def pairs(message: Message) -> Iterator[tuple[str, str]]:
    """Each translation with the text that it has to be true to: the plural forms with the plural."""
    if not message.pluralizable:
        yield str(message.id), str(message.string)
        return
    said = messages.forms(message)
    for place, form in enumerate(said):
        yield message.id[0 if place == 0 and len(said) > 1 else 1], form


def test_every_language_of_the_menu_has_a_catalog() -> None:
    names = {translation.to_locale(code) for code, _ in settings.LANGUAGES if code != "en"}
    assert names == set(messages.LANGUAGES)


def test_catalogs_are_those_of_the_source() -> None:
    assert messages.main(["--check"]) == 0, "run python3 tools/messages.py"


@pytest.mark.parametrize("language", messages.LANGUAGES)
def test_every_text_is_translated(language: str) -> None:
    missing = [message.id for message in catalog(language) if message.id and (message.fuzzy or not all(said for _, said in pairs(message)))]
    assert not missing, f"{len(missing)} texts, first of them: {missing[:5]}"


@pytest.mark.parametrize("language", messages.LANGUAGES)
def test_translations_keep_placeholders_and_elements(language: str) -> None:
    wrong = []
    for message in catalog(language):
        for english, said in pairs(message) if message.id else ():
            if not said:
                continue
            names, theirs = set(PLACEHOLDER.findall(english)), set(PLACEHOLDER.findall(said))
            lost = names - theirs - ({"count"} if message.pluralizable else set())
            if lost or theirs - names or sorted(ELEMENT.findall(english)) != sorted(ELEMENT.findall(said)):
                wrong.append((english, said))
            if '"' in said and '"' not in english:
                wrong.append((english, said))
            if "%" in said and not message.context:
                bare = PLACEHOLDER.sub("", said).replace("%%", "")
                if "%(" in english and "%" in bare:
                    wrong.append((english, said))
    assert not wrong, wrong[:5]


def _pieces(source: str) -> Iterator[tuple[str, str]]:
    """Tags of the template language, elements, and the texts between them."""
    at = 0
    while at < len(source):
        for opening, closing in (("{%", "%}"), ("{{", "}}"), ("{#", "#}"), ("<!", ">")):
            if source.startswith(opening, at):
                end = source.index(closing, at) + len(closing)
                yield opening, source[at:end]
                break
        else:
            if re.match(r"</?[a-zA-Z]", source[at:]):
                end = _end_of_element(source, at)
                yield "<", source[at:end]
            else:
                found = re.compile(r"\{[%{#]|</?[a-zA-Z]|<!").search(source, at)
                end = found.start() if found else len(source)
                yield "text", source[at:end]
        at = end


def _end_of_element(source: str, at: int) -> int:
    quote = ""
    while True:
        at += 1
        if source[at : at + 2] in ("{%", "{{"):
            at = source.index("%}" if source[at + 1] == "%" else "}}", at) + 1
        elif quote:
            quote = "" if source[at] == quote else quote
        elif source[at] in "\"'":
            quote = source[at]
        elif source[at] == ">":
            return at + 1


def bare_texts(source: str) -> list[str]:
    """Texts that a reader sees and no catalog knows."""
    found, raw, inside = [], "", False
    for kind, piece in _pieces(source):
        if kind == "{%":
            word = piece[2:-2].split()[0]
            inside = word.startswith("blocktrans") or (inside and not word.startswith("endblocktrans"))
        elif kind == "<":
            name = (ELEMENT.match(piece) or [""])[0].lstrip("</").lower()
            if name in ("svg", "script", "style", "code", "pre", "kbd"):
                raw = "" if piece.startswith("</") else name
            plain = re.sub(r"\{%\s*(blocktrans\w*).*?%\}.*?\{%\s*end\1\s*%\}|\{%.*?%\}|\{\{.*?\}\}", "", piece, flags=re.S)
            found += [text for text in SHOWN_ATTRIBUTES.findall(plain) if _words(text)]
        elif kind == "text" and not raw and not inside and _words(piece):
            found.append(piece.strip())
    return found


def _words(text: str) -> bool:
    text = re.sub(r"&#?\w+;", " ", text).strip()
    return text not in ALLOWED and any(re.search(r"[^\W\d_]", word) and word not in ALLOWED for word in re.findall(r"\S+", text))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.relative_to(ROOT / "templates").as_posix())
def test_no_page_has_a_text_outside_the_catalogs(path: Path) -> None:
    assert bare_texts(path.read_text("utf-8")) == []


def test_a_bare_text_is_noticed() -> None:
    assert bare_texts('<p>{% translate "Keys" %} left</p>') == ["left"]
    assert bare_texts('<input placeholder="Name">') == ["Name"]
    assert not bare_texts('<p title="{% translate "Keys" %}">{{ count }} · {% blocktranslate %}{{ n }} left{% endblocktranslate %}</p>')
