"""Which stores exist for whoever is asking: set for the length of a request, everything outside of one.

Kept in a context variable, so that no query for a store by id or for a list of stores can forget it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Sight:
    """All stores but the hidden ones; with `only` no others than these."""

    only: frozenset[str] | None = None
    hidden: frozenset[str] = frozenset()

    def sees(self, store_id: str) -> bool:
        """Whether a store exists for this sight. The empty id, of what is about no store, always does."""
        return not store_id or (store_id not in self.hidden and (self.only is None or store_id in self.only))

    @property
    def whole(self) -> bool:
        return self.only is None and not self.hidden


SEES_ALL: Final = Sight()
BLIND: Final = Sight(only=frozenset())

_current: ContextVar[Callable[[], Sight] | None] = ContextVar("stores_sight", default=None)


def current() -> Sight:
    """The sight of the present request; SEES_ALL in commands, tasks and scripts."""
    found = _current.get()
    return SEES_ALL if found is None else found()


@contextmanager
def looking(through: Callable[[], Sight]) -> Iterator[None]:
    """Look through the eyes of somebody; asked only when a store is looked for."""
    token = _current.set(through)
    try:
        yield
    finally:
        _current.reset(token)
