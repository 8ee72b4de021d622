"""Does a store answer, and if not, what has to be done: the connection test and the state that overviews show."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from stores import hostrules
from stores.backends.base import Backend
from stores.errors import BadConfig, NotSupported, StoreError, StoreRefused
from stores.models import Store
from stores.registry import MEMBERS, open_members, open_store, resolve_macros
from stores.services import store_settings
from stores.services.access import detect_version
from stores.services.store_checks import STATIC, Entries, checked_version
from stores.texts import say
from stores.types import Check, CheckState

SLOW_MS: Final = 250.0


@dataclass(frozen=True, slots=True)
class Health:
    """`state` is ok, slow (over 250 ms), down, refused, off or unsupported; `message` and `fix` are set unless it is ok."""

    state: str
    milliseconds: float | None = None
    server: str = ""
    message: str = ""
    fix: str = ""


def test_connection(type: str, settings: Mapping[str, str], version: str = "", entries: Entries = ()) -> list[Check]:
    """Step by step, without saving anything. A failed step ends the list; only a wrong setting raises (BadConfig)."""
    checked = store_settings.checked_settings(type, settings)
    checked_version(version)
    try:
        found = version or _detected(type, checked, entries)
        with _unsaved(type, checked, found or "0.11", entries) as backend:
            return backend.check()
    except (BadConfig, NotSupported, StoreRefused) as error:
        return [Check("Settings", CheckState.FAILED, error.message, error.fix)]


def _unsaved(type: str, settings: Mapping[str, str], version: str, entries: Entries) -> Backend:
    extras: dict[str, object] = {"entries": tuple(entries)} if type == STATIC else {}
    if type in MEMBERS:
        extras["members"] = open_members(type, settings)
    resolved = resolve_macros(settings)
    hostrules.require_allowed(type, resolved)
    return store_settings.instantiate(type, resolved, version=version, **extras)


def _detected(type: str, settings: Mapping[str, str], entries: Entries) -> str:
    """The version that the layout tells; empty when it does not, or when the store does not answer (the steps say why)."""
    with suppress(StoreError), _unsaved(type, settings, "0.11", entries) as backend:
        return backend.detect_version()
    return ""


def test_store(store: Store) -> list[Check]:
    """The connection test of a saved definition; every StoreError becomes a failed step."""
    try:
        if store.enabled and not store.version:
            with suppress(StoreError):
                detect_version(store)
        with open_store(store) as backend:
            return backend.check()
    except StoreError as error:
        return [Check("Settings", CheckState.FAILED, error.message, error.fix)]


def health(store: Store) -> Health:
    """One round trip to the store; never raises a StoreError."""
    if not store.enabled:
        return Health("off", message=say("Switched off."), fix=say("Switch it on in its settings."))
    try:
        with open_store(store) as backend:
            ping = backend.ping()
    except NotSupported as error:
        return Health("unsupported", message=error.message, fix=error.fix)
    except (StoreRefused, BadConfig) as error:
        return Health("refused", message=error.message, fix=error.fix)
    except StoreError as error:
        return Health("down", message=error.message, fix=error.fix)
    return Health("slow" if ping.milliseconds > SLOW_MS else "ok", ping.milliseconds, ping.server)
