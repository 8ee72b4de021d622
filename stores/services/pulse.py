"""How each store was doing when it was last asked, and asking several at once without waiting for the slowest."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from django.core.cache import caches
from django.db import connections

from stores.errors import StoreError
from stores.models import Store
from stores.registry import open_store
from stores.services.access import lacks
from stores.services.health import Health, health
from stores.services.store_checks import STATIC

FRESH_SECONDS: Final = 15.0
_KEPT_SECONDS: Final = 3600
_asking: Final[dict[str, threading.Thread]] = {}
_lock: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class Pulse:
    """A health, the Unix second it was seen, and why there is nothing to purge (empty where there is, or not known)."""

    health: Health
    at: float
    no_purge: str = ""

    @property
    def fresh(self) -> bool:
        return time.time() - self.at < FRESH_SECONDS


def last_seen(ids: Iterable[str]) -> dict[str, Pulse]:
    """What was last known, by store id; asks no store."""
    names = {_name(store_id): store_id for store_id in ids}
    return {names[name]: pulse for name, pulse in caches["process"].get_many(names).items()}


def ask(store: Store) -> Pulse:
    """One round trip, remembered for the menus. Waits as long as the store's own time-out."""
    found = health(store)
    pulse = Pulse(found, time.time(), _no_purge(store) if found.milliseconds is not None else "")
    caches["process"].set(_name(store.id), pulse, _KEPT_SECONDS)
    return pulse


def ask_all(stores: Iterable[Store], wait_seconds: float = 1.5) -> dict[str, Pulse]:
    """The health of all stores, at most `wait_seconds` late. A store that is silent so long is missing from the answer.

    What was asked less than 15 s ago is not asked again. Silent ones are asked on, one thread a store, and are known next time.
    """
    wanted = list(stores)
    known = {store_id: pulse for store_id, pulse in last_seen(store.id for store in wanted).items() if pulse.fresh}
    threads = []
    for store in wanted:
        if store.id in known:
            continue
        if store.type == STATIC:
            known[store.id] = ask(store)
        else:
            threads.append(_thread(store))
    deadline = time.monotonic() + wait_seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    fresh = {store_id: pulse for store_id, pulse in last_seen(store.id for store in wanted).items() if pulse.fresh}
    return known | fresh


def _no_purge(store: Store) -> str:
    """Why the store is never purged, as far as the store itself tells, whatever kvadmin's switches say."""
    try:
        with open_store(store) as backend:
            return lacks(store, backend.capabilities, "purges")
    except StoreError:
        return ""


def forget(store_id: str) -> None:
    """After a changed definition: what was known is of another server."""
    caches["process"].delete(_name(store_id))


def _thread(store: Store) -> threading.Thread:
    with _lock:
        running = _asking.get(store.id)
        if running is not None and running.is_alive():
            return running
        thread = threading.Thread(target=_ask_aside, args=(store,), name=f"ask {store.id}", daemon=True)
        _asking[store.id] = thread
        thread.start()
        return thread


def _ask_aside(store: Store) -> None:
    """In a thread of its own: stores made of others, and copied lists, are opened with a query, on a connection of this thread."""
    try:
        ask(store)
    finally:
        connections.close_all()


def _name(store_id: str) -> str:
    return f"pulse:{store_id.encode().hex()}"
