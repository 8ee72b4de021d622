"""Sentences that were stored in English, in the reader's language.

Runs, fetches and the audit keep what was said as plain text: it is hashed, exported and read by programs. A page looks the sentence up
again: as a whole, by the template that it was made from, or sentence by sentence. What no template fits stays as it is.
"""

from __future__ import annotations

import gettext as catalogs
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from django.conf import settings
from django.utils import translation

from stores.texts import say

_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)s")
_COUNTED: Final = re.compile(r"(\d[\d,]*) (\D+)")
_SENTENCE_END: Final = re.compile(r"(?<=[a-z)\d][.;]) (?=[A-Z`])")
STORED: Final = (
    say("page"), say("command line"), say("schedule"), say("system"), say("created here"), say("created by the set-up"),
    say("import of %(source)s"),
)  # fmt: skip
"""What is stored without having been said by anybody before: how an entry of the audit or a definition came about."""
LEAST_LETTERS: Final = 6
"""Letters of its own that a template needs: one of placeholders alone would fit everything."""
LONGEST: Final = 2000
"""Characters; longer texts are the words of a server."""
_DEPTH: Final = 3


def recalled(stored: str) -> str:
    """The text in the language of the request. The first time a text is met it costs some milliseconds, then nothing."""
    language = translation.get_language() or "en"
    if language.startswith("en") or not stored or len(stored) > LONGEST:
        return stored
    return _recalled(language, stored, _DEPTH)


@lru_cache(maxsize=4096)
def _recalled(language: str, stored: str, depth: int) -> str:
    found = _looked_up(stored) or _by_template(language, stored, depth) or _counted(language, stored)
    if found:
        return found
    parts = [part for part in _SENTENCE_END.split(stored) if part]
    return " ".join(_recalled(language, part, depth) for part in parts) if len(parts) > 1 and depth else stored


def _looked_up(stored: str) -> str:
    found = translation.gettext(stored)
    return found if found != stored else ""


def _by_template(language: str, stored: str, depth: int) -> str:
    for template, pattern in _templates(language) if depth else ():
        if (found := pattern.fullmatch(stored)) is not None:
            values = {name: _recalled(language, value, depth - 1) for name, value in found.groupdict().items()}
            return translation.gettext(template) % values
    return ""


def _counted(language: str, stored: str) -> str:
    """`3 keys`, by the singular that the catalogs have it under."""
    found = _COUNTED.fullmatch(stored)
    if found is None:
        return ""
    number, word = int(found[1].replace(",", "")), found[2]
    for one in (word, word.removesuffix("s"), f"{word.removesuffix('ies')}y"):
        if (f"%(count)s {one}", 0) in _catalog(language):
            form = translation.ngettext(f"%(count)s {one}", f"%(count)s {word}", number)
            return form % {"count": found[1]}
    return ""


@lru_cache(maxsize=8)
def _catalog(language: str) -> dict[object, str]:
    """Our own texts of a language: English -> translation, counted ones under (singular, form)."""
    name = translation.to_locale(language)
    read = catalogs.translation("django", str(settings.LOCALE_PATHS[0]), [name, name.partition("_")[0]], fallback=True)
    return dict(getattr(read, "_catalog", {}))


@lru_cache(maxsize=8)
def _templates(language: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    """The texts with values in them as patterns, those with the most letters of their own first."""
    found = [(letters, template) for letters, template in _weighed(language) if letters >= LEAST_LETTERS]
    return tuple((template, _pattern(template)) for _, template in sorted(found, reverse=True))


def _weighed(language: str) -> Iterator[tuple[int, str]]:
    for template in _catalog(language):
        if isinstance(template, str) and "%(" in template and "\x04" not in template:
            yield sum(letter.isalpha() for letter in _PLACEHOLDER.sub("", template)), template


def _pattern(template: str) -> re.Pattern[str]:
    pieces, at, seen = "", 0, set[str]()
    for found in _PLACEHOLDER.finditer(template):
        pieces += re.escape(template[at : found.start()].replace("%%", "%"))
        pieces += f"(?P={found[1]})" if found[1] in seen else f"(?P<{found[1]}>.+?)"
        seen.add(found[1])
        at = found.end()
    return re.compile(pieces + re.escape(template[at:].replace("%%", "%")), re.DOTALL)
