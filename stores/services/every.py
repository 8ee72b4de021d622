"""Asking several stores the same thing at once, so that one that does not answer delays the page only by its own timeout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from stores.backends.base import Backend
from stores.errors import StoreError
from stores.models import Store
from stores.registry import OWN_ROWS
from stores.services.access import opened
from stores.types import Clock

T = TypeVar("T")
_THREADS: Final = 8


def ask_each(stores: Iterable[Store], ask: Callable[[Store, Backend], T], clock: Clock = time.time) -> dict[str, T | StoreError]:
    """The answer of each store by id, or the error it gave. `ask` runs in a thread of its own and must not use the database.

    Only stores whose rows are in that database are read in the caller's thread, while the others are asked.
    """
    found: dict[str, T | StoreError] = {}
    jobs: list[tuple[Store, Backend]] = []
    for store in stores:
        try:
            jobs.append((store, opened(store, clock)))
        except StoreError as error:
            found[store.pk] = error

    def run(store: Store, backend: Backend) -> T | StoreError:
        try:
            with backend:
                return ask(store, backend)
        except StoreError as error:
            return error

    with ThreadPoolExecutor(_THREADS) as pool:
        aside = {store.pk: pool.submit(run, store, backend) for store, backend in jobs if len(jobs) > 1 and store.type not in OWN_ROWS}
        here = {store.pk: run(store, backend) for store, backend in jobs if store.pk not in aside}
        found.update((store.pk, aside[store.pk].result() if store.pk in aside else here[store.pk]) for store, _ in jobs)
    return found
