"""Which entry of a static store or an HTTP lookup answers for a key, and which it keeps from answering."""

from __future__ import annotations

from typing import Any, Final

from stores.backends.http import HttpBackend
from stores.backends.static import StaticBackend
from stores.codecs.staticlookup import StaticAnswer, is_glob
from stores.errors import NotSupported
from stores.models import Store
from stores.services.access import opened
from stores.texts import say

TYPES: Final = ("static", "http")
"""Types of stores that can be asked."""
KINDS: Final = {int: "integer", float: "float", str: "text"}


def which(store: Store, key: str) -> StaticAnswer | None:
    """What the server answers for a key; None: nothing. Reads the whole table, and no server.

    Raises NotSupported for other types, StoreUnavailable for a list that was never fetched.
    """
    if store.type not in TYPES:
        raise NotSupported(
            say("Store %(store_id)s has no table of entries to ask.", store_id=store.id),
            say("Use lookup, or look the key up in the list of keys."),
        )
    with opened(store) as backend:
        if isinstance(backend, StaticBackend):
            return backend.lookup(key)
        assert isinstance(backend, HttpBackend)
        entry, value = backend.get(key.encode(errors="replace")), backend.answer(key)
        if entry is None or value is None:
            return None
        return StaticAnswer(value, key, (entry.value or b"").decode(), False)


def kind(answer: StaticAnswer) -> str:
    """integer, float or text, as expressions see the value."""
    return KINDS[type(answer.value)]


def as_json(store: Store, key: str, answer: StaticAnswer | None) -> dict[str, Any]:
    """The shape of `static-test --json`; a public interface."""
    found: dict[str, Any] = {"store": store.id, "key": key, "found": answer is not None}
    if answer is None:
        return found | {"type": None, "value": None, "text": None, "entry": None, "shadowed": []}
    shadowed = [{"key": name, "raw": raw, "pattern": is_glob(name)} for name, raw in answer.shadows]
    entry = {"key": answer.key, "raw": answer.raw, "pattern": answer.glob}
    # JSON has no infinity; the text says it
    value = answer.text if answer.value in (float("inf"), float("-inf")) else answer.value
    return found | {"type": kind(answer), "value": value, "text": answer.text, "entry": entry, "shadowed": shadowed}
