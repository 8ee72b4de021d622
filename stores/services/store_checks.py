"""What an id, a version and the entries of a static store may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.core.exceptions import ValidationError

from stores.errors import BadConfig
from stores.models import VERSIONS, Store
from stores.texts import say

RESERVED_IDS: Final = frozenset({".", "..", "add"})
"""Ids that no address can carry."""

STATIC: Final = "static"

Entries = Sequence[tuple[str, str]]
"""Key and value pairs of a static store, in order of creation."""


def checked_id(id: str) -> str:
    """The id when it can be one. Raises BadConfig(field="id")."""
    if not id:
        raise BadConfig(say("The id is missing."), say("Give the store Stalwart's id, such as memstore."), "id")
    try:
        Store._meta.get_field("id").run_validators(id)
    except ValidationError as error:
        raise BadConfig(say('"%(id)s" cannot be an id.', id=id[:60]), " ".join(error.messages), "id") from None
    if id in RESERVED_IDS:
        raise BadConfig(say('"%(id)s" cannot be an id: an address of the dashboard needs it.', id=id), say("Choose another id."), "id")
    return id


def checked_version(version: str) -> str:
    """A Stalwart version kvadmin knows, or empty. Raises BadConfig(field="version")."""
    if version and version not in VERSIONS:
        raise BadConfig(
            say('"%(version)s" is no Stalwart version.', version=version),
            say("Use one of %(names)s, or none to detect it.", names=", ".join(VERSIONS)),
            "version",
        )
    return version


def checked_entries(type: str, entries: Entries) -> None:
    """Raise BadConfig(field="entries") for entries of another type than static, empty, long or repeated keys."""
    if entries and type != STATIC:
        raise BadConfig(
            say("Stores of type %(type)s hold their keys themselves.", type=type), say("Only static stores have entries here."), "entries"
        )
    seen: set[str] = set()
    for key, _ in entries:
        if not key or len(key) > 512:
            raise BadConfig(say("Keys of a static store have 1 to 512 characters."), say("Change the key."), "entries")
        if key in seen:
            raise BadConfig(say('The key "%(key)s" is there twice.', key=key), say("Keep one of the two."), "entries")
        seen.add(key)
