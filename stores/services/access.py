"""May this store be used for that? Answers come from kvadmin's own switches and from the open store's capabilities."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stores.backends.base import Backend
from stores.errors import NotSupported, ReadOnly
from stores.models import Store
from stores.registry import open_store
from stores.types import Capabilities

_MISSING = {
    "writes": "takes no writes",
    "counters": "does not keep counters apart from values",
    "expiry": "has no expiry times",
    "purges": "expires keys by itself; there is nothing to purge",
    "ordered_scan": "has no key order",
    "conditional_write": "cannot write conditionally",
}


def require_writable(store: Store) -> None:
    """Raise ReadOnly when kvadmin's own switch for the store forbids writes. Costs nothing."""
    if store.read_only:
        raise ReadOnly(f"Store {store.id} is switched to read only here.", "Switch writing on in the store's settings.")


def why_not(store: Store, capabilities: Capabilities, name: str) -> str:
    """One line why the store lacks a capability ("purges", "writes", ...); empty when it has it and writing is allowed."""
    if name in ("writes", "purges", "conditional_write") and store.read_only:
        return f"Store {store.id} is switched to read only here."
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


@contextmanager
def open_for_write(store: Store) -> Iterator[Backend]:
    """The open store, after the checks that a write needs. Raises ReadOnly, NotSupported, and what opening raises."""
    require_writable(store)
    with open_store(store) as backend:
        require(store, backend, "writes")
        yield backend
