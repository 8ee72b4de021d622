"""Walks through whole stores for a page: one at a time in a process, so that several of them do not keep all other pages waiting."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_walking = threading.Lock()


@contextmanager
def turn(budget_seconds: float) -> Iterator[float]:
    """The seconds that a walk may take now: the whole budget, or 0 (one step) while another page of this process has its turn.

    Waits for nothing: the page says how far it came, and asks again.
    """
    if not _walking.acquire(blocking=False):
        yield 0.0
        return
    try:
        yield budget_seconds
    finally:
        _walking.release()
