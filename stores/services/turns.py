"""Walks through whole stores for a page: one at a time in a process, and slower while other pages are waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

GIVE_WAY: Final = 3.0
"""So many times as long as its last step a walk rests while other pages are being made."""
LONGEST_REST: Final = 0.05

_walking = threading.Lock()
_resting = threading.Lock()


class _Pages:
    """How many requests this process is at work on."""

    def __init__(self) -> None:
        self.now = 0
        self.lock = threading.Lock()

    def change(self, by: int) -> None:
        with self.lock:
            self.now += by


_pages = _Pages()


@contextmanager
def answering() -> Iterator[None]:
    """Around every request, so that walks know whether somebody waits for something else."""
    _pages.change(1)
    try:
        yield
    finally:
        _pages.change(-1)


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


def others_wait() -> bool:
    """Whether this process is at work on other pages than the one that asks."""
    return _pages.now > 1


def give_way(step_seconds: float) -> None:
    """Between two steps of a walk: rest while other pages are being made, 50 ms at most. On the command line it never does.

    The threads that walk through several stores rest one after another: together they take no more than one would.
    """
    if others_wait():
        with _resting:
            time.sleep(min(LONGEST_REST, GIVE_WAY * step_seconds))
