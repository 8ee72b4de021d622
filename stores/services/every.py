"""Asking several stores the same thing at once, so that one that does not answer delays the page only by its own timeout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from stores.backends.base import Backend
from stores.errors import StoreError
from stores.models import Store
from stores.services.access import opened
from stores.types import Clock

T = TypeVar("T")
_THREADS: Final = 8


def ask_each(stores: Iterable[Store], ask: Callable[[Store, Backend], T], clock: Clock = time.time) -> dict[str, T | StoreError]:
    """The answer of each store by id, or the error it gave. `ask` runs in a thread of its own and must not use the database."""
    found: dict[str, T | StoreError] = {}
    jobs: list[tuple[Store, Backend]] = []
    for store in stores:
        try:
            jobs.append((store, opened(store, clock)))
        except StoreError as error:
            found[store.pk] = error

    def run(job: tuple[Store, Backend]) -> T | StoreError:
        store, backend = job
        try:
            with backend:
                return ask(store, backend)
        except StoreError as error:
            return error

    if len(jobs) < 2:
        answers = [run(job) for job in jobs]
    else:
        with ThreadPoolExecutor(min(_THREADS, len(jobs))) as pool:
            answers = list(pool.map(run, jobs))
    found.update((store.pk, answer) for (store, _), answer in zip(jobs, answers, strict=True))
    return found
