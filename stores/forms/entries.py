"""The entries of a static store as lines of text, `key = value`, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

from django import forms
from django.utils.translation import gettext_lazy as _

_PLAIN_KEY: Final = re.compile(r"[^\s\"=](?:[^\n\r=]*[^\s=])?\Z")
_PLAIN_VALUE: Final = re.compile(r"(?:[^\s\"](?:[^\n\r]*\S)?)?\Z")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


def to_lines(entries: Iterable[tuple[str, str]]) -> str:
    """One entry a line; texts that would not come back unchanged are quoted."""
    return "\n".join(f"{_shown(key, _PLAIN_KEY)} = {_shown(value, _PLAIN_VALUE)}".rstrip() for key, value in entries)


def from_lines(text: str) -> list[tuple[str, str]]:
    """The entries in their order. Raises ValidationError that names the line."""
    found = []
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        if not line.strip():
            continue
        key, rest = _key(line.strip(), number)
        found.append((key, _value(rest.strip(), number)))
    return found


def _shown(text: str, plain: re.Pattern[str]) -> str:
    return text if plain.match(text) else json.dumps(text, ensure_ascii=False)


def _key(line: str, number: int) -> tuple[str, str]:
    quoted = _QUOTED.match(line)
    if quoted:
        key, rest = _unquoted(quoted[0], number), line[quoted.end() :].lstrip()
    elif line.startswith('"'):
        raise forms.ValidationError(_("Line %(number)s: the quotes do not close.") % {"number": number})
    else:
        key, equals, rest = line.partition("=")
        key, rest = key.strip(), equals + rest
    if not key:
        raise forms.ValidationError(_("Line %(number)s has no key.") % {"number": number})
    if rest and not rest.startswith("="):
        raise forms.ValidationError(_("Line %(number)s: after the quoted key there has to be an equals sign.") % {"number": number})
    return key, rest[1:]


def _value(text: str, number: int) -> str:
    return _unquoted(text, number) if text.startswith('"') else text


def _unquoted(text: str, number: int) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        raise forms.ValidationError(
            _("Line %(number)s: the quotes do not close, or something follows them.") % {"number": number}
        ) from None
    return str(found)
