"""May this store be used for that? Answers come from kvadmin's own switches and from the open store's capabilities."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.core.cache import caches
from django.utils.translation import gettext as _

from stores.backends.base import Backend
from stores.errors import NotSupported, ReadOnly
from stores.models import Store
from stores.registry import open_store
from stores.services import switches
from stores.types import Capabilities, Clock

ASK_AGAIN_SECONDS: Final = 3600
"""After this time a store that did not tell its version is asked again."""

SWITCHED: Final = frozenset({"writes", "purges", "conditional_write"})
"""Capabilities that the read-only switches take away."""

_MISSING = {
    "writes": "takes no writes",
    "counters": "does not keep counters apart from values",
    "expiry": "has no expiry times",
    "purges": "expires keys by itself; there is nothing to purge",
    "ordered_scan": "has no key order",
    "conditional_write": "cannot write conditionally",
}


def require_writable(store: Store) -> None:
    """Raise ReadOnly when kvadmin's own switch, for the store or for all, forbids writes. At most one short query."""
    reason = switches.why_read_only(store)
    if reason:
        place = _("the store's settings") if store.read_only else _("the page Accounts, or take KVADMIN_READ_ONLY away")
        raise ReadOnly(reason, _("Switch writing on: %(place)s.") % {"place": place})


def why_not(store: Store, capabilities: Capabilities, name: str) -> str:
    """One line why the store lacks a capability ("purges", "writes", ...); empty when it has it and writing is allowed."""
    if name in SWITCHED and (forbidden := switches.why_read_only(store)):
        return forbidden
    return lacks(store, capabilities, name)


def lacks(store: Store, capabilities: Capabilities, name: str) -> str:
    """One line why the store itself lacks a capability, whatever kvadmin's switches say."""
    if getattr(capabilities, name):
        return ""
    return capabilities.why.get(name) or f"Store {store.id} {_MISSING.get(name, 'cannot do that')}."


def require(store: Store, backend: Backend, name: str) -> None:
    """Raise ReadOnly or NotSupported with the reason when the open store lacks the capability."""
    reason = why_not(store, backend.capabilities, name)
    if reason and name == "writes":
        raise ReadOnly(reason)
    if reason:
        raise NotSupported(reason)


def opened(store: Store, clock: Clock = time.time) -> Backend:
    """The open store; before its first use the version is detected where none is set. The caller closes it.

    Raises what opening raises. Two short queries once for a definition, or once an hour where the store does not tell.
    """
    if not store.version and not store.detected_version and not caches["process"].get(_undetected(store)):
        detect_version(store)
    return open_store(store, clock=clock)


def detect_version(store: Store) -> str:
    """Ask the store for Stalwart's version, keep the answer with the definition, and return it; empty when it does not tell."""
    with open_store(store) as backend:
        found = backend.detect_version()
    if found != store.detected_version:
        store.detected_version = found
        Store.objects.filter(pk=store.pk).update(detected_version=found)
    if not found:
        caches["process"].set(_undetected(store), True, ASK_AGAIN_SECONDS)
    return found


def _undetected(store: Store) -> str:
    return f"undetected:{store.pk.encode().hex()}:{store.updated_at.timestamp():.6f}"


@contextmanager
def open_for_write(store: Store) -> Iterator[Backend]:
    """The open store, after the checks that a write needs. Raises ReadOnly, NotSupported, and what opening raises."""
    require_writable(store)
    with opened(store) as backend:
        if reason := lacks(store, backend.capabilities, "writes"):
            raise ReadOnly(reason)
        yield backend
