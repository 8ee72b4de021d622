"""What an id, a version and the entries of a static store may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.core.exceptions import ValidationError

from stores.errors import BadConfig
from stores.models import VERSIONS, Store

RESERVED_IDS: Final = frozenset({".", "..", "add"})
"""Ids that no address can carry."""

STATIC: Final = "static"

Entries = Sequence[tuple[str, str]]
"""Key and value pairs of a static store, in order of creation."""


def checked_id(id: str) -> str:
    """The id when it can be one. Raises BadConfig(field="id")."""
    if not id:
        raise BadConfig("The id is missing.", "Give the store Stalwart's id, such as memstore.", "id")
    try:
        Store._meta.get_field("id").run_validators(id)
    except ValidationError as error:
        raise BadConfig(f'"{id[:60]}" cannot be an id.', " ".join(error.messages), "id") from None
    if id in RESERVED_IDS:
        raise BadConfig(f'"{id}" cannot be an id: an address of the dashboard needs it.', "Choose another id.", "id")
    return id


def checked_version(version: str) -> str:
    """A Stalwart version kvadmin knows, or empty. Raises BadConfig(field="version")."""
    if version and version not in VERSIONS:
        raise BadConfig(f'"{version}" is no Stalwart version.', f"Use one of {', '.join(VERSIONS)}, or none to detect it.", "version")
    return version


def checked_entries(type: str, entries: Entries) -> None:
    """Raise BadConfig(field="entries") for entries of another type than static, empty, long or repeated keys."""
    if entries and type != STATIC:
        raise BadConfig(f"Stores of type {type} hold their keys themselves.", "Only static stores have entries here.", "entries")
    seen: set[str] = set()
    for key, _ in entries:
        if not key or len(key) > 512:
            raise BadConfig("Keys of a static store have 1 to 512 characters.", "Change the key.", "entries")
        if key in seen:
            raise BadConfig(f'The key "{key}" is there twice.', "Keep one of the two.", "entries")
        seen.add(key)
