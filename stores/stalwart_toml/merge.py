"""The file and the settings in the data store together, as Stalwart combines them at start (store-formats f)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from stores.stalwart_toml.document import Document, Setting

LOCAL_KEYS: Final = (
    "store.*",
    "directory.*",
    "tracer.*",
    "!server.blocked-ip.*",
    "!server.allowed-ip.*",
    "server.*",
    "authentication.fallback-admin.*",
    "cluster.*",
    "!cluster.key",
    "certificate.*",
    "config.local-keys.*",
    "storage.data",
    "storage.blob",
    "storage.lookup",
    "storage.fts",
    "storage.directory",
    "enterprise.license-key",
)
"""Which settings belong to the file alone unless `config.local-keys` says otherwise; `!` takes out again."""


def local_patterns(document: Document) -> tuple[str, ...]:
    """The patterns that a file sets, or the default ones."""
    own = tuple(document.settings[name].value for name in document.many("config.local-keys"))
    return own or LOCAL_KEYS


def is_local(name: str, patterns: Iterable[str]) -> bool:
    """Whether a setting belongs to the file: some pattern takes it in and none with `!` takes it out. `*` is any run of signs."""
    inside = False
    for pattern in patterns:
        if pattern.startswith("!"):
            if _matches(pattern[1:], name):
                return False
        else:
            inside = inside or _matches(pattern, name)
    return inside


def merge_settings(document: Document, table: Mapping[str, str], patterns: Iterable[str] | None = None) -> Document:
    """The file's settings with those of the database (table `s`) added.

    The file wins where both have a name. A database setting that belongs to the file alone is ignored, as in Stalwart, and
    macros in database settings are never expanded. `patterns` None: those of the file. Cost: linear.
    """
    rules = tuple(local_patterns(document) if patterns is None else patterns)
    merged = dict(document.settings)
    for name, value in table.items():
        if name not in merged and not is_local(name, rules):
            merged[name] = Setting(value, from_database=True)
    return Document(dict(sorted(merged.items())), document.faults)


def _matches(pattern: str, name: str) -> bool:
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    *middle, last = rest
    if not (name.startswith(first) and name.endswith(last) and len(name) >= len(first) + len(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
