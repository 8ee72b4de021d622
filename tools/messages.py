#!/usr/bin/env python3
"""The catalogs of translations: collect the texts of the source, bring every `.po` file up to date, compile the `.mo` files.

    python3 tools/messages.py            all of it
    python3 tools/messages.py --check    change nothing; status 1 when a file would change

Needs Babel and no gettext tools. Texts come from `{% translate %}`, `{% blocktranslate %}` and `_("…")` in templates, from calls
of gettext's functions and of `stores.texts.say` in Python, from the words that are counted (`|times:"key"`, `plural(n, "key")`,
`counted(n, "key")`), from the table of key classes and from the settings that backends declare.
"""

from __future__ import annotations

import argparse
import ast
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import django
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT: Final = Path(__file__).resolve().parent.parent
LOCALE: Final = ROOT / "locale"
LANGUAGES: Final = ("de", "fr", "es", "zh_Hans")
KEYWORDS: Final = {
    "_": "s", "gettext": "s", "gettext_lazy": "s", "say": "s", "ngettext": "sp", "ngettext_lazy": "sp",
    "pgettext": "cs", "pgettext_lazy": "cs",
}  # fmt: skip
"""Functions of Python and what their first arguments are: singular, plural, context."""
COUNTING: Final = {"plural": 1, "counted": 1, "times": 1}
"""Functions that take a number and then a word in the singular, and its plural where that is not the word with an s."""
_CALL: Final = re.compile(r"\b(?:gettext|ngettext|pgettext|npgettext|_)\(")
_TIMES: Final = re.compile(r'\|times:"([^"]+)"')
_NOTE: Final = re.compile(r"\{#\s*Translators:\s*(.*?)\s*#\}")


class Found(NamedTuple):
    """One text of the source: singular, plural or nothing, context or nothing, notes for translators, the file."""

    one: str
    many: str
    context: str | None
    notes: tuple[str, ...]
    path: str


def collect() -> list[Found]:
    """Every text of the source, in the order of the files."""
    found: list[Found] = []
    for path in sorted((ROOT / "templates").rglob("*.html")):
        found += _of_template(path)
    for folder in ("kvadmin", "stores"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" not in path.parts:
                found += _of_python(path)
    return [*found, *_of_classes(), *_of_settings()]


def _of_template(path: Path) -> Iterator[Found]:
    from django.utils.translation.template import templatize

    source, name = path.read_text("utf-8"), _name(path)
    notes = {match.end(): match[1] for match in _NOTE.finditer(source)}
    plain = templatize(_NOTE.sub("", source), origin=str(path))
    for match in _CALL.finditer(plain):
        yield from _read_call(plain[match.start() :], name)
    for match in _TIMES.finditer(source):
        one, _, many = match[1].partition(",")
        yield _counted(one, many, name)
    for end, note in notes.items():
        if said := re.match(r"\s*\{% translate (['\"])(.*?)\1 %\}", source[end:]):
            yield Found(said[2].replace("%", "%%"), "", None, (note,), name)


def _read_call(source: str, name: str) -> Iterator[Found]:
    """The call that a piece of source begins with. Templates hand over nothing but literals and the word `count`."""
    for end in (match.end() for match in re.finditer(r"\)", source[:20_000])):
        try:
            call = ast.parse(source[:end], mode="eval").body
        except SyntaxError:
            continue
        assert isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
        texts = [str(part.value) for part in call.args if isinstance(part, ast.Constant)]
        context = texts.pop(0) if "pgettext" in call.func.id else None
        yield Found(texts[0], texts[1] if len(texts) > 1 else "", context, (), name)
        return


def _of_python(path: Path) -> Iterator[Found]:
    source, name = path.read_text("utf-8"), _name(path)
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        bare = node.func.id if isinstance(node.func, ast.Name) else ""
        called = node.func.attr if isinstance(node.func, ast.Attribute) else bare
        texts = [part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "" for part in node.args]
        if called in COUNTING and len(texts) > 1 and texts[1]:
            yield _counted(texts[1], texts[2] if len(texts) > 2 else "", name)
        shape = KEYWORDS.get(bare, "")
        if not shape or not texts or (not texts[0] and bare in ("say", "_", "gettext")):
            continue
        given = dict(zip(shape, texts, strict=False))
        yield Found(given["s"], given.get("p", ""), given.get("c"), tuple(_notes(lines, node.lineno)), name)


def _notes(lines: list[str], line: int) -> Iterator[str]:
    """The comment for translators on the lines before a call, or before the statement that it is in."""
    for before in (line - 2, line - 3):
        if before >= 0 and (match := re.match(r"\s*# Translators:\s*(.*)", lines[before])):
            yield match[1]
            return


def _of_classes() -> Iterator[Found]:
    """Titles and uses of the key classes, which are rows of tables."""
    from stores import keyclasses

    for each in keyclasses.CLASSES.values():
        path = "stores/keyclasses/catalog.py"
        yield Found(str(each.title), "", None, ("Name of a class of keys.",), path)
        yield Found(str(each.use), "", None, (), path)


def _of_settings() -> Iterator[Found]:
    """Labels and help of the settings that the backends declare."""
    from stores.registry import BACKENDS, backend_class

    for name in BACKENDS:
        for field in backend_class(name).SETTINGS:
            yield Found(str(field.label), "", None, ("Label of a setting.",), "stores/backends")
            yield Found(str(field.help), "", None, (), "stores/backends")


def _counted(one: str, many: str, name: str) -> Found:
    return Found(f"%(count)s {one}", f"%(count)s {many or one + 's'}", None, (), name)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def template_catalog() -> Catalog:
    """All texts as one catalog without translations."""
    catalog = Catalog(project="kvadmin", charset="utf-8", fuzzy=False)
    for each in collect():
        if not each.one.strip():
            continue
        known = catalog.get(each.one, each.context)
        ident: Any = (each.one, each.many) if each.many else each.one
        if known is not None and known.pluralizable and not each.many:
            ident = known.id
        flags = {"python-format"} if "%(" in each.one else set()
        place: Any = (each.path, None)
        catalog.add(ident, locations=[place], auto_comments=each.notes, context=each.context, flags=flags)
    return catalog


def updated(language: str, template: Catalog) -> Catalog:
    """A language's catalog with what it has translated already; texts that are gone are dropped, new ones are empty."""
    path = LOCALE / language / "LC_MESSAGES" / "django.po"
    catalog = Catalog(locale=language, project="kvadmin", charset="utf-8", fuzzy=False)
    if path.exists():
        with path.open("rb") as file:
            catalog = read_po(file, locale=language, charset="utf-8")
    catalog.update(template, no_fuzzy_matching=True, update_header_comment=False)
    catalog.obsolete.clear()
    return catalog


def po_bytes(catalog: Catalog) -> bytes:
    """The `.po` file: sorted by text, with the files that use each and without line numbers and dates, so that it
    changes only with the texts."""
    buffer = io.BytesIO()
    write_po(buffer, catalog, width=120, sort_output=True, include_lineno=False, omit_header=True)
    plural = f"nplurals={catalog.num_plurals}; plural={catalog.plural_expr};"
    head = (
        'msgid ""\nmsgstr ""\n"Project-Id-Version: kvadmin\\n"\n'
        f'"Language: {catalog.locale_identifier}\\n"\n"MIME-Version: 1.0\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n'
        f'"Content-Transfer-Encoding: 8bit\\n"\n"Plural-Forms: {plural}\\n"\n\n'
    )
    return head.encode() + buffer.getvalue()


def forms(message: Message) -> tuple[str, ...]:
    """The translations of a text, one a plural form; empty where there is none."""
    return tuple(message.string) if isinstance(message.string, (tuple, list)) else (message.string or "",)


class Steady(Catalog):
    """A catalog whose header has no dates and names no program, so that the same texts give the same file."""

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        plural = f"nplurals={self.num_plurals}; plural={self.plural_expr};"
        return [("MIME-Version", "1.0"), ("Content-Type", "text/plain; charset=utf-8"), ("Plural-Forms", plural)]


def mo_bytes(po: bytes, language: str) -> bytes:
    """The `.mo` file of a `.po` file; texts without a translation stay out of it and are shown in English."""
    catalog = Steady(locale=language, charset="utf-8", fuzzy=False)
    for message in read_po(io.BytesIO(po), locale=language, charset="utf-8"):
        if message.id and all(forms(message)):
            catalog.add(message.id, message.string, context=message.context)
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def main(arguments: list[str] | None = None) -> int:
    """Write what has changed; with --check only say it."""
    parser = argparse.ArgumentParser(description="Bring the catalogs of translations up to date.")
    parser.add_argument("--check", action="store_true", help="write nothing, end with status 1 when a file would change")
    check = parser.parse_args(arguments).check
    template, stale = template_catalog(), 0
    for language in LANGUAGES:
        catalog = updated(language, template)
        po = po_bytes(catalog)
        folder = LOCALE / language / "LC_MESSAGES"
        for name, data in (("django.po", po), ("django.mo", mo_bytes(po, language))):
            path = folder / name
            if path.exists() and path.read_bytes() == data:
                continue
            stale += 1
            if not check:
                folder.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        missing = sum(bool(message.id) and not all(forms(message)) for message in catalog)
        sys.stdout.write(f"{language}: {len(catalog)} texts, {missing} without a translation\n")
    if check and stale:
        sys.stdout.write(f"{stale} files are not up to date: run python3 tools/messages.py\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kvadmin.settings_test")
    django.setup()
    sys.exit(main())
