"""A static store as a list or CSV table that the server's HTTP lookup reads back (store-formats e.4, e.5).

HTTP lookups match exactly and answer text. So patterns cannot be said at all, nor can texts with line breaks; in a list every
value is 1; in CSV a value is the text that an expression would show, and an empty one would answer 1.
CSV: both cells in quotes, a backslash before quotes and backslashes, which is how the server reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stores.codecs.staticlookup import StaticTable, as_text, is_glob, plain

FORMS = ("list", "csv")


@dataclass(frozen=True, slots=True)
class Published:
    """The body, how many entries it has, and how many of the store's it cannot say."""

    body: bytes
    entries: int
    patterns: int
    unsaid: int
    """Entries with line breaks, blanks at the ends (list) or without a value (CSV)."""


def publish(entries: Iterable[tuple[str, str]], form: str, version: str = "") -> Published:
    """All exact entries in byte order of what they match; of two that match the same text the one that answers."""
    known = list(entries)
    table = StaticTable(known, version)
    keys = sorted({plain(key) for key, _ in known if not is_glob(key)})
    lines = []
    for key in keys:
        _, raw = next(table.exact(key))
        line = _listed(key) if form == "list" else _row(key, as_text(table.value(raw)))
        if line:
            lines.append(line)
    body = "".join(f"{line}\n" for line in lines).encode(errors="replace")
    return Published(body, len(lines), table.globs, len(keys) - len(lines))


def _listed(key: str) -> str:
    return key if key == key.strip() and not _broken(key) else ""


def _row(key: str, value: str) -> str:
    if not key or not value or _broken(key + value):
        return ""
    return ",".join('"' + cell.replace("\\", "\\\\").replace('"', '\\"') + '"' for cell in (key, value))


def _broken(text: str) -> bool:
    return any(sign in text for sign in "\n\r\0")
